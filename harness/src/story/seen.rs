//! The story as a trace tells it.

use super::words::{Facts, dents_text, filesystem_text, is_secret, kind_word, listing_text, names_text};
use super::{ANYTHING, Chapter, Line, Story, Trees};
use crate::check::IGNORED_XATTRS;
use crate::errno::Errno;
use crate::trace::{
    Content, End, Footprint, Kind, Observation, Outcome, Seen, Side, Stat, Time, Trace, TreeSeen, Value,
};

/// What happened, as the trace has it.
pub fn seen(trace: &Trace) -> Story {
    let teller = Teller { from: trace.setup.from, to: until(trace) };
    let steps = trace.steps.iter().map(|step| Chapter {
        outcome: teller.outcome(&step.outcome),
        looks: step.footprint.iter().map(|f| teller.footprint(f)).collect(),
        trees: step.observation.as_deref().map(|o| teller.trees(o)),
        fired: Vec::new(),
    });
    let refused = match (&trace.mount_error, &trace.end) {
        (Some(error), _) | (None, End::MountFailed { error, .. }) => Some(error.errno),
        _ => None,
    };
    Story { steps: steps.collect(), last: trace.last.as_ref().map(|o| teller.trees(o)), refused }
}

/// The end of the run.
fn until(trace: &Trace) -> Time {
    let last = trace.last.as_ref().map(|l| l.span.to);
    last.or(trace.steps.last().map(|s| s.span.to)).unwrap_or(trace.mounted.to).max(trace.mounted.to)
}

struct Teller {
    from: Time,
    to: Time,
}

impl Teller {
    fn facts<'a>(&self, stat: &Stat) -> Facts<'a> {
        let now = self.from <= stat.mtime && stat.mtime <= self.to;
        Facts {
            kind: stat.kind,
            mode: stat.mode,
            owner: (stat.uid, stat.gid),
            nlink: stat.nlink,
            size: stat.size,
            rdev: stat.rdev,
            mtime: (!now).then_some(stat.mtime),
            listed: None,
            xattrs: Vec::new(),
            content: Content::None,
        }
    }

    fn node(&self, seen: &Seen, listed: Option<Kind>) -> String {
        let shown =
            seen.xattrs.iter().flatten().filter(|(n, _)| !IGNORED_XATTRS.iter().any(|i| i.as_bytes() == n.as_slice()));
        let xattrs = shown.map(|(n, v)| (n.clone(), (!is_secret(n, v)).then_some(v))).collect();
        let listed = listed.filter(|kind| *kind != seen.stat.kind);
        Facts { xattrs, content: seen.content.clone(), listed, ..self.facts(&seen.stat) }.text()
    }

    fn place(&self, seen: &Result<Seen, Errno>, listed: Option<Kind>) -> String {
        match seen {
            Ok(seen) => self.node(seen, listed),
            Err(e) => e.to_string(),
        }
    }

    fn footprint(&self, footprint: &Footprint) -> Line {
        Line { side: footprint.side, path: footprint.path.clone(), text: self.place(&footprint.seen, None) }
    }

    fn tree(&self, side: Side, tree: &TreeSeen, lines: &mut Vec<Line>) {
        for node in tree {
            let listed = (!node.path.is_empty()).then_some(node.listed);
            let mut text = self.place(&node.seen, listed);
            if let Some(e) = node.list_error {
                text += &format!(" unlistable: {e}");
            }
            lines.push(Line { side, path: node.path.clone(), text });
        }
    }

    fn trees(&self, observation: &Observation) -> Trees {
        let mut lines = Vec::new();
        self.tree(Side::Merged, &observation.merged, &mut lines);
        self.tree(Side::Upper, &observation.upper, &mut lines);
        // Of the work directory its shape alone is told, and temporaries without their names.
        let mut work: Vec<Line> = Vec::new();
        for node in observation.work.iter().filter(|n| !n.path.is_empty()) {
            let text = match &node.seen {
                Ok(seen) => format!("{} {:04o}", kind_word(seen.stat.kind), seen.stat.mode),
                Err(e) => e.to_string(),
            };
            work.push(Line { side: Side::Work, path: super::expected::without_numbers(&node.path), text });
        }
        work.sort_by(|a, b| (&a.path, &a.text).cmp(&(&b.path, &b.text)));
        lines.append(&mut work);
        Trees { lines }
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Err(e) => e.to_string(),
            Outcome::Ok(Value::Unit) => "ok".to_owned(),
            Outcome::Ok(Value::Count(n)) => n.to_string(),
            Outcome::Ok(Value::Bytes(b)) => b.quoted().to_string(),
            Outcome::Ok(Value::Stat(stat)) => self.facts(stat).text(),
            Outcome::Ok(Value::Filesystem(facts)) => filesystem_text(facts),
            Outcome::Ok(Value::List(entries)) => listing_text(entries.iter().map(|e| (&e.name, e.kind))),
            Outcome::Ok(Value::Dents(entries)) => dents_text(entries.iter().map(|(e, _)| (&e.name, e.kind))),
            Outcome::Ok(Value::Names(names)) => {
                names_text(names.iter().filter(|n| !IGNORED_XATTRS.iter().any(|i| i.as_bytes() == n.as_slice())))
            }
        }
    }
}

impl Story {
    /// Leaves open what the other story leaves open.
    pub fn forgive(&mut self, other: &Story) {
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            if theirs.outcome == ANYTHING {
                ANYTHING.clone_into(&mut mine.outcome);
            }
        }
        self.steps.truncate(other.steps.len());
        if other.last.is_none() {
            self.last = None;
        }
    }
}
