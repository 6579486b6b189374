//! Exchange: what one target has left in the layers, another one mounts and shows.
//!
//! Cases run with two targets that take turns, at each remount and rotation. Only what is seen right after such a
//! hand-over counts, and only if both targets, each alone, do all of the case as they must: so a finding is about
//! what one of them writes and the other one reads, and not about what one of them does otherwise anyway.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::find::{Finding, shrink_while};
use crate::case::Case;
use crate::check::{Divergence, Judgement, Oracle, Place, apply_upper, judge_foreseen};
use crate::exec::{ExecError, Executor, TargetSpec, WorkerConfig};
use crate::resolve::Difference;
use crate::shrink::CaseTree;
use crate::step::{Op, Step};
use crate::trace::{Environment, Trace};

/// How often a case is run again before it is believed.
const REPEATS: usize = 2;

/// What is exchanged, and how much.
#[expect(missing_debug_implementations, reason = "a closure gives the cases")]
pub struct Exchange<'a> {
    /// What the two targets are called.
    pub names: [&'a str; 2],
    /// How workers run each alone, the one that begins first.
    pub workers: [WorkerConfig; 2],
    /// How many cases.
    pub cases: u64,
    /// The case of an index; `None` ends the exchange.
    pub source: &'a (dyn Fn(u64) -> Option<Case> + Sync),
    /// How long at most.
    pub time: Option<Duration>,
    /// How many workers of each kind.
    pub jobs: usize,
    /// How long shrinking one divergence may take.
    pub shrink_time: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// Where it ran.
    pub environment: Option<Environment>,
    /// Cases that ran.
    pub cases: u64,
    /// How often one target's layers were mounted by the other and shown as they must be.
    pub handovers: u64,
    /// Upper layers that were told as a layer of an image and mean the same, unpacked over what is below.
    pub images: u64,
    /// Cases in which one of the two alone does otherwise: they say nothing.
    pub alone: u64,
    /// Cases that could not be run.
    pub untested: u64,
    /// Divergences that did not come again.
    pub fleeting: u64,
    /// What was found, each signature once.
    pub findings: Vec<Finding>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// A case in which layers change hands: twice at least, there and back.
pub fn with_handovers(mut case: Case) -> Case {
    let remount = || Step::from(Op::Remount);
    let middle = case.steps.len() / 2;
    if !case.steps.iter().any(hands_over) {
        case.steps.insert(middle, remount());
    }
    if !case.steps.last().is_some_and(hands_over) {
        case.steps.push(remount());
    }
    case
}

fn hands_over(step: &Step) -> bool {
    matches!(step.op, Op::Remount | Op::Rotate)
}

/// Judges what is seen at hand-overs; all else is a matter of the target that did it.
fn judge_handovers(case: &Case, trace: &Trace) -> Judgement {
    let at_handover = |d: &Divergence| match d.place {
        Place::Step(step) => case.steps.get(step).is_some_and(hands_over),
        Place::Mount | Place::End => false,
    };
    judge_foreseen(case, trace, None, &|d| (!at_handover(d)).then_some(0))
}

/// Whether a target alone does all of a case as it must, but for fields by which nothing is decided, and `field`
/// is none of these.
fn holds(case: &Case, trace: &Trace, field: &str) -> bool {
    let same = Cell::new(false);
    let judgement = judge_foreseen(case, trace, None, &|d| {
        same.set(same.get() || d.field == field);
        Some(0)
    });
    !same.get() && judgement.divergence.is_none() && !judgement.cut && !judgement.beyond
}

/// The workers of one job.
struct Workers {
    both: Executor,
    alone: [Executor; 2],
}

/// What a case gave.
enum Seen {
    /// All as it must be, or not to be told.
    Held {
        judgement: Box<Judgement>,
        /// The upper layer told as one of an image means the same.
        image: bool,
    },
    /// A divergence at a hand-over, and none of either target alone.
    Found(Box<(Trace, Divergence)>),
    /// A divergence, and one of a target alone.
    Alone,
}

impl Workers {
    fn start(exchange: &Exchange<'_>) -> Result<Workers, ExecError> {
        let [first, second] = &exchange.workers;
        let name = exchange.names.join(",");
        let targets = Box::new([first.target.clone(), second.target.clone()]);
        let both = WorkerConfig { target: TargetSpec::Relay { name, targets }, ..first.clone() };
        let alone = [Executor::start(first.clone())?, Executor::start(second.clone())?];
        Ok(Workers { both: Executor::start(both)?, alone })
    }

    /// Whether each target alone does all of a case as it must.
    fn hold_alone(&mut self, case: &Case, field: &str) -> Result<bool, ExecError> {
        for executor in &mut self.alone {
            let trace = executor.run(case)?;
            if !holds(case, &trace, field) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn examine(&mut self, case: &Case) -> Result<Seen, ExecError> {
        let trace = self.both.run(case)?;
        let mut judgement = judge_handovers(case, &trace);
        let mut image = false;
        if judgement.divergence.is_none() && judgement.known.is_empty() && !judgement.cut && !judgement.beyond {
            // What an image cannot say is no finding.
            if let Ok(found) = apply_upper(case, &trace) {
                (image, judgement.divergence) = (found.is_none(), found.map(of_image));
            }
        }
        match judgement.divergence.clone() {
            None => Ok(Seen::Held { judgement: Box::new(judgement), image }),
            Some(divergence) if self.hold_alone(case, &divergence.field)? => {
                Ok(Seen::Found(Box::new((trace, divergence))))
            }
            Some(_) => Ok(Seen::Alone),
        }
    }

    /// Makes sure of a divergence and shrinks its case while the signature stays.
    fn investigate(
        &mut self,
        case: &Case,
        trace: Trace,
        found: Divergence,
        time: Duration,
    ) -> Result<Finding, ExecError> {
        let mut finding = Finding::unshrunk(case, trace, found);
        let signature = finding.divergence.signature();
        for _ in 0..REPEATS {
            let again = match self.examine(case)? {
                Seen::Found(found) if found.1.signature() == signature => continue,
                Seen::Found(found) => found.1.to_string(),
                Seen::Held { .. } => "no divergence".to_owned(),
                Seen::Alone => "a divergence of one target alone".to_owned(),
            };
            finding.nondeterministic = Some(format!("run again, the case gave: {again}"));
            return Ok(finding);
        }
        let mut tree = CaseTree::new(case.clone());
        if let Place::Step(step) = finding.divergence.place {
            tree = tree.failed_at(step);
        }
        let mut smallest = None;
        let shrunk = shrink_while(tree, time, |candidate| match self.examine(candidate)? {
            Seen::Found(found) if found.1.signature() == signature => {
                smallest = Some((candidate.clone(), *found));
                Ok(true)
            }
            _ => Ok(false),
        })?;
        finding.runs = shrunk.runs;
        if let Some((case, (trace, divergence))) = smallest.filter(|(case, _)| *case == shrunk.case) {
            (finding.case, finding.trace, finding.divergence) = (case, trace, divergence);
        }
        Ok(finding)
    }
}

/// What makes two divergences one kind: the comparison, what differs, and how that is seen, without names that
/// cases make up. All steps are hand-overs, and by which clause it is judged depends on the case.
type Kind = (Oracle, String, String);

fn kind_of(divergence: &Divergence) -> Kind {
    let seen = match divergence.seen.find(".wh.") {
        Some(at) => divergence.seen[at..].split([' ', ']']).next().unwrap_or_default().to_owned(),
        None if ["names", "mtime", "content", "size"].contains(&divergence.field.as_str()) => {
            divergence.rule.map_or_else(String::new, |rule| rule.id().to_owned())
        }
        None => divergence.seen.clone(),
    };
    (divergence.oracle, divergence.field.clone(), seen)
}

/// What is told of an upper layer that means something else as one of an image.
fn of_image(found: Difference) -> Divergence {
    let Difference { path, field, expected, seen } = found;
    let (place, oracle, operation, in_play) = (Place::End, Oracle::Image, "end", Vec::new());
    Divergence { place, oracle, operation, rule: None, in_play, path, field, expected, seen }
}

/// Runs an exchange. `on_found` is told of each finding as it is made.
///
/// # Errors
/// When no worker comes up, or one fails.
pub fn exchange<F>(exchange: &Exchange<'_>, stop: &AtomicBool, on_found: F) -> Result<Exchanged, ExecError>
where
    F: FnMut(&Finding) + Send,
{
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let state = Mutex::new((Exchanged::default(), on_found, Vec::<Kind>::new(), None::<ExecError>));
    let lock = || state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let over = || stop.load(Ordering::Relaxed) || exchange.time.is_some_and(|time| begun.elapsed() >= time);
    let job = || -> Result<(), ExecError> {
        let mut workers = Workers::start(exchange)?;
        lock().0.environment.get_or_insert_with(|| workers.both.environment().clone());
        while !over() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = (index < exchange.cases).then(|| (exchange.source)(index)).flatten() else { break };
            let case = with_handovers(case);
            let seen = match workers.examine(&case) {
                Err(ExecError::Unsupported { .. } | ExecError::Setup(_)) => {
                    lock().0.untested += 1;
                    continue;
                }
                seen => seen?,
            };
            let mut state = lock();
            state.0.cases += 1;
            match seen {
                Seen::Alone => state.0.alone += 1,
                Seen::Held { judgement, image } => {
                    let compared = case.steps.iter().take(judgement.checked).filter(|step| hands_over(step)).count();
                    state.0.handovers += compared as u64;
                    state.0.images += u64::from(image);
                }
                Seen::Found(found) => {
                    let (trace, divergence) = *found;
                    let kind = kind_of(&divergence);
                    if state.2.contains(&kind) {
                        let same = |f: &&mut Finding| kind_of(&f.divergence) == kind;
                        state.0.findings.iter_mut().find(same).into_iter().for_each(|f| f.times += 1);
                        continue;
                    }
                    // Claimed before it is shrunk, so that no other job shrinks it too.
                    state.2.push(kind);
                    drop(state);
                    let mut finding = workers.investigate(&case, trace, divergence, exchange.shrink_time)?;
                    finding.index = Some(index);
                    let mut state = lock();
                    let (exchanged, on_found, ..) = &mut *state;
                    if finding.nondeterministic.is_some() {
                        // Two servers in a row have more of a say in what happens when.
                        exchanged.fleeting += 1;
                        continue;
                    }
                    on_found(&finding);
                    exchanged.findings.push(finding);
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..exchange.jobs.max(1) {
            scope.spawn(|| {
                if let Err(e) = job() {
                    lock().3.get_or_insert(e);
                }
            });
        }
    });
    let (mut exchanged, _, _, failure) = state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    exchanged.interrupted = stop.load(Ordering::Relaxed);
    match failure {
        Some(e) => Err(e),
        None => Ok(exchanged),
    }
}
