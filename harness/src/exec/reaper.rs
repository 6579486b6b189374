//! Closes mounts off the critical path.
//!
//! Closing the last descriptor of a mount waits for a grace period of the kernel, 0.2 to 1.3 ms,
//! without using the processor. Threads of the worker do the waiting, a bounded number behind.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::error::{Doing, ExecError};

/// How many mounts may wait to be closed before the worker waits too.
const BEHIND: usize = 16;

/// How many are closed at a time; they wait for the same grace periods.
const AT_A_TIME: usize = 2;

/// Takes descriptors and closes them later.
#[derive(Debug)]
pub(super) struct Reaper(SyncSender<OwnedFd>);

impl Reaper {
    /// Starts its threads.
    pub(super) fn start() -> Result<Reaper, ExecError> {
        let (sender, receiver) = sync_channel(BEHIND);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..AT_A_TIME {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().name("reaper".into()).spawn(move || reap(&receiver)).doing("starting a thread")?;
        }
        Ok(Reaper(sender))
    }

    /// Closes this some time soon.
    pub(super) fn bury(&self, fd: OwnedFd) {
        // If the threads were gone the descriptor would come back and be closed here and now.
        drop(self.0.send(fd));
    }
}

fn reap(receiver: &Mutex<Receiver<OwnedFd>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(fd) => drop(fd),
            Err(_) => return,
        }
    }
}
