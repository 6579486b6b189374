//! `ovlcheck enumerate`

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::campaign::{Progress, keep, stop_flag};
use super::{CANNOT, DEFECT, DIVERGED, HELD, INTERRUPTED, USAGE, WorkerArgs, refuse, say, say_raw};
use crate::campaign::{Event, Settings, Shard, run_cases};
use crate::enumerate::{Alphabet, Plan, layers};
use crate::exec::{Executor, WorkerConfig};
use crate::generate::Profile;
use crate::model::Context;
use crate::report;
use crate::trace::Environment;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck enumerate                            every sequence of one or two steps
  ovlcheck enumerate --steps 3 --state 3.json   three; ^C, and the same command goes on
  ovlcheck enumerate --steps 3 --plan           what that covers, without running it

Of prefixes that lead to one state of the model one is continued, so a sequence is covered without being run
as such: the report says how many there are, and what was run.";

/// How often the state is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What `ovlcheck enumerate` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct EnumerateArgs {
    /// Longest sequence.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=4))]
    steps: u64,
    /// Keep in this file how far it is, and go on from there.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Only say what is covered.
    #[arg(long)]
    plan: bool,
    /// Run this many workers [default: one per processor].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Write case, report, trace and shell script of every finding to this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// How far an enumeration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Of this format.
    version: u32,
    /// Of the plan: which sequences, on which layers.
    plan: String,
    /// Where: target, filesystem, rights, kernel.
    place: String,
    /// All cases.
    cases: u64,
    /// So many, from the first on, are done.
    done: u64,
    /// So many of them diverged.
    diverged: u64,
}

pub(super) fn enumerate(args: &EnumerateArgs) -> u8 {
    let stop = stop_flag();
    let worker = match args.worker.place(&stop) {
        Ok(worker) => worker,
        Err(e) => return refuse(&e),
    };
    let environment = match Executor::start(worker.clone()) {
        Ok(executor) => executor.environment().clone(),
        Err(e) => return refuse(&e),
    };
    let mut progress = Progress::new();
    let begun = std::time::Instant::now();
    let layers = match layers() {
        Ok(layers) => layers,
        Err(e) => {
            eprintln!("ovlcheck: {e}");
            return DEFECT;
        }
    };
    let planned =
        Plan::new(Alphabet::default(), layers, &Context::of(&environment), args.steps as usize, |depth, done, of| {
            progress.show(begun.elapsed(), &format!("planning: {done} of {of} states after {depth} steps"));
            !stop.load(Ordering::Relaxed)
        });
    progress.clear();
    let Some(plan) = planned else { return INTERRUPTED };
    say_raw!("{}", report::coverage(&plan));
    if args.plan {
        return HELD;
    }
    match prepare(args, &plan, &environment) {
        Ok(state) => go_on(args, &plan, state, worker, &stop),
        Err(status) => status,
    }
}

/// The state to go on from; makes sure that what is to be written can be.
fn prepare(args: &EnumerateArgs, plan: &Plan, environment: &Environment) -> Result<State, u8> {
    let fresh = State {
        version: 1,
        plan: format!("{:016x}", plan.label()),
        place: format!(
            "{} on {}, {:?}, Linux {}",
            environment.target, environment.filesystem, environment.privilege, environment.kernel
        ),
        cases: plan.len(),
        done: 0,
        diverged: 0,
    };
    if let Some(dir) = &args.keep {
        std::fs::create_dir_all(dir).map_err(|e| {
            eprintln!("ovlcheck: cannot write findings to {}: {e}", dir.display());
            CANNOT
        })?;
    }
    let Some(path) = &args.state else { return Ok(fresh) };
    let state = match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => fresh,
        Err(e) => {
            eprintln!("ovlcheck: cannot read {}: {e}", path.display());
            return Err(CANNOT);
        }
        Ok(bytes) => match serde_json::from_slice::<State>(&bytes) {
            Err(e) => {
                eprintln!("ovlcheck: {}: not the state of an enumeration: {e}", path.display());
                return Err(USAGE);
            }
            Ok(found) if (&found.plan, &found.place, found.version) != (&fresh.plan, &fresh.place, 1) => {
                eprintln!("ovlcheck: {}: the state of another enumeration, on {}", path.display(), found.place);
                return Err(USAGE);
            }
            Ok(found) => found,
        },
    };
    save(path, &state).map_err(|e| {
        eprintln!("ovlcheck: cannot write {}: {e}", path.display());
        CANNOT
    })?;
    if state.done > 0 {
        say!("going on after {} of {} cases", state.done, state.cases);
    }
    Ok(state)
}

/// Replaces the file as a whole, so that it never holds half a state.
fn save(path: &Path, state: &State) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, serde_json::to_string(state).map_err(std::io::Error::other)? + "\n")?;
    std::fs::rename(&beside, path)
}

fn go_on(
    args: &EnumerateArgs,
    plan: &Plan,
    from: State,
    worker: WorkerConfig,
    stop: &std::sync::atomic::AtomicBool,
) -> u8 {
    let target = worker.target.clone();
    let settings = Settings {
        seed: 0,
        cases: plan.len(),
        shard: Shard::WHOLE,
        time: None,
        jobs: args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        profile: Profile::new(worker.privilege),
        focus: None,
        worker,
        mirror: 0,
        shrink_time: Duration::from_secs(10),
        max_findings: 50,
        expectations: None,
        coverage: false,
    };
    let mut progress = Progress::new();
    let mut state = from.clone();
    let (mut saved, mut unsaved) = (Duration::ZERO, None);
    let result = run_cases(&settings, &|index| plan.case(index), from.done, stop, |event| match event {
        Event::Progress { cases, checked, diverged, elapsed, settled } => {
            state.done = settled;
            state.diverged = from.diverged + diverged;
            let line = report::progress(from.done + cases, plan.len(), checked, state.diverged, elapsed);
            progress.show(elapsed, &line);
            if let (Some(path), true) = (&args.state, elapsed >= saved + SAVE_EVERY) {
                saved = elapsed;
                unsaved = save(path, &state).err();
            }
        }
        Event::Found(finding) => {
            progress.clear();
            say!("{}", report::finding(finding));
        }
    });
    progress.clear();
    let summary = match result {
        Ok(summary) => summary,
        Err(e) => return if stop.load(Ordering::Relaxed) { INTERRUPTED } else { refuse(&e) },
    };
    if let Some(path) = &args.state {
        unsaved = save(path, &state).err();
    }
    if let (Some(e), Some(path)) = (unsaved, &args.state) {
        eprintln!("ovlcheck: cannot write {}: {e}", path.display());
    }
    if let Some(dir) = &args.keep {
        for (n, finding) in summary.findings.iter().enumerate() {
            if let Err(e) = keep(dir, n + 1, finding, &target) {
                eprintln!("ovlcheck: cannot write to {}: {e}", dir.display());
                return CANNOT;
            }
        }
    }
    say_raw!("{}", report::enumerated(plan, &summary, state.done, state.diverged));
    match &summary {
        s if s.interrupted => INTERRUPTED,
        _ if state.diverged > 0 => DIVERGED,
        s if !s.defects.is_empty() => DEFECT,
        s if !s.stats.untested.is_empty() => CANNOT,
        _ => HELD,
    }
}
