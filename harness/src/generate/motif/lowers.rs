//! What has lower layers: moved with a redirect, copied up in part, counted by an index.

use super::{file, mv};
use crate::bytes::Bytes;
use crate::generate::aim::Aim;
use crate::generate::dice::Dice;
use crate::generate::steps::data;
use crate::generate::world::World;
use crate::step::{Op, Special};
use crate::trace::Kind;

/// Moves a directory that may merge, then it or something in it once more, perhaps out of a directory that
/// is in a lower layer by then.
pub(super) fn move_with_lowers<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dir = world.directory(dice);
    if dir.is_empty() {
        return Vec::new();
    }
    let below = world.below(&dir);
    let inner = below.iter().find(|(_, kind)| *kind == Kind::Dir).or(below.first()).map(|(path, _)| path.clone());
    let (first, second) = (world.absent(dice), world.absent(dice));
    let mut ops = Vec::new();
    let to = match dice.below(4) {
        0 | 1 => {
            ops.push(Op::Mkdir { path: first.clone(), mode: 0o755 });
            first.join(dir.split_last().1)
        }
        2 => Bytes::from(dir.split_last().0).join(b"beside"),
        _ => first,
    };
    ops.push(mv(&dir, &to, 0));
    match dice.below(4) {
        0 => ops.push(Op::Remount),
        1 => ops.push(Op::Rotate),
        _ => {}
    }
    let inner = inner.and_then(|path| path.strip_prefix(dir.as_slice()).map(|rest| Bytes::from([&to, rest].concat())));
    match inner {
        Some(inner) if dice.percent(60) => ops.push(mv(&inner, &second, 0)),
        _ => ops.push(mv(&to, &second, 0)),
    }
    if dice.percent(60) {
        ops.push(Op::Remount);
    }
    ops.push(Op::List { path: Bytes::from(".") });
    ops
}

/// Makes directories, lets them become lower ones, and moves those about: the redirects of the second move
/// depend on that of the first.
pub(super) fn move_ones_own<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let (outer, new, end) = (world.absent(dice), world.absent(dice), world.absent(dice));
    let mkdir = |path: &Bytes| Op::Mkdir { path: path.clone(), mode: 0o755 };
    let long = |name: &str, len: usize| Bytes::from(name.repeat(len).as_str());
    let inner = outer.join(b"in");
    let mut ops = vec![mkdir(&outer), mkdir(&inner), Op::Rotate];
    let list = |path: &Bytes| Op::List { path: path.clone() };
    match dice.below(6) {
        // Within one parent, twice.
        0 => {
            let dir = Bytes::from(outer.split_last().0);
            let (one, two) = (dir.join(b"one"), dir.join(b"two"));
            ops.extend([mv(&outer, &one, 0), mv(&one, &two, 0), list(&two)]);
        }
        // What is in it, after it.
        1 => ops.extend([mv(&outer, &new, 0), mv(&new.join(b"in"), &end, 0), Op::Remount, list(&end)]),
        // Into a new directory, and out of that again in the next layer.
        2 => {
            let there = new.join(b"there");
            ops.extend([mkdir(&new), mv(&outer, &there, 0), Op::Rotate, mv(&there, &end, 0), Op::Remount, list(&end)]);
        }
        // A path that is too long for a redirect, or just not.
        3 => {
            let whole = *dice.one(&[255, 256, 257, 257, 258, 282]);
            let first = long("x", 127);
            // Two slashes belong to it.
            let second = first.join(long("y", whole - 2 - first.len()).as_slice());
            ops = vec![mkdir(&first), mkdir(&second), Op::Rotate, mv(&second, &end, 0), Op::Remount, list(&end)];
        }
        // Within its parent, which a name alone tells, and then out of that.
        4 => {
            let (beside, there) = (Bytes::from(outer.split_last().0).join(b"beside"), new.join(b"there"));
            ops.extend([mv(&outer, &beside, 0), mkdir(&new), mv(&beside, &there, 0), Op::Remount, list(&there)]);
        }
        _ => ops.extend([mkdir(&new), mv(&outer, &new.join(b"a"), 0), mv(&new.join(b"a"), &end, 0), list(&end)]),
    }
    ops
}

/// Makes a file of three names a lower one, and takes a name or adds one.
pub(super) fn count_the_names<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (one, two) = (world.absent(dice), world.absent(dice));
    let link = |new: &Bytes| Op::Link { old: path.clone(), new: new.clone() };
    let mut ops = vec![link(&one), link(&two), Op::Rotate];
    match dice.below(5) {
        0 => ops.push(Op::Chmod { path: path.clone(), mode: 0o600 }),
        1 => ops.push(link(&Bytes::from("third"))),
        2 => {
            ops.push(Op::Chmod { path: path.clone(), mode: 0o600 });
            take(&path, &mut ops, dice);
        }
        _ => take(&path, &mut ops, dice),
    }
    match dice.below(4) {
        0 => ops.push(Op::DropCaches),
        1 => {}
        _ => ops.push(Op::Remount),
    }
    ops.push(Op::Lstat { path: one.clone() });
    if dice.percent(50) {
        take(&one, &mut ops, dice);
        take(&two, &mut ops, dice);
    }
    ops
}

/// Takes a name from a file: removes it, or gives it to another one.
fn take(path: &Bytes, ops: &mut Vec<Op>, dice: &mut Dice<'_>) {
    if dice.percent(60) {
        return ops.push(Op::Unlink { path: path.clone() });
    }
    let fresh = Bytes::from(path.split_last().0).join(b"fresh");
    ops.push(Op::Mknod { path: fresh.clone(), node: Special::Regular, mode: 0o644 });
    ops.push(mv(&fresh, path, 0));
}

