//! Motifs: short sequences on the same names, in the shapes that overlay bugs have had.
//!
//! A motif is only several steps, each as total as any other: it makes a shape likely and promises
//! nothing about what comes of it.

use super::aim::Aim;
use super::dice::Dice;
use super::steps::{data, fallocate, xattr_name};
use super::world::World;
use crate::bytes::Bytes;
use crate::step::{Actor, AtFlags, FallocateMode, NewTime, On, Op, RenameFlags, Special, Whence, XattrFlags};
use crate::trace::Kind;

/// Longest sequence of removals that empties a directory.
const EMPTYING: usize = 8;

/// Plays one motif.
pub(super) fn play<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    let redirects = world.has_option("redirect_dir=on");
    let metacopy = world.has_option("metacopy=on");
    if dice.percent(if redirects || metacopy { 40 } else { 8 }) {
        let ops = match dice.below(10) {
            0..=4 if redirects || metacopy && dice.percent(40) => move_with_lowers(world, dice),
            5..=7 if redirects || metacopy && dice.percent(40) => move_ones_own(world, dice),
            0..=7 if metacopy => data_later(world, dice),
            8 => through_a_device(world, dice),
            n if n % 2 == 0 => fail_on_an_alias(world, dice),
            _ => sync_what_has_no_data(world, dice),
        };
        return ops.into_iter().for_each(|op| world.push(op, dice));
    }
    let ops = match dice.below(35) {
        0..=2 => empty_and_again(world, dice),
        3 => file_again(world, dice),
        4 => there_and_back(world, dice),
        5 => onto_a_hole(world, dice),
        6 => through_one_link(world, dice),
        7 => outlive_the_name(world, dice),
        8 => into_a_new_directory(world, dice),
        9 => swap_types(world, dice),
        10 => read_across_copy_up(world, dice),
        11 => file_to_directory(world, dice),
        12 => through_a_fifo(world, dice),
        13 => onto_its_own_link(world, dice),
        14 => write_to_setuid(world, dice),
        15 => directory_onto_directory(world, dice),
        16 | 27 => listed_between(world, dice),
        17 => list_again(world, dice),
        18 => name_and_value(world, dice),
        19 => change_what_is_gone(world, dice),
        20 => change_again(world, dice),
        21 => change_where_nothing_is(world, dice),
        22 => open_in_sticky(world, dice),
        23..=26 => return as_somebody(world, dice),
        28 => share_a_position(world, dice),
        29 => link_what_is_open(world, dice),
        30 => work_in_a_directory(world, dice),
        31 => hold_a_place(world, dice),
        32 => copy_between(world, dice),
        33 => give_and_take_storage(world, dice),
        _ => settle(world, dice),
    };
    for op in ops {
        world.push(op, dice);
    }
}

/// Begins a case with a shape that drawing seldom comes to.
pub(super) fn open<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    let redirects = world.has_option("redirect_dir=on") || world.has_option("metacopy=on");
    let ops = match dice.below(9) {
        0..=3 if redirects => move_ones_own(world, dice),
        4 if redirects => move_with_lowers(world, dice),
        0..=4 if world.has_option("index=on") => count_the_names(world, dice),
        5 => through_a_device(world, dice),
        6 => fail_on_an_alias(world, dice),
        7 => remove_a_lower_value(world, dice),
        _ => return as_somebody(world, dice),
    };
    ops.into_iter().for_each(|op| world.push(op, dice));
}

fn file<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Option<Bytes> {
    world.existing(|kind| kind == Kind::File, dice)
}

fn create<A: Aim>(world: &World<'_, A>, path: Bytes, dice: &mut Dice<'_>) -> Op {
    let flags = world.safe(libc::O_CREAT | libc::O_WRONLY, dice);
    Op::Open { slot: 3, path, flags, mode: 0o644 }
}

fn mv(old: &Bytes, new: &Bytes, flags: u32) -> Op {
    Op::Rename { old: old.clone(), new: new.clone(), flags: RenameFlags(flags) }
}

