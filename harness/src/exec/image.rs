//! A disk filesystem for the layers, made by the distribution's own tools on a disk in memory.
//!
//! The disk is a memfd behind a loop device that the kernel releases with its last user
//! (`LO_FLAGS_AUTOCLEAR`), and the filesystem is mounted detached. So everything here goes with the
//! worker, whoever kills it: the mount with its descriptor, the loop device with the mount, the memory
//! with the loop device. No file of the host is written, and a sync reaches memory and no further.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

use super::error::{Doing, ExecError, errno};
use super::isolation::enter_root;
use super::sys;
use super::worker::WORKER_VAR;
use crate::trace::Filesystem;

/// Size of the disk: XFS takes no less than 300 MiB. Memory is used for what is written alone.
const SIZE: u64 = 512 << 20;

/// How often another loop device is asked for when somebody else was faster.
const ATTEMPTS: u32 = 64;

/// Where tools of the administrator lie, for whom `PATH` leaves them out.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Makes disk filesystems of one kind.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    filesystem: Filesystem,
    tool: Tool,
    /// What the disk is called: whoever finds it behind a loop device can tell whose it is.
    disk: String,
    /// The system's root, where tools and devices are; the worker's own root is elsewhere.
    system: Arc<OwnedFd>,
}

/// The program that makes a filesystem.
#[derive(Clone, Copy, Debug)]
struct Tool {
    program: &'static str,
    /// Without these it would look at the disk for longer than it works, or trim it.
    arguments: &'static [&'static str],
    /// The Debian package that has it.
    package: &'static str,
}

/// What makes a filesystem; `None` for what needs no disk.
fn tool(filesystem: Filesystem) -> Option<Tool> {
    Some(match filesystem {
        Filesystem::Tmpfs => return None,
        // Without lazy initialisation, which would go on in the background while cases run.
        Filesystem::Ext4 => Tool {
            program: "mkfs.ext4",
            arguments: &["-q", "-F", "-b", "4096", "-I", "256", "-E", EXT4_EXTENDED],
            package: "e2fsprogs",
        },
        Filesystem::Xfs => Tool { program: "mkfs.xfs", arguments: &["-q", "-f", "-K"], package: "xfsprogs" },
        Filesystem::Btrfs => Tool {
            program: "mkfs.btrfs",
            arguments: &["-q", "-f", "-K", "-m", "single", "-d", "single"],
            package: "btrfs-progs",
        },
    })
}

/// The program that makes a filesystem, and the Debian package that has it.
pub(super) fn tool_of(filesystem: Filesystem) -> Option<(&'static str, &'static str)> {
    tool(filesystem).map(|t| (t.program, t.package))
}

impl Maker {
    /// A maker of `filesystem`; `None` for what needs no disk.
    pub(super) fn new(filesystem: Filesystem, system: OwnedFd) -> Option<Maker> {
        let tool = tool(filesystem)?;
        // The process's id as the rest of the system knows it; it is another in the worker's namespace.
        let owner = std::fs::read_link("/proc/self").unwrap_or_default();
        let disk = format!("ovlcheck-disk-{}", owner.display());
        Some(Maker { filesystem, tool, disk, system: Arc::new(system) })
    }

    /// What it makes.
    pub(super) fn filesystem(&self) -> Filesystem {
        self.filesystem
    }

