//! The child's side: isolates itself, then takes cases and returns traces until the parent is gone.
//!
//! Two processes. The *stub* makes the namespaces, forks the inner process and only waits: for its
//! end, which it records in the shared page, or for the parent's end of the socket to close, which
//! also happens when the parent is killed (PR_SET_PDEATHSIG would speak of the parent's *thread*).
//! The *inner process* is pid 1 of its namespace and has PR_SET_PDEATHSIG on the stub, so the
//! kernel ends it, and with it everything it started.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::config::WorkerConfig;
use super::error::{Doing as _, ExecError, errno};
use super::isolation::{self, Home};
use super::observe::Looker;
use super::progress::{Doing, announce, record_end};
use super::protocol::{self, Reply, Request};
use super::reaper::Reaper;
use super::run::Runner;
use super::scratch::{self, Source};
use super::sys::{self, Forked, Shared};
use super::target::{self, MachineOf};
use super::vm;
use super::watchdog;
use crate::trace::{Environment, Privilege};

/// Names the descriptors of socket and page; a process that has it is a worker.
pub(super) const WORKER_VAR: &str = "OVLCHECK_WORKER";

/// Its value in a guest, where the worker is pid 1 and finds its ends among the devices.
pub(super) const GUEST: &str = "guest";

/// Exit status of a worker that cannot even talk to its parent.
const MUTE: i32 = 4;

/// For `read` and `readlink`; longer reads get memory of their own.
const BUFFER: usize = 65536;

static CALLED: AtomicBool = AtomicBool::new(false);

/// Must be the first line of every `main` whose program uses an [`super::Executor`], also of a test
/// driver: when this process was started as a worker it becomes one and never returns.
pub fn worker_entry() {
    CALLED.store(true, Ordering::Relaxed);
    let Some(fds) = std::env::var_os(WORKER_VAR) else { return };
    if fds == GUEST && std::process::id() == 1 {
        vm::become_worker(stub);
    }
    let fds = fds.to_str().and_then(|s| s.split_once(',')).and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let status = match fds {
        Some((socket, page)) => match adopt(socket, page).and_then(|(socket, page)| stub(socket, page)) {
            Ok(status) => status,
            Err(e) => {
                eprintln!("{e}");
                MUTE
            }
        },
        None => {
            eprintln!("{WORKER_VAR} is for ovlcheck's own use; unset it");
            2
        }
    };
    std::process::exit(status)
}

/// Whether this program can be its own worker.
pub(super) fn entry_was_called() -> bool {
    CALLED.load(Ordering::Relaxed)
}

fn adopt(socket: RawFd, page: RawFd) -> Result<(File, Shared), ExecError> {
    let socket = File::from(sys::adopt(socket).doing("taking over the socket")?);
    let page = Shared::map(sys::adopt(page).doing("taking over the page")?.as_fd()).doing("mapping the page")?;
    Ok((socket, page))
}

/// The outer process, with one end of the connection to the parent: a socket, or in a guest its port.
fn stub(socket: File, page: Shared) -> Result<i32, ExecError> {
    let Some(Request::Start(config)) = protocol::receive(&mut &socket).doing("reading the first message")? else {
        return Ok(0);
    };
    let facts = match isolation::isolate(config.privilege) {
        Ok(()) => environment(&config),
        Err(e) => {
            protocol::send(&mut &socket, &Reply::Hello(Err(e))).doing("answering")?;
            return Ok(0);
        }
    };
    // The stub's end closes when it dies: how the inner process learns of a death before it had
    // asked for the signal.
    let (alive, stub_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("making a pipe")?;
    match sys::fork().doing("forking")? {
        Forked::Parent(child) => watch(&socket, &page, child),
        Forked::Child => {
            drop(stub_end);
            sys::die_with_parent().doing("PR_SET_PDEATHSIG")?;
            let mut fds = [PollFd::new(&alive, PollFlags::IN)];
            if poll(&mut fds, Some(&rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 })).doing("poll")? == 0 {
                inner(&config, facts, &socket, page)?;
            }
            Ok(0)
        }
    }
}

/// Waits for the end of the inner process or of the parent.
fn watch(socket: &File, page: &Shared, child: i32) -> Result<i32, ExecError> {
    let pid = Pid::from_raw(child).ok_or_else(|| ExecError::Internal("fork gave 0 twice".into()))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing("pidfd_open")?;
    loop {
        // Asking for nothing still reports that the other end has closed.
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(socket, PollFlags::empty())];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.doing("poll")?,
        };
        if !fds[0].revents().is_empty() {
            if let Some((_, status)) = sys::wait_child(child, true).doing("waiting for the inner process")? {
                record_end(page, status);
            }
            return Ok(0);
        }
        if fds[1].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(0);
        }
    }
}

