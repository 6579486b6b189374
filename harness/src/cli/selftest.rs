//! `ovlcheck self-test`

use std::time::{Duration, Instant};

use clap::Args;

use super::campaign::{Progress, stop_flag};
use super::extent::seed_or_time;
use super::{CANNOT, DEFECT, HELD, INTERRUPTED, WorkerArgs, refuse};
use super::{say, say_raw};
use crate::campaign::{SelfTest, Settings, Shard, self_test as run_self_test};
use crate::case::Case;
use crate::exec::WorkerConfig;
use crate::report;
use crate::trace::{Filesystem, Privilege};

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck self-test                        which faults do 2000 cases not notice?
  ovlcheck self-test --seed 1 --rootless    the same cases every time, in a user namespace";

/// What `ovlcheck self-test` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct SelfTestArgs {
    /// Draw every case from this seed; without it, from the time of day (it is printed).
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Give up after this many cases.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    cases: u64,
    /// Also shrink the case that betrays each fault, write it, and run it ten times.
    #[arg(long)]
    shrink: bool,
    /// Write those cases to this directory, one for each clause.
    #[arg(long, value_name = "DIR", requires = "shrink")]
    keep: Option<std::path::PathBuf>,
    #[command(flatten)]
    worker: WorkerArgs,
}

pub(super) fn self_test(args: &SelfTestArgs) -> u8 {
    let stop = stop_flag();
    let seed = seed_or_time(args.seed);
    let mut workers = match args.worker.place(&stop) {
        Ok(worker) => vec![worker],
        Err(e) => return refuse(&e),
    };
    if workers[0].privilege == Privilege::Root {
        // A user namespace may mount tmpfs alone.
        let filesystem = Filesystem::Tmpfs.name().to_owned();
        let place = workers[0].place.clone();
        let rootless = WorkerArgs { rootless: true, filesystem, ..args.worker.clone() }.config();
        workers.push(WorkerConfig { place, ..rootless });
    }
    let settings: Vec<Settings> = workers
        .into_iter()
        .map(|worker| Settings {
            seed,
            cases: args.cases,
            shard: Shard::WHOLE,
            time: None,
            jobs: 1,
            profile: super::profile(&worker),
            focus: None,
            worker,
            mirror: 0,
            shrink_time: Duration::from_secs(10),
            max_findings: 0,
            expectations: None,
            coverage: false,
        })
        .collect();
    say!("seed {seed}");
    let begun = Instant::now();
    let mut progress = Progress::new();
    let result = run_self_test(&settings, args.shrink, &stop, |cases, alive| {
        progress.show(begun.elapsed(), &format!("{cases} cases, {alive} faults alive"));
    });
    progress.clear();
    match result {
        Err(e) => refuse(&e),
        Ok(result) => {
            say_raw!("{}", report::self_test(&result));
            if let Some(dir) = &args.keep {
                if let Err(e) = keep(dir, &result) {
                    eprintln!("ovlcheck: cannot write to {}: {e}", dir.display());
                    return CANNOT;
                }
            }
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                INTERRUPTED
            } else if result.false_alarm.is_some() || result.survivors().next().is_some() {
                DEFECT
            } else {
                HELD
            }
        }
    }
}

fn keep(dir: &std::path::Path, result: &SelfTest) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for fault in &result.faults {
        if let Some(shrunk) = &fault.shrunk {
            let case = Case { title: fault.clause.statement().to_owned(), ..shrunk.case.clone() };
            std::fs::write(dir.join(format!("{}.case", fault.clause.id())), case.to_string())?;
        }
    }
    Ok(())
}
