//! The host survives its own tests, and nothing is left behind, whoever is killed.
//!
//! What needs a parent that panics, or a worker that is killed in a known step, runs this same
//! program as a child: see [`scenario`].

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use libtest_mimic::{Arguments, Trial};
use ovlcheck::case::{Case, Entry, Layer, Node, NodeKind};
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::step::{Device, Op, OpenFlags, RenameFlags, Special, Step};
use ovlcheck::trace::{End, Filesystem, Outcome, Privilege};
use ovlcheck_cases::leftovers::{Leftovers, Process};
use ovlcheck_cases::need::{DISKS, FUSE_TEMPLATE, Need, PRIVILEGES, trial};
use ovlcheck_cases::program::{Program, binary};
use rustix::process::{Pid, Signal, kill_process};

/// Names the scenario that a child of this program plays.
const SCENARIO: &str = "OVLCHECK_TEST_SCENARIO";

fn main() {
    worker_entry();
    if let Some(name) = std::env::var_os(SCENARIO) {
        match scenario(&name.to_string_lossy()) {
            Ok(()) => return,
            Err(e) => {
                eprintln!("{e:#}");
                std::process::exit(1);
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("no_encoding_smuggles_a_device", vec![], no_encoding_smuggles_a_device)];
    for (privilege, rights) in PRIVILEGES {
        for target in [TargetSpec::Kernel, TargetSpec::Plain] {
            let name = format!("{rights}::{}::tripwires_stay_untouched", target.name());
            let config = WorkerConfig::new(privilege, target.clone());
            trials.push(trial(name, Need::of(privilege, &target), move || tripwires_stay_untouched(config)));
        }
        let mut add = |name: &str, run: fn(Privilege) -> Result<()>| {
            let needs = Need::of(privilege, &TargetSpec::Kernel);
            trials.push(trial(format!("{rights}::{name}"), needs, move || run(privilege)));
        };
        add("a_campaign_leaves_nothing", a_campaign_leaves_nothing);
        add("interrupted_by_sigint_it_sums_up_and_leaves_nothing", |p| interrupted(p, Signal::INT));
        add("interrupted_by_sigterm_it_sums_up_and_leaves_nothing", |p| interrupted(p, Signal::TERM));
        add("a_killed_parent_leaves_nothing", a_killed_parent_leaves_nothing);
        add("a_killed_stub_is_a_death_in_its_step", |p| killed(p, worker_stub));
        add("a_killed_inner_process_is_a_death_in_its_step", |p| killed(p, worker_inner));
        add("a_killed_parent_of_a_hanging_worker_leaves_nothing", parent_of_a_hanging_worker);
        add("a_panic_of_the_parent_leaves_nothing", |p| panics(p, "panic"));
        add("a_panic_of_a_thread_leaves_nothing", |p| panics(p, "thread"));
    }
    for (privilege, rights) in PRIVILEGES {
        let needs = || vec![Need::worker(privilege), Need::Fuse(privilege)];
        trials.push(trial(format!("{rights}::fuse::a_campaign_leaves_nothing"), needs(), move || {
            fuse_campaign(privilege)
        }));
        trials.push(trial(format!("{rights}::fuse::a_killed_parent_leaves_nothing"), needs(), move || {
            killed_parent(privilege, &["--target-command", FUSE_TEMPLATE])
        }));
    }
    for (privilege, rights) in PRIVILEGES {
        let name = format!("{rights}::a_program_that_mounts_cannot_write_elsewhere");
        let needs = vec![Need::worker(privilege)];
        trials.push(trial(name, needs, move || a_program_that_mounts_cannot_write_elsewhere(privilege)));
    }
    for filesystem in DISKS {
        let fs = filesystem.name();
        let mut add = |name: &str, run: fn(Filesystem) -> Result<()>| {
            trials.push(trial(format!("{fs}::{name}"), Need::layers(filesystem), move || run(filesystem)));
        };
        // More cases than one disk serves.
        add("a_campaign_leaves_nothing", |f| {
            start(Privilege::Root, &["--fs", f.name(), "--cases", "600"])?.end()?.expect(0).map(drop)
        });
        add("a_killed_parent_leaves_nothing", |f| killed_parent(Privilege::Root, &["--fs", f.name()]));
        add("a_killed_stub_is_a_death_in_its_step", |f| killed_on(Privilege::Root, f, worker_stub));
        add("a_killed_inner_process_is_a_death_in_its_step", |f| killed_on(Privilege::Root, f, worker_inner));
        add("a_parent_killed_while_disks_are_made_leaves_nothing", killed_while_making);
    }
    trials
}

// ---- the host's files -------------------------------------------------------------------------

fn entry(path: &str, kind: NodeKind) -> Entry {
    Entry { path: path.into(), node: Node::new(kind) }
}

fn case(entries: Vec<Entry>, ops: Vec<Op>) -> Case {
    let steps = ops.into_iter().map(Step::from).collect();
    Case { lowers: vec![Layer { entries, on: 0 }], steps, ..Case::default() }
}

fn open(slot: u8, path: &str, flags: i32) -> Op {
    Op::Open { slot, path: path.into(), flags: OpenFlags(flags), mode: 0o666 }
}

/// Everything about a tripwire that a step could change.
fn look(path: &std::path::Path) -> Result<(String, u32, i64, i64, u64, u64)> {
    let meta = fs::symlink_metadata(path).with_context(|| format!("the tripwire {} is gone", path.display()))?;
    let text = fs::read_to_string(path)?;
    Ok((text, meta.mode(), meta.mtime_nsec(), meta.ctime_nsec(), meta.ino(), meta.nlink()))
}

/// Files of the host that anybody may write are not to be reached, however they are named.
fn tripwires_stay_untouched(config: WorkerConfig) -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
    let tripwire = dir.path().join("tripwire");
    fs::write(&tripwire, "untouched")?;
    fs::set_permissions(&tripwire, fs::Permissions::from_mode(0o666))?;
    let before = look(&tripwire)?;
    let host = tripwire.to_str().ok_or_else(|| anyhow!("TMPDIR is not UTF-8"))?;
    let up = format!("{}{}", "../".repeat(200), &host[1..]);
    let through_proc = [format!("proc{host}"), format!("proc-link{host}"), format!("/proc/self/root{host}")];
    let entries = vec![
        entry("absolute", NodeKind::Symlink(host.into())),
        entry("up", NodeKind::Symlink(up.as_str().into())),
        entry("chain", NodeKind::Symlink("absolute".into())),
        entry("proc", NodeKind::Symlink("/proc/self/root".into())),
        entry("proc-link", NodeKind::Symlink("/proc/1/root".into())),
        entry("cwd", NodeKind::Symlink("/proc/self/cwd".into())),
        entry("d/up", NodeKind::Symlink(up.as_str().into())),
        entry("file", NodeKind::File("of the case".into())),
    ];
    let mut paths: Vec<&str> = vec!["absolute", "up", "chain", "d/up", host, &up];
    paths.extend(through_proc.iter().map(String::as_str));
    let mut ops = Vec::new();
    for path in &paths {
        for flags in [
            libc::O_WRONLY | libc::O_TRUNC,
            libc::O_RDWR,
            libc::O_RDONLY | libc::O_TRUNC,
            libc::O_WRONLY | libc::O_APPEND,
        ] {
            ops.push(open(0, path, flags));
            ops.push(Op::Write { slot: 0, data: "boo".into() });
        }
        ops.push(Op::Truncate { path: (*path).into(), len: 0 });
        ops.push(Op::Chmod { path: (*path).into(), mode: 0o000 });
    }
    // These act on a name itself, so only names that lead outside must fail.
    let names = [host, &up, &through_proc[0], &through_proc[1], &through_proc[2]];
    for name in names {
        let (name, flags) = (name, RenameFlags(0));
        ops.push(Op::Unlink { path: name.into() });
        ops.push(Op::Rename { old: name.into(), new: "stolen".into(), flags });
        ops.push(Op::Rename { old: "file".into(), new: name.into(), flags });
        ops.push(Op::Link { old: name.into(), new: "stolen".into() });
        ops.push(Op::Link { old: "file".into(), new: name.into() });
        ops.push(Op::Symlink { target: "x".into(), path: format!("{name}.new").as_str().into() });
        ops.push(Op::Mkdir { path: format!("{name}.new").as_str().into(), mode: 0o777 });
        ops.push(Op::Mknod { path: format!("{name}.new").as_str().into(), node: Special::Regular, mode: 0o666 });
        ops.push(open(0, &format!("{name}.new"), libc::O_CREAT | libc::O_WRONLY));
    }
    let mut worker = Executor::start(config)?;
    for start in (0..ops.len()).step_by(100) {
        let some = ops[start..ops.len().min(start + 100)].to_vec();
        let trace = worker.run(&case(entries.clone(), some.clone()))?;
        ensure!(trace.end == End::Completed && trace.mount_error.is_none(), "{:?} {:?}", trace.end, trace.mount_error);
        for (op, step) in some.iter().zip(&trace.steps) {
            ensure!(matches!(step.outcome, Outcome::Err(_)), "{op:?} gave {:?}", step.outcome);
        }
        ensure!(look(&tripwire)? == before, "the tripwire was touched: {:?}", look(&tripwire)?);
    }
    let names: Vec<PathBuf> = fs::read_dir(dir.path())?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    ensure!(names == [tripwire], "{names:?}");
    Ok(())
}

/// A device number outside the harmless list gets in neither as JSON nor as postcard.
/// A target's program that leaves its layers, as one does that follows a symlink in them, finds nothing to change.
fn a_program_that_mounts_cannot_write_elsewhere(privilege: Privilege) -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
    let (program, wire) = (dir.path().join("program"), dir.path().join("wire"));
    fs::write(&wire, "")?;
    fs::set_permissions(&wire, fs::Permissions::from_mode(0o666))?;
    let script = format!(
        "#!/bin/sh\necho layers > \"$2/mark\" && echo in the layers >&2\n\
         echo x > '{0}' || echo not outside >&2\nrm -f '{0}'\nmkdir '{0}.new'\nexit 1\n",
        wire.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let template = format!("{} {{lowerdir}} {{upperdir}} {{workdir}} {{merged}}", program.display());
    let mut executor = Executor::start(WorkerConfig::new(privilege, TargetSpec::Command(template)))?;
    let trace = executor.run(&case(vec![], vec![Op::Observe]))?;
    let said = trace.mount_error.ok_or_else(|| anyhow!("it mounted something"))?.message;
    ensure!(said.contains("in the layers") && said.contains("not outside"), "{said}");
    ensure!(fs::read(&wire)?.is_empty(), "the tripwire was written to");
    ensure!(!dir.path().join("wire.new").exists(), "a directory was made beside it");
    Ok(())
}

fn no_encoding_smuggles_a_device() -> Result<()> {
    let harmless = case(
        vec![entry("c", NodeKind::Char(Device::NULL)), entry("b", NodeKind::Block(Device::FULL))],
        vec![Op::Mknod { path: "n".into(), node: Special::Char(Device::ZERO), mode: 0o666 }],
    );
    let json = serde_json::to_string(&harmless)?;
    ensure!(serde_json::from_str::<Case>(&json)? == harmless, "JSON does not keep the case");
    for number in [3, 5, 7] {
        let from = format!("\"major\":1,\"minor\":{number}");
        ensure!(json.contains(&from), "{json}");
        let to = json.replace(&from, "\"major\":8,\"minor\":0");
        ensure!(serde_json::from_str::<Case>(&to).is_err(), "taken: {to}");
    }
    let bytes = postcard::to_allocvec(&harmless)?;
    ensure!(postcard::from_bytes::<Case>(&bytes)? == harmless, "postcard does not keep the case");
    for number in [3, 5, 7] {
        let places: Vec<usize> =
            bytes.windows(2).enumerate().filter(|(_, w)| *w == [1, number]).map(|(i, _)| i).collect();
        let mut refused = 0;
        for at in places {
            let mut smuggled = bytes.clone();
            smuggled[at..at + 2].copy_from_slice(&[8, 0]);
            match postcard::from_bytes::<Case>(&smuggled) {
                Err(_) => refused += 1,
                Ok(case) => ensure!(case.to_string().contains(&format!("1:{number}")), "smuggled into\n{case}"),
            }
        }
        ensure!(refused > 0, "1:{number} was never replaced");
    }
    ensure!(Device::new(8, 0).is_err() && Device::new(1, 1).is_err() && Device::new(10, 229).is_err());
    Ok(())
}

// ---- what is left behind ----------------------------------------------------------------------

fn start(privilege: Privilege, arguments: &[&str]) -> Result<Program> {
    let mut all = vec!["run", "--jobs", "2", "--seed", "1"];
    if privilege == Privilege::Rootless {
        all.push("--rootless");
    }
    all.extend(arguments);
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &all)
}

