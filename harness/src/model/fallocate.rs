//! Storage: fallocate in its modes (`vfs_fallocate`, `ovl_fallocate`, and what the filesystems make of it).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::{Disk, Ino, PAGE};
use super::traits::Fallocate;
use crate::errno::Errno;
use crate::step::{FallocateMode, Slot};
use crate::trace::Kind;

impl Model {
    pub(super) fn fallocate(&mut self, slot: Slot, offset: i64, len: i64, mode: FallocateMode) -> Result<(), Errno> {
        let file = self.file(slot)?;
        if offset < 0 || len <= 0 {
            return Err(self.refuse(Clause::FalRange, Errno::EINVAL));
        }
        let keeps = mode.keeps_size();
        let legal = match mode.operation() {
            0 | libc::FALLOC_FL_ZERO_RANGE => true,
            libc::FALLOC_FL_PUNCH_HOLE => keeps,
            libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE => !keeps,
            _ => false,
        };
        if !legal {
            // Before 6.12 those that shift were refused in their own way.
            let shifts = libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE;
            let punches = libc::FALLOC_FL_PUNCH_HOLE;
            let zeroes = punches | libc::FALLOC_FL_ZERO_RANGE;
            let older = self.context.kernel < (6, 12) && mode.operation() & shifts != 0;
            let first = mode.operation() & zeroes == zeroes || mode.operation() & punches != 0 && !keeps;
            if older && !first {
                return Err(self.refuse(Clause::FalMode, Errno::EINVAL));
            }
            return Err(self.refuse(Clause::FalMode, Errno::EOPNOTSUPP));
        }
        if !file.flags.writes() {
            return Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF));
        }
        if mode.operation() != 0 {
            self.spare_append_only(file.dentry, Clause::FatAllocate)?;
        }
        if self.is_immutable(file.dentry) {
            self.spare(file.dentry, Clause::FatAllocate)?;
        }
        match self.kind_of(file.dentry) {
            Some(Kind::File) => {}
            Some(Kind::Fifo) => return Err(self.refuse(Clause::FalKind, Errno::ESPIPE)),
            _ => return Err(self.refuse(Clause::FalKind, Errno::ENODEV)),
        }
        let Some(ino) = self.cache.at(file.dentry).and_then(|n| n.upper) else { return Err(Errno::EBADF) };
        let supported = self.disk.traits.fallocate.supports(mode.operation());
        let range = (offset as usize, (offset + len) as usize);
        let refusal = self.shift_refusal(ino, range, mode);
        // The overlay takes setuid away before it asks; a filesystem does so once it knows the mode, and dates.
        self.copy_attr(file.dentry);
        let overlay = self.context.view == View::Overlay;
        // Where there is nothing to take away, Btrfs does nothing at all. But it looks only as far as it knows of one
        // hole (`find_first_non_hole`), which beyond a block depends on what is cached.
        let nothing = mode.operation() == libc::FALLOC_FL_PUNCH_HOLE
            && !self.disk.traits.punching_dates_holes
            && !self.disk.has_storage(ino, range);
        self.undecided |= nothing && range.0 / PAGE != range.1.saturating_sub(1) / PAGE;
        let modifies = self.disk.traits.allocating_modifies;
        if supported && (overlay || modifies && !nothing) || overlay && self.rules.holds(Clause::FalRefused) {
            self.remove_privs(file.dentry, supported);
        }
        let done = if nothing {
            Ok(())
        } else if !supported {
            Err(Errno::EOPNOTSUPP)
        } else if let Some(errno) = refusal {
            self.disk.date_data(&mut self.rules, ino);
            Err(errno)
        } else {
            self.change_storage(ino, range, mode);
            if modifies || mode.operation() == libc::FALLOC_FL_PUNCH_HOLE {
                self.disk.date_data(&mut self.rules, ino);
            } else {
                self.disk.date_ctime(&mut self.rules, ino);
            }
            Ok(())
        };
        self.copy_attr(file.dentry);
        done
    }

    /// Why a range cannot be taken out or put in: it must be of whole blocks, inside the file.
    fn shift_refusal(&self, ino: Ino, (start, end): (usize, usize), mode: FallocateMode) -> Option<Errno> {
        let size = self.disk.size(ino) as usize;
        let beyond = match mode.operation() {
            libc::FALLOC_FL_COLLAPSE_RANGE => end >= size,
            libc::FALLOC_FL_INSERT_RANGE => start >= size,
            _ => return None,
        };
        let whole = start.is_multiple_of(PAGE) && end.is_multiple_of(PAGE);
        (beyond || !whole).then_some(Errno::EINVAL)
    }

    fn change_storage(&mut self, ino: Ino, (start, end): (usize, usize), mode: FallocateMode) {
        let size = self.disk.size(ino) as usize;
        match mode.operation() {
            libc::FALLOC_FL_PUNCH_HOLE => {
                if self.rules.holds(Clause::FalPunch) {
                    self.disk.clear_range(ino, start, end.min(size));
                    let rounds = self.disk.traits.punches_last_block && end > size;
                    let end = if rounds { size.next_multiple_of(PAGE) } else { end };
                    self.disk.drop_pages(ino, start.div_ceil(PAGE), end / PAGE);
                }
            }
            libc::FALLOC_FL_COLLAPSE_RANGE => self.disk.take_out(ino, start, end),
            libc::FALLOC_FL_INSERT_RANGE => self.disk.put_in(ino, start, end),
            operation => {
                let grows = !mode.keeps_size() && end > size && self.rules.holds(Clause::FalAllocate);
                if grows {
                    self.disk.fill_last_block(ino, size);
                }
                if operation == libc::FALLOC_FL_ZERO_RANGE {
                    self.disk.clear_range(ino, start, end.min(size));
                    self.disk.drop_pages(ino, start.div_ceil(PAGE), end / PAGE);
                }
                self.disk.reserve(ino, start / PAGE, end.div_ceil(PAGE));
                if grows {
                    self.disk.change_bytes(ino, |data| data.resize(end, 0));
                }
            }
        }
    }
}

