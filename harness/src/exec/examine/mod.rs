//! Examining the machine: what can be tested here, and what stands in the way.
//!
//! Facts are read from `/proc` and `/sys`; everything that can be tried is tried, in a child process
//! with namespaces of its own and a deadline. Outside the private namespaces only one place is
//! written to, and only when the user names it: a fresh directory there, removed afterwards.

mod child;
mod feature;
mod host;
mod userns;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::{TargetSpec, WorkerConfig};
use super::error::ExecError;
use super::executor::Executor;
use crate::trace::Privilege;

/// Version of the JSON form of an [`Examination`].
pub const EXAMINATION_VERSION: u32 = 1;

/// Everything that was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Version of this form: [`EXAMINATION_VERSION`].
    pub version: u32,
    /// `uname -r`.
    pub kernel: String,
    /// The machine's architecture.
    pub machine: String,
    /// Whether a campaign without options runs here.
    pub can_run: bool,
    /// The answers, by subject.
    pub sections: Vec<Section>,
}

/// Answers about one subject.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// The subject.
    pub title: String,
    /// What was found out.
    pub answers: Vec<Answer>,
}

/// One thing that was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// A name for programs, which stays the same: `userns`, `tmpfs.tmpfile`.
    pub id: String,
    /// What was asked.
    pub question: String,
    /// The answer; `None` where it is neither yes nor no.
    pub yes: Option<bool>,
    /// How it is known, or what was found; may be empty.
    pub detail: String,
    /// What to do about a no; empty for a yes.
    pub remedy: String,
}

impl Answer {
    /// Yes, and what was found.
    pub(super) fn yes(id: impl Into<String>, question: impl Into<String>, detail: impl Into<String>) -> Answer {
        Answer {
            id: id.into(),
            question: question.into(),
            yes: Some(true),
            detail: detail.into(),
            remedy: String::new(),
        }
    }

    /// No, why, and what to do about it.
    pub(super) fn no(
        id: impl Into<String>,
        question: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Answer {
        Answer {
            id: id.into(),
            question: question.into(),
            yes: Some(false),
            detail: detail.into(),
            remedy: remedy.into(),
        }
    }

    /// Neither: a fact.
    pub(super) fn fact(id: impl Into<String>, question: impl Into<String>, detail: impl Into<String>) -> Answer {
        Answer { id: id.into(), question: question.into(), yes: None, detail: detail.into(), remedy: String::new() }
    }
}

/// Examines the machine, and the filesystem at `dir` if one is given. The process must have a single
/// thread, and its `main` must begin with [`super::worker_entry`].
///
/// # Errors
/// [`ExecError::Unsupported`] when `dir` cannot be written to; [`ExecError::Internal`] when the
/// process has several threads.
pub fn examine(dir: Option<&Path>) -> Result<Examination, ExecError> {
    let tasks = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if tasks > 1 {
        return Err(ExecError::Internal("a process with several threads cannot examine the machine".into()));
    }
    let root = rustix::process::geteuid().is_root();
    let privilege = if root { Privilege::Root } else { Privilege::Rootless };
    // What forks comes before what starts workers.
    let userns = userns::answers();
    let api = feature::mount_api(privilege);
    let mut features = vec![Section {
        title: format!("layers on tmpfs, {}", if root { "as root" } else { "in a user namespace" }),
        answers: feature::on_tmpfs(privilege),
    }];
    if let Some(dir) = dir {
        features.push(Section {
            title: format!("layers in {}", dir.display()),
            answers: feature::in_directory(dir, privilege)?,
        });
    }
    let (can_run, runs) = runs(root);
    let mut sections = vec![
        Section { title: "what can be tested".into(), answers: runs },
        Section { title: "rights".into(), answers: userns },
        Section { title: "the overlay module".into(), answers: host::overlay() },
        Section { title: "the mount API".into(), answers: api },
    ];
    sections.append(&mut features);
    sections.push(Section { title: "disks for layers (--fs)".into(), answers: host::disks(root) });
    sections.push(Section { title: "other targets and kernels".into(), answers: host::programs() });
    sections.push(Section { title: "what else writes xattrs".into(), answers: host::security() });
    Ok(Examination {
        version: EXAMINATION_VERSION,
        kernel: host::kernel(),
        machine: std::env::consts::ARCH.into(),
        can_run,
        sections,
    })
}

/// Whether workers come up, which is the only answer that counts.
fn runs(root: bool) -> (bool, Vec<Answer>) {
    let start =
        |id: &str, question: &str, privilege| match Executor::start(WorkerConfig::new(privilege, TargetSpec::Kernel)) {
            Ok(_) => Answer::yes(id, question, "a worker mounted one"),
            Err(ExecError::Unsupported { reason, remedy }) => Answer::no(id, question, reason, remedy),
            Err(e) => Answer::no(id, question, e.to_string(), "this should work here: report it"),
        };
    let as_root = if root {
        start("run.root", "the kernel's OverlayFS as root", Privilege::Root)
    } else {
        Answer::no("run.root", "the kernel's OverlayFS as root", "this is an ordinary user", "run as root, in a VM")
    };
    let rootless = start("run.rootless", "the kernel's OverlayFS rootless", Privilege::Rootless);
    let can_run = if root { &as_root } else { &rootless }.yes == Some(true);
    (can_run, vec![as_root, rootless])
}
