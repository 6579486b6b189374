//! `ovlcheck exchange`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::campaign::{keep, status_of, stop_flag};
use super::extent::ExtentArgs;
use super::targets::{NAMED, Named, named};
use super::{CANNOT, USAGE, profile, refuse, say};
use crate::campaign::{Exchange, Exchanged, case_of, exchange as run_exchange};
use crate::case::{Case, text};
use crate::exec::{TargetSpec, WorkerConfig};
use crate::generate::Profile;
use crate::level::Level;
use crate::report;
use crate::trace::Privilege;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck exchange --seed 1 --keep found/           every pair of the targets there are, both ways
  ovlcheck exchange --targets kernel,fuse-overlayfs-2 --cases 1000
  ovlcheck exchange --targets kernel --target-command \\
    'my-overlay -o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir} {merged}'
  ovlcheck exchange --targets kernel,fuse-overlayfs-2 found/*.case";

/// Cases for each pair, where nothing else is said.
const CASES: u64 = 300;

/// What `ovlcheck exchange` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ExchangeArgs {
    /// Run these case files instead of drawing cases.
    files: Vec<PathBuf>,
    /// Between these targets, as `--target` of `run` names them. As an ordinary user, the kernel and others have
    /// private xattrs of their own, so there is no exchange with it.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          default_values_t = ["kernel", "fuse-overlayfs-1", "fuse-overlayfs-2"].map(str::to_owned))]
    targets: Vec<String>,
    /// And this program, which mounts: a command line as `--target-command` of `run` takes it.
    #[arg(long, value_name = "TEMPLATE")]
    target_command: Option<String>,
    /// Run in a user namespace although this is root.
    #[arg(long)]
    rootless: bool,
    /// Draw at most this many steps per case.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=200))]
    steps: u64,
    /// Write case, report and trace of every finding to a directory in this one for each pair.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    extent: ExtentArgs,
}

/// A target that takes part.
struct Party {
    name: String,
    spec: TargetSpec,
}

pub(super) fn exchange(args: &ExchangeArgs) -> u8 {
    let stop = stop_flag();
    let parties = match parties(args) {
        Ok(parties) => parties,
        Err(status) => return status,
    };
    let cases = match read(&args.files) {
        Ok(cases) => cases,
        Err(status) => return status,
    };
    let extent = args.extent.seeded();
    if cases.is_none() {
        say!("seed {}", extent.seed());
    }
    let (mut lines, mut ran, mut found, mut interrupted) = (Vec::new(), 0, false, false);
    for first in &parties {
        for second in parties.iter().filter(|second| second.name != first.name) {
            match between(args, &extent, cases.as_deref(), first, second, &stop) {
                Ok(exchanged) => {
                    ran += exchanged.cases;
                    found |= !exchanged.findings.is_empty();
                    interrupted |= exchanged.interrupted;
                    lines.push(report::exchanged([&first.name, &second.name], &exchanged));
                }
                Err(status) => return status,
            }
            if interrupted {
                break;
            }
        }
    }
    lines.iter().for_each(|line| say!("{line}"));
    status_of(interrupted, found, false, ran)
}

/// Who takes part: each must be there.
fn parties(args: &ExchangeArgs) -> Result<Vec<Party>, u8> {
    let mut parties = Vec::new();
    for name in &args.targets {
        let known = NAMED.iter().any(|n| n.name == *name);
        let target: Named = named(name);
        if !known || !target.shares(privilege(args)) {
            let others = NAMED.iter().filter(|n| n.shares(privilege(args))).map(|n| n.name);
            let others: Vec<&str> = others.collect();
            eprintln!("ovlcheck: no layers are exchanged with '{name}', but between {}", others.join(", "));
            return Err(USAGE);
        }
        parties.push(Party { name: name.clone(), spec: target.spec() });
    }
    if let Some(template) = &args.target_command {
        let spec = TargetSpec::Command(template.clone());
        parties.push(Party { name: spec.name().to_owned(), spec });
    }
    if parties.len() < 2 {
        eprintln!("ovlcheck: layers are exchanged between two targets at least");
        return Err(USAGE);
    }
    Ok(parties)
}

fn privilege(args: &ExchangeArgs) -> Privilege {
    let root = rustix::process::geteuid().is_root() && !args.rootless;
    if root { Privilege::Root } else { Privilege::Rootless }
}

fn read(files: &[PathBuf]) -> Result<Option<Vec<Case>>, u8> {
    if files.is_empty() {
        return Ok(None);
    }
    let one = |file: &PathBuf| {
        let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        text::parse(&bytes).map_err(|e| format!("{}:{e}", file.display()))
    };
    let cases: Result<Vec<Case>, String> = files.iter().map(one).collect();
    cases.map(Some).map_err(|why| {
        eprintln!("ovlcheck: {why}");
        USAGE
    })
}

fn between(
    args: &ExchangeArgs,
    extent: &ExtentArgs,
    cases: Option<&[Case]>,
    first: &Party,
    second: &Party,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<Exchanged, u8> {
    let worker = |party: &Party| WorkerConfig {
        level: Level::Contract,
        ..WorkerConfig::new(privilege(args), party.spec.clone())
    };
    let workers = [worker(first), worker(second)];
    let steps = args.steps as usize;
    // What is drawn is for both: no options, and nothing that one of them alone knows.
    let profile = Profile { steps: steps.min(4)..=steps, ..profile(&workers[0]).without_options() };
    let drawn = |index: u64| case_of(&profile, None, extent.seed(), index);
    let given = |index: u64| cases.and_then(|cases| cases.get(usize::try_from(index).ok()?).cloned());
    let source: &(dyn Fn(u64) -> Option<Case> + Sync) = if cases.is_some() { &given } else { &drawn };
    let exchange = Exchange {
        names: [&first.name, &second.name],
        workers,
        cases: extent.cases_or(CASES),
        source,
        time: extent.time(),
        jobs: extent.jobs(),
        shrink_time: Duration::from_secs(20),
    };
    let exchanged = run_exchange(&exchange, stop, |finding| say!("{}", report::finding(finding)));
    let exchanged = exchanged.map_err(|e| refuse(&e))?;
    if let Some(dir) = &args.keep {
        let dir = dir.join(format!("{}-{}", first.name, second.name));
        kept(&dir, first, second, &exchanged).map_err(|e| {
            eprintln!("ovlcheck: cannot write to {}: {e}", dir.display());
            CANNOT
        })?;
    }
    Ok(exchanged)
}

fn kept(dir: &Path, first: &Party, second: &Party, exchanged: &Exchanged) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let name = format!("{},{}", first.name, second.name);
    let relay = TargetSpec::Relay { name, targets: Box::new([first.spec.clone(), second.spec.clone()]) };
    exchanged.findings.iter().enumerate().try_for_each(|(n, finding)| keep(dir, n + 1, finding, &relay))
}
