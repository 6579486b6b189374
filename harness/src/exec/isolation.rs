//! Namespaces and roots: what keeps a case away from the host.
//!
//! A worker has its own mount and process id namespace, and when rootless its own user namespace.
//! While the steps of a case run its root directory is the merged tree, so no path, symlink or `..`
//! in a step can name anything outside. Between cases its root is an empty directory of its own.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::mount::{MountPropagationFlags, mount_change};

use super::error::{Doing, ExecError};
use super::sys;
use crate::errno::Errno;
use crate::trace::Privilege;

/// The uid and gid that root gives itself up for when asked to be rootless: the overflow ids, which
/// own nothing.
const NOBODY: u32 = 65534;

/// Moves this process, which must have a single thread, into namespaces of its own. The process id
/// namespace holds its *children*.
pub(super) fn isolate(privilege: Privilege) -> Result<(), ExecError> {
    let root = rustix::process::geteuid().is_root();
    match privilege {
        Privilege::Root if !root => {
            return Err(ExecError::unsupported(
                "mounting as root needs root",
                "run as root (in a VM if possible), or rootless",
            ));
        }
        Privilege::Root => {}
        Privilege::Rootless => {
            if root {
                sys::drop_ids(NOBODY, NOBODY).doing("giving up root")?;
                // A change of ids made /proc/self root's, and the id maps are written there.
                sys::set_dumpable().doing("PR_SET_DUMPABLE")?;
            }
            user_namespace()?;
        }
    }
    sys::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_FS).map_err(|e| {
        ExecError::unsupported(
            format!("no mount and process id namespace of its own: unshare gives {e}"),
            "needs CAP_SYS_ADMIN; in a container, --privileged or a seccomp profile that allows unshare",
        )
    })?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).doing("making / private")?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}

/// Makes all that is mounted so far read-only, in this mount namespace alone. A program that mounts finds its layers by
/// paths, and one that follows a symlink or `..` out of them must find nothing there that it can change.
pub(super) fn protect_host() -> Result<(), ExecError> {
    sys::make_mounts_read_only().map_err(|e| {
        ExecError::unsupported(
            format!("the machine's files cannot be kept from the target's program: mount_setattr gives {e}"),
            "needs Linux 5.12, and a seccomp profile that allows mount_setattr",
        )
    })
}

fn user_namespace() -> Result<(), ExecError> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::unshare(libc::CLONE_NEWUSER).map_err(|e| {
        let remedy = match e {
            Errno::ENOSPC => "raise sysctl user.max_user_namespaces",
            Errno::EPERM => "set sysctl kernel.unprivileged_userns_clone=1, or leave the container's seccomp profile",
            _ => "use a kernel built with CONFIG_USER_NS",
        };
        ExecError::unsupported(format!("no user namespace: unshare gives {e}"), remedy)
    })?;
    let refused = |what: &str, e: std::io::Error| {
        ExecError::unsupported(
            format!("the user namespace is restricted: writing {what} gives {e}"),
            "set sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        )
    };
    // A gid map of one's own may only be written once setgroups is denied.
    fs::write("/proc/self/setgroups", "deny").map_err(|e| refused("setgroups", e))?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1\n")).map_err(|e| refused("uid_map", e))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1\n")).map_err(|e| refused("gid_map", e))
}

/// Where the worker is between cases.
#[derive(Debug)]
pub(super) struct Home(OwnedFd);

impl Home {
    /// Makes this directory the worker's root between cases, and goes there.
    pub(super) fn settle(dir: OwnedFd) -> Result<Home, ExecError> {
        let home = Home(dir);
        home.enter()?;
        Ok(home)
    }

    /// Leaves whatever root and directory the worker is in.
    pub(super) fn enter(&self) -> Result<(), ExecError> {
        enter_root(self.0.as_fd()).doing("going back from the merged root")
    }
}

/// Makes this directory the root and the current directory.
pub(super) fn enter_root(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    sys::fchdir(dir)?;
    sys::chroot_here()
}
