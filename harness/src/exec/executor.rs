//! The parent's side: one long-lived worker, given cases and asked for traces.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::MemfdFlags;

use super::config::{Place, WorkerConfig};
use super::error::{Doing as _, ExecError, failure};
use super::progress::{self, Doing};
use super::protocol::{self, Reply, Request};
use super::sys::{self, PAGE_SIZE, Shared};
use super::vm::machine::{Ends, cannot_start};
use super::vm::{Machine, log};
use super::worker::{WORKER_VAR, entry_was_called};
use crate::case::Case;
use crate::trace::{End, Environment, Trace};

/// How long a worker may take to get ready.
fn start_deadline(place: &Place) -> Duration {
    match place {
        Place::Here => Duration::from_secs(20),
        // It boots first, maybe in software and beside others.
        Place::Guest(_) => Duration::from_secs(120),
    }
}

/// How often somebody who waits for a worker to get ready looks whether that is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// How long a killed worker may take to be gone before it is abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// How much of a dead worker's standard error is told.
const SAID_LIMIT: u64 = 4096;

/// Owns one worker; starts another when it has died or missed a deadline.
///
/// Dropping it ends the worker, and with the worker go its mounts and everything it started.
#[derive(Debug)]
pub struct Executor {
    config: WorkerConfig,
    environment: Environment,
    worker: Option<Worker>,
    /// Cases submitted and not yet answered, oldest first, as frames.
    pending: VecDeque<Vec<u8>>,
    /// When the worker can have begun the oldest of them.
    begun: Instant,
}

/// A running worker.
#[derive(Debug)]
struct Worker {
    child: Child,
    socket: UnixStream,
    page: Shared,
    stderr: File,
    /// Whether that is a guest's console.
    guest: bool,
    outbox: Vec<u8>,
    sent: usize,
    inbox: Vec<u8>,
}

/// What waiting for the worker gave.
enum Heard {
    Reply(Reply),
    /// The worker is gone.
    Closed,
    /// It said nothing in time.
    Late,
}

impl Executor {
    /// Starts a worker and waits until it is ready. The program's `main` must begin with
    /// [`super::worker_entry`], because the worker is this same program.
    pub fn start(config: WorkerConfig) -> Result<Executor, ExecError> {
        let (worker, environment) = Worker::start(&config)?;
        Ok(Executor { config, environment, worker: Some(worker), pending: VecDeque::new(), begun: Instant::now() })
    }

    /// Where it runs.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Whether the user wants no more of it.
    pub fn is_stopped(&self) -> bool {
        is_stopped(&self.config)
    }

    /// Runs one case. A worker that dies or hangs in a step makes a trace that says so.
    pub fn run(&mut self, case: &Case) -> Result<Trace, ExecError> {
        if !self.pending.is_empty() {
            return Err(ExecError::Internal("run while submitted cases are not yet received".into()));
        }
        self.submit(case)?;
        self.receive()
    }

    /// Hands a case to the worker without waiting; its trace comes from [`Executor::receive`].
    pub fn submit(&mut self, case: &Case) -> Result<(), ExecError> {
        let frame = protocol::run_frame(case)?;
        if self.pending.is_empty() {
            self.begun = Instant::now();
        }
        if let Some(worker) = &mut self.worker {
            worker.outbox.extend_from_slice(&frame);
            // A worker that is gone is noticed, and replaced, when its answer is asked for.
            drop(worker.flush());
        }
        self.pending.push_back(frame);
        Ok(())
    }

    /// How many submitted cases have not been received.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Waits for the trace of the oldest submitted case.
    pub fn receive(&mut self) -> Result<Trace, ExecError> {
        if self.pending.is_empty() {
            return Err(ExecError::Internal("receive without a submitted case".into()));
        }
        let worker = match &mut self.worker {
            Some(worker) => worker,
            None => {
                let (mut worker, environment) = Worker::start(&self.config)?;
                self.environment = environment;
                worker.outbox = self.pending.iter().flatten().copied().collect();
                self.begun = Instant::now();
                self.worker.insert(worker)
            }
        };
        let heard = worker.hear(self.begun + self.config.case_deadline);
        let result = match heard {
            Ok(Heard::Reply(Reply::Ran { result, last })) => {
                if last {
                    self.dismiss();
                }
                result.map(|trace| *trace)
            }
            Ok(Heard::Reply(Reply::Hello(_))) => {
                self.dismiss();
                Err(ExecError::Internal("a worker said hello twice".into()))
            }
            Ok(Heard::Closed) => self.lost(false),
            Ok(Heard::Late) => self.lost(true),
            Err(e) => {
                self.dismiss();
                Err(e)
            }
        };
        self.pending.pop_front();
        self.begun = Instant::now();
        result
    }

