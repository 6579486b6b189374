//! Steps one by one: which call, and with which arguments. It aims, and sometimes misses on purpose.

use super::aim::Aim;
use super::dice::Dice;
use super::layers::{capability, target};
use super::motif;
use super::names::Pool;
use super::profile::Profile;
use super::trial;
use super::world::World;
use crate::bytes::Bytes;
use crate::case::Case;
use crate::step::{
    AtFlags, Device, FallocateMode, InodeFlags, NewTime, On, Op, RenameFlags, Slot, Special, StatusFlags, Whence,
    XattrFlags,
};
use crate::trace::{Kind, Privilege, Time};

/// Percentage of calls that are meant to succeed; some of them fail all the same (EXDEV, ENOTEMPTY).
const AIMED: usize = 70;

/// Percentage of cases in which other mounts are tried.
const TRIED: usize = 8;

/// What is drawn next.
#[derive(Clone, Copy)]
enum What {
    Motif,
    Open,
    Close,
    Read,
    Write,
    Truncate,
    Fstat,
    Mkdir,
    Rmdir,
    Mknod,
    Symlink,
    Readlink,
    Link,
    Unlink,
    Rename,
    Chmod,
    Stat,
    Lstat,
    List,
    Remount,
    Rotate,
    DropCaches,
    Pread,
    Pwrite,
    Lseek,
    Ftruncate,
    Sync,
    Getdents,
    Fchmod,
    Chown,
    Utimens,
    SetXattr,
    GetXattr,
    ListXattr,
    RemoveXattr,
    Access,
    Umask,
    Vector,
    Dup,
    AccessAt,
    ChmodAt,
    LinkAt,
    LinkSlot,
    Filesystem,
    Place,
    Chdir,
    Transfer,
    Fallocate,
    Setfl,
    Flags,
}

/// Sizes of buffers that hold one entry, a few, or none.
pub(super) const PARTS: &[u32] = &[24, 32, 56, 72, 120, 300, 0, 1000];

/// How often each is drawn, out of their sum. A motif is several steps.
const WEIGHTS: &[(usize, What)] = &[
    (14, What::Motif),
    (14, What::Open),
    (2, What::Close),
    (3, What::Read),
    (5, What::Write),
    (4, What::Truncate),
    (2, What::Fstat),
    (9, What::Mkdir),
    (6, What::Rmdir),
    (5, What::Mknod),
    (3, What::Symlink),
    (2, What::Readlink),
    (6, What::Link),
    (10, What::Unlink),
    (16, What::Rename),
    (8, What::Chmod),
    (2, What::Stat),
    (3, What::Lstat),
    (4, What::List),
    (2, What::Remount),
    (1, What::Rotate),
    (2, What::DropCaches),
    (1, What::Pread),
    (2, What::Pwrite),
    (2, What::Lseek),
    (2, What::Ftruncate),
    (1, What::Sync),
    (3, What::Getdents),
    (2, What::Fchmod),
    (4, What::Chown),
    (4, What::Utimens),
    (5, What::SetXattr),
    (2, What::GetXattr),
    (2, What::ListXattr),
    (4, What::RemoveXattr),
    (1, What::Access),
    (1, What::Umask),
    (2, What::Vector),
    (1, What::Dup),
    (1, What::AccessAt),
    (1, What::ChmodAt),
    (1, What::LinkAt),
    (1, What::LinkSlot),
    (1, What::Filesystem),
    (1, What::Place),
    (2, What::Chdir),
    (4, What::Transfer),
    (3, What::Fallocate),
    (2, What::Setfl),
    (1, What::Flags),
];

/// Gives the case its steps.
pub(super) fn draw<A: Aim>(profile: &Profile, pool: &Pool, case: &mut Case, dice: &mut Dice<'_>) {
    let limit = dice.between(*profile.steps.start(), *profile.steps.end());
    let mut world = World::<A>::new(profile, pool, case, limit, dice);
    if dice.percent(if world.stacked.is_some() { 50 } else { 15 }) {
        motif::open(&mut world, dice);
    }
    if dice.percent(TRIED) {
        for _ in 0..dice.between(1, 3) {
            world.push(trial::draw(profile.privilege, dice), dice);
        }
    }
    while !world.is_full() {
        match dice.weighted(WEIGHTS) {
            What::Motif => motif::play(&mut world, dice),
            what => {
                let op = one(&mut world, what, profile.privilege, dice);
                world.push(op, dice);
            }
        }
    }
    case.steps = world.into_steps();
}

