//! A finding: the case, the step, what was expected and seen, the rules in play.

use std::fmt::Write;

use crate::campaign::Finding;
use crate::check::Place;

/// One line.
pub fn short(finding: &Finding) -> String {
    let case = finding.index.map_or(String::new(), |i| format!("case {i}: "));
    let times = if finding.times > 1 { format!(" ({} times)", finding.times) } else { String::new() };
    let flaky = if finding.nondeterministic.is_some() { " NONDETERMINISTIC" } else { "" };
    format!("{case}{}{times}{flaky}", finding.divergence)
}

/// The whole report.
pub fn finding(finding: &Finding) -> String {
    let mut out = String::new();
    let _ = write_finding(&mut out, finding);
    out
}

fn write_finding(out: &mut String, finding: &Finding) -> std::fmt::Result {
    let d = &finding.divergence;
    writeln!(out, "DIVERGENCE {d}")?;
    if let Some(why) = &finding.nondeterministic {
        writeln!(out, "nondeterministic, not shrunk: {why}")?;
    } else if finding.runs > 0 {
        let to = (finding.case.steps.len(), crate::campaign::entries(&finding.case));
        writeln!(
            out,
            "shrunk from {} steps and {} entries to {} and {} in {} runs",
            finding.from.0, finding.from.1, to.0, to.1, finding.runs
        )?;
    }
    writeln!(out)?;
    let marked = match d.place {
        Place::Step(n) => Some(n),
        _ => None,
    };
    let text = finding.case.to_string();
    let mut step = 0;
    let mut in_steps = false;
    for line in text.lines() {
        let is_step = in_steps && line.starts_with(' ');
        let mark = if is_step && marked == Some(step) { ">" } else { " " };
        writeln!(out, "{mark} {line}")?;
        step += usize::from(is_step);
        in_steps = is_step || line == "steps";
    }
    writeln!(out, "\n  expected  {}\n  seen      {}", d.expected, d.seen)?;
    if !d.in_play.is_empty() {
        writeln!(out, "\nrules in play:")?;
        for clause in &d.in_play {
            writeln!(out, "  {:<22} {}", clause.id(), clause.statement())?;
        }
    }
    let env = &finding.trace.environment;
    writeln!(out, "\non {} ({:?}), {}, Linux {}", env.target, env.privilege, env.filesystem, env.kernel)
}
