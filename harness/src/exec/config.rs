//! What a worker is told before its first case.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::vm::Machine;
use crate::level::Level;
use crate::trace::{Filesystem, Privilege};

/// How a worker runs its cases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// With which rights.
    pub privilege: Privilege,
    /// What is mounted.
    pub target: TargetSpec,
    /// What the target claims to be.
    pub level: Level,
    /// What the layers lie on.
    pub filesystem: Filesystem,
    /// How long one step, the making of the layers, a mount or a look at the trees may take.
    pub step_deadline: Duration,
    /// How long one case may take before its worker is killed.
    pub case_deadline: Duration,
    /// What is looked at without being asked.
    pub observe: ObservePolicy,
    /// Where the worker runs. This is the executor's to know; the worker is not told.
    #[serde(skip)]
    pub place: Place,
    /// Once this is set, nobody waits for a worker to get ready: a guest may be long in booting.
    #[serde(skip)]
    pub stop: Option<Arc<AtomicBool>>,
}

/// Where workers run.
#[derive(Clone, Debug, Default)]
pub enum Place {
    /// On this machine, in namespaces of their own.
    #[default]
    Here,
    /// As the only program of a virtual machine.
    Guest(Machine),
}

impl WorkerConfig {
    /// Layers on tmpfs, the usual deadlines (5 s, 30 s), and everything observed.
    pub fn new(privilege: Privilege, target: TargetSpec) -> WorkerConfig {
        WorkerConfig {
            privilege,
            target,
            level: Level::default(),
            filesystem: Filesystem::default(),
            step_deadline: Duration::from_secs(5),
            case_deadline: Duration::from_secs(30),
            observe: ObservePolicy::default(),
            place: Place::Here,
            stop: None,
        }
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetSpec {
    /// The kernel's overlay filesystem.
    Kernel,
    /// No overlay: a plain directory holding the top lower layer of the case.
    Plain,
    /// A program that mounts, as a command line: split at blanks, run without a shell, with
    /// `{lowerdir}` (top-most first, joined by `:`), `{upperdir}`, `{workdir}`, `{merged}` and
    /// `{options}` (the options of the case, each with a comma before it) filled in.
    Command(String),
    /// An overlay that is Rust code of the caller's, by the name it is registered under
    /// ([`register_target`](crate::exec::register_target)).
    Library(String),
    /// Two of the others that take turns: what the first has left in the layers the second mounts, and so on, at each
    /// remount and rotation.
    Relay {
        /// What the two are called, for traces.
        name: String,
        /// The two, the one that begins first.
        targets: Box<[TargetSpec; 2]>,
    },
}

impl TargetSpec {
    /// Whether it is given paths, and may go anywhere from there.
    pub(super) fn has_paths(&self) -> bool {
        matches!(self, TargetSpec::Command(_) | TargetSpec::Library(_) | TargetSpec::Relay { .. })
    }

    /// The name that traces carry: `kernel`, `plain`, the program's file name, or the library's.
    pub fn name(&self) -> &str {
        match self {
            TargetSpec::Kernel => "kernel",
            TargetSpec::Plain => "plain",
            TargetSpec::Library(name) | TargetSpec::Relay { name, .. } => name,
            TargetSpec::Command(template) => {
                let program = template.split_whitespace().next().unwrap_or("");
                program.rsplit('/').next().unwrap_or(program)
            }
        }
    }
}

/// What is looked at without a step asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservePolicy {
    /// The footprint of every step.
    pub footprints: bool,
    /// All trees after the last step.
    pub last: bool,
}

impl Default for ObservePolicy {
    fn default() -> Self {
        ObservePolicy { footprints: true, last: true }
    }
}