fn one<A: Aim>(world: &mut World<'_, A>, what: What, privilege: Privilege, dice: &mut Dice<'_>) -> Op {
    let aimed = dice.percent(AIMED);
    match what {
        What::Open => open(world, aimed, dice),
        What::Close => Op::Close { slot: slot(world, aimed, |_| true, dice) },
        What::Read => {
            let len = *dice.one(&[0, 1, 5, 100, 6000]);
            Op::Read { slot: slot(world, aimed, |kind| kind == Kind::File, dice), len }
        }
        What::Write => {
            let open = if aimed { world.slot(|kind, flags| kind == Kind::File && flags.writes(), dice) } else { None };
            match open {
                Some(slot) => Op::Write { slot, data: data(dice) },
                // Nothing to write to: open something, so that the next one can.
                None if dice.percent(85) => open_to_write(world, dice),
                None => Op::Write { slot: any_slot(dice), data: data(dice) },
            }
        }
        What::Truncate => {
            let path = place(world, aimed, |kind| kind == Kind::File, dice);
            Op::Truncate { path, len: *dice.one(&[0, 0, 0, 1, 3, 10, 5000, 65536, -1]) }
        }
        What::Fstat => Op::Fstat { slot: slot(world, aimed, |_| true, dice) },
        What::Mkdir => Op::Mkdir {
            path: free(world, aimed, dice),
            mode: *dice.one(&[0o755, 0o755, 0o700, 0o1777, 0o2755, 0o6711, 0]),
        },
        What::Rmdir => {
            let veiled = if aimed && dice.percent(25) { world.veiled_directory(dice) } else { None };
            let empty = if aimed && veiled.is_none() { world.empty_directory(dice) } else { veiled };
            let path = match empty {
                Some(path) => path,
                None if dice.percent(50) => world.directory(dice),
                None => world.any(dice),
            };
            Op::Rmdir { path: world.dressed(path, dice) }
        }
        What::Mknod => Op::Mknod {
            path: free(world, aimed, dice),
            node: special(world.pool.fifos, privilege, dice),
            mode: *dice.one(&[0o644, 0o600, 0o6755, 0]),
        },
        What::Symlink => Op::Symlink { target: said(world, dice), path: free(world, aimed, dice) },
        What::Readlink => Op::Readlink { path: place(world, aimed, |kind| kind == Kind::Symlink, dice) },
        What::Link => Op::Link {
            old: place(world, aimed, |kind| kind != Kind::Dir, dice),
            new: free(world, aimed || dice.percent(50), dice),
        },
        What::Unlink => Op::Unlink { path: place(world, aimed, |kind| kind != Kind::Dir, dice) },
        What::Rename => rename(world, aimed, dice),
        What::Chmod => {
            // A chmod follows symlinks, and most of those lead nowhere.
            let path = place(world, aimed, |kind| kind != Kind::Symlink, dice);
            Op::Chmod { path, mode: *dice.one(&[0o644, 0o755, 0o600, 0, 0o4755, 0o2755, 0o1777, 0o777]) }
        }
        What::Stat => Op::Stat { path: place(world, aimed, |_| true, dice) },
        What::Lstat => Op::Lstat { path: if aimed { place(world, true, |_| true, dice) } else { world.absent(dice) } },
        What::List => {
            let path = if aimed { world.directory(dice) } else { world.any(dice) };
            Op::List { path: if path.is_empty() { Bytes::from(".") } else { world.dressed(path, dice) } }
        }
        What::Remount => Op::Remount,
        What::Rotate => Op::Rotate,
        What::DropCaches => Op::DropCaches,
        What::Motif => Op::Observe,
        What::Pread => Op::Pread {
            slot: slot(world, aimed, |kind| kind == Kind::File, dice),
            len: *dice.one(&[0, 3, 100]),
            offset: *dice.one(&[0, 1, 4, 5000, -1]),
        },
        What::Pwrite => {
            let open = if aimed { world.slot(|kind, flags| kind == Kind::File && flags.writes(), dice) } else { None };
            match open {
                Some(slot) => Op::Pwrite { slot, data: data(dice), offset: *dice.one(&[0, 1, 4, 5000, 9000]) },
                None if dice.percent(85) => open_to_write(world, dice),
                None => Op::Pwrite { slot: any_slot(dice), data: data(dice), offset: *dice.one(&[0, 1, -1]) },
            }
        }
        What::Lseek => {
            let Some(slot) = world.slot(|kind, _| kind != Kind::Dir, dice) else {
                return Op::Fstat { slot: any_slot(dice) };
            };
            Op::Lseek {
                slot,
                offset: *dice.one(&[0, 0, 1, 3, 4096, 5000, -1, -5]),
                whence: *dice.one(&[Whence::Set, Whence::Cur, Whence::End, Whence::Data, Whence::Hole]),
            }
        }
        What::Ftruncate => {
            let open = if aimed { world.slot(|kind, flags| kind == Kind::File && flags.writes(), dice) } else { None };
            match open {
                Some(slot) => Op::Ftruncate { slot, len: *dice.one(&[0, 1, 5, 5000, 20000]) },
                None if dice.percent(65) => open_to_write(world, dice),
                None => Op::Ftruncate { slot: slot(world, true, |_| true, dice), len: *dice.one(&[0, 1, -1]) },
            }
        }
        What::Sync => {
            let slot = slot(world, aimed, |_| true, dice);
            if dice.percent(50) { Op::Fsync { slot } } else { Op::Fdatasync { slot } }
        }
        What::Getdents => match world.slot(|kind, _| kind == Kind::Dir, dice) {
            Some(slot) if dice.percent(30) => Op::Lseek { slot, offset: 0, whence: Whence::Set },
            Some(slot) if dice.percent(60) => match dice.below(5) {
                0 => Op::Seekdir { slot, entry: dice.below(8) as u32 },
                _ => Op::Getdents64 { slot, size: *dice.one(PARTS) },
            },
            Some(slot) => Op::Getdents { slot, size: *dice.one(&[280, 400, 32768]) },
            None if dice.percent(85) => open_directory(world, dice),
            None => Op::Getdents { slot: any_slot(dice), size: 280 },
        },
        What::Fchmod => {
            let mode = *dice.one(&[0o644, 0o4755, 0o600, 0o2711]);
            match held(world, aimed, |_| true, dice) {
                Some(slot) => Op::Fchmod { slot, mode },
                None => open_any(world, dice),
            }
        }
        What::Chown => {
            let ids: &[i64] = if privilege == Privilege::Root { &[0, 1, 1000, -1, -1] } else { &[0, 0, -1, -1, 1] };
            match on(world, aimed, |_| true, dice) {
                Some(on) => Op::Chown { on, uid: *dice.one(ids), gid: *dice.one(ids) },
                None => open_any(world, dice),
            }
        }
        What::Utimens => match on(world, aimed, |_| true, dice) {
            Some(on) => Op::Utimens { on, atime: time(dice), mtime: time(dice) },
            None => open_any(world, dice),
        },
        What::SetXattr => set_xattr(world, aimed, dice),
        What::GetXattr => {
            let (on, name) = named(world, aimed, dice);
            match on {
                Some(on) => Op::GetXattr { on, name, size: *dice.one(&[0, 100, 100, 1]) },
                None => open_any(world, dice),
            }
        }
        What::ListXattr => match remembered(world, dice)
            .filter(|_| dice.percent(35))
            .map(|(on, _)| on)
            .or_else(|| on(world, aimed, |_| true, dice))
        {
            Some(on) => Op::ListXattr { on, size: *dice.one(&[0, 4000, 4000, 20]) },
            None => open_any(world, dice),
        },
        What::RemoveXattr if dice.percent(35) => remove_from_slot(world, aimed, dice),
        What::RemoveXattr => match remembered(world, dice) {
            Some((on, name)) if aimed => Op::RemoveXattr { on, name },
            // Nothing to remove: set something, so that the next one can.
            None if dice.percent(75) => set_xattr(world, true, dice),
            _ => {
                let path = place(world, aimed, |kind| matches!(kind, Kind::File | Kind::Dir), dice);
                let on = if dice.percent(60) { On::Path(path) } else { On::Link(path) };
                Op::RemoveXattr { on, name: xattr_name(dice) }
            }
        },
        What::Access => {
            let path = place(world, aimed, |_| true, dice);
            Op::Access { path, mode: *dice.one(&[0, 1, 2, 4, 6, 7]) }
        }
        What::Vector if dice.percent(50) => {
            let slot = slot(world, aimed, |kind| kind == Kind::File, dice);
            Op::Readv { slot, lens: dice.one(&[&[1, 2, 100][..], &[0, 5], &[6000, 1], &[0], &[]]).to_vec() }
        }
        What::Vector => {
            let open = if aimed { world.slot(|kind, flags| kind == Kind::File && flags.writes(), dice) } else { None };
            let parts = (0..dice.below(4)).map(|_| data(dice)).collect();
            match open {
                Some(slot) => Op::Writev { slot, parts },
                None if dice.percent(85) => open_to_write(world, dice),
                None => Op::Writev { slot: any_slot(dice), parts },
            }
        }
        What::Dup => Op::Dup { slot: slot(world, aimed, |_| true, dice), to: any_slot(dice) },
        What::AccessAt => {
            let path = place(world, aimed, |_| true, dice);
            let known = libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW;
            let flags = [0, libc::AT_EACCESS, libc::AT_SYMLINK_NOFOLLOW, known, libc::AT_SYMLINK_FOLLOW];
            Op::Faccessat { path, mode: *dice.one(&[0, 1, 2, 4, 6]), flags: AtFlags(*dice.one(&flags)) }
        }
        What::ChmodAt => {
            let follows = dice.percent(50);
            let path = place(world, aimed, |kind| !follows || kind != Kind::Symlink, dice);
            let flags = if follows { *dice.one(&[0, 0, 0, 0, 0, libc::AT_EACCESS]) } else { libc::AT_SYMLINK_NOFOLLOW };
            Op::Fchmodat { path, mode: *dice.one(&[0o644, 0o755, 0o4755]), flags: AtFlags(flags) }
        }
        What::LinkAt => {
            let old = place(world, aimed, |kind| kind != Kind::Dir, dice);
            let flags = [(5, libc::AT_SYMLINK_FOLLOW), (8, 0), (1, libc::AT_SYMLINK_NOFOLLOW)];
            let flags = dice.weighted(&flags);
            Op::Linkat { old, new: free(world, aimed, dice), flags: AtFlags(flags) }
        }
        What::LinkSlot => match world.slot(|kind, _| kind != Kind::Dir || !aimed, dice) {
            Some(slot) => Op::Flink { slot, new: free(world, aimed, dice) },
            None if dice.percent(90) => open_to_write(world, dice),
            None => Op::Flink { slot: any_slot(dice), new: free(world, aimed, dice) },
        },
        What::Filesystem => {
            let slot = slot(world, aimed, |_| true, dice);
            match dice.below(3) {
                0 => Op::Statfs { path: place(world, aimed, |_| true, dice) },
                1 => Op::Fstatfs { slot },
                _ => Op::Syncfs { slot },
            }
        }
        What::Place => {
            let path = place(world, aimed, |_| true, dice);
            let with = [0, libc::O_NOFOLLOW, libc::O_NOFOLLOW, libc::O_DIRECTORY, libc::O_RDWR | libc::O_CREAT];
            let flags = libc::O_PATH | *dice.one(&with);
            Op::Open { slot: any_slot(dice), path, flags: world.safe(flags, dice), mode: 0 }
        }
        What::Chdir => match dice.below(10) {
            0..=2 => Op::Chdir { path: Bytes::from("/") },
            3 => Op::Chdir { path: Bytes::from("..") },
            4 => Op::Getcwd,
            5 | 6 => match world.slot(|kind, _| kind == Kind::Dir || !aimed, dice) {
                Some(slot) => Op::Fchdir { slot },
                None if dice.percent(80) => open_directory(world, dice),
                None => Op::Fchdir { slot: any_slot(dice) },
            },
            _ => {
                let path = if aimed { world.directory(dice) } else { world.any(dice) };
                Op::Chdir { path: world.dressed(path, dice) }
            }
        },
        What::Transfer => transfer(world, aimed, dice),
        What::Fallocate => {
            let open = if aimed { world.slot(|kind, flags| kind == Kind::File && flags.writes(), dice) } else { None };
            match open {
                Some(slot) => fallocate(slot, dice),
                None if dice.percent(80) => open_to_write(world, dice),
                None => fallocate(slot(world, true, |kind| kind != Kind::Dir, dice), dice),
            }
        }
        What::Setfl => {
            let open = if aimed { world.slot(|kind, flags| kind == Kind::File && flags.writes(), dice) } else { None };
            match open {
                Some(slot) => Op::Setfl { slot, flags: status(world, dice) },
                None if dice.percent(75) => open_to_write(world, dice),
                None => Op::Setfl { slot: slot(world, dice.percent(70), |_| true, dice), flags: status(world, dice) },
            }
        }
        What::Flags => match held(world, aimed, |kind| !aimed || matches!(kind, Kind::File | Kind::Dir), dice) {
            Some(slot) if dice.percent(25) => Op::Getflags { slot },
            Some(slot) => Op::Setflags { slot, flags: protection(dice) },
            None => open_any(world, dice),
        },
        What::Umask => Op::Umask { mode: *dice.one(&[0, 0o22, 0o77, 0o777, 0o27]) },
    }
}

