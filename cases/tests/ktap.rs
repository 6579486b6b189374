//! What `--ktap` writes, read as the kernel documents it (Documentation/dev-tools/ktap.rst).

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Trial};
use ovlcheck::exec::{TargetSpec, worker_entry};
use ovlcheck::trace::Privilege;
use ovlcheck_cases::need::{Need, trial};
use ovlcheck_cases::program::{Program, binary};

fn main() {
    worker_entry();
    let kernel = Need::of(Privilege::Rootless, &TargetSpec::Kernel);
    let trials: Vec<Trial> = vec![
        trial("a_campaign_that_holds_is_ok", kernel, a_campaign_that_holds_is_ok),
        trial("what_diverges_is_not_ok", vec![Need::Rootless], what_diverges_is_not_ok),
        trial("a_file_that_cannot_be_written_is_3", vec![Need::Rootless], a_file_that_cannot_be_written_is_3),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A result line with the results below it.
#[derive(Debug)]
struct Test {
    ok: bool,
    name: String,
    directive: Option<String>,
    subtests: Vec<Test>,
}

/// Reads the results of one level: a version line, a plan, and as many results as it says.
fn read(lines: &mut std::iter::Peekable<std::str::Lines<'_>>, depth: usize) -> Result<Vec<Test>> {
    let indent = "  ".repeat(depth);
    let next = |lines: &mut std::iter::Peekable<std::str::Lines<'_>>| -> Result<String> {
        let line = lines.next().context("the results end too soon")?;
        line.strip_prefix(&indent).with_context(|| format!("not at depth {depth}: {line}")).map(str::to_owned)
    };
    ensure!(next(lines)? == "KTAP version 1");
    let plan = next(lines)?;
    let count: usize = plan.strip_prefix("1..").with_context(|| plan.clone())?.parse()?;
    let mut tests = Vec::new();
    let mut subtests = Vec::new();
    while tests.len() < count {
        let line = lines.peek().context("fewer results than planned")?;
        if line.starts_with(&format!("{indent}  KTAP")) {
            subtests = read(lines, depth + 1)?;
            continue;
        }
        let line = next(lines)?;
        if line.starts_with("# ") {
            continue;
        }
        let (ok, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), None) => (true, rest),
            (None, Some(rest)) => (false, rest),
            _ => bail!("neither a result nor a diagnostic: {line}"),
        };
        let (head, data) = rest.split_once(" # ").map_or((rest, None), |(head, data)| (head, Some(data)));
        let (number, name) = head.split_once(' ').with_context(|| format!("no name: {line}"))?;
        ensure!(number.parse::<usize>()? == tests.len() + 1, "{line} is not number {}", tests.len() + 1);
        ensure!(!name.is_empty() && !name.contains('#'), "{line}");
        let word = data.and_then(|data| data.split(' ').next());
        let known = word.filter(|w| ["SKIP", "XFAIL", "ERROR", "TIMEOUT", "TODO"].contains(w));
        let test = Test { ok, name: name.into(), directive: known.map(str::to_owned), subtests };
        subtests = Vec::new();
        ensure!(test.ok || test.subtests.is_empty() || test.subtests.iter().any(|t| !t.ok), "{line} without a reason");
        ensure!(!test.ok || test.subtests.iter().all(|t| t.ok), "{line} although a subtest fails");
        tests.push(test);
    }
    ensure!(subtests.is_empty(), "subtests of nothing");
    Ok(tests)
}

/// The one campaign that these arguments run.
fn campaign(status: i32, more: &[&str]) -> Result<Test> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("results.ktap");
    let path = file.display().to_string();
    let usual = ["run", "--rootless", "--seed", "1", "--cases", "40", "--ktap", &path];
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &[&usual, more].concat())?.end()?.expect(status)?;
    let text = fs::read_to_string(file)?;
    let mut lines = text.lines().peekable();
    let mut tests = read(&mut lines, 0).with_context(|| text.clone())?;
    ensure!(lines.next().is_none() && tests.len() == 1, "more than one campaign in\n{text}");
    tests.pop().context("no campaign")
}

fn a_campaign_that_holds_is_ok() -> Result<()> {
    let campaign = campaign(0, &[])?;
    ensure!(campaign.ok && campaign.name.starts_with("kernel on tmpfs, rootless, Linux "), "{}", campaign.name);
    let clauses: Vec<&Test> = campaign.subtests.iter().flat_map(|area| &area.subtests).collect();
    ensure!(clauses.len() == ovlcheck::model::Clause::ALL.len(), "{} clauses", clauses.len());
    let fired = clauses.iter().filter(|t| t.directive.is_none()).count();
    ensure!(fired > 100 && fired < clauses.len(), "{fired} clauses fired");
    ensure!(clauses.iter().all(|t| t.ok && t.directive.as_deref().is_none_or(|d| d == "SKIP")), "{clauses:?}");
    Ok(())
}

fn what_diverges_is_not_ok() -> Result<()> {
    let campaign = campaign(1, &["--target-command", "false {lowerdir} {upperdir} {workdir} {merged}"])?;
    let failed: Vec<&str> = campaign.subtests.iter().filter(|t| !t.ok).map(|t| t.name.as_str()).collect();
    ensure!(!campaign.ok && failed == ["divergences by no clause"], "{failed:?}");
    ensure!(campaign.subtests.iter().any(|t| t.directive.as_deref() == Some("SKIP")), "areas that were not reached");
    Ok(())
}

fn a_file_that_cannot_be_written_is_3() -> Result<()> {
    let arguments = ["run", "--plain", "--rootless", "--cases", "2", "--ktap", "/nonexistent/x"];
    let ended = Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &arguments)?.end()?;
    ensure!(ended.expect(3)?.stderr.contains("cannot write /nonexistent/x"), "{}", ended.stderr);
    Ok(())
}
