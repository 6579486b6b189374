//! A mount that is tried beside the one of the case, and what comes of it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};

use super::error::{Doing, ExecError, errno};
use super::observe::{Detail, Looker, c_path};
use super::scratch::new_dir;
use super::sys;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::ground;

/// Makes the ground on which a mount is tried, as a new directory `name` of `parent`, and opens it.
pub(super) fn make_ground(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, ExecError> {
    let root = new_dir(parent, name)?;
    for path in ground::DIRS {
        new_dir(&root, path)?;
    }
    for path in ground::FILES {
        let path = c_path(path.as_bytes()).doing("naming a file of the ground")?;
        sys::mknodat(root.as_raw_fd(), &path, libc::S_IFREG | 0o644, (0, 0)).doing("making a file of the ground")?;
    }
    Ok(root)
}

/// What a mount shows and has left on its ground, as sorted words:
///
/// - `rw` or `ro`; of one that is read-only also `remount-rw:ok`, or the error that it gives;
/// - `merged:NAME` for each name in its root, with `:ERROR` if the name cannot be looked up;
/// - `PATH` for what was not on the ground before, and `PATH:XATTR` for a private xattr; colons for slashes.
pub(super) fn look(looker: &mut Looker, mounted: OwnedFd, on: BorrowedFd<'_>) -> Result<Vec<Bytes>, Errno> {
    let mut words = Vec::new();
    let mut say = |word: String| words.push(Bytes::from(word.as_str()));
    if sys::fstatfs(mounted.as_raw_fd())?.read_only {
        say("ro".into());
        let again = remount_writable(&mounted);
        say(format!("remount-rw:{}", again.map_or_else(|e| e.to_string(), |()| "ok".into())));
    } else {
        say("rw".into());
    }
    // First what the mount itself has left: looking up names leaves more.
    for node in looker.tree(on, Detail::UPPER)? {
        let path = String::from_utf8_lossy(node.path.as_slice()).into_owned();
        let place = path.replace('/', ":");
        let known = ground::DIRS.iter().chain(&ground::FILES).any(|known| *known == path);
        if !known && !path.is_empty() {
            say(place.clone());
        }
        for (name, _) in node.seen.ok().and_then(|seen| seen.xattrs).unwrap_or_default() {
            let name = String::from_utf8_lossy(name.as_slice()).into_owned();
            if name.starts_with('@') || name.contains(".overlay.") {
                say(format!("{place}:{name}"));
            }
        }
    }
    sys::fchdir(mounted.as_fd())?;
    let root = sys::open(c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    for entry in looker.list(root.as_raw_fd())? {
        let name = entry.name.as_slice();
        let found = sys::statx(sys::CWD, &c_path(name)?, libc::AT_SYMLINK_NOFOLLOW);
        let error = found.map_or_else(|e| format!(":{e}"), |_| String::new());
        say(format!("merged:{}{error}", String::from_utf8_lossy(name)));
    }
    sys::fchdir(on)?;
    words.sort();
    Ok(words)
}

fn remount_writable(mounted: &OwnedFd) -> Result<(), Errno> {
    let again = || {
        let fs = fspick(mounted, c"", FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH)?;
        fsconfig_set_flag(&fs, "rw")?;
        fsconfig_reconfigure(&fs)
    };
    again().map_err(errno)
}
