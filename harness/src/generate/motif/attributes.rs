//! Attributes: modes, owners, xattrs, and who may change them.

use super::{create, file, mv};
use crate::bytes::Bytes;
use crate::generate::aim::Aim;
use crate::generate::dice::Dice;
use crate::generate::steps::{data, xattr_name};
use crate::generate::world::World;
use crate::step::{
    Actor, AtFlags, FallocateMode, InodeFlags, NewTime, On, Op, RenameFlags, Slot, Special, StatusFlags, XattrFlags,
};
use crate::trace::Kind;

/// Sets, gets, lists and removes an xattr of one file, by whatever names it has.
pub(super) fn name_and_value<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| matches!(kind, Kind::File | Kind::Dir), dice) else { return Vec::new() };
    let on = On::Path(path.clone());
    let name = xattr_name(dice);
    let mut ops = vec![
        Op::SetXattr { on: on.clone(), name: name.clone(), value: Bytes::from("value"), flags: XattrFlags(0) },
        Op::GetXattr { on: On::Link(path.clone()), name: name.clone(), size: *dice.one(&[0, 3, 5, 100]) },
        Op::ListXattr { on: on.clone(), size: *dice.one(&[0, 12, 30, 4000]) },
    ];
    if dice.percent(50) {
        ops.push(Op::RemoveXattr { on, name });
        ops.push(Op::ListXattr { on: On::Link(path), size: 4000 });
    }
    ops
}

/// Prepares something as root for what an ordinary user then does with it.
pub(super) fn as_somebody<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    if !world.has_actors() {
        return;
    }
    let path = |op: &Bytes| On::Path(op.clone());
    let Some(file) = file(world, dice) else { return };
    let dir = Bytes::from(file.split_last().0);
    let dir = if dir.is_empty() { Bytes::from(".") } else { dir };
    let fresh = dir.join(world.pool.name(dice).as_slice());
    let user = *dice.one(&[Actor::User, Actor::User, Actor::Other, Actor::Bare]);
    let (mut root, mut acts) = (Vec::new(), Vec::new());
    match dice.below(15) {
        13 => {
            root.push(Op::Chown { on: path(&file), uid: *dice.one(&[0, 1000]), gid: -1 });
            root.push(Op::Open { slot: 3, path: file, flags: world.safe(libc::O_RDONLY, dice), mode: 0 });
            let flags = world.safe(libc::O_NOATIME, dice).0;
            acts.push(Op::Setfl { slot: 3, flags: StatusFlags(flags) });
        }
        7 => {
            root.push(Op::Chmod { path: file.clone(), mode: *dice.one(&[0, 0o070]) });
            let flags = AtFlags(*dice.one(&[libc::AT_EACCESS, libc::AT_EACCESS, 0]));
            acts.push(Op::Faccessat { path: file, mode: 4, flags });
        }
        0 | 9 | 14 => {
            root.push(Op::Chown { on: path(&file), uid: 1000, gid: *dice.one(&[3000, 1000, 1]) });
            acts.push(Op::Chmod { path: file, mode: *dice.one(&[0o2755, 0o2644]) });
        }
        1 | 6 | 8 | 10 => {
            root.push(Op::Chown { on: path(&dir), uid: 0, gid: *dice.one(&[7, 7, 1]) });
            root.push(Op::Chmod { path: dir, mode: 0o2777 });
            let node = Special::Regular;
            acts.push(match dice.below(3) {
                0 => Op::Mkdir { path: fresh, mode: 0o755 },
                _ => Op::Mknod { path: fresh, node, mode: *dice.one(&[0o2755, 0o2755, 0o2744]) },
            });
        }
        2 => {
            root.push(Op::Chmod { path: dir.clone(), mode: 0o1777 });
            let value = Bytes::from("v");
            acts.push(match dice.below(3) {
                0 => Op::SetXattr { on: path(&dir), name: Bytes::from("user.a"), value, flags: XattrFlags(0) },
                1 => Op::Unlink { path: file },
                _ => mv(&file, &fresh, 0),
            });
        }
        3 => {
            let name = Bytes::from(*dice.one(&["trusted.a", "@a", "security.c"]));
            root.push(Op::SetXattr { on: path(&file), name, value: Bytes::from("v"), flags: XattrFlags(0) });
            acts.push(Op::ListXattr { on: path(&file), size: *dice.one(&[0, 4000]) });
        }
        4 => {
            root.push(Op::Chmod { path: file.clone(), mode: *dice.one(&[0o666, 0o4755, 0o600]) });
            acts.push(Op::Link { old: file, new: fresh });
        }
        _ => {
            root.push(Op::Chmod { path: file.clone(), mode: *dice.one(&[0o4777, 0o6777]) });
            let flags = world.safe(libc::O_RDWR, dice);
            acts.push(Op::Open { slot: 3, path: file, flags, mode: 0 });
            acts.push(change_data(3, dice));
        }
    }
    for op in root {
        world.push_as(Actor::Root, op, dice);
    }
    for op in acts {
        world.push_as(user, op, dice);
    }
}

