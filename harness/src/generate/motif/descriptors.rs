//! Descriptors: what stays open while names and layers change below it.

use super::{EMPTYING, create, file, mv};
use crate::bytes::Bytes;
use crate::generate::aim::Aim;
use crate::generate::dice::Dice;
use crate::generate::steps::{PARTS, data, fallocate, protection, status, xattr_name};
use crate::generate::world::World;
use crate::step::{AtFlags, FallocateMode, NewTime, On, Op, RenameFlags, Special, StatusFlags, Whence, XattrFlags};
use crate::trace::Kind;

/// Uses a file after its name is gone.
pub(super) fn outlive_the_name<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let flags = world.safe(*dice.one(&[libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY]), dice);
    let mut ops = vec![Op::Open { slot: 0, path: path.clone(), flags, mode: 0 }, Op::Unlink { path: path.clone() }];
    if dice.percent(40) {
        ops.push(create(world, path, dice));
    }
    ops.extend([Op::Write { slot: 0, data: data(dice) }, Op::Read { slot: 0, len: 100 }, Op::Fstat { slot: 0 }]);
    if dice.percent(50) {
        ops.push(Op::Close { slot: 0 });
    }
    ops
}

/// Holds a file open for reading while another descriptor copies it up.
pub(super) fn read_across_copy_up<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (reads, writes) = (world.safe(libc::O_RDONLY, dice), world.safe(libc::O_RDWR, dice));
    vec![
        Op::Open { slot: 1, path: path.clone(), flags: reads, mode: 0 },
        Op::Open { slot: 2, path, flags: writes, mode: 0 },
        Op::Write { slot: 2, data: data(dice) },
        Op::Read { slot: 1, len: 100 },
        Op::Fstat { slot: 1 },
    ]
}

/// Opens a fifo, or a device, at both ends and passes something through.
pub(super) fn through_a_fifo<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    if !world.pool.fifos {
        return Vec::new();
    }
    let special = |kind| matches!(kind, Kind::Fifo | Kind::Char);
    let found = world.existing(special, dice);
    let path = found.clone().unwrap_or_else(|| world.absent(dice));
    let mut ops = Vec::new();
    if found.is_none() {
        ops.push(Op::Mknod { path: path.clone(), node: Special::Fifo, mode: 0o600 });
    }
    let open = |slot, how, world: &World<'_, A>, dice: &mut Dice<'_>| Op::Open {
        slot,
        path: path.clone(),
        flags: world.safe(how, dice),
        mode: 0,
    };
    let (first, second) = *dice.one(&[(libc::O_RDWR, libc::O_RDONLY), (libc::O_RDONLY, libc::O_WRONLY)]);
    ops.push(open(4, first, world, dice));
    ops.push(open(5, second, world, dice));
    let writer = if second == libc::O_WRONLY { 5 } else { 4 };
    ops.extend([Op::Read { slot: 4, len: 8 }, Op::Write { slot: writer, data: data(dice) }]);
    if dice.percent(30) {
        ops.push(Op::Chmod { path: path.clone(), mode: 0o640 });
    }
    ops.push(match dice.below(8) {
        4 => Op::Getflags { slot: 4 },
        5 => Op::Setflags { slot: 4, flags: protection(dice) },
        0 => Op::Lseek { slot: 4, offset: 1, whence: Whence::Set },
        1 => Op::Pread { slot: 4, len: 1, offset: 0 },
        2 => Op::Fsync { slot: 4 },
        3 => Op::Fallocate { slot: writer, offset: 0, len: 1, mode: FallocateMode::default() },
        _ => Op::Read { slot: 9 - writer, len: 100 },
    });
    ops.push(Op::Close { slot: 4 });
    ops.extend([Op::Write { slot: 5, data: data(dice) }, Op::Read { slot: 5, len: 8 }]);
    ops
}

