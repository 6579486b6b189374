//! The kernel's overlay filesystem, mounted detached: nothing ever shows in a mount table, and
//! closing its root unmounts it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::{Layers, MachineOf, MountFailure, Mounted, TakeDown, Target};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::exec::error::{Doing, ExecError, errno};
use crate::exec::scratch::{Scratch, Source, new_dir};
use crate::exec::sys;
use crate::trace::{MountError, Privilege};

/// The kernel's overlay filesystem.
#[derive(Debug)]
pub(super) struct Kernel {
    userxattr: bool,
    /// Whether layers may be given one at a time (Linux 6.8).
    one_by_one: bool,
}

/// The option that is an attribute of the mount: the overlay's own filesystem knows nothing of it.
const STRICTATIME: &str = "strictatime";

impl Kernel {
    /// Finds out how this kernel takes its layers, by mounting: from a detached filesystem if it can, and
    /// one by one if it can. A refusal that is the kernel's own fault is left for the cases to find.
    pub(super) fn probe(
        privilege: Privilege,
        source: &Source,
        machine: MachineOf,
    ) -> Result<(Kernel, Scratch), ExecError> {
        let userxattr = privilege == Privilege::Rootless;
        let mut scratch = Scratch::detached(source.clone())?;
        let mut refusal = None;
        for (detached, one_by_one) in [(true, true), (true, false), (false, true), (false, false)] {
            if !detached && one_by_one {
                scratch = Scratch::attached(source.clone())?;
            }
            let mut kernel = Kernel { userxattr, one_by_one };
            match kernel.try_out(&mut scratch) {
                Ok(()) => return Ok((kernel, scratch)),
                Err(MountFailure::Broken(e)) => return Err(e),
                Err(MountFailure::Refused(e)) => refusal = Some(e),
            }
        }
        if refusal.as_ref().is_some_and(|e| is_defect(machine, privilege, e.errno)) {
            // What was tried last asks for least.
            return Ok((Kernel { userxattr, one_by_one: false }, scratch));
        }
        let said = refusal.map_or_else(String::new, |e| format!("{} {}", e.errno, e.message));
        Err(ExecError::unsupported(
            format!("the kernel refuses a simple overlay mount on {}: {}", source.name(), said.trim_end()),
            match privilege {
                Privilege::Root => "run in the initial user namespace (a container's root may not write trusted.*)",
                Privilege::Rootless => "rootless overlay mounts need Linux 5.11, and 6.6 for layers on tmpfs",
            },
        ))
    }

    fn try_out(&mut self, scratch: &mut Scratch) -> Result<(), MountFailure> {
        let case = scratch.case_dir(drop)?;
        for name in ["l0", "upper", "work"] {
            new_dir(&case.fd, name)?;
        }
        sys::fchdir(case.fd.as_fd()).doing("entering the directory of a case")?;
        let layers = Layers {
            base: case.fd.as_fd(),
            path: case.path.as_ref(),
            lowers: &["l0".to_owned()],
            lower_fds: &[],
            upper: "upper",
            work: "work",
            options: &[],
        };
        self.mount(&layers).map(drop)
    }

    fn configure(&self, fs: &OwnedFd, layers: &Layers<'_>) -> rustix::io::Result<OwnedFd> {
        if self.one_by_one {
            for (at, lower) in layers.lowers.iter().enumerate() {
                match layers.lower_fds.get(at).filter(|_| lower.is_empty()) {
                    Some(fd) => fsconfig_set_fd(fs, "lowerdir+", fd)?,
                    None => fsconfig_set_string(fs, "lowerdir+", lower.as_str())?,
                }
            }
        } else {
            // Names of layers are ours and hold nothing that would need an escape.
            fsconfig_set_string(fs, "lowerdir", layers.lowers.join(":"))?;
        }
        fsconfig_set_string(fs, "upperdir", layers.upper)?;
        fsconfig_set_string(fs, "workdir", layers.work)?;
        let strict = layers.options.iter().any(|option| option == STRICTATIME);
        for option in layers.options.iter().filter(|option| *option != STRICTATIME) {
            match option.split_once('=') {
                Some((key, value)) => fsconfig_set_string(fs, key, value)?,
                None => fsconfig_set_flag(fs, option.as_str())?,
            }
        }
        if self.userxattr {
            fsconfig_set_flag(fs, "userxattr")?;
        }
        fsconfig_create(fs)?;
        let atime = if strict { MountAttrFlags::MOUNT_ATTR_STRICTATIME } else { MountAttrFlags::MOUNT_ATTR_NOATIME };
        fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, atime)
    }
}