/// Opens somebody else's file with O_CREAT in a sticky directory.
pub(super) fn open_in_sticky<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let odd = dice.percent(60);
    let fits = |kind| kind != Kind::Dir && kind != Kind::Symlink && (kind != Kind::File || !odd);
    let Some(path) = world.existing(fits, dice) else { return Vec::new() };
    let parent = Bytes::from(path.split_last().0);
    let parent = if parent.is_empty() { Bytes::from(".") } else { parent };
    let flags = world.safe(libc::O_CREAT | libc::O_RDONLY, dice);
    vec![
        Op::Chmod { path: parent, mode: *dice.one(&[0o1777, 0o1777, 0o1770]) },
        Op::Chown { on: On::Path(path.clone()), uid: 1, gid: -1 },
        Op::Open { slot: 3, path, flags, mode: 0o600 },
    ]
}

/// Makes calls that change nothing, which may copy up all the same.
pub(super) fn change_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind != Kind::Symlink, dice) else { return Vec::new() };
    let on = On::Path(path.clone());
    vec![match dice.below(5) {
        0 => Op::Chown { on, uid: -1, gid: -1 },
        1 => Op::Utimens { on, atime: NewTime::Omit, mtime: NewTime::Omit },
        2 => Op::RemoveXattr { on, name: Bytes::from("user.none") },
        3 => {
            Op::SetXattr { on, name: xattr_name(dice), value: Bytes::default(), flags: XattrFlags(libc::XATTR_REPLACE) }
        }
        _ => Op::Rename { old: path.clone(), new: path, flags: RenameFlags(0) },
    }]
}

/// Gives a file setuid or setgid, or capabilities, then changes its data.
pub(super) fn write_to_setuid<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let mut ops = vec![Op::Chmod { path: path.clone(), mode: *dice.one(&[0o4755, 0o2755, 0o2744, 0o6711]) }];
    if dice.percent(40) {
        ops.extend(world.set_capability(&path));
        if dice.percent(40) {
            ops.push(Op::Rotate);
        }
    }
    match dice.below(5) {
        4 => ops.push(Op::Chown { on: On::Path(path), uid: *dice.one(&[-1, 0, 1000]), gid: -1 }),
        0 => ops.push(Op::Truncate { path, len: *dice.one(&[0, 1, 4]) }),
        1 => ops.push(Op::Open { slot: 3, path, flags: world.safe(libc::O_RDONLY | libc::O_TRUNC, dice), mode: 0 }),
        _ => {
            ops.push(Op::Open { slot: 3, path, flags: world.safe(libc::O_RDWR, dice), mode: 0 });
            ops.push(change_data(3, dice));
        }
    }
    ops
}

/// Changes the data of what is open for reading and writing, in one of the ways there are.
fn change_data(slot: Slot, dice: &mut Dice<'_>) -> Op {
    match dice.below(6) {
        0 | 1 => Op::Fallocate { slot, offset: 0, len: *dice.one(&[3, 8192]), mode: FallocateMode::default() },
        2 => Op::Ftruncate { slot, len: *dice.one(&[0, 1, 5000]) },
        3 => Op::CopyFileRange { from: slot, from_at: Some(0), to: slot, to_at: Some(4096), len: 100 },
        _ => Op::Write { slot, data: data(dice) },
    }
}

/// Gives a file an xattr, lets it become a lower one, and takes the xattr away.
pub(super) fn remove_a_lower_value<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| matches!(kind, Kind::File | Kind::Dir), dice) else { return Vec::new() };
    let (on, name) = (On::Path(path), Bytes::from("user.a"));
    let set =
        Op::SetXattr { on: on.clone(), name: name.clone(), value: Bytes::from("v"), flags: XattrFlags::default() };
    vec![set, Op::Rotate, Op::RemoveXattr { on, name }]
}

/// Makes one of two names setuid, calls in vain on the other, and changes the data there.
pub(super) fn fail_on_an_alias<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let alias = world.absent(dice);
    let on = On::Path(alias.clone());
    let name = Bytes::from("user.none");
    let mut ops = vec![
        Op::Chmod { path: path.clone(), mode: 0o755 },
        Op::Link { old: path.clone(), new: alias.clone() },
        Op::Lstat { path: alias.clone() },
    ];
    // A write finds that there is no setuid, and remembers it.
    if dice.percent(40) {
        ops.push(Op::Open { slot: 6, path: alias.clone(), flags: world.safe(libc::O_WRONLY, dice), mode: 0 });
        ops.push(Op::Write { slot: 6, data: data(dice) });
    }
    ops.push(Op::Chmod { path, mode: 0o4755 });
    match dice.below(3) {
        0 => ops.push(Op::RemoveXattr { on, name }),
        1 => {}
        _ => {
            let flags = XattrFlags(libc::XATTR_REPLACE);
            ops.push(Op::SetXattr { on, name, value: Bytes::from("v"), flags });
        }
    }
    ops.push(Op::Truncate { path: alias, len: 1 });
    ops
}