/// Fills a new directory with what has origins, listing it in between.
pub(super) fn listed_between<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let (Some(one), Some(two)) = (file(world, dice), file(world, dice)) else { return Vec::new() };
    let dir = world.absent(dice);
    let (first, second) = (dir.join(b"a"), dir.join(b"b"));
    let list = Op::List { path: dir.clone() };
    let mut ops = vec![Op::Mkdir { path: dir.clone(), mode: 0o755 }, mv(&one, &first, 0), list.clone()];
    ops.push(if dice.percent(70) { Op::Link { old: two, new: second.clone() } } else { mv(&two, &second, 0) });
    ops.push(list.clone());
    let pure = dir.join(b"c");
    match dice.below(10) {
        0..=3 => ops.extend([Op::Unlink { path: if dice.percent(50) { first } else { second } }, list]),
        // One that has no origin takes the place of one that has, there or from outside.
        4..=7 => {
            let fresh = if dice.percent(75) { pure } else { world.absent(dice) };
            let flags = *dice.one(&[0, 0, libc::RENAME_EXCHANGE]);
            ops.push(Op::Mknod { path: fresh.clone(), node: Special::Regular, mode: 0o644 });
            ops.extend([list.clone(), mv(&fresh, &first, flags), list]);
        }
        _ => {}
    }
    ops
}

/// Lists an open directory, changes it, lists the rest and then again from the start.
pub(super) fn list_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let path = world.directory(dice);
    let inside = path.join(world.pool.name(dice).as_slice());
    let victim = world.below(&path).into_iter().find(|(_, kind)| *kind != Kind::Dir).map(|(path, _)| path);
    let flags = world.safe(libc::O_RDONLY | libc::O_DIRECTORY, dice);
    let path = if path.is_empty() { Bytes::from(".") } else { path };
    let open = Op::Open { slot: 6, path, flags, mode: 0 };
    let getdents = Op::Getdents { slot: 6, size: *dice.one(&[280, 32768]) };
    // A name that was hidden when the directory was read, and is made again.
    if let (Some(path), true) = (&victim, dice.percent(33)) {
        let again = create(world, path.clone(), dice);
        let rewind = Op::Lseek { slot: 6, offset: 0, whence: Whence::Set };
        let whole = Op::Getdents { slot: 6, size: 32768 };
        return vec![Op::Unlink { path: path.clone() }, open, whole.clone(), again, rewind, whole];
    }
    let mut ops = vec![open];
    if dice.percent(60) {
        ops.push(getdents.clone());
    }
    ops.push(match victim {
        Some(path) if dice.percent(50) => Op::Unlink { path },
        _ => create(world, inside, dice),
    });
    ops.extend([getdents.clone(), Op::Lseek { slot: 6, offset: 0, whence: Whence::Set }, getdents]);
    ops
}

/// Reads an open directory in parts, changes it in between, seeks to where it was or starts again.
pub(super) fn list_in_parts<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let path = world.directory(dice);
    let inside: Vec<Bytes> = world.below(&path).into_iter().map(|(path, _)| path).collect();
    let flags = world.safe(libc::O_RDONLY | libc::O_DIRECTORY, dice);
    let fresh = path.join(world.pool.name(dice).as_slice());
    let at = if path.is_empty() { Bytes::from(".") } else { path };
    let slot = 6;
    let part = |dice: &mut Dice<'_>| Op::Getdents64 { slot, size: *dice.one(PARTS) };
    let mut ops = vec![Op::Open { slot, path: at, flags, mode: 0 }];
    if dice.percent(80) {
        ops.push(part(dice));
    }
    for _ in 0..dice.between(1, 4) {
        ops.push(match dice.below(8) {
            0 | 1 if !inside.is_empty() => Op::Unlink { path: dice.one(&inside).clone() },
            2 if !inside.is_empty() => mv(dice.one(&inside), &fresh, 0),
            3 => create(world, fresh.clone(), dice),
            4 => Op::Lseek {
                slot,
                offset: *dice.one(&[0, 0, 1, 2, 3, 100, -1]),
                whence: *dice.one(&[Whence::Set, Whence::Set, Whence::Cur, Whence::End]),
            },
            5 => Op::Seekdir { slot, entry: dice.below(6) as u32 },
            _ => part(dice),
        });
        ops.push(part(dice));
    }
    // To the end, most often, so that nothing may be missing.
    if dice.percent(70) {
        ops.extend([Op::Getdents64 { slot, size: 32768 }, Op::Getdents64 { slot, size: 32768 }]);
        ops.push(Op::Lseek { slot, offset: 0, whence: Whence::Cur });
    } else {
        ops.push(Op::Getdents { slot, size: 280 });
    }
    ops
}

