//! A worker keeps the host safe, names the step that kills or hangs it, and leaves nothing behind.
//!
//! What mounts is skipped, with its reason, where the machine does not allow it.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use ovlcheck::case::{Case, Entry, Layer, Node, NodeKind};
use ovlcheck::exec::{ExecError, Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::step::{Op, OpenFlags, Step};
use ovlcheck::trace::{End, Outcome, Privilege};

/// A test of one worker configuration.
type Test = fn(&WorkerConfig) -> Result<()>;

fn main() {
    worker_entry();
    let mut trials = Vec::new();
    for privilege in [Privilege::Root, Privilege::Rootless] {
        for target in [TargetSpec::Kernel, TargetSpec::Plain] {
            let config = WorkerConfig {
                step_deadline: Duration::from_millis(300),
                ..WorkerConfig::new(privilege, target.clone())
            };
            let reason = match Executor::start(config.clone()) {
                Err(e @ ExecError::Unsupported { .. }) => Some(e.to_string()),
                _ => None,
            };
            if let Some(reason) = &reason {
                eprintln!("skipped: {privilege:?} {}: {reason}", target.name());
            }
            let tests: [(&str, Test); 3] = [
                ("hostile_paths_stay_inside", hostile_paths_stay_inside),
                ("a_hanging_step_is_named", a_hanging_step_is_named),
                ("every_case_starts_afresh", every_case_starts_afresh),
            ];
            for (name, test) in tests {
                let config = config.clone();
                let name = format!("{privilege:?}::{}::{name}", target.name()).to_lowercase();
                let run = move || test(&config).map_err(|e| Failed::from(format!("{e:#}")));
                trials.push(Trial::test(name, run).with_ignored_flag(reason.is_some()));
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
    Case { lowers: vec![Layer { entries }], steps, ..Case::default() }
}

fn open(path: &str, flags: i32) -> Op {
    Op::Open { slot: 0, path: path.into(), flags: OpenFlags(flags), mode: 0o644 }
}

/// A tripwire of the host is neither truncated nor found, however it is named.
fn hostile_paths_stay_inside(config: &WorkerConfig) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let tripwire = dir.path().join("tripwire");
    fs::write(&tripwire, "untouched")?;
    let host = tripwire.to_str().unwrap();
    let up = format!("{}{host}", "../".repeat(40));
    let proc = format!("proc{host}");
    let entries = vec![
        entry("abs", NodeKind::Symlink(host.into())),
        entry("up", NodeKind::Symlink(up.as_str().into())),
        entry("proc", NodeKind::Symlink("/proc/self/root".into())),
    ];
    let wide = libc_o::WRONLY | libc_o::TRUNC;
    let mut ops: Vec<Op> = ["abs", "up", host, up.as_str(), proc.as_str()].iter().map(|p| open(p, wide)).collect();
    ops.push(Op::Truncate { path: "abs".into(), len: 0 });
    ops.push(Op::Unlink { path: up.as_str().into() });
    let trace = Executor::start(config.clone())?.run(&case(entries, ops))?;
    ensure!(trace.end == End::Completed, "{:?}", trace.end);
    for (i, step) in trace.steps.iter().enumerate() {
        ensure!(matches!(step.outcome, Outcome::Err(_)), "step {i}: {:?}", step.outcome);
    }
    ensure!(fs::read_to_string(&tripwire)? == "untouched");
    Ok(())
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

/// Many cases in one worker, past the life of one scratch filesystem: all traces look alike.
fn every_case_starts_afresh(config: &WorkerConfig) -> Result<()> {
    let mut worker = Executor::start(config.clone())?;
    let ops = vec![
        Op::Mkdir { path: "new".into(), mode: 0o755 },
        open("f", libc_o::WRONLY),
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

/// The flags of open(2) that are used here.
mod libc_o {
    use nix::fcntl::OFlag;

    pub const WRONLY: i32 = OFlag::O_WRONLY.bits();
    pub const TRUNC: i32 = OFlag::O_TRUNC.bits();
}
