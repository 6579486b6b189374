//! The trace of a case against that of its plain counterpart.

use super::{Deviation, Mirror, Plan};
use crate::bytes::Bytes;
use crate::case::Case;
use crate::check::compare::IGNORED_XATTRS;
use crate::check::divergence::{Divergence, Oracle, Place};
use crate::errno::Errno;
use crate::step::Op;
use crate::trace::{Content, End, Footprint, Kind, NodeSeen, Outcome, Seen, Side, Stat, Time, Trace, TreeSeen, Value};

/// What the comparison came to.
#[derive(Clone, Debug, Default)]
pub struct Transparency {
    /// Steps of the case.
    pub steps: usize,
    /// Steps of which everything was compared.
    pub compared: usize,
    /// Steps at which the overlay is supposed to differ, by the deviation; after one that ends the
    /// comparison, all steps that are left.
    pub deviations: Vec<(Deviation, usize)>,
    /// The first difference.
    pub divergence: Option<Divergence>,
}

/// Compares both runs of a case. Expected is what the plain filesystem did.
pub fn transparency(case: &Case, mirror: &Mirror, trace: &Trace, plain: &Trace) -> Transparency {
    let mut result = Transparency { steps: case.steps.len(), ..Transparency::default() };
    if trace.mount_error.is_some() || plain.mount_error.is_some() || plain.end != End::Completed {
        return result;
    }
    let mut both =
        Both { mirror, rotated: false, undated: false, since: trace.setup.from, plain_since: plain.setup.from };
    let pairs = trace.steps.iter().zip(&plain.steps).zip(&mirror.plan);
    for (index, ((seen, expected), plan)) in pairs.enumerate() {
        let op = &case.steps[index].op;
        let fail = |path: Bytes, diff: Diff| divergence(Place::Step(index), op.name(), path, diff);
        both.rotated |= *op == Op::Rotate;
        both.undated |= matches!(plan, Plan::Dates(_));
        let outcome = match plan {
            Plan::Whole | Plan::Dates(_) => both.outcome(&expected.outcome, &seen.outcome),
            Plan::Outcome(_) => None,
            Plan::LeftOut(deviation) => match &seen.outcome {
                Outcome::Err(_) => None,
                Outcome::Ok(_) => Some(diff("errno", format!("an error ({})", deviation.id()), "success")),
            },
        };
        if let Some(diff) = outcome {
            result.divergence = Some(fail(Bytes::default(), diff));
            return result;
        }
        if let Plan::LeftOut(deviation) | Plan::Outcome(deviation) | Plan::Dates(deviation) = plan {
            result.deviations.push((*deviation, 1));
        }
        if matches!(plan, Plan::LeftOut(_)) {
            continue;
        }
        let footprint = seen.footprint.iter().filter(|f| f.side == Side::Merged);
        for (seen, expected) in footprint.zip(&expected.footprint) {
            if let Some(diff) = both.footprint(expected, seen) {
                result.divergence = Some(fail(seen.path.clone(), diff));
                return result;
            }
        }
        if let (Some(seen), Some(expected)) = (&seen.observation, &expected.observation) {
            if let Some((path, diff)) = both.tree(&expected.merged, &seen.merged) {
                result.divergence = Some(fail(path, diff));
                return result;
            }
        }
        result.compared += usize::from(*plan == Plan::Whole);
    }
    match mirror.ended {
        Some(deviation) => result.deviations.push((deviation, case.steps.len() - mirror.plan.len())),
        None => {
            let found = trace.last.as_ref().zip(plain.last.as_ref());
            let found = found.and_then(|(seen, expected)| both.tree(&expected.merged, &seen.merged));
            result.divergence = found.map(|(path, diff)| divergence(Place::End, "end", path, diff));
        }
    }
    result
}

/// Field, expected, seen.
type Diff = (String, String, String);