/// Changes attributes through a descriptor after the name, or its directory too, is gone.
pub(super) fn change_what_is_gone<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let odd = dice.percent(40);
    let fits = |kind| kind != Kind::Symlink && (kind != Kind::File || !odd);
    let Some(path) = world.existing(fits, dice) else { return Vec::new() };
    let kind = world.kind(&path);
    let flags = world.safe(libc::O_RDONLY, dice);
    let mut ops = vec![Op::Open { slot: 7, path: path.clone(), flags, mode: 0 }];
    ops.push(match kind {
        Some(Kind::Dir) => Op::Rmdir { path: path.clone() },
        _ => Op::Unlink { path: path.clone() },
    });
    let parent = Bytes::from(path.split_last().0);
    match dice.below(4) {
        0 => ops.push(create(world, path, dice)),
        1 => ops.push(Op::Mkdir { path, mode: 0o755 }),
        2 if !parent.is_empty() => ops.push(Op::Rmdir { path: parent }),
        _ => {}
    }
    ops.push(match dice.below(4) {
        0 => Op::Chown { on: On::Slot(7), uid: 0, gid: 0 },
        1 => Op::Utimens { on: On::Slot(7), atime: NewTime::Now, mtime: NewTime::Omit },
        2 => Op::Getdents { slot: 7, size: 280 },
        _ => Op::Fchmod { slot: 7, mode: 0o640 },
    });
    ops.push(Op::Fstat { slot: 7 });
    ops
}

/// Changes a file through a descriptor after its whole directory is gone.
pub(super) fn change_where_nothing_is<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dir = world.directory(dice);
    let children = world.below(&dir);
    let held = children.iter().rev().find(|(_, kind)| *kind != Kind::Symlink).map(|(path, _)| path.clone());
    let (Some(held), false) = (held, dir.is_empty() || children.len() > EMPTYING) else { return Vec::new() };
    let mut ops = vec![Op::Open { slot: 8, path: held, flags: world.safe(libc::O_RDONLY, dice), mode: 0 }];
    for (path, kind) in children.into_iter().rev() {
        ops.push(if kind == Kind::Dir { Op::Rmdir { path } } else { Op::Unlink { path } });
    }
    ops.extend([Op::Rmdir { path: dir }, Op::Fchmod { slot: 8, mode: 0o600 }, Op::Fstat { slot: 8 }]);
    ops
}

/// Reads and writes through two descriptors of one open file, in several buffers.
pub(super) fn share_a_position<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let flags = world.safe(libc::O_RDWR, dice);
    vec![
        Op::Open { slot: 4, path, flags, mode: 0 },
        Op::Dup { slot: 4, to: 5 },
        Op::Writev { slot: 4, parts: vec![Bytes::from("one"), data(dice)] },
        Op::Writev { slot: 5, parts: vec![Bytes::from("two"), Bytes::from("three")] },
        Op::Pread { slot: 4, len: 100, offset: 0 },
        Op::Close { slot: 4 },
        Op::Lseek { slot: 5, offset: 1, whence: Whence::Set },
        Op::Readv { slot: 5, lens: vec![2, 0, 100] },
    ]
}

