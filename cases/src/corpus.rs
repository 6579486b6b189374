//! The case files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use ovlcheck::case::{Case, text};
use ovlcheck::check::judge;
use ovlcheck::exec::{ExecError, Executor};
use ovlcheck::model::Clause;
use ovlcheck::trace::Trace;
use walkdir::WalkDir;

/// The variable that names another directory of cases, for trees that were copied after the build.
pub const DIRECTORY: &str = "OVLCHECK_CASES";

/// The smallest case that leaves a whiteout.
pub const WHITEOUT: &str = "lower\n  file f \"x\"\nsteps\n  unlink f = ok\nexpect upper\n  whiteout f\n";

/// How often a case is run whose walks are interrupted every time.
const RUNS: usize = 10;

/// A case file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the directory of cases, without `.case`: area and name.
    pub name: String,
}

/// The directory of cases.
pub fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(), PathBuf::from)
}

/// All case files, sorted by path.
///
/// # Errors
/// When a directory cannot be read.
pub fn files() -> Result<Vec<CaseFile>> {
    let root = directory();
    let mut files = Vec::new();
    for entry in WalkDir::new(&root).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_none_or(|e| e != "case") {
            continue;
        }
        let name = path.strip_prefix(&root)?.with_extension("");
        let name = name.to_str().ok_or_else(|| anyhow!("{}: not UTF-8", path.display()))?.to_owned();
        files.push(CaseFile { path, name });
    }
    Ok(files)
}

/// Runs a case until nothing interrupted it: what the other tests mount meanwhile can end a walk early (VFS-05.loop).
///
/// # Errors
/// Those of [`Executor::run`].
pub fn run_case(executor: &mut Executor, case: &Case) -> Result<Trace, ExecError> {
    let mut trace = executor.run(case)?;
    for _ in 1..RUNS {
        if !judge(case, &trace, None).interrupted {
            break;
        }
        trace = executor.run(case)?;
    }
    Ok(trace)
}

impl CaseFile {
    /// What it is about: the first part of its name.
    pub fn area(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// The clause it is named after, if it is.
    pub fn clause(&self) -> Option<Clause> {
        self.name.rsplit('/').next()?.parse().ok()
    }

    /// Whether it is about what only root has: devices, or options that are nothing without file handles.
    pub fn is_for_root(&self) -> bool {
        self.name.split('/').any(|part| part == "root-only")
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is not there or is no case; the message begins with `file:line:column`.
    pub fn read(&self) -> Result<Case> {
        let bytes = std::fs::read(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        text::parse(&bytes).map_err(|e| anyhow!("{}:{e}", self.path.display()))
    }
}
