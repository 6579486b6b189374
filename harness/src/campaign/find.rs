//! Findings: a divergence made sure of and made small.

use std::time::Duration;

use crate::case::Case;
use crate::check::{Divergence, Judgement, Mirror, Oracle, Place, Transparency, judge_foreseen, transparency};
use crate::exec::{ExecError, Executor, Place as Where, TargetSpec, WorkerConfig};
use crate::expectations::Expectations;
use crate::level::Level;
use crate::model::Clause;
use crate::shrink::{Budget, CaseTree, Shrunk, shrink_from};
use crate::trace::{Filesystem, Trace};

/// A divergence with its smallest case.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Index of the case in its campaign; `None` for a case from a file.
    pub index: Option<u64>,
    /// How often its signature was met.
    pub times: u64,
    /// The shrunk case.
    pub case: Case,
    /// What the shrunk case shows.
    pub divergence: Divergence,
    /// The trace of the shrunk case.
    pub trace: Trace,
    /// How many steps and entries the case had before.
    pub from: (usize, usize),
    /// How many cases were run to shrink it.
    pub runs: u32,
    /// Why it was not shrunk: running the case again gave something else.
    pub nondeterministic: Option<String>,
    /// The clause that was broken in the model that judged, if one was.
    pub fault: Option<Clause>,
}

impl Finding {
    /// A divergence as it was met.
    pub fn unshrunk(case: &Case, trace: Trace, divergence: Divergence) -> Finding {
        let from = (case.steps.len(), entries(case));
        let (index, runs, nondeterministic, fault) = (None, 0, None, None);
        Finding { index, times: 1, case: case.clone(), divergence, trace, from, runs, nondeterministic, fault }
    }
}

/// How many entries all layers of a case have.
pub fn entries(case: &Case) -> usize {
    case.upper.entries.len() + case.lowers.iter().map(|l| l.entries.len()).sum::<usize>()
}

/// By what traces are judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judging<'a> {
    /// The clause that is broken in the model, if one is.
    pub fault: Option<Clause>,
    /// What is known of the target, and so no finding.
    pub expectations: Option<&'a Expectations>,
}

impl From<Option<Clause>> for Judging<'_> {
    fn from(fault: Option<Clause>) -> Self {
        Judging { fault, expectations: None }
    }
}

impl Judging<'_> {
    /// Judges by the model, the layers, and what is known.
    pub fn judge(self, case: &Case, trace: &Trace) -> Judgement {
        judge_foreseen(case, trace, self.fault, &|d| self.foresee(case, trace, d))
    }

    /// Which known deviation this is.
    pub fn foresee(self, case: &Case, trace: &Trace, divergence: &Divergence) -> Option<usize> {
        self.expectations?.foresee(case, &trace.environment, divergence)
    }

    /// Adds what comparing with a plain filesystem found to a judgement without a divergence.
    pub fn add(self, case: &Case, trace: &Trace, judgement: &mut Judgement, transparency: &Transparency) {
        let Some(divergence) = &transparency.divergence else { return };
        match self.foresee(case, trace, divergence) {
            Some(known) if judgement.known.contains(&known) => {}
            Some(known) => judgement.known.push(known),
            None => judgement.divergence = Some(divergence.clone()),
        }
    }
}

/// How often a case is run again before it is believed.
const REPEATS: usize = 2;

/// Starts the worker that runs the plain counterparts of another's cases; `None` where that one has no
/// overlay either, claims less than to be like a filesystem of Linux, or has its layers on a filesystem that
/// does things its own way: then that shows in what is merged, or does not, as the overlay has it.
pub fn start_mirror(worker: &WorkerConfig) -> Result<Option<Executor>, ExecError> {
    match worker.target {
        TargetSpec::Plain => Ok(None),
        // A second machine for each would cost more than it finds.
        _ if matches!(worker.place, Where::Guest(_)) => Ok(None),
        _ if worker.level < Level::Linux || worker.filesystem != Filesystem::Tmpfs => Ok(None),
        _ => Executor::start(WorkerConfig { target: TargetSpec::Plain, ..worker.clone() }).map(Some),
    }
}