/// Links a file from its descriptor, or through a symlink, with or without its first name.
pub(super) fn link_what_is_open<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (new, other) = (world.absent(dice), world.absent(dice));
    if dice.percent(30) {
        let flags = AtFlags(*dice.one(&[libc::AT_SYMLINK_FOLLOW, libc::AT_SYMLINK_FOLLOW, 0]));
        let chmod = AtFlags(libc::AT_SYMLINK_NOFOLLOW);
        return vec![
            Op::Symlink { target: crate::generate::layers::absolute(&path), path: other.clone() },
            Op::Fchmodat { path: other.clone(), mode: 0o600, flags: chmod },
            Op::Linkat { old: other, new: new.clone(), flags },
            Op::Lstat { path: new },
        ];
    }
    let flags = world.safe(*dice.one(&[libc::O_RDONLY, libc::O_RDWR]), dice);
    let mut ops = vec![Op::Open { slot: 4, path: path.clone(), flags, mode: 0 }];
    if dice.percent(50) {
        ops.push(Op::Link { old: path.clone(), new: other.clone() });
        if dice.percent(50) {
            ops.push(Op::Unlink { path: other });
        }
    }
    if dice.percent(60) {
        ops.push(if dice.percent(70) { Op::Unlink { path } } else { move_over(path, world, dice) });
    }
    ops.extend([Op::Flink { slot: 4, new: new.clone() }, Op::Lstat { path: new }]);
    ops
}

/// Makes a file without a name, fills it and gives it one, most often; then takes that away and tries once more.
pub(super) fn name_what_has_none<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dir = world.directory(dice);
    let slot = 4;
    let how = *dice.one(&[0, 0, 0, libc::O_EXCL, libc::O_APPEND]);
    let access = *dice.one(&[libc::O_RDWR, libc::O_RDWR, libc::O_WRONLY]);
    let path = if dir.is_empty() { Bytes::from(".") } else { dir.clone() };
    let mode = *dice.one(&[0o644, 0o600, 0o6755, 0o2775]);
    let mut ops = Vec::new();
    if dice.percent(25) {
        ops.push(Op::Chmod { path: path.clone(), mode: *dice.one(&[0o2777, 0o3777]) });
    }
    let flags = world.safe(libc::O_TMPFILE | access | how, dice);
    ops.push(Op::Open { slot, path: path.clone(), flags, mode });
    for _ in 0..dice.between(0, 3) {
        let on = On::Slot(slot);
        ops.push(match dice.below(7) {
            0 | 1 => Op::Write { slot, data: data(dice) },
            2 => Op::Fchmod { slot, mode: *dice.one(&[0o640, 0o4755]) },
            // Short, since not every filesystem has room for a long one.
            3 => Op::SetXattr { on, name: xattr_name(dice), value: Bytes::from("v"), flags: XattrFlags(0) },
            4 => Op::Chown { on, uid: 0, gid: 0 },
            5 => Op::List { path: path.clone() },
            _ => Op::Fstat { slot },
        });
    }
    if dice.percent(15) && !dir.is_empty() {
        ops.push(Op::Rmdir { path: dir.clone() });
    }
    // Beside it, or anywhere, a name that is taken included.
    let new = match dice.below(8) {
        0 => world.existing(|_| true, dice).unwrap_or_else(|| world.absent(dice)),
        1..=3 => dir.join(world.pool.name(dice).as_slice()),
        _ => world.absent(dice),
    };
    ops.extend([Op::Flink { slot, new: new.clone() }, Op::Lstat { path: new.clone() }]);
    match dice.below(8) {
        0..=2 => {
            let other = world.absent(dice);
            ops.extend([Op::Unlink { path: new }, Op::Flink { slot, new: other.clone() }, Op::Lstat { path: other }]);
        }
        3 => ops.extend([Op::Flink { slot, new: world.absent(dice) }, Op::Fstat { slot }]),
        4 => ops.push(Op::Remount),
        5 => ops.extend([Op::Write { slot, data: data(dice) }, Op::Fstat { slot }]),
        _ => {}
    }
    ops
}

