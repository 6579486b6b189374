//! `ovlcheck run`

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::extent::ExtentArgs;
use super::guest::GuestArgs;
use super::replay::write_executable;
use super::results::ResultsArgs;
use super::{CANNOT, DEFECT, DIVERGED, HELD, INTERRUPTED, USAGE, WorkerArgs, refuse};
use super::{say, say_raw};
use crate::campaign::{Event, Finding, Settings, Shard, Summary, run as run_campaign};
use crate::check::Focus;
use crate::exec::{Place, TargetSpec};
use crate::generate::Profile;
use crate::report::{self, TriedKernel};
use crate::script;
use crate::trace::Filesystem;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck run --seed 7                     12000 cases, the same ones every time
  ovlcheck run --time 600 --keep found/     ten minutes; every finding as a case file
  ovlcheck run --coverage --seeds 20        what is reached, and how often, over twenty seeds
  ovlcheck run --filter REN --cases 2000    only cases in which a rule of rename is at work
  ovlcheck run --rootless --jobs 1          as an ordinary user would mount
  ovlcheck run --fs xfs                     the layers on XFS (also ext4, btrfs), as root
  ovlcheck run --plain                      no overlay: is the model right about the filesystem below?
  ovlcheck run --target-command \\
    'fuse-overlayfs -o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir} {merged}'";

/// What `ovlcheck run` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) extent: ExtentArgs,
    /// Draw at most this many steps per case.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=200))]
    pub(super) steps: u64,
    /// Draw only cases that are about this: a rule or the beginning of its ID (`REN`, `CUP-06`), an operation
    /// (`rename`), or an area (`whiteout`, `copy-up`, ...).
    #[arg(long, value_name = "RULE|OPERATION|AREA")]
    pub(super) filter: Option<Focus>,
    /// Run every N-th case on a plain filesystem as well, and compare [0: none].
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) mirror: u64,
    /// Write case, report, trace and shell script of every finding to this directory.
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// What the target is known to do otherwise, as docs/targets.md describes it: only what is not in this
    /// file is a finding, and what is in it but no longer so is one as well.
    #[arg(long, value_name = "FILE.toml")]
    pub(super) expect: Option<PathBuf>,
    /// Run the campaign with so many seeds, one after the other, each as long as one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seeds: u64,
    /// Print what was reached: errors by operation, operations by the state of their target, clauses by how
    /// often they fired.
    #[arg(long)]
    pub(super) coverage: bool,
    /// With --coverage: how often each clause is wanted to fire.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "coverage")]
    pub(super) wanted: u64,
    /// Print JSON, one value a line, as docs/json.md describes it.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) results: ResultsArgs,
    #[command(flatten)]
    pub(super) worker: WorkerArgs,
}

impl Default for RunArgs {
    fn default() -> Self {
        let filesystem = Filesystem::default().name().to_owned();
        let target = "kernel".to_owned();
        let worker = WorkerArgs {
            rootless: false,
            target,
            level: None,
            target_command: None,
            plain: false,
            filesystem,
            guest: GuestArgs::default(),
        };
        RunArgs {
            extent: ExtentArgs::default(),
            steps: 30,
            filter: None,
            mirror: 4,
            keep: None,
            expect: None,
            seeds: 1,
            coverage: false,
            wanted: 100,
            json: false,
            results: ResultsArgs::default(),
            worker,
        }
    }
}

/// A flag that ^C and SIGTERM set; a second ^C ends the process at once.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let twice = signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), stop.clone());
        let once = signal_hook::flag::register(signal, stop.clone());
        if let Err(e) = twice.and(once) {
            eprintln!("ovlcheck: ^C will not be handled: {e}");
        }
    }
    stop
}

