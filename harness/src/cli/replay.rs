//! `ovlcheck replay`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::say;
use super::{CANNOT, DEFECT, DIVERGED, HELD, USAGE, WorkerArgs, refuse};
use crate::campaign::{Finding, Judging, mirrored, start_mirror};
use crate::case::{Case, text};
use crate::check::check_expectations;
use crate::exec::{ExecError, Executor};
use crate::model::Clause;
use crate::model::options::Options;
use crate::report;
use crate::script;
use crate::trace::Trace;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck replay found/*.case                         do they still diverge?
  ovlcheck replay --times 20 x.case                    is it always the same?
  ovlcheck replay --fault RMV-02.whiteout x.case       what a kernel without whiteouts would show
  ovlcheck replay --trace x.case > x.json              the trace, to be judged elsewhere
  ovlcheck replay --script x.sh x.case                 a shell script for who has no ovlcheck";

/// What `ovlcheck replay` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ReplayArgs {
    /// Case files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run each case this often.
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,
    /// Break this clause of the model, to see what would be reported.
    #[arg(long, value_name = "CLAUSE")]
    fault: Option<Clause>,
    /// What the target is known to do otherwise: see `ovlcheck run --help`.
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["fault", "trace"])]
    expect: Option<PathBuf>,
    /// Print the traces as JSON, one a line, instead of judging them.
    #[arg(long)]
    trace: bool,
    /// Write the case as a shell script that shows what is expected here and what is seen, and needs
    /// nothing of ovlcheck. Takes one case file.
    #[arg(long, value_name = "FILE.sh", conflicts_with = "trace")]
    script: Option<PathBuf>,
    /// Print JSON, one value a line, as docs/json.md describes it.
    #[arg(long, conflicts_with = "trace")]
    json: bool,
    /// Write the results as JUnit XML to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerArgs,
}

pub(super) fn replay(args: &ReplayArgs) -> u8 {
    let mut cases = Vec::new();
    for file in &args.files {
        let read = std::fs::read(file).map_err(|e| format!(" {e}"));
        match read.and_then(|bytes| text::parse(&bytes).map_err(|e| e.to_string())) {
            Ok(case) => {
                if let Some(option) = Options::unknown(&case.options) {
                    eprintln!("ovlcheck: {}: the model knows nothing of the mount option '{option}'", file.display());
                    return USAGE;
                }
                cases.push((file, case));
            }
            Err(e) => {
                eprintln!("ovlcheck: {}:{e}", file.display());
                return USAGE;
            }
        }
    }
    if args.script.is_some() && cases.len() != 1 {
        eprintln!("ovlcheck: --script takes one case file, not {}", cases.len());
        return USAGE;
    }
    let expectations = match args.worker.expectations(args.expect.as_deref()) {
        Ok(expectations) => expectations,
        Err(status) => return status,
    };
    let judging = Judging { fault: args.fault, expectations: expectations.as_deref() };
    // ^C ends a replay at once, and its worker with it.
    let worker = match args.worker.place(&Arc::default()) {
        Ok(worker) => worker,
        Err(e) => return refuse(&e),
    };
    let mut executor = match Executor::start(worker.clone()) {
        Ok(executor) => executor,
        Err(e) => return refuse(&e),
    };
    // With a fault the model alone is on trial.
    let mut mirror = if args.trace || args.fault.is_some() {
        None
    } else {
        match start_mirror(&worker) {
            Ok(mirror) => mirror,
            Err(e) => return refuse(&e),
        }
    };
    let begun = Instant::now();
    let mut told = Told::begin(args);
    for (file, case) in &cases {
        for _ in 0..args.times.max(1) {
            let trace = match executor.run(case) {
                Ok(trace) => trace,
                Err(e @ ExecError::Internal(_)) => return refuse(&e),
                Err(e) => {
                    told.untested(file, &e);
                    continue;
                }
            };
            if args.trace {
                match serde_json::to_string(&trace) {
                    Ok(json) => say!("{json}"),
                    Err(e) => {
                        eprintln!("ovlcheck: cannot write the trace: {e}");
                        return DEFECT;
                    }
                }
                continue;
            }
            if let Some(path) = &args.script {
                if let Err(status) = write_script(path, case, &trace, args) {
                    return status;
                }
            }
            let mut judgement = judging.judge(case, &trace);
            // What a case asserts of a target that is known to do otherwise says nothing new.
            if judgement.divergence.is_none() && judgement.known.is_empty() && !judgement.interrupted {
                if let Some(broken) = check_expectations(case, &trace) {
                    match judging.foresee(case, &trace, &broken) {
                        Some(known) => judgement.known.push(known),
                        None => judgement.divergence = Some(broken),
                    }
                }
            }
            if let (None, false, Some(plain)) = (&judgement.divergence, judgement.cut, &mut mirror) {
                match mirrored(plain, case, &trace) {
                    Ok(None) => {}
                    Ok(Some(transparency)) => judging.add(case, &trace, &mut judgement, &transparency),
                    Err(e) => return refuse(&e),
                }
            }
            let Some(divergence) = judgement.divergence else {
                let name = |n: &usize| expectations.as_ref().and_then(|e| Some(e.deviations.get(*n)?.name.as_str()));
                told.held(file, &judgement.known.iter().filter_map(name).collect::<Vec<_>>());
                continue;
            };
            if let Some(why) = args.script.as_ref().and_then(|_| script::silent_about(&divergence)) {
                eprintln!("ovlcheck: the script does not show it: {why}");
            }
            told.diverged(file, &Finding { fault: args.fault, ..Finding::unshrunk(case, trace, divergence) });
        }
    }
    told.end(begun)
}

/// Tells what comes of each case, in the form that was asked for, and keeps count.
struct Told<'a> {
    args: &'a ReplayArgs,
    tests: Vec<report::JunitTest>,
    /// How many held, diverged, could not be tested.
    counts: [usize; 3],
}

impl<'a> Told<'a> {
    fn begin(args: &'a ReplayArgs) -> Told<'a> {
        if args.json {
            say!("{}", report::json_begin("replay"));
        }
        Told { args, tests: Vec::new(), counts: [0; 3] }
    }

    /// It held, but for what is known.
    fn held(&mut self, file: &Path, known: &[&str]) {
        self.counts[0] += 1;
        let reason = (!known.is_empty()).then(|| known.join(", "));
        match (self.args.json, reason) {
            (true, None) => say!("{}", report::json_case(&file.display().to_string(), "holds", None, None)),
            (true, Some(names)) => {
                say!("{}", report::json_case(&file.display().to_string(), "known", Some(&names), None));
            }
            (false, None) => say!("{}: holds", file.display()),
            (false, Some(names)) => say!("{}: known: {names}", file.display()),
        }
        self.add(file, report::JunitResult::Passed);
    }

    fn diverged(&mut self, file: &Path, finding: &Finding) {
        self.counts[1] += 1;
        if self.args.json {
            say!("{}", report::json_case(&file.display().to_string(), "diverges", None, Some(finding)));
        } else {
            say!("{}: {}", file.display(), finding.divergence);
            say!("{}", report::finding(finding));
        }
        self.add(file, report::failed(finding));
    }

    fn untested(&mut self, file: &Path, why: &ExecError) {
        self.counts[2] += 1;
        if self.args.json {
            say!("{}", report::json_case(&file.display().to_string(), "not tested", Some(&why.to_string()), None));
        } else {
            say!("{}: not tested: {why}", file.display());
        }
        self.add(file, report::JunitResult::Skipped(why.to_string()));
    }

    fn add(&mut self, file: &Path, result: report::JunitResult) {
        self.tests.push(report::JunitTest { name: file.display().to_string(), result });
    }

    fn end(self, begun: Instant) -> u8 {
        let [held, diverged, untested] = self.counts;
        let mut status = match (diverged, untested) {
            (1.., _) => DIVERGED,
            (0, 1..) => CANNOT,
            _ => HELD,
        };
        if let Some(path) = &self.args.junit {
            let text = report::junit("ovlcheck replay", begun.elapsed().as_secs_f64(), &self.tests);
            if let Err(e) = std::fs::write(path, text) {
                eprintln!("ovlcheck: cannot write {}: {e}", path.display());
                // A divergence outranks what could not be written.
                status = if status == DIVERGED { DIVERGED } else { CANNOT };
            }
        }
        if self.args.json {
            say!("{}", report::json_replayed(held, diverged, untested, status));
        }
        status
    }
}

/// Writes the script of a case, for the machine that the trace was made on.
fn write_script(path: &Path, case: &Case, trace: &Trace, args: &ReplayArgs) -> Result<(), u8> {
    let target = args.worker.config().target;
    let script = script::export(case, &trace.environment, &target, args.fault).map_err(|e| {
        eprintln!("ovlcheck: {e}");
        CANNOT
    })?;
    write_executable(path, &script).map_err(|e| {
        eprintln!("ovlcheck: cannot write {}: {e}", path.display());
        CANNOT
    })
}

/// Writes a file that can be executed.
pub(super) fn write_executable(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