/// Moves another file over a path.
fn move_over<A: Aim>(path: Bytes, world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Op {
    let from = file(world, dice).unwrap_or_else(|| path.clone());
    mv(&from, &path, 0)
}

/// Works in a directory while it is moved or removed, and leaves it.
pub(super) fn work_in_a_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let made = if dice.percent(50) { world.made(dice) } else { None };
    let dir = made.or_else(|| world.empty_directory(dice)).unwrap_or_else(|| world.directory(dice));
    if dir.is_empty() {
        return Vec::new();
    }
    let inside = world.pool.name(dice);
    let mut ops = vec![Op::Chdir { path: dir.clone() }];
    if dice.percent(50) {
        ops.push(match dice.below(3) {
            0 => Op::Mkdir { path: dir.join(inside.as_slice()), mode: 0o755 },
            1 => create(world, dir.join(inside.as_slice()), dice),
            _ => Op::List { path: dir.clone() },
        });
    }
    ops.push(match dice.below(4) {
        0 | 1 => Op::Rmdir { path: dir },
        2 => mv(&dir, &world.absent(dice), 0),
        _ => Op::Chmod { path: dir, mode: 0o700 },
    });
    ops.push(Op::Getcwd);
    // What follows starts with a name that is not rewritten: it is about the place itself.
    let here = |name: &[u8]| Bytes::from([b"./", name].concat());
    ops.push(match dice.below(6) {
        0 => Op::Mkdir { path: here(inside.as_slice()), mode: 0o755 },
        1 => Op::Stat { path: Bytes::from("/..").join(b"") },
        2 => Op::List { path: Bytes::from("./.") },
        3 => Op::Chmod { path: Bytes::from("./."), mode: 0o755 },
        4 => Op::Rename { old: here(inside.as_slice()), new: here(b"moved"), flags: RenameFlags(0) },
        _ => Op::Lstat { path: here(inside.as_slice()) },
    });
    if dice.percent(70) {
        ops.push(Op::Chdir { path: Bytes::from(*dice.one(&["/", "/", ".."])) });
    }
    ops
}

/// Opens a place, then does with its descriptor what one may and what one may not.
pub(super) fn hold_a_place<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dirs = dice.percent(40);
    let Some(path) = world.existing(|kind| !dirs || kind == Kind::Dir, dice) else { return Vec::new() };
    let (slot, new) = (4, world.absent(dice));
    let how = libc::O_PATH | *dice.one(&[libc::O_NOFOLLOW, libc::O_NOFOLLOW, 0, libc::O_RDWR]);
    let flags = world.safe(how, dice);
    let mut ops = vec![Op::Open { slot, path: path.clone(), flags, mode: 0 }];
    for _ in 0..dice.between(1, 3) {
        let on = On::Slot(slot);
        ops.push(match dice.below(16) {
            0 => Op::Read { slot, len: 10 },
            1 => Op::Write { slot, data: data(dice) },
            2 => Op::Fchmod { slot, mode: 0o600 },
            3 => Op::Chown { on, uid: 0, gid: 0 },
            4 => Op::Utimens { on, atime: NewTime::Now, mtime: NewTime::Now },
            5 => Op::SetXattr { on, name: xattr_name(dice), value: data(dice), flags: XattrFlags(0) },
            6 => Op::ListXattr { on, size: 100 },
            7 => Op::Getdents { slot, size: 280 },
            8 => Op::Fsync { slot },
            9 => Op::Ftruncate { slot, len: 1 },
            10 => Op::Lseek { slot, offset: 0, whence: Whence::Set },
            11 => Op::Syncfs { slot },
            12 => Op::Fstatfs { slot },
            13 => Op::Dup { slot, to: 5 },
            14 => Op::Fchdir { slot },
            _ => Op::Flink { slot, new: new.clone() },
        });
    }
    if dice.percent(30) && !dirs {
        ops.push(Op::Unlink { path });
    }
    ops.extend([Op::Fstat { slot }, Op::Chdir { path: Bytes::from("/") }]);
    ops
}

