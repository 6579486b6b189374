//! The curated cases of ovlcheck, and what its test drivers in `tests/` share.
//!
//! | module | what it is |
//! |---|---|
//! | [`need`] | what a trial needs of the machine; ignored with its reason, or failed, without it |
//! | [`corpus`] | the case files, found at run time |
//! | [`archive`] | archives that no tool would write |
//! | [`program`] | the `ovlcheck` program as a child process in a private directory |
//! | [`leftovers`] | whether a program left a process, a mount, a device or a file behind |

pub mod archive;
pub mod corpus;
pub mod leftovers;
pub mod need;
pub mod program;
