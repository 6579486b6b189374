//! What a trial needs of the machine it runs on.
//!
//! A trial whose need is not met is ignored and says why. `OVLCHECK_REQUIRE`, a list like
//! `kernel,root,rootless,fuse,guest,ext4,xfs,btrfs`, names the needs that this machine is supposed to meet: then the same
//! trial fails. So a machine that silently lost its user namespaces cannot pass as a good one.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use libtest_mimic::{Completion, Failed, Trial};
use ovlcheck::case::{Case, Layer};
use ovlcheck::exec::{ExecError, Executor, TargetSpec, WorkerConfig};
use ovlcheck::trace::{Filesystem, Privilege};

/// The variable that lists what this machine must be able to do.
pub const REQUIRE: &str = "OVLCHECK_REQUIRE";

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A worker of root. Not met for ordinary users.
    Root,
    /// A worker in a user namespace.
    Rootless,
    /// The kernel's OverlayFS, mounted with these rights.
    Kernel(Privilege),
    /// fuse-overlayfs, installed and able to mount with these rights.
    Fuse(Privilege),
    /// A kernel to boot, named by `OVLCHECK_KERNEL`, and the emulator that boots it.
    Guest,
    /// This filesystem for the layers: the kernel's part, the tool that makes it, loop devices.
    Layers(Filesystem),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Root => "root",
            Need::Rootless => "rootless",
            Need::Kernel(_) => "kernel",
            Need::Fuse(_) => "fuse",
            Need::Guest => "guest",
            Need::Layers(filesystem) => filesystem.name(),
        })
    }
}

/// The program that stands for all targets that are commands.
pub const FUSE_TEMPLATE: &str =
    "fuse-overlayfs -o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir}{options} {merged}";

impl Need {
    /// What it takes to run cases of this environment.
    pub fn of(privilege: Privilege, target: &TargetSpec) -> Vec<Need> {
        let mut needs = vec![Need::worker(privilege)];
        if *target == TargetSpec::Kernel {
            needs.push(Need::Kernel(privilege));
        }
        needs
    }

    /// What it takes to have the kernel's overlay on layers of this filesystem.
    pub fn layers(filesystem: Filesystem) -> Vec<Need> {
        let mut needs = Need::of(Privilege::Root, &TargetSpec::Kernel);
        needs.push(Need::Layers(filesystem));
        needs
    }

    /// What it takes to have a worker at all.
    pub fn worker(privilege: Privilege) -> Need {
        match privilege {
            Privilege::Root => Need::Root,
            Privilege::Rootless => Need::Rootless,
        }
    }

