//! The layer resolver as an oracle: at each look at whole trees, merging the layers as they were read
//! must give the merged view. The model has no part in this.

use super::divergence::{Divergence, Oracle, Place};
use crate::case::Case;
use crate::container::{ExportError, diff_and_apply};
use crate::resolve::{Difference, LayerTree, Rules, compare, resolve};
use crate::trace::{Environment, Observation, Privilege, Trace, kernel_version};

/// What the options of this mount mean for the merging of layers. The model has its own idea of them.
pub(super) fn rules(environment: &Environment, options: &[String]) -> Rules {
    let last =
        |name: &str| options.iter().rev().find_map(|o| o.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')));
    let module = environment.module.iter().find(|(name, _)| name == "redirect_always_follow");
    let always = module.is_none_or(|(_, value)| value == "Y");
    let root = environment.privilege == Privilege::Root;
    let metacopy = root && last("metacopy") == Some("on");
    let follow_redirects = match last("redirect_dir") {
        // With `userxattr` they never are (MNT-30).
        _ if !root => false,
        Some("on" | "follow") => true,
        Some("nofollow") => false,
        // `off`, or nothing at all: the module decides, and its default is to follow.
        _ => always || metacopy,
    };
    let kernel = kernel_version(&environment.kernel);
    let (refuse_late, xattr_whiteouts) = (kernel < (6, 16), kernel >= (6, 7));
    Rules { follow_redirects, refuse_late, xattr_whiteouts, metacopy, index: root && last("index") == Some("on") }
}

/// Resolves the layers at every look of a trace: how many looks there were, and the first view that is not what
/// its layers make. [`super::judge`] does so too, where the model has nothing to say.
pub fn resolve_layers(case: &Case, trace: &Trace) -> (usize, Option<Divergence>) {
    check(case, trace, usize::MAX)
}

/// Resolves the layers at every look up to step `until` (excluded; the last look has no step): how many
/// looks there were, and the first view that is not what its layers make.
pub(super) fn check(case: &Case, trace: &Trace, until: usize) -> (usize, Option<Divergence>) {
    if trace.lowers.is_empty() {
        return (0, None);
    }
    let rules = rules(&trace.environment, &case.options);
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

/// Diff and apply at the end of a trace: the upper layer told as one of an OCI image and unpacked over the lower
/// ones must be the merged view. `None` where there was no last look.
///
/// # Errors
/// When the layers have what an image cannot say.
pub fn apply_upper(case: &Case, trace: &Trace) -> Result<Option<Difference>, ExportError> {
    let Some(last) = trace.last.as_ref().filter(|_| !trace.lowers.is_empty()) else { return Ok(None) };
    let mut lowers = trace.lowers.clone();
    let looks = trace.steps.iter().filter_map(|step| step.observation.as_deref()).chain([last]);
    for former in looks.filter_map(|look| look.rotated.as_ref()) {
        lowers.insert(0, former.clone());
    }
    diff_and_apply(&lowers, &last.upper, &last.merged, rules(&trace.environment, &case.options))
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
