//! Names and slots: changed everywhere at once, so that a case goes on meaning the same.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::paths_mut;
use super::cuts::{self, layers, layers_mut};
use crate::bytes::Bytes;
use crate::case::{Case, NodeKind};
use crate::step::{Expected, Op, Slot, footprint_of};

/// With names replaced by early letters: all at once, then the `at - 1`th name alone.
pub(super) fn rename(case: &Case, at: usize) -> Option<Case> {
    let names = components(case);
    let is_letter = |name: &Bytes| name.len() == 1 && name.as_slice()[0].is_ascii_lowercase();
    let mut map = BTreeMap::new();
    if at == 0 {
        // Names in order, so that those which are letters already stay ahead of the others.
        let (letters, others): (Vec<_>, Vec<_>) = names.into_iter().partition(is_letter);
        for (name, letter) in letters.into_iter().chain(others).zip(b'a'..=b'z') {
            map.insert(name, Bytes::from(vec![letter]));
        }
    } else {
        let free = (b'a'..=b'z').map(|letter| Bytes::from(vec![letter])).find(|letter| !names.contains(letter))?;
        // From the last name: with the letters first, those gain least.
        map.insert(names.iter().rev().nth(at - 1)?.clone(), free);
    }
    let replace = |path: &mut Bytes| {
        let parts: Vec<&[u8]> = path
            .as_slice()
            .split(|&b| b == b'/')
            .map(|part| map.get(part).map_or(part, |new| new.as_slice()))
            .collect();
        *path = Bytes::from(parts.join(&b'/'));
    };
    let mut out = case.clone();
    each_path(&mut out, replace);
    Some(out)
}

/// With one directory's content lifted to the root: the `at`th directory.
pub(super) fn lift(case: &Case, at: usize) -> Option<Case> {
    let mut dirs = BTreeSet::new();
    let mut note = |path: &[u8]| {
        for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            dirs.insert(Bytes::from(&path[..at]));
        }
    };
    layers(case).flat_map(|layer| &layer.entries).for_each(|entry| note(entry.path.as_slice()));
    case.steps
        .iter()
        .flat_map(|step| step.op.paths())
        .flatten()
        .for_each(|path| note(footprint_of(path.as_slice()).as_slice()));
    let prefix = dirs.iter().nth(at)?.join(b"");
    let mut out = case.clone();
    each_path(&mut out, |path| {
        let absolute = path.as_slice().strip_prefix(b"/");
        let relative = absolute.unwrap_or(path.as_slice());
        if let Some(rest) = relative.strip_prefix(prefix.as_slice()).filter(|rest| !rest.is_empty()) {
            *path = Bytes::from([if absolute.is_some() { &b"/"[..] } else { b"" }, rest].concat());
        }
    });
    // Two entries at one place would no longer be the two that they were.
    let distinct = layers(&out).all(|layer| {
        let places: BTreeSet<&Bytes> = layer.entries.iter().map(|entry| &entry.path).collect();
        places.len() == layer.entries.len()
    });
    layers_mut(&mut out).for_each(cuts::prune);
    // An empty place in the order of candidates: the case itself, which is never proposed.
    Some(if distinct { out } else { case.clone() })
}

/// With slots numbered in the order of their first use.
pub(super) fn renumber(case: &Case, at: usize) -> Option<Case> {
    if at > 0 {
        return None;
    }
    let mut numbers: BTreeMap<Slot, Slot> = BTreeMap::new();
    let mut out = case.clone();
    for step in &mut out.steps {
        for slot in step.op.slots_mut().into_iter().flatten() {
            let next = numbers.values().max().map_or(0, |highest| highest + 1);
            *slot = *numbers.entry(*slot).or_insert(next);
        }
    }
    Some(out)
}

/// Every name in the case, but `.` and `..`.
fn components(case: &Case) -> BTreeSet<Bytes> {
    let mut names = BTreeSet::new();
    each_path(&mut case.clone(), |path| {
        let parts = path.as_slice().split(|&b| b == b'/');
        names.extend(parts.filter(|part| !matches!(*part, b"" | b"." | b"..")).map(Bytes::from));
    });
    names
}

/// Calls `change` with every path, target and name of the case.
fn each_path(case: &mut Case, mut change: impl FnMut(&mut Bytes)) {
    for layer in layers_mut(case) {
        for entry in &mut layer.entries {
            change(&mut entry.path);
            if let NodeKind::Symlink(target) | NodeKind::Link(target) = &mut entry.node.kind {
                change(target);
            }
        }
    }
    for step in &mut case.steps {
        paths_mut(&mut step.op, &mut change);
        if let Op::Symlink { target, .. } = &mut step.op {
            change(target);
        }
        if let Some(Expected::Names(names)) = &mut step.expect {
            names.iter_mut().for_each(&mut change);
        }
    }
    for tree in &mut case.expect {
        tree.entries.iter_mut().for_each(|entry| change(&mut entry.path));
    }
}
