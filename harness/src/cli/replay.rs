//! `ovlcheck replay`

use std::path::{Path, PathBuf};

use clap::Args;

use super::say;
use super::{CANNOT, DEFECT, DIVERGED, HELD, USAGE, WorkerArgs, refuse};
use crate::campaign::{Finding, mirrored, start_mirror};
use crate::case::{Case, text};
use crate::check::{check_expectations, judge};
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
    /// Print the traces as JSON, one a line, instead of judging them.
    #[arg(long)]
    trace: bool,
    /// Write the case as a shell script that shows what is expected here and what is seen, and needs
    /// nothing of ovlcheck. Takes one case file.
    #[arg(long, value_name = "FILE.sh", conflicts_with = "trace")]
    script: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerArgs,
}

pub(super) fn replay(args: &ReplayArgs) -> u8 {
    let mut cases = Vec::new();
    for file in &args.files {
        let read = std::fs::read(file).map_err(|e| e.to_string());
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
    let mut executor = match Executor::start(args.worker.config()) {
        Ok(executor) => executor,
        Err(e) => return refuse(&e),
    };
    // With a fault the model alone is on trial.
    let mut mirror = if args.trace || args.fault.is_some() {
        None
    } else {
        match start_mirror(&args.worker.config()) {
            Ok(mirror) => mirror,
            Err(e) => return refuse(&e),
        }
    };
    let (mut diverged, mut untested) = (false, false);
    for (file, case) in &cases {
        for _ in 0..args.times.max(1) {
            let trace = match executor.run(case) {
                Ok(trace) => trace,
                Err(e @ ExecError::Internal(_)) => return refuse(&e),
                Err(e) => {
                    say!("{}: not tested: {e}", file.display());
                    untested = true;
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
            let mut divergence =
                judge(case, &trace, args.fault).divergence.or_else(|| check_expectations(case, &trace));
            if let (None, Some(plain)) = (&divergence, &mut mirror) {
                divergence = match mirrored(plain, case, &trace) {
                    Ok(transparency) => transparency.and_then(|t| t.divergence),
                    Err(e) => return refuse(&e),
                };
            }
            let Some(divergence) = divergence else {
                say!("{}: holds", file.display());
                continue;
            };
            diverged = true;
            if let Some(why) = args.script.as_ref().and_then(|_| script::silent_about(&divergence)) {
                eprintln!("ovlcheck: the script does not show it: {why}");
            }
            say!("{}: {divergence}", file.display());
            let finding = Finding { fault: args.fault, ..Finding::unshrunk(case, trace, divergence) };
            say!("{}", report::finding(&finding));
        }
    }
    match (diverged, untested) {
        (true, _) => DIVERGED,
        (false, true) => CANNOT,
        _ => HELD,
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