/// What an attribute call is about; nothing if it is to be a slot and none fits.
fn on<A: Aim>(world: &mut World<'_, A>, aimed: bool, fits: impl Fn(Kind) -> bool, dice: &mut Dice<'_>) -> Option<On> {
    match dice.below(10) {
        0..=4 => Some(On::Path(place(world, aimed, |kind| kind != Kind::Symlink && fits(kind), dice))),
        5..=7 => Some(On::Link(place(world, aimed, fits, dice))),
        _ => held(world, aimed, fits, dice).map(On::Slot),
    }
}

/// A slot for a call that O_PATH does not suffice for; nothing if something should be opened first.
fn held<A: Aim>(world: &World<'_, A>, aimed: bool, fits: impl Fn(Kind) -> bool, dice: &mut Dice<'_>) -> Option<Slot> {
    match world.slot(|kind, flags| fits(kind) && !flags.has(libc::O_PATH), dice) {
        Some(slot) if aimed => Some(slot),
        None if dice.percent(80) => None,
        _ => Some(any_slot(dice)),
    }
}

/// What an xattr call is about, and a name: often one that is there.
fn named<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> (Option<On>, Bytes) {
    let slot = if aimed && dice.percent(30) { world.named_slot(dice) } else { None };
    let known = match slot {
        Some((slot, name)) => Some((On::Slot(slot), name)),
        None if aimed && dice.percent(70) => remembered(world, dice),
        None => None,
    };
    match known {
        Some((on, name)) => (Some(on), name),
        None => (on(world, aimed, |kind| matches!(kind, Kind::File | Kind::Dir), dice), xattr_name(dice)),
    }
}

