//! A finding: the case, the step, what was expected and seen, the rules in play.

use std::fmt::Write;

use crate::campaign::Finding;
use crate::check::{Divergence, Place};
use crate::story::{self, Line, Story};
use crate::trace::{Filesystem, Privilege};

use super::tree_diff::tree_diff;

/// One line.
pub fn short(finding: &Finding) -> String {
    let case = finding.index.map_or(String::new(), |i| format!("case {i}: "));
    let times = if finding.times > 1 { format!(" ({} times)", finding.times) } else { String::new() };
    let flaky = if finding.nondeterministic.is_some() { " NONDETERMINISTIC" } else { "" };
    format!("{case}{}{times}{flaky}", line(&finding.divergence))
}

/// A divergence in one line, without what a kernel said besides.
pub(super) fn line(divergence: &Divergence) -> String {
    divergence.to_string().lines().next().unwrap_or_default().to_owned()
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
    write_places(out, finding)?;
    if !d.in_play.is_empty() {
        writeln!(out, "\nrules in play:")?;
        for clause in &d.in_play {
            let mark = if Some(*clause) == d.rule { ">" } else { " " };
            writeln!(out, "{mark} {:<22} {:<9} {}", clause.id(), clause.level().to_string(), clause.statement())?;
        }
    }
    let env = &finding.trace.environment;
    writeln!(out, "\non {} ({:?}), {}, Linux {}", env.target, env.privilege, env.filesystem, env.kernel)?;
    if !env.module.is_empty() {
        let all: Vec<String> = env.module.iter().map(|(name, value)| format!("{name}={value}")).collect();
        writeln!(out, "overlay module: {}", all.join(" "))?;
    }
    writeln!(out, "replay: {}", replay_command(finding))
}

/// The command that runs the case again, with the case as `FILE.case`.
fn replay_command(finding: &Finding) -> String {
    let env = &finding.trace.environment;
    let mut command = "ovlcheck replay".to_owned();
    if env.privilege == Privilege::Rootless {
        command += " --rootless";
    }
    match env.target.as_str() {
        "kernel" => {}
        "plain" => command += " --plain",
        pair if pair.contains(',') => {
            let rootless = if env.privilege == Privilege::Rootless { " --rootless" } else { "" };
            return format!("ovlcheck exchange --targets {pair}{rootless} FILE.case");
        }
        program => command += &format!(" --target-command '{program} ...'"),
    }
    if env.filesystem != Filesystem::Tmpfs.name() {
        command += &format!(" --fs {}", env.filesystem);
    }
    if let Some(fault) = finding.fault {
        command += &format!(" --fault {fault}");
    }
    command + " FILE.case"
}

/// The places that the divergence is about, as the model and as the trace has them.
fn write_places(out: &mut String, finding: &Finding) -> std::fmt::Result {
    let d = &finding.divergence;
    let expected = story::expected(&finding.case, &finding.trace.environment, finding.fault);
    let mut seen = story::seen(&finding.trace);
    seen.forgive(&expected);
    let lines = |story: &Story| -> Vec<Line> {
        match d.place {
            Place::Mount => Vec::new(),
            Place::Step(n) => story.steps.get(n).map_or_else(Vec::new, |chapter| {
                let trees = chapter.trees.iter().flat_map(|t| t.lines.iter().cloned());
                chapter.looks.iter().cloned().chain(trees).collect()
            }),
            Place::End => story.last.iter().flat_map(|t| t.lines.iter().cloned()).collect(),
        }
    };
    let (expected, seen) = (lines(&expected), lines(&seen));
    if expected.is_empty() || seen.is_empty() {
        return Ok(());
    }
    let when = if d.place == Place::End { "at the end" } else { "after the step" };
    if expected == seen {
        return writeln!(out, "\n{when}, all types, modes, owners, links, sizes, data and xattrs are as expected");
    }
    writeln!(out, "\n{when} (- expected, + seen):\n{}", tree_diff(&expected, &seen).trim_end())
}
