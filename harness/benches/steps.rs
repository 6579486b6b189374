//! What a checked step costs, and where the rest goes.
//!
//! One fixed mix of cases on the kernel's overlay (30 steps, at least 60 % mutating, about 30
//! entries), one worker: bare, with footprints, with everything; on each filesystem that can be made
//! here; then what a second worker brings. Figures are medians of rounds that take turns within one
//! run, so ratios between them can be trusted where the absolute figures depend on the machine.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use ovlcheck::case::Case;
use ovlcheck::check::{judge, resolve_layers};
use ovlcheck::exec::{ExecError, Executor, ObservePolicy, TargetSpec, WorkerConfig};
use ovlcheck::generate::{Profile, draw, seed_for};
use ovlcheck::model::{Context, Model};
use ovlcheck::step::Op;
use ovlcheck::trace::{Filesystem, Privilege, Trace};
use rustix::thread::{CpuSet, sched_setaffinity};

const CASES: u64 = 400;
const ROUNDS: usize = 7;

/// What is timed, in the order in which it is told.
const ROWS: [&str; 8] = [
    "draw the case (model included)",
    "run it bare: calls, mounts, layers, transport",
    "  more for two-sided footprints",
    "  more for whole trees (every 10 steps, at the end)",
    "model alone",
    "judge: model, looks and comparison",
    "  of that the layer resolver",
    "all together, one worker, judged while it runs on",
];
const BARE: usize = 1;
const ALL: usize = 7;

/// The fixed mix.
struct Mix {
    privilege: Privilege,
    profile: Profile,
    seeds: Vec<[u8; 32]>,
    cases: Vec<Case>,
    /// The same calls without the looks that the generator put in.
    bare: Vec<Case>,
}

fn main() -> Result<(), ExecError> {
    ovlcheck::exec::worker_entry();
    let privilege = if rustix::process::geteuid().is_root() { Privilege::Root } else { Privilege::Rootless };
    let profile = Profile { steps: 30..=30, entries: 25..=35, ..Profile::new(privilege) };
    let seeds: Vec<[u8; 32]> = (0..CASES).map(|i| seed_for(1, i)).collect();
    let cases: Vec<Case> = seeds.iter().map(|s| draw::<Model>(&profile, s)).collect();
    let bare: Vec<Case> = cases.iter().cloned().map(without_observe).collect();
    let steps: usize = cases.iter().map(|c| c.steps.len()).sum();
    let mutating = cases.iter().flat_map(|c| &c.steps).filter(|s| s.op.is_mutating()).count();
    let mutating = 100.0 * mutating as f64 / steps as f64;
    println!(
        "{CASES} cases, {steps} steps, {mutating:.0} % mutating, {privilege:?}; medians of {ROUNDS} rounds, in µs a step"
    );
    let mix = Mix { privilege, profile, seeds, cases, bare };

    let mut columns = Vec::new();
    for filesystem in [Filesystem::Tmpfs, Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs] {
        match mix.measure(filesystem) {
            Ok(times) => columns.push((filesystem.name(), times)),
            Err(e) if filesystem == Filesystem::Tmpfs => return Err(e),
            Err(e) => println!("no figures for {}: {e}", filesystem.name()),
        }
    }
    let names: String = columns.iter().map(|(name, _)| format!("{name:>9}")).collect();
    println!("{:<52}{names}", "");
    for (at, row) in ROWS.iter().enumerate() {
        let told = |times: &[Duration; 8]| format!("{:>9.2}", times[at].as_secs_f64() * 1e6 / steps as f64);
        println!("{row:<52}{}", columns.iter().map(|(_, times)| told(times)).collect::<String>());
    }
    for (name, times) in &columns {
        let (all, bare) = (times[ALL].as_secs_f64(), times[BARE].as_secs_f64());
        let (steps, cases) = (steps as f64 / all, mix.cases.len() as f64 / all);
        println!("{name}: {steps:.0} checked steps/s, {cases:.0} cases/s; {:.2} times the bare run", all / bare);
    }
    mix.scaling()
}

