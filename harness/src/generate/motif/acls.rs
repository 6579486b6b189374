//! Access control lists: set, inherited, changed by a mode, copied up, and what they grant.

use super::mv;
use crate::acl::{Acl, Role, Tag};
use crate::bytes::Bytes;
use crate::generate::aim::Aim;
use crate::generate::dice::Dice;
use crate::generate::world::World;
use crate::step::{Actor, AtFlags, On, Op, Special, XattrFlags};
use crate::trace::Kind;

fn set(path: &Bytes, role: Role, value: Bytes) -> Op {
    let on = On::Path(spelt(path));
    Op::SetXattr { on, name: Bytes::from(role.xattr()), value, flags: XattrFlags::default() }
}

fn remove(path: &Bytes, role: Role) -> Op {
    Op::RemoveXattr { on: On::Path(spelt(path)), name: Bytes::from(role.xattr()) }
}

/// The root by a name that it has.
fn spelt(path: &Bytes) -> Bytes {
    if path.is_empty() { Bytes::from(".") } else { path.clone() }
}

/// Sets the list of something, changes its mode, and takes the list away; in between it may become a lower object.
pub(super) fn set_a_list<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind != Kind::Symlink, dice) else { return Vec::new() };
    let Some(acl) = world.acl(dice) else { return Vec::new() };
    let is_dir = world.kind(&path) == Some(Kind::Dir);
    let role = if is_dir && dice.percent(40) { Role::Default } else { Role::Access };
    let name = Bytes::from(role.xattr());
    let mut ops = vec![set(&path, role, acl.encode())];
    if dice.percent(30) {
        ops.push(Op::GetXattr { on: On::Link(path.clone()), name, size: *dice.one(&[0, 100, 100, 20]) });
    }
    if dice.percent(30) {
        ops.push(Op::Rotate);
    }
    for _ in 0..*dice.one(&[1, 2]) {
        ops.push(match dice.below(6) {
            0 | 1 => Op::Chmod { path: path.clone(), mode: *dice.one(&[0o755, 0o640, 0o707, 0o4777, 0o1070]) },
            2 => Op::Chown { on: On::Path(path.clone()), uid: *dice.one(&[-1, 0]), gid: -1 },
            3 => Op::ListXattr { on: On::Path(path.clone()), size: *dice.one(&[0, 20, 4000]) },
            4 => Op::Truncate { path: path.clone(), len: *dice.one(&[0, 0, 3]) },
            _ => remove(&path, role),
        });
    }
    ops
}

/// Makes things in a directory with a default list, also where something was, and moves them away.
pub(super) fn inherit_a_list<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(acl) = world.acl(dice) else { return Vec::new() };
    // One that holds something, so that there are names to remove.
    let child = world.existing(|kind| kind != Kind::Dir, dice);
    let dir = child.as_ref().map(|child| Bytes::from(child.split_last().0)).unwrap_or_default();
    let mut ops = Vec::new();
    if dice.percent(40) {
        ops.push(Op::Umask { mode: *dice.one(&[0o022, 0o077, 0o027, 0]) });
    }
    ops.push(set(&dir, Role::Default, acl.encode()));
    let fresh = dir.join(world.pool.name(dice).as_slice());
    let name = match child {
        Some(child) if dice.percent(35) => {
            ops.push(Op::Unlink { path: child.clone() });
            child
        }
        Some(child) if dice.percent(35) => {
            let to = if dice.percent(50) { fresh } else { world.pool.name(dice).clone() };
            ops.push(mv(&child, &to, 0));
            child
        }
        _ => fresh,
    };
    ops.push(match dice.below(7) {
        0 | 1 => Op::Mkdir { path: name.clone(), mode: *dice.one(&[0o777, 0o755, 0o700, 0o1707]) },
        2 => Op::Symlink { target: Bytes::from("x"), path: name.clone() },
        3 if world.pool.fifos => {
            Op::Mknod { path: name.clone(), node: Special::Fifo, mode: *dice.one(&[0o666, 0o2755]) }
        }
        3 | 4 => Op::Mknod { path: name.clone(), node: Special::Regular, mode: *dice.one(&[0o666, 0o4777, 0o600]) },
        _ => {
            let flags = world.safe(libc::O_CREAT | libc::O_WRONLY, dice);
            Op::Open { slot: 3, path: name.clone(), flags, mode: *dice.one(&[0o666, 0o644, 0o777]) }
        }
    });
    match dice.below(4) {
        0 => ops.push(Op::Mkdir { path: name.join(b"d"), mode: 0o777 }),
        1 => ops.push(remove(&dir, Role::Default)),
        2 => ops.push(Op::Umask { mode: 0o022 }),
        _ => {}
    }
    ops
}

