//! Targets: what can be mounted. A target never interprets a step.
//!
//! Given layers and options it gives a root and takes it down again, so that every target gets
//! identical system calls.

mod command;
mod kernel;
mod library;
mod plain;
mod relay;

pub use library::{MountRequest, Mounter, register_target};

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::config::TargetSpec;
use super::error::ExecError;
use super::reaper::Reaper;
use super::scratch::{Scratch, Source};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::{MountError, Privilege};

/// What is to be mounted.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    /// The directory of the case, which is also the current directory.
    pub(super) base: BorrowedFd<'a>,
    /// Its absolute path, where it has one.
    pub(super) path: Option<&'a PathBuf>,
    /// Names in `base` of the lower layers, top-most first; empty for one on another filesystem that no path leads to.
    pub(super) lowers: &'a [String],
    /// The lower layers themselves, where one of them has no name.
    pub(super) lower_fds: &'a [OwnedFd],
    /// Name of the upper layer.
    pub(super) upper: &'a str,
    /// Name of the work directory.
    pub(super) work: &'a str,
    /// The options of the case, as written.
    pub(super) options: &'a [String],
}

/// Something mounted.
#[derive(Debug)]
pub(super) struct Mounted {
    /// Its root; for a detached mount closing this unmounts it.
    pub(super) root: OwnedFd,
}

/// Why there is no mount.
#[derive(Debug)]
pub(super) enum MountFailure {
    /// The target refused: a result.
    Refused(MountError),
    /// It could not be tried.
    Broken(ExecError),
}

impl From<ExecError> for MountFailure {
    fn from(e: ExecError) -> Self {
        MountFailure::Broken(e)
    }
}

/// How a mount is taken down.
#[derive(Debug)]
pub(super) enum TakeDown<'a> {
    /// It is gone when the call returns.
    Now,
    /// Some time soon.
    Soon(&'a Reaper),
}

/// Something that mounts.
pub(super) trait Target: std::fmt::Debug {
    /// Whether there is an upper layer and a work directory to look at.
    fn has_upper(&self) -> bool {
        true
    }

    /// Mounts these layers. The current directory is `layers.base`, the root the worker's home.
    fn mount(&mut self, layers: &Layers<'_>) -> Result<Mounted, MountFailure>;

    /// Mounts the kernel's overlay with just these options (`name=value` or `name`), paths from the current
    /// directory.
    ///
    /// # Errors
    /// What the mount gives; EOPNOTSUPP of a target that is no kernel's, or whose kernel takes no layers one by one.
    fn try_mount(&self, _options: &[Bytes]) -> Result<OwnedFd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes the mount down. No descriptor, root or directory of it is in use any more.
    fn unmount(&mut self, mounted: Mounted, how: TakeDown<'_>) -> Result<(), ExecError>;
}

/// A target and what it needs around it.
pub(super) struct Provided {
    /// The target.
    pub(super) target: Box<dyn Target>,
    /// Where its layers lie.
    pub(super) scratch: Scratch,
    /// Whether the worker must keep the system's root between cases, to start programs.
    pub(super) needs_system: bool,
}

/// Whose machine it is that refuses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MachineOf {
    /// A guest, in which everything but the kernel comes from here.
    Ours,
    /// Somebody else decides what is allowed on it.
    Somebody,
}

/// The target of this description with its layers on `source`, after finding out what the kernel can do.
pub(super) fn provide(
    spec: &TargetSpec,
    privilege: Privilege,
    source: Source,
    machine: MachineOf,
) -> Result<Provided, ExecError> {
    Ok(match spec {
        TargetSpec::Kernel => {
            let (target, scratch) = kernel::Kernel::probe(privilege, &source, machine)?;
            Provided { target: Box::new(target), scratch, needs_system: false }
        }
        TargetSpec::Plain => {
            Provided { target: Box::new(plain::Plain), scratch: Scratch::detached(source)?, needs_system: false }
        }
        TargetSpec::Command(template) => {
            let target = command::Program::new(template)?;
            Provided { target: Box::new(target), scratch: Scratch::attached(source)?, needs_system: true }
        }
        TargetSpec::Relay { targets, .. } => {
            let [first, second] = &**targets;
            let provided = |spec| provide(spec, privilege, source.clone(), machine);
            let relay = relay::Relay::new([provided(first)?.target, provided(second)?.target]);
            // Both must find the layers.
            Provided { target: Box::new(relay), scratch: Scratch::attached(source)?, needs_system: true }
        }
        TargetSpec::Library(name) => {
            let target = library::Library::named(name)?;
            Provided { target: Box::new(target), scratch: Scratch::attached(source)?, needs_system: true }
        }
    })
}

/// Options that name layers are ours to give: a case that has one could point the target elsewhere.
pub(super) fn check_options(options: &[String]) -> Result<(), ExecError> {
    const OURS: [&str; 7] = ["lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir", "userxattr", "source"];
    match options.iter().find(|o| OURS.contains(&o.split('=').next().unwrap_or(""))) {
        None => Ok(()),
        Some(option) => Err(ExecError::unsupported(
            format!("mount option '{option}' is given by ovlcheck itself"),
            "remove it from the case",
        )),
    }
}
