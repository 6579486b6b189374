//! Scripts that show a case without ovlcheck: they agree with what ran in a worker, and see what is wrong.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use ovlcheck::case::Case;
use ovlcheck::check::judge;
use ovlcheck::exec::{ExecError, Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::script;
use ovlcheck::step::Op;
use ovlcheck_cases::corpus::{WHITEOUT, files, run_case};
use ovlcheck_cases::need::{Need, ignorable, own, trial};
use ovlcheck_cases::program::{Ended, Program, binary};

/// How many trials share the scripts.
const SCRIPT_PARTS: usize = 4;

/// The variable that makes every case file a script if it is `all`.
const SCRIPTS: &str = "OVLCHECK_SCRIPTS";

/// Of so many case files one becomes a script otherwise.
const SAMPLE: usize = 9;

/// Of so many case files one becomes a script: it takes a while.
fn sample() -> usize {
    if std::env::var_os(SCRIPTS).is_some_and(|scripts| scripts == "all") { 1 } else { SAMPLE }
}

fn main() {
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let kernel = || Need::of(own(), &TargetSpec::Kernel);
    let mut trials = vec![
        ignorable("is_written_and_runs", kernel(), script_is_written_and_runs),
        trial("takes_one_case", vec![], script_takes_one_case),
    ];
    for part in 0..SCRIPT_PARTS {
        let name = format!("agrees_on_case_files_{part}");
        trials.push(ignorable(name, kernel(), move || scripts_agree(part)));
        let name = format!("sees_faults_{part}");
        trials.push(ignorable(name, kernel(), move || scripts_see_faults(part)));
    }
    trials
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

/// Why scripts cannot run here, if so.
fn no_tools() -> Option<String> {
    let there =
        |tool: &&str| Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let missing = ["python3", "unshare", "diff"].into_iter().find(|tool| !there(tool))?;
    Some(format!("{missing} is not installed"))
}

/// Runs a script and makes sure that it leaves nothing; its exit status and what it printed.
fn run_script(text: &str) -> Result<(Option<i32>, String)> {
    let dir = tempfile::tempdir()?;
    let (file, tmp) = (dir.path().join("x.sh"), dir.path().join("tmp"));
    fs::create_dir(&tmp)?;
    fs::write(&file, text)?;
    let output = Command::new("/bin/sh").arg(&file).env("TMPDIR", &tmp).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let left: Vec<_> = fs::read_dir(&tmp)?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    ensure!(left.is_empty(), "left behind: {left:?}\n{said}");
    Ok((output.status.code(), said))
}

/// Whether there is no script for this case: scripts mount once, with mount(8).
fn tries_mounts(case: &Case) -> bool {
    case.steps.iter().any(|step| matches!(step.op, Op::TryMount { .. }))
}

/// A sample of the cases: what ran in a worker gives the same in a script.
fn scripts_agree(part: usize) -> Result<Completion> {
    if let Some(reason) = no_tools() {
        return Ok(Completion::ignored_with(reason));
    }
    let mut executor = Executor::start(WorkerConfig::new(own(), TargetSpec::Kernel))?;
    let mut ran = 0;
    for file in files()?.into_iter().step_by(sample()).skip(part).step_by(SCRIPT_PARTS) {
        let case = file.read()?;
        if tries_mounts(&case) {
            continue;
        }
        let trace = match run_case(&mut executor, &case) {
            Err(ExecError::Unsupported { .. }) => continue,
            other => other?,
        };
        let text = script::export(&case, &trace.environment, &TargetSpec::Kernel, None)?;
        let (status, said) = run_script(&text)?;
        ensure!(status == Some(0), "{}: exit status {status:?}\n{said}", file.name);
        ran += 1;
    }
    ensure!(ran > 0, "no script ran");
    Ok(Completion::Completed)
}

/// With a clause broken in the model, the script's expectation is wrong, and it says so.
fn scripts_see_faults(part: usize) -> Result<Completion> {
    if let Some(reason) = no_tools() {
        return Ok(Completion::ignored_with(reason));
    }
    let mut executor = Executor::start(WorkerConfig::new(own(), TargetSpec::Kernel))?;
    let mut ran = 0;
    let named = files()?.into_iter().filter_map(|f| Some((f.clause()?, f)));
    for (clause, file) in named.step_by(2 * sample()).skip(part).step_by(SCRIPT_PARTS) {
        let case = file.read()?;
        if tries_mounts(&case) {
            continue;
        }
        let trace = match run_case(&mut executor, &case) {
            Err(ExecError::Unsupported { .. }) => continue,
            other => other?,
        };
        let Some(divergence) = judge(&case, &trace, Some(clause)).divergence else { continue };
        if script::silent_about(&divergence).is_some() {
            continue;
        }
        let text = script::export(&case, &trace.environment, &TargetSpec::Kernel, Some(clause))?;
        let (status, said) = run_script(&text)?;
        ensure!(status == Some(1), "{}: exit status {status:?} for {divergence}\n{said}", file.name);
        ensure!(said.lines().any(|l| l.starts_with(['-', '+'])), "{said}");
        ran += 1;
    }
    ensure!(ran > 0, "no script ran");
    Ok(Completion::Completed)
}

fn script_is_written_and_runs() -> Result<Completion> {
    if let Some(reason) = no_tools() {
        return Ok(Completion::ignored_with(reason));
    }
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (case, script) = (path("x.case"), path("x.sh"));
    fs::write(&case, WHITEOUT)?;
    ovlcheck(&["replay", "--script", &script, &case])?.expect(0)?;
    let (status, said) = run_script(&fs::read_to_string(&script)?)?;
    ensure!(status == Some(0) && said.contains("whiteout 0000"), "{status:?}: {said}");
    // What a maintainer does with it: run the file as it is.
    let status = Command::new(&script).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    ensure!(status.code() == Some(0), "{status}");
    ovlcheck(&["replay", "--fault", "RMV-02.whiteout", "--script", &script, &case])?.expect(1)?;
    let (status, said) = run_script(&fs::read_to_string(&script)?)?;
    ensure!(status == Some(1) && said.contains("-  upper f: ENOENT"), "{status:?}: {said}");
    Ok(Completion::Completed)
}

fn script_takes_one_case() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (a, b) = (dir.path().join("a.case").display().to_string(), dir.path().join("b.case").display().to_string());
    for file in [&a, &b] {
        fs::write(file, WHITEOUT)?;
    }
    let ended = ovlcheck(&["replay", "--script", "/nowhere/x.sh", &a, &b])?;
    ended.expect(2)?;
    ensure!(ended.stderr.contains("one case file"), "{}", ended.stderr);
    Ok(())
}
