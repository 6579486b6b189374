//! The same cases on two kernels, and what is different: each difference once, with its smallest case.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::find::Judging;
use super::run::{Settings, case_of};
use crate::case::Case;
use crate::check::{Divergence, Place, Signature};
use crate::errno::Errno;
use crate::exec::{ExecError, Executor, WorkerConfig};
use crate::model::Clause;
use crate::shrink::{Budget, CaseTree, shrink_from};
use crate::story::{self, ANYTHING, Chapter, Line};
use crate::trace::{Environment, Trace};

/// What has become of a case from the first kernel to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It held, and now it diverges.
    Fails,
    /// It diverged, and now it holds.
    Holds,
    /// It holds on both, by rules that are not the same: something shows otherwise.
    Differs,
}

/// What makes two differences one and the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Diverges(Change, Signature),
    Shows { rule: Option<Clause>, operation: &'static str, outcome: bool },
}

/// A difference between two kernels.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What has become of it.
    pub change: Change,
    /// The clause that is about it, as far as is known.
    pub rule: Option<Clause>,
    /// When it shows.
    pub place: Place,
    /// The step's operation; `mount` or `end` outside the steps.
    pub operation: &'static str,
    /// Where and what, in words.
    pub what: String,
    /// What it is on the first kernel and on the second.
    pub sides: [String; 2],
    /// The smallest case that shows it.
    pub case: Case,
    /// Index of the case in which it was met first.
    pub index: u64,
    /// In how many cases it was met.
    pub times: u64,
}

/// What comparing two kernels came to.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The seed of the cases.
    pub seed: u64,
    /// Where they ran.
    pub environments: [Environment; 2],
    /// How many cases ran on both.
    pub cases: u64,
    /// How many of them diverged on each.
    pub diverged: [u64; 2],
    /// Cases that could not be run on one of them, by reason.
    pub untested: BTreeMap<String, u64>,
    /// One for each difference: what fails first, then what holds, then what differs.
    pub differences: Vec<Difference>,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it was cut short.
    pub interrupted: bool,
}

/// Cases that each kernel has in hand: one it runs, one that waits.
const DEPTH: usize = 2;

/// Runs the cases that the settings name on their worker and on `other`, until they are done, time is up, or `stop`
/// is set. `on_progress` is told how many cases are done, and how many differences are known.
///
/// # Errors
/// When a worker does not come up.
pub fn compare(
    settings: &Settings,
    other: &WorkerConfig,
    stop: &AtomicBool,
    on_progress: impl FnMut(u64, usize, Duration),
) -> Result<Comparison, ExecError> {
    std::thread::scope(|scope| {
        let runners = [&settings.worker, other].map(|worker| Runner::start(scope, worker));
        let [first, second] = runners.each_ref().map(Runner::environment);
        compare_on(settings, Pair { runners, stop }, [first?, second?], on_progress)
    })
}

fn compare_on(
    settings: &Settings,
    mut pair: Pair<'_>,
    environments: [Environment; 2],
    mut on_progress: impl FnMut(u64, usize, Duration),
) -> Result<Comparison, ExecError> {
    let begun = Instant::now();
    let stop = pair.stop;
    let mut found: BTreeMap<Key, Difference> = BTreeMap::new();
    let (mut cases, mut diverged, mut untested) = (0, [0; 2], BTreeMap::new());
    let mut pending: VecDeque<(u64, Case)> = VecDeque::new();
    let mut indices = (settings.shard.first(0)..settings.cases).step_by(settings.shard.count() as usize);
    let over = || stop.load(Ordering::Relaxed) || settings.time.is_some_and(|time| begun.elapsed() >= time);
    loop {
        while pending.len() < DEPTH && !over() {
            let Some(index) = indices.next() else { break };
            let Some(case) = case_of(&settings.profile, settings.focus.as_ref(), settings.seed, index) else {
                continue;
            };
            pair.submit(&case)?;
            pending.push_back((index, case));
        }
        let Some((index, case)) = pending.pop_front() else { break };
        let traces = match pair.receive() {
            Ok(traces) => traces,
            Err(ExecError::Interrupted) => break,
            Err(e @ ExecError::Internal(_)) => return Err(e),
            Err(e) => {
                *untested.entry(e.to_string()).or_default() += 1;
                continue;
            }
        };
        cases += 1;
        let judged = Judged::of(&case, &traces);
        for (count, divergence) in diverged.iter_mut().zip(&judged.divergences) {
            *count += u64::from(divergence.is_some());
        }
        for (key, difference) in judged.differences(&case, &traces, index) {
            if let Some(known) = found.get_mut(&key) {
                known.times += 1;
                continue;
            }
            // What waits is answered first, and run again after it.
            let waiting: Vec<Case> = pending.iter().map(|(_, case)| case.clone()).collect();
            for _ in &waiting {
                drop(pair.receive());
            }
            if let Some(smallest) = pair.shrink(&case, &key, difference, settings.shrink_time)? {
                found.insert(key, smallest);
            }
            for case in &waiting {
                pair.submit(case)?;
            }
        }
        on_progress(cases, found.len(), begun.elapsed());
    }
    let mut differences: Vec<Difference> = found.into_values().collect();
    differences.sort_by_key(|d| (d.change, d.rule, d.operation, d.index));
    let (seed, elapsed, interrupted) = (settings.seed, begun.elapsed(), stop.load(Ordering::Relaxed));
    Ok(Comparison { seed, environments, cases, diverged, untested, differences, elapsed, interrupted })
}