/// Removes what is visible in a directory, then the directory, then makes it again.
fn empty_and_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dir = world.directory(dice);
    let children = world.below(&dir);
    if dir.is_empty() || children.len() > EMPTYING {
        return Vec::new();
    }
    let mut ops = vec![];
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
fn file_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind != Kind::Dir, dice) else { return Vec::new() };
    let again = match dice.below(4) {
        0 => Op::Mkdir { path: path.clone(), mode: 0o755 },
        1 => Op::Symlink { target: Bytes::from("a"), path: path.clone() },
        _ => create(world, path.clone(), dice),
    };
    let mut ops = vec![Op::Unlink { path: path.clone() }, again];
    if dice.percent(40) {
        ops.push(Op::Unlink { path });
    }
    ops
}

/// Renames to a free name and back, with a look in between.
fn there_and_back<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
fn onto_a_hole<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
fn through_one_link<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Uses a file after its name is gone.
fn outlive_the_name<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Moves something into a directory just made, removes it there, removes the directory.
fn into_a_new_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
fn swap_types<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Holds a file open for reading while another descriptor copies it up.
fn read_across_copy_up<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
fn through_a_fifo<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
    ops.push(match dice.below(6) {
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

/// Renames a file onto another name of itself.
fn onto_its_own_link<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(old) = file(world, dice) else { return Vec::new() };
    let new = world.absent(dice);
    let flags = *dice.one(&[0, 0, libc::RENAME_EXCHANGE, libc::RENAME_NOREPLACE]);
    vec![Op::Link { old: old.clone(), new: new.clone() }, mv(&old, &new, flags), Op::Lstat { path: new }]
}

/// Moves a new directory onto another one, most often one that is not empty.
fn directory_onto_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let old = world.absent(dice);
    let new = world.directory(dice);
    if new.is_empty() {
        return Vec::new();
    }
    let mut ops = vec![Op::Mkdir { path: old.clone(), mode: 0o750 }];
    if dice.percent(40) {
        ops.extend(world.below(&new).into_iter().rev().take(EMPTYING).map(|(path, kind)| match kind {
            Kind::Dir => Op::Rmdir { path },
            _ => Op::Unlink { path },
        }));
    }
    ops.push(mv(&old, &new, 0));
    ops.push(Op::List { path: new });
    ops
}

/// Fills a new directory with what has origins, listing it in between.
fn listed_between<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let (Some(one), Some(two)) = (file(world, dice), file(world, dice)) else { return Vec::new() };
    let dir = world.absent(dice);
    let (first, second) = (dir.join(b"a"), dir.join(b"b"));
    let list = Op::List { path: dir.clone() };
    let mut ops = vec![Op::Mkdir { path: dir.clone(), mode: 0o755 }, mv(&one, &first, 0), list.clone()];
    ops.push(if dice.percent(70) { Op::Link { old: two, new: second.clone() } } else { mv(&two, &second, 0) });
    ops.push(list.clone());
    if dice.percent(40) {
        ops.extend([Op::Unlink { path: if dice.percent(50) { first } else { second } }, list]);
    }
    ops
}

/// Lists an open directory, changes it, lists the rest and then again from the start.
fn list_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let path = world.directory(dice);
    let inside = path.join(world.pool.name(dice).as_slice());
    let victim = world.below(&path).into_iter().find(|(_, kind)| *kind != Kind::Dir).map(|(path, _)| path);
    let flags = world.safe(libc::O_RDONLY | libc::O_DIRECTORY, dice);
    let path = if path.is_empty() { Bytes::from(".") } else { path };
    let mut ops = vec![Op::Open { slot: 6, path, flags, mode: 0 }];
    let getdents = Op::Getdents { slot: 6, size: *dice.one(&[280, 32768]) };
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

/// Sets, gets, lists and removes an xattr of one file, by whatever names it has.
fn name_and_value<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Changes attributes through a descriptor after the name, or its directory too, is gone.
fn change_what_is_gone<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind != Kind::Symlink, dice) else { return Vec::new() };
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