impl Fallocate {
    /// Whether the filesystem knows an operation.
    pub fn supports(self, operation: i32) -> bool {
        match operation {
            libc::FALLOC_FL_ZERO_RANGE => self.zeroes,
            libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE => self.shifts,
            _ => true,
        }
    }
}

impl Disk {
    /// Makes NUL bytes of a range inside a file.
    fn clear_range(&mut self, ino: Ino, start: usize, end: usize) {
        if start < end {
            self.change_bytes(ino, |data| data[start..end].fill(0));
        }
    }

    /// Whether any page of a range has storage.
    fn has_storage(&self, ino: Ino, (start, end): (usize, usize)) -> bool {
        let (first, end) = (start / PAGE, end.div_ceil(PAGE));
        let inode = &self[ino];
        inode.pages.iter().take(end).skip(first).any(|stored| *stored)
            || inode.unwritten.range(first..end).next().is_some()
    }

    /// Takes the storage of pages away.
    fn drop_pages(&mut self, ino: Ino, first: usize, end: usize) {
        let inode = self.raw(ino);
        inode.unwritten.retain(|page| !(first..end).contains(page));
        for stored in inode.pages.iter_mut().take(end).skip(first) {
            *stored = false;
        }
    }

    /// Gives storage that is not written to pages that have none. Where that was done before, tmpfs writes NUL
    /// bytes (`shmem_get_folio_gfp`, `SGP_FALLOC`).
    fn reserve(&mut self, ino: Ino, first: usize, end: usize) {
        let writes = !self.traits.seeks_by_cache;
        for page in first..end {
            let inode = self.raw(ino);
            let stored = inode.pages.get(page).copied().unwrap_or(false);
            if !stored && !inode.unwritten.insert(page) && writes {
                self.store(ino, page * PAGE, (page + 1) * PAGE);
            }
        }
    }

    /// Takes a range of whole pages out of a file.
    fn take_out(&mut self, ino: Ino, start: usize, end: usize) {
        self.change_bytes(ino, |data| drop(data.drain(start..end)));
        let (first, count) = (start / PAGE, (end - start) / PAGE);
        let inode = self.raw(ino);
        let last = inode.pages.len();
        inode.pages.drain(first.min(last)..(first + count).min(last));
        let kept = inode.unwritten.iter().filter(|page| !(first..first + count).contains(page));
        inode.unwritten = kept.map(|&page| if page < first { page } else { page - count }).collect();
    }

    /// Puts a hole of whole pages into a file.
    fn put_in(&mut self, ino: Ino, start: usize, end: usize) {
        self.change_bytes(ino, |data| drop(data.splice(start..start, std::iter::repeat_n(0, end - start))));
        let (first, count) = (start / PAGE, (end - start) / PAGE);
        let inode = self.raw(ino);
        if first <= inode.pages.len() {
            inode.pages.splice(first..first, std::iter::repeat_n(false, count));
        }
        inode.unwritten = inode.unwritten.iter().map(|&page| if page < first { page } else { page + count }).collect();
        // The filesystem gives the hole storage first.
        inode.unwritten.extend(first..first + count);
    }
}
