//! Files of results for CI systems: `--junit`, `--ktap`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::CANNOT;
use crate::report::{self, JunitTest, TriedKernel};

/// Which files are written when all is done.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ResultsArgs {
    /// Write the results as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the results as KTAP, the kernel's test protocol, to this file: a test for each clause.
    #[arg(long, value_name = "FILE")]
    ktap: Option<PathBuf>,
}

impl ResultsArgs {
    /// Writes what is asked for about these campaigns. The error is the exit status; what is wrong has been said.
    pub(super) fn write(&self, command: &str, campaigns: &[TriedKernel]) -> Result<(), u8> {
        if let Some(path) = &self.junit {
            put(path, &junit(command, campaigns))?;
        }
        match &self.ktap {
            Some(path) => put(path, &report::ktap(campaigns)),
            None => Ok(()),
        }
    }
}

fn put(path: &Path, text: &str) -> Result<(), u8> {
    std::fs::write(path, text).map_err(|e| {
        eprintln!("ovlcheck: cannot write {}: {e}", path.display());
        CANNOT
    })
}

fn junit(command: &str, campaigns: &[TriedKernel]) -> String {
    let mut tests = Vec::new();
    let mut seconds = 0.0;
    for tried in campaigns {
        // Of several, each test says whose it is.
        let name = |name: String| if campaigns.len() > 1 { format!("{}: {name}", tried.name) } else { name };
        match &tried.result {
            Ok(summary) => {
                seconds += summary.elapsed.as_secs_f64();
                let of = report::junit_tests(summary).into_iter();
                tests.extend(of.map(|test| JunitTest { name: name(test.name), ..test }));
            }
            Err(status) => {
                let result = report::JunitResult::Error(format!("could not be tried (status {status})"));
                tests.push(JunitTest { name: name("campaign".to_owned()), result });
            }
        }
    }
    report::junit(command, seconds, &tests)
}
