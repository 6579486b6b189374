//! Drives one worker by hand: `exec_try [root|rootless] [kernel|plain|COMMAND] [bench N|safety|hang|sleep|many|print]`.

use std::time::{Duration, Instant};

use ovlcheck::case::{Case, Entry, Layer, Node, NodeKind};
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::step::{Op, OpenFlags, RenameFlags, Step};
use ovlcheck::trace::{End, Outcome, Privilege, Trace};

fn entry(path: &str, kind: NodeKind) -> Entry {
    Entry { path: path.into(), node: Node::new(kind) }
}

fn layer(entries: Vec<Entry>) -> Layer {
    Layer { entries, on: 0 }
}

fn open(slot: u8, path: &str, flags: i32) -> Op {
    Op::Open { slot, path: path.into(), flags: OpenFlags(flags), mode: 0o644 }
}

fn case(lower: Vec<Entry>, ops: Vec<Op>) -> Case {
    Case { lowers: vec![layer(lower)], steps: ops.into_iter().map(Step::from).collect(), ..Case::default() }
}

fn usual() -> Case {
    let lower = vec![
        entry("a/b/f", NodeKind::File("hello".into())),
        entry("a/b/g", NodeKind::File("world".into())),
        entry("a/l", NodeKind::Symlink("b/f".into())),
        entry("d/x", NodeKind::File("x".into())),
        entry("d/y", NodeKind::Fifo),
        entry("d/h", NodeKind::Link("d/x".into())),
        entry("e/1/2/3", NodeKind::Dir),
    ];
    let mut ops = Vec::new();
    for i in 0..3 {
        let n = |s: &str| format!("{s}{i}");
        ops.push(Op::Mkdir { path: n("a/m").as_str().into(), mode: 0o755 });
        ops.push(open(0, &n("a/b/n"), libc::O_RDWR | libc::O_CREAT));
        ops.push(Op::Write { slot: 0, data: "data".into() });
        ops.push(Op::Fstat { slot: 0 });
        ops.push(Op::Chmod { path: "a/b/f".into(), mode: 0o600 + i });
        ops.push(Op::Rename { old: n("a/b/n").as_str().into(), new: n("d/n").as_str().into(), flags: RenameFlags(0) });
        ops.push(Op::List { path: "d".into() });
        ops.push(Op::Unlink { path: "d/x".into() });
        ops.push(Op::Stat { path: "a/l".into() });
        ops.push(Op::Readlink { path: "a/l".into() });
    }
    case(lower, ops)
}

