//! Names: removed and made again, moved, linked, listed.

use super::{EMPTYING, create, file, mv};
use crate::bytes::Bytes;
use crate::generate::aim::Aim;
use crate::generate::dice::Dice;
use crate::generate::world::World;
use crate::step::Op;
use crate::trace::Kind;

/// Removes what is visible in a directory, then the directory, then makes it again.
pub(super) fn empty_and_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dir = world.directory(dice);
    let children = world.below(&dir);
    if dir.is_empty() || children.len() > EMPTYING {
        return Vec::new();
    }
    let mut ops = setgid_above(&dir, dice);
    let lost = children.first().map(|(path, _)| path.clone());
    for (path, kind) in children.into_iter().rev() {
        ops.push(if kind == Kind::Dir { Op::Rmdir { path } } else { Op::Unlink { path } });
    }
    ops.push(Op::Rmdir { path: dir.clone() });
    match dice.below(4) {
        0 => {}
        1 => ops.push(create(world, dir, dice)),
        n => {
            ops.push(Op::Mkdir { path: dir.clone(), mode: 0o755 });
            if n == 3 {
                ops.push(Op::Remount);
            }
            ops.push(Op::List { path: dir });
            ops.extend(lost.map(|path| Op::Lstat { path }));
        }
    }
    ops
}

/// Unlinks a file and creates something under its name.
pub(super) fn file_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind != Kind::Dir, dice) else { return Vec::new() };
    let again = match dice.below(4) {
        0 => Op::Mkdir { path: path.clone(), mode: 0o755 },
        1 => Op::Symlink { target: Bytes::from("a"), path: path.clone() },
        _ => create(world, path.clone(), dice),
    };
    let mut ops = setgid_above(&path, dice);
    ops.extend([Op::Unlink { path: path.clone() }, again]);
    if dice.percent(40) {
        ops.push(Op::Unlink { path });
    }
    ops
}

/// Makes the directory of a path setgid, now and then: what is made there belongs to its group.
fn setgid_above(path: &Bytes, dice: &mut Dice<'_>) -> Vec<Op> {
    if !dice.percent(20) {
        return Vec::new();
    }
    let parent = Bytes::from(path.split_last().0);
    let path = if parent.is_empty() { Bytes::from(".") } else { parent };
    vec![Op::Chmod { path, mode: 0o2755 }]
}

/// Renames to a free name and back, with a look in between.
pub(super) fn there_and_back<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let made = world.made(dice);
    let Some(old) = made.or_else(|| file(world, dice)) else { return Vec::new() };
    let new = world.absent(dice);
    let mut ops = vec![mv(&old, &new, 0)];
    if dice.percent(40) {
        ops.push(Op::Lstat { path: old.clone() });
    }
    ops.push(mv(&new, &old, *dice.one(&[0, 0, libc::RENAME_NOREPLACE])));
    ops
}

/// Makes a hole (removes a file) and moves something onto it.
pub(super) fn onto_a_hole<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(hole) = world.existing(|kind| kind != Kind::Dir, dice) else { return Vec::new() };
    let made = if dice.percent(40) { world.made(dice) } else { None };
    let Some(from) = made.or_else(|| world.existing(|kind| kind != Kind::Dir, dice)) else { return Vec::new() };
    vec![
        Op::Unlink { path: hole.clone() },
        mv(&from, &hole, *dice.one(&[0, libc::RENAME_NOREPLACE])),
        Op::Lstat { path: from },
    ]
}

/// Gives a file a second name, changes it through one, looks through the other.
pub(super) fn through_one_link<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(old) = file(world, dice) else { return Vec::new() };
    let new = world.absent(dice);
    let (one, other) = if dice.percent(50) { (&old, &new) } else { (&new, &old) };
    let mut ops = vec![Op::Link { old: old.clone(), new: new.clone() }];
    ops.push(match dice.below(3) {
        0 => Op::Truncate { path: one.clone(), len: 1 },
        1 => Op::Chmod { path: one.clone(), mode: 0o600 },
        _ => mv(one, other, 0),
    });
    ops.push(Op::Lstat { path: other.clone() });
    if dice.percent(50) {
        ops.push(Op::Unlink { path: one.clone() });
        ops.push(Op::Lstat { path: other.clone() });
    }
    ops
}