pub(super) fn run(args: &RunArgs) -> u8 {
    match execute(args, &stop_flag()) {
        Ok((summary, hint, status)) => {
            if args.json {
                say!("{}", report::json_summary(&summary, status));
            } else {
                if args.coverage {
                    say_raw!("{}", report::tables(&summary, args.wanted));
                }
                say_raw!("{}", report::summary(&summary, &hint));
            }
            let name = summary.environment.as_ref().map_or(String::new(), |e| e.kernel.clone());
            let tried = TriedKernel { name, result: Ok(summary) };
            args.results.write("ovlcheck run", &[tried]).err().unwrap_or(status)
        }
        Err(status) => status,
    }
}

/// What is asked for. The error is the exit status; what is wrong has been said.
pub(super) fn settings(args: &RunArgs, stop: &Arc<AtomicBool>) -> Result<Settings, u8> {
    let shard = args.extent.shard().map_err(|why| {
        eprintln!("ovlcheck: {why}");
        USAGE
    })?;
    let asked = args.extent.cases(args.worker.guest.is_asked_for());
    if shard.share(asked) == 0 && asked > 0 {
        eprintln!("ovlcheck: shard {shard} of {asked} cases is empty: take fewer shards");
        return Err(USAGE);
    }
    let worker = args.worker.place(stop).map_err(|e| refuse(&e))?;
    let in_guests = matches!(worker.place, Place::Guest(_));
    let expectations = args.worker.expectations(args.expect.as_deref())?;
    let steps = args.steps as usize;
    // A guest in software is some ten times slower.
    let shrink_time = Duration::from_secs(if in_guests { 60 } else { 10 });
    Ok(Settings {
        seed: args.extent.seed(),
        cases: asked,
        shard,
        time: args.extent.time(),
        jobs: args.extent.jobs(),
        profile: Profile { steps: steps.min(10)..=steps, ..args.worker.profile(&worker) },
        focus: args.filter.clone(),
        worker,
        mirror: args.mirror,
        shrink_time,
        max_findings: 50,
        expectations,
        coverage: args.coverage,
    })
}

