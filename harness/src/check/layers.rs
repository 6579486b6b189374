//! The layer resolver as an oracle: at each look at whole trees, merging the layers as they were read
//! must give the merged view. The model has no part in this.

use super::divergence::{Divergence, Oracle, Place};
use crate::case::Case;
use crate::resolve::{Difference, LayerTree, Rules, compare, resolve};
use crate::trace::{Environment, Observation, Privilege, Trace};

/// Whether redirects are followed in this mount (MNT-30): by default, but never with `userxattr`.
pub(super) fn follows_redirects(environment: &Environment, options: &[String]) -> bool {
    if environment.privilege == Privilege::Rootless {
        return false;
    }
    let given = options.iter().rev().find_map(|o| o.strip_prefix("redirect_dir="));
    let always = environment.module.iter().find(|(name, _)| name == "redirect_always_follow");
    match given {
        Some("on" | "follow") => true,
        Some("nofollow") => false,
        // `off`, or nothing at all: the module decides, and its default is to follow.
        _ => always.is_none_or(|(_, value)| value == "Y"),
    }
}

/// Resolves the layers at every look up to step `until` (excluded; the last look has no step): how many
/// looks there were, and the first view that is not what its layers make.
pub(super) fn check(case: &Case, trace: &Trace, until: usize) -> (usize, Option<Divergence>) {
    if trace.lowers.is_empty() {
        return (0, None);
    }
    let rules = Rules { follow_redirects: follows_redirects(&trace.environment, &case.options) };
    let mut stack = vec![LayerTree::new(&[])];
    stack.extend(trace.lowers.iter().map(|lower| LayerTree::new(lower)));
    let mut looks = 0;
    for (index, step) in trace.steps.iter().enumerate().take(until) {
        let Some(observation) = &step.observation else { continue };
        looks += 1;
        if let Some(found) = look(&mut stack, rules, observation) {
            let operation = case.steps.get(index).map_or("end", |s| s.op.name());
            return (looks, Some(divergence(Place::Step(index), operation, found)));
        }
    }
    if until > trace.steps.len()
        && let Some(last) = &trace.last
    {
        looks += 1;
        if let Some(found) = look(&mut stack, rules, last) {
            return (looks, Some(divergence(Place::End, "end", found)));
        }
    }
    (looks, None)
}

fn look<'t>(stack: &mut Vec<LayerTree<'t>>, rules: Rules, observation: &'t Observation) -> Option<Difference> {
    if let Some(former) = &observation.rotated {
        stack.insert(1, LayerTree::new(former));
    }
    stack[0] = LayerTree::new(&observation.upper);
    compare(&resolve(stack, rules), &observation.merged)
}

fn divergence(place: Place, operation: &'static str, found: Difference) -> Divergence {
    let Difference { path, field, expected, seen } = found;
    let (oracle, rule, in_play) = (Oracle::Layers, None, Vec::new());
    Divergence { place, oracle, operation, rule, in_play, path, field, expected, seen }
}