/// Copies from one file to another, or within one, most often to one that has setuid.
pub(super) fn copy_between<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let (Some(source), Some(target)) = (file(world, dice), file(world, dice)) else { return Vec::new() };
    let mut ops = Vec::new();
    if dice.percent(60) {
        ops.push(Op::Chmod { path: target.clone(), mode: *dice.one(&[0o4777, 0o2777, 0o6757, 0o2767]) });
    }
    // What is neither a file nor a device has no data to copy.
    let odd = dice.percent(20);
    let source = match dice.below(8) {
        _ if odd => {
            let fifo = if dice.percent(50) { world.existing(|kind| kind == Kind::Fifo, dice) } else { None };
            fifo.unwrap_or_else(|| Bytes::from("."))
        }
        0 => target.clone(),
        _ => source,
    };
    let (reads, writes) = (
        world.safe(libc::O_RDONLY, dice),
        world.safe(*dice.one(&[libc::O_WRONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_APPEND]), dice),
    );
    ops.push(Op::Open { slot: 4, path: source, flags: reads, mode: 0 });
    ops.push(Op::Open { slot: 5, path: target, flags: writes, mode: 0 });
    let at = |dice: &mut Dice<'_>| *dice.one(&[None, None, Some(0), Some(1), Some(4096)]);
    for _ in 0..dice.between(1, 2) {
        let len = *dice.one(&[1, 3, 100, 4096, 20000]);
        ops.push(match dice.below(5) {
            0..=2 if !odd || dice.percent(30) => {
                Op::CopyFileRange { from: 4, from_at: at(dice), to: 5, to_at: at(dice), len }
            }
            _ => Op::Sendfile { to: 5, from: 4, from_at: at(dice), len },
        });
    }
    ops.extend([Op::Fstat { slot: 5 }, Op::Pread { slot: 5, len: 100, offset: 0 }]);
    ops
}

/// Makes a file longer, in each of the ways there are, and at once copies what is new on.
pub(super) fn copy_what_grew<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(source) = file(world, dice) else { return Vec::new() };
    let path = match file(world, dice) {
        Some(path) if path != source && dice.percent(50) => path,
        _ => world.absent(dice),
    };
    let copy = Bytes::from(path.split_last().0).join(b"copy");
    let reads = world.safe(libc::O_RDONLY, dice);
    let makes = world.safe(libc::O_RDWR | libc::O_CREAT, dice);
    let (slot, to) = (5, 6);
    let mut ops = vec![
        Op::Open { slot: 4, path: source, flags: reads, mode: 0 },
        Op::Open { slot, path: path.clone(), flags: makes, mode: 0o644 },
        Op::Open { slot: to, path: copy, flags: makes, mode: 0o644 },
    ];
    for grown in (1..).take(dice.between(2, 3)) {
        // Longer than all before, most often.
        let end = grown * 3000;
        ops.push(match dice.below(10) {
            0 | 1 => Op::CopyFileRange { from: 4, from_at: Some(0), to: slot, to_at: Some(end), len: 4096 },
            2 | 3 => Op::Fallocate { slot, offset: end, len: 1000, mode: FallocateMode::default() },
            4 => Op::Write { slot, data: data(dice) },
            5 => Op::Pwrite { slot, data: data(dice), offset: end },
            6 if dice.percent(50) => Op::Truncate { path: path.clone(), len: end },
            6 => Op::Ftruncate { slot, len: end },
            _ => Op::Sendfile { to: slot, from: 4, from_at: Some(0), len: 4096 },
        });
        ops.push(Op::CopyFileRange { from: slot, from_at: Some(0), to, to_at: Some(0), len: 20000 });
    }
    ops
}

