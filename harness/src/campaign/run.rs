//! The campaign's loop: each job owns a worker and takes the next case from a shared counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::confirm::{Confirmed, confirm};
use super::find::{Finding, Judging, investigate, mirrored, start_mirror};
use super::shard::Shard;
use super::stats::{Known, Start, Stats, Summary};
use crate::case::Case;
use crate::check::{Focus, Signature, origins};
use crate::exec::{ExecError, Executor, TargetSpec, WorkerConfig};
use crate::expectations::Expectations;
use crate::generate::{Profile, draw, seed_for};
use crate::model::{Context, Model};
use crate::trace::{Environment, Trace};

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Every case is drawn from this and its index.
    pub seed: u64,
    /// How many cases, unless time runs out first.
    pub cases: u64,
    /// Which part of them.
    pub shard: Shard,
    /// How long at most.
    pub time: Option<Duration>,
    /// How many workers.
    pub jobs: usize,
    /// What kind of cases.
    pub profile: Profile,
    /// What the cases are to be about; everything if nothing is said.
    pub focus: Option<Focus>,
    /// How workers run.
    pub worker: WorkerConfig,
    /// The case of every so manieth index is also run on a plain filesystem; 0 for none.
    pub mirror: u64,
    /// How long shrinking one divergence may take.
    pub shrink_time: Duration,
    /// How many signatures are shrunk; further ones are only counted.
    pub max_findings: usize,
    /// What is known of the target.
    pub expectations: Option<Arc<Expectations>>,
    /// Whether to count where the targets of calls come from, which takes the model once more.
    pub coverage: bool,
}

impl Settings {
    /// A thousand cases from seed 1 with one worker, options drawn for the kernel alone, every fourth case also on
    /// a plain filesystem, divergences shrunk for up to ten seconds.
    pub fn new(worker: WorkerConfig) -> Settings {
        let profile = Profile::new(worker.privilege);
        let kernel = worker.target == TargetSpec::Kernel;
        Settings {
            seed: 1,
            cases: 1000,
            shard: Shard::WHOLE,
            time: None,
            jobs: 1,
            profile: if kernel { profile } else { profile.without_options() },
            focus: None,
            worker,
            mirror: 4,
            shrink_time: Duration::from_secs(10),
            max_findings: 50,
            expectations: None,
            coverage: false,
        }
    }

    fn judging(&self) -> Judging<'_> {
        Judging { fault: None, expectations: self.expectations.as_deref() }
    }
}

/// What happens while a campaign runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// Some cases more are done.
    Progress {
        /// Cases judged so far.
        cases: u64,
        /// Steps checked so far.
        checked: u64,
        /// Cases that diverged so far.
        diverged: u64,
        /// Time since the start.
        elapsed: Duration,
        /// Every case of this part with a smaller index is done.
        settled: u64,
    },
    /// A divergence of a new signature was found, and shrunk.
    Found(&'a Finding),
}

/// Cases a worker has in hand: one it runs, one that waits.
const DEPTH: usize = 2;
/// Cases between two reports of progress.
const REPORT: u64 = 64;

struct Shared<'a, F> {
    settings: &'a Settings,
    stop: &'a AtomicBool,
    source: &'a (dyn Fn(u64) -> Option<Case> + Sync),
    next: AtomicU64,
    /// Taken and not done.
    in_hand: Mutex<BTreeSet<u64>>,
    begun: Instant,
    state: Mutex<State<F>>,
}

struct State<F> {
    stats: Stats,
    environment: Option<Environment>,
    findings: BTreeMap<Signature, usize>,
    found: Vec<Finding>,
    defects: Vec<String>,
    failure: Option<ExecError>,
    start: Start,
    on_event: F,
}