/// Runs the campaign and tells its findings as they come. Gives the summary, what the user may do about the
/// findings, and the exit status; or the status that says why there is no summary.
pub(super) fn execute(args: &RunArgs, stop: &Arc<AtomicBool>) -> Result<(Summary, String, u8), u8> {
    let settings = settings(args, stop)?;
    let shard = settings.shard;
    if let Some(dir) = &args.keep {
        if let Err(e) = std::fs::create_dir_all(dir) {
            eprintln!("ovlcheck: cannot write findings to {}: {e}", dir.display());
            return Err(CANNOT);
        }
    }
    let total = shard.share(settings.cases);
    if args.json {
        say!("{}", report::json_begin_campaign(&settings, args.seeds));
    } else {
        say!("seed {}{}", settings.seed, of_shard(shard));
    }
    let mut progress = Progress::new();
    let (mut before, mut whole) = (Duration::ZERO, None::<Summary>);
    for number in 0..args.seeds {
        let settings = Settings { seed: settings.seed.wrapping_add(number), ..settings.clone() };
        let result = run_campaign(&settings, stop, |event| match event {
            Event::Progress { cases, checked, diverged, elapsed, .. } => {
                let elapsed = before + elapsed;
                if args.json && progress.is_due(elapsed) {
                    say!("{}", report::json_progress(cases, checked, diverged, elapsed.as_secs_f64()));
                }
                let of = if args.seeds > 1 { format!("seed {}: ", settings.seed) } else { String::new() };
                progress.show(elapsed, &format!("{of}{}", report::progress(cases, total, checked, diverged, elapsed)));
            }
            Event::Found(finding) => {
                progress.clear();
                if args.json {
                    say!("{}", report::json_finding(finding));
                } else {
                    say!("{}", report::finding(finding));
                }
            }
        });
        match (result, &mut whole) {
            (Ok(summary), None) => whole = Some(summary),
            (Ok(summary), Some(whole)) => whole.add(summary),
            // Interrupted before a worker came up: what there is counts.
            (Err(_), Some(whole)) if stop.load(Ordering::Relaxed) => whole.interrupted = true,
            (Err(e), _) => {
                progress.clear();
                return Err(if stop.load(Ordering::Relaxed) { INTERRUPTED } else { refuse(&e) });
            }
        }
        before = whole.as_ref().map_or(before, |s| s.elapsed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    progress.clear();
    let Some(summary) = whole else { return Err(DEFECT) };
    let mut hint = String::new();
    if let Some(dir) = &args.keep {
        for (n, finding) in summary.findings.iter().enumerate() {
            if let Err(e) = keep(dir, n + 1, finding, &settings.worker.target) {
                eprintln!("ovlcheck: cannot write to {}: {e}", dir.display());
                return Err(CANNOT);
            }
        }
        hint = format!("run them again: ovlcheck replay {}/*.case", dir.display());
    } else if !summary.findings.is_empty() {
        hint = "write them to files: run again with the same --seed and --keep DIR".to_owned();
    }
    let status = status(&summary);
    if let (0, Some(filter)) = (summary.stats.cases, &args.filter) {
        eprintln!("ovlcheck: no case drawn was about {filter}: it may need other options, or another privilege");
    }
    for gone in summary.known.iter().filter(|known| known.gone) {
        let file = args.expect.as_deref().unwrap_or(Path::new("")).display();
        eprintln!("ovlcheck: {file}:{}: '{}' is no longer so: delete this entry", gone.line, gone.name);
    }
    Ok((summary, hint, status))
}

/// What part of a campaign this is, where it is not the whole.
fn of_shard(shard: Shard) -> String {
    if shard.is_whole() { String::new() } else { format!(", shard {shard}") }
}

fn status(summary: &Summary) -> u8 {
    let gone = summary.known.iter().any(|known| known.gone);
    let news = summary.stats.diverged > 0 || !summary.findings.is_empty() || gone;
    status_of(summary.interrupted, news, !summary.defects.is_empty(), summary.stats.cases)
}

/// The exit status of a campaign: whether it was interrupted, found something, met a defect, and ran anything.
pub(super) fn status_of(interrupted: bool, news: bool, defects: bool, cases: u64) -> u8 {
    match () {
        () if interrupted => INTERRUPTED,
        () if news => DIVERGED,
        () if defects => DEFECT,
        () if cases == 0 => CANNOT,
        () => HELD,
    }
}

pub(super) fn keep(dir: &Path, n: usize, finding: &Finding, target: &TargetSpec) -> std::io::Result<()> {
    let rule = finding.divergence.rule.map_or("none", |r| r.id());
    let name = format!("{n:02}-{rule}-{}", finding.divergence.operation);
    std::fs::write(dir.join(format!("{name}.case")), finding.case.to_string())?;
    let mut text = report::finding(finding);
    match script::export(&finding.case, &finding.trace.environment, target, finding.fault) {
        Ok(script) => write_executable(&dir.join(format!("{name}.sh")), &script)?,
        Err(e) => text += &format!("{e}\n"),
    }
    if let Some(why) = script::silent_about(&finding.divergence) {
        text += &format!("the script does not show it: {why}\n");
    }
    std::fs::write(dir.join(format!("{name}.txt")), text)?;
    let trace = serde_json::to_string(&finding.trace).map_err(std::io::Error::other)?;
    std::fs::write(dir.join(format!("{name}.trace.json")), trace)
}

/// The line of progress: rewritten in place on a terminal, now and then a line elsewhere.
pub(super) struct Progress {
    terminal: bool,
    shown: Option<Duration>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Whether [`Progress::show`] would show something now.
    pub(super) fn is_due(&self, elapsed: Duration) -> bool {
        let every = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
        match self.shown {
            Some(at) => elapsed >= at + every,
            None => elapsed >= every,
        }
    }

    pub(super) fn show(&mut self, elapsed: Duration, line: &str) {
        if !self.is_due(elapsed) {
            return;
        }
        self.shown = Some(elapsed);
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    pub(super) fn clear(&mut self) {
        if self.terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