/// Gives storage to a file, most often one that has setuid, takes it away and seeks in it.
pub(super) fn give_and_take_storage<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let mut ops = Vec::new();
    if dice.percent(60) {
        ops.push(Op::Chmod { path: path.clone(), mode: *dice.one(&[0o4777, 0o2777, 0o6757]) });
    }
    let flags = world.safe(libc::O_RDWR, dice);
    ops.push(Op::Open { slot: 4, path: path.clone(), flags, mode: 0 });
    if dice.percent(50) {
        ops.push(Op::Pwrite { slot: 4, data: Bytes::from(vec![b'd'; 9000]), offset: 0 });
    }
    for _ in 0..dice.between(1, 3) {
        ops.push(fallocate(4, dice));
        ops.push(match dice.below(4) {
            0 => Op::Truncate { path: path.clone(), len: *dice.one(&[0, 4096, 5000]) },
            1 => Op::Fstat { slot: 4 },
            _ => {
                let whence = *dice.one(&[Whence::Data, Whence::Hole]);
                Op::Lseek { slot: 4, offset: *dice.one(&[0, 0, 4096]), whence }
            }
        });
    }
    ops.push(Op::Fstat { slot: 4 });
    ops
}

/// Reads from and writes to a device.
pub(super) fn through_a_device<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind == Kind::Char, dice) else { return Vec::new() };
    let flags = world.safe(libc::O_RDWR, dice);
    vec![
        Op::Open { slot: 6, path, flags, mode: 0 },
        Op::Read { slot: 6, len: 4 },
        Op::Write { slot: 6, data: data(dice) },
    ]
}

/// Asks for what only files and directories can do of a fifo.
pub(super) fn ask_a_fifo<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind == Kind::Fifo, dice) else { return Vec::new() };
    let asked = match dice.below(4) {
        0 => Op::Fsync { slot: 6 },
        1 => Op::Fdatasync { slot: 6 },
        2 => Op::Getflags { slot: 6 },
        _ => Op::Setflags { slot: 6, flags: protection(dice) },
    };
    vec![Op::Open { slot: 6, path, flags: world.safe(libc::O_RDONLY, dice), mode: 0 }, asked]
}

/// Has one of the descriptors of a file append, and then not any more, with what else writes in between; the file
/// may be copied up only then, by this descriptor or another.
pub(super) fn append_from_now_on<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (slot, other) = (4, 5);
    let at_first = *dice.one(&[0, libc::O_APPEND]);
    let flags = world.safe(libc::O_RDWR | at_first, dice);
    let mut ops = Vec::new();
    if dice.percent(30) {
        // A reader of the lower file, whose flags change before it is copied up by the other.
        let flags = world.safe(libc::O_RDONLY, dice);
        ops.push(Op::Open { slot: other, path: path.clone(), flags, mode: 0 });
        ops.push(Op::Setfl { slot: other, flags: status(world, dice) });
    }
    ops.push(Op::Open { slot, path: path.clone(), flags, mode: 0 });
    if dice.percent(30) {
        ops.push(Op::Dup { slot, to: other });
    }
    if dice.percent(50) {
        ops.push(Op::Write { slot, data: data(dice) });
    }
    let mut append = libc::O_APPEND & !at_first;
    for _ in 0..dice.between(1, 2) {
        let by = if dice.percent(20) { other } else { slot };
        ops.push(Op::Setfl { slot: by, flags: StatusFlags(world.safe(append, dice).0) });
        ops.push(Op::Lseek { slot, offset: *dice.one(&[0, 0, 1]), whence: Whence::Set });
        ops.push(match dice.below(8) {
            0 => Op::Pwrite { slot, data: data(dice), offset: *dice.one(&[0, 1]) },
            1 => Op::Writev { slot, parts: vec![Bytes::from("a"), data(dice)] },
            2 => Op::CopyFileRange { from: slot, from_at: Some(0), to: slot, to_at: Some(4096), len: 3 },
            _ => Op::Write { slot, data: Bytes::from("now") },
        });
        append ^= libc::O_APPEND;
    }
    ops.extend([Op::Read { slot: other, len: 100 }, Op::Pread { slot, len: 100, offset: 0 }]);
    ops
}
