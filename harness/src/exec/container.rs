//! Programs in the merged tree of a root filesystem, as a container engine runs them.
//!
//! Everything happens in namespaces of its own, in a process that is pid 1 there: what a program leaves
//! running goes with it, and so do the mounts.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::config::TargetSpec;
use super::error::{Doing, ExecError};
use super::isolation::{enter_root, isolate};
use super::observe::{Detail, Looker};
use super::scratch::{Source, new_dir};
use super::sys::{self, Forked};
use super::target::{self, Layers, MachineOf, MountFailure};
use super::{layers, worker};
use crate::bytes::Bytes;
use crate::case::Layer;
use crate::container::export_layer;
use crate::trace::{Kind, Privilege, Seen, TreeSeen};

/// The name of the root filesystem, which may be several layers, among the layers.
pub const IMAGE: &str = "image";

/// A container: layers, and what runs in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, which is also that of its upper layer.
    pub name: String,
    /// What its lower layers are, top-most first: [`IMAGE`], or an earlier container, whose upper layer was
    /// committed.
    pub on: Vec<String>,
    /// What runs in it.
    pub program: Program,
}

/// What runs in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A program with its arguments, started with the merged tree as root directory.
    Command(Vec<String>),
    /// The tour of the tutorials by ovlcheck itself, where there is no program to run.
    Tour,
}

/// What came of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// How the program ended: its exit status, or 128 and the number of the signal.
    pub status: i32,
    /// The lower layers, top-most first.
    pub lowers: Vec<TreeSeen>,
    /// The upper layer.
    pub upper: TreeSeen,
    /// The merged view.
    pub merged: TreeSeen,
}

/// What the tour does, as the shell would say it.
pub const TOUR: &str = "echo hello > /home/hello.txt; mv /bin/echo /bin/echo.old; rm -r /etc/apk; mkdir /etc/apk; \
                        echo changed >> /etc/motd";

/// Runs these containers one after the other on an image, whose layers are given top-most first. The upper layer
/// of the last is written to `export` as a layer of an OCI image. The process must have a single thread.
///
/// # Errors
/// When the machine cannot do it, a layer cannot be made or mounted, or the upper one cannot be exported.
pub fn run_containers(
    image: &[Layer],
    containers: &[Container],
    privilege: Privilege,
    export: Option<&OwnedFd>,
) -> Result<Vec<Ran>, ExecError> {
    let tasks = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if tasks > 1 {
        return Err(ExecError::Internal("a process with several threads cannot run containers".into()));
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing("making a pipe")?;
    let stage = || -> Result<Vec<Ran>, ExecError> {
        isolate(privilege)?;
        // The change of credentials made the kernel forget it.
        sys::die_with_parent().doing("PR_SET_PDEATHSIG")?;
        in_process(|| {
            sys::die_with_parent().doing("PR_SET_PDEATHSIG")?;
            play(image, containers, privilege, export)
        })
    };
    match sys::fork().doing("forking")? {
        Forked::Child => {
            drop(read);
            let result = sys::die_with_parent().doing("PR_SET_PDEATHSIG").and_then(|()| stage());
            let bytes = serde_json::to_vec(&result).unwrap_or_default();
            sys::exit_now(i32::from(write_all(&write, &bytes).is_err()))
        }
        Forked::Parent(pid) => {
            drop(write);
            collect(read, pid)
        }
    }
}

/// Runs `work` in a child process and takes over what it gives.
fn in_process<T: Serialize + for<'de> Deserialize<'de>>(
    work: impl FnOnce() -> Result<T, ExecError>,
) -> Result<T, ExecError> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing("making a pipe")?;
    match sys::fork().doing("forking")? {
        Forked::Child => {
            drop(read);
            let bytes = serde_json::to_vec(&work()).unwrap_or_default();
            sys::exit_now(i32::from(write_all(&write, &bytes).is_err()))
        }
        Forked::Parent(pid) => {
            drop(write);
            collect(read, pid)
        }
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let n = rustix::io::write(fd, bytes)?;
        bytes = &bytes[n..];
    }
    Ok(())
}

fn collect<T: for<'de> Deserialize<'de>>(read: OwnedFd, pid: i32) -> Result<T, ExecError> {
    let mut bytes = Vec::new();
    std::fs::File::from(read).read_to_end(&mut bytes).doing("reading what a container gave")?;
    sys::wait_child(pid, true).doing("waiting for a container")?;
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Err(ExecError::Setup("the process of the containers died".into())))
}

