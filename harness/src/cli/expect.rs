//! `ovlcheck expect`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Args;

use super::campaign::{Progress, RunArgs, settings, stop_flag};
use super::extent::ExtentArgs;
use super::{CANNOT, DEFECT, HELD, INTERRUPTED, WorkerArgs, refuse, say_raw};
use crate::campaign::{Event, Settings, Summary, run as run_campaign};
use crate::check::Focus;
use crate::expectations::Expectations;
use crate::report;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck expect --target fuse-overlayfs --seed 1 --cases 2000 --output known.toml
  ovlcheck run --target fuse-overlayfs --expect known.toml      only what is new fails
  ovlcheck expect --target fuse-overlayfs --expect known.toml   entries for what is new";

/// What one round of a campaign finds at most.
const MOST: usize = 200;

/// What `ovlcheck expect` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ExpectArgs {
    #[command(flatten)]
    extent: ExtentArgs,
    /// Draw at most this many steps per case.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=200))]
    steps: u64,
    /// Draw only cases that are about this: a rule or the beginning of its ID (`REN`, `CUP-06`), an operation
    /// (`rename`), or an area (`whiteout`, `copy-up`, ...).
    #[arg(long, value_name = "RULE|OPERATION|AREA")]
    filter: Option<Focus>,
    /// What is known already, in a file such as this command writes: entries are proposed for the rest.
    #[arg(long, value_name = "FILE.toml")]
    expect: Option<PathBuf>,
    /// Run the campaign at most so often, each time with what was found as known: a case is judged only up to the
    /// first deviation that changes what is below, so one hides another.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Write the file here instead of to standard output.
    #[arg(long, value_name = "FILE.toml")]
    output: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerArgs,
}

pub(super) fn expect(args: &ExpectArgs) -> u8 {
    match propose(args) {
        Ok((text, status)) => match &args.output {
            None => {
                say_raw!("{text}");
                status
            }
            Some(file) => written(file, &text).err().unwrap_or(status),
        },
        Err(status) => status,
    }
}

fn written(file: &Path, text: &str) -> Result<(), u8> {
    std::fs::write(file, text).map_err(|e| {
        eprintln!("ovlcheck: cannot write {}: {e}", file.display());
        CANNOT
    })
}

/// The file, and the exit status.
fn propose(args: &ExpectArgs) -> Result<(String, u8), u8> {
    let stop = stop_flag();
    let extent = args.extent.seeded();
    let (steps, filter, expect) = (args.steps, args.filter.clone(), args.expect.clone());
    let asked = RunArgs { extent, steps, filter, expect, worker: args.worker.clone(), ..RunArgs::default() };
    let mut settings = Settings { max_findings: MOST, ..settings(&asked, &stop)? };
    let known = settings.expectations.clone().unwrap_or_default();
    let mut names: Vec<String> = known.deviations.iter().map(|d| d.name.clone()).collect();
    eprintln!("seed {}", settings.seed);
    let mut text = String::new();
    for round in 1..=args.rounds {
        let summary = campaign(&settings, &stop, round)?;
        if let (true, Some(environment)) = (text.is_empty(), &summary.environment) {
            text += &report::propose_head(environment);
        }
        if !summary.defects.is_empty() {
            summary.defects.iter().for_each(|defect| eprintln!("ovlcheck: {defect}"));
            return Err(DEFECT);
        }
        text += &report::propose(&summary, &mut names);
        if summary.interrupted {
            return Ok((text, INTERRUPTED));
        }
        if summary.findings.is_empty() {
            return Ok((text, HELD));
        }
        // What was proposed is read as anybody would read it.
        let proposed = Expectations::parse(&text).map_err(|e| {
            eprintln!("ovlcheck: what is proposed cannot be read: {e}");
            DEFECT
        })?;
        let deviations = known.deviations.iter().cloned().chain(proposed.deviations).collect();
        settings.expectations = Some(Arc::new(Expectations { target: proposed.target, deviations }));
    }
    eprintln!("ovlcheck: the last of {} rounds still found something: --rounds takes more", args.rounds);
    Ok((text, HELD))
}

fn campaign(settings: &Settings, stop: &std::sync::atomic::AtomicBool, round: u64) -> Result<Summary, u8> {
    let mut progress = Progress::new();
    let mut found = 0;
    let result = run_campaign(settings, stop, |event| match event {
        Event::Progress { cases, checked, diverged, elapsed, .. } => {
            let line = report::progress(cases, settings.shard.share(settings.cases), checked, diverged, elapsed);
            progress.show(elapsed, &format!("round {round}: {line}"));
        }
        Event::Found(finding) => {
            found += 1;
            progress.clear();
            eprintln!("round {round}, {found}: {}", finding.divergence);
        }
    });
    progress.clear();
    result.map_err(|e| if stop.load(Ordering::Relaxed) { INTERRUPTED } else { refuse(&e) })
}