/// Changes the attributes of a file, names it anew, and only then comes to its data.
pub(super) fn data_later<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(mut path) = file(world, dice) else { return Vec::new() };
    let mut ops = Vec::new();
    if dice.percent(20) {
        // One of two names of a lower file.
        ops.extend([Op::Link { old: path.clone(), new: world.absent(dice) }, Op::Rotate]);
    }
    // Writing the data takes capabilities away, and copying them up must not.
    if let (Some(op), true) = (world.set_capability(&path), dice.percent(15)) {
        ops.extend([op, Op::Rotate]);
    }
    ops.push(Op::Chmod { path: path.clone(), mode: *dice.one(&[0o644, 0o600, 0o4755]) });
    let beside = Bytes::from(path.split_last().0).join(world.pool.name(dice).as_slice());
    let other = if dice.percent(40) { beside } else { world.absent(dice) };
    match dice.below(4) {
        0 => ops.push(Op::Link { old: path.clone(), new: other }),
        1 => {
            ops.push(mv(&path, &other, 0));
            path = other;
        }
        2 => ops.push(Op::Rotate),
        _ => {}
    }
    ops.push(match dice.below(5) {
        0 => Op::Truncate { path: path.clone(), len: *dice.one(&[0, 3, 5000]) },
        1 => Op::Open { slot: 2, path: path.clone(), flags: world.safe(libc::O_RDONLY, dice), mode: 0 },
        2 => Op::Open { slot: 2, path: path.clone(), flags: world.safe(libc::O_RDONLY | libc::O_TRUNC, dice), mode: 0 },
        _ => Op::Open { slot: 2, path: path.clone(), flags: world.safe(libc::O_RDWR, dice), mode: 0 },
    });
    ops.push(if dice.percent(50) { Op::Write { slot: 2, data: data(dice) } } else { Op::Read { slot: 2, len: 16 } });
    ops
}

/// Moves one name of a lower file that has several, copied up without its data.
pub(super) fn move_one_of_several_names<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (alias, beside) = (world.absent(dice), Bytes::from(path.split_last().0).join(b"moved"));
    let mut ops = vec![
        Op::Link { old: path.clone(), new: alias.clone() },
        Op::Rotate,
        Op::Chmod { path: path.clone(), mode: 0o600 },
    ];
    if dice.percent(40) {
        ops.push(mv(&path, &beside, 0));
        return ops;
    }
    // Out of its directory, and then the other name, which only the layer below has, after it.
    let dir = Bytes::from(path.split_last().0).join(b"there");
    ops.extend([
        Op::Mkdir { path: dir.clone(), mode: 0o755 },
        mv(&path, &dir.join(b"one"), 0),
        if dice.percent(70) { Op::DropCaches } else { Op::Remount },
        Op::Lstat { path: alias.clone() },
        mv(&alias, &dir.join(b"other"), 0),
    ]);
    ops
}

/// Makes a file of more than one chunk of copy-up, or with holes, a lower one, and copies it up.
pub(super) fn copy_up_what_is_large<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let path = if dice.percent(70) { world.absent(dice) } else { file(world, dice).unwrap_or_default() };
    let flags = world.safe(libc::O_RDWR | libc::O_CREAT, dice);
    let slot = 4;
    let mut ops = vec![Op::Open { slot, path: path.clone(), flags, mode: 0o644 }];
    if dice.percent(50) {
        ops.push(Op::Write { slot, data: data(dice) });
    }
    // At the start of a page and within one, across the end of a chunk and beyond it.
    for _ in 0..dice.between(1, 2) {
        let offset = *dice.one(&[98304, 100_000, 1_048_570, 1_500_001]);
        ops.push(Op::Pwrite { slot, data: Bytes::from("0123456789abcdef"), offset });
    }
    if dice.percent(40) {
        ops.push(Op::Ftruncate { slot, len: *dice.one(&[300_000, 1_500_005, 2_000_000]) });
    }
    ops.extend([Op::Close { slot }, Op::Rotate]);
    let flags = world.safe(libc::O_RDWR, dice);
    ops.push(match dice.below(3) {
        0 => Op::Open { slot, path: path.clone(), flags, mode: 0 },
        1 => Op::Truncate { path: path.clone(), len: *dice.one(&[98304, 1_048_576, 1_600_000]) },
        _ => Op::Chmod { path: path.clone(), mode: 0o600 },
    });
    ops.push(Op::Lstat { path });
    ops
}

/// Lists what merges from several filesystems with `.` and `..`, or copies from what may lie on another one.
pub(super) fn look_across_filesystems<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let slot = 4;
    let stacked = world.stacked.as_deref().and_then(|dirs| dice.any(dirs)).cloned();
    if let Some(dir) = stacked.filter(|_| dice.percent(65)) {
        let flags = world.safe(libc::O_RDONLY | libc::O_DIRECTORY, dice);
        return vec![Op::Open { slot, path: dir, flags, mode: 0 }, Op::Getdents64 { slot, size: 32768 }];
    }
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (reads, writes) = (world.safe(libc::O_RDONLY, dice), world.safe(libc::O_WRONLY | libc::O_CREAT, dice));
    vec![
        Op::Open { slot, path, flags: reads, mode: 0 },
        Op::Open { slot: 5, path: world.absent(dice), flags: writes, mode: 0o644 },
        Op::CopyFileRange { from: slot, from_at: None, to: 5, to_at: None, len: 100 },
    ]
}