/// Removes an xattr of something open, or prepares for that.
fn remove_from_slot<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> Op {
    let fits = |kind| matches!(kind, Kind::File | Kind::Dir);
    match (world.named_slot(dice), held(world, true, fits, dice)) {
        (Some((slot, name)), _) if aimed => Op::RemoveXattr { on: On::Slot(slot), name },
        (_, Some(slot)) if dice.percent(70) => {
            let name = Bytes::from(*dice.one(&["user.a", "user.b", "@a", "security.c"]));
            Op::SetXattr { on: On::Slot(slot), name, value: Bytes::from("v"), flags: XattrFlags::default() }
        }
        (_, slot) if dice.percent(14) => {
            let slot = slot.unwrap_or_else(|| any_slot(dice));
            Op::RemoveXattr { on: On::Slot(slot), name: xattr_name(dice) }
        }
        _ => open_any(world, dice),
    }
}

/// An xattr that is there: where, and its name.
fn remembered<A: Aim>(world: &World<'_, A>, dice: &mut Dice<'_>) -> Option<(On, Bytes)> {
    let (path, name) = world.named(dice)?;
    let path = if path.is_empty() { Bytes::from(".") } else { path };
    Some((if dice.percent(55) { On::Path(path) } else { On::Link(path) }, name))
}

