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
/// Of several that explain it as well, one that binds Linux alone: what a target may do otherwise is then not
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
    let late = |d: &Divergence| d.field.ends_with("time") || d.field == "nlink";
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
        // A time is told only if nothing else of the step differs. A count of links that comes up now was hidden by
        // what stands before it.
        let agrees = match &after {
            None => compared,
            Some(next) if next.place == found.place => late(next) && !late(found) || further(next, found),
            Some(next) => compared && next.place > found.place,
        };
        // `None` is the end without a difference: the longest.
        let own_way = clause.level() == Level::Linux;
        agrees.then_some((reached.is_none(), own_way, found.in_play.contains(&clause), clause))
    });
    explained
        .max_by_key(|(whole, own_way, in_play, clause)| (*whole, *own_way, *in_play, std::cmp::Reverse(*clause)))
        .map(|e| e.3)
}

/// What may be said of a divergence that no single clause explains, given the one that is suspected: that a
/// change dates something says nothing of anything but times, and what Linux alone does nothing of others.
pub(super) fn suspected(found: &Divergence, suspect: Option<Clause>, level: Level) -> Option<Clause> {
    const DATES: [Clause; 4] = [Clause::FsCtime, Clause::FsWriteTime, Clause::FsDirTime, Clause::FsTruncateSame];
    let date = found.field.ends_with("time");
    let fits =
        |clause: &Clause| (date || !DATES.contains(clause)) && (level == Level::Linux || clause.level() < Level::Linux);
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
    // How much room hidden names take, what the filesystem calls itself, and that something removed cannot be
    // copied up.
    let list = found.operation.ends_with("listxattr") && found.field == "count";
    let room = list || found.operation.ends_with("xattr") && found.expected == "ERANGE";
    let itself = found.field == "filesystem";
    const REMOVED: [Clause; 3] = [Clause::FilReplaced, Clause::FilReplacedRename, Clause::FilRemovedDir];
    let removed = found.seen == "success" && found.in_play.iter().any(|clause| REMOVED.contains(clause));
    // Which parts of a file are holes is for the filesystem to say.
    let hole = found.operation == "lseek" && found.in_play.contains(&Clause::FilSeekHole);
    // Whoever renames across filesystems has to copy, so who cannot rename a directory may say that.
    let across = found.operation == "rename" && found.seen == "EXDEV";
    level < Level::Linux && (refused || private || listed || room || itself || removed || hole || across)
}

/// Whether a difference lies further on in the same tree, which is walked depth first with names sorted.
fn further(next: &Divergence, found: &Divergence) -> bool {
    let parts = |d: &Divergence| d.path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    matches!(found.oracle, Oracle::Tree(_)) && next.oracle == found.oracle && parts(next) > parts(found)
}

fn names_private_xattr(op: &Op) -> bool {
    match op {
        Op::SetXattr { name, .. } | Op::GetXattr { name, .. } | Op::RemoveXattr { name, .. } => name.starts_with(b"@"),
        _ => false,
    }
}
