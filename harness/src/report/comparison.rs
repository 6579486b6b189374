//! What is different between two kernels.

use std::fmt::Write;

use crate::campaign::{Change, Comparison, Difference};
use crate::check::Place;

/// The differences, each with its smallest case.
pub fn comparison(comparison: &Comparison) -> String {
    let mut out = String::new();
    let _ = write_comparison(&mut out, comparison);
    out
}

fn write_comparison(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    for (name, (environment, diverged)) in
        ["A", "B"].iter().zip(comparison.environments.iter().zip(&comparison.diverged))
    {
        writeln!(out, "{name}  Linux {}: {diverged} cases diverged", environment.kernel)?;
    }
    let cut = if comparison.interrupted { " (interrupted)" } else { "" };
    let seconds = comparison.elapsed.as_secs_f64();
    writeln!(out, "seed {}: {} cases on both in {seconds:.1} s{cut}", comparison.seed, comparison.cases)?;
    for (reason, cases) in &comparison.untested {
        writeln!(out, "{cases} cases could not be tested: {reason}")?;
    }
    for (change, title) in [
        (Change::Fails, "fails on B and holds on A"),
        (Change::Holds, "holds on B and fails on A"),
        (Change::Differs, "holds on both, and is not the same"),
    ] {
        let of: Vec<&Difference> = comparison.differences.iter().filter(|d| d.change == change).collect();
        writeln!(out, "\n{title}: {}", if of.is_empty() { "nothing".to_owned() } else { of.len().to_string() })?;
        for difference in of {
            write_difference(out, difference)?;
        }
    }
    Ok(())
}

fn write_difference(out: &mut String, difference: &Difference) -> std::fmt::Result {
    let rule = difference.rule.map_or("no clause", |clause| clause.id());
    let place = match difference.place {
        Place::Mount => "at the mount".to_owned(),
        Place::Step(step) => format!("at step {} ({})", step + 1, difference.operation),
        Place::End => "after the last step".to_owned(),
    };
    let times = if difference.times == 1 { "1 case".to_owned() } else { format!("{} cases", difference.times) };
    writeln!(out, "\n{rule}: {place}, {} ({times}, the first is {})", difference.what, difference.index)?;
    if let Some(clause) = difference.rule {
        writeln!(out, "  {}", clause.statement())?;
    }
    let [a, b] = &difference.sides;
    writeln!(out, "  A  {a}\n  B  {b}\n")?;
    difference.case.to_string().lines().try_for_each(|line| writeln!(out, "    {line}"))
}
