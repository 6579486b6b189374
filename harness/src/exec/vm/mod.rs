//! Workers under another kernel: a virtual machine whose only program is this one.
//!
//! ```text
//!  Executor ── frames ──▶ virtio serial port ──▶ pid 1 of the guest: stub ▸ inner process, as anywhere
//!           ◀── page ──── a memory device that host and guest both map
//!           ◀── console ─ what the guest's kernel says
//! ```
//!
//! There is no disk, no distribution and no agent: the initial root filesystem holds this program, the
//! libraries it is linked with, and the modules that an overlay and the port need. Everything the emulator
//! is given is a descriptor of files in memory, so nothing is left when it ends, however it ends.
//!
//! | module | what it is |
//! |---|---|
//! | [`kernel`] | a kernel image and its modules, found in what the user has: files, directories, packages |
//! | [`Cache`] | packages that were unpacked before |
//! | `unpacked` | the kernel inside an image, which starts sooner than the image |
//! | `modules` | which modules are needed, and in which order |
//! | `program` | this program, as files of the guest |
//! | `initramfs` | the archive that the guest's kernel unpacks |
//! | [`machine`] | the emulator's command line; whether the processor can help |
//! | `log` | what of a guest's console tells why it ended |
//! | `init` | the other side: what pid 1 of the guest does before it is a worker |

mod cache;
mod init;
mod initramfs;
pub mod kernel;
pub(super) mod log;
pub mod machine;
mod modules;
mod program;
mod unpacked;

pub use cache::Cache;
pub(super) use init::become_worker;
pub use kernel::Kernel;
pub use machine::{Acceleration, Machine, MachineOptions};