/// Whether a kernel that refuses the simplest mount is at fault. In a guest nothing but the kernel can be: whoever
/// asks is root there, and the private xattrs were tried before. Only a user namespace may be refused, by a kernel
/// that lets nobody mount an overlay in one.
fn is_defect(machine: MachineOf, privilege: Privilege, refusal: Errno) -> bool {
    machine == MachineOf::Ours && (privilege == Privilege::Root || refusal != Errno::EPERM)
}

impl Target for Kernel {
    fn mount(&mut self, layers: &Layers<'_>) -> Result<Mounted, MountFailure> {
        let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|e| match e {
            rustix::io::Errno::NODEV => {
                ExecError::unsupported("the kernel has no overlay filesystem", "run 'modprobe overlay'")
            }
            e => ExecError::unsupported(format!("fsopen(overlay) gives {}", errno(e)), "needs CAP_SYS_ADMIN"),
        })?;
        if !self.one_by_one && layers.lowers.iter().any(String::is_empty) {
            let remedy = "use Linux 6.13, which takes layers by descriptor";
            return Err(ExecError::unsupported("a layer on another filesystem has no path", remedy).into());
        }
        match self.configure(&fs, layers) {
            Ok(root) => Ok(Mounted { root }),
            Err(e) => Err(MountFailure::Refused(MountError { errno: errno(e), message: messages(&fs) })),
        }
    }

    fn try_mount(&self, options: &[Bytes]) -> Result<OwnedFd, Errno> {
        if !self.one_by_one {
            return Err(Errno::EOPNOTSUPP);
        }
        let tried = || {
            let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            for option in options {
                let mut parts = option.as_slice().splitn(2, |b| *b == b'=');
                let name = parts.next().unwrap_or_default();
                match parts.next() {
                    Some(value) => fsconfig_set_string(&fs, name, value)?,
                    None => fsconfig_set_flag(&fs, name)?,
                }
            }
            fsconfig_create(&fs)?;
            fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME)
        };
        tried().map_err(errno)
    }

    fn unmount(&mut self, mounted: Mounted, how: TakeDown<'_>) -> Result<(), ExecError> {
        match how {
            TakeDown::Now => drop(mounted),
            TakeDown::Soon(reaper) => reaper.bury(mounted.root),
        }
        Ok(())
    }
}

/// What the kernel has to say about a filesystem context: one message per read, until there is none.
fn messages(fs: &OwnedFd) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = rustix::io::read(fs, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..len]);
        // "e overlay: text": a letter for how bad it is, then the message.
        said.push(text.get(2..).unwrap_or(&text).trim().to_owned());
    }
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_mount_is_the_kernels_fault_where_the_machine_is_ours() {
        let of_guest = |privilege, errno| is_defect(MachineOf::Ours, privilege, errno);
        for errno in [Errno::EINVAL, Errno::EPERM, Errno::EIO] {
            assert!(of_guest(Privilege::Root, errno), "{errno}");
            assert!(!is_defect(MachineOf::Somebody, Privilege::Root, errno), "{errno}");
            assert!(!is_defect(MachineOf::Somebody, Privilege::Rootless, errno), "{errno}");
        }
        assert!(of_guest(Privilege::Rootless, Errno::EINVAL));
        assert!(!of_guest(Privilege::Rootless, Errno::EPERM), "a kernel without overlays in user namespaces");
    }
}
