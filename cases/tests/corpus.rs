//! Every case file, on the kernel's OverlayFS, as root and rootless.
//!
//! A case must hold: by the model, and by what it asserts itself. A case that is named after a
//! clause must also show that clause: the model that is wrong in it alone must diverge.

use anyhow::{Result, anyhow, bail, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use ovlcheck::campaign::Finding;
use ovlcheck::check::{check_expectations, judge};
use ovlcheck::exec::{ExecError, Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::model::Clause;
use ovlcheck::report;
use ovlcheck::trace::{Filesystem, Privilege};
use ovlcheck_cases::corpus::{CaseFile, files, run_case};
use ovlcheck_cases::need::{DISKS, Need, PRIVILEGES, first_missing, ignorable, trial};

fn main() {
    worker_entry();
    let mut trials = Vec::new();
    match files() {
        Ok(files) if !files.is_empty() => {
            for filesystem in DISKS {
                let of = files.clone();
                let name = format!("{}::all_case_files_hold", filesystem.name());
                trials.push(trial(name, Need::layers(filesystem), move || all_hold(&of, filesystem)));
            }
            let of = files.clone();
            let mapping = move || the_mapping_names_what_exists(&of);
            trials.push(trial("the_mapping_names_what_exists", vec![], mapping));
            files.into_iter().for_each(|file| trials.extend(trials_of(&file)));
        }
        Ok(_) => trials.push(trial("case_files_are_found", vec![], || bail!("there are no case files"))),
        Err(e) => trials.push(trial("case_files_are_found", vec![], || Err(e))),
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trials_of(file: &CaseFile) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (privilege, rights) in PRIVILEGES {
        if privilege == Privilege::Rootless && file.is_for_root() {
            continue;
        }
        let of = file.clone();
        let needs = Need::of(privilege, &TargetSpec::Kernel);
        trials.push(ignorable(format!("{rights}::{}", file.name), needs, move || holds(&of, privilege)));
    }
    if let Some(clause) = file.clause() {
        let of = file.clone();
        trials.push(ignorable(format!("fault::{}", file.name), vec![], move || shows(&of, clause)));
    }
    trials
}

fn executor(privilege: Privilege) -> Result<Executor> {
    Ok(Executor::start(WorkerConfig::new(privilege, TargetSpec::Kernel))?)
}

/// The case agrees with the model and with itself.
fn holds(file: &CaseFile, privilege: Privilege) -> Result<Completion> {
    let case = file.read()?;
    let trace = match run_case(&mut executor(privilege)?, &case) {
        Err(e @ ExecError::Unsupported { .. }) => return Ok(Completion::ignored_with(e)),
        other => other?,
    };
    match judge(&case, &trace, None).divergence.or_else(|| check_expectations(&case, &trace)) {
        None => Ok(Completion::Completed),
        Some(divergence) => {
            bail!("{}", report::finding(&Finding::unshrunk(&case, trace, divergence)))
        }
    }
}

/// Every case agrees with the model and with itself, its layers on this filesystem.
fn all_hold(files: &[CaseFile], filesystem: Filesystem) -> Result<()> {
    let mut executor =
        Executor::start(WorkerConfig { filesystem, ..WorkerConfig::new(Privilege::Root, TargetSpec::Kernel) })?;
    let (mut failed, mut held) = (Vec::new(), 0);
    for file in files {
        let case = file.read()?;
        let trace = match run_case(&mut executor, &case) {
            Err(ExecError::Unsupported { .. }) => continue,
            other => other?,
        };
        match judge(&case, &trace, None).divergence.or_else(|| check_expectations(&case, &trace)) {
            None => held += 1,
            Some(divergence) => failed.push(format!("{}: {divergence}", file.name)),
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    ensure!(held > 0, "no case ran");
    Ok(())
}

/// In some environment, the case tells a model that is wrong in this clause from the right one.
fn shows(file: &CaseFile, clause: Clause) -> Result<Completion> {
    let case = file.read()?;
    let mut reasons = Vec::new();
    let mut fired = 0;
    for (privilege, rights) in PRIVILEGES {
        if privilege == Privilege::Rootless && file.is_for_root() {
            continue;
        }
        if let Some(reason) = first_missing(&Need::of(privilege, &TargetSpec::Kernel))? {
            reasons.push(format!("{rights}: {reason}"));
            continue;
        }
        match run_case(&mut executor(privilege)?, &case) {
            Err(e @ ExecError::Unsupported { .. }) => reasons.push(format!("{rights}: {e}")),
            Err(e) => return Err(e.into()),
            Ok(trace) => {
                let sound = judge(&case, &trace, None);
                ensure!(sound.divergence.is_none(), "the case does not hold without any fault");
                fired += sound.fired[clause as usize];
                if judge(&case, &trace, Some(clause)).divergence.is_some() {
                    return Ok(Completion::Completed);
                }
            }
        }
    }
    if fired == 0 && !reasons.is_empty() {
        return Ok(Completion::ignored_with(reasons.join("; ")));
    }
    Err(anyhow!("a model in which {clause} is wrong agrees with the case (the clause fired {fired} times)"))
}

/// Each row of the page that maps rules, tests and bugs says where it is tested, when it will be, or why not; and
/// what it names exists.
fn the_mapping_names_what_exists(files: &[CaseFile]) -> Result<()> {
    const PAGE: &str = include_str!("../../docs/mapping.md");
    /// How many reasons why not the page may give.
    const REASONS: usize = 15;
    let mut lines = PAGE.lines();
    let rows = |lines: &mut std::str::Lines<'_>| -> Vec<Vec<String>> {
        let rows = lines.skip_while(|l| !l.starts_with("|---")).skip(1).take_while(|l| l.starts_with('|'));
        rows.map(|l| l.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let topics: Vec<String> = rows(&mut lines).into_iter().map(|row| row[0].clone()).collect();
    let tables = [rows(&mut lines), rows(&mut lines), rows(&mut lines)];
    ensure!(tables.iter().all(|table| table.len() > 50), "a table is missing");
    let mut reasons = 0;
    let mut named = Vec::new();
    for row in tables.iter().flatten() {
        let place = row.last().map_or("", String::as_str);
        if place.starts_with("not: ") {
            reasons += 1;
            continue;
        }
        ensure!(!place.is_empty(), "nothing is said of {row:?}");
        for part in place.split([';', ',']).map(str::trim) {
            if let Some(topic) = part.strip_prefix("later: ") {
                ensure!(topics.iter().any(|t| t == topic), "unknown topic {topic}: {row:?}");
                continue;
            }
            let name = part.trim_matches('`');
            let exists = match name.strip_suffix(".case") {
                Some(file) => files.iter().any(|f| f.name == file),
                None => name.parse::<Clause>().is_ok(),
            };
            ensure!(exists, "there is no {name}: {row:?}");
            named.push(name);
        }
    }
    ensure!(reasons <= REASONS, "{reasons} reasons why not");
    let overlay = |id: &str| !["VFS", "FS-", "VFS-"].iter().any(|family| id.starts_with(family));
    for clause in Clause::ALL.iter().map(|clause| clause.id()).filter(|id| overlay(id)) {
        ensure!(named.contains(&clause), "{clause} is in no row");
    }
    Ok(())
}