/// The inner process: says hello, then runs case after case.
fn inner(config: &WorkerConfig, facts: Environment, socket: &File, page: Shared) -> Result<(), ExecError> {
    let mut runner = match prepare(config, facts, socket, page) {
        Ok(runner) => runner,
        Err(e) => return protocol::send(&mut &*socket, &Reply::Hello(Err(e))).doing("answering"),
    };
    protocol::send(&mut &*socket, &Reply::Hello(Ok(runner.environment.clone()))).doing("answering")?;
    let mut number = 0;
    while let Some(request) = protocol::receive(&mut &*socket).doing("reading a case")? {
        let Request::Run(case) = request else {
            return Err(ExecError::Internal("a worker was started twice".into()));
        };
        number += 1;
        let result = runner.run(number, &case).map(Box::new);
        protocol::send(&mut &*socket, &Reply::Ran { result, last: false }).doing("sending a trace")?;
    }
    Ok(())
}

fn prepare(config: &WorkerConfig, environment: Environment, socket: &File, page: Shared) -> Result<Runner, ExecError> {
    sys::raise_file_limit().doing("raising the limit of open files")?;
    sys::block_child_signal().doing("blocking SIGCHLD")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let system: OwnedFd = rustix::fs::open("/", flags, Mode::empty()).doing("opening /")?;
    let empty = scratch::tmpfs()?;
    check_xattrs(config.privilege, &empty)?;
    if config.target.has_paths() {
        // Before the layers are attached, which stay writable.
        isolation::protect_host()?;
    }
    let source = Source::new(config.filesystem, config.privilege, system.try_clone().doing("dup")?)?;
    let provided = target::provide(&config.target, config.privilege, source, machine())?;
    let home = Home::settle(if provided.needs_system { system } else { empty })?;
    let page = Arc::new(page);
    let unfinished = Arc::new(Mutex::new(None));
    let socket = socket.try_clone().doing("dup")?;
    // A page without anything would name the first step, which nobody has asked for yet.
    announce(&page, 0, Doing::Idle);
    watchdog::start(Arc::clone(&page), config.step_deadline, Arc::clone(&unfinished), socket)?;
    Ok(Runner {
        looker: Looker::new(config.privilege).at(config.level),
        environment,
        observe: config.observe,
        page,
        unfinished,
        target: provided.target,
        scratch: provided.scratch,
        home,
        reaper: Reaper::start()?,
        buffer: vec![0; BUFFER],
        marks: Default::default(),
    })
}

/// Whose machine this worker is on.
fn machine() -> MachineOf {
    if std::env::var_os(WORKER_VAR).is_some_and(|ends| ends == GUEST) { MachineOf::Ours } else { MachineOf::Somebody }
}

/// Makes sure that private xattrs can be written. Without them the kernel mounts all the same, as a
/// lesser overlay: nothing that a trace of this privilege should ever be made of.
fn check_xattrs(privilege: Privilege, tmpfs: &OwnedFd) -> Result<(), ExecError> {
    sys::fchdir(tmpfs.as_fd()).doing("entering a tmpfs")?;
    let (name, remedy) = match privilege {
        Privilege::Root => ("trusted.ovlcheck", "run in the initial user namespace, or rootless"),
        Privilege::Rootless => ("user.ovlcheck", "user.* on tmpfs needs Linux 6.6 with CONFIG_TMPFS_XATTR"),
    };
    rustix::fs::lsetxattr(".", name, b"", XattrFlags::empty()).map_err(|e| {
        ExecError::unsupported(format!("xattrs like {name} cannot be set on tmpfs: {}", errno(e)), remedy)
    })?;
    rustix::fs::lremovexattr(".", name).doing("removing an xattr")
}

/// Facts about the machine, read while its files can still be reached.
fn environment(config: &WorkerConfig) -> Environment {
    let text = |path: &std::path::Path| fs::read_to_string(path).map(|s| s.trim_end().to_owned()).ok();
    let mut module: Vec<(String, String)> = fs::read_dir("/sys/module/overlay/parameters")
        .map(|entries| {
            let read = |e: fs::DirEntry| Some((e.file_name().into_string().ok()?, text(&e.path())?));
            entries.flatten().filter_map(read).collect()
        })
        // No such module, or no sysfs: then there are no parameters to tell.
        .unwrap_or_default();
    module.sort();
    let links = ["protected_fifos", "protected_hardlinks", "protected_regular", "protected_symlinks"];
    let setting = |name: &&str| Some((format!("fs.{name}"), text(format!("/proc/sys/fs/{name}").as_ref())?));
    let sysctl = links.iter().filter_map(setting).collect();
    Environment {
        privilege: config.privilege,
        target: config.target.name().to_owned(),
        level: config.level,
        kernel: text("/proc/sys/kernel/osrelease".as_ref()).unwrap_or_default(),
        filesystem: config.filesystem.name().to_owned(),
        module,
        sysctl,
    }
}
