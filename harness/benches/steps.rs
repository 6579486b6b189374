//! What a checked step costs, and where the rest goes.
//!
//! One fixed mix of cases on the kernel's overlay (30 steps, at least 60 % mutating, about 30
//! entries), one worker on tmpfs: bare, with footprints, with everything. Figures are medians of
//! rounds that take turns within one run, so ratios between them can be trusted where the absolute
//! figures depend on the machine.

use std::time::{Duration, Instant};

use ovlcheck::case::Case;
use ovlcheck::check::{judge, resolve_layers};
use ovlcheck::exec::{ExecError, Executor, ObservePolicy, TargetSpec, WorkerConfig};
use ovlcheck::generate::{Profile, draw, seed_for};
use ovlcheck::model::{Context, Model};
use ovlcheck::step::Op;
use ovlcheck::trace::{Privilege, Trace};

const CASES: u64 = 400;
const ROUNDS: usize = 7;

fn main() -> Result<(), ExecError> {
    ovlcheck::exec::worker_entry();
    let privilege = if rustix::process::geteuid().is_root() { Privilege::Root } else { Privilege::Rootless };
    let profile = Profile { steps: 30..=30, entries: 25..=35, ..Profile::new(privilege) };
    let seeds: Vec<[u8; 32]> = (0..CASES).map(|i| seed_for(1, i)).collect();
    let cases: Vec<Case> = seeds.iter().map(|s| draw::<Model>(&profile, s)).collect();
    // The same calls without the looks that the generator put in.
    let bare: Vec<Case> = cases.iter().cloned().map(without_observe).collect();
    let steps: usize = cases.iter().map(|c| c.steps.len()).sum();
    let mutating = cases.iter().flat_map(|c| &c.steps).filter(|s| s.op.is_mutating()).count();
    println!(
        "{CASES} cases, {steps} steps, {:.0} % mutating, {privilege:?}, tmpfs; median of {ROUNDS} rounds",
        100.0 * mutating as f64 / steps as f64
    );

    let mut executors = Vec::new();
    for observe in [
        ObservePolicy { footprints: false, last: false },
        ObservePolicy { footprints: true, last: false },
        ObservePolicy { footprints: true, last: true },
    ] {
        executors.push(Executor::start(WorkerConfig { observe, ..WorkerConfig::new(privilege, TargetSpec::Kernel) })?);
    }
    let mut times: [Vec<Duration>; 8] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(timed(|| seeds.iter().for_each(|s| drop(draw::<Model>(&profile, s)))));
        let (took, _) = execute(&mut executors[0], &bare)?;
        times[1].push(took);
        let (took, _) = execute(&mut executors[1], &bare)?;
        times[2].push(took);
        let (took, traces) = execute(&mut executors[2], &cases)?;
        times[3].push(took);
        times[4].push(timed(|| {
            for case in &cases {
                let mut model = Model::new(case, Context::assumed(privilege), None);
                for step in &case.steps {
                    model.rules.begin_step();
                    let _ = model.apply(&step.op);
                }
            }
        }));
        times[5].push(timed(|| {
            for (case, trace) in cases.iter().zip(&traces) {
                assert!(judge(case, trace, None).divergence.is_none(), "the model disagrees: run `ovlcheck run`");
            }
        }));
        times[7].push(timed(|| {
            for (case, trace) in cases.iter().zip(&traces) {
                drop(resolve_layers(case, trace));
            }
        }));
        times[6].push(pipelined(&mut executors[2], &cases)?);
    }
    let median = |at: usize| {
        let mut t = times[at].clone();
        t.sort_unstable();
        t[t.len() / 2]
    };
    let per_step = |t: Duration| t.as_secs_f64() * 1e6 / steps as f64;
    let row = |name: &str, t: Duration| println!("{name:<52} {:>8.2} µs a step", per_step(t));
    row("draw the case (model included)", median(0));
    row("run it bare: calls, mounts, layers, transport", median(1));
    row("  more for two-sided footprints", median(2).saturating_sub(median(1)));
    row("  more for whole trees (every 10 steps, at the end)", median(3).saturating_sub(median(2)));
    row("model alone", median(4));
    row("judge: model, looks and comparison", median(5));
    row("  of that the layer resolver", median(7));
    let all = median(6);
    row("all together, one worker, judged while it runs on", all);
    let rate = |n: usize, t: Duration| n as f64 / t.as_secs_f64();
    println!(
        "{:.0} checked steps/s, {:.0} cases/s; {:.2} times the bare run",
        rate(steps, all),
        rate(cases.len(), all),
        all.as_secs_f64() / median(1).as_secs_f64()
    );
    Ok(())
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
        assert!(judge(case, &trace, None).divergence.is_none(), "the model disagrees: run `ovlcheck run`");
    }
    Ok(begun.elapsed())
}
