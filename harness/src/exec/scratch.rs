//! The filesystem that layers lie on: a tmpfs, or another one on a disk in memory, that no path of the
//! host leads to.
//!
//! It is detached where the kernel takes layers from a detached mount, else attached on an empty
//! directory inside the private mount namespace. Either way the kernel removes it with the worker.
//! One serves [`Source::cases`] cases, each in a directory of its own, because making and
//! closing one costs more than a case.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, unmount,
};

use super::error::{Doing, ExecError};
use super::image::Maker;
use crate::trace::{Filesystem, Privilege};

/// Empty directories of a usual system that may be covered inside the private namespace.
const PLACES: [&str; 7] = ["/mnt", "/media", "/srv", "/opt", "/boot", "/home", "/tmp"];

/// Makes filesystems for layers.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A tmpfs each time.
    Tmpfs,
    /// A new disk each time.
    Disk(Maker),
}

impl Source {
    /// Of this kind, made with the tools and devices below `system`.
    pub(super) fn new(filesystem: Filesystem, privilege: Privilege, system: OwnedFd) -> Result<Source, ExecError> {
        let Some(maker) = Maker::new(filesystem, system) else { return Ok(Source::Tmpfs) };
        if privilege == Privilege::Rootless {
            return Err(ExecError::unsupported(
                format!("a user namespace may not mount {}", filesystem.name()),
                "run as root without --rootless, or with --fs tmpfs",
            ));
        }
        Ok(Source::Disk(maker))
    }

    /// The filesystem's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Source::Tmpfs => Filesystem::Tmpfs.name(),
            Source::Disk(maker) => maker.filesystem().name(),
        }
    }

    /// How many cases share one filesystem.
    fn cases(&self) -> u32 {
        match self {
            Source::Tmpfs => 64,
            // What a case leaves on disk stays there until the disk is thrown away, so the disk must
            // hold the leavings of them all.
            Source::Disk(_) => 256,
        }
    }

    fn make(&self) -> Result<OwnedFd, ExecError> {
        match self {
            Source::Tmpfs => tmpfs(),
            Source::Disk(maker) => maker.make(),
        }
    }
}

/// Where case directories come from.
#[derive(Debug)]
pub(super) struct Scratch {
    source: Source,
    /// Where each filesystem is attached; `None` for detached ones.
    place: Option<Place>,
    mount: OwnedFd,
    used: u32,
    /// Further filesystems, each with its number; where this one is attached they are mounted on directories of it, and
    /// gone with it.
    others: Vec<(usize, OwnedFd)>,
}

/// An empty directory that is covered inside the private namespace.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// The directory itself, for when its path cannot be reached from the worker's root.
    fd: OwnedFd,
}

/// The directory of one case.
#[derive(Debug)]
pub(super) struct CaseDir {
    /// The directory.
    pub(super) fd: OwnedFd,
    /// Its absolute path, where it has one.
    pub(super) path: Option<PathBuf>,
}

impl Scratch {
    /// A detached scratch filesystem.
    pub(super) fn detached(source: Source) -> Result<Scratch, ExecError> {
        let mount = source.make()?;
        Ok(Scratch { source, place: None, mount, used: 0, others: Vec::new() })
    }

    /// One that paths of the private namespace lead to.
    pub(super) fn attached(source: Source) -> Result<Scratch, ExecError> {
        let place = PLACES.iter().map(Path::new).find(|p| is_empty_dir(p)).ok_or_else(|| {
            ExecError::unsupported(
                format!("no empty directory to attach the layers on (tried {})", PLACES.join(", ")),
                "make one of them, empty; nothing will be written to it",
            )
        })?;
        let fd = open_dir(rustix::fs::CWD, place)?;
        let place = Place { path: place.to_owned(), fd };
        let mount = source.make()?;
        attach(&mount, &place)?;
        Ok(Scratch { source, place: Some(place), mount, used: 0, others: Vec::new() })
    }

