//! Execution: from a case to its trace. It must not know the model.
//!
//! ```text
//!  Executor (parent) ── cases ──▶ worker: stub ▸ pid 1 of its own namespaces
//!           ◀── traces ──         layers ▸ Target mounts ▸ run steps ▸ observe
//!           ◀── shared page ──    which case, which step, how it ended
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`config`], [`error`] | what a worker is told; why there is no trace |
//! | [`executor`] | the parent's side: one long-lived worker, restarted when it dies or hangs |
//! | `protocol`, `progress` | frames on a socket; the shared page |
//! | `worker`, `watchdog` | the child's side: the loop over cases; the deadline of each step |
//! | `isolation` | namespaces, ids, and the way into and out of a root |
//! | `scratch`, `image`, `layers` | the filesystem that layers lie on; disks in memory; layers made and digested |
//! | `target` | what can be mounted |
//! | `run`, `observe` | the steps; the look at what they left |
//! | [`examine`] | what this machine can do, and what to do about the rest |
//! | `raw` | a directory of this machine, read as a layer |
//! | [`vm`] | workers under another kernel |
//! | `sys` | system calls, and all unsafe code |
//!
//! Nothing is left behind, whoever is killed. Mounts are detached or in a private namespace, and go
//! with the process; the worker's inner process is pid 1 of its namespace, so everything it started
//! goes with it; it goes with the stub, and the stub goes when the parent's end of the socket closes.

pub mod config;
pub mod container;
pub mod error;
pub mod examine;
pub mod executor;
mod image;
mod isolation;
mod layers;
mod observe;
mod progress;
mod protocol;
mod raw;
mod reaper;
mod run;
mod scratch;
mod sys;
mod target;
mod trial;
pub mod vm;
mod watchdog;
mod worker;

pub use config::{ObservePolicy, Place, TargetSpec, WorkerConfig};
pub use error::ExecError;
pub use executor::Executor;
pub use raw::read_tree;
pub use target::{MountRequest, Mounter, register_target};
pub use worker::worker_entry;
