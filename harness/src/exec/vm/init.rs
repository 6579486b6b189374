//! Pid 1 of a guest: makes the little that a worker needs of a system, and becomes one.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};

use super::machine::{MODULES, PORT};
use crate::exec::error::{Doing as _, ExecError};
use crate::exec::sys::{self, Shared};

/// How long a device may take to appear once its driver is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// PCI numbers of the device that holds the shared page.
const PAGE_DEVICE: (&str, &str) = ("0x1af4", "0x1110");

/// Settings of a usual system, and those that make the kernel's complaints end the guest.
const SETTINGS: [(&str, &str); 4] = [
    ("/proc/sys/fs/protected_hardlinks", "1"),
    ("/proc/sys/fs/protected_symlinks", "1"),
    ("/proc/sys/kernel/panic_on_warn", "1"),
    ("/proc/sys/kernel/hung_task_panic", "1"),
];

/// Sets the guest up, lets `work` be the worker on the port and the page, and turns the machine off.
pub(in crate::exec) fn become_worker(work: impl FnOnce(File, Shared) -> Result<i32, ExecError>) -> ! {
    let ended = set_up().and_then(|(port, page)| work(port, page));
    if let Err(e) = ended {
        // Standard error of pid 1 is the console.
        eprintln!("ovlcheck: {e}");
    }
    sys::power_off()
}

fn set_up() -> Result<(File, Shared), ExecError> {
    let flags = MountFlags::empty();
    mount("devtmpfs", "/dev", "devtmpfs", flags, None).doing("mounting /dev")?;
    console()?;
    mount("proc", "/proc", "proc", flags, None).doing("mounting /proc")?;
    mount("sysfs", "/sys", "sysfs", flags, None).doing("mounting /sys")?;
    load_modules()?;
    let port = patiently("the port to the host", port)?;
    let page = patiently("the device of the shared page", page)?;
    for (path, value) in SETTINGS {
        // An older kernel may not have one of them.
        if fs::metadata(path).is_ok() {
            fs::write(path, value).map_err(|e| ExecError::Setup(format!("{path}: {e}")))?;
        }
    }
    Ok((port, page))
}

/// Standard descriptors, which a kernel without /dev/console in its archive leaves closed.
fn console() -> Result<(), ExecError> {
    let console = File::options().read(true).write(true).open("/dev/console").doing("opening the console")?;
    for fd in 0..=2 {
        sys::duplicate_to(console.as_fd(), fd).doing("dup2")?;
    }
    Ok(())
}

fn load_modules() -> Result<(), ExecError> {
    let Ok(entries) = fs::read_dir(format!("/{MODULES}")) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let file = File::open(&path).doing("opening a module")?;
        sys::load_module(file.as_fd())
            .map_err(|e| ExecError::Setup(format!("the kernel does not load {}: {e}", path.display())))?;
    }
    Ok(())
}

/// Looks for something until it is there.
fn patiently<T>(what: &str, find: impl Fn() -> Option<T>) -> Result<T, ExecError> {
    let begun = Instant::now();
    loop {
        if let Some(found) = find() {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(ExecError::Setup(format!("{what} does not appear (is its driver built in or packed?)")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn port() -> Option<File> {
    for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim_end() == PORT) {
            let device = PathBuf::from("/dev").join(entry.file_name());
            return File::options().read(true).write(true).open(device).ok();
        }
    }
    None
}

fn page() -> Option<Shared> {
    for entry in fs::read_dir("/sys/bus/pci/devices").ok()?.flatten() {
        let is =
            |name: &str, value| fs::read_to_string(entry.path().join(name)).is_ok_and(|text| text.trim_end() == value);
        if is("vendor", PAGE_DEVICE.0) && is("device", PAGE_DEVICE.1) {
            fs::write(entry.path().join("enable"), "1").ok()?;
            let memory: OwnedFd =
                File::options().read(true).write(true).open(entry.path().join("resource2")).ok()?.into();
            return Shared::map(memory.as_fd()).ok();
        }
    }
    None
}
