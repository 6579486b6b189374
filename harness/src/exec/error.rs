//! Why there is no trace.

use serde::{Deserialize, Serialize};

use crate::errno::Errno;

/// No trace could be made. None of these says anything about the target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ExecError {
    /// This machine, or this environment on it, cannot do what was asked.
    #[error("not possible here: {reason}; {remedy}")]
    Unsupported {
        /// What is missing.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// Preparing the case failed, although it should be possible here.
    #[error("set-up failed: {0}")]
    Setup(String),
    /// A defect of ovlcheck.
    #[error("defect of ovlcheck: {0}")]
    Internal(String),
    /// The user wants no more of it ([`WorkerConfig::stop`](super::WorkerConfig::stop)).
    #[error("interrupted")]
    Interrupted,
}

impl ExecError {
    /// Something is missing, and this can be done about it.
    pub fn unsupported(reason: impl Into<String>, remedy: impl Into<String>) -> ExecError {
        ExecError::Unsupported { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Says what was being done when a system call of ours failed.
pub(super) trait Doing<T> {
    /// Makes it a set-up failure: `doing: ERRNO`.
    fn doing(self, what: &str) -> Result<T, ExecError>;
}

impl<T, E: Into<AnyErrno>> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, ExecError> {
        self.map_err(|e| failure(e, what))
    }
}

/// An error number, whoever reports it.
pub(super) struct AnyErrno(pub(super) Errno);

impl From<Errno> for AnyErrno {
    fn from(e: Errno) -> Self {
        AnyErrno(e)
    }
}

impl From<rustix::io::Errno> for AnyErrno {
    fn from(e: rustix::io::Errno) -> Self {
        AnyErrno(Errno(e.raw_os_error()))
    }
}

impl From<std::io::Error> for AnyErrno {
    fn from(e: std::io::Error) -> Self {
        AnyErrno(Errno(e.raw_os_error().unwrap_or(libc::EIO)))
    }
}

/// The number of a rustix error.
pub(super) fn errno(e: rustix::io::Errno) -> Errno {
    Errno(e.raw_os_error())
}

/// A set-up failure: `doing: ERRNO`.
pub(super) fn failure(e: impl Into<AnyErrno>, what: &str) -> ExecError {
    ExecError::Setup(format!("{what}: {}", e.into().0))
}