fn set_xattr<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> Op {
    let value = Bytes::from(*dice.one(&["", "v", "value", "y", "another value"]));
    let there = if dice.percent(12) { remembered(world, dice) } else { None };
    if let Some((on, name)) = there {
        let value = if name.as_slice() == b"security.capability" { capability() } else { value };
        let flags = XattrFlags(*dice.one(&[0, libc::XATTR_CREATE, libc::XATTR_REPLACE]));
        return Op::SetXattr { on, name, value, flags };
    }
    let path = if dice.percent(8) { world.existing(|kind| kind == Kind::File, dice) } else { None };
    match path.and_then(|path| world.set_capability(&path)) {
        // The kernel looks into the values of this one.
        Some(Op::SetXattr { on, name, flags, .. }) if dice.percent(25) => {
            return Op::SetXattr { on, name, value: Bytes::from("no capabilities"), flags };
        }
        Some(op) => return op,
        None => {}
    }
    let Some(on) = on(world, aimed, |kind| matches!(kind, Kind::File | Kind::Dir), dice) else {
        return open_any(world, dice);
    };
    let name = xattr_name(dice);
    let flags = XattrFlags(*dice.one(&[0, 0, 0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE]));
    Op::SetXattr { on, name, value, flags }
}

fn time(dice: &mut Dice<'_>) -> NewTime {
    match dice.below(6) {
        0 | 1 => NewTime::Now,
        2 | 3 => NewTime::Omit,
        4 => NewTime::At(Time { sec: 1_200_000_000, nsec: 123_456_789 }),
        _ => NewTime::At(Time { sec: *dice.one(&[0, -1, 2_000_000_000, 5_000_000_000]), nsec: 1 }),
    }
}