/// A thread that owns a worker. A worker that is not listened to cannot go on, and one of two must not wait for the
/// other.
struct Runner {
    environment: Receiver<Result<Environment, ExecError>>,
    cases: Sender<Case>,
    traces: Receiver<Result<Trace, ExecError>>,
}

impl Runner {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, worker: &'scope WorkerConfig) -> Runner {
        let (tell, environment) = channel();
        let (cases, asked) = channel();
        let (give, traces) = channel();
        scope.spawn(move || {
            let mut executor = match Executor::start(worker.clone()) {
                Ok(executor) => executor,
                Err(e) => return drop(tell.send(Err(e))),
            };
            // Who does not listen any more has what it wanted.
            drop(tell.send(Ok(executor.environment().clone())));
            for case in asked {
                if give.send(executor.run(&case)).is_err() {
                    break;
                }
            }
        });
        Runner { environment, cases, traces }
    }

    fn environment(&self) -> Result<Environment, ExecError> {
        self.environment.recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// A thread ends before its work only if it panics, which is told by itself.
fn gone() -> ExecError {
    ExecError::Internal("a thread that runs cases is gone".into())
}

/// Workers under both kernels.
struct Pair<'a> {
    runners: [Runner; 2],
    stop: &'a AtomicBool,
}

impl Pair<'_> {
    fn submit(&mut self, case: &Case) -> Result<(), ExecError> {
        self.runners.iter().try_for_each(|runner| runner.cases.send(case.clone()).map_err(|_| gone()))
    }

    /// The traces of the oldest case; both are received even if one could not be made.
    fn receive(&mut self) -> Result<[Trace; 2], ExecError> {
        let receive = |runner: &Runner| runner.traces.recv().unwrap_or_else(|_| Err(gone()));
        let [first, second] = self.runners.each_ref().map(receive);
        Ok([first?, second?])
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&mut self, case: &Case) -> Result<[Trace; 2], ExecError> {
        self.submit(case)?;
        self.receive()
    }

    /// The smallest case that shows a difference; `None` if running the case again does not show it.
    fn shrink(
        &mut self,
        case: &Case,
        key: &Key,
        found: Difference,
        max_time: Duration,
    ) -> Result<Option<Difference>, ExecError> {
        let mut error = None;
        let mut last = None;
        let mut tree = CaseTree::new(case.clone());
        if let Place::Step(step) = found.place {
            tree = tree.failed_at(step);
        }
        // The first that is tried is the case itself.
        shrink_from(tree, Budget { max_runs: 1000, max_time }, |candidate| {
            if error.is_some() || self.is_stopped() {
                return false;
            }
            match self.run(candidate) {
                Ok(traces) => {
                    let shown = Judged::of(candidate, &traces).differences(candidate, &traces, found.index);
                    let same = shown.into_iter().find(|(other, _)| other == key);
                    let shows = same.is_some();
                    last = same.map(|(_, difference)| difference).or(last.take());
                    shows
                }
                Err(e @ ExecError::Internal(_)) => {
                    error = Some(e);
                    false
                }
                Err(_) => false,
            }
        });
        match error {
            Some(e) => Err(e),
            None if self.is_stopped() => Ok(Some(last.unwrap_or(found))),
            None => Ok(last),
        }
    }
}

/// What the model says of both.
struct Judged {
    divergences: [Option<Divergence>; 2],
}

impl Judged {
    fn of(case: &Case, traces: &[Trace; 2]) -> Judged {
        Judged { divergences: traces.each_ref().map(|trace| Judging::default().judge(case, trace).divergence) }
    }

    fn differences(&self, case: &Case, traces: &[Trace; 2], index: u64) -> Vec<(Key, Difference)> {
        let told = |change: Change, d: &Divergence| {
            let sides = match change {
                Change::Fails => [d.expected.clone(), d.seen.clone()],
                _ => [d.seen.clone(), d.expected.clone()],
            };
            let at = if d.path.is_empty() { String::new() } else { format!("{}, ", d.path) };
            let difference = Difference {
                change,
                rule: d.rule,
                place: d.place,
                operation: d.operation,
                what: format!("{}, {at}{}", d.oracle, d.field),
                sides,
                case: case.clone(),
                index,
                times: 1,
            };
            (Key::Diverges(change, d.signature()), difference)
        };
        match &self.divergences {
            [None, None] => shown(case, traces, index),
            [Some(first), Some(second)] if first.signature() == second.signature() => Vec::new(),
            [first, second] => {
                let fails = second.iter().map(|d| told(Change::Fails, d));
                fails.chain(first.iter().map(|d| told(Change::Holds, d))).collect()
            }
        }
    }
}

