//! `docs/errno-table.md` against a short campaign: what the campaign returned stands in the table.
//!
//! Skipped, with the reason, where the environment cannot run.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use ovlcheck::campaign::{Settings, Shard, run};
use ovlcheck::exec::{ExecError, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::generate::Profile;
use ovlcheck::step::Op;
use ovlcheck::trace::Privilege;

const TABLE: &str = include_str!("../../docs/errno-table.md");
const CASES: u64 = 1500;

fn main() {
    worker_entry();
    let mut trials = vec![Trial::test("every_operation_has_a_row", || Ok(every_operation_has_a_row()?))];
    for (privilege, name) in [(Privilege::Root, "root"), (Privilege::Rootless, "rootless")] {
        let test = move || skip_where_impossible(name, agrees_with_a_campaign(privilege));
        trials.push(Trial::ignorable_test(format!("{name}::agrees_with_a_campaign"), test));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// `OVLCHECK_REQUIRE` makes a failure of what would be skipped.
fn skip_where_impossible(name: &str, result: Result<()>) -> Result<Completion, libtest_mimic::Failed> {
    let Err(error) = result else { return Ok(Completion::Completed) };
    let required = std::env::var("OVLCHECK_REQUIRE").unwrap_or_default();
    let required = required.split(',').map(str::trim).any(|word| word == name || word == "kernel");
    match error.downcast_ref() {
        Some(ExecError::Unsupported { reason, .. }) if !required => Ok(Completion::ignored_with(reason)),
        _ => Err(format!("{error:#}").into()),
    }
}

/// The cells of the table by operation and errno, those that are not empty.
fn cells() -> Result<BTreeMap<(&'static str, &'static str), &'static str>> {
    let words = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let mut lines = TABLE.lines().skip_while(|l| !l.starts_with("| operation |"));
    let header = words(lines.next().context("no table")?);
    let mut cells = BTreeMap::new();
    for line in lines.skip(1).take_while(|l| l.starts_with('|')) {
        let row = words(line);
        ensure!(row.len() == header.len(), "a row of another length: {line}");
        for (errno, cell) in header.iter().zip(&row).skip(1).filter(|(_, cell)| !cell.is_empty()) {
            ensure!(["both", "root", "user"].contains(&cell.trim_end_matches('*')), "unknown cell '{cell}': {line}");
            cells.insert((row[0], *errno), *cell);
        }
    }
    Ok(cells)
}

fn every_operation_has_a_row() -> Result<()> {
    let cells = cells()?;
    for op in Op::ALL.iter().filter(|op| !["remount", "rotate", "drop-caches", "observe"].contains(op)) {
        // A call that cannot fail has a row, and no cell in it.
        ensure!(TABLE.contains(&format!("\n| {op} |")), "no row for {op}");
    }
    for (row, _) in cells.keys() {
        ensure!(Op::ALL.contains(row), "a row for '{row}', which is no operation");
    }
    Ok(())
}

fn agrees_with_a_campaign(privilege: Privilege) -> Result<()> {
    let settings = Settings {
        seed: 1,
        cases: CASES,
        shard: Shard::WHOLE,
        time: None,
        jobs: 1,
        // The table speaks of default mounts.
        profile: Profile::new(privilege).without_options(),
        worker: WorkerConfig::new(privilege, TargetSpec::Kernel),
        mirror: 0,
        shrink_time: Duration::ZERO,
        max_findings: 0,
        expectations: None,
        focus: None,
        coverage: false,
    };
    let summary = run(&settings, &AtomicBool::new(false), |_| {})?;
    ensure!(summary.stats.cases == CASES, "{} cases ran", summary.stats.cases);
    let other = if privilege == Privilege::Root { "user" } else { "root" };
    let cells = cells()?;
    let mut wrong = Vec::new();
    let results = &summary.stats.results;
    for ((op, errno), n) in results {
        let Some(errno) = errno else { continue };
        let cell = cells.get(&(*op, errno.to_string().as_str())).copied().unwrap_or("");
        if cell.is_empty() || cell.trim_end_matches('*') == other {
            wrong.push(format!("{op} gave {errno} {n} times, the table says '{cell}'"));
        }
    }
    for ((op, errno), cell) in &cells {
        let fired = results.keys().any(|(o, e)| o == op && e.is_some_and(|e| e.to_string() == *errno));
        if !fired && *cell != other && !cell.ends_with('*') {
            wrong.push(format!("{op} never gave {errno}, the table says '{cell}'"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(anyhow!("{}", wrong.join("\n"))) }
}