impl Mix {
    /// What a second worker brings, each with its judge on a core of its own. A worker that has two
    /// cores is judged on the second while it runs on the first, so it already uses more than one.
    fn scaling(&self) -> Result<(), ExecError> {
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            println!("no figures for a second worker: there is one processor");
            return Ok(());
        }
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            one.push(self.on_cores(&[0])?);
            two.push(self.on_cores(&[0, 1])?);
        }
        let steps: usize = self.cases.iter().map(|c| c.steps.len()).sum();
        let rate = |times: &mut [Duration], workers: usize| {
            times.sort_unstable();
            (workers * steps) as f64 / times[times.len() / 2].as_secs_f64()
        };
        let (one, two) = (rate(&mut one, 1), rate(&mut two, 2));
        println!(
            "one worker and its judge on one core: {one:.0} checked steps/s; two on two cores: {two:.0}, {:.2} times",
            two / one
        );
        Ok(())
    }

    /// How long the mix takes on each of these cores at once.
    fn on_cores(&self, cores: &[usize]) -> Result<Duration, ExecError> {
        let ready = Barrier::new(cores.len());
        std::thread::scope(|scope| {
            let work = |core: usize| {
                let mut set = CpuSet::new();
                set.set(core);
                // The worker is this thread's child and has its processors.
                let started = sched_setaffinity(None, &set)
                    .map_err(|e| ExecError::Setup(format!("processor {core} cannot be had: {e}")))
                    .and_then(|()| Executor::start(WorkerConfig::new(self.privilege, TargetSpec::Kernel)));
                ready.wait();
                pipelined(&mut started?, &self.cases)
            };
            let threads: Vec<_> = cores.iter().map(|core| scope.spawn(move || work(*core))).collect();
            let times = threads.into_iter().map(|t| t.join().expect("a worker's thread does not panic"));
            times.collect::<Result<Vec<_>, _>>().map(|times| times.into_iter().max().unwrap_or_default())
        })
    }

    /// The median of each row, with the layers on this filesystem.
    fn measure(&self, filesystem: Filesystem) -> Result<[Duration; 8], ExecError> {
        let mut executors = Vec::new();
        for observe in [
            ObservePolicy { footprints: false, last: false },
            ObservePolicy { footprints: true, last: false },
            ObservePolicy { footprints: true, last: true },
        ] {
            let config = WorkerConfig::new(self.privilege, TargetSpec::Kernel);
            executors.push(Executor::start(WorkerConfig { observe, filesystem, ..config })?);
        }
        let mut times: [Vec<Duration>; 8] = Default::default();
        for _ in 0..ROUNDS {
            let draw = |seed| drop(draw::<Model>(&self.profile, seed));
            let (bare, _) = execute(&mut executors[0], &self.bare)?;
            let (footprints, _) = execute(&mut executors[1], &self.bare)?;
            let (trees, traces) = execute(&mut executors[2], &self.cases)?;
            let took = [
                timed(|| self.seeds.iter().for_each(draw)),
                bare,
                footprints,
                trees,
                timed(|| self.cases.iter().for_each(|case| act(case, self.privilege))),
                timed(|| self.cases.iter().zip(&traces).for_each(|(case, trace)| agrees(case, trace))),
                timed(|| self.cases.iter().zip(&traces).for_each(|(case, trace)| drop(resolve_layers(case, trace)))),
                pipelined(&mut executors[2], &self.cases)?,
            ];
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
        }
        let mut medians = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        // What the looks cost is what they add.
        medians[3] = medians[3].saturating_sub(medians[2]);
        medians[2] = medians[2].saturating_sub(medians[BARE]);
        Ok(medians)
    }
}

fn act(case: &Case, privilege: Privilege) {
    let mut model = Model::new(case, Context::assumed(privilege), None);
    for step in &case.steps {
        model.rules.begin_step();
        let _ = model.apply(&step.op);
    }
}

fn agrees(case: &Case, trace: &Trace) {
    assert!(judge(case, trace, None).divergence.is_none(), "the model disagrees: run `ovlcheck run`");
}

fn without_observe(mut case: Case) -> Case {
    case.steps.retain(|s| s.op != Op::Observe);
    case
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn execute(executor: &mut Executor, cases: &[Case]) -> Result<(Duration, Vec<Trace>), ExecError> {
    let begun = Instant::now();
    let traces = cases.iter().map(|c| executor.run(c)).collect::<Result<Vec<_>, _>>()?;
    Ok((begun.elapsed(), traces))
}

/// As a campaign does it: two cases in hand, one judged while the worker has the other.
fn pipelined(executor: &mut Executor, cases: &[Case]) -> Result<Duration, ExecError> {
    let begun = Instant::now();
    let mut next = 0;
    for (at, case) in cases.iter().enumerate() {
        while next < cases.len() && next < at + 2 {
            executor.submit(&cases[next])?;
            next += 1;
        }
        let trace = executor.receive()?;
        agrees(case, &trace);
    }
    Ok(begun.elapsed())
}