/// The name of an xattr: few names, so that they meet; now and then one that must be refused.
pub(super) fn xattr_name(dice: &mut Dice<'_>) -> Bytes {
    match dice.below(40) {
        0..=15 => Bytes::from(*dice.one(&["user.a", "user.a", "user.b", "user.c"])),
        16..=20 => Bytes::from(*dice.one(&["trusted.a", "trusted.b", "security.c"])),
        21..=31 => Bytes::from(*dice.one(&["@a", "@origin", "@opaque", "@impure", "@overlay.a", "@whiteout"])),
        32 | 33 => Bytes::from(*dice.one(&["trusted.overlayx", "user.overlay", "trusted.overlay", "user.overlayfs.a"])),
        34 => Bytes::from(*dice.one(&["", "user.", "trusted.", "@", "nonsense", "system.x"])),
        35 => Bytes::from([b"user.", &[b'n'; 251][..]].concat()),
        36 => Bytes::from([b"user.", &[b'n'; 250][..]].concat()),
        37 => Bytes::from([b"@", &[b'p'; 235][..]].concat()),
        38 => Bytes::from(vec![b'z'; 300]),
        _ => Bytes::from("user.a"),
    }
}

/// A path of something that fits when `aimed`, else any path.
fn place<A: Aim>(world: &mut World<'_, A>, aimed: bool, fits: impl Fn(Kind) -> bool, dice: &mut Dice<'_>) -> Bytes {
    let path = if aimed { world.existing(fits, dice) } else { None };
    let path = path.unwrap_or_else(|| world.any(dice));
    world.dressed(path, dice)
}

/// A path for something new when `aimed`, else any path.
fn free<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> Bytes {
    let path = if aimed { world.absent(dice) } else { world.any(dice) };
    world.dressed(path, dice)
}

/// What a new symlink says: mostly something that exists.
fn said<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Bytes {
    match dice.below(20) {
        0 => Bytes::default(),
        1..=7 => target(world.pool, dice),
        _ => {
            let path = world.existing(|_| true, dice).unwrap_or_else(|| Bytes::from("nowhere"));
            super::layers::absolute(&path)
        }
    }
}

fn any_slot(dice: &mut Dice<'_>) -> Slot {
    let highest = if dice.percent(92) { 3 } else { 9 };
    u8::try_from(dice.between(0, highest)).unwrap_or(0)
}

fn slot<A: Aim>(world: &World<'_, A>, aimed: bool, fits: impl Fn(Kind) -> bool, dice: &mut Dice<'_>) -> Slot {
    let open = if aimed { world.slot(|kind, _| fits(kind), dice) } else { None };
    open.unwrap_or_else(|| any_slot(dice))
}

/// What a `write` writes.
pub(super) fn data(dice: &mut Dice<'_>) -> Bytes {
    match dice.below(20) {
        0 => Bytes::default(),
        1 => Bytes::from(vec![b'W'; 5000]),
        2 => Bytes::from(vec![b'w'; dice.between(17, 300)]),
        3 => Bytes::from(vec![0, 0xff, b'\n']),
        n => Bytes::from(["new", "w", "written", "more"][n % 4]),
    }
}

