//! Data through descriptors: read and write at positions, seek, sync.

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::{Body, PAGE};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::{Slot, Whence};
use crate::trace::Kind;

/// Largest file (`s_maxbytes` of tmpfs and the VFS).
const MAX_BYTES: i64 = i64::MAX;

impl Model {
    pub(super) fn pread(&mut self, slot: Slot, len: u32, offset: i64) -> Result<Vec<u8>, Errno> {
        // The offset is looked at before the descriptor.
        if offset < 0 {
            return Err(self.refuse(Clause::VfsOffset, Errno::EINVAL));
        }
        let file = self.file(slot)?;
        if self.kind_of(file.dentry) == Some(Kind::Fifo) {
            return Err(self.refuse(Clause::VfsPipeSeek, Errno::ESPIPE));
        }
        self.read_at(slot, len, Some(offset as u64))
    }

    pub(super) fn pwrite(&mut self, slot: Slot, data: &[u8], offset: i64) -> Result<u64, Errno> {
        if offset < 0 {
            return Err(self.refuse(Clause::VfsOffset, Errno::EINVAL));
        }
        let file = self.file(slot)?;
        if self.kind_of(file.dentry) == Some(Kind::Fifo) {
            return Err(self.refuse(Clause::VfsPipeSeek, Errno::ESPIPE));
        }
        self.write_at(slot, data, Some(offset as u64))
    }

    /// Reads into several buffers; into none at all, or empty ones, nothing is read of anything.
    pub(super) fn readv(&mut self, slot: Slot, lens: &[u32]) -> Result<Vec<u8>, Errno> {
        let total = lens.iter().sum::<u32>();
        let len = if self.rules.holds(Clause::VfsVector) { total } else { lens.first().map_or(0, |first| first / 2) };
        if total > 0 {
            return self.read_at(slot, len, None);
        }
        if self.file(slot)?.flags.reads() { Ok(Vec::new()) } else { Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF)) }
    }

    /// Writes several buffers, one after the other.
    pub(super) fn writev(&mut self, slot: Slot, parts: &[Bytes]) -> Result<u64, Errno> {
        let holds = self.rules.holds(Clause::VfsVector);
        let mut parts: Vec<&Bytes> = parts.iter().collect();
        if !holds {
            parts.reverse();
        }
        let data: Vec<u8> = parts.iter().flat_map(|part| part.0.iter().copied()).collect();
        if !data.is_empty() {
            return self.write_at(slot, &data, None);
        }
        if self.file(slot)?.flags.writes() { Ok(0) } else { Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF)) }
    }

    /// The new position; `None` for what no rule says.
    pub(super) fn lseek(&mut self, slot: Slot, offset: i64, whence: Whence) -> Result<Option<u64>, Errno> {
        let file = self.file(slot)?;
        let Some(node) = self.cache.at(file.dentry) else { return Err(Errno::EBADF) };
        let (kind, real) = (node.kind, node.data());
        match kind {
            Kind::Dir => return self.seek_directory(slot, offset, whence),
            Kind::Fifo => return Err(self.refuse(Clause::VfsPipeSeek, Errno::ESPIPE)),
            Kind::File => {}
            // null, zero and full stay where they are.
            _ => return Ok(Some(0)),
        }
        let size = self.disk.data(real).len() as i64;
        let to = match whence {
            Whence::Set => Some(offset),
            Whence::Cur => offset.checked_add(file.position as i64),
            Whence::End => offset.checked_add(size),
            // Whether data was written back decides what a negative offset finds, and nobody knows that.
            Whence::Data if offset < 0 && size > 0 && !self.disk.traits.refuses_negative_seek => {
                self.adrift = true;
                return Ok(None);
            }
            Whence::Data | Whence::Hole if self.disk.finds_by_cache(real) => {
                self.adrift = true;
                return Ok(None);
            }
            Whence::Data | Whence::Hole => {
                let offset = if self.disk.traits.refuses_negative_seek { offset } else { offset.max(0) };
                if offset < 0 || offset >= size {
                    return Err(self.refuse(Clause::FilSeekHole, Errno::ENXIO));
                }
                let found = self.seek_storage(real, offset as usize, whence == Whence::Data);
                match found {
                    Some(at) if self.rules.holds(Clause::FilSeekHole) => Some(at.min(size as usize) as i64),
                    Some(_) => Some(offset),
                    None => return Err(Errno::ENXIO),
                }
            }
        };
        match to {
            Some(to) if (0..=MAX_BYTES).contains(&to) => {
                self.set_position(slot, to as u64);
                Ok(Some(to as u64))
            }
            _ => Err(self.refuse(Clause::VfsSeekRange, Errno::EINVAL)),
        }
    }

    /// The first place from `from` on that has storage, or has none (`mapping_seek_hole_data`).
    fn seek_storage(&self, ino: u32, from: usize, data: bool) -> Option<usize> {
        let pages = &self.disk[ino].pages;
        let size = self.disk.data(ino).len();
        let stored = |page: usize| pages.get(page).copied().unwrap_or(false);
        let found = (from / PAGE..size.div_ceil(PAGE)).find(|&page| stored(page) == data);
        match found {
            Some(page) => Some(from.max(page * PAGE)),
            None if data => None,
            None => Some(size),
        }
    }

    pub(super) fn ftruncate(&mut self, slot: Slot, len: i64) -> Result<(), Errno> {
        let Ok(len) = u64::try_from(len) else { return Err(self.refuse(Clause::VfsTruncateNegative, Errno::EINVAL)) };
        let file = self.file(slot)?;
        if self.kind_of(file.dentry) != Some(Kind::File) || !file.flags.writes() {
            return Err(self.refuse(Clause::VfsFtruncate, Errno::EINVAL));
        }
        self.spare_append_only(file.dentry, Clause::FatTruncate)?;
        let Some(ino) = self.cache.at(file.dentry).and_then(|n| n.upper) else { return Err(Errno::EINVAL) };
        self.drop_suid(file.dentry, true);
        let fill = if self.rules.holds(Clause::VfsTruncateExtends) { 0 } else { b'x' };
        self.disk.resize(ino, len, fill);
        self.disk.date_data(&mut self.rules, ino);
        self.copy_attr(file.dentry);
        Ok(())
    }

    pub(super) fn sync(&mut self, slot: Slot) -> Result<(), Errno> {
        let file = self.file(slot)?;
        match self.kind_of(file.dentry) {
            Some(Kind::File | Kind::Dir) => Ok(()),
            _ => Err(self.refuse(Clause::VfsSyncKind, Errno::EINVAL)),
        }
    }

    /// Whether a slot holds a directory at a position that no rule says anything about, but that a read may
    /// be refused for.
    pub(super) fn is_somewhere(&self, slot: Slot) -> bool {
        matches!(self.slots.get(usize::from(slot)), Some(Some(file)) if file.borrow().at_far_end.is_none())
    }

    /// Whether writing to a fifo dates its inode: through an overlay it does not.
    pub(super) fn dates_fifos(&self) -> bool {
        self.context.view == View::Plain
    }

    /// Whether a special file is a device that reads as NUL bytes.
    pub(super) fn reads_zeros(body: &Body) -> bool {
        matches!(body, Body::Char(1, 5 | 7))
    }
}
