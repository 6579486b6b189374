//! Any program that mounts, given as a command line.
//!
//! It needs paths, so its layers are attached inside the private namespace. Its processes live in
//! the worker's process id namespace and cannot outlive it.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Mode};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Layers, MountFailure, Mounted, TakeDown, Target};
use crate::errno::Errno;
use crate::exec::error::{Doing, ExecError, failure};
use crate::exec::scratch::open_dir;
use crate::exec::worker::WORKER_VAR;
use crate::exec::{observe, sys};
use crate::trace::MountError;

/// How long the program may take to mount, and its processes to end after an unmount.
const PATIENCE: Duration = Duration::from_secs(4);

/// How much of what it said on its standard error is kept.
const SAID_LIMIT: usize = 2000;

/// Name of the mount point in the directory of a case.
const MERGED: &str = "merged";

/// A program that mounts.
#[derive(Debug)]
pub(super) struct Program {
    words: Vec<String>,
}

impl Program {
    /// Takes the template apart.
    pub(super) fn new(template: &str) -> Result<Program, ExecError> {
        let words: Vec<String> = template.split_whitespace().map(str::to_owned).collect();
        for needed in ["{lowerdir}", "{upperdir}", "{merged}"] {
            if !template.contains(needed) {
                return Err(ExecError::unsupported(
                    format!("the command of the target does not mention {needed}"),
                    "write it like 'fuse-overlayfs -o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir} {merged}'",
                ));
            }
        }
        Ok(Program { words })
    }

    fn command_line(&self, layers: &Layers<'_>, base: &str) -> Result<Vec<String>, ExecError> {
        if !layers.options.is_empty() && !self.words.iter().any(|w| w.contains("{options}")) {
            return Err(ExecError::unsupported(
                format!("the command of the target has no place for the options {}", layers.options.join(",")),
                "write {options} after {workdir} in its template",
            ));
        }
        let path = |name: &str| format!("{base}/{name}");
        let lowers: Vec<String> = layers.lowers.iter().map(|l| path(l)).collect();
        let options: String = layers.options.iter().map(|o| format!(",{o}")).collect();
        let fill = |word: &String| {
            word.replace("{lowerdir}", &lowers.join(":"))
                .replace("{upperdir}", &path(layers.upper))
                .replace("{workdir}", &path(layers.work))
                .replace("{merged}", &path(MERGED))
                .replace("{options}", &options)
        };
        Ok(self.words.iter().map(fill).collect())
    }
}

impl Target for Program {
    fn mount(&mut self, layers: &Layers<'_>) -> Result<Mounted, MountFailure> {
        let base = layers
            .path
            .and_then(|p| p.to_str())
            .ok_or_else(|| ExecError::Internal("a program's layers have no path".into()))?;
        let words = self.command_line(layers, base)?;
        match rustix::fs::mkdirat(layers.base, MERGED, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(failure(e, "making the mount point").into()),
        }
        let bare = device_of_merged(layers).doing("looking at the mount point")?;
        // Opened before the program starts, so that no change of the mount table is missed.
        let table = File::open("/proc/self/mountinfo").doing("opening mountinfo")?;
        let mut said = File::from(rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC).doing("memfd_create")?);
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir("/")
            .env_remove(WORKER_VAR)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone().doing("dup")?)
            .spawn()
            .map_err(|e| {
                ExecError::unsupported(
                    format!("the target's program '{}' does not start: {e}", words[0]),
                    "install it, or give its full path",
                )
            })?;
        match wait_for_mount(&mut child, layers, bare, &table) {
            Ok(()) => Ok(Mounted { root: open_dir(layers.base, MERGED)? }),
            Err(why) => {
                end_processes(Duration::ZERO)?;
                let why = why?;
                let message = format!("{why}: {}", last_words(&mut said));
                Err(MountFailure::Refused(MountError { errno: Errno::EIO, message: message.trim_end().to_owned() }))
            }
        }
    }

    fn unmount(&mut self, mounted: Mounted, _how: TakeDown<'_>) -> Result<(), ExecError> {
        // Back to a path: the mount point is where the root descriptor says.
        let path = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&mounted.root)))
            .doing("finding the mount point")?;
        drop(mounted);
        let outcome = unmount(&path, UnmountFlags::NOFOLLOW);
        if outcome.is_err() {
            unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).doing("detaching the target")?;
        }
        end_processes(PATIENCE)?;
        outcome.doing("unmounting the target")
    }
}

fn device_of_merged(layers: &Layers<'_>) -> Result<(u32, u32), Errno> {
    let path = observe::c_path(MERGED.as_bytes())?;
    let dir = std::os::fd::AsRawFd::as_raw_fd(&layers.base);
    sys::statx(dir, &path, libc::AT_SYMLINK_NOFOLLOW).map(|s| s.dev)
}

/// Waits until another filesystem is on the mount point: for a program that stays (or has not left
/// yet) and for one that puts itself into the background alike. The error is why there is none.
fn wait_for_mount(
    child: &mut Child,
    layers: &Layers<'_>,
    bare: (u32, u32),
    table: &File,
) -> Result<(), Result<String, ExecError>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).doing("pidfd_open").map_err(Err)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let ended = child.try_wait().doing("waiting for the target's program").map_err(Err)?;
        let failed = ended.is_some_and(|status: ExitStatus| !status.success());
        // A mount point that cannot be looked at is covered by something, if only by a dead mount.
        let mounted = device_of_merged(layers) != Ok(bare);
        match ended {
            Some(status) if failed => return Err(Ok(format!("the program ended with {status}"))),
            _ if mounted => return Ok(()),
            Some(_) => return Err(Ok("the program ended without mounting anything".into())),
            None => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Ok(format!("nothing was mounted within {} s", PATIENCE.as_secs())));
        }
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::from_borrowed_fd(table.as_fd(), PollFlags::PRI)];
        let left = rustix::fs::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Err(failure(e, "poll"))),
        }
    }
}

/// Waits until every process of the namespace but this one has ended; kills what is left after
/// `patience`.
fn end_processes(patience: Duration) -> Result<(), ExecError> {
    let start = Instant::now();
    let mut killed = false;
    loop {
        match sys::wait_child(-1, false) {
            Err(Errno(libc::ECHILD)) => return Ok(()),
            Err(e) => return Err(e).doing("waiting for the target's processes"),
            Ok(Some(_)) => continue,
            Ok(None) => {}
        }
        let limit = if killed { patience + PATIENCE } else { patience };
        let left = limit.saturating_sub(start.elapsed());
        if !left.is_zero() {
            sys::wait_child_signal(left);
        } else if killed {
            return Err(ExecError::Setup("a process of the target cannot be killed".into()));
        } else {
            sys::kill_all_others().doing("killing the target's processes")?;
            killed = true;
        }
    }
}

fn last_words(said: &mut File) -> String {
    let mut text = Vec::new();
    // What it said only explains; a mount refused in silence is as refused.
    if said.rewind().is_err() || said.read_to_end(&mut text).is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&text[text.len().saturating_sub(SAID_LIMIT)..]).into_owned()
}
