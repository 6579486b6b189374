//! Data between descriptors: copy_file_range and sendfile (`vfs_copy_file_range`, `ovl_copyfile`,
//! `do_sendfile`).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::file::OpenFile;
use super::overlay::NodeId;
use crate::errno::Errno;
use crate::step::Slot;
use crate::trace::Kind;

/// One side of a transfer: a slot, and where in its file; `None` at its position, which moves.
pub(super) type Place = (Slot, Option<i64>);

/// A side with its slot looked up.
struct End {
    file: OpenFile,
    node: NodeId,
    kind: Kind,
    at: i64,
}

impl Model {
    fn end(&mut self, (slot, at): Place) -> Result<End, Errno> {
        let file = self.file(slot)?;
        let Some(node) = self.cache.dentry(file.dentry).node else { return Err(Errno::EBADF) };
        Ok(End { kind: self.cache.node(node).kind, at: at.unwrap_or(file.position as i64), file, node })
    }

    /// Moves the positions that were used.
    fn moved(&mut self, ends: [(Place, &End); 2], count: u64) {
        for ((slot, at), end) in ends {
            if at.is_none() {
                self.advance(slot, end.at as u64 + count);
            }
        }
    }

    pub(super) fn copy_file_range(&mut self, from_place: Place, to_place: Place, len: u32) -> Result<u64, Errno> {
        let from = self.end(from_place)?;
        let to = self.end(to_place)?;
        if from.kind == Kind::Dir || to.kind == Kind::Dir {
            return Err(self.refuse(Clause::CfrKind, Errno::EISDIR));
        }
        if from.kind != Kind::File || to.kind != Kind::File {
            return Err(self.refuse(Clause::CfrKind, Errno::EINVAL));
        }
        if !from.file.flags.reads() || !to.file.flags.writes() || to.file.flags.has(libc::O_APPEND) {
            return Err(self.refuse(Clause::CfrAccess, Errno::EBADF));
        }
        if self.is_immutable(to.file.dentry) {
            self.spare(to.file.dentry, Clause::FatCopy)?;
        }
        let wraps = |at: i64| (at as u64).checked_add(len.into()).is_none();
        if wraps(from.at) || wraps(to.at) {
            return Err(self.refuse(Clause::CfrOffset, Errno::EOVERFLOW));
        }
        let at = (from.at, to.at);
        // The VFS goes by the overlay inodes, the upper filesystem by its own, once setuid is gone.
        let count = shortened(from.at, self.size_of(from.node), len.into());
        self.no_overlap(from.node == to.node, at, count)?;
        if from.at < 0 || to.at < 0 {
            return Err(self.refuse(Clause::CfrOffset, Errno::EINVAL));
        }
        if count == 0 {
            return Ok(0);
        }
        let (source, Some(target)) = (self.cache.node(from.node).data(), self.cache.node(to.node).upper) else {
            return Err(Errno::EBADF);
        };
        self.copy_attr(to.file.dentry);
        let apart = self.disk[source].on != self.disk[target].on;
        let count = shortened(from.at, self.disk.size(source), count);
        // What the upper filesystem refuses, or has nothing to do for, does not make it look for setuid.
        let reached = !apart && count > 0 && !(source == target && overlap(at, count));
        self.remove_privs(to.file.dentry, reached);
        if apart && self.rules.holds(Clause::CfrAcross) {
            self.copy_attr(to.file.dentry);
            return Err(Errno::EXDEV);
        }
        self.no_overlap(source == target, at, count)?;
        let copied = if count == 0 {
            0
        } else if self.rules.holds(Clause::CfrCopy) {
            self.disk.copy_range(&mut self.rules, (source, from.at as u64), (target, to.at as u64), count)
        } else {
            count
        };
        self.copy_attr(to.file.dentry);
        self.moved([(from_place, &from), (to_place, &to)], copied);
        Ok(copied)
    }

    /// The size that the VFS sees: of the overlay inode, as it was copied from the real one last.
    fn size_of(&self, node: NodeId) -> u64 {
        let node = self.cache.node(node);
        if self.context.view == View::Plain { self.disk.size(node.real()) } else { node.size }
    }

    /// Refuses to copy a part of a file onto itself.
    fn no_overlap(&mut self, same: bool, at: (i64, i64), count: u64) -> Result<(), Errno> {
        if same && overlap(at, count) {
            return Err(self.refuse(Clause::CfrOverlap, Errno::EINVAL));
        }
        Ok(())
    }

    /// How many bytes were sent; `None` for what no rule says: fifos, devices, and a file into itself.
    pub(super) fn sendfile(&mut self, to_slot: Slot, from_place: Place, len: u32) -> Result<Option<u64>, Errno> {
        let from = self.end(from_place)?;
        if !from.file.flags.reads() {
            return Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF));
        }
        if from_place.1.is_some() && from.kind == Kind::Fifo {
            return Err(self.refuse(Clause::VfsPipeSeek, Errno::ESPIPE));
        }
        let far = from.kind == Kind::Dir && from_place.1.is_none() && from.file.at_far_end != Some(false);
        if from.at < 0 || from.at.checked_add(len.into()).is_none() || far && len > 0 {
            return Err(self.refuse(Clause::SendOffset, Errno::EINVAL));
        }
        let to_place = (to_slot, None);
        let to = self.end(to_place)?;
        if !to.file.flags.writes() {
            return Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF));
        }
        let odd = |kind: Kind| !matches!(kind, Kind::File | Kind::Dir | Kind::Fifo);
        if to.kind != Kind::File || odd(from.kind) {
            self.adrift = true;
            return Ok(None);
        }
        if to.file.flags.has(libc::O_APPEND) {
            return Err(self.refuse(Clause::SendAppend, Errno::EINVAL));
        }
        if from.kind == Kind::Fifo || from.kind == Kind::Dir && len > 0 {
            // A directory is dated for the attempt (`splice_direct_to_actor`).
            if from.kind == Kind::Dir {
                self.accessed(&from.file);
            }
            return Err(self.refuse(Clause::SendSource, Errno::EINVAL));
        }
        let (source, Some(target)) = (self.cache.node(from.node).data(), self.cache.node(to.node).upper) else {
            return Ok(Some(0));
        };
        self.accessed(&from.file);
        let count = shortened(from.at, self.disk.size(source), len.into());
        if count == 0 || from.kind == Kind::Dir {
            return Ok(Some(0));
        }
        if source == target {
            let (a, b, len) = (from.at as u64, to.at as u64, u64::from(len));
            if count < len || b + len > a && b < a + len {
                self.adrift = true;
                return Ok(None);
            }
        }
        self.copy_attr(to.file.dentry);
        self.remove_privs(to.file.dentry, true);
        if self.rules.holds(Clause::SendData) {
            let start = from.at as usize;
            let data = self.disk.data(source)[start..start + count as usize].to_vec();
            self.disk.read_by_kernel(source, start, start + count as usize);
            self.disk.write(&mut self.rules, target, to.at as u64, &data);
        }
        self.copy_attr(to.file.dentry);
        self.moved([(from_place, &from), (to_place, &to)], count);
        Ok(Some(count))
    }
}

/// Whether so many bytes from two places of one file have some in common.
fn overlap((from, to): (i64, i64), count: u64) -> bool {
    let (from, to) = (from as u64, to as u64);
    to.saturating_add(count) > from && to < from.saturating_add(count)
}

/// What is left to transfer from a file of this size.
fn shortened(at: i64, size: u64, asked: u64) -> u64 {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if at >= size { 0 } else { asked.min((size as u64).wrapping_sub(at as u64)) }
}
