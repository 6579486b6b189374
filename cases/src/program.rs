//! A program as a child process, in private directories and with a token of its own.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tempfile::TempDir;

use crate::leftovers::{Leftovers, TOKEN_VAR};

/// The variable that names another binary than the one built with the tests.
pub const BINARY: &str = "OVLCHECK_BIN";

/// How long a program may take in all, unless somebody is more patient.
const DEADLINE: Duration = Duration::from_secs(120);

/// The `ovlcheck` program: `built`, unless the environment names another.
pub fn binary(built: &str) -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| built.into(), PathBuf::from)
}

/// A program that runs. Dropping it kills it and all it started.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdout: File,
    stderr: File,
    deadline: Duration,
    /// What it must not leave behind.
    pub leftovers: Leftovers,
    _home: TempDir,
}

/// What became of a program.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Program {
    /// Starts a program in an empty current directory, with an empty `TMPDIR` and `HOME`.
    ///
    /// # Errors
    /// When that fails.
    pub fn start(binary: &Path, arguments: &[&str]) -> Result<Program> {
        Program::start_with(binary, arguments, &[])
    }

    /// Starts a program with some more variables.
    ///
    /// # Errors
    /// When that fails.
    pub fn start_with(binary: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Program> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let token = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let home = tempfile::tempdir()?;
        let (cwd, tmp) = (home.path().join("cwd"), home.path().join("tmp"));
        for dir in [&cwd, &tmp] {
            std::fs::create_dir(dir)?;
        }
        // Files, not pipes: a program that is not listened to must not block.
        let output = |name| -> Result<(File, File)> {
            let path = home.path().join(name);
            Ok((File::create(&path)?, File::open(&path)?))
        };
        let ((out, stdout), (err, stderr)) = (output("stdout")?, output("stderr")?);
        let leftovers = Leftovers::before(&token, &[&cwd, &tmp]);
        let child = Command::new(binary)
            .args(arguments)
            // Not one of those in which nothing may be left: a cache is there to stay.
            .env("XDG_CACHE_HOME", home.path().join("cache"))
            .envs(variables.iter().copied())
            .env(TOKEN_VAR, &token)
            .env("TMPDIR", &tmp)
            .env("HOME", &tmp)
            .current_dir(&cwd)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // A group of its own, as a shell gives it: ^C goes to all of the group.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        Ok(Program { child, stdout, stderr, deadline: DEADLINE, leftovers, _home: home })
    }

    /// The same program, which may take so long.
    pub fn within(mut self, deadline: Duration) -> Program {
        self.deadline = deadline;
        self
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends a signal to its process group, as a terminal does.
    ///
    /// # Errors
    /// When there is no such group any more.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.id()).ok_or_else(|| anyhow!("no process"))?;
        kill_process_group(pid, signal).with_context(|| format!("sending {signal:?}"))
    }

    /// Waits until it has ended and makes sure that it left nothing behind.
    ///
    /// # Errors
    /// When it does not end, or something is left.
    pub fn end(mut self) -> Result<Ended> {
        let pid = Pid::from_child(&self.child);
        let end = pidfd_open(pid, PidfdFlags::empty())?;
        let limit = rustix::fs::Timespec { tv_sec: self.deadline.as_secs() as i64, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&limit))?;
        let deadline = self.deadline;
        ensure!(ended == 1, "the program did not end within {deadline:?}; it said: {}", read(&mut self.stderr)?);
        let status = self.child.wait()?;
        let (stdout, stderr) = (read(&mut self.stdout)?, read(&mut self.stderr)?);
        self.leftovers.assert_none_since().with_context(|| format!("after {status}; it said: {stderr}"))?;
        Ok(Ended { status, stdout, stderr })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Usually all of it has ended; if not, a test failed and says why. A process that has ended
        // meanwhile cannot be killed, and need not be.
        drop(self.child.kill());
        drop(self.child.wait());
        for pid in self.leftovers.processes().iter().filter_map(|p| Pid::from_raw(p.pid)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn read(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Ended {
    /// Makes sure of its exit status.
    ///
    /// # Errors
    /// When it is another one: the message has all output.
    pub fn expect(&self, status: i32) -> Result<&Ended> {
        if self.status.code() == Some(status) {
            return Ok(self);
        }
        let how = self.status.signal().map_or(String::new(), |s| format!(" (signal {s})"));
        bail!("expected exit status {status}, got {}{how}\n{}{}", self.status, self.stdout, self.stderr);
    }
}
