//! What a step names: paths and slots, each stated once for those who read them and those who change them.

use super::{On, Op, Slot};
use crate::bytes::Bytes;

/// The paths that an operation names, in order; `$of_on` takes that of an [`On`].
macro_rules! paths {
    ($op:expr, $of_on:ident) => {
        match $op {
            Op::Open { path, .. }
            | Op::Truncate { path, .. }
            | Op::Mkdir { path, .. }
            | Op::Rmdir { path }
            | Op::Mknod { path, .. }
            | Op::Symlink { path, .. }
            | Op::Readlink { path }
            | Op::Unlink { path }
            | Op::Chmod { path, .. }
            | Op::Stat { path }
            | Op::Lstat { path }
            | Op::List { path }
            | Op::Access { path, .. }
            | Op::Faccessat { path, .. }
            | Op::Fchmodat { path, .. }
            | Op::Flink { new: path, .. }
            | Op::Statfs { path }
            | Op::Chdir { path } => [Some(path), None],
            Op::Chown { on, .. }
            | Op::Utimens { on, .. }
            | Op::SetXattr { on, .. }
            | Op::GetXattr { on, .. }
            | Op::ListXattr { on, .. }
            | Op::RemoveXattr { on, .. } => [on.$of_on(), None],
            Op::Link { old, new } | Op::Rename { old, new, .. } | Op::Linkat { old, new, .. } => [Some(old), Some(new)],
            _ => [None, None],
        }
    };
}

/// The slots that an operation names, in order.
macro_rules! slots {
    ($op:expr) => {
        match $op {
            Op::Dup { slot, to } => [Some(slot), Some(to)],
            Op::CopyFileRange { from, to, .. } | Op::Sendfile { to: from, from: to, .. } => [Some(from), Some(to)],
            Op::Open { slot, .. }
            | Op::Close { slot }
            | Op::Read { slot, .. }
            | Op::Write { slot, .. }
            | Op::Fstat { slot }
            | Op::Pread { slot, .. }
            | Op::Pwrite { slot, .. }
            | Op::Lseek { slot, .. }
            | Op::Ftruncate { slot, .. }
            | Op::Fsync { slot }
            | Op::Fdatasync { slot }
            | Op::Getdents { slot, .. }
            | Op::Getdents64 { slot, .. }
            | Op::Seekdir { slot, .. }
            | Op::Fchmod { slot, .. }
            | Op::Readv { slot, .. }
            | Op::Writev { slot, .. }
            | Op::Flink { slot, .. }
            | Op::Fstatfs { slot }
            | Op::Syncfs { slot }
            | Op::Fchdir { slot }
            | Op::Fallocate { slot, .. }
            | Op::Getflags { slot }
            | Op::Setflags { slot, .. }
            | Op::Setfl { slot, .. } => [Some(slot), None],
            Op::Chown { on: On::Slot(slot), .. }
            | Op::Utimens { on: On::Slot(slot), .. }
            | Op::SetXattr { on: On::Slot(slot), .. }
            | Op::GetXattr { on: On::Slot(slot), .. }
            | Op::ListXattr { on: On::Slot(slot), .. }
            | Op::RemoveXattr { on: On::Slot(slot), .. } => [Some(slot), None],
            _ => [None, None],
        }
    };
}

impl Op {
    /// The paths of the merged tree that the step names, in order.
    pub fn paths(&self) -> [Option<&Bytes>; 2] {
        paths!(self, path)
    }

    /// The paths of the merged tree that the step names, in order, to change them.
    pub fn paths_mut(&mut self) -> [Option<&mut Bytes>; 2] {
        paths!(self, path_mut)
    }

    /// The slots that the step names, in order, to change them.
    pub fn slots_mut(&mut self) -> [Option<&mut Slot>; 2] {
        slots!(self)
    }

    /// The first slot that the step names.
    pub fn slot(&self) -> Option<Slot> {
        let named: [Option<&Slot>; 2] = slots!(self);
        named.into_iter().flatten().next().copied()
    }
}
