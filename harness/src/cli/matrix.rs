//! `ovlcheck matrix`

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::campaign::{Progress, RunArgs, stop_flag};
use super::targets::{NAMED, named};
use super::{CANNOT, HELD, INTERRUPTED, USAGE, WorkerArgs, say_raw};
use crate::campaign::{Event, Settings, Shard, run as run_campaign};
use crate::report::{self, Column};

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck matrix                                        all that have a name, as text
  ovlcheck matrix --targets kernel,fuse-overlayfs-2 --format markdown
  ovlcheck matrix --expect fixtures/expectations --output matrix.html --output matrix.md";

/// What `ovlcheck matrix` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct MatrixArgs {
    /// These targets, as `--target` of `run` names them; with `-rootless` after it in a user namespace.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          default_values_t = ["kernel", "kernel-rootless", "fuse-overlayfs-1", "fuse-overlayfs-2", "unionfs-fuse"].map(str::to_owned))]
    targets: Vec<String>,
    /// Draw every case from this seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run so many cases on each.
    #[arg(long, value_name = "N", default_value_t = 300)]
    cases: u64,
    /// Stop after so many seconds on each.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Run this many workers [default: one per processor].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where there is a file NAME.toml for a target, it says what is known of it.
    #[arg(long, value_name = "DIR")]
    expect: Option<PathBuf>,
    /// In which form to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it to this file instead: HTML if it ends in .html, Markdown for .md, else text. May be given
    /// several times.
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    output: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Html,
}

pub(super) fn matrix(args: &MatrixArgs) -> u8 {
    let stop = stop_flag();
    let mut columns = Vec::new();
    for asked in &args.targets {
        let (name, rootless) = asked.strip_suffix("-rootless").map_or((asked.as_str(), false), |name| (name, true));
        if !NAMED.iter().any(|n| n.name == name) {
            let known: Vec<&str> = NAMED.iter().map(|n| n.name).collect();
            eprintln!("ovlcheck: no target is called '{asked}'; there are {}", known.join(", "));
            return USAGE;
        }
        match column(args, asked, name, rootless, &stop) {
            Ok(column) => columns.push(column),
            Err(status) => return status,
        }
        if stop.load(Ordering::Relaxed) {
            return INTERRUPTED;
        }
    }
    if args.output.is_empty() {
        say_raw!("{}", made(args.format, &columns));
    }
    for file in &args.output {
        let format = match file.extension().and_then(|e| e.to_str()) {
            Some("html") => Format::Html,
            Some("md") => Format::Markdown,
            _ => Format::Text,
        };
        if let Err(e) = std::fs::write(file, made(format, &columns)) {
            eprintln!("ovlcheck: cannot write {}: {e}", file.display());
            return CANNOT;
        }
    }
    if columns.iter().all(|column| column.result.is_err()) { CANNOT } else { HELD }
}

fn made(format: Format, columns: &[Column]) -> String {
    match format {
        Format::Text => report::matrix_text(columns),
        Format::Markdown => report::matrix_markdown(columns),
        Format::Html => report::matrix_html(columns),
    }
}

fn column(
    args: &MatrixArgs,
    asked: &str,
    name: &str,
    rootless: bool,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<Column, u8> {
    let target = name.to_owned();
    let worker = WorkerArgs { rootless, target, ..RunArgs::default().worker };
    let file = args.expect.as_ref().map(|dir| dir.join(format!("{asked}.toml"))).filter(|file| file.is_file());
    let expectations = worker.expectations(file.as_deref())?;
    let config = worker.config();
    let settings = Settings {
        seed: args.seed,
        cases: args.cases,
        shard: Shard::WHOLE,
        time: args.time.map(Duration::from_secs),
        jobs: args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        profile: worker.profile(&config),
        focus: None,
        worker: config.clone(),
        mirror: 0,
        shrink_time: Duration::ZERO,
        max_findings: 0,
        coverage: false,
        expectations,
    };
    let mut progress = Progress::new();
    let result = run_campaign(&settings, stop, |event| {
        if let Event::Progress { cases, checked, diverged, elapsed, .. } = event {
            let line = report::progress(cases, args.cases, checked, diverged, elapsed);
            progress.show(elapsed, &format!("{asked}: {line}"));
        }
    });
    progress.clear();
    let version = worker.version().map(|version| version.to_string());
    Ok(Column {
        name: asked.to_owned(),
        version,
        level: named(name).level.min(config.level),
        result: result.map_err(|e| e.to_string()),
    })
}
