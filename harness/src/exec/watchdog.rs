//! The deadline of each step, kept by a thread of the worker.
//!
//! It looks at the shared page now and then. If the same step is still there after the deadline, it
//! sends what the case has so far and ends the process: the step itself cannot be interrupted.

use std::fs::File;
use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Doing as _, ExecError};
use super::progress::{self, Doing};
use super::protocol::{self, Reply};
use super::sys::{self, Shared};
use crate::trace::{End, Trace};

/// The trace of the case under way, shared with the watchdog.
pub(super) type Unfinished = Arc<Mutex<Option<Trace>>>;

/// Exit status of a worker whose step hung.
pub(super) const HUNG_STATUS: i32 = 3;

/// How many times within a deadline it looks; a step is given at most that part more.
const LOOKS: u32 = 8;

/// Starts the watchdog.
pub(super) fn start(
    page: Arc<Shared>,
    deadline: Duration,
    unfinished: Unfinished,
    socket: File,
) -> Result<(), ExecError> {
    let watch = move || {
        let mut last = progress::word(&page);
        let mut since = Instant::now();
        loop {
            thread::sleep(deadline / LOOKS);
            let now = progress::word(&page);
            if now != last || progress::doing(now) == Doing::Idle {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= deadline {
                // The worker cannot go on, let alone answer, without this lock. If it holds it, or
                // has just gone on, nothing hangs.
                let mut trace = match unfinished.try_lock() {
                    Ok(trace) => trace,
                    Err(TryLockError::Poisoned(trace)) => trace.into_inner(),
                    Err(TryLockError::WouldBlock) => continue,
                };
                if progress::word(&page) == now {
                    give_up(progress::doing(now), deadline, trace.take(), &socket);
                }
            }
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(watch).doing("starting a thread").map(drop)
}

fn give_up(doing: Doing, deadline: Duration, trace: Option<Trace>, socket: &File) -> ! {
    let failed = |what: &str| Err(ExecError::Setup(format!("{what} took more than {} ms", deadline.as_millis())));
    let result = match (doing, trace) {
        (Doing::Step(step), Some(trace)) => Ok(Box::new(Trace { end: End::Hung { step }, ..trace })),
        (Doing::Step(_), None) => Err(ExecError::Internal("a step hangs, and there is no trace of its case".into())),
        (Doing::Mounting, _) => failed("the first mount"),
        (Doing::Layers | Doing::Idle, _) => failed("making or digesting the layers"),
    };
    // If the parent cannot be told it sees the process end, and the page names the step.
    drop(protocol::send(&mut &*socket, &Reply::Ran { result, last: true }));
    sys::exit_now(HUNG_STATUS)
}
