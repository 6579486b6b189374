//! A worker names the step that hangs it, and starts every case afresh.
//!
//! What mounts is skipped, with its reason, where the machine does not allow it.

use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::Arguments;
use ovlcheck::case::{Case, Entry, Layer, Node, NodeKind};
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::generate::{Profile, draw, seed_for};
use ovlcheck::model::Model;
use ovlcheck::step::{Op, OpenFlags, Step};
use ovlcheck::trace::{End, Outcome, StepTrace, Trace, Value};
use ovlcheck_cases::need::{Need, PRIVILEGES, trial};

/// A test of one worker configuration.
type Test = fn(&WorkerConfig) -> Result<()>;

fn main() {
    worker_entry();
    let tests: [(&str, Test); 5] = [
        ("a_hanging_step_is_named", a_hanging_step_is_named),
        ("a_case_past_its_deadline_is_ended", a_case_past_its_deadline_is_ended),
        ("a_worker_waits_for_its_first_case", a_worker_waits_for_its_first_case),
        ("every_case_starts_afresh", every_case_starts_afresh),
        ("a_case_run_twice_gives_the_same", a_case_run_twice_gives_the_same),
    ];
    let mut trials = Vec::new();
    for (privilege, rights) in PRIVILEGES {
        for target in [TargetSpec::Kernel, TargetSpec::Plain] {
            let config = WorkerConfig {
                step_deadline: Duration::from_millis(300),
                ..WorkerConfig::new(privilege, target.clone())
            };
            for (name, test) in tests {
                let config = config.clone();
                let name = format!("{rights}::{}::{name}", target.name());
                trials.push(trial(name, Need::of(privilege, &target), move || test(&config)));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn entry(path: &str, kind: NodeKind) -> Entry {
    Entry { path: path.into(), node: Node::new(kind) }
}

fn case(entries: Vec<Entry>, ops: Vec<Op>) -> Case {
    let steps = ops.into_iter().map(Step::from).collect();
    Case { lowers: vec![Layer { entries, on: 0 }], steps, ..Case::default() }
}

fn open(path: &str, flags: i32) -> Op {
    Op::Open { slot: 0, path: path.into(), flags: OpenFlags(flags), mode: 0o644 }
}

/// Opening a fifo nobody writes to hangs; the steps before it are kept and the next case runs.
fn a_hanging_step_is_named(config: &WorkerConfig) -> Result<()> {
    let mut worker = Executor::start(config.clone())?;
    let hanging = case(
        vec![entry("fifo", NodeKind::Fifo)],
        vec![Op::Mkdir { path: "d".into(), mode: 0o755 }, open("fifo", 0), Op::Observe],
    );
    let good = case(vec![], vec![Op::Mkdir { path: "d".into(), mode: 0o755 }]);
    worker.submit(&hanging)?;
    worker.submit(&good)?;
    let trace = worker.receive()?;
    ensure!(trace.end == End::Hung { step: 1 } && trace.steps.len() == 1, "{:?}", trace.end);
    ensure!(worker.receive()?.end == End::Completed);
    Ok(())
}

/// A worker that does not even notice that it hangs is ended by the parent, which names the step.
fn a_case_past_its_deadline_is_ended(config: &WorkerConfig) -> Result<()> {
    let config = WorkerConfig {
        step_deadline: Duration::from_secs(600),
        case_deadline: Duration::from_millis(500),
        ..config.clone()
    };
    let mut worker = Executor::start(config)?;
    let trace = worker.run(&case(vec![entry("fifo", NodeKind::Fifo)], vec![Op::Observe, open("fifo", 0)]))?;
    ensure!(trace.end == End::Hung { step: 1 }, "{:?}", trace.end);
    let trace = worker.run(&case(vec![], vec![Op::Mkdir { path: "d".into(), mode: 0o755 }]))?;
    ensure!(trace.end == End::Completed, "{:?}", trace.end);
    Ok(())
}

/// However long the first case lets it wait, a worker that has nothing to do does not hang.
fn a_worker_waits_for_its_first_case(config: &WorkerConfig) -> Result<()> {
    let mut worker = Executor::start(config.clone())?;
    std::thread::sleep(3 * config.step_deadline);
    let trace = worker.run(&case(vec![], vec![Op::Mkdir { path: "d".into(), mode: 0o755 }]))?;
    ensure!(trace.end == End::Completed, "{:?}", trace.end);
    Ok(())
}

/// Outcomes depend on nothing but the case: neither on what ran before nor on which worker it is.
fn a_case_run_twice_gives_the_same(config: &WorkerConfig) -> Result<()> {
    let profile = Profile::new(config.privilege);
    let (mut first, mut second) = (Executor::start(config.clone())?, Executor::start(config.clone())?);
    for index in 0..20 {
        let case = draw::<Model>(&profile, &seed_for(4, index));
        // The second worker runs them with another case before each.
        second.run(&draw::<Model>(&profile, &seed_for(5, index)))?;
        let (a, b) = (outcomes(&first.run(&case)?), outcomes(&second.run(&case)?));
        ensure!(a == b, "case {index}: {a:?} then {b:?}\n{case}");
    }
    Ok(())
}

/// What every step returned, without what differs from run to run: inode numbers and times.
fn outcomes(trace: &Trace) -> (End, Vec<String>) {
    let text = |step: &StepTrace| match &step.outcome {
        Outcome::Ok(Value::Stat(s)) => {
            format!("{:?} {:04o} {}:{} {} {}", s.kind, s.mode, s.uid, s.gid, s.nlink, s.size)
        }
        Outcome::Ok(Value::List(names)) => names.iter().map(|e| format!("{} {:?};", e.name, e.kind)).collect(),
        Outcome::Ok(Value::Dents(dents)) => {
            dents.iter().map(|(e, next)| format!("{} {:?} {next};", e.name, e.kind)).collect()
        }
        other => format!("{other:?}"),
    };
    (trace.end.clone(), trace.steps.iter().map(text).collect())
}

/// Many cases in one worker, past the life of one scratch filesystem: all traces look alike.
fn every_case_starts_afresh(config: &WorkerConfig) -> Result<()> {
    let mut worker = Executor::start(config.clone())?;
    let ops = vec![
        Op::Mkdir { path: "new".into(), mode: 0o755 },
        open("f", libc::O_WRONLY),
        Op::Write { slot: 0, data: "written".into() },
        Op::Remount,
        Op::Rotate,
        Op::List { path: "/".into() },
    ];
    let case = case(vec![entry("f", NodeKind::File("lower".into()))], ops);
    let mut names = None;
    for _ in 0..70 {
        let trace = worker.run(&case)?;
        ensure!(trace.end == End::Completed && trace.mount_error.is_none(), "{:?} {:?}", trace.end, trace.mount_error);
        ensure!(trace.lower.before == trace.lower.after);
        let last = trace.last.ok_or_else(|| anyhow::anyhow!("no last look"))?;
        let seen: Vec<_> = last.merged.iter().map(|n| n.path.clone()).collect();
        ensure!(*names.get_or_insert_with(|| seen.clone()) == seen, "{names:?} then {seen:?}");
    }
    ensure!(names.is_some_and(|n| n.len() == 3));
    Ok(())
}
