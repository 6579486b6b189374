//! What an enumeration covers, and what came of it.

use std::fmt::Write;

use crate::campaign::Summary;
use crate::enumerate::Plan;

/// What is covered: alphabet, layers, sequences, and why so few of them are run.
pub fn coverage(plan: &Plan) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_coverage(&mut out, plan);
    out
}

fn write_coverage(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let c = &plan.coverage;
    writeln!(out, "all {} sequences of 1 to {} steps", c.sequences, c.length)?;
    writeln!(out, "  alphabet     {} steps: {}", c.alphabet, plan.alphabet().operations().join(", "))?;
    writeln!(out, "  paths        {}", Plan::paths().join(", "))?;
    for (n, layers) in plan.layers().iter().enumerate() {
        let head = if n == 0 { format!("layers       {:>2}:", c.layers) } else { " ".repeat(16) };
        writeln!(out, "  {head} {}", layers.title)?;
    }
    let states: Vec<String> = c.states.iter().enumerate().map(|(n, s)| format!("{s} after {n}")).collect();
    writeln!(out, "  states       {}; every sequence leads through states equal to these", states.join(", "))?;
    writeln!(out, "  transitions  {} run in {} cases: each step from each state", c.transitions, c.cases)?;
    writeln!(
        out,
        "               {} leave the state as it is; before the last step {} lead to one already met",
        c.still, c.merged
    )?;
    writeln!(out, "  not run      {} that another one becomes when names are exchanged", c.symmetric)?;
    if c.lost > 0 {
        writeln!(out, "  not followed {} after which no rule says what is seen", c.lost)?;
    }
    Ok(())
}

/// What came of it. `done` of the plan's cases are done, and `diverged` of them diverged, in this run or an
/// earlier one.
pub fn enumerated(plan: &Plan, summary: &Summary, done: u64, diverged: u64) -> String {
    let mut out = String::new();
    let _ = write_enumerated(&mut out, plan, summary, done, diverged);
    out
}

fn write_enumerated(out: &mut String, plan: &Plan, summary: &Summary, done: u64, diverged: u64) -> std::fmt::Result {
    let (stats, seconds) = (&summary.stats, summary.elapsed.as_secs_f64());
    if let Some(env) = &summary.environment {
        writeln!(out, "{} ({:?}) on {}, Linux {}", env.target, env.privilege, env.filesystem, env.kernel)?;
    }
    let rate = stats.cases as f64 / seconds.max(1e-9);
    writeln!(out, "{} cases in {seconds:.1} s ({rate:.0} per second), {} steps checked", stats.cases, stats.checked)?;
    for (reason, n) in &stats.untested {
        writeln!(out, "{n} cases not tested: {reason}")?;
    }
    for defect in &summary.defects {
        writeln!(out, "defect: {defect}")?;
    }
    for finding in &summary.findings {
        writeln!(out, "  {}", super::short(finding))?;
    }
    let total = plan.len();
    match (done == total && stats.untested.is_empty(), diverged) {
        (true, 0) => writeln!(out, "complete, no divergence: all {} sequences hold", plan.coverage.sequences),
        (true, n) => writeln!(out, "complete: {n} of {total} cases diverged"),
        (false, n) => writeln!(out, "NOT complete: {done} of {total} cases done, {n} diverged"),
    }
}