/// The stub of the first worker: the child of the program.
fn worker_stub(program: i32, processes: &[Process]) -> Option<i32> {
    processes.iter().find(|p| p.worker && p.parent == program).map(|p| p.pid)
}

/// The process inside the first worker: the child of its stub.
fn worker_inner(program: i32, processes: &[Process]) -> Option<i32> {
    let stub = worker_stub(program, processes)?;
    processes.iter().find(|p| p.worker && p.parent == stub).map(|p| p.pid)
}

/// Waits until the workers of a campaign are complete: one for each of its two jobs, and those that run
/// cases on a plain filesystem.
fn wait_for_workers(program: &Program) -> Result<()> {
    let id = program.id();
    program.leftovers.wait_for("two workers", |processes| {
        let stubs: Vec<i32> = processes.iter().filter(|p| p.worker && p.parent == id).map(|p| p.pid).collect();
        let inner = processes.iter().filter(|p| p.worker && stubs.contains(&p.parent)).count();
        (stubs.len() >= 2 && inner == stubs.len()).then_some(())
    })
}

fn a_campaign_leaves_nothing(privilege: Privilege) -> Result<()> {
    start(privilege, &["--cases", "150"])?.end()?.expect(0).map(drop)
}

fn interrupted(privilege: Privilege, signal: Signal) -> Result<()> {
    let program = start(privilege, &["--time", "100"])?;
    wait_for_workers(&program)?;
    program.signal(signal)?;
    let ended = program.end()?;
    let out = &ended.expect(130)?.stdout;
    ensure!(out.contains("cases") && out.contains("clauses:"), "no summary:\n{out}");
    Ok(())
}