fn show(trace: &Trace) {
    println!("end {:?} mount {:?} lower {:?}", trace.end, trace.mount_error, trace.lower);
    for (i, s) in trace.steps.iter().enumerate() {
        println!("{i} {:?} footprint {} observation {}", s.outcome, s.footprint.len(), s.observation.is_some());
    }
    if let Some(last) = &trace.last {
        for (name, tree) in [("merged", &last.merged), ("upper", &last.upper), ("work", &last.work)] {
            for n in tree {
                let seen = n.seen.as_ref().map(|s| (s.stat.kind, s.stat.mode, s.stat.dev, &s.xattrs, &s.content));
                println!("  {name} {} {seen:?}", n.path);
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    worker_entry();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize| args.get(i).map_or("", String::as_str);
    let privilege = if arg(0) == "rootless" { Privilege::Rootless } else { Privilege::Root };
    let target = match arg(1) {
        "" | "kernel" => TargetSpec::Kernel,
        "plain" => TargetSpec::Plain,
        command => TargetSpec::Command(command.to_owned()),
    };
    let mut config = WorkerConfig::new(privilege, target);
    config.step_deadline = Duration::from_millis(1500);
    let begun = Instant::now();
    let mut worker = Executor::start(config.clone())?;
    println!("started in {:?}: {:?}", begun.elapsed(), worker.environment());
    match arg(2) {
        "bench" => {
            let count: u32 = arg(3).parse()?;
            for (name, footprints, last) in [("full", true, true), ("no last", true, false), ("bare", false, false)] {
                config.observe.footprints = footprints;
                config.observe.last = last;
                worker = Executor::start(config.clone())?;
                let case = usual();
                for pipelined in [false, true] {
                    let begun = Instant::now();
                    for k in 0..count {
                        if pipelined && k == 0 {
                            worker.submit(&case)?;
                        }
                        let trace = if pipelined {
                            worker.submit(&case)?;
                            worker.receive()?
                        } else {
                            worker.run(&case)?
                        };
                        assert_eq!(trace.end, End::Completed);
                        assert_eq!(trace.steps.len(), 30);
                    }
                    if pipelined {
                        worker.receive()?;
                    }
                    let t = begun.elapsed().as_secs_f64();
                    let cases = f64::from(count) / t;
                    println!(
                        "{name} pipelined={pipelined}: {cases:.0} cases/s {:.0} steps/s {:.1} us/step",
                        cases * 30.0,
                        t * 1e6 / f64::from(count) / 30.0
                    );
                }
            }
        }
        "safety" => {
            let host = arg(3);
            let wide = libc::O_WRONLY | libc::O_TRUNC | libc::O_CREAT;
            let up = format!("{}{}", "../".repeat(40), &host[1..]);
            let lower = vec![
                entry("abs", NodeKind::Symlink(host.into())),
                entry("up", NodeKind::Symlink(up.as_str().into())),
                entry("d/proc", NodeKind::Symlink("/proc/self/root".into())),
                entry("d/one", NodeKind::Symlink("/proc/1/root".into())),
            ];
            let ops = vec![
                open(0, "abs", wide),
                open(1, "up", wide),
                open(2, host, wide),
                open(3, &up, wide),
                open(4, &format!("d/proc{host}"), wide),
                open(5, &format!("d/one{host}"), wide),
                Op::List { path: "/".into() },
                Op::List { path: "/..".into() },
                open(6, "/proc/self/root/etc/hostname", libc::O_RDONLY),
                Op::Truncate { path: "up".into(), len: 0 },
            ];
            show(&worker.run(&case(lower, ops))?);
        }
        "hang" => {
            let ops = vec![Op::Mkdir { path: "k".into(), mode: 0o755 }, open(0, "d/p", libc::O_RDONLY), Op::Observe];
            let trace = worker.run(&case(vec![entry("d/p", NodeKind::Fifo)], ops))?;
            show(&trace);
            println!("afterwards: {:?}", worker.run(&usual())?.end);
        }
        "many" => {
            let count: usize = arg(3).parse()?;
            let mut case = usual();
            let steps = case.steps.clone();
            for _ in 0..count {
                case.steps.extend(steps.iter().cloned());
            }
            let trace = worker.run(&case)?;
            println!("end {:?} steps {} of {}", trace.end, trace.steps.len(), case.steps.len());
            println!("last {:?}", trace.steps.last().map(|s| &s.outcome));
            println!("afterwards: {:?}", worker.run(&usual())?.end);
        }
        "sleep" => {
            config.step_deadline = Duration::from_secs(60);
            config.case_deadline = Duration::from_secs(4);
            worker = Executor::start(config)?;
            worker.submit(&case(vec![entry("d/p", NodeKind::Fifo)], vec![open(0, "d/p", libc::O_RDONLY)]))?;
            worker.submit(&usual())?;
            println!("first: {:?}", worker.receive()?.end);
            println!("second: {:?}", worker.receive()?.end);
        }
        _ => {
            let mut case = usual();
            case.steps.truncate(10);
            case.options = arg(3).split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
            let more = [Op::DropCaches, Op::Remount, Op::Rotate, Op::Unlink { path: "d/n0".into() }, Op::Observe];
            case.steps.extend(more.into_iter().map(Step::from));
            let trace = worker.run(&case)?;
            show(&trace);
            for s in trace.steps.iter().filter(|s| matches!(s.outcome, Outcome::Err(_))) {
                println!("{s:?}");
            }
        }
    }
    Ok(())
}