/// Moves something into a directory just made, removes it there, removes the directory.
pub(super) fn into_a_new_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(from) = world.existing(|kind| kind != Kind::Dir, dice) else { return Vec::new() };
    let dir = world.absent(dice);
    let inside = dir.join(from.split_last().1);
    vec![
        Op::Mkdir { path: dir.clone(), mode: 0o755 },
        mv(&from, &inside, 0),
        Op::Unlink { path: inside },
        Op::List { path: dir.clone() },
        Op::Rmdir { path: dir },
    ]
}

/// Exchanges a file and a directory that can move.
pub(super) fn swap_types<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(one) = file(world, dice) else { return Vec::new() };
    let mut ops = Vec::new();
    let other = world.made(dice).unwrap_or_else(|| {
        let path = world.absent(dice);
        ops.push(Op::Mkdir { path: path.clone(), mode: 0o700 });
        path
    });
    ops.push(mv(&one, &other, libc::RENAME_EXCHANGE));
    if dice.percent(50) {
        ops.push(mv(&other, &one, libc::RENAME_EXCHANGE));
    }
    ops
}

/// Renames a file onto another name of itself.
pub(super) fn onto_its_own_link<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(old) = file(world, dice) else { return Vec::new() };
    let new = world.absent(dice);
    let flags = *dice.one(&[0, 0, libc::RENAME_EXCHANGE, libc::RENAME_NOREPLACE]);
    vec![Op::Link { old: old.clone(), new: new.clone() }, mv(&old, &new, flags), Op::Lstat { path: new }]
}

/// Moves a new directory onto another one, most often one that is not empty.
pub(super) fn directory_onto_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let old = world.absent(dice);
    let mut new = world.directory(dice);
    if new.is_empty() {
        return Vec::new();
    }
    let mut ops = vec![Op::Mkdir { path: old.clone(), mode: 0o750 }];
    let mut inside = world.below(&new);
    // Where nothing below has its name, and only a redirect leads to what is in it.
    if world.has_option("redirect_dir=on") && dice.percent(70) {
        let moved = Bytes::from(new.split_last().0).join(b"moved");
        ops.push(mv(&new, &moved, 0));
        for (path, _) in &mut inside {
            if let Some(rest) = path.strip_prefix(new.as_slice()) {
                *path = Bytes::from([&moved, rest].concat());
            }
        }
        new = moved;
    }
    if dice.percent(45) {
        ops.extend(inside.into_iter().rev().take(EMPTYING).map(|(path, kind)| match kind {
            Kind::Dir => Op::Rmdir { path },
            _ => Op::Unlink { path },
        }));
    }
    ops.push(mv(&old, &new, 0));
    ops.push(Op::List { path: new });
    ops
}

/// Puts a directory where a file was and removes it again: the name must stay hidden.
pub(super) fn file_to_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let child = path.join(world.pool.name(dice).as_slice());
    let mut ops = vec![Op::Unlink { path: path.clone() }, Op::Mkdir { path: path.clone(), mode: 0o755 }];
    if dice.percent(60) {
        ops.push(create(world, child.clone(), dice));
        ops.push(Op::Unlink { path: child });
    }
    ops.extend([Op::Rmdir { path: path.clone() }, Op::Lstat { path }]);
    ops
}

/// Mounts anew, looks, and changes what has by then become older.
pub(super) fn settle<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|_| true, dice) else { return Vec::new() };
    let dir = Bytes::from(path.split_last().0);
    let dir = if dir.is_empty() { Bytes::from(".") } else { dir };
    vec![
        if dice.percent(60) { Op::Remount } else { Op::Rotate },
        Op::List { path: dir },
        Op::Chmod { path, mode: *dice.one(&[0o755, 0o600]) },
    ]
}
