//! `ovlcheck vm`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;

use super::campaign::{RunArgs, execute, stop_flag};
use super::guest::{GuestArgs, MachineArgs};
use super::{CANNOT, HELD, INTERRUPTED, USAGE, say, say_raw};
use crate::campaign::Summary;
use crate::check::Signature;
use crate::report;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck vm --kernel linux-image-6.12.deb               a distribution's kernel
  ovlcheck vm --kernel ~/linux                            what you have just built (bzImage and modules)
  ovlcheck vm --kernel vmlinuz-6.1,/lib/modules/6.1 --module overlay.ko
                                                          one module of your own in it
  ovlcheck vm --kernel old.deb --kernel new.deb --seed 7  what is different between two
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
    /// Draw every case from this seed, for every kernel; without it, from the time of day (it is printed).
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run this many cases on each kernel [default: 2000, or no limit with --time].
    #[arg(long, value_name = "N")]
    cases: Option<u64>,
    /// Stop each campaign after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Run this many guests at once [default: one per processor].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Mount in a user namespace with `userxattr` in the guests.
    #[arg(long)]
    rootless: bool,
    /// Write findings to a directory of this one for each kernel.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// End with the statuses that `git bisect run` understands: 0 good, 1 bad, 125 where this cannot tell.
    #[arg(long)]
    bisect: bool,
}

/// Cases for each kernel: a guest in software is slower than its host.
const DEFAULT_CASES: u64 = 2000;

/// `git bisect run` skips a commit that gives this.
const CANNOT_TELL: u8 = 125;

/// What came of one kernel.
struct Tried {
    name: String,
    /// The summary, or the exit status that stands for why there is none.
    result: Result<Summary, u8>,
    status: u8,
}

pub(super) fn vm(args: &VmArgs) -> u8 {
    if args.bisect && args.kernel.len() != 1 {
        eprintln!("ovlcheck: --bisect takes one kernel");
        return USAGE;
    }
    let stop = stop_flag();
    let seed = super::campaign::seed_or_time(args.seed);
    let mut tried = Vec::new();
    for (n, kernel) in args.kernel.iter().enumerate() {
        if args.kernel.len() > 1 {
            say!("kernel {} of {}: {kernel}", n + 1, args.kernel.len());
        }
        let run = RunArgs::in_guests(
            GuestArgs::new(kernel.split(',').map(PathBuf::from).collect(), args.machine.clone()),
            seed,
            args.cases.or(args.time.is_none().then_some(DEFAULT_CASES)),
            args.time,
            args.jobs,
            args.rootless,
            args.keep.as_ref().map(|dir| dir.join((n + 1).to_string())),
        );
        let (result, status) = match execute(&run, &stop) {
            Ok((summary, hint, status)) => {
                say_raw!("{}", report::summary(&summary, &hint));
                (Ok(summary), status)
            }
            Err(status) => (Err(status), status),
        };
        tried.push(Tried { name: kernel.clone(), result, status });
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if args.kernel.len() > 1 {
        say_raw!("\n{}", table(&tried));
    }
    let status = worst(&tried);
    match status {
        _ if stop.load(Ordering::Relaxed) => INTERRUPTED,
        HELD | super::DIVERGED => status,
        _ if args.bisect => CANNOT_TELL,
        _ => status,
    }
}

/// A divergence outranks everything, and whatever is wrong outranks what held.
fn worst(tried: &[Tried]) -> u8 {
    let statuses = || tried.iter().map(|t| t.status);
    if statuses().any(|s| s == super::DIVERGED) {
        return super::DIVERGED;
    }
    statuses().find(|s| *s != HELD).unwrap_or(if tried.is_empty() { CANNOT } else { HELD })
}

/// The kernels side by side, and which divergence is seen on which.
fn table(tried: &[Tried]) -> String {
    let mut out =
        format!("{:>3}  {:<28} {:>8} {:>10} {:>8} {:>9}\n", "", "Linux", "cases", "checked", "steps/s", "diverged");
    let mut seen: BTreeMap<Signature, (String, Vec<bool>)> = BTreeMap::new();
    for (n, kernel) in tried.iter().enumerate() {
        match &kernel.result {
            Ok(summary) => {
                let release = summary.environment.as_ref().map_or("", |e| e.kernel.as_str());
                let stats = &summary.stats;
                let rate = stats.checked as f64 / summary.elapsed.as_secs_f64().max(1e-9);
                out += &format!(
                    "{:>3}  {release:<28} {:>8} {:>10} {rate:>8.0} {:>9}\n",
                    n + 1,
                    stats.cases,
                    stats.checked,
                    stats.diverged
                );
                for finding in &summary.findings {
                    let row = seen
                        .entry(finding.divergence.signature())
                        .or_insert_with(|| (report::short(finding), vec![false; tried.len()]));
                    row.1[n] = true;
                }
            }
            Err(status) => out += &format!("{:>3}  {} could not be tried (status {status})\n", n + 1, kernel.name),
        }
    }
    if !seen.is_empty() {
        out += "\ndivergences, by kernel:\n";
        for (line, on) in seen.values() {
            let marks: String = on.iter().map(|&yes| if yes { 'x' } else { '.' }).collect();
            out += &format!("  {marks}  {line}\n");
        }
    }
    out
}
