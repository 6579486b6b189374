//! What can be read without trying: modules, tools, devices, security modules.

use std::fs;
use std::path::{Path, PathBuf};

use super::Answer;
use crate::exec::image;
use crate::trace::Filesystem;

/// `uname -r`.
pub(super) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// The overlay filesystem and its parameters.
pub(super) fn overlay() -> Vec<Answer> {
    let mut answers = vec![filesystem("overlay", "overlay")];
    let mut parameters: Vec<Answer> = fs::read_dir("/sys/module/overlay/parameters")
        .map(|entries| {
            let read = |e: fs::DirEntry| {
                let name = e.file_name().into_string().ok()?;
                let value = fs::read_to_string(e.path()).ok()?;
                Some(Answer::fact(format!("overlay.{name}"), name, value.trim()))
            };
            entries.flatten().filter_map(read).collect()
        })
        // Without the module, or without sysfs, there are none to tell.
        .unwrap_or_default();
    parameters.sort_by(|a, b| a.id.cmp(&b.id));
    answers.append(&mut parameters);
    answers
}

/// Whether the kernel has a filesystem: loaded, or as a module that can be.
fn filesystem(id: &str, name: &str) -> Answer {
    let question = format!("{name} in the kernel");
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|l| l.split_whitespace().last() == Some(name)) {
        return Answer::yes(id, question, "in /proc/filesystems");
    }
    let release = kernel();
    let modules = fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
    let module = |l: &str| l.split(':').next().is_some_and(|p| p.contains(&format!("/{name}.ko")));
    if modules.lines().any(module) {
        Answer::no(id, question, "its module is there, but not loaded", format!("modprobe {name}"))
    } else {
        Answer::no(id, question, "neither loaded nor among the modules", format!("use a kernel with {name}"))
    }
}

/// Directories where programs are looked for: `PATH`, and where the administrator's tools lie.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|d| d.join(name)).find(|p| p.is_file())
}

/// Whether a device can be opened to read and write.
fn device(id: &str, question: &str, path: &str, absent: &str) -> Answer {
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Answer::yes(id, question, format!("{path} opens")),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Answer::no(id, question, format!("{path}: permission denied"), "run as root, or change the device's group")
        }
        Err(e) => Answer::no(id, question, format!("{path}: {e}"), absent),
    }
}

/// The filesystems that layers can be put on besides tmpfs.
pub(super) fn disks(root: bool) -> Vec<Answer> {
    let mut answers =
        vec![device("loop", "loop devices", "/dev/loop-control", "modprobe loop; in a container, --privileged")];
    let loops = answers[0].yes == Some(true);
    for kind in Filesystem::ALL {
        let Some((tool, package)) = image::tool_of(kind) else { continue };
        let name = kind.name();
        let question = format!("layers on {name}");
        let in_kernel = filesystem(name, name);
        answers.push(match program(tool) {
            None => {
                Answer::no(name, question, format!("{tool} is not installed"), format!("apt-get install {package}"))
            }
            Some(_) if in_kernel.yes != Some(true) => Answer { question, ..in_kernel },
            Some(_) if !root => Answer::no(name, question, "an ordinary user mounts no disk", "run as root"),
            Some(_) if !loops => Answer::no(name, question, "no loop devices", "see above"),
            Some(path) => Answer::yes(name, question, format!("{} and the kernel's part are here", path.display())),
        });
    }
    answers
}

/// FUSE, and what runs other kernels.
pub(super) fn programs() -> Vec<Answer> {
    let installed = |id: &str, name: &str, package: &str| match program(name) {
        Some(path) => Answer::yes(id, name, path.display().to_string()),
        None => Answer::no(id, name, "not installed", format!("apt-get install {package}")),
    };
    let (suffix, package) = match std::env::consts::ARCH {
        "aarch64" => ("aarch64", "qemu-system-arm"),
        "riscv64" => ("riscv64", "qemu-system-misc"),
        other => (other, "qemu-system-x86"),
    };
    vec![
        device("fuse", "FUSE", "/dev/fuse", "modprobe fuse; in a container, --device /dev/fuse"),
        installed("fuse-overlayfs", "fuse-overlayfs", "fuse-overlayfs"),
        installed("qemu", &format!("qemu-system-{suffix}"), package),
        device(
            "kvm",
            "KVM",
            "/dev/kvm",
            "use a machine that allows (nested) virtualisation; QEMU works without, slowly",
        ),
    ]
}

/// Security modules, and whether one of them writes xattrs on what it sees made.
pub(super) fn security() -> Vec<Answer> {
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let mut active: Vec<&str> = list.trim().split(',').filter(|w| !w.is_empty()).collect();
    if Path::new("/sys/fs/selinux/enforce").exists() && !active.contains(&"selinux") {
        active.push("selinux");
    }
    if Path::new("/sys/fs/smackfs/load2").exists() && !active.contains(&"smack") {
        active.push("smack");
    }
    let shown = if active.is_empty() { "none known (securityfs is not mounted)".to_owned() } else { active.join(" ") };
    let writers: Vec<&str> =
        active.iter().copied().filter(|l| ["selinux", "smack", "evm", "ima"].contains(l)).collect();
    let question = "nothing labels files";
    vec![
        Answer::fact("lsm", "security modules", shown),
        if writers.is_empty() {
            Answer::yes("lsm.xattrs", question, "no active security module writes xattrs")
        } else {
            Answer::no(
                "lsm.xattrs",
                question,
                format!("{} may write security.* xattrs", writers.join(", ")),
                "security.selinux is left out of every comparison; boot without the others",
            )
        },
    ]
}