fn a_killed_parent_leaves_nothing(privilege: Privilege) -> Result<()> {
    killed_parent(privilege, &[])
}

fn killed_parent(privilege: Privilege, arguments: &[&str]) -> Result<()> {
    let mut all = vec!["--time", "100"];
    all.extend(arguments);
    let program = start(privilege, &all)?;
    wait_for_workers(&program)?;
    program.signal(Signal::KILL)?;
    let ended = program.end()?;
    ensure!(ended.status.code().is_none(), "it ended by itself: {ended:?}");
    Ok(())
}

/// Killed again and again, a little later each time, while its workers get ready.
fn killed_while_making(filesystem: Filesystem) -> Result<()> {
    for worker_processes in 1..=4 {
        let program = start(Privilege::Root, &["--fs", filesystem.name(), "--time", "100"])?;
        // Stubs and processes inside, of two workers; the tools that they run are children of the latter.
        program.leftovers.wait_for("worker processes", |processes| {
            (processes.iter().filter(|p| p.worker).count() >= worker_processes).then_some(())
        })?;
        program.signal(Signal::KILL)?;
        let ended = program.end()?;
        ensure!(ended.status.code().is_none(), "it ended by itself: {ended:?}");
    }
    Ok(())
}

fn fuse_campaign(privilege: Privilege) -> Result<()> {
    let arguments = ["--cases", "30", "--target-command", FUSE_TEMPLATE];
    let ended = start(privilege, &arguments)?.end()?;
    // It is another implementation: that it is judged is what counts here.
    ensure!(matches!(ended.status.code(), Some(0 | 1)), "{ended:?}");
    ensure!(ended.stdout.contains("30 cases"), "{}", ended.stdout);
    ensure!(!ended.stdout.contains("the program ended with"), "it does not mount:\n{}", ended.stdout);
    ensure!(!ended.stdout.contains("not tested") && !ended.stdout.contains("defect"), "{}", ended.stdout);
    Ok(())
}

