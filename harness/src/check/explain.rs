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
use crate::step::{Op, Whence};
use crate::trace::{Footprint, Kind, Trace};

/// The clause whose fault makes the model agree at the place of the divergence, and for longest.
///
/// Of several that explain it as well, one that binds Linux alone: what a target may do otherwise is then not
/// held against it. Else one that binds the target.
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
        let binds = clause.level() <= trace.environment.level;
        let about = is_about(clause, &found.field);
        agrees.then_some((reached.is_none(), own_way, binds, about, found.in_play.contains(&clause), clause))
    });
    explained
        .max_by_key(|(whole, own_way, binds, about, in_play, clause)| {
            (*whole, *own_way, *binds, *about, *in_play, std::cmp::Reverse(*clause))
        })
        .map(|e| e.5)
}

/// What may be said of a divergence that no single clause explains: the last clause of the step that is about what
/// differs and binds the target. What Linux alone does says nothing of others.
pub(super) fn suspected(found: &Divergence, level: Level) -> Option<Clause> {
    let in_play = found.rule.into_iter().chain(found.in_play.iter().rev().copied());
    in_play.into_iter().find(|clause| clause.level() <= level && is_about(*clause, &found.field))
}

/// Whether a clause may be what a field differs by: that a change dates something says nothing of anything but times,
/// and how many links there are nothing of anything else.
fn is_about(clause: Clause, field: &str) -> bool {
    const DATES: [Clause; 4] = [Clause::FsCtime, Clause::FsWriteTime, Clause::FsDirTime, Clause::FsTruncateSame];
    const KEEPS: [&str; 4] = ["LKP-05", "CUP-09.attributes", "CUP-11.attributes", "VFS-18.suid"];
    let of = |rules: &[&str]| rules.iter().any(|rule| clause.id().starts_with(rule));
    match field {
        "ctime" => DATES.contains(&clause) || of(&KEEPS),
        "mtime" | "atime" => {
            clause != Clause::FsCtime && DATES.contains(&clause) || of(&KEEPS) || of(&["CUP-10.times", "VFS-12.trunc"])
        }
        "nlink" => of(&["FS-02", "LNK-", "NLK-", "IDX-"]),
        "mode" | "owner" => of(&KEEPS) || of(&["CRE-01", "FS-03", "ATT-", "ACL-"]),
        _ => !DATES.contains(&clause) && !of(&["FS-02", "CUP-10.times"]),
    }
}

/// Whether the target may do otherwise although no clause of a higher level says so: it refuses what it does
/// not support, or private xattrs and their names, and what is made or removed while a directory is open may be
/// listed or not.
pub(super) fn may_differ(case: &Case, trace: &Trace, found: &Divergence, level: Level) -> bool {
    // That the server is gone is never right.
    if level == Level::Linux || ["ENOTCONN", "ECONNABORTED"].contains(&found.seen.as_str()) {
        return false;
    }
    // Whoever reads a directory has to ask what is of a type that is not told.
    let untold = found.field == "d_type" && found.seen.ends_with("Unknown");
    // How much room hidden names take, what the filesystem calls itself, and that something removed cannot be
    // copied up.
    let list = found.operation.ends_with("listxattr") && found.field == "count";
    let room = list || found.operation.ends_with("xattr") && found.expected == "ERANGE";
    let itself = found.field == "filesystem";
    const REMOVED: [Clause; 3] = [Clause::FilReplaced, Clause::FilReplacedRename, Clause::FilRemovedDir];
    let removed = found.seen == "success" && found.in_play.iter().any(|clause| REMOVED.contains(clause));
    let Place::Step(step) = found.place else { return untold };
    let Some(op) = case.steps.get(step).map(|step| &step.op) else { return untold };
    // A mount may be without devices.
    let device = |f: &Footprint| f.seen.as_ref().is_ok_and(|s| matches!(s.stat.kind, Kind::Char | Kind::Block));
    let looked = || trace.steps.get(step).is_some_and(|record| record.footprint.iter().any(device));
    let nodev = matches!(op, Op::Open { .. }) && found.oracle == Oracle::Outcome && found.seen == "EACCES" && looked();
    untold || room || itself || removed || nodev || is_open(op, found)
}

/// Whether nobody says what a call is to do here: POSIX leaves it open, or it asks for what filesystems have or not.
fn is_open(op: &Op, found: &Divergence) -> bool {
    let outcome = found.oracle == Oracle::Outcome;
    // How long names may be is for the filesystem to say.
    let unsupported = ["EOPNOTSUPP", "ENOSYS", "ENOTTY", "ENAMETOOLONG"].contains(&found.seen.as_str());
    if outcome && found.field == "errno" && unsupported {
        return true;
    }
    match op {
        // The marks in a layer that make something immutable are Linux's own.
        _ if outcome && found.expected == "EPERM" && found.in_play.iter().any(|c| c.id().starts_with("FAT-")) => true,
        Op::SetXattr { name, .. } | Op::GetXattr { name, .. } | Op::RemoveXattr { name, .. } => {
            outcome && name.starts_with(b"@")
        }
        // In a directory that is open, what was made or removed since may be listed or not.
        Op::Getdents { .. } => found.field == "names",
        // So may be how many entries one call gives, what their positions are, and of what type they were.
        Op::Getdents64 { .. } => true,
        // Which parts of a file are holes is for the filesystem to say.
        Op::Lseek { whence: Whence::Data | Whence::Hole, .. } => true,
        // Whoever asks for no change of owner may be asked for nothing.
        Op::Chown { uid: -1, gid: -1, .. } => outcome,
        // Whoever renames across filesystems has to copy, so who cannot rename a directory may say that; and flags are
        // for filesystems that know them.
        Op::Rename { .. } if outcome && [&found.seen, &found.expected].iter().any(|e| *e == "EXDEV") => true,
        Op::Rename { flags, .. } => {
            outcome && flags.0 != 0 && found.seen == "EINVAL" || flags.has(libc::RENAME_WHITEOUT)
        }
        // What is left of a directory that was removed.
        Op::Open { path, .. } if outcome && found.seen == "ENOENT" && path.as_slice() == b"." => true,
        Op::Open { flags, .. } => flags.has(libc::O_TRUNC) && flags.0 & libc::O_ACCMODE == libc::O_RDONLY,
        // ioctl(2) has an error for what it does not know.
        Op::Getflags { .. } | Op::Setflags { .. } => outcome && found.seen == "EINVAL",
        _ => false,
    }
}

