//! `ovlcheck` answers one question: does this overlay filesystem behave as OverlayFS must?
//!
//! It draws random cases (layers, mount options, steps), runs each on a mounted overlay, and judges
//! the recorded trace with an executable model. When they differ it shrinks the case to the few
//! calls that matter. `ARCHITECTURE.md` at the top of the repository draws the picture; the modules
//! below are its boxes, and each may know only those above it:
//!
//! | module | what it is |
//! |---|---|
//! | [`bytes`], [`errno`] | paths and names as raw bytes; error numbers with their names |
//! | [`acl`] | POSIX access control lists: in xattrs, in cases, what they grant |
//! | `compression` | compressed files, undone by the program of their format |
//! | [`step`], [`case`] | plain data: what is done, and to which layers |
//! | [`trace`] | what was seen |
//! | [`resolve`] | layers as read, merged: what a view of them must show |
//! | [`model`] | the specification: pure, no I/O, no clock, no randomness |
//! | [`check`] | model against trace: agreement or a divergence |
//! | [`expectations`] | what a target is known to do otherwise |
//! | [`exec`] | the worker that mounts, runs and observes; `exec::sys` holds the only `unsafe` |
//! | [`enumerate`] | every sequence of a few steps: states, transitions, cases |
//! | [`container`] | root filesystems from archives and images, layers of images, for the walk-through |
//! | [`generate`], [`shrink`] | cases from a seed; smaller cases with the same divergence |
//! | [`campaign`] | many cases, their statistics, the self-test |
//! | [`story`] | a run as lines of text: by the model, by a trace |
//! | [`script`] | a case as a shell script that needs nothing of this |
//! | [`report`], [`cli`] | what people read and type |
//!
//! # Testing an overlay that is a Rust library
//!
//! A program that mounts is tested from the command line. One that is Rust code registers itself and runs a
//! campaign; findings come with the case, the clauses in play and a report ([`report::finding`]).
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use ovlcheck::campaign::{Settings, run};
//! use ovlcheck::errno::Errno;
//! use ovlcheck::exec::{MountRequest, Mounter, TargetSpec, WorkerConfig, register_target, worker_entry};
//! use ovlcheck::level::Level;
//! use ovlcheck::report;
//! use ovlcheck::trace::Privilege;
//!
//! struct MyOverlay;
//!
//! impl Mounter for MyOverlay {
//!     fn mount(&mut self, request: &MountRequest) -> Result<(), (Errno, String)> {
//!         // my_overlay::mount(&request.lowerdirs, &request.upperdir, &request.workdir, &request.merged)
//!         Err((Errno::EINVAL, format!("{} lower layers are too many for me", request.lowerdirs.len())))
//!     }
//! }
//!
//! fn main() -> Result<(), ovlcheck::exec::ExecError> {
//!     register_target("my-overlay", || Box::new(MyOverlay));
//!     // The worker is this program, started again.
//!     worker_entry();
//!     let target = TargetSpec::Library("my-overlay".to_owned());
//!     let worker = WorkerConfig { level: Level::Contract, ..WorkerConfig::new(Privilege::Rootless, target) };
//!     let summary = run(&Settings::new(worker), &AtomicBool::new(false), |_| {})?;
//!     summary.findings.iter().for_each(|finding| println!("{}", report::finding(finding)));
//!     assert_eq!(summary.stats.diverged, 0, "{}", report::summary(&summary, ""));
//!     Ok(())
//! }
//! ```

pub mod acl;
pub mod bytes;
pub mod campaign;
pub mod case;
pub mod check;
pub mod cli;
mod compression;
pub mod container;
pub mod enumerate;
pub mod errno;
pub mod exec;
pub mod expectations;
pub mod generate;
pub mod level;
pub mod model;
pub mod report;
pub mod resolve;
pub mod script;
pub mod shrink;
pub mod step;
pub mod story;
pub mod trace;
