//! Motifs: short sequences on the same names, in the shapes that overlay bugs have had.
//!
//! A motif is only several steps, each as total as any other: it makes a shape likely and promises
//! nothing about what comes of it.

mod acls;
mod attributes;
mod descriptors;
mod lowers;
mod names;

use acls::{follow_a_list, inherit_a_list, refuse_a_list, set_a_list, set_ones_own_list};
use attributes::{
    as_somebody, change_again, change_what_is_protected, fail_on_an_alias, name_and_value, open_in_sticky,
    remove_a_lower_value, write_to_setuid,
};
use descriptors::{
    append_from_now_on, ask_a_fifo, change_what_is_gone, change_where_nothing_is, copy_between, copy_what_grew,
    give_and_take_storage, hold_a_place, link_what_is_open, list_again, list_in_parts, listed_between,
    name_what_has_none, outlive_the_name, read_across_copy_up, share_a_position, through_a_device, through_a_fifo,
    work_in_a_directory,
};
use lowers::{
    copy_up_what_is_large, count_the_names, data_later, look_across_filesystems, move_one_of_several_names,
    move_ones_own, move_with_lowers,
};
use names::{
    directory_onto_directory, empty_and_again, file_again, file_to_directory, into_a_new_directory, onto_a_hole,
    onto_its_own_link, settle, swap_types, there_and_back, through_one_link,
};

use super::aim::Aim;
use super::dice::Dice;
use super::world::World;
use crate::bytes::Bytes;
use crate::step::{Op, RenameFlags};
use crate::trace::Kind;

/// Longest sequence of removals that empties a directory.
const EMPTYING: usize = 8;

/// Plays one motif.
pub(super) fn play<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    let redirects = world.has_option("redirect_dir=on");
    let metacopy = world.has_option("metacopy=on");
    let index = world.has_option("index=on");
    if world.stacked.is_some() && dice.percent(35) {
        let ops = look_across_filesystems(world, dice);
        return ops.into_iter().for_each(|op| world.push(op, dice));
    }
    if dice.percent(if redirects || metacopy { 40 } else { 8 }) {
        let ops = match dice.below(10) {
            0..=4 if redirects || metacopy && dice.percent(40) => move_with_lowers(world, dice),
            7 if redirects && dice.percent(60) => directory_onto_directory(world, dice),
            5..=7 if redirects || metacopy && dice.percent(40) => move_ones_own(world, dice),
            0..=7 if metacopy => data_later(world, dice),
            8..=9 if metacopy && dice.percent(if index { 80 } else { 30 }) => move_one_of_several_names(world, dice),
            8 => through_a_device(world, dice),
            n if n % 2 == 0 => fail_on_an_alias(world, dice),
            _ => ask_a_fifo(world, dice),
        };
        return ops.into_iter().for_each(|op| world.push(op, dice));
    }
    let ops = match dice.below(63) {
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
        19 | 36 => change_what_is_gone(world, dice),
        20 => change_again(world, dice),
        21 => change_where_nothing_is(world, dice),
        22 | 50 => open_in_sticky(world, dice),
        23..=26 | 51 => return as_somebody(world, dice),
        28 => share_a_position(world, dice),
        29 => link_what_is_open(world, dice),
        30 | 37 => work_in_a_directory(world, dice),
        31 => hold_a_place(world, dice),
        32 => copy_between(world, dice),
        33 => give_and_take_storage(world, dice),
        34 | 35 => list_in_parts(world, dice),
        38 | 39 => copy_what_grew(world, dice),
        40 => copy_up_what_is_large(world, dice),
        41 if index => count_the_names(world, dice),
        42 => append_from_now_on(world, dice),
        44 | 45 => inherit_a_list(world, dice),
        46 => set_a_list(world, dice),
        47 | 48 | 52 => return follow_a_list(world, dice),
        49 | 53 | 54 => refuse_a_list(world, dice),
        55 | 56 => return set_ones_own_list(world, dice),
        43 | 57 => name_what_has_none(world, dice),
        58..=62 => change_what_is_protected(world, dice),
        _ => settle(world, dice),
    };
    for op in ops {
        world.push(op, dice);
    }
}

/// Begins a case with a shape that drawing seldom comes to.
pub(super) fn open<A: Aim>(world: &mut World<'_, A>, dice: &mut Dice<'_>) {
    let (redirect_dir, metacopy) = (world.has_option("redirect_dir=on"), world.has_option("metacopy=on"));
    let index = world.has_option("index=on");
    let redirects = redirect_dir || metacopy;
    if world.stacked.is_some() && dice.percent(60) {
        let ops = look_across_filesystems(world, dice);
        return ops.into_iter().for_each(|op| world.push(op, dice));
    }
    let ops = match dice.below(9) {
        0..=2 if metacopy && index => move_one_of_several_names(world, dice),
        3 if redirect_dir => directory_onto_directory(world, dice),
        0..=3 if redirects => move_ones_own(world, dice),
        4 if redirects => move_with_lowers(world, dice),
        0..=4 if index => count_the_names(world, dice),
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