/// Runs a campaign until its cases are done, its time is up, or `stop` is set.
///
/// # Errors
/// When no worker comes up at all: this machine cannot run what was asked.
pub fn run<F>(settings: &Settings, stop: &AtomicBool, on_event: F) -> Result<Summary, ExecError>
where
    F: FnMut(Event<'_>) + Send,
{
    let source = |index| case_of(&settings.profile, settings.focus.as_ref(), settings.seed, index);
    run_cases(settings, &source, 0, stop, on_event)
}

/// So many are drawn for each case that is to be about something.
const DRAWN: u64 = 2000;

/// The case of this index in a campaign with this seed. With a focus it is the first that fits of those drawn for the
/// index, the first of which is the one without a focus; `None` if none fits.
pub fn case_of(profile: &Profile, focus: Option<&Focus>, seed: u64, index: u64) -> Option<Case> {
    let Some(focus) = focus else { return Some(draw::<Model>(profile, &seed_for(seed, index))) };
    let context = Context::assumed(profile.privilege);
    let mut drawn = (0..DRAWN).map(|n| draw::<Model>(profile, &seed_for(seed, index ^ (n << 40))));
    drawn.find(|case| focus.admits(case, &context))
}

/// Runs the cases that `source` gives for the indices from `first` on, up to the number in the settings, and of them its part.
///
/// # Errors
/// As [`run`].
pub fn run_cases<F>(
    settings: &Settings,
    source: &(dyn Fn(u64) -> Option<Case> + Sync),
    first: u64,
    stop: &AtomicBool,
    mut on_event: F,
) -> Result<Summary, ExecError>
where
    F: FnMut(Event<'_>) + Send,
{
    // First what is said to be so: a run that goes on for hours should not end with news of its first minute.
    let (confirmed, unforeseen) = confirm(settings)?;
    unforeseen.iter().for_each(|finding| on_event(Event::Found(finding)));
    let shared = Shared {
        settings,
        stop,
        source,
        next: AtomicU64::new(settings.shard.first(first)),
        in_hand: Mutex::new(BTreeSet::new()),
        begun: Instant::now(),
        state: Mutex::new(State {
            stats: Stats::default(),
            environment: None,
            findings: unforeseen.iter().enumerate().map(|(n, f)| (f.divergence.signature(), n)).collect(),
            found: unforeseen,
            defects: Vec::new(),
            failure: None,
            start: Start::default(),
            on_event,
        }),
    };
    std::thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            scope.spawn(|| job(&shared));
        }
    });
    let elapsed = shared.begun.elapsed();
    let state = shared.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let (Some(failure), 0) = (&state.failure, state.stats.cases) {
        return Err(failure.clone());
    }
    let mut defects = state.defects;
    defects.extend(state.failure.filter(|f| *f != ExecError::Interrupted).map(|f| f.to_string()));
    let interrupted = stop.load(Ordering::Relaxed);
    let known = match (&settings.expectations, &state.environment) {
        (Some(expectations), Some(environment)) => {
            told(expectations, environment, &confirmed, &state.stats, interrupted)
        }
        _ => Vec::new(),
    };
    Ok(Summary {
        seed: settings.seed,
        seeds: 1,
        shard: settings.shard,
        environment: state.environment,
        stats: state.stats,
        findings: state.found,
        elapsed,
        start: state.start,
        interrupted,
        known,
        defects,
    })
}

/// What became of each known deviation.
fn told(
    expectations: &Expectations,
    environment: &Environment,
    confirmed: &BTreeMap<usize, Confirmed>,
    stats: &Stats,
    interrupted: bool,
) -> Vec<Known> {
    let of = |(n, deviation): (usize, &crate::expectations::KnownDeviation)| {
        let cases = stats.known.get(&n).copied().unwrap_or(0);
        let due = (deviation.case.is_none() && deviation.applies(environment)).then_some(deviation.within);
        let gone = match confirmed.get(&n) {
            Some(Confirmed::Gone) => true,
            // Another one in its case: that is news enough.
            Some(Confirmed::Shown | Confirmed::Other) => false,
            None => cases == 0 && !interrupted && due.is_some_and(|within| stats.cases >= within),
        };
        Known { name: deviation.name.clone(), line: deviation.line, cases, gone, due }
    };
    expectations.deviations.iter().enumerate().map(of).collect()
}

