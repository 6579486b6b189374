//! The summary of a campaign, and its line of progress.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::finding::short;
use crate::campaign::Summary;
use crate::errno::Errno;
use crate::model::Clause;
use crate::step::Op;
use crate::trace::Privilege;

/// One line about how far a campaign is.
pub fn progress(cases: u64, total: u64, checked: u64, diverged: u64, elapsed: Duration) -> String {
    let rate = checked as f64 / elapsed.as_secs_f64().max(1e-9);
    let of = if total == u64::MAX { String::new() } else { format!(" of {total}") };
    format!("{cases}{of} cases, {checked} steps checked, {rate:.0} steps/s, {diverged} diverged")
}

/// Counts per operation: successes, and errors by number.
type Row = (u64, BTreeMap<Errno, u64>);

/// The whole summary of a campaign.
pub fn summary(summary: &Summary, replay_hint: &str) -> String {
    let mut out = String::new();
    let stats = &summary.stats;
    // Writing to a String cannot fail.
    let _ = write_head(&mut out, summary);
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for ((op, errno), n) in &stats.results {
        let row = rows.entry(op).or_default();
        match errno {
            None => row.0 += n,
            Some(e) => *row.1.entry(*e).or_default() += n,
        }
    }
    let _ = writeln!(out, "\n{:<12} {:>9} {:>8}  errors", "operation", "calls", "success");
    for op in Op::ALL {
        let Some((ok, errors)) = rows.get(op) else { continue };
        let calls = ok + errors.values().sum::<u64>();
        let mut errors: Vec<(&Errno, &u64)> = errors.iter().collect();
        errors.sort_by_key(|(e, n)| (std::cmp::Reverse(**n), **e));
        let errors: Vec<String> = errors.iter().map(|(e, n)| format!("{e} {n}")).collect();
        let share = 100.0 * *ok as f64 / calls.max(1) as f64;
        let _ = writeln!(out, "{op:<12} {calls:>9} {share:>7.1}%  {}", errors.join(", "));
    }
    let fired = Clause::ALL.len() - stats.never_fired().len();
    let _ = writeln!(out, "\nclauses: {fired} of {} fired", Clause::ALL.len());
    let never = stats.never_fired();
    if !never.is_empty() {
        let names: Vec<String> = never.iter().map(|c| c.to_string()).collect();
        let _ = writeln!(out, "never fired: {}", names.join(", "));
    }
    for (reason, n) in &stats.untested {
        let _ = writeln!(out, "{n} cases not tested: {reason}");
    }
    for defect in &summary.defects {
        let _ = writeln!(out, "defect: {defect}");
    }
    let _ = write_known(&mut out, summary);
    if stats.diverged == 0 && summary.findings.is_empty() {
        let news = if summary.known.is_empty() { "no divergence" } else { "no divergence that is not known" };
        let _ = writeln!(out, "\n{news}");
    } else {
        let n = summary.findings.len();
        let _ = writeln!(out, "\n{} of {} cases diverged, {n} signatures:", stats.diverged, stats.cases);
        for finding in &summary.findings {
            let _ = writeln!(out, "  {}", short(finding));
        }
        let _ = writeln!(out, "{replay_hint}");
    }
    out
}

/// What became of the known deviations.
fn write_known(out: &mut String, summary: &Summary) -> std::fmt::Result {
    if summary.known.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nknown deviations ({} cases were judged only up to one):", summary.stats.cut)?;
    for known in &summary.known {
        let gone = if known.gone { "  NO LONGER SO" } else { "" };
        writeln!(out, "{:>9} cases  {}{gone}", known.cases, known.name)?;
    }
    Ok(())
}

fn write_head(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let stats = &summary.stats;
    let seconds = summary.elapsed.as_secs_f64();
    if let Some(env) = &summary.environment {
        let privilege = match env.privilege {
            Privilege::Root => "root",
            Privilege::Rootless => "rootless",
        };
        writeln!(out, "{} on {}, {privilege}, Linux {}", env.target, env.filesystem, env.kernel)?;
    }
    let cut = if summary.interrupted { " (interrupted)" } else { "" };
    let seeds = match summary.seeds {
        n @ 2.. => format!("seeds {} to {}", summary.seed, summary.seed.saturating_add(n - 1)),
        _ => format!("seed {}", summary.seed),
    };
    let seeds = if summary.shard.is_whole() { seeds } else { format!("{seeds}, shard {}", summary.shard) };
    writeln!(out, "{seeds}: {} cases in {seconds:.1} s{cut}", stats.cases)?;
    // Here a worker takes no time to speak of; a guest boots first.
    if let (Some(ready), Some(judged)) = (summary.start.ready, summary.start.judged) {
        if ready >= Duration::from_secs(1) {
            let (ready, judged) = (ready.as_secs_f64(), judged.as_secs_f64());
            writeln!(out, "a worker was ready after {ready:.1} s, the first case judged after {judged:.1} s")?;
        }
    }
    let rate = |n: u64| n as f64 / seconds.max(1e-9);
    let share = |n: u64| 100.0 * n as f64 / stats.steps.max(1) as f64;
    writeln!(
        out,
        "{} steps, {} checked ({:.0} per second), {:.0} cases per second",
        stats.steps,
        stats.checked,
        rate(stats.checked),
        rate(stats.cases)
    )?;
    writeln!(
        out,
        "{:.1} % of steps mutating, {:.1} % changed the upper layer",
        share(stats.mutating),
        share(stats.changed)
    )?;
    if stats.resolved > 0 {
        writeln!(out, "{} merged trees compared with what their layers make", stats.resolved)?;
    }
    if stats.mirrored > 0 {
        let (steps, compared) = stats.mirrored_steps;
        let share = 100.0 * compared as f64 / steps.max(1) as f64;
        writeln!(
            out,
            "{} cases also on a plain filesystem: {share:.1} % of {steps} steps compared in full",
            stats.mirrored
        )?;
        for (deviation, n) in &stats.deviations {
            writeln!(out, "  {:<7} {n:>7} steps not: {}", deviation.id(), deviation.statement())?;
        }
    }
    Ok(())
}
