//! A clause, and a case step by step.

use std::fmt::Write;

use crate::case::Case;
use crate::model::Clause;
use crate::step::Step;
use crate::story::{Explained, Story};
use crate::trace::Side;

/// What a clause says and whom it binds.
pub fn clause(clause: Clause, meaning: &str) -> String {
    format!(
        "{}  {}\n\n  level    {}, which {meaning}\n  source   {}\n  versions the model holds it for every kernel that it knows, unless the statement names one\n",
        clause.id(),
        clause.statement(),
        clause.level(),
        clause.source()
    )
}

/// The layers of a case, then each step: where its paths were found, what it returned, which clauses decided,
/// and what came of the upper layer.
pub fn explained(case: &Case, steps: &[Explained]) -> String {
    let mut out = String::new();
    let head = Case { steps: Vec::new(), expect: Vec::new(), ..case.clone() }.to_string();
    for line in head.lines().filter(|l| *l != "steps") {
        let _ = writeln!(out, "{line}");
    }
    for (index, step) in case.steps.iter().enumerate() {
        let bare = Step { expect: None, ..step.clone() };
        let Some(told) = steps.get(index) else {
            let _ = writeln!(out, "\n{}. {bare}\n     (from here on the model does not say)", index + 1);
            break;
        };
        let _ = writeln!(out, "\n{}. {bare} = {}", index + 1, told.outcome);
        for found in &told.found {
            let _ = writeln!(out, "     before: {found}");
        }
        for clause in &told.fired {
            let _ = writeln!(out, "     {:<20} {}", clause.id(), clause.statement());
        }
        for change in &told.changed {
            let _ = match change {
                (None, Some(l)) => writeln!(out, "   + {}: {}", l.place(), l.text),
                (Some(l), None) => writeln!(out, "   - {}: {}", l.place(), l.text),
                (Some(b), Some(a)) => {
                    writeln!(out, "   - {}: {}\n   + {}: {}", b.place(), b.text, a.place(), a.text)
                }
                (None, None) => Ok(()),
            };
        }
    }
    out
}

/// The upper layer at the end of a story.
pub fn upper_after(story: &Story) -> String {
    let mut out = String::from("the upper layer at the end:\n");
    let Some(trees) = &story.last else { return out + "  (the model does not say)\n" };
    for line in trees.lines.iter().filter(|l| l.side == Side::Upper) {
        let path = if line.path.is_empty() { ".".to_owned() } else { line.path.to_string() };
        let _ = writeln!(out, "  {path}: {}", line.text);
    }
    out
}
