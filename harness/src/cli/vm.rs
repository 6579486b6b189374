//! `ovlcheck vm`

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;

use super::campaign::{Progress, RunArgs, execute, stop_flag};
use super::extent::ExtentArgs;
use super::guest::{GuestArgs, MachineArgs};
use super::results::ResultsArgs;
use super::{CANNOT, CANNOT_TELL, DIVERGED, HELD, INTERRUPTED, USAGE, WorkerArgs, refuse, say, say_raw};
use crate::campaign::{Change, Settings, compare};
use crate::exec::Place;
use crate::report::{self, TriedKernel};
use crate::trace::kernel_version;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck vm --kernel linux-image-6.12.deb               a distribution's kernel
  ovlcheck vm --kernel ~/linux                            what you have just built (bzImage and modules)
  ovlcheck vm --kernel vmlinuz-6.1,/lib/modules/6.1 --module overlay.ko
                                                          one module of your own in it
  ovlcheck vm --kernel old.deb --kernel new.deb --seed 7  the same cases on two
  ovlcheck vm --kernel old.deb --kernel new.deb --compare
                                                          what is different between them
  git bisect run ovlcheck vm --kernel . --seed 7 --cases 2000 --bisect";

/// What `ovlcheck vm` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct VmArgs {
    /// A kernel to boot; may be given several times. A kernel image, a directory that holds one with its modules
    /// (a build tree, an unpacked package), a .deb package; several places of one kernel with commas.
    #[arg(long, value_name = "PLACES", required = true)]
    kernel: Vec<String>,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    extent: ExtentArgs,
    /// Mount in a user namespace with `userxattr` in the guests.
    #[arg(long)]
    rootless: bool,
    /// Write findings to a directory of this one for each kernel.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    results: ResultsArgs,
    /// End with the statuses that `git bisect run` understands: 0 good, 1 bad, 125 where this cannot tell.
    #[arg(long)]
    bisect: bool,
    /// Print JSON, one value a line, as docs/json.md describes it.
    #[arg(long)]
    json: bool,
    /// Run each case on both of two kernels, A and B, at the same time, and tell what is different: what newly fails,
    /// what newly holds, and what shows otherwise although both do as they must, each with its smallest case.
    /// The exit status is 1 if something newly fails.
    #[arg(long, conflicts_with_all = ["bisect", "keep", "junit", "ktap", "jobs", "json"])]
    compare: bool,
}

pub(super) fn vm(args: &VmArgs) -> u8 {
    if args.bisect && args.kernel.len() != 1 {
        eprintln!("ovlcheck: --bisect takes one kernel");
        return USAGE;
    }
    if args.compare {
        return compared(args);
    }
    let stop = stop_flag();
    // One seed for all of them.
    let extent = args.extent.seeded();
    let (mut tried, mut statuses) = (Vec::new(), Vec::new());
    for (n, kernel) in args.kernel.iter().enumerate() {
        if args.json {
            say!("{}", report::json_kernel(kernel, n + 1, args.kernel.len()));
        } else if args.kernel.len() > 1 {
            say!("kernel {} of {}: {kernel}", n + 1, args.kernel.len());
        }
        let usual = RunArgs::default();
        let places = kernel.split(',').map(PathBuf::from).collect();
        let guest = GuestArgs::new(places, args.machine.clone());
        let run = RunArgs {
            extent: extent.clone(),
            keep: args.keep.as_ref().map(|dir| dir.join((n + 1).to_string())),
            worker: WorkerArgs { rootless: args.rootless, guest, ..usual.worker.clone() },
            json: args.json,
            ..usual
        };
        let (result, status) = match execute(&run, &stop) {
            Ok((summary, hint, status)) => {
                if args.json {
                    say!("{}", report::json_summary(&summary, status));
                } else {
                    say_raw!("{}", report::summary(&summary, &hint));
                }
                (Ok(summary), status)
            }
            Err(status) => {
                if args.json {
                    say!("{}", report::json_untried(status));
                }
                (Err(status), status)
            }
        };
        tried.push(TriedKernel { name: kernel.clone(), result });
        statuses.push(status);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if args.kernel.len() > 1 && !args.json {
        say_raw!("\n{}", report::kernels(&tried));
    }
    if let Err(status) = args.results.write("ovlcheck vm", &tried) {
        return status;
    }
    let status = worst(&statuses);
    match status {
        _ if stop.load(Ordering::Relaxed) => INTERRUPTED,
        HELD | DIVERGED => status,
        _ if args.bisect => CANNOT_TELL,
        _ => status,
    }
}

/// `--compare`
fn compared(args: &VmArgs) -> u8 {
    let [first, second] = args.kernel.as_slice() else {
        eprintln!("ovlcheck: --compare takes two kernels");
        return USAGE;
    };
    let shard = match args.extent.shard() {
        Ok(shard) => shard,
        Err(why) => {
            eprintln!("ovlcheck: {why}");
            return USAGE;
        }
    };
    let stop = stop_flag();
    let boot = |kernel: &str| {
        let places = kernel.split(',').map(PathBuf::from).collect();
        let guest = GuestArgs::new(places, args.machine.clone());
        WorkerArgs { rootless: args.rootless, guest, ..RunArgs::default().worker }.place(&stop)
    };
    let (worker, other) = match boot(first).and_then(|worker| Ok((worker, boot(second)?))) {
        Ok(workers) => workers,
        Err(e) => return refuse(&e),
    };
    // Cases as the older of the two can have them.
    let older = [&worker, &other].into_iter().min_by_key(|worker| match &worker.place {
        Place::Guest(machine) => kernel_version(machine.release()),
        Place::Here => (0, 0),
    });
    let profile = super::profile(older.unwrap_or(&worker));
    let extent = args.extent.seeded();
    let (seed, cases, time) = (extent.seed(), extent.cases(true), extent.time());
    let shrink_time = Duration::from_secs(30);
    let settings = Settings { seed, cases, shard, time, profile, shrink_time, ..Settings::new(worker) };
    say!("seed {seed}");
    let mut progress = Progress::new();
    let result = compare(&settings, &other, &stop, |done, differences, elapsed| {
        progress.show(elapsed, &format!("{done} cases on both, {differences} differences"));
    });
    progress.clear();
    match result {
        Err(_) if stop.load(Ordering::Relaxed) => INTERRUPTED,
        Err(e) => refuse(&e),
        Ok(comparison) => {
            say_raw!("{}", report::comparison(&comparison));
            let fails = comparison.differences.iter().any(|d| d.change == Change::Fails);
            match (comparison.interrupted, comparison.cases) {
                (true, _) => INTERRUPTED,
                (false, 0) => CANNOT,
                (false, _) if fails => DIVERGED,
                (false, _) => HELD,
            }
        }
    }
}

/// A divergence outranks everything, and whatever is wrong outranks what held.
fn worst(statuses: &[u8]) -> u8 {
    let first = |wanted: &dyn Fn(u8) -> bool| statuses.iter().copied().find(|s| wanted(*s));
    let nothing = if statuses.is_empty() { CANNOT } else { HELD };
    first(&|s| s == DIVERGED).or_else(|| first(&|s| s != HELD)).unwrap_or(nothing)
}