    /// Ends the worker; says what it did last and how it ended.
    fn dismiss(&mut self) -> Option<(Doing, String)> {
        self.worker.take().map(Worker::end)
    }

    /// The worker died, or missed the deadline of the case.
    fn lost(&mut self, late: bool) -> Result<Trace, ExecError> {
        let Some((doing, how)) = self.dismiss() else {
            return Err(ExecError::Internal("no worker to lose".into()));
        };
        let limit = self.config.case_deadline.as_secs();
        let end = match (doing, late) {
            (Doing::Step(step), false) => End::Died { step, how },
            (Doing::Step(step), true) => End::Hung { step },
            (Doing::Idle, false) => return Err(ExecError::Internal(format!("the worker ended between cases: {how}"))),
            (Doing::Layers, false) => {
                return Err(ExecError::Setup(format!("the worker died while making or digesting layers: {how}")));
            }
            (Doing::Mounting, false) => {
                return Err(ExecError::Setup(format!("the worker died in the first mount: {how}")));
            }
            (Doing::Idle | Doing::Layers, true) => {
                return Err(ExecError::Setup(format!("layers were not made and digested within {limit} s: {how}")));
            }
            (Doing::Mounting, true) => {
                return Err(ExecError::Setup(format!("the first mount took more than {limit} s: {how}")));
            }
        };
        Ok(Trace::unseen(self.environment.clone(), end))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.dismiss();
    }
}

