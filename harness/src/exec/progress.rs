//! The shared page: which case and which step is under way, written before it begins.
//!
//! One atomic store per step and no system call, so the parent can name the step even when the
//! worker is killed or the kernel under it hangs.

use std::sync::atomic::Ordering;

use super::sys::Shared;

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing, or nothing that has a deadline.
    Idle,
    /// Making the layers of a case, or cleaning up after it.
    Layers,
    /// Mounting for the first time.
    Mounting,
    /// The step of this index; the number of steps stands for the look after the last one.
    Step(u32),
}

const IDLE: u32 = u32::MAX;
const LAYERS: u32 = u32::MAX - 1;
const MOUNTING: u32 = u32::MAX - 2;

/// Announces what comes next.
pub(super) fn announce(page: &Shared, case: u32, doing: Doing) {
    let low = match doing {
        Doing::Idle => IDLE,
        Doing::Layers => LAYERS,
        Doing::Mounting => MOUNTING,
        Doing::Step(index) => index,
    };
    page.progress.store(u64::from(case) << 32 | u64::from(low), Ordering::Release);
}

/// The raw word, for noticing that nothing has changed.
pub(super) fn word(page: &Shared) -> u64 {
    page.progress.load(Ordering::Acquire)
}

/// What a word says.
pub(super) fn doing(word: u64) -> Doing {
    match word as u32 {
        IDLE => Doing::Idle,
        LAYERS => Doing::Layers,
        MOUNTING => Doing::Mounting,
        index => Doing::Step(index),
    }
}

/// Records how the inner process ended (a raw wait status).
pub(super) fn record_end(page: &Shared, status: i32) {
    page.status.store(status as u32, Ordering::Release);
    page.ended.store(1, Ordering::Release);
}

/// How the inner process ended, in words, if it is known.
pub(super) fn how_it_ended(page: &Shared) -> Option<String> {
    if page.ended.load(Ordering::Acquire) == 0 {
        return None;
    }
    let status = page.status.load(Ordering::Acquire) as i32;
    Some(if libc::WIFSIGNALED(status) {
        format!("killed by signal {}", libc::WTERMSIG(status))
    } else {
        format!("exit status {}", libc::WEXITSTATUS(status))
    })
}
