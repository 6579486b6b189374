//! An overlay that is Rust code of the caller's, mounted from inside the worker.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Mode;
use rustix::mount::{UnmountFlags, unmount};

use super::{Layers, MountFailure, Mounted, TakeDown, Target};
use crate::errno::Errno;
use crate::exec::error::{Doing, ExecError, failure};
use crate::exec::observe::c_path;
use crate::exec::scratch::open_dir;
use crate::exec::sys;
use crate::trace::MountError;

/// Name of the mount point in the directory of a case.
const MERGED: &str = "merged";

/// What a [`Mounter`] is to mount: absolute paths inside the worker's own mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountRequest {
    /// The lower layers, top-most first.
    pub lowerdirs: Vec<PathBuf>,
    /// The upper layer.
    pub upperdir: PathBuf,
    /// The work directory, on the filesystem of the upper layer.
    pub workdir: PathBuf,
    /// The empty directory to mount on.
    pub merged: PathBuf,
    /// Mount options of the case, as written.
    pub options: Vec<String>,
}

/// An overlay filesystem as a library: it mounts, and never sees a step.
///
/// It is called in the worker, a child of the process that asked, in namespaces of its own, where mounts go with
/// the process. Between calls the process changes its root and current directory to the merged tree, as steps
/// demand it: a thread that serves a mount must call `unshare(CLONE_FS)` first, or keep to descriptors.
pub trait Mounter {
    /// Mounts on `request.merged` and returns when the mount can be used.
    ///
    /// # Errors
    /// When the overlay refuses: the error number and what is to be said of it. That is a result, and judged.
    fn mount(&mut self, request: &MountRequest) -> Result<(), (Errno, String)>;

    /// Takes the mount down; nothing of it is in use any more. Unmounts, unless the implementation has more to
    /// do.
    ///
    /// # Errors
    /// When that fails, with the error number.
    fn unmount(&mut self, merged: &Path) -> Result<(), Errno> {
        unmount(merged, UnmountFlags::NOFOLLOW).map_err(|e| Errno(e.raw_os_error()))
    }
}

/// Makes a mounter, in the worker.
type Make = fn() -> Box<dyn Mounter>;

static REGISTERED: Mutex<Vec<(&'static str, Make)>> = Mutex::new(Vec::new());

/// Makes a mounter known as [`TargetSpec::Library`](crate::exec::TargetSpec::Library) of this name. To be called
/// in `main` before [`worker_entry`](crate::exec::worker_entry), since the worker is the same program started
/// again.
pub fn register_target(name: &'static str, make: fn() -> Box<dyn Mounter>) {
    let mut known = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(other, _)| *other != name);
    known.push((name, make));
}

/// A target that is a library.
pub(super) struct Library {
    name: &'static str,
    mounter: Box<dyn Mounter>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Library {
    /// The one that is registered under this name.
    pub(super) fn named(name: &str) -> Result<Library, ExecError> {
        let known = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter().find(|(other, _)| *other == name) {
            Some((name, make)) => Ok(Library { name, mounter: make() }),
            None => Err(ExecError::unsupported(
                format!("no target is registered as '{name}'"),
                "call register_target in main, before worker_entry",
            )),
        }
    }
}

impl Target for Library {
    fn mount(&mut self, layers: &Layers<'_>) -> Result<Mounted, MountFailure> {
        let base = layers.path.ok_or_else(|| ExecError::Internal("the layers of a library have no path".into()))?;
        match rustix::fs::mkdirat(layers.base, MERGED, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(failure(e, "making the mount point").into()),
        }
        let bare = device(layers)?;
        let request = MountRequest {
            lowerdirs: layers.lowers.iter().map(|name| base.join(name)).collect(),
            upperdir: base.join(layers.upper),
            workdir: base.join(layers.work),
            merged: base.join(MERGED),
            options: layers.options.to_vec(),
        };
        let refused = |errno, message| Err(MountFailure::Refused(MountError { errno, message }));
        match self.mounter.mount(&request) {
            Err((errno, message)) => refused(errno, message),
            Ok(()) if device(layers)? == bare => refused(Errno::EIO, "returned without mounting anything".to_owned()),
            Ok(()) => Ok(Mounted { root: open_dir(layers.base, MERGED)? }),
        }
    }

    fn unmount(&mut self, mounted: Mounted, _how: TakeDown<'_>) -> Result<(), ExecError> {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&mounted.root)))
            .doing("finding the mount point")?;
        drop(mounted);
        let outcome = self.mounter.unmount(&path);
        if outcome.is_err() {
            unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).doing("detaching the target")?;
        }
        outcome.doing("unmounting the target")
    }
}

/// The device that the mount point is on.
fn device(layers: &Layers<'_>) -> Result<(u32, u32), ExecError> {
    let path = c_path(MERGED.as_bytes()).doing("naming the mount point")?;
    let dir = std::os::fd::AsRawFd::as_raw_fd(&layers.base);
    sys::statx(dir, &path, libc::AT_SYMLINK_NOFOLLOW).map(|s| s.dev).doing("looking at the mount point")
}