fn is_stopped(config: &WorkerConfig) -> bool {
    config.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Starts this program again as a worker.
fn spawn_here(socket: &OwnedFd, page: &OwnedFd, stderr: &File) -> Result<Child, ExecError> {
    let mut command = Command::new("/proc/self/exe");
    command
        .env(WORKER_VAR, format!("{},{}", socket.as_raw_fd(), page.as_raw_fd()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr.try_clone().doing("dup")?)
        // Its own process group, so that ^C is the parent's to handle.
        .process_group(0);
    sys::inherit(&mut command, vec![socket.as_raw_fd(), page.as_raw_fd()], false);
    command.spawn().map_err(|e| ExecError::Setup(format!("starting the worker: {e}")))
}

/// Boots a machine whose pid 1 is a worker.
fn spawn_guest(machine: &Machine, socket: &OwnedFd, page: &OwnedFd, console: &File) -> Result<Child, ExecError> {
    let (mut command, fds) = machine.command(&Ends { socket, page, console })?;
    command.process_group(0);
    // A guest whose kernel hangs does not notice that nobody is there any more. The thread that starts a
    // worker is the one that uses it.
    sys::inherit(&mut command, fds, true);
    command.spawn().map_err(|e| cannot_start(&e))
}

impl Worker {
    fn start(config: &WorkerConfig) -> Result<(Worker, Environment), ExecError> {
        if !entry_was_called() {
            return Err(ExecError::Internal("main does not begin with worker_entry()".into()));
        }
        let (socket, theirs) = UnixStream::pair().doing("socketpair")?;
        let page_file = rustix::fs::memfd_create("ovlcheck-page", MemfdFlags::CLOEXEC).doing("memfd_create")?;
        rustix::fs::ftruncate(&page_file, PAGE_SIZE as u64).doing("ftruncate")?;
        let page = Shared::map(page_file.as_fd()).doing("mapping the page")?;
        let stderr =
            File::from(rustix::fs::memfd_create("ovlcheck-stderr", MemfdFlags::CLOEXEC).doing("memfd_create")?);
        let theirs = OwnedFd::from(theirs);
        let child = match &config.place {
            Place::Here => spawn_here(&theirs, &page_file, &stderr)?,
            Place::Guest(machine) => spawn_guest(machine, &theirs, &page_file, &stderr)?,
        };
        drop(theirs);
        socket.set_nonblocking(true).doing("making the socket non-blocking")?;
        let outbox = protocol::frame(&Request::Start(config.clone()))?;
        let guest = matches!(config.place, Place::Guest(_));
        let mut worker = Worker { child, socket, page, stderr, guest, outbox, sent: 0, inbox: Vec::new() };
        let deadline = Instant::now() + start_deadline(&config.place);
        let heard = loop {
            match worker.hear(deadline.min(Instant::now() + LOOK)) {
                Ok(Heard::Late) if is_stopped(config) => {
                    worker.end();
                    return Err(ExecError::Interrupted);
                }
                Ok(Heard::Late) if Instant::now() < deadline => {}
                heard => break heard,
            }
        };
        match heard {
            Ok(Heard::Reply(Reply::Hello(Ok(environment)))) => Ok((worker, environment)),
            Ok(Heard::Reply(Reply::Hello(Err(e)))) => {
                worker.end();
                Err(e)
            }
            Ok(Heard::Reply(Reply::Ran { .. })) => {
                worker.end();
                Err(ExecError::Internal("a worker answered before it was asked".into()))
            }
            Ok(Heard::Closed | Heard::Late) => {
                Err(ExecError::Setup(format!("the worker did not get ready: {}", worker.end().1)))
            }
            Err(e) => {
                worker.end();
                Err(e)
            }
        }
    }

    /// Waits for the next reply, sending what is still to be sent meanwhile: a worker that is busy
    /// sending must be listened to before it will listen.
    fn hear(&mut self, deadline: Instant) -> Result<Heard, ExecError> {
        loop {
            let more = self.fill()?;
            if let Some((reply, used)) = protocol::unframe(&self.inbox)? {
                self.inbox.drain(..used);
                return Ok(Heard::Reply(reply));
            }
            if !more {
                return Ok(Heard::Closed);
            }
            if self.flush().is_err() {
                // What it said before it closed the socket has just been read.
                return Ok(Heard::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Late);
            }
            let left = rustix::fs::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let out = if self.sent < self.outbox.len() { PollFlags::OUT } else { PollFlags::empty() };
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN | out)];
            match poll(&mut fds, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(failure(e, "poll")),
            }
        }
    }

    /// Reads what there is; whether more may come.
    fn fill(&mut self) -> Result<bool, ExecError> {
        let mut buffer = [0; 65536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => self.inbox.extend_from_slice(&buffer[..len]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(e) => return Err(failure(e, "reading from the worker")),
            }
        }
    }

    /// Sends what the socket takes.
    fn flush(&mut self) -> std::io::Result<()> {
        while self.sent < self.outbox.len() {
            match self.socket.write(&self.outbox[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.outbox.clear();
        self.sent = 0;
        Ok(())
    }

    /// Kills the worker and waits until all of it is gone, or gives up on it; says what it was doing
    /// and how it ended.
    fn end(mut self) -> (Doing, String) {
        let doing = progress::doing(progress::word(&self.page));
        // It may have ended by itself, and then how is recorded; killing a dead child is harmless.
        let already = progress::how_it_ended(&self.page);
        drop(self.child.kill());
        let deadline = Instant::now() + GRACE;
        // The socket closes when stub and inner process are both gone.
        let gone = loop {
            match self.hear(deadline) {
                Ok(Heard::Reply(_)) => {}
                Ok(Heard::Closed) => break true,
                Ok(Heard::Late) | Err(_) => break false,
            }
        };
        let mut how = already.or_else(|| progress::how_it_ended(&self.page)).unwrap_or_else(|| "killed".into());
        if gone {
            drop(self.child.wait());
        } else {
            how.push_str("; a process of the worker cannot be killed and was abandoned");
        }
        let len = self.stderr.metadata().map_or(0, |m| m.len());
        let limit = if self.guest { log::LOOK_BACK } else { SAID_LIMIT };
        let mut said = vec![0; len.min(limit) as usize];
        if !said.is_empty() && self.stderr.read_exact_at(&mut said, len.saturating_sub(limit)).is_ok() {
            let said = String::from_utf8_lossy(&said);
            let told = if self.guest { log::trouble(&said) } else { said.into_owned() };
            how.push_str(": ");
            how.push_str(told.trim_end());
        }
        (doing, how)
    }
}
