//! The list of clauses.

use std::fmt::Write;

use crate::model::Clause;

/// Every clause with its level, statement and source; only those whose ID starts with `filter`.
pub fn rules(filter: &str) -> String {
    let mut out = String::new();
    for clause in Clause::ALL.iter().filter(|c| c.id().starts_with(filter)) {
        let _ = writeln!(out, "{:<22} {:<9} {}", clause.id(), clause.level(), clause.statement());
        let _ = writeln!(out, "{:<22} {:<9} source: {}", "", "", clause.source());
    }
    out
}
