//! The self-test: every fault must be found in the recorded traces of a campaign.
//!
//! A campaign is executed once; each faulty model then re-judges its traces. A fault that no trace
//! betrays is a clause that nothing tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::find::{examine, investigate};
use super::run::Settings;
use crate::case::Case;
use crate::check::{Divergence, judge};
use crate::exec::{ExecError, Executor};
use crate::generate::{draw, seed_for};
use crate::model::{Clause, Model};
use crate::trace::{Privilege, Trace};

/// What became of one fault.
#[derive(Clone, Debug)]
pub struct FaultResult {
    /// The clause that was broken.
    pub clause: Clause,
    /// How many cases it took until a divergence: `None` for a survivor.
    pub cases_to_kill: Option<u64>,
    /// How often the clause fired in the campaign.
    pub fired: u64,
    /// In which environment.
    pub privilege: Option<Privilege>,
    /// The divergence that betrayed it.
    pub divergence: Option<Divergence>,
    /// What its case shrank to, if that was asked for.
    pub shrunk: Option<ShrunkFault>,
}

/// A fault's case after shrinking.
#[derive(Clone, Debug)]
pub struct ShrunkFault {
    /// The case.
    pub case: Case,
    /// How many cases were run.
    pub runs: u32,
    /// How long it took.
    pub took: Duration,
    /// How many of [`REPLAYS`] runs of the written case gave the same divergence.
    pub replays: u32,
}

/// How often a shrunk case is written, read back and run.
pub const REPLAYS: u32 = 10;

/// What the self-test came to.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// One result for each clause, in the order of the specification.
    pub faults: Vec<FaultResult>,
    /// How many cases were run.
    pub cases: u64,
    /// A divergence of the model without any fault: then nothing else here means anything.
    pub false_alarm: Option<(u64, Divergence)>,
}

impl SelfTest {
    /// Clauses whose fault no trace betrayed.
    pub fn survivors(&self) -> impl Iterator<Item = &FaultResult> {
        self.faults.iter().filter(|f| f.cases_to_kill.is_none())
    }
}

/// Runs each campaign in turn, each until its cases are done or every fault is dead; what one leaves
/// alive the next may kill, because some clauses bind only as root and some only rootless.
pub fn self_test(
    settings: &[Settings],
    shrink: bool,
    stop: &AtomicBool,
    mut on_progress: impl FnMut(u64, usize),
) -> Result<SelfTest, ExecError> {
    let fresh = |&clause| FaultResult {
        clause,
        cases_to_kill: None,
        fired: 0,
        divergence: None,
        privilege: None,
        shrunk: None,
    };
    let mut result = SelfTest { faults: Clause::ALL.iter().map(fresh).collect(), cases: 0, false_alarm: None };
    for settings in settings {
        if result.false_alarm.is_none() {
            one_campaign(settings, shrink, stop, &mut result, &mut on_progress)?;
        }
    }
    Ok(result)
}

fn one_campaign(
    settings: &Settings,
    shrink: bool,
    stop: &AtomicBool,
    result: &mut SelfTest,
    on_progress: &mut impl FnMut(u64, usize),
) -> Result<(), ExecError> {
    let mut executor = Executor::start(settings.worker.clone())?;
    let mut alive = result.survivors().count();
    let mut cases = 0;
    for index in 0..settings.cases {
        if alive == 0 || stop.load(Ordering::Relaxed) {
            break;
        }
        let case = draw::<Model>(&settings.profile, &seed_for(settings.seed, index));
        let trace = match executor.run(&case) {
            Ok(trace) => trace,
            Err(ExecError::Unsupported { .. }) => continue,
            Err(e) => return Err(e),
        };
        cases += 1;
        let sound = judge(&case, &trace, None);
        if let Some(divergence) = sound.divergence {
            result.false_alarm = Some((index, divergence));
            break;
        }
        for fault in &mut result.faults {
            let fired = sound.fired[fault.clause as usize];
            fault.fired += u64::from(fired);
            if fault.cases_to_kill.is_some() || fired == 0 {
                continue;
            }
            if let Some(divergence) = judge(&case, &trace, Some(fault.clause)).divergence {
                fault.cases_to_kill = Some(cases);
                if shrink {
                    fault.shrunk =
                        Some(shrink_fault(&mut executor, settings, &case, &trace, &divergence, fault.clause)?);
                }
                fault.divergence = Some(divergence);
                fault.privilege = Some(settings.worker.privilege);
                alive -= 1;
            }
        }
        if cases % 50 == 0 {
            on_progress(cases, alive);
        }
    }
    result.cases += cases;
    Ok(())
}

fn shrink_fault(
    executor: &mut Executor,
    settings: &Settings,
    case: &Case,
    trace: &Trace,
    divergence: &Divergence,
    fault: Clause,
) -> Result<ShrunkFault, ExecError> {
    let begun = Instant::now();
    let finding =
        investigate(executor, None, case, trace.clone(), divergence.clone(), Some(fault).into(), settings.shrink_time)?;
    let took = begun.elapsed();
    let mut replays = 0;
    let read_back: Result<Case, _> = finding.case.to_string().parse();
    if let Ok(written) = read_back {
        for _ in 0..REPLAYS {
            let (_, again) = examine(executor, None, &written, Some(fault).into())?;
            replays += u32::from(again.divergence.is_some_and(|d| d.signature() == divergence.signature()));
        }
    }
    Ok(ShrunkFault { case: finding.case, runs: finding.runs, took, replays })
}