/// Runs the plain counterpart of a case and compares; `None` where it has none, or cannot be run.
pub fn mirrored(plain: &mut Executor, case: &Case, trace: &Trace) -> Result<Option<Transparency>, ExecError> {
    let Some(mirror) = Mirror::of(case, &trace.environment) else { return Ok(None) };
    match plain.run(&mirror.case) {
        Ok(seen) => Ok(Some(transparency(case, &mirror, trace, &seen))),
        Err(ExecError::Unsupported { .. } | ExecError::Setup(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Runs a case and asks all oracles, the plain one where there is a worker for it.
pub fn examine(
    executor: &mut Executor,
    mirror: Option<&mut Executor>,
    case: &Case,
    judging: Judging<'_>,
) -> Result<(Trace, Judgement), ExecError> {
    let trace = executor.run(case)?;
    let mut judgement = judging.judge(case, &trace);
    if let (None, false, Some(plain)) = (&judgement.divergence, judgement.cut, mirror) {
        if let Some(transparency) = mirrored(plain, case, &trace)? {
            judging.add(case, &trace, &mut judgement, &transparency);
        }
    }
    Ok((trace, judgement))
}

/// Makes sure of a divergence and shrinks its case while the signature stays. `mirror` runs plain
/// counterparts; it is asked only if the divergence is from one.
pub fn investigate(
    executor: &mut Executor,
    mirror: Option<&mut Executor>,
    case: &Case,
    trace: Trace,
    divergence: Divergence,
    judging: Judging<'_>,
    max_time: Duration,
) -> Result<Finding, ExecError> {
    let mut finding = Finding { fault: judging.fault, ..Finding::unshrunk(case, trace, divergence) };
    let signature = finding.divergence.signature();
    let mut mirror = mirror.filter(|_| finding.divergence.oracle == Oracle::Plain);
    for _ in 0..REPEATS {
        let again = match examine(executor, mirror.as_deref_mut(), case, judging) {
            Ok((_, judgement)) => judgement.divergence,
            // What was found is told as it was met.
            Err(ExecError::Interrupted) => return Ok(finding),
            Err(e) => return Err(e),
        };
        if again.as_ref().map(Divergence::signature) != Some(signature.clone()) {
            let seen = again.map_or("no divergence".to_owned(), |d| d.to_string());
            finding.nondeterministic = Some(format!("run again, the case gave: {seen}"));
            return Ok(finding);
        }
    }
    let mut tree = CaseTree::new(case.clone());
    if let Place::Step(step) = finding.divergence.place {
        tree = tree.failed_at(step);
    }
    let shrunk = shrink_while(tree, max_time, |candidate| {
        if executor.is_stopped() {
            return Ok(false);
        }
        match examine(executor, mirror.as_deref_mut(), candidate, judging) {
            Ok((_, judgement)) => Ok(judgement.divergence.is_some_and(|d| d.signature() == signature)),
            Err(ExecError::Interrupted) => Ok(false),
            Err(e) => Err(e),
        }
    })?;
    finding.runs = shrunk.runs;
    let (trace, judgement) = match examine(executor, mirror, &shrunk.case, judging) {
        Err(ExecError::Interrupted) => return Ok(finding),
        other => other?,
    };
    if let Some(divergence) = judgement.divergence {
        if divergence.signature() == signature {
            (finding.case, finding.trace, finding.divergence) = (shrunk.case, trace, divergence);
        }
    }
    Ok(finding)
}

/// Runs a case and returns its divergence from the model, if it has one.
pub fn find_again(
    executor: &mut Executor,
    case: &Case,
    fault: Option<Clause>,
) -> Result<Option<(Trace, Divergence)>, ExecError> {
    let (trace, judgement) = examine(executor, None, case, fault.into())?;
    Ok(judgement.divergence.map(|d| (trace, d)))
}

/// Shrinks a case for as long as candidates fail in the same way, as `fails` says.
///
/// # Errors
/// The first that `fails` gives, but for those of a candidate that cannot be made here: it is not smaller, it is
/// something else.
pub(super) fn shrink_while(
    tree: CaseTree,
    max_time: Duration,
    mut fails: impl FnMut(&Case) -> Result<bool, ExecError>,
) -> Result<Shrunk, ExecError> {
    let mut error = None;
    let shrunk = shrink_from(tree, Budget { max_runs: 3000, max_time }, |candidate| {
        if error.is_some() {
            return false;
        }
        match fails(candidate) {
            Ok(same) => same,
            Err(ExecError::Unsupported { .. } | ExecError::Setup(_)) => false,
            Err(e) => {
                error = Some(e);
                false
            }
        }
    });
    match error {
        None => Ok(shrunk),
        Some(e) => Err(e),
    }
}