    /// Whether it is met; `Ok(Some(reason))` when not. Found out once.
    ///
    /// # Errors
    /// When finding out failed in a way that no machine excuses.
    pub fn missing(self) -> Result<Option<String>> {
        static KNOWN: Mutex<Vec<(Need, Option<String>)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reason)) = known.iter().find(|(need, _)| *need == self) {
            return Ok(reason.clone());
        }
        let reason = self.probe()?;
        known.push((self, reason.clone()));
        Ok(reason)
    }

    fn probe(self) -> Result<Option<String>> {
        let (privilege, target) = match self {
            Need::Root => (Privilege::Root, TargetSpec::Plain),
            Need::Rootless => (Privilege::Rootless, TargetSpec::Plain),
            Need::Kernel(privilege) => (privilege, TargetSpec::Kernel),
            Need::Fuse(privilege) => return fuse_missing(privilege),
            Need::Guest => return Ok(guest_missing()),
            Need::Layers(_) => (Privilege::Root, TargetSpec::Plain),
        };
        let filesystem = if let Need::Layers(filesystem) = self { filesystem } else { Filesystem::Tmpfs };
        match Executor::start(WorkerConfig { filesystem, ..WorkerConfig::new(privilege, target) }) {
            Ok(_) => Ok(None),
            Err(ExecError::Unsupported { reason, remedy }) if matches!(self, Need::Layers(_)) => {
                Ok(Some(format!("{reason}; {remedy}")))
            }
            Err(ExecError::Unsupported { reason, .. }) => Ok(Some(reason)),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether this machine is supposed to meet it.
    ///
    /// # Errors
    /// When the list names something unknown: a misspelt requirement must not go unnoticed.
    fn is_required(self) -> Result<bool> {
        let list = std::env::var(REQUIRE).unwrap_or_default();
        let words: Vec<&str> = list.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
        const KNOWN: [&str; 8] = ["kernel", "root", "rootless", "fuse", "guest", "ext4", "xfs", "btrfs"];
        if let Some(unknown) = words.iter().find(|w| !KNOWN.contains(w)) {
            bail!("{REQUIRE} names '{unknown}'; it knows {}", KNOWN.join(", "));
        }
        // That root meets it says nothing of what a worker may that has given root up: whether
        // /dev/fuse opens for everybody is the machine's own decision.
        let own = if rustix::process::geteuid().is_root() { Privilege::Root } else { Privilege::Rootless };
        let applies = !matches!(self, Need::Fuse(privilege) if privilege != own);
        Ok(applies && words.contains(&self.to_string().as_str()))
    }
}

/// The variable that names a kernel for guests, as `--kernel` takes it.
pub const KERNEL: &str = "OVLCHECK_KERNEL";

/// Why no guest can be booted, if so.
fn guest_missing() -> Option<String> {
    if std::env::var_os(KERNEL).is_none() {
        return Some(format!("{KERNEL} names no kernel to boot"));
    }
    let mut version = Command::new("qemu-system-x86_64");
    let found = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    (!found).then(|| "qemu-system-x86_64 is not installed".into())
}

/// Why fuse-overlayfs mounts nothing, if so.
fn fuse_missing(privilege: Privilege) -> Result<Option<String>> {
    let mut version = Command::new("fuse-overlayfs");
    if version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Ok(Some("fuse-overlayfs is not installed".into()));
    }
    let case = Case { lowers: vec![Layer::default()], ..Case::default() };
    let config = WorkerConfig::new(privilege, TargetSpec::Command(FUSE_TEMPLATE.into()));
    match Executor::start(config).and_then(|mut worker| worker.run(&case)) {
        Ok(trace) => Ok(trace.mount_error.map(|e| format!("fuse-overlayfs does not mount: {}", e.message))),
        Err(ExecError::Unsupported { reason, .. }) => Ok(Some(reason)),
        Err(e) => Err(e.into()),
    }
}

/// The two kinds of rights that a worker may have, each with the name that trials use.
pub const PRIVILEGES: [(Privilege, &str); 2] = [(Privilege::Root, "root"), (Privilege::Rootless, "rootless")];

/// The filesystems that take a disk.
pub const DISKS: [Filesystem; 3] = [Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs];

/// The first need that is not met, with its reason.
///
/// # Errors
/// When the machine is required to meet it.
pub fn first_missing(needs: &[Need]) -> Result<Option<String>> {
    for &need in needs {
        let required = need.is_required()?;
        if let Some(reason) = need.missing()? {
            if required {
                bail!("{REQUIRE} names '{need}', but: {reason}");
            }
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

/// A trial that needs something of the machine.
pub fn trial(name: impl Into<String>, needs: Vec<Need>, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    ignorable(name, needs, move || run().map(|()| Completion::Completed))
}

/// A trial that may find out only while it runs that it cannot.
pub fn ignorable(
    name: impl Into<String>,
    needs: Vec<Need>,
    run: impl FnOnce() -> Result<Completion> + Send + 'static,
) -> Trial {
    let judged = move || match first_missing(&needs)? {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => run(),
    };
    Trial::ignorable_test(name, move || judged().map_err(|e| Failed::from(format!("{e:#}"))))
}

/// Who this test runs as.
pub fn own() -> Privilege {
    if rustix::process::geteuid().is_root() { Privilege::Root } else { Privilege::Rootless }
}
