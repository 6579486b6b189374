//! Cuts: what can be taken out of a case whole. Each function makes one candidate, or `None` where
//! there is nothing (more) to take out.

use std::collections::BTreeSet;

use crate::bytes::Bytes;
use crate::case::{Case, Layer};
use crate::step::{Op, footprint_of};

/// Without the steps after `last`.
pub(super) fn tail(case: &Case, last: usize) -> Option<Case> {
    if last + 1 >= case.steps.len() {
        return None;
    }
    let mut out = case.clone();
    out.steps.truncate(last + 1);
    Some(out)
}

/// Only the last step and those before it that touch its paths and slots, or those of a step that
/// does; environment steps stay.
pub(super) fn related(case: &Case) -> Option<Case> {
    let last = case.steps.len().checked_sub(1)?;
    let mut paths: Vec<Bytes> = Vec::new();
    let mut slots = BTreeSet::new();
    let mut keep = vec![false; case.steps.len()];
    for (at, step) in case.steps.iter().enumerate().rev() {
        let own: Vec<Bytes> = step.op.paths().into_iter().flatten().map(|p| footprint_of(p.as_slice())).collect();
        let slot = step.op.slot();
        let touches = own.iter().any(|own| paths.iter().any(|path| within(own, path) || within(path, own)))
            || slot.is_some_and(|slot| slots.contains(&slot));
        keep[at] = at == last || touches || step.op.is_environment();
        if at == last || touches {
            paths.extend(own);
            slots.extend(slot);
        }
    }
    if paths.is_empty() && slots.is_empty() {
        return None;
    }
    let mut out = case.clone();
    let mut kept = keep.into_iter();
    out.steps.retain(|_| kept.next().unwrap_or(true));
    Some(out)
}

/// Whether `path` is `dir` or below it. Everything is below the root, which says nothing.
fn within(path: &Bytes, dir: &Bytes) -> bool {
    !dir.is_empty()
        && path.as_slice().strip_prefix(dir.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Without the steps from `low` up to `high`.
pub(super) fn steps(case: &Case, low: usize, high: usize) -> Case {
    let mut out = case.clone();
    out.steps.drain(low..high);
    out
}

/// Without two steps: the `at`th pair. Only short cases have few enough pairs.
pub(super) fn pair(case: &Case, at: usize) -> Option<Case> {
    const SHORT: usize = 8;
    let n = case.steps.len();
    if n > SHORT {
        return None;
    }
    let (one, two) = (0..n).flat_map(|one| (one + 2..n).map(move |two| (one, two))).nth(at)?;
    let mut out = case.clone();
    out.steps.remove(two);
    out.steps.remove(one);
    Some(out)
}

/// Without the steps that use one slot: the `at`th slot in use.
pub(super) fn slot(case: &Case, at: usize) -> Option<Case> {
    let used: BTreeSet<_> = case.steps.iter().filter_map(|step| step.op.slot()).collect();
    let slot = *used.iter().nth(at)?;
    let mut out = case.clone();
    out.steps.retain(|step| step.op.slot() != Some(slot));
    Some(out)
}

/// Without the steps of one kind that only look or wait: the `at`th of those kinds.
pub(super) fn lookers(case: &Case, at: usize) -> Option<Case> {
    let mut out = case.clone();
    match at {
        0 => out.steps.retain(|step| step.op.is_mutating()),
        1 => out.steps.retain(|step| step.op != Op::Observe),
        2 => out.steps.retain(|step| !matches!(step.op, Op::Remount | Op::Rotate | Op::DropCaches)),
        _ => return None,
    }
    Some(out)
}

/// The layers, upper first.
pub(super) fn layers(case: &Case) -> impl Iterator<Item = &Layer> {
    [&case.upper].into_iter().chain(&case.lowers)
}

/// The layers, upper first.
pub(super) fn layers_mut(case: &mut Case) -> impl Iterator<Item = &mut Layer> {
    [&mut case.upper].into_iter().chain(&mut case.lowers)
}

/// With one whole layer emptied, removed, or merged into the one above: the `at`th way.
pub(super) fn layer(case: &Case, at: usize) -> Option<Case> {
    let n = case.lowers.len();
    let mut out = case.clone();
    if at == 0 {
        layers_mut(&mut out).for_each(|layer| layer.entries.clear());
        out.lowers.truncate(1);
    } else if at == 1 {
        out.upper.entries.clear();
    } else if at < 2 + n {
        // The lowest first: what it holds is hidden most often.
        let which = n - 1 - (at - 2);
        if n > 1 {
            out.lowers.remove(which);
        } else {
            out.lowers[which].entries.clear();
        }
    } else if at < 2 + n + (n - 1) {
        let above = at - 2 - n;
        let below = out.lowers.remove(above + 1);
        let taken: BTreeSet<Bytes> = out.lowers[above].entries.iter().map(|entry| entry.path.clone()).collect();
        out.lowers[above].entries.extend(below.entries.into_iter().filter(|entry| !taken.contains(&entry.path)));
        prune(&mut out.lowers[above]);
    } else {
        return None;
    }
    Some(out)
}

/// Without everything at or below one top-level name, in all layers: the `at`th such name.
pub(super) fn subtree(case: &Case, at: usize) -> Option<Case> {
    let top = |path: &Bytes| path.as_slice().split(|&b| b == b'/').next().map(Bytes::from).unwrap_or_default();
    let names: BTreeSet<Bytes> = layers(case).flat_map(|layer| &layer.entries).map(|entry| top(&entry.path)).collect();
    let name = names.iter().nth(at)?;
    let mut out = case.clone();
    for layer in layers_mut(&mut out) {
        layer.entries.retain(|entry| top(&entry.path) != *name);
        prune(layer);
    }
    Some(out)
}

/// How many entries all layers hold.
pub(super) fn entry_count(case: &Case) -> usize {
    layers(case).map(|layer| layer.entries.len()).sum()
}

/// Without the entries from `low` up to `high`, counted through all layers, and the hard links to
/// them.
pub(super) fn entries(case: &Case, low: usize, high: usize) -> Case {
    let mut out = case.clone();
    let mut at = 0;
    for layer in layers_mut(&mut out) {
        layer.entries.retain(|_| {
            at += 1;
            !(low..high).contains(&(at - 1))
        });
        prune(layer);
    }
    out
}

/// Drops entries that no longer count: hard links to what is gone, and what lies below something
/// that is no directory. A case file with such an entry would be refused.
pub(super) fn prune(layer: &mut Layer) {
    let whole: BTreeSet<Bytes> = layer.resolved().into_iter().map(|(path, _)| Bytes::from(path)).collect();
    layer.entries.retain(|entry| whole.contains(&entry.path));
}

/// Without options: all of them, then the `at - 1`th.
pub(super) fn option(case: &Case, at: usize) -> Option<Case> {
    let mut out = case.clone();
    match at {
        0 if !out.options.is_empty() => out.options.clear(),
        _ if (1..=out.options.len()).contains(&at) => drop(out.options.remove(at - 1)),
        _ => return None,
    }
    Some(out)
}

/// Without what the case asserts: all of it, then one tree.
pub(super) fn assertion(case: &Case, at: usize) -> Option<Case> {
    let mut out = case.clone();
    match at {
        0 => {
            out.expect.clear();
            out.steps.iter_mut().for_each(|step| step.expect = None);
        }
        _ if at <= out.expect.len() => drop(out.expect.remove(at - 1)),
        _ => return None,
    }
    Some(out)
}
