//! Error numbers with their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An error number as the kernel returns it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Errno(pub i32);

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        #[allow(missing_docs, reason = "the names are errno(3)'s own")]
        impl Errno {
            $(pub const $name: Errno = Errno(libc::$name);)*
        }
        const NAMES: &[(i32, &str)] = &[$((libc::$name, stringify!($name))),*];
    };
}

names! {
    EPERM, ENOENT, EINTR, EIO, ENXIO, E2BIG, EBADF, EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY, EEXIST,
    EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ENOTTY, ETXTBSY, EFBIG, ENOSPC, ESPIPE,
    EROFS, EMLINK, EPIPE, ERANGE, EDEADLK, ENAMETOOLONG, ENOLCK, ENOSYS, ENOTEMPTY, ELOOP, ENODATA,
    EOVERFLOW, EOPNOTSUPP, ENOTCONN, ESTALE, EDQUOT, EREMOTE, ETIMEDOUT, ECONNREFUSED, EUCLEAN,
    ENOTSOCK, ECONNABORTED,
}

impl Errno {
    /// The names of all error numbers that have one here.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(n, _)| *n == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "E{}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not the name of an error number.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not an errno name")]
pub struct UnknownErrno(pub String);

impl FromStr for Errno {
    type Err = UnknownErrno;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if let Some((n, _)) = NAMES.iter().find(|(_, name)| *name == s) {
            return Ok(Errno(*n));
        }
        s.strip_prefix('E')
            .and_then(|n| n.parse().ok())
            .filter(|n| (1..4096).contains(n))
            .map(Errno)
            .ok_or_else(|| UnknownErrno(s.to_owned()))
    }
}