fn divergence(place: Place, operation: &'static str, path: Bytes, (field, expected, seen): Diff) -> Divergence {
    let (oracle, rule, in_play) = (Oracle::Plain, None, Vec::new());
    Divergence { place, oracle, operation, rule, in_play, path, field, expected, seen }
}

fn diff(field: &str, expected: impl ToString, seen: impl ToString) -> Diff {
    (field.to_owned(), expected.to_string(), seen.to_string())
}

/// What both runs have in common.
struct Both<'a> {
    mirror: &'a Mirror,
    /// The upper layer is a new one, and so is the date of its root.
    rotated: bool,
    /// Somebody wrote to a fifo.
    undated: bool,
    since: Time,
    plain_since: Time,
}

impl Both<'_> {
    fn outcome(&self, expected: &Outcome, seen: &Outcome) -> Option<Diff> {
        match (expected, seen) {
            (Outcome::Ok(expected), Outcome::Ok(seen)) => self.value(expected, seen),
            (Outcome::Err(expected), Outcome::Err(seen)) if expected == seen => None,
            (expected, seen) => {
                let show = |o: &Outcome| match o {
                    Outcome::Ok(_) => "success".to_owned(),
                    Outcome::Err(e) => e.to_string(),
                };
                Some(diff("errno", show(expected), show(seen)))
            }
        }
    }

    fn value(&self, expected: &Value, seen: &Value) -> Option<Diff> {
        match (expected, seen) {
            (Value::Stat(expected), Value::Stat(seen)) => {
                self.stat(expected, seen, !self.rotated || seen.kind != Kind::Dir)
            }
            (Value::List(expected), Value::List(seen)) => {
                let show = |list: &[crate::trace::DirEntry]| {
                    let words: Vec<String> = list.iter().map(|e| format!("{} {:?}", e.name, e.kind)).collect();
                    format!("[{}]", words.join(", "))
                };
                let same = expected.iter().map(|e| (&e.name, e.kind)).eq(seen.iter().map(|e| (&e.name, e.kind)));
                (!same).then(|| diff("names", show(expected), show(seen)))
            }
            // An overlay has a type of its own.
            (Value::Filesystem(expected), Value::Filesystem(seen)) => {
                let same = (expected.name_max, expected.read_only) == (seen.name_max, seen.read_only);
                (!same).then(|| diff("filesystem", format!("{expected:?}"), format!("{seen:?}")))
            }
            (expected, seen) if expected == seen => None,
            (Value::Bytes(expected), Value::Bytes(seen)) => Some(diff("data", expected, seen)),
            (Value::Count(expected), Value::Count(seen)) => Some(diff("count", expected, seen)),
            (expected, seen) => Some(diff("value", format!("{expected:?}"), format!("{seen:?}"))),
        }
    }

    /// Numbers, devices, access and change times are not for comparing, and link counts are not where they
    /// count what is not shown; directories have no size of their own and merged ones no count.
    fn stat(&self, expected: &Stat, seen: &Stat, dated: bool) -> Option<Diff> {
        if expected.kind != seen.kind {
            return Some(diff("type", format!("{:?}", expected.kind), format!("{:?}", seen.kind)));
        }
        if expected.mode != seen.mode {
            return Some(diff("mode", format!("{:04o}", expected.mode), format!("{:04o}", seen.mode)));
        }
        let owner = |s: &Stat| format!("{}:{}", s.uid, s.gid);
        if (expected.uid, expected.gid) != (seen.uid, seen.gid) {
            return Some(diff("owner", owner(expected), owner(seen)));
        }
        if expected.rdev != seen.rdev {
            return Some(diff("device", format!("{:?}", expected.rdev), format!("{:?}", seen.rdev)));
        }
        if expected.kind != Kind::Dir {
            if expected.size != seen.size {
                return Some(diff("size", expected.size, seen.size));
            }
            if expected.nlink != seen.nlink && !self.mirror.lower_links {
                return Some(diff("nlink", expected.nlink, seen.nlink));
            }
        }
        let dated = dated && !(self.undated && seen.kind == Kind::Fifo);
        // The runs were not at the same time: what was written in them is dated so in both.
        let class = |t: Time, since: Time| if t >= since { None } else { Some(t) };
        if dated && class(expected.mtime, self.plain_since) != class(seen.mtime, self.since) {
            let show = |t: Time, since: Time| {
                class(t, since).map_or("in the run".to_owned(), |t| format!("{}.{:09}", t.sec, t.nsec))
            };
            return Some(diff("mtime", show(expected.mtime, self.plain_since), show(seen.mtime, self.since)));
        }
        None
    }

    fn footprint(&self, expected: &Footprint, seen: &Footprint) -> Option<Diff> {
        self.place(&expected.seen, &seen.seen, &seen.path)
    }

    fn place(&self, expected: &Result<Seen, Errno>, seen: &Result<Seen, Errno>, path: &Bytes) -> Option<Diff> {
        match (expected, seen) {
            (Ok(expected), Ok(seen)) => self.node(expected, seen, !self.rotated || !path.is_empty()),
            (Err(expected), Err(seen)) if expected == seen => None,
            (expected, seen) => {
                let show = |s: &Result<Seen, Errno>| {
                    s.as_ref().map_or_else(ToString::to_string, |s| format!("{:?}", s.stat.kind))
                };
                Some(diff("presence", show(expected), show(seen)))
            }
        }
    }

    fn node(&self, expected: &Seen, seen: &Seen, dated: bool) -> Option<Diff> {
        if let Some(diff) = self.stat(&expected.stat, &seen.stat, dated) {
            return Some(diff);
        }
        if let (Some(expected), Some(seen)) = (&expected.xattrs, &seen.xattrs) {
            let ignored = |name: &Bytes| IGNORED_XATTRS.iter().any(|i| i.as_bytes() == name.as_slice());
            let clean = |list: &[(Bytes, Bytes)]| -> Vec<(Bytes, Bytes)> {
                list.iter().filter(|(name, _)| !ignored(name)).cloned().collect()
            };
            let (expected, seen) = (clean(expected), clean(seen));
            if expected != seen {
                return Some(diff("xattrs", format!("{expected:?}"), format!("{seen:?}")));
            }
        }
        if expected.content != Content::None && seen.content != Content::None && expected.content != seen.content {
            let show = |c: &Content| match c {
                Content::Bytes(b) => b.quoted().to_string(),
                other => format!("{other:?}"),
            };
            return Some(diff("content", show(&expected.content), show(&seen.content)));
        }
        None
    }

    /// Names that are listed and not found (WHT-04.raw) are nobody's.
    fn tree(&self, expected: &TreeSeen, seen: &TreeSeen) -> Option<(Bytes, Diff)> {
        let found = |n: &&NodeSeen| n.seen != Err(Errno::ENOENT);
        let (mut left, mut right) = (expected.iter().filter(found), seen.iter().filter(found));
        loop {
            match (left.next(), right.next()) {
                (None, None) => return None,
                (Some(expected), Some(seen)) if expected.path == seen.path => {
                    if let Some(diff) = self.place(&expected.seen, &seen.seen, &seen.path) {
                        return Some((seen.path.clone(), diff));
                    }
                    if expected.listed != seen.listed {
                        let diff = diff("d_type", format!("{:?}", expected.listed), format!("{:?}", seen.listed));
                        return Some((seen.path.clone(), diff));
                    }
                    if expected.list_error != seen.list_error {
                        let show = |e: Option<Errno>| e.map_or("a listing".to_owned(), |e| e.to_string());
                        let diff = diff("listing", show(expected.list_error), show(seen.list_error));
                        return Some((seen.path.clone(), diff));
                    }
                }
                (expected, seen) => {
                    let show = |n: Option<&NodeSeen>| n.map_or("the end".to_owned(), |n| n.path.to_string());
                    let path = seen.or(expected).map(|n| n.path.clone()).unwrap_or_default();
                    return Some((path, diff("order", show(expected), show(seen))));
                }
            }
        }
    }
}