    /// A new empty filesystem, mounted detached: a descriptor of its root.
    pub(super) fn make(&self) -> Result<OwnedFd, ExecError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).doing("opening the worker's root")?;
        enter_root(self.system.as_fd()).doing("going to the system's root")?;
        let made = self.make_here();
        enter_root(root.as_fd()).doing("going back to the worker's root")?;
        made
    }

    fn make_here(&self) -> Result<OwnedFd, ExecError> {
        let name = self.filesystem.name();
        // Asked first: it loads the module, and says so if there is none.
        let fs = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|e| match e {
            Errno::NODEV => ExecError::unsupported(
                format!("the kernel has no {name}"),
                format!("run 'modprobe {name}', or use a kernel that has it"),
            ),
            e => refused(e, &format!("fsopen({name})")),
        })?;
        let disk = rustix::fs::memfd_create(self.disk.as_str(), MemfdFlags::CLOEXEC).doing("memfd_create")?;
        rustix::fs::ftruncate(&disk, SIZE).doing("sizing the disk in memory")?;
        self.format(&disk)?;
        let (device, path) = attach(&disk)?;
        fsconfig_set_string(&fs, "source", path.as_str()).doing("naming the disk")?;
        fsconfig_create(&fs).map_err(|e| refused(e, &format!("mounting {name} on {path}")))?;
        drop(device);
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME)
            .map_err(|e| refused(e, "fsmount"))
    }

    /// Runs the tool on the disk, which is its standard input.
    fn format(&self, disk: &OwnedFd) -> Result<(), ExecError> {
        let Tool { program, arguments, package } = self.tool;
        let mut said: File =
            rustix::fs::memfd_create("ovlcheck-said", MemfdFlags::CLOEXEC).doing("memfd_create")?.into();
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(":");
        path.push(SBIN);
        let status = Command::new(program)
            .args(arguments)
            .arg("/proc/self/fd/0")
            .env("PATH", path)
            .env_remove(WORKER_VAR)
            .stdin(Stdio::from(disk.try_clone().doing("dup")?))
            .stdout(Stdio::null())
            .stderr(said.try_clone().doing("dup")?)
            .status()
            .map_err(|e| {
                ExecError::unsupported(format!("{program} does not start: {e}"), format!("apt-get install {package}"))
            })?;
        if status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        // What it said only explains.
        if said.rewind().is_ok() {
            drop(said.read_to_end(&mut text));
        }
        Err(ExecError::Setup(format!("{program} ended with {status}: {}", String::from_utf8_lossy(&text).trim())))
    }
}

/// `-E` of mkfs.ext4.
const EXT4_EXTENDED: &str = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";

/// Puts the disk behind a free loop device. The device is free again when its last user is gone.
fn attach(disk: &OwnedFd) -> Result<(OwnedFd, String), ExecError> {
    let open = |path: &str| rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let missing = |path: &str, e: Errno| {
        ExecError::unsupported(
            format!("opening {path} gives {}", errno(e)),
            "run 'modprobe loop'; a container needs the loop devices of its host",
        )
    };
    let control = open(CONTROL).map_err(|e| missing(CONTROL, e))?;
    for _ in 0..ATTEMPTS {
        let number = sys::loop_free(control.as_fd()).doing("asking for a free loop device")?;
        let path = format!("/dev/loop{number}");
        let device = open(&path).map_err(|e| missing(&path, e))?;
        match sys::loop_configure(device.as_fd(), disk.as_fd()) {
            Ok(()) => return Ok((device, path)),
            // Somebody else took it meanwhile.
            Err(crate::errno::Errno(libc::EBUSY)) => {}
            Err(crate::errno::Errno(libc::EINVAL | libc::ENOTTY)) => {
                return Err(ExecError::unsupported(
                    "the kernel cannot set up a loop device in one step (LOOP_CONFIGURE of Linux 5.8)",
                    "use a newer kernel",
                ));
            }
            Err(e) => return Err(e).doing("setting up a loop device"),
        }
    }
    Err(ExecError::Setup(format!("no loop device was free in {ATTEMPTS} attempts")))
}

const CONTROL: &str = "/dev/loop-control";

fn refused(e: Errno, what: &str) -> ExecError {
    match e {
        Errno::PERM | Errno::ACCESS => ExecError::unsupported(
            format!("{what} gives {}", errno(e)),
            "a disk filesystem needs root in the initial user namespace; use --fs tmpfs",
        ),
        e => ExecError::Setup(format!("{what} gives {}", errno(e))),
    }
}