    /// The mount that the current case's layers are on.
    pub(super) fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// A new empty directory. When the filesystem is used up it is replaced first (this may change the
    /// current directory); what `retire` gets is
    /// to be closed when convenient.
    pub(super) fn case_dir(&mut self, mut retire: impl FnMut(OwnedFd)) -> Result<CaseDir, ExecError> {
        if self.used == self.source.cases() {
            if self.place.is_some() {
                rustix::process::fchdir(&self.mount).doing("entering the layers' tmpfs")?;
                unmount(".", UnmountFlags::DETACH).doing("detaching the layers' tmpfs")?;
            }
            let fresh = self.source.make()?;
            if let Some(place) = &self.place {
                attach(&fresh, place)?;
            }
            for (_, other) in self.others.drain(..) {
                retire(other);
            }
            retire(std::mem::replace(&mut self.mount, fresh));
            self.used = 0;
        }
        let name = self.used.to_string();
        self.used += 1;
        let fd = new_dir(&self.mount, &name)?;
        Ok(CaseDir { fd, path: self.place.as_ref().map(|p| p.path.join(&name)) })
    }
}

impl Scratch {
    /// The directory of the current case on another filesystem of the same kind; the first case that asks makes that
    /// filesystem.
    pub(super) fn other_dir(&mut self, number: usize) -> Result<OtherDir, ExecError> {
        let name = format!("on{}", number + 1);
        if !self.others.iter().any(|(made, _)| *made == number) {
            let fresh = self.source.make()?;
            if self.place.is_some() {
                attach_at(&fresh, &new_dir(&self.mount, &name)?).doing("attaching another filesystem for layers")?;
            }
            self.others.push((number, fresh));
        }
        let case = self.used.saturating_sub(1).to_string();
        let found = self.others.iter().find(|(made, _)| *made == number);
        let (_, root) = found.ok_or_else(|| ExecError::Internal("a filesystem for layers is gone".into()))?;
        let fd = match rustix::fs::mkdirat(root, &case, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => open_dir(root, &case)?,
            Err(e) => return Err(e).doing("making a directory for a case"),
        };
        Ok(OtherDir { fd, path: self.place.as_ref().map(|_| format!("../{name}/{case}")) })
    }
}

/// The directory of one case on another filesystem.
#[derive(Debug)]
pub(super) struct OtherDir {
    /// The directory.
    pub(super) fd: OwnedFd,
    /// Its path from the directory of the case, where it has one.
    pub(super) path: Option<String>,
}

/// Makes the directory `name` in `parent` and opens it as a place.
pub(super) fn new_dir(parent: impl AsFd, name: &str) -> Result<OwnedFd, ExecError> {
    rustix::fs::mkdirat(&parent, name, Mode::from(0o755)).doing("making a directory for a case")?;
    open_dir(parent, name)
}

/// Opens a directory as a place (`O_PATH`).
pub(super) fn open_dir(parent: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, ExecError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).doing("opening a directory of a case")
}

/// A new detached tmpfs, as a descriptor of its root.
pub(super) fn tmpfs() -> Result<OwnedFd, ExecError> {
    let refused = |what: &'static str| {
        move |e: rustix::io::Errno| match e {
            rustix::io::Errno::NOSYS => ExecError::unsupported(
                format!("the kernel has no {what} (the mount API of Linux 5.2)"),
                "use a newer kernel, or a seccomp profile that allows it",
            ),
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => ExecError::unsupported(
                format!("mounting a tmpfs is refused: {what} gives {}", super::error::errno(e)),
                "needs CAP_SYS_ADMIN in a user namespace that may mount; in a container, --privileged; \
                 with AppArmor, sysctl kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            _ => ExecError::Setup(format!("mounting a tmpfs: {what} gives {}", super::error::errno(e))),
        }
    };
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(refused("fsopen"))?;
    fsconfig_set_string(&fs, "mode", "0755").map_err(refused("fsconfig"))?;
    fsconfig_create(&fs).map_err(refused("fsconfig"))?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME).map_err(refused("fsmount"))
}

fn attach(mount: &OwnedFd, place: &Place) -> Result<(), ExecError> {
    attach_at(mount, &place.fd).doing("attaching the layers' tmpfs in the private namespace")
}

fn attach_at(mount: &OwnedFd, place: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

fn is_empty_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
        && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