/// Makes a file or directory immutable or append-only, and does what that forbids or allows.
pub(super) fn change_what_is_protected<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dirs = dice.percent(35);
    let fits = |kind| kind == if dirs { Kind::Dir } else { Kind::File };
    let root = dirs && dice.percent(35);
    let found = if root { Some(Bytes::default()) } else { world.existing(fits, dice) };
    let Some(dir) = found else { return Vec::new() };
    let path = if root { Bytes::from(".") } else { dir.clone() };
    let (slot, other) = (5, 6);
    let access = if dirs { libc::O_RDONLY } else { *dice.one(&[libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY]) };
    let mut ops = vec![Op::Open { slot, path: path.clone(), flags: world.safe(access, dice), mode: 0 }];
    let flags = InodeFlags(*dice.one(&[InodeFlags::IMMUTABLE, InodeFlags::APPEND, InodeFlags::ALL]));
    ops.push(Op::Setflags { slot, flags });
    // What is looked up again knows by the xattr alone.
    let again = match dice.below(8) {
        0 | 1 => Some(Op::Remount),
        3..=5 if root => Some(Op::Remount),
        2 => Some(Op::DropCaches),
        _ => None,
    };
    let looked_up = again.is_some();
    ops.extend(again);
    let child = world.below(&dir).into_iter().next();
    for _ in 0..dice.between(2, 4) {
        let (on, new) = (On::Path(path.clone()), world.absent(dice));
        let open = |how, world: &World<'_, A>, dice: &mut Dice<'_>| Op::Open {
            slot: other,
            path: path.clone(),
            flags: world.safe(how, dice),
            mode: 0,
        };
        ops.push(match dice.below(20) {
            0 => Op::Chmod { path: path.clone(), mode: 0o755 },
            1 => Op::Chown { on, uid: *dice.one(&[-1, 0]), gid: -1 },
            2 => Op::Utimens { on, atime: NewTime::Now, mtime: NewTime::Now },
            3 => Op::Utimens { on, atime: NewTime::Now, mtime: NewTime::Omit },
            4 => Op::SetXattr { on, name: Bytes::from("user.a"), value: Bytes::from("v"), flags: XattrFlags(0) },
            5 => Op::Getflags { slot },
            6 => mv(&path, &new, 0),
            7 => Op::Access { path: path.clone(), mode: *dice.one(&[2, 3, 6]) },
            8 | 9 if dirs => create(world, dir.join(world.pool.name(dice).as_slice()), dice),
            10 | 11 if dirs => match &child {
                Some((path, Kind::Dir)) => Op::Rmdir { path: path.clone() },
                Some((path, _)) => Op::Unlink { path: path.clone() },
                None => Op::Rmdir { path: path.clone() },
            },
            12 if dirs => mv(child.as_ref().map_or(&path, |(path, _)| path), &new, 0),
            _ if dirs => Op::Rmdir { path: path.clone() },
            8 => Op::Unlink { path: path.clone() },
            9 => Op::Link { old: path.clone(), new },
            10 => open(libc::O_WRONLY, world, dice),
            11 => open(*dice.one(&[libc::O_WRONLY | libc::O_APPEND, libc::O_TRUNC]), world, dice),
            12 => Op::Truncate { path: path.clone(), len: 1 },
            13 => Op::Ftruncate { slot, len: 1 },
            14 | 15 => Op::Fallocate {
                slot,
                offset: 0,
                len: 5000,
                mode: FallocateMode(*dice.one(&[0, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE])),
            },
            16 | 17 => Op::CopyFileRange { from: slot, from_at: Some(0), to: slot, to_at: Some(4096), len: 3 },
            18 => Op::Setfl { slot, flags: StatusFlags(world.safe(libc::O_APPEND, dice).0) },
            _ => Op::Write { slot, data: data(dice) },
        });
    }
    if looked_up {
        ops.push(Op::Open { slot, path, flags: world.safe(libc::O_RDONLY, dice), mode: 0 });
    }
    if dice.percent(70) {
        ops.extend([Op::Setflags { slot, flags: InodeFlags(0) }, Op::Getflags { slot }]);
    }
    ops
}
