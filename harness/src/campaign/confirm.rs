//! Whether the known deviations that have a case are still so.

use std::collections::BTreeMap;

use super::find::{Finding, Judging, examine};
use super::run::Settings;
use crate::exec::{ExecError, Executor};

/// What the case of a known deviation showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The deviation.
    Shown,
    /// No divergence, or another known one.
    Gone,
    /// A divergence that nobody foresaw.
    Other,
}

/// Runs the case of every known deviation of these settings that has one and applies here. The findings are
/// the divergences that no entry foresees.
///
/// # Errors
/// When no worker comes up, or one fails.
pub fn confirm(settings: &Settings) -> Result<(BTreeMap<usize, Confirmed>, Vec<Finding>), ExecError> {
    let mut confirmed = BTreeMap::new();
    let mut unforeseen: Vec<Finding> = Vec::new();
    let Some(expectations) = settings.expectations.as_deref() else { return Ok((confirmed, unforeseen)) };
    if expectations.deviations.iter().all(|d| d.case.is_none()) {
        return Ok((confirmed, unforeseen));
    }
    let mut executor = Executor::start(settings.worker.clone())?;
    let environment = executor.environment().clone();
    let judging = Judging { fault: None, expectations: Some(expectations) };
    for (n, deviation) in expectations.deviations.iter().enumerate() {
        let Some(case) = deviation.case.as_ref().filter(|_| deviation.applies(&environment)) else { continue };
        let (trace, judgement) = match examine(&mut executor, None, case, judging) {
            Ok(examined) => examined,
            // It says nothing where it cannot be tried.
            Err(ExecError::Unsupported { .. } | ExecError::Setup(_)) => continue,
            Err(e) => return Err(e),
        };
        let shown = if judgement.known.contains(&n) {
            Confirmed::Shown
        } else if judgement.divergence.is_some() {
            Confirmed::Other
        } else {
            Confirmed::Gone
        };
        confirmed.insert(n, shown);
        if let Some(divergence) = judgement.divergence {
            let signature = divergence.signature();
            if unforeseen.iter().all(|f| f.divergence.signature() != signature) {
                unforeseen.push(Finding::unshrunk(case, trace, divergence));
            }
        }
    }
    Ok((confirmed, unforeseen))
}
