//! A case step by step: where each path was found, which clauses decided, what the upper layer gained.

use super::Line;
use super::expected::{ALL, Teller};
use crate::case::Case;
use crate::model::Clause;
use crate::trace::Environment;

/// What happens in one step, by the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// Where each path of the step is found before it: `f: file, from lower 1`.
    pub found: Vec<String>,
    /// What the call returns.
    pub outcome: String,
    /// The clauses that fired, each once, in order.
    pub fired: Vec<Clause>,
    /// Places of the upper layer that came, changed or went: the line before and the line after.
    pub changed: Vec<(Option<Line>, Option<Line>)>,
}

/// Explains every step of a case, as far as the model can tell.
pub fn explained(case: &Case, environment: &Environment) -> Vec<Explained> {
    let mut teller = Teller::new(case, environment, None);
    let mut all = Vec::new();
    if teller.model.mounts.is_err() {
        return all;
    }
    let mut before = teller.upper_lines(ALL);
    for step in &case.steps {
        teller.model.at(1);
        teller.model.rules.begin_step();
        let found = teller.found(step);
        // Where the paths lead was looked up as the call would; the clauses are those of the call.
        teller.model.rules.begin_step();
        let chapter = teller.chapter(step);
        if teller.model.adrift || teller.model.undecided {
            break;
        }
        let after = teller.upper_lines(ALL);
        let changed = changes(&before, &after);
        before = after;
        all.push(Explained { found, outcome: chapter.outcome, fired: chapter.fired, changed });
    }
    all
}

fn changes(before: &[Line], after: &[Line]) -> Vec<(Option<Line>, Option<Line>)> {
    let at = |lines: &[Line], path| lines.iter().find(|l: &&Line| l.path == path).cloned();
    let mut changed = Vec::new();
    for line in before {
        let now = at(after, line.path.clone());
        if now.as_ref() != Some(line) {
            changed.push((Some(line.clone()), now));
        }
    }
    let new = after.iter().filter(|l| at(before, l.path.clone()).is_none());
    changed.extend(new.map(|l| (None, Some(l.clone()))));
    changed.sort_by(|a, b| path_of(a).cmp(path_of(b)));
    changed
}

fn path_of(change: &(Option<Line>, Option<Line>)) -> &[u8] {
    change.0.as_ref().or(change.1.as_ref()).map_or(&[], |l| l.path.as_slice())
}
