//! Trials in a child process: what it enters or mounts goes with it, and it has a deadline.

use std::io::Read;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exec::error::{Doing, ExecError};
use crate::exec::sys::{self, Forked};

/// How long one trial may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs `trial` in a child process and returns what it returns. The process must have one thread.
pub(super) fn in_child<T: Serialize + DeserializeOwned>(trial: impl FnOnce() -> T) -> Result<T, ExecError> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing("making a pipe")?;
    match sys::fork().doing("forking")? {
        Forked::Child => {
            drop(read);
            // A failure to die with the parent only matters when the parent is killed just now.
            let _ = sys::die_with_parent();
            let status = match serde_json::to_vec(&trial()) {
                Ok(bytes) => i32::from(rustix::io::write(&write, &bytes) != Ok(bytes.len())),
                Err(_) => 1,
            };
            sys::exit_now(status)
        }
        Forked::Parent(pid) => {
            drop(write);
            let limit = rustix::fs::Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
            let heard = poll(&mut [PollFd::new(&read, PollFlags::IN)], Some(&limit));
            if !matches!(heard, Ok(1..)) {
                if let Some(pid) = Pid::from_raw(pid) {
                    // It may just have ended. If the kernel holds it fast it is not waited for either.
                    let _ = kill_process(pid, Signal::KILL);
                }
                return Err(ExecError::Setup(format!("no answer within {} s", DEADLINE.as_secs())));
            }
            let mut bytes = Vec::new();
            std::fs::File::from(read).read_to_end(&mut bytes).doing("reading what a trial said")?;
            sys::wait_child(pid, true).doing("waiting for a trial")?;
            serde_json::from_slice(&bytes).map_err(|_| ExecError::Setup("the trial died".into()))
        }
    }
}
