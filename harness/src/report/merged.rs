//! What several shards of a campaign came to, as text.

use std::fmt::Write;

use serde_json::Value;

use super::machine::CampaignEnd;
use crate::model::Clause;

/// The summary of so many shards: their sums, and every finding with its case.
pub(crate) fn merged(end: &CampaignEnd, findings: &[Value], shards: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_merged(&mut out, end, findings, shards);
    out
}

fn write_merged(out: &mut String, end: &CampaignEnd, findings: &[Value], shards: usize) -> std::fmt::Result {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    for finding in findings {
        writeln!(out, "DIVERGENCE {}\n", text(finding, "message"))?;
        for line in text(finding, "case").lines() {
            writeln!(out, "  {line}")?;
        }
        writeln!(out)?;
    }
    if let Some(env) = &end.environment {
        let (target, filesystem) = (text(env, "target"), text(env, "filesystem"));
        writeln!(out, "{target} on {filesystem}, {}, Linux {}", text(env, "privilege"), text(env, "kernel"))?;
    }
    let cut = if end.interrupted { " (interrupted)" } else { "" };
    let of = if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") };
    writeln!(out, "seed {}: {} cases in {of}, {:.1} s in all{cut}", end.seed, end.cases, end.seconds)?;
    let share = |n: u64| 100.0 * n as f64 / end.steps.max(1) as f64;
    writeln!(
        out,
        "{} steps, {} checked, {:.1} % mutating, {:.1} % changed the upper layer",
        end.steps,
        end.checked,
        share(end.mutating),
        share(end.changed)
    )?;
    let all = Clause::ALL.len();
    writeln!(out, "clauses: {} of {all} fired", all - end.never_fired.len().min(all))?;
    if !end.never_fired.is_empty() {
        writeln!(out, "never fired: {}", end.never_fired.join(", "))?;
    }
    for untested in &end.untested {
        writeln!(out, "{} cases not tested: {}", untested.count, untested.reason)?;
    }
    for defect in &end.defects {
        writeln!(out, "defect: {defect}")?;
    }
    for known in &end.known {
        let gone = if known.gone { "  NO LONGER SO" } else { "" };
        writeln!(out, "{:>9} cases  {}{gone}", known.cases, known.name)?;
    }
    if end.diverged == 0 && findings.is_empty() {
        let news = if end.known.is_empty() { "no divergence" } else { "no divergence that is not known" };
        return writeln!(out, "\n{news}");
    }
    writeln!(out, "\n{} of {} cases diverged, {} signatures:", end.diverged, end.cases, findings.len())?;
    for finding in findings {
        writeln!(out, "  {} times: {}", finding["times"], text(finding, "message"))?;
    }
    Ok(())
}