/// What shows otherwise in two traces that both are as they must be: what mounting did, and the first that a step did.
fn shown(case: &Case, traces: &[Trace; 2], index: u64) -> Vec<(Key, Difference)> {
    let rules = traces.each_ref().map(|trace| story::expected(case, &trace.environment, None));
    let [first, second] = traces.each_ref().map(story::seen);
    let make = |place, operation, rule, outcome, what: String, sides: [String; 2]| {
        let change = Change::Differs;
        let case = case.clone();
        let difference = Difference { change, rule, place, operation, what, sides, case, index, times: 1 };
        (Key::Shows { rule, operation, outcome }, difference)
    };
    if first.refused != second.refused && first.steps.len().min(second.steps.len()) == 0 {
        let sides = [first.refused, second.refused].map(|errno| errno.map_or("a mount".to_owned(), |e| e.to_string()));
        return vec![make(Place::Mount, "mount", None, true, "outcome".to_owned(), sides)];
    }
    // What mounting left differently would show at whatever step looks there first.
    let bare = Case { steps: Vec::new(), expect: Vec::new(), ..case.clone() };
    let trees = traces.each_ref().map(|trace| story::expected(&bare, &trace.environment, None).last);
    let lines = trees.each_ref().map(|trees| trees.as_ref().map_or(&[][..], |trees| &trees.lines));
    let mut differences = Vec::new();
    let mut mounted = BTreeSet::new();
    while let Some((what, sides)) = lines_apart(lines[0], lines[1], &mounted) {
        mounted.insert(what.clone());
        if differences.is_empty() {
            differences.push(make(Place::Mount, "mount", None, false, what, sides));
        }
    }
    let told = rules[0].steps.iter().zip(&rules[1].steps);
    for (at, ((seen, rules), step)) in first.steps.iter().zip(&second.steps).zip(told).zip(&case.steps).enumerate() {
        let Some((outcome, what, sides)) = apart(seen, rules, &mounted) else { continue };
        differences.push(make(Place::Step(at), step.op.name(), about(rules), outcome, what, sides));
        return differences;
    }
    // A model that has lost its way does not know what comes after.
    let whole = rules.iter().all(|story| story.last.is_some() && story.steps.len() == case.steps.len());
    if let (Some(a), Some(b), true) = (first.last, second.last, whole) {
        let apart = lines_apart(&a.lines, &b.lines, &mounted);
        differences.extend(apart.map(|(what, sides)| make(Place::End, "end", None, false, what, sides)));
    }
    differences
}

/// What differs in a step: whether that is the outcome, what it is, and what it is on each.
fn apart(
    (a, b): (&Chapter, &Chapter),
    rules: (&Chapter, &Chapter),
    mounted: &BTreeSet<String>,
) -> Option<(bool, String, [String; 2])> {
    let open = rules.0.outcome == ANYTHING || rules.1.outcome == ANYTHING;
    if a.outcome != b.outcome && !open {
        return Some((true, "outcome".to_owned(), [a.outcome.clone(), b.outcome.clone()]));
    }
    let trees = a.trees.as_ref().zip(b.trees.as_ref()).and_then(|(a, b)| lines_apart(&a.lines, &b.lines, mounted));
    let (what, sides) = lines_apart(&a.looks, &b.looks, mounted).or(trees)?;
    Some((false, what, sides))
}

/// The first place that is told otherwise, of those that are not known to be.
fn lines_apart(a: &[Line], b: &[Line], known: &BTreeSet<String>) -> Option<(String, [String; 2])> {
    let [a, b] = [a, b].map(|lines| lines.iter().filter(|line| !known.contains(&line.place())).collect::<Vec<_>>());
    let text = |line: Option<&Line>| line.map_or("nothing".to_owned(), |line| line.text.clone());
    let (at, _) = (0..a.len().max(b.len())).map(|at| (at, (a.get(at), b.get(at)))).find(|(_, (a, b))| a != b)?;
    let (mine, theirs) = (a.get(at).copied(), b.get(at).copied());
    // The tree of one may have a place that the other's has not.
    let same = mine.map(Line::place) == theirs.map(Line::place);
    let only_mine = !same && mine.is_some_and(|line| b.iter().all(|other| other.place() != line.place()));
    let sides = match (same, only_mine) {
        (true, _) => [text(mine), text(theirs)],
        (false, true) => [text(mine), text(None)],
        (false, false) => [text(None), text(theirs)],
    };
    let place = if same || only_mine { mine } else { theirs.or(mine) };
    Some((place.map_or(String::new(), Line::place), sides))
}

/// The clause that decided on one kernel alone, first on one that refused what the other did, or else the last that
/// decided on the second.
fn about((a, b): (&Chapter, &Chapter)) -> Option<Clause> {
    let alone = |mine: &Chapter, other: &Chapter| mine.fired.iter().rev().find(|c| !other.fired.contains(c)).copied();
    let refused = |chapter: &Chapter| chapter.outcome.parse::<Errno>().is_ok();
    let (first, second) = if refused(a) && !refused(b) { (a, b) } else { (b, a) };
    alone(first, second).or_else(|| alone(second, first)).or_else(|| b.fired.last().copied())
}