/// Whether a difference lies further on in the same tree, which is walked depth first with names sorted.
fn further(next: &Divergence, found: &Divergence) -> bool {
    let parts = |d: &Divergence| d.path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    matches!(found.oracle, Oracle::Tree(_)) && next.oracle == found.oracle && parts(next) > parts(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;
    use crate::trace::{End, Environment, Privilege};

    fn found(field: &str, expected: &str, seen: &str, in_play: &[Clause]) -> Divergence {
        Divergence {
            place: Place::Step(0),
            oracle: Oracle::Outcome,
            operation: "rename",
            rule: None,
            in_play: in_play.to_vec(),
            path: Bytes::default(),
            field: field.to_owned(),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
        }
    }

    fn unseen() -> Trace {
        let environment = Environment {
            privilege: Privilege::Root,
            target: String::new(),
            level: Level::Contract,
            kernel: String::new(),
            filesystem: String::new(),
            module: Vec::new(),
            sysctl: Vec::new(),
        };
        Trace::unseen(environment, End::Completed)
    }

    fn may(step: &str, field: &str, expected: &str, seen: &str) -> bool {
        let case: Case = format!("lower\nsteps\n  {step}\n").parse().expect(step);
        let trace = unseen();
        let operation = case.steps[0].op.name();
        let found = Divergence { operation, ..found(field, expected, seen, &[]) };
        assert!(!may_differ(&case, &trace, &found, Level::Linux), "{step}: Linux does nothing otherwise");
        may_differ(&case, &trace, &found, Level::Contract)
    }

    #[test]
    fn what_posix_and_the_manual_leave_open_accuses_nobody() {
        for (step, field, expected, seen) in [
            ("rename a b RENAME_EXCHANGE", "errno", "success", "EINVAL"),
            ("rename a b RENAME_WHITEOUT", "errno", "EINVAL", "success"),
            ("rename a b", "errno", "success", "EXDEV"),
            ("rename a b", "errno", "EXDEV", "success"),
            ("open 0 . O_RDONLY", "errno", "success", "ENOENT"),
            ("mkdir a 0755", "errno", "success", "EOPNOTSUPP"),
            ("mkdir a 0755", "errno", "success", "ENAMETOOLONG"),
            ("chown a -1 -1", "errno", "EPERM", "success"),
            ("open 0 a O_RDONLY|O_TRUNC", "size", "0", "5"),
            ("getdents64 0 120", "names", "[. ..]", "[.]"),
            ("getdents64 0 120", "errno", "success", "EINVAL"),
            ("list a", "d_type", "x File", "x Unknown"),
            ("lseek 0 4096 SEEK_DATA", "errno", "ENXIO", "success"),
            ("setflags 0", "errno", "success", "EINVAL"),
        ] {
            assert!(may(step, field, expected, seen), "{step}: {field}");
        }
    }

    #[test]
    fn what_they_demand_does() {
        for (step, field, expected, seen) in [
            ("rename a b RENAME_EXCHANGE", "errno", "success", "ENOENT"),
            ("rename a b", "errno", "success", "EINVAL"),
            ("chown a 1 -1", "errno", "EPERM", "success"),
            ("open 0 a O_WRONLY|O_TRUNC", "size", "0", "5"),
            ("open 0 a O_RDONLY|O_TRUNC", "errno", "success", "ENOTCONN"),
            ("list a", "names", "[a]", "[]"),
            ("list a", "d_type", "x File", "x Dir"),
            ("lseek 0 4096 SEEK_SET", "errno", "success", "EINVAL"),
            ("getflags 0", "errno", "success", "EIO"),
            ("open 0 a O_RDONLY", "errno", "success", "EACCES"),
        ] {
            assert!(!may(step, field, expected, seen), "{step}: {field}");
        }
    }

    #[test]
    fn a_guess_is_about_what_differs_and_binds_the_target() {
        let in_play = [Clause::CupFileAttributes, Clause::CupOpenWrite, Clause::FsLinks, Clause::FsDirTime];
        for (field, level, clause) in [
            ("mode", Level::Linux, Some(Clause::CupFileAttributes)),
            ("nlink", Level::Contract, Some(Clause::FsLinks)),
            ("mtime", Level::Contract, Some(Clause::FsDirTime)),
            ("presence", Level::Format, Some(Clause::CupOpenWrite)),
            ("presence", Level::Contract, Some(Clause::CupFileAttributes)),
        ] {
            assert_eq!(suspected(&found(field, "x", "y", &in_play), level), clause, "{field}");
        }
        assert_eq!(suspected(&found("nlink", "1", "2", &[Clause::CupOpenWrite]), Level::Contract), None);
    }
}
