//! Data of regular files: bytes, pages that have storage, clones.

use std::rc::Rc;

use super::{Body, Disk, Ino, PAGE, Rules};
use crate::model::clause::Clause;

impl Disk {
    /// The data of a regular file.
    pub fn data(&self, ino: Ino) -> Rc<Vec<u8>> {
        match &self[ino].body {
            Body::File(data) => data.clone(),
            _ => Rc::new(Vec::new()),
        }
    }

    /// The size of a regular file.
    pub fn size(&self, ino: Ino) -> u64 {
        match &self[ino].body {
            Body::File(data) => data.len() as u64,
            _ => 0,
        }
    }

    /// Changes the data of a regular file.
    pub fn change_bytes(&mut self, ino: Ino, change: impl FnOnce(&mut Vec<u8>)) {
        let mut data = self.data(ino);
        change(Rc::make_mut(&mut data));
        self.set_data(ino, data);
    }

    fn set_data(&mut self, ino: Ino, data: Rc<Vec<u8>>) {
        self.inodes[ino as usize].body = Body::File(data);
    }

    /// Gives storage to the pages from byte `from` up to byte `to`.
    pub fn store(&mut self, ino: Ino, from: usize, to: usize) {
        let pages = &mut self.inodes[ino as usize].pages;
        let (first, end) = (from / PAGE, to.div_ceil(PAGE));
        if pages.len() < end {
            pages.resize(end, false);
        }
        if first < end {
            pages[first..end].fill(true);
            self.inodes[ino as usize].unwritten.retain(|page| !(first..end).contains(page));
        }
    }

    /// The kernel reads a range for itself, which some filesystems give storage.
    pub fn read_by_kernel(&mut self, ino: Ino, from: usize, to: usize) {
        let to = to.min(self.size(ino) as usize);
        if self.traits.reading_fills_holes && from < to {
            let inode = self.raw(ino);
            let has = |page: &usize| inode.pages.get(*page) == Some(&true) || inode.unwritten.contains(page);
            inode.filled += (from / PAGE..to.div_ceil(PAGE)).filter(|page| !has(page)).count();
            self.store(ino, from, to);
        }
    }

    /// Whether a regular file has any storage.
    pub fn is_stored(&self, ino: Ino) -> bool {
        self[ino].pages.contains(&true) || !self[ino].unwritten.is_empty()
    }

    /// Whether what SEEK_DATA and SEEK_HOLE find in a file depends on what is cached of it.
    pub fn finds_by_cache(&self, ino: Ino) -> bool {
        let inode = &self[ino];
        let stored = inode.pages.iter().filter(|stored| **stored).count();
        let holes = stored < (self.size(ino) as usize).div_ceil(PAGE);
        let reserved = self.traits.reserves_for_clones && inode.cloned && holes;
        self.traits.seeks_by_cache && !inode.unwritten.is_empty() || reserved
    }

    /// Whether a file has anything that SEEK_DATA finds. What was reserved and never written is nothing on tmpfs; elsewhere
    /// it is, once it has been read.
    pub fn has_data(&self, ino: Ino) -> bool {
        if self.traits.seeks_by_cache { self.is_stored(ino) } else { self[ino].pages.contains(&true) }
    }

    /// Dates a change of data or size.
    pub fn date_data(&mut self, rules: &mut Rules, ino: Ino) {
        let now = self.now;
        let dated = rules.holds(Clause::FsWriteTime);
        let inode = self.changed(rules, ino);
        if dated {
            inode.mtime = now;
            inode.ctime = now;
        }
    }

    /// Gives storage to the block in which a file ends, before the file gets longer, where its filesystem
    /// does so.
    pub(in crate::model) fn fill_last_block(&mut self, ino: Ino, size: usize) {
        if self.traits.fills_last_block && !size.is_multiple_of(PAGE) {
            self.store(ino, size - 1, size);
        }
    }

    /// Writes at an offset, filling a gap with NUL bytes.
    pub fn write(&mut self, rules: &mut Rules, ino: Ino, at: u64, bytes: &[u8]) {
        let mut data = self.data(ino);
        let at = at as usize;
        if at / PAGE * PAGE > data.len() {
            self.fill_last_block(ino, data.len());
        }
        let buffer = Rc::make_mut(&mut data);
        if buffer.len() < at + bytes.len() {
            buffer.resize(at + bytes.len(), 0);
        }
        buffer[at..at + bytes.len()].copy_from_slice(bytes);
        self.set_data(ino, data);
        self.store(ino, at, at + bytes.len());
        self.date_data(rules, ino);
    }

    /// Copies a range between two files, or within one where the ranges do not meet; gives how much was copied
    /// (`vfs_copy_file_range`: a clone where the filesystem has it, which takes whole blocks only).
    pub fn copy_range(&mut self, rules: &mut Rules, from: (Ino, u64), to: (Ino, u64), count: u64) -> u64 {
        let ((source, from_at), (target, to_at)) = (from, to);
        let block = PAGE as u64;
        let aligned = |n: u64| n.is_multiple_of(block);
        let mut cloned = 0;
        if self.traits.clones && aligned(from_at) && aligned(to_at) {
            cloned = count;
            let to_end = from_at + count == self.size(source);
            if !aligned(cloned) && (!to_end || to_at + cloned < self.size(target)) {
                cloned -= cloned % block;
            }
            let end = cloned.next_multiple_of(block);
            if source == target && to_at + end > from_at && to_at < from_at + end {
                cloned = 0;
            }
        }
        let taken = if cloned > 0 { cloned } else { count };
        let start = from_at as usize;
        let data = self.data(source)[start..start + taken as usize].to_vec();
        if cloned == 0 {
            self.read_by_kernel(source, start, start + taken as usize);
            self.write(rules, target, to_at, &data);
            return taken;
        }
        let (pages, reserved) = (self[source].pages.clone(), self[source].unwritten.clone());
        self.write(rules, target, to_at, &data);
        for ino in [source, target] {
            self.inodes[ino as usize].cloned = true;
        }
        // Holes are cloned as well.
        for page in 0..cloned.div_ceil(block) {
            let stored = pages.get((from_at / block + page) as usize).copied().unwrap_or(false);
            let place = (to_at / block + page) as usize;
            self.inodes[target as usize].pages[place] = stored;
            if self.traits.clones_reserved && reserved.contains(&((from_at / block + page) as usize)) {
                self.inodes[target as usize].unwritten.insert(place);
            }
        }
        taken
    }

    /// Cuts or extends to `len`; tells whether that changed the size.
    pub fn resize(&mut self, ino: Ino, len: u64, extend_with: u8) -> bool {
        let mut data = self.data(ino);
        if len <= data.len() as u64 {
            // What lies beyond the end is cut off even if the size stays.
            let end = (len as usize).div_ceil(PAGE);
            let inode = &mut self.inodes[ino as usize];
            inode.unwritten.retain(|page| *page < end);
            inode.pages.truncate(end);
        }
        if data.len() as u64 == len {
            return false;
        }
        if len > data.len() as u64 {
            self.fill_last_block(ino, data.len());
        }
        Rc::make_mut(&mut data).resize(len as usize, extend_with);
        self.set_data(ino, data);
        self.inodes[ino as usize].pages.truncate((len as usize).div_ceil(PAGE));
        true
    }
}
