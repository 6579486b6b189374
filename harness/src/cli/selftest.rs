//! `ovlcheck self-test`

use std::time::{Duration, Instant};

use clap::Args;

use super::campaign::{Progress, seed_or_time, stop_flag};
use super::{DEFECT, HELD, INTERRUPTED, WorkerArgs, refuse};
use crate::campaign::{Settings, self_test as run_self_test};
use crate::generate::Profile;
use crate::report;

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
    #[command(flatten)]
    worker: WorkerArgs,
}

pub(super) fn self_test(args: &SelfTestArgs) -> u8 {
    let stop = stop_flag();
    let worker = args.worker.config();
    let settings = Settings {
        seed: seed_or_time(args.seed),
        cases: args.cases,
        time: None,
        jobs: 1,
        profile: Profile::new(worker.privilege),
        worker,
        shrink_time: Duration::from_secs(10),
        max_findings: 0,
    };
    println!("seed {}", settings.seed);
    let begun = Instant::now();
    let mut progress = Progress::new();
    let result = run_self_test(&settings, &stop, |cases, alive| {
        progress.show(begun.elapsed(), &format!("{cases} cases, {alive} faults alive"));
    });
    progress.clear();
    match result {
        Err(e) => refuse(&e),
        Ok(result) => {
            print!("{}", report::self_test(&result));
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
