//! What cases are to be about: a rule, an operation, an area.

use std::fmt;
use std::str::FromStr;

use super::look_after;
use crate::case::Case;
use crate::model::{Clause, Context, Model};
use crate::step::Op;

/// Areas by the name that the case files are sorted by, and how the IDs of their rules begin.
const AREAS: &[(&str, &str)] = &[
    ("attributes", "ATT-"),
    ("copy-up", "CUP-"),
    ("create", "CRE-"),
    ("descriptors", "FIL-"),
    ("directories", "DIR-"),
    ("hard-links", "NLK-"),
    ("hard-links", "LNK-"),
    ("identity", "INO-"),
    ("index", "IDX-"),
    ("listing", "DIR-"),
    ("lookup", "LKP-"),
    ("metacopy", "MCP-"),
    ("mount", "MNT-"),
    ("opaque", "OPQ-"),
    ("permission", "PRM-"),
    ("redirect", "RDR-"),
    ("remove", "RMV-"),
    ("rename", "REN-"),
    ("whiteout", "WHT-"),
    ("xattr", "XAT-"),
];

/// What cases are to be about. It is what the model predicts that counts, so no case has to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Focus {
    text: String,
    /// Any of these fires.
    clauses: Vec<Clause>,
    /// Or this operation is called.
    operation: Option<&'static str>,
}

impl Focus {
    /// Whether a case is about it: a clause fires, or the operation is called, in a step of it. What happens at the
    /// mounts, and what looks find, counts for a rule as well.
    pub fn admits(&self, case: &Case, context: &Context) -> bool {
        if self.operation.is_some_and(|name| case.steps.iter().any(|step| step.op.name() == name)) {
            return true;
        }
        if self.clauses.is_empty() {
            return false;
        }
        let mut model = Model::new(case, context.clone(), None);
        for step in &case.steps {
            model.rules.begin_step();
            // What it returns is of no interest here.
            let _ = model.act(step);
            look_after(&mut model, &step.op);
        }
        self.clauses.iter().any(|&clause| model.rules.fired()[clause as usize] > 0)
    }
}

impl FromStr for Focus {
    type Err = String;

    fn from_str(text: &str) -> Result<Focus, String> {
        let area = AREAS.iter().filter(|(name, _)| *name == text);
        let mut clauses: Vec<Clause> = area.flat_map(|(_, prefix)| named(prefix)).collect();
        if text.len() > 1 {
            clauses.extend(named(text));
        }
        let operation = Op::ALL.iter().copied().find(|name| *name == text);
        if clauses.is_empty() && operation.is_none() {
            let mut areas: Vec<&str> = AREAS.iter().map(|(name, _)| *name).collect();
            areas.dedup();
            return Err(format!(
                "'{text}' is no rule (`ovlcheck rules` lists them), no operation and no area ({})",
                areas.join(", ")
            ));
        }
        Ok(Focus { text: text.to_owned(), clauses, operation })
    }
}

/// The clauses whose IDs begin so.
fn named(prefix: &str) -> impl Iterator<Item = Clause> {
    Clause::ALL.iter().copied().filter(move |clause| clause.id().starts_with(prefix))
}

impl fmt::Display for Focus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Privilege;

    fn admits(focus: &str, case: &str) -> bool {
        let focus: Focus = focus.parse().expect(focus);
        focus.admits(&case.parse().expect(case), &Context::assumed(Privilege::Root))
    }

    #[test]
    fn rules_operations_and_areas_select_cases() {
        let whiteout = "lower\n  file a \"\"\nsteps\n  unlink a\n";
        let create = "lower\nsteps\n  mkdir b 0755\n";
        for (focus, about_whiteout, about_create) in [
            ("WHT-01", true, false),
            ("whiteout", true, false),
            ("unlink", true, false),
            ("mkdir", false, true),
            ("CRE-01.owner", false, true),
            ("create", false, true),
            ("REN", false, false),
        ] {
            assert_eq!(admits(focus, whiteout), about_whiteout, "{focus}");
            assert_eq!(admits(focus, create), about_create, "{focus}");
        }
    }

    #[test]
    fn every_area_has_rules_and_what_is_unknown_is_refused() {
        for (name, prefix) in AREAS {
            assert!(Clause::ALL.iter().any(|c| c.id().starts_with(prefix)), "{name}");
        }
        for word in ["", "frob", "W", "unlin"] {
            assert!(word.parse::<Focus>().is_err(), "{word}");
        }
    }
}