/// Prepares something as root for what an ordinary user then does with it.
fn as_somebody<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
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
    match dice.below(11) {
        7 => {
            root.push(Op::Chmod { path: file.clone(), mode: *dice.one(&[0, 0o070]) });
            let flags = AtFlags(*dice.one(&[libc::AT_EACCESS, libc::AT_EACCESS, 0]));
            acts.push(Op::Faccessat { path: file, mode: 4, flags });
        }
        0 | 9 => {
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
            root.push(Op::Chmod { path: file.clone(), mode: 0o4777 });
            let flags = world.safe(libc::O_WRONLY, dice);
            acts.push(Op::Open { slot: 3, path: file, flags, mode: 0 });
            acts.push(Op::Write { slot: 3, data: data(dice) });
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
fn open_in_sticky<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Changes a file through a descriptor after its whole directory is gone.
fn change_where_nothing_is<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Makes calls that change nothing, which may copy up all the same.
fn change_again<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Gives a file setuid or setgid, then changes its data.
fn write_to_setuid<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let mut ops = vec![Op::Chmod { path: path.clone(), mode: *dice.one(&[0o4755, 0o2755, 0o2744, 0o6711]) }];
    match dice.below(3) {
        0 => ops.push(Op::Truncate { path, len: *dice.one(&[0, 1, 4]) }),
        1 => ops.push(Op::Open { slot: 3, path, flags: world.safe(libc::O_RDONLY | libc::O_TRUNC, dice), mode: 0 }),
        _ => {
            ops.push(Op::Open { slot: 3, path, flags: world.safe(libc::O_WRONLY, dice), mode: 0 });
            ops.push(Op::Write { slot: 3, data: data(dice) });
        }
    }
    ops
}

/// Puts a directory where a file was and removes it again: the name must stay hidden.
fn file_to_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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

/// Reads and writes through two descriptors of one open file, in several buffers.
fn share_a_position<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
fn link_what_is_open<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (new, other) = (world.absent(dice), world.absent(dice));
    if dice.percent(30) {
        let flags = AtFlags(*dice.one(&[libc::AT_SYMLINK_FOLLOW, libc::AT_SYMLINK_FOLLOW, 0]));
        let chmod = AtFlags(libc::AT_SYMLINK_NOFOLLOW);
        return vec![
            Op::Symlink { target: super::layers::absolute(&path), path: other.clone() },
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

/// Moves another file over a path.
fn move_over<A: Aim>(path: Bytes, world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Op {
    let from = file(world, dice).unwrap_or_else(|| path.clone());
    mv(&from, &path, 0)
}

/// Works in a directory while it is moved or removed, and leaves it.
fn work_in_a_directory<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
    let here = |name: &[u8]| Bytes([b"./", name].concat());
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
fn hold_a_place<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
fn copy_between<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let (Some(source), Some(target)) = (file(world, dice), file(world, dice)) else { return Vec::new() };
    let mut ops = Vec::new();
    if dice.percent(60) {
        ops.push(Op::Chmod { path: target.clone(), mode: *dice.one(&[0o4777, 0o2777, 0o6757, 0o2767]) });
    }
    let source = match dice.below(8) {
        0 => target.clone(),
        1 => Bytes::from("."),
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
            0..=2 => Op::CopyFileRange { from: 4, from_at: at(dice), to: 5, to_at: at(dice), len },
            _ => Op::Sendfile { to: 5, from: 4, from_at: at(dice), len },
        });
    }
    ops.extend([Op::Fstat { slot: 5 }, Op::Pread { slot: 5, len: 100, offset: 0 }]);
    ops
}

/// Gives storage to a file, most often one that has setuid, takes it away and seeks in it.
fn give_and_take_storage<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let mut ops = Vec::new();
    if dice.percent(60) {
        ops.push(Op::Chmod { path: path.clone(), mode: *dice.one(&[0o4777, 0o2777, 0o6757]) });
    }
    let flags = world.safe(libc::O_RDWR, dice);
    ops.push(Op::Open { slot: 4, path: path.clone(), flags, mode: 0 });
    if dice.percent(50) {
        ops.push(Op::Pwrite { slot: 4, data: Bytes(vec![b'd'; 9000]), offset: 0 });
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
    ops
}

/// Mounts anew, looks, and changes what has by then become older.
fn settle<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|_| true, dice) else { return Vec::new() };
    let dir = Bytes::from(path.split_last().0);
    let dir = if dir.is_empty() { Bytes::from(".") } else { dir };
    vec![
        if dice.percent(60) { Op::Remount } else { Op::Rotate },
        Op::List { path: dir },
        Op::Chmod { path, mode: *dice.one(&[0o755, 0o600]) },
    ]
}