impl<F: FnMut(Event<'_>) + Send> Shared<'_, F> {
    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.settings.time.is_some_and(|t| self.begun.elapsed() >= t)
    }

    fn take(&self) -> Option<u64> {
        if self.over() {
            return None;
        }
        let mut in_hand = self.in_hand();
        let index = self.next.fetch_add(self.settings.shard.count(), Ordering::Relaxed);
        if index >= self.settings.cases {
            return None;
        }
        in_hand.insert(index);
        Some(index)
    }

    fn in_hand(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.in_hand.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The first index of this part that is not done.
    fn settled(&self) -> u64 {
        let in_hand = self.in_hand();
        in_hand.first().copied().unwrap_or_else(|| self.next.load(Ordering::Relaxed).min(self.settings.cases))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn job<F: FnMut(Event<'_>) + Send>(shared: &Shared<'_, F>) {
    if shared.stop.load(Ordering::Relaxed) {
        // A guest would boot first.
        return;
    }
    let mut executor = match Executor::start(shared.settings.worker.clone()) {
        Ok(executor) => executor,
        Err(e) => {
            shared.state().failure.get_or_insert(e);
            return;
        }
    };
    {
        let mut state = shared.state();
        state.start.ready.get_or_insert(shared.begun.elapsed());
        state.environment.get_or_insert_with(|| executor.environment().clone());
    }
    if let Err(e) = drive(shared, &mut executor) {
        shared.state().failure.get_or_insert(e);
    }
}

/// Counts a case that could not be tested. A defect of ovlcheck is no such reason.
fn untested(stats: &mut Stats, e: ExecError) -> Result<(), ExecError> {
    match e {
        ExecError::Internal(_) => return Err(e),
        ExecError::Interrupted => return Ok(()),
        ExecError::Unsupported { .. } | ExecError::Setup(_) => {}
    }
    *stats.untested.entry(e.to_string()).or_default() += 1;
    Ok(())
}

/// Draws, submits, receives and judges; a divergence is looked into at once.
fn drive<F: FnMut(Event<'_>) + Send>(shared: &Shared<'_, F>, executor: &mut Executor) -> Result<(), ExecError> {
    let mut pending: std::collections::VecDeque<(u64, Case)> = std::collections::VecDeque::new();
    let mut stats = Stats::default();
    let mut judged = false;
    let mut mirror = match shared.settings.mirror {
        0 => None,
        _ => start_mirror(&shared.settings.worker)?,
    };
    loop {
        while pending.len() < DEPTH {
            let Some(index) = shared.take() else { break };
            let Some(case) = (shared.source)(index) else { break };
            executor.submit(&case)?;
            pending.push_back((index, case));
        }
        let Some((index, case)) = pending.pop_front() else { break };
        match executor.receive() {
            Ok(trace) => {
                let judging = shared.settings.judging();
                let mut judgement = judging.judge(&case, &trace);
                let every = shared.settings.mirror.max(1);
                let whole = judgement.divergence.is_none() && !judgement.cut;
                if let (true, Some(plain), true) = (whole, &mut mirror, index % every == 0) {
                    if let Some(transparency) = mirrored(plain, &case, &trace)? {
                        stats.count_mirrored(&transparency);
                        judging.add(&case, &trace, &mut judgement, &transparency);
                    }
                }
                stats.count(&case, &trace, &judgement);
                if !std::mem::replace(&mut judged, true) {
                    shared.state().start.judged.get_or_insert(shared.begun.elapsed());
                }
                if shared.settings.coverage {
                    stats.count_origins(&trace, &origins(&case, &trace));
                }
                if judgement.divergence.is_some() {
                    // The worker is needed for shrinking: first let it finish what it has in hand.
                    let mut done = vec![(index, case, trace, judgement)];
                    while let Some((index, case)) = pending.pop_front() {
                        match executor.receive() {
                            Ok(trace) => {
                                let judgement = judging.judge(&case, &trace);
                                stats.count(&case, &trace, &judgement);
                                done.push((index, case, trace, judgement));
                            }
                            Err(e) => {
                                untested(&mut stats, e)?;
                                shared.in_hand().remove(&index);
                            }
                        }
                    }
                    for (done_index, case, trace, judgement) in done {
                        if let Some(divergence) = judgement.divergence {
                            found(shared, executor, mirror.as_mut(), done_index, &case, trace, divergence)?;
                        }
                        shared.in_hand().remove(&done_index);
                    }
                }
            }
            Err(e) => untested(&mut stats, e)?,
        }
        shared.in_hand().remove(&index);
        if stats.cases >= REPORT {
            report(shared, &mut stats);
        }
    }
    report(shared, &mut stats);
    Ok(())
}

fn report<F: FnMut(Event<'_>) + Send>(shared: &Shared<'_, F>, stats: &mut Stats) {
    let mut state = shared.state();
    state.stats.add(&std::mem::take(stats));
    let event = Event::Progress {
        cases: state.stats.cases,
        checked: state.stats.checked,
        diverged: state.stats.diverged,
        elapsed: shared.begun.elapsed(),
        settled: shared.settled(),
    };
    (state.on_event)(event);
}

fn found<F: FnMut(Event<'_>) + Send>(
    shared: &Shared<'_, F>,
    executor: &mut Executor,
    mirror: Option<&mut Executor>,
    index: u64,
    case: &Case,
    trace: Trace,
    divergence: crate::check::Divergence,
) -> Result<(), ExecError> {
    let signature = divergence.signature();
    {
        let mut state = shared.state();
        if let Some(&at) = state.findings.get(&signature) {
            if let Some(finding) = state.found.get_mut(at) {
                finding.times += 1;
            }
            return Ok(());
        }
        if state.findings.len() >= shared.settings.max_findings {
            return Ok(());
        }
        // Claimed before it is shrunk, so that no other job shrinks it too.
        state.findings.insert(signature.clone(), usize::MAX);
    }
    let judging = shared.settings.judging();
    let mut finding = investigate(executor, mirror, case, trace, divergence, judging, shared.settings.shrink_time)?;
    finding.index = Some(index);
    let mut state = shared.state();
    let state = &mut *state;
    (state.on_event)(Event::Found(&finding));
    state.findings.insert(signature, state.found.len());
    state.found.push(finding);
    Ok(())
}
