//! Which clause a divergence is about.
//!
//! The clause that fired last is near the place where the model decided, but seldom the one that the target
//! breaks. So the trace is judged again with each clause broken in turn that fired in it: where the faulty
//! model agrees with what was seen, the target does as if there were no such clause.

use super::divergence::{Divergence, Oracle, Place};
use super::forgive::Forgiven;
use super::judge::Judge;
use crate::case::Case;
use crate::level::Level;
use crate::model::Clause;
use crate::step::Op;
use crate::trace::Trace;

/// The clause whose fault makes the model agree at the place of the divergence, and for longest.
///
/// Of several that explain it as well, the one that binds fewest: what a target may do otherwise is then not
/// held against it.
pub(super) fn explain(
    case: &Case,
    trace: &Trace,
    forgiven: &Forgiven,
    found: &Divergence,
    fired: &[u32],
) -> Option<Clause> {
    if !matches!(found.oracle, Oracle::Outcome | Oracle::Footprint(_) | Oracle::Tree(_)) {
        return None;
    }
    let fired = Clause::ALL.iter().copied().filter(|clause| fired[*clause as usize] > 0);
    let explained = fired.filter_map(|clause| {
        let mut judge = Judge::new(case, trace, Some(clause), forgiven);
        judge.exact_at = Some(found.place);
        let after = judge.run().err();
        let compared = match found.place {
            Place::Mount => false,
            Place::Step(step) => judge.checked > step,
            Place::End => judge.checked == case.steps.len() && !judge.ended_early(),
        };
        let reached = after.as_ref().map(|d| d.place);
        let agrees = compared && reached.is_none_or(|place| place > found.place);
        // `None` is the end without a difference: the longest.
        agrees.then_some((reached.is_none(), clause.level(), found.in_play.contains(&clause), clause))
    });
    explained
        .max_by_key(|(whole, level, in_play, clause)| (*whole, *level, *in_play, std::cmp::Reverse(*clause)))
        .map(|e| e.3)
}

/// What may be said of a divergence that no single clause explains, given the one that is suspected: that a
/// change dates something says nothing of anything but times.
pub(super) fn suspected(found: &Divergence, suspect: Option<Clause>) -> Option<Clause> {
    const DATES: [Clause; 4] = [Clause::FsCtime, Clause::FsWriteTime, Clause::FsDirTime, Clause::FsTruncateSame];
    let date = found.field.ends_with("time");
    let fits = |clause: &Clause| date || !DATES.contains(clause);
    suspect.filter(fits).or_else(|| found.in_play.iter().rev().copied().find(fits))
}

/// Whether the target may do otherwise although no clause of a higher level says so: it refuses what it does
/// not support, or private xattrs and their names, and what is made or removed while a directory is open may be
/// listed or not.
pub(super) fn may_differ(case: &Case, found: &Divergence, level: Level) -> bool {
    let Place::Step(step) = found.place else { return false };
    let unsupported = ["EOPNOTSUPP", "ENOSYS", "ENOTTY"].contains(&found.seen.as_str());
    let refused = found.oracle == Oracle::Outcome && found.field == "errno" && unsupported;
    let private = found.oracle == Oracle::Outcome && case.steps.get(step).is_some_and(|s| names_private_xattr(&s.op));
    let listed = found.operation == "getdents" && found.field == "names";
    level < Level::Linux && (refused || private || listed)
}

fn names_private_xattr(op: &Op) -> bool {
    match op {
        Op::SetXattr { name, .. } | Op::GetXattr { name, .. } | Op::RemoveXattr { name, .. } => name.starts_with(b"@"),
        _ => false,
    }
}