fn special(fifos: bool, privilege: Privilege, dice: &mut Dice<'_>) -> Special {
    let fifo = if fifos { Special::Fifo } else { Special::Socket };
    // Rootless callers may try, and are refused.
    let devices = fifos && (privilege == Privilege::Root || dice.percent(20));
    match dice.below(10) {
        0..=2 => fifo,
        3 => Special::Socket,
        4 | 5 => Special::Regular,
        6 => Special::Char(Device::WHITEOUT),
        _ if !devices => *dice.one(&[fifo, Special::Regular]),
        7 => Special::Char(*dice.one(&[Device::NULL, Device::ZERO, Device::FULL])),
        8 => Special::Block(Device::WHITEOUT),
        _ => Special::Char(Device::NULL),
    }
}

fn open<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> Op {
    if aimed && dice.percent(25) {
        return open_to_write(world, dice);
    }
    let (flags, path) = match dice.below(13) {
        0 | 1 => (libc::O_RDONLY, place(world, aimed, |kind| kind == Kind::File, dice)),
        2 => (libc::O_RDONLY | libc::O_DIRECTORY, place(world, aimed, |kind| kind == Kind::Dir, dice)),
        3 => (libc::O_RDONLY | libc::O_NOFOLLOW, place(world, aimed, |_| true, dice)),
        4..=6 => {
            let how = *dice.one(&[libc::O_EXCL, 0, libc::O_TRUNC, libc::O_APPEND]);
            (libc::O_CREAT | libc::O_RDWR | how, free(world, aimed, dice))
        }
        7 => (libc::O_CREAT | libc::O_WRONLY, place(world, aimed, |_| true, dice)),
        8 => (libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, free(world, aimed, dice)),
        9 => (libc::O_RDONLY | libc::O_TRUNC, place(world, aimed, |kind| kind == Kind::File, dice)),
        10 => (libc::O_WRONLY | libc::O_NOFOLLOW, place(world, aimed, |kind| kind == Kind::File, dice)),
        11 => {
            let access = *dice.one(&[libc::O_RDWR, libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY]);
            let how = *dice.one(&[0, 0, libc::O_EXCL, libc::O_APPEND, libc::O_TRUNC, libc::O_NOFOLLOW, libc::O_CREAT]);
            (libc::O_TMPFILE | access | how, place(world, aimed, |kind| kind == Kind::Dir, dice))
        }
        _ => {
            let how = *dice.one(&[0, libc::O_TRUNC, libc::O_DIRECTORY, libc::O_CREAT | libc::O_DIRECTORY]);
            (libc::O_RDWR | how, world.any(dice))
        }
    };
    let flags = world.safe(flags, dice);
    let mode = if flags.creates() { *dice.one(&[0o644, 0o644, 0o600, 0o4755, 0o2775, 0]) } else { 0 };
    Op::Open { slot: any_slot(dice), path, flags, mode }
}

fn open_to_write<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Op {
    let flags = *dice.one(&[libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR]);
    let how = *dice.one(&[0, 0, libc::O_APPEND, libc::O_TRUNC]);
    let path = place(world, true, |kind| kind == Kind::File, dice);
    Op::Open { slot: any_slot(dice), path, flags: world.safe(flags | how, dice), mode: 0 }
}

/// Opens what attributes are changed of.
fn open_any<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Op {
    match dice.below(4) {
        0 => open_directory(world, dice),
        1 => open_to_write(world, dice),
        _ => {
            let path = place(world, true, |kind| matches!(kind, Kind::File | Kind::Dir), dice);
            Op::Open { slot: any_slot(dice), path, flags: world.safe(libc::O_RDONLY, dice), mode: 0 }
        }
    }
}

fn open_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Op {
    let path = world.directory(dice);
    let path = if path.is_empty() { Bytes::from(".") } else { path };
    let flags = world.safe(libc::O_RDONLY | libc::O_DIRECTORY, dice);
    Op::Open { slot: any_slot(dice), path, flags, mode: 0 }
}

