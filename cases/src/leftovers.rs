//! Whether a program left something behind: processes, mounts, loop devices, FUSE connections, files.
//!
//! Other programs may be at work on the same machine, so what is found must be ours to count.
//! Processes are known by a token in their environment, which everything they start inherits.
//! A mount namespace goes with its last process, so what can be left of mounts is left in a
//! namespace that was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The variable that marks all processes of one test.
pub const TOKEN_VAR: &str = "OVLCHECK_TEST_TOKEN";

/// How long what was killed may take to be gone.
const DEADLINE: Duration = Duration::from_secs(20);

/// Directories of the system that a worker may cover, privately, to attach layers on.
const PLACES: [&str; 5] = ["/mnt", "/media", "/srv", "/opt", "/home"];

/// A process of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Whether it is a worker: the stub or the process inside.
    pub worker: bool,
}

/// What was there before.
#[derive(Debug)]
pub struct Leftovers {
    token: String,
    /// Directories that must stay empty.
    empty: Vec<PathBuf>,
    shared: Shared,
}

/// What belongs to nobody in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shared {
    /// Mounts by mount namespace.
    mounts: BTreeMap<PathBuf, BTreeSet<String>>,
    fuse: BTreeSet<PathBuf>,
    loops: BTreeSet<PathBuf>,
    places: BTreeSet<PathBuf>,
}

impl Leftovers {
    /// Takes stock before a program with this token runs; it must leave `empty` directories empty.
    pub fn before(token: &str, empty: &[&Path]) -> Leftovers {
        let empty = empty.iter().map(|p| (*p).to_owned()).collect();
        Leftovers { token: token.to_owned(), empty, shared: Shared::now() }
    }

    /// The processes of the test that are alive.
    pub fn processes(&self) -> Vec<Process> {
        let mark = format!("{TOKEN_VAR}={}", self.token);
        process_ids().into_iter().filter_map(|pid| process(pid, &mark)).collect()
    }

    /// Waits until nothing is left.
    ///
    /// # Errors
    /// When something is still left after 20 s: the message lists it.
    pub fn assert_none_since(&self) -> Result<()> {
        let end = Instant::now() + DEADLINE;
        loop {
            let processes = self.processes();
            let left = self.left(&processes);
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "left behind: {}", left.join("; "));
            wait_for_change(&processes)?;
        }
    }

    /// Waits until the processes of the test satisfy `wanted`, and returns what that gave.
    ///
    /// # Errors
    /// When they do not within 20 s.
    pub fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(&[Process]) -> Option<T>) -> Result<T> {
        let end = Instant::now() + DEADLINE;
        loop {
            let processes = self.processes();
            if let Some(found) = wanted(&processes) {
                return Ok(found);
            }
            if Instant::now() >= end {
                bail!("no {what} within {DEADLINE:?}; processes: {processes:?}");
            }
            wait_for_change(&[])?;
        }
    }

    fn left(&self, processes: &[Process]) -> Vec<String> {
        let mut left: Vec<String> = processes.iter().map(|p| format!("{p:?}")).collect();
        let now = Shared::now();
        for (namespace, before) in &self.shared.mounts {
            let Some(mounts) = now.mounts.get(namespace) else { continue };
            left.extend(mounts.difference(before).map(|m| format!("in {}: mount {m}", namespace.display())));
        }
        let pairs = [
            ("FUSE connection", &now.fuse, &self.shared.fuse),
            ("loop device", &now.loops, &self.shared.loops),
            ("file", &now.places, &self.shared.places),
        ];
        for (what, now, before) in pairs {
            left.extend(now.difference(before).map(|p| format!("{what} {}", p.display())));
        }
        for dir in &self.empty {
            left.extend(names(dir).into_iter().map(|p| format!("file {}", p.display())));
        }
        left
    }
}

impl Shared {
    fn now() -> Shared {
        let mut mounts = BTreeMap::new();
        for pid in process_ids() {
            let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
            // Workers of others come and go, and mount in their own namespaces.
            let worker = environment(pid).is_some_and(|vars| vars.iter().any(|v| v.starts_with("OVLCHECK_WORKER=")));
            if worker || mounts.contains_key(&namespace) {
                continue;
            }
            if let Ok(table) = fs::read_to_string(format!("/proc/{pid}/mountinfo")) {
                mounts.insert(namespace, table.lines().filter(|l| may_be_ours(l)).map(str::to_owned).collect());
            }
        }
        let loops = names(Path::new("/sys/block")).into_iter();
        Shared {
            mounts,
            fuse: names(Path::new("/sys/fs/fuse/connections")),
            loops: loops.filter(|p| is_left(p)).collect(),
            places: PLACES.iter().flat_map(|p| names(Path::new(p))).collect(),
        }
    }
}

/// Whether a block device is a loop device in use that no live worker has put its disk behind: the name of
/// the disk says whose it is, and what still runs is reported by itself.
fn is_left(device: &Path) -> bool {
    let Ok(file) = fs::read_to_string(device.join("loop/backing_file")) else { return false };
    let owner = file.split("ovlcheck-disk-").nth(1).and_then(|rest| rest.split(' ').next()?.trim().parse().ok());
    owner.is_none_or(|pid: i32| environment(pid).is_none_or(|vars| vars.is_empty()))
}

/// Whether a line of mountinfo is of a kind that ovlcheck mounts.
fn may_be_ours(line: &str) -> bool {
    let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    kind == "overlay" || kind == "tmpfs" || kind.starts_with("fuse") || line.contains(" /dev/loop")
}

/// What is in a directory; nothing if it cannot be read.
fn names(dir: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.flatten().map(|e| e.path()).collect()).unwrap_or_default()
}

fn process_ids() -> Vec<i32> {
    let entries = names(Path::new("/proc")).into_iter();
    entries.filter_map(|p| p.file_name()?.to_str()?.parse().ok()).collect()
}

/// The environment of a process; `None` if it has ended or is somebody else's.
fn environment(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    Some(bytes.split(|b| *b == 0).map(|v| String::from_utf8_lossy(v).into_owned()).collect())
}

fn process(pid: i32, mark: &str) -> Option<Process> {
    let vars = environment(pid)?;
    if !vars.iter().any(|v| v == mark) {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let parent = field("PPid:")?.parse().ok()?;
    Some(Process { pid, parent, worker: vars.iter().any(|v| v.starts_with("OVLCHECK_WORKER=")) })
}

/// Waits until one of the processes ends, the mount table changes, or a moment has passed: what
/// else may change makes no event.
fn wait_for_change(processes: &[Process]) -> Result<()> {
    const MOMENT: rustix::fs::Timespec = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let table = File::open("/proc/self/mountinfo")?;
    let pids = processes.iter().filter_map(|p| Pid::from_raw(p.pid));
    let ends: Vec<OwnedFd> = pids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
    let mut fds: Vec<PollFd<'_>> = ends.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    fds.push(PollFd::from_borrowed_fd(table.as_fd(), PollFlags::PRI));
    match poll(&mut fds, Some(&MOMENT)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
