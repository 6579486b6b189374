//! Tables of coverage: what a campaign reached, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::campaign::{Stats, Summary};
use crate::errno::Errno;
use crate::model::Origin;
use crate::step::Op;

/// Of a mutating operation at least so many of a hundred calls are to succeed.
pub const SUCCEEDING: u64 = 40;
/// Of a hundred steps at least so many are to change the upper layer.
pub const CHANGING: u64 = 20;

/// How many clauses stand in a line.
const COLUMNS: usize = 4;

/// Operations by error and by the state of their target, clauses by how often they fired; and what of it is
/// below what is wanted: `wanted` firings of each clause.
pub fn tables(summary: &Summary, wanted: u64) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_tables(&mut out, &summary.stats, wanted);
    out.push('\n');
    out
}

fn write_tables(out: &mut String, stats: &Stats, wanted: u64) -> std::fmt::Result {
    errors(out, stats)?;
    origins(out, stats)?;
    clauses(out, stats)?;
    writeln!(out, "\nwhat is wanted")?;
    let rare: Vec<String> =
        stats.by_firing().iter().filter(|(_, n)| *n < wanted).map(|(c, n)| format!("{c} {n}")).collect();
    verdict(out, &format!("each clause fires {wanted} times"), &rare)?;
    verdict(out, &format!("of each mutating operation {SUCCEEDING} % of calls succeed"), &stats.seldom_succeeding())?;
    let share = 100.0 * stats.changed as f64 / stats.steps.max(1) as f64;
    let few = if share < CHANGING as f64 { vec![format!("{share:.1} %")] } else { Vec::new() };
    verdict(out, &format!("{CHANGING} % of steps change the upper layer"), &few)
}

fn verdict(out: &mut String, wanted: &str, missing: &[String]) -> std::fmt::Result {
    match missing {
        [] => writeln!(out, "  yes  {wanted}"),
        _ => writeln!(out, "  NO   {wanted}; less: {}", missing.join(", ")),
    }
}

impl Stats {
    /// The mutating operations of whose calls fewer succeed than [`SUCCEEDING`] in a hundred, with their share.
    pub fn seldom_succeeding(&self) -> Vec<String> {
        let few = self.mutations.iter().filter(|(_, (calls, ok))| 100 * ok < SUCCEEDING * calls);
        few.map(|(operation, (calls, ok))| format!("{operation} {ok} of {calls}")).collect()
    }
}

/// Which operations gave an error, the most frequent first.
fn errors(out: &mut String, stats: &Stats) -> std::fmt::Result {
    let mut rows: BTreeMap<String, Vec<(u64, &str)>> = BTreeMap::new();
    for ((op, errno), n) in &stats.results {
        let name = errno.map_or("success".to_owned(), |e: Errno| e.to_string());
        rows.entry(name).or_default().push((*n, op));
    }
    writeln!(out, "errors by operation")?;
    for (errno, mut ops) in rows {
        ops.sort_by_key(|(n, op)| (std::cmp::Reverse(*n), *op));
        let ops: Vec<String> = ops.iter().map(|(n, op)| format!("{op} {n}")).collect();
        writeln!(out, "  {errno:<13} {}", ops.join(", "))?;
    }
    Ok(())
}

/// A row for each operation, a column for each state of its target; ` to` is the second target.
fn origins(out: &mut String, stats: &Stats) -> std::fmt::Result {
    writeln!(out, "\noperations by the state of their target: calls, and how many of a hundred succeeded")?;
    for origin in Origin::ALL {
        writeln!(out, "  {:<10} {}", origin.name(), origin.meaning())?;
    }
    let heads: Vec<String> = Origin::ALL.iter().map(|o| format!("{:>10}", o.name())).collect();
    writeln!(out, "\n{:<18}{}", "", heads.join(" "))?;
    let rows: BTreeSet<(usize, bool)> =
        stats.origins.keys().filter_map(|(op, second, _)| Some((place(op)?, *second))).collect();
    for (at, second) in rows {
        let op = Op::ALL[at];
        let cells = Origin::ALL.map(|origin| match stats.origins.get(&(op, second, origin)) {
            None => format!("{:>10}", "."),
            Some((calls, ok)) => format!("{calls:>6} {:>3}", 100 * ok / calls),
        });
        let name = format!("{op}{}", if second { " to" } else { "" });
        writeln!(out, "{name:<18}{}", cells.join(" "))?;
    }
    Ok(())
}

fn place(operation: &str) -> Option<usize> {
    Op::ALL.iter().position(|name| *name == operation)
}

fn clauses(out: &mut String, stats: &Stats) -> std::fmt::Result {
    let all = stats.by_firing();
    let cells: Vec<String> = all.iter().map(|(clause, n)| format!("{n:>8} {:<18}", clause.id())).collect();
    writeln!(out, "\nclauses by how often they fired")?;
    for line in cells.chunks(COLUMNS) {
        writeln!(out, "{}", line.join(" ").trim_end())?;
    }
    Ok(())
}