/// Makes the image and runs the containers. This is pid 1 of its namespace.
fn play(
    image: &[Layer],
    containers: &[Container],
    privilege: Privilege,
    export: Option<&OwnedFd>,
) -> Result<Vec<Ran>, ExecError> {
    let mut provided = target::provide(&TargetSpec::Kernel, privilege, Source::Tmpfs, MachineOf::Somebody)?;
    let base = provided.scratch.case_dir(drop)?;
    let mut looker = Looker::new(privilege);
    let mut known: Vec<(String, OwnedFd)> = Vec::new();
    for (number, layer) in image.iter().enumerate() {
        let name = format!("{IMAGE}.{number}");
        let fd = new_dir(&base.fd, &name)?;
        layers::make(fd.as_fd(), layer, privilege)?;
        known.push((name, fd));
    }
    let of_image: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
    let mut all = Vec::new();
    for container in containers {
        let upper_fd = new_dir(&base.fd, &container.name)?;
        let work = format!("{}.work", container.name);
        new_dir(&base.fd, &work)?;
        let below: Vec<String> = container
            .on
            .iter()
            .flat_map(|name| if name == IMAGE { of_image.clone() } else { vec![name.clone()] })
            .collect();
        sys::fchdir(base.fd.as_fd()).doing("entering the directory of the layers")?;
        let layers = Layers {
            base: base.fd.as_fd(),
            path: base.path.as_ref(),
            lowers: &below,
            lower_fds: &[],
            upper: &container.name,
            work: &work,
            options: &[],
        };
        let mounted = provided.target.mount(&layers).map_err(|e| match e {
            MountFailure::Broken(e) => e,
            MountFailure::Refused(e) => ExecError::Setup(format!("the mount is refused: {} {}", e.errno, e.message)),
        })?;
        let status = run_in(&mounted.root, &container.program)?;
        // What is still running would go on writing.
        sys::kill_all_others()
            .or_else(|e| if e == crate::errno::Errno(libc::ESRCH) { Ok(()) } else { Err(e) })
            .doing("ending what the program left running")?;
        let mut lowers = Vec::new();
        for name in &below {
            let (_, fd) = known
                .iter()
                .find(|(n, _)| n == name)
                .ok_or_else(|| ExecError::Internal(format!("no layer is called {name}")))?;
            lowers.push(looker.tree(fd.as_fd(), Detail::ALL).doing("looking at a lower layer")?);
        }
        // Merged first: looking there can change marks of the upper layer.
        let merged = looker.tree(mounted.root.as_fd(), Detail::ALL).doing("looking at the merged tree")?;
        let upper = looker.tree(upper_fd.as_fd(), Detail::ALL).doing("looking at the upper layer")?;
        sys::fchdir(base.fd.as_fd()).doing("leaving the merged tree")?;
        drop(mounted);
        known.push((container.name.clone(), upper_fd));
        all.push(Ran { status, lowers, upper, merged });
    }
    if let (Some(to), Some(ran), Some((_, upper))) = (export, all.last(), known.last()) {
        let data = |path: &Bytes, seen: &Seen| data_of(upper, path, seen).map_err(|e| format!("reading it: {e}"));
        let archive = export_layer(&ran.upper, data)
            .map_err(|e| ExecError::Setup(format!("the upper layer cannot be told as one of an image: {e}")))?;
        write_all(to, &archive).doing("writing the exported layer")?;
    }
    Ok(all)
}

/// What is in a file of a layer, or where a symlink leads.
fn data_of(layer: &OwnedFd, path: &Bytes, seen: &Seen) -> std::io::Result<Vec<u8>> {
    if seen.stat.kind == Kind::Symlink {
        return Ok(rustix::fs::readlinkat(layer, path.as_slice(), Vec::new())?.into_bytes());
    }
    // Whatever a program left running has ended: the path is as it was walked.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(layer, path.as_slice(), flags, Mode::empty())?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Runs a program with the merged tree as root directory; how it ended.
fn run_in(root: &OwnedFd, program: &Program) -> Result<i32, ExecError> {
    match sys::fork().doing("forking")? {
        Forked::Child => {
            let entered = enter_root(root.as_fd());
            rustix::process::umask(rustix::fs::Mode::from(0o022));
            let status = match (entered, program) {
                (Err(e), _) => {
                    eprintln!("ovlcheck: entering the merged tree: {e}");
                    125
                }
                (Ok(()), Program::Tour) => match tour() {
                    Ok(()) => 0,
                    Err(e) => {
                        eprintln!("ovlcheck: the tour: {e}");
                        1
                    }
                },
                (Ok(()), Program::Command(words)) => start(words),
            };
            sys::exit_now(status)
        }
        Forked::Parent(pid) => {
            let (_, status) = sys::wait_child(pid, true)
                .doing("waiting for the program")?
                .ok_or_else(|| ExecError::Internal("waitpid returned without a child".into()))?;
            Ok(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) })
        }
    }
}

/// Becomes the program; only a failure returns, with the status that shells give it.
fn start(words: &[String]) -> i32 {
    let Some((program, arguments)) = words.split_first() else { return 125 };
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("TERM", std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()))
        .env_remove(worker::WORKER_VAR)
        .exec();
    eprintln!("ovlcheck: {program}: {error}");
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}

/// [`TOUR`], by calls of our own.
fn tour() -> std::io::Result<()> {
    use std::fs;
    use std::io::Write;
    fs::write("/home/hello.txt", "hello\n")?;
    fs::rename("/bin/echo", "/bin/echo.old")?;
    fs::remove_dir_all("/etc/apk")?;
    fs::create_dir("/etc/apk")?;
    fs::OpenOptions::new().append(true).open("/etc/motd")?.write_all(b"changed\n")
}