// ---- who is killed ----------------------------------------------------------------------------

/// Plays a part in a child of this program.
fn scenario(name: &str) -> Result<()> {
    let words: Vec<&str> = name.split(' ').collect();
    let &[rights, part, filesystem] = words.as_slice() else { bail!("no scenario '{name}'") };
    let privilege =
        PRIVILEGES.into_iter().find(|(_, n)| *n == rights).ok_or_else(|| anyhow!("no rights '{rights}'"))?.0;
    let config = WorkerConfig {
        step_deadline: Duration::from_secs(100),
        case_deadline: Duration::from_secs(100),
        filesystem: Filesystem::named(filesystem).ok_or_else(|| anyhow!("no filesystem '{filesystem}'"))?,
        ..WorkerConfig::new(privilege, TargetSpec::Kernel)
    };
    let hanging = case(
        vec![entry("fifo", NodeKind::Fifo)],
        vec![Op::Mkdir { path: "d".into(), mode: 0o755 }, open(0, "fifo", libc::O_RDONLY), Op::Observe],
    );
    let mut worker = Executor::start(config.clone())?;
    match part {
        "hold" => {
            println!("first: {:?}", worker.run(&hanging)?.end);
            println!("second: {:?}", worker.run(&case(vec![], vec![Op::Observe]))?.end);
        }
        "panic" => {
            worker.submit(&hanging)?;
            panic!("as the scenario wants it");
        }
        "thread" => {
            let thread = std::thread::spawn(move || {
                drop(worker.submit(&hanging));
                panic!("as the scenario wants it");
            });
            ensure!(thread.join().is_err(), "the thread did not panic");
            // The process lives on, and must be without the worker of the thread that panicked.
            let token = std::env::var(ovlcheck_cases::leftovers::TOKEN_VAR)?;
            let own = Leftovers::before(&token, &[]);
            own.wait_for("end of the worker", |processes| processes.iter().all(|p| !p.worker).then_some(()))?;
        }
        _ => bail!("no part '{part}'"),
    }
    Ok(())
}

