//! What the judge accepts beside the outcome that the model predicts: nothing, but for walks that something else
//! on the machine may interrupt.

use anyhow::{Result, ensure};
use libtest_mimic::Arguments;
use ovlcheck::case::Case;
use ovlcheck::check::judge;
use ovlcheck::errno::Errno;
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::trace::Outcome;
use ovlcheck_cases::corpus::run_case;
use ovlcheck_cases::need::{Need, PRIVILEGES, trial};

fn main() {
    worker_entry();
    let mut trials = Vec::new();
    for (privilege, rights) in PRIVILEGES {
        let config = WorkerConfig::new(privilege, TargetSpec::Kernel);
        let name = format!("{rights}::an_interrupted_walk_is_told_from_a_wrong_error");
        let test = move || an_interrupted_walk_is_told_from_a_wrong_error(&config);
        trials.push(trial(name, Need::of(privilege, &TargetSpec::Kernel), test));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A walk that is interrupted begins again and goes on counting symlinks: from 21 on, it may find too many.
fn an_interrupted_walk_is_told_from_a_wrong_error(config: &WorkerConfig) -> Result<()> {
    let mut worker = Executor::start(config.clone())?;
    for (links, seen, accepted) in [
        (20, Errno::ELOOP, false),
        (21, Errno::ELOOP, true),
        (21, Errno::ENOENT, false),
        (40, Errno::ELOOP, true),
        (41, Errno::ELOOP, true),
        (41, Errno::ENOENT, false),
    ] {
        let path = "here/".repeat(links);
        let case: Case = format!("case\nlower\n  symlink here -> .\nsteps\n  stat {path}\n").parse()?;
        let mut trace = run_case(&mut worker, &case)?;
        ensure!(judge(&case, &trace, None).divergence.is_none(), "{links} links: {trace:?}");
        let Some(step) = trace.steps.first_mut() else { anyhow::bail!("no step was run: {trace:?}") };
        step.outcome = Outcome::Err(seen);
        let judged = judge(&case, &trace, None);
        ensure!(judged.divergence.is_none() == accepted, "{links} links, {seen}: {:?}", judged.divergence);
        ensure!(judged.interrupted == (accepted && links <= 40), "{links} links, {seen}");
    }
    Ok(())
}
