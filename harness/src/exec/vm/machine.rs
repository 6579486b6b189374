//! The emulator: what it is given, and whether the processor can help it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::fs::MemfdFlags;

use super::initramfs::Initramfs;
use super::kernel::Kernel;
use super::program;
use crate::exec::error::{Doing as _, ExecError};
use crate::exec::sys::PAGE_SIZE;
use crate::exec::worker::{GUEST, WORKER_VAR};

/// The emulator's program: the architecture of guests is named here and in [`super::kernel`] alone.
const EMULATOR: &str = "qemu-system-x86_64";

/// The name of the port that frames go through.
pub(super) const PORT: &str = "ovlcheck";

/// Where in a guest its modules are.
pub(super) const MODULES: &str = "modules";

/// No security module but the capabilities: what others refuse or allow is not the overlay's. (Before 6.10 the mere
/// presence of the bpf module let everybody write security.* xattrs: `security_inode_setxattr`.)
const SECURITY: &str = "lsm=capability";

/// What the kernel says goes to the console from this level on: warnings.
const LOG_LEVEL: u32 = 5;

/// Who executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Acceleration {
    /// The processor if it can, else software. Found out by trying.
    #[default]
    Auto,
    /// The processor, through KVM.
    Kvm,
    /// Software.
    Software,
}

/// What a machine is made of, besides its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineOptions {
    /// Who executes its instructions.
    pub acceleration: Acceleration,
    /// Its memory, in MiB.
    pub memory: u32,
    /// How many processors it has.
    pub processors: u32,
    /// Words for the kernel's command line.
    pub command_line: String,
}

impl Default for MachineOptions {
    fn default() -> Self {
        MachineOptions { acceleration: Acceleration::Auto, memory: 1024, processors: 1, command_line: String::new() }
    }
}

/// A machine that can be started any number of times.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    release: String,
    options: MachineOptions,
    image: OwnedFd,
    initramfs: OwnedFd,
}

/// What a guest shares with the executor.
pub(in crate::exec) struct Ends<'a> {
    /// The socket that frames come and go through.
    pub socket: &'a OwnedFd,
    /// The shared page.
    pub page: &'a OwnedFd,
    /// What the guest's kernel and the emulator say.
    pub console: &'a File,
}

impl Machine {
    /// A machine for this kernel.
    ///
    /// # Errors
    /// When this program cannot be read, or memory for the files cannot be had.
    pub fn new(kernel: &Kernel, options: MachineOptions) -> Result<Machine, ExecError> {
        let mut archive = Initramfs::default();
        for dir in ["dev", "proc", "sys", "mnt", "tmp", "etc"] {
            archive.dir(dir);
        }
        for (path, data) in program::files()? {
            archive.file(&path, &data);
        }
        for (n, (name, data)) in kernel.modules.iter().enumerate() {
            archive.file(&format!("{MODULES}/{n:02}-{name}"), data);
        }
        let initramfs = in_memory("ovlcheck-initramfs", &archive.finish())?;
        let image = in_memory("ovlcheck-kernel", &kernel.image)?;
        Ok(Machine(Arc::new(Parts { release: kernel.release().to_owned(), options, image, initramfs })))
    }

    /// The release of its kernel, as `uname -r` would say there.
    pub fn release(&self) -> &str {
        &self.0.release
    }

    /// The same machine with another [`Acceleration`].
    pub fn accelerated(&self, acceleration: Acceleration) -> Result<Machine, ExecError> {
        let copy = |fd: &OwnedFd| fd.try_clone().doing("dup");
        let options = MachineOptions { acceleration, ..self.0.options.clone() };
        let (image, initramfs) = (copy(&self.0.image)?, copy(&self.0.initramfs)?);
        Ok(Machine(Arc::new(Parts { release: self.0.release.clone(), options, image, initramfs })))
    }

    /// The command that boots it, and the descriptors it must inherit.
    pub(in crate::exec) fn command(&self, ends: &Ends<'_>) -> Result<(Command, Vec<RawFd>), ExecError> {
        let parts = &*self.0;
        let (image, initramfs) = (parts.image.as_raw_fd(), parts.initramfs.as_raw_fd());
        let (socket, page) = (ends.socket.as_raw_fd(), ends.page.as_raw_fd());
        let file = |fd: RawFd| format!("/proc/self/fd/{fd}");
        let (accelerator, processor) = match parts.options.acceleration {
            Acceleration::Kvm => ("kvm", "host"),
            Acceleration::Auto | Acceleration::Software => ("tcg", "max"),
        };
        let mut words = format!(
            "console=ttyS0 loglevel={LOG_LEVEL} oops=panic panic=-1 random.trust_cpu=on {SECURITY} {WORKER_VAR}={GUEST}"
        );
        if !parts.options.command_line.is_empty() {
            words = format!("{words} {}", parts.options.command_line);
        }
        let mut command = Command::new(EMULATOR);
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc"])
            .args(["-accel", accelerator, "-cpu", processor])
            .args(["-m", &format!("{}M", parts.options.memory), "-smp", &parts.options.processors.to_string()])
            .args(["-kernel", &file(image), "-initrd", &file(initramfs), "-append", &words])
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
            .args(["-chardev", &format!("socket,id=port,fd={socket}"), "-device", "virtio-serial-pci"])
            .args(["-device", &format!("virtserialport,chardev=port,name={PORT}")])
            .args([
                "-object",
                &format!("memory-backend-file,id=page,size={PAGE_SIZE},share=on,mem-path={}", file(page)),
            ])
            .args(["-device", "ivshmem-plain,memdev=page"])
            .stdin(Stdio::null())
            .stdout(ends.console.try_clone().doing("dup")?)
            .stderr(ends.console.try_clone().doing("dup")?);
        Ok((command, vec![socket, page, image, initramfs]))
    }
}

/// A file in memory with this content, read from the start by whoever opens it anew.
fn in_memory(name: &str, content: &[u8]) -> Result<OwnedFd, ExecError> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).doing("memfd_create")?;
    let mut file = File::from(fd);
    file.write_all(content).doing("writing to a file in memory")?;
    Ok(file.into())
}

/// The program that is missing, in words for the user.
pub(in crate::exec) fn cannot_start(e: &std::io::Error) -> ExecError {
    if e.kind() == std::io::ErrorKind::NotFound {
        return ExecError::unsupported(
            format!("{EMULATOR} is not installed"),
            "install QEMU (Debian: apt-get install qemu-system-x86)",
        );
    }
    ExecError::Setup(format!("starting {EMULATOR}: {e}"))
}

/// Whether /dev/kvm is there and may be opened. It may still not work: only a guest that answers shows that.
pub fn kvm_may_work() -> bool {
    File::options().read(true).write(true).open("/dev/kvm").is_ok()
}
