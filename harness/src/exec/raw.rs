//! Reading a directory of this machine as a layer, or as a merged view: it is only read.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::error::{ExecError, errno};
use super::observe::{Detail, Looker};
use super::sys;
use crate::trace::{Privilege, TreeSeen};
use std::os::fd::AsFd;

/// Everything below a directory, in walking order. Symlinks below it are not followed, nothing but
/// regular files is opened, and access times stay where the caller may leave them as they are.
/// `privilege` says which private xattrs are meant by `@`: `trusted.overlay.*` or `user.overlay.*`.
///
/// # Errors
///
/// `Setup` with the reason when the directory itself cannot be read. What cannot be read below it stands
/// with its error in the tree.
pub fn read_tree(dir: &Path, privilege: Privilege) -> Result<TreeSeen, ExecError> {
    let failed = |e: rustix::io::Errno| ExecError::Setup(format!("reading {}: {}", dir.display(), errno(e)));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = rustix::fs::open(".", flags, Mode::empty()).map_err(failed)?;
    let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
    // Looking goes from directory to directory.
    let tree = Looker::new(privilege).tree(root.as_fd(), Detail::ALL);
    sys::fchdir(here.as_fd()).and(tree).map_err(|e| ExecError::Setup(format!("reading {}: {e}", dir.display())))
}