/// Copies between two descriptors; opens one of them where that cannot be.
fn transfer<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> Op {
    let to = world.slot(|kind, flags| kind == Kind::File && flags.writes() && !flags.has(libc::O_APPEND), dice);
    let from = world.slot(|kind, flags| kind == Kind::File && flags.reads(), dice);
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) if aimed => (from, to),
        _ if dice.percent(9) => (slot(world, true, |kind| kind != Kind::Char, dice), any_slot(dice)),
        (_, None) => return open_to_write(world, dice),
        (_, Some(to)) => {
            let path = place(world, true, |kind| kind == Kind::File, dice);
            return Op::Open { slot: (to + 1) % 4, path, flags: world.safe(libc::O_RDONLY, dice), mode: 0 };
        }
    };
    let len = *dice.one(&[0, 1, 5, 100, 4096, 5000, 20000]);
    let at = |dice: &mut Dice<'_>| match dice.below(24) {
        0 => Some(-1),
        1 => Some(5000),
        _ => *dice.one(&[None, None, None, Some(0), Some(0), Some(2), Some(4096)]),
    };
    if dice.percent(60) {
        Op::CopyFileRange { from, from_at: at(dice), to, to_at: at(dice), len }
    } else {
        Op::Sendfile { to, from, from_at: at(dice), len }
    }
}

/// What protects an inode from now on; often nothing, so that cases go on.
pub(super) fn protection(dice: &mut Dice<'_>) -> InodeFlags {
    let (immutable, append) = (InodeFlags::IMMUTABLE, InodeFlags::APPEND);
    InodeFlags(*dice.one(&[0, 0, 0, immutable, append, immutable | append]))
}

/// Flags for an open file. What may wait is told not to, as when it is opened.
pub(super) fn status<A: Aim>(world: &World<'_, A>, dice: &mut Dice<'_>) -> StatusFlags {
    let flags = *dice.one(&[0, 0, libc::O_APPEND, libc::O_APPEND, libc::O_NOATIME, libc::O_APPEND | libc::O_NOATIME]);
    StatusFlags(world.safe(flags, dice).0)
}

/// Gives or takes storage; the operations that only some filesystems have are rare.
pub(super) fn fallocate(slot: Slot, dice: &mut Dice<'_>) -> Op {
    let (keep, punch) = (libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_PUNCH_HOLE);
    let mode = dice.weighted(&[
        (10, 0),
        (8, keep),
        (12, punch | keep),
        (1, punch),
        (3, libc::FALLOC_FL_ZERO_RANGE),
        (1, libc::FALLOC_FL_ZERO_RANGE | keep),
        (2, libc::FALLOC_FL_COLLAPSE_RANGE),
        (2, libc::FALLOC_FL_INSERT_RANGE),
        (1, libc::FALLOC_FL_COLLAPSE_RANGE | keep),
        (1, libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE),
    ]);
    let offset = *dice.one(&[0, 0, 0, 1, 4096, 4096, 5000, 8192, -1]);
    let len = *dice.one(&[1, 3, 4096, 4096, 4096, 5000, 12288, 20000, 0]);
    Op::Fallocate { slot, offset, len, mode: FallocateMode(mode) }
}

fn rename<A: Aim>(world: &mut World<'_, A>, aimed: bool, dice: &mut Dice<'_>) -> Op {
    let flags = dice.weighted(&[
        (56, 0),
        (16, libc::RENAME_NOREPLACE),
        (20, libc::RENAME_EXCHANGE),
        (4, libc::RENAME_WHITEOUT),
        (2, libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE),
        (1, libc::RENAME_WHITEOUT | libc::RENAME_EXCHANGE),
        (1, libc::RENAME_WHITEOUT | libc::RENAME_NOREPLACE),
    ]);
    let made = if dice.percent(30) { world.made(dice) } else { None };
    let old = match made {
        Some(dir) if aimed => dir,
        _ => {
            let dirs = dice.percent(20);
            place(world, aimed, |kind| dirs || kind != Kind::Dir, dice)
        }
    };
    let is_dir = world.kind(&old) == Some(Kind::Dir);
    let over = flags == libc::RENAME_EXCHANGE || (flags == 0 && dice.percent(40));
    let new = match (aimed, over, is_dir) {
        (false, ..) => world.any(dice),
        (true, false, _) => world.absent(dice),
        (true, true, true) if flags == 0 => world.empty_directory(dice).unwrap_or_else(|| Bytes::from("new")),
        (true, true, _) => {
            let any = flags != 0 && dice.percent(30);
            world.existing(|kind| any || kind != Kind::Dir, dice).unwrap_or_else(|| Bytes::from("new"))
        }
    };
    Op::Rename { old, new: world.dressed(new, dice), flags: RenameFlags(flags) }
}