/// Moves a directory that may merge, then it or something in it once more, perhaps out of a directory that
/// is in a lower layer by then.
fn move_with_lowers<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let dir = world.directory(dice);
    if dir.is_empty() {
        return Vec::new();
    }
    let below = world.below(&dir);
    let inner = below.iter().find(|(_, kind)| *kind == Kind::Dir).or(below.first()).map(|(path, _)| path.clone());
    let (first, second) = (world.absent(dice), world.absent(dice));
    let mut ops = Vec::new();
    let to = if dice.percent(50) {
        ops.push(Op::Mkdir { path: first.clone(), mode: 0o755 });
        first.join(dir.split_last().1)
    } else {
        first
    };
    ops.push(mv(&dir, &to, 0));
    match dice.below(4) {
        0 => ops.push(Op::Remount),
        1 => ops.push(Op::Rotate),
        _ => {}
    }
    let inner = inner.and_then(|path| path.strip_prefix(dir.as_slice()).map(|rest| Bytes([&to, rest].concat())));
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
fn move_ones_own<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let (outer, new, end) = (world.absent(dice), world.absent(dice), world.absent(dice));
    let mkdir = |path: &Bytes| Op::Mkdir { path: path.clone(), mode: 0o755 };
    let long = |name: &str| Bytes::from(name.repeat(140).as_str());
    let inner = outer.join(b"in");
    let mut ops = vec![mkdir(&outer), mkdir(&inner), Op::Rotate];
    let list = |path: &Bytes| Op::List { path: path.clone() };
    match dice.below(5) {
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
        // A path that is too long.
        3 => {
            let (first, second) = (long("x"), long("x").join(long("y").as_slice()));
            ops = vec![mkdir(&first), mkdir(&second), Op::Rotate, mv(&second, &end, 0)];
        }
        _ => ops.extend([mkdir(&new), mv(&outer, &new.join(b"a"), 0), mv(&new.join(b"a"), &end, 0), list(&end)]),
    }
    ops
}

/// Makes a file of three names a lower one, and takes a name or adds one.
fn count_the_names<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = file(world, dice) else { return Vec::new() };
    let (one, two) = (world.absent(dice), world.absent(dice));
    let link = |new: &Bytes| Op::Link { old: path.clone(), new: new.clone() };
    let mut ops = vec![link(&one), link(&two), Op::Rotate];
    ops.push(match dice.below(4) {
        0 => Op::Chmod { path: path.clone(), mode: 0o600 },
        1 => link(&Bytes::from("third")),
        _ => Op::Unlink { path: path.clone() },
    });
    ops.push(if dice.percent(60) { Op::Remount } else { Op::DropCaches });
    ops.push(Op::Lstat { path: one.clone() });
    if dice.percent(50) {
        ops.extend([Op::Unlink { path: one }, Op::Unlink { path: two }]);
    }
    ops
}

/// Gives a file an xattr, lets it become a lower one, and takes the xattr away.
fn remove_a_lower_value<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| matches!(kind, Kind::File | Kind::Dir), dice) else { return Vec::new() };
    let (on, name) = (On::Path(path), Bytes::from("user.a"));
    let set =
        Op::SetXattr { on: on.clone(), name: name.clone(), value: Bytes::from("v"), flags: XattrFlags::default() };
    vec![set, Op::Rotate, Op::RemoveXattr { on, name }]
}

/// Reads from and writes to a device.
fn through_a_device<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind == Kind::Char, dice) else { return Vec::new() };
    let flags = world.safe(libc::O_RDWR, dice);
    vec![
        Op::Open { slot: 6, path, flags, mode: 0 },
        Op::Read { slot: 6, len: 4 },
        Op::Write { slot: 6, data: data(dice) },
    ]
}

/// Changes the attributes of a file, names it anew, and only then comes to its data.
fn data_later<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(mut path) = file(world, dice) else { return Vec::new() };
    let mut ops = vec![Op::Chmod { path: path.clone(), mode: *dice.one(&[0o644, 0o600, 0o4755]) }];
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

/// Asks for what only files and directories can do of a fifo.
fn sync_what_has_no_data<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
    let Some(path) = world.existing(|kind| kind == Kind::Fifo, dice) else { return Vec::new() };
    let sync = if dice.percent(50) { Op::Fsync { slot: 6 } } else { Op::Fdatasync { slot: 6 } };
    vec![Op::Open { slot: 6, path, flags: world.safe(libc::O_RDONLY, dice), mode: 0 }, sync]
}

/// Makes one of two names setuid, calls in vain on the other, and changes the data there.
fn fail_on_an_alias<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) -> Vec<Op> {
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