fn play(privilege: Privilege, part: &str) -> Result<Program> {
    play_on(privilege, part, Filesystem::Tmpfs)
}

fn play_on(privilege: Privilege, part: &str, filesystem: Filesystem) -> Result<Program> {
    let rights = PRIVILEGES.into_iter().find(|(p, _)| *p == privilege).map_or("", |(_, n)| n);
    Program::start_with(
        &std::env::current_exe()?,
        &[],
        &[(SCENARIO, &format!("{rights} {part} {}", filesystem.name()))],
    )
}

/// Kills a process while the worker hangs in the second step.
fn kill_in_step(program: &Program, whom: fn(i32, &[Process]) -> Option<i32>) -> Result<()> {
    let id = program.id();
    let victim = program.leftovers.wait_for("worker that hangs", |processes| {
        let inner = worker_inner(id, processes)?;
        // The first word is the number of the system call it sleeps in; or that it runs.
        let call = fs::read_to_string(format!("/proc/{inner}/syscall")).ok()?;
        let hangs = call.split(' ').next()? == libc::SYS_openat.to_string();
        if hangs { whom(id, processes) } else { None }
    })?;
    Ok(kill_process(Pid::from_raw(victim).ok_or_else(|| anyhow!("no process"))?, Signal::KILL)?)
}

fn killed(privilege: Privilege, whom: fn(i32, &[Process]) -> Option<i32>) -> Result<()> {
    killed_on(privilege, Filesystem::Tmpfs, whom)
}

fn killed_on(privilege: Privilege, filesystem: Filesystem, whom: fn(i32, &[Process]) -> Option<i32>) -> Result<()> {
    let program = play_on(privilege, "hold", filesystem)?;
    kill_in_step(&program, whom)?;
    let ended = program.end()?;
    let out = &ended.expect(0)?.stdout;
    let mut lines = out.lines();
    let first = lines.next().unwrap_or_default();
    ensure!(first.starts_with("first: Died { step: 1,"), "{out}");
    ensure!(lines.next() == Some("second: Completed"), "{out}");
    Ok(())
}

fn parent_of_a_hanging_worker(privilege: Privilege) -> Result<()> {
    let program = play(privilege, "hold")?;
    kill_in_step(&program, |id, _| Some(id))?;
    let ended = program.end()?;
    ensure!(ended.status.code().is_none(), "it ended by itself: {ended:?}");
    Ok(())
}

fn panics(privilege: Privilege, part: &str) -> Result<()> {
    let ended = play(privilege, part)?.end()?;
    let status = if part == "panic" { 101 } else { 0 };
    ensure!(ended.expect(status)?.stderr.contains("as the scenario wants it"), "{}", ended.stderr);
    Ok(())
}