/// Sets a list as root and lets somebody use what it is about.
pub(super) fn follow_a_list<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    let Some(path) = world.existing(|kind| kind != Kind::Symlink, dice) else { return };
    let Some(mut acl) = world.acl(dice) else { return };
    let is_dir = world.kind(&path) == Some(Kind::Dir);
    let mut user = Actor::Bare;
    if world.has_actors() {
        user = *dice.one(&[Actor::User, Actor::User, Actor::Other, Actor::Bare]);
        if dice.percent(40) {
            // One that is not looked at: it would grant the user less than others.
            acl = Acl(vec![
                (Tag::Owner, 7),
                (Tag::User(user.uid()), 7),
                (Tag::OwningGroup, *dice.one(&[0, 7])),
                (Tag::Mask, 0),
                (Tag::Other, *dice.one(&[7, 5, 6])),
            ]);
        }
        let on = On::Path(path.clone());
        let owner = Op::Chown { on, uid: *dice.one(&[0, 1]), gid: *dice.one(&[0, 1, 1000]) };
        world.push_as(Actor::Root, owner, dice);
    }
    world.push_as(Actor::Root, set(&path, Role::Access, acl.encode()), dice);
    for _ in 0..2 {
        let op = match dice.below(6) {
            0 if is_dir => Op::List { path: path.clone() },
            1 if is_dir => Op::Lstat { path: path.join(b"x") },
            2 if is_dir => Op::Mkdir { path: path.join(world.pool.name(dice).as_slice()), mode: 0o755 },
            0 | 1 => {
                let flags = world.safe(*dice.one(&[libc::O_RDONLY, libc::O_RDWR, libc::O_WRONLY]), dice);
                Op::Open { slot: 3, path: path.clone(), flags, mode: 0 }
            }
            2 => set(&path, Role::Access, acl.encode()),
            n => {
                let flags = AtFlags(if n == 3 { 0 } else { libc::AT_EACCESS });
                Op::Faccessat { path: path.clone(), mode: *dice.one(&[4, 2, 1, 6, 7]), flags }
            }
        };
        world.push_as(user, op, dice);
    }
}

/// Lets somebody change the list of what is their own, mostly outside their groups and setgid.
pub(super) fn set_ones_own_list<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    if !world.has_actors() {
        return;
    }
    let Some(path) = world.existing(|kind| kind != Kind::Symlink, dice) else { return };
    let Some(acl) = world.acl(dice) else { return };
    let own = Op::Chown { on: On::Path(path.clone()), uid: 1000, gid: *dice.one(&[3000, 3000, 3000, 1]) };
    world.push_as(Actor::Root, own, dice);
    let chmod = Op::Chmod { path: path.clone(), mode: *dice.one(&[0o2755, 0o2755, 0o2745, 0o755]) };
    world.push_as(Actor::Root, chmod, dice);
    let op = match dice.below(5) {
        0 => remove(&path, Role::Access),
        1 => set(&path, Role::Default, acl.encode()),
        _ => set(&path, Role::Access, acl.encode()),
    };
    world.push_as(Actor::User, op, dice);
}

/// Sets what is no list, or where there is none to set; removes what is not there.
pub(super) fn refuse_a_list<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(acl) = world.acl(dice) else { return Vec::new() };
    let choice = dice.below(10);
    let fits = |kind| match choice {
        0 => kind == Kind::Symlink,
        1 | 2 => kind != Kind::Symlink && kind != Kind::Dir,
        _ => kind != Kind::Symlink,
    };
    let Some(path) = world.existing(fits, dice) else { return Vec::new() };
    let role =
        if matches!(choice, 1 | 2) { Role::Default } else { *dice.one(&[Role::Access, Role::Access, Role::Default]) };
    let name = Bytes::from(role.xattr());
    let on = if choice == 0 || dice.percent(50) { On::Link(path) } else { On::Path(path) };
    let put =
        |value: Bytes, flags| Op::SetXattr { on: on.clone(), name: name.clone(), value, flags: XattrFlags(flags) };
    let take = || Op::RemoveXattr { on: on.clone(), name: name.clone() };
    let look = || Op::GetXattr { on: on.clone(), name: name.clone(), size: 100 };
    let mut odd = acl.encode();
    match choice {
        0..=2 => vec![dice.one(&[put(odd, 0), take(), look()]).clone()],
        3 => {
            odd.0.truncate(*dice.one(&[0, 0, 3, 4, 13]));
            vec![put(odd, 0)]
        }
        4 => {
            match dice.below(3) {
                0 => odd.0[0] = 1,
                1 => odd.0[4] = *dice.one(&[2, 0x10, 0x40]),
                _ => drop(odd.0.drain(12..20)),
            }
            vec![put(odd, 0)]
        }
        5 | 6 => vec![take(), look()],
        7 | 8 => vec![put(odd.clone(), libc::XATTR_REPLACE), put(odd, libc::XATTR_CREATE)],
        _ => vec![put(odd, 0), take(), take()],
    }
}
