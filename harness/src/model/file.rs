//! Open files: open, close, read, write, and what a descriptor refers to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Model;
use super::clause::Clause;
use super::copy_up::Copy;
use super::disk::{Body, Ino};
use super::overlay::{DentryId, Node, Snapshot};
use super::permission::{EXEC, READ, WRITE};
use super::walk::{Last, Walk};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::{OpenFlags, SLOTS, Slot, StatusFlags};
use crate::trace::Kind;

/// An open file.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    pub(super) dentry: DentryId,
    pub(super) flags: OpenFlags,
    pub(super) position: u64,
    /// Whether it was opened with O_APPEND.
    pub(super) appended: bool,
    /// Opened while there was no upper.
    pub(super) was_lower: bool,
    /// A directory: listed to its end.
    pub(super) listed: bool,
    /// A directory: its position is one that no rule says anything about.
    pub(super) lost: bool,
    /// A directory: whether its position is the largest there is; `None` where no rule says.
    pub(super) at_far_end: Option<bool>,
    /// A directory: how many names had come anywhere when it was opened or positioned last.
    pub(super) arrivals: u64,
    /// A directory: the one on disk whose entries pass through; `None` where listings merge.
    pub(super) real: Option<Ino>,
    /// A directory whose entries pass through: it is not at its start.
    pub(super) started: bool,
    /// And what it gave since its start, each with the count of arrivals then.
    pub(super) given: BTreeMap<Bytes, u64>,
    /// And how many names had come anywhere when it was at its start.
    pub(super) began: u64,
    /// And what came after its position when that was given, each with the count of arrivals that it came with.
    pub(super) rest: BTreeMap<Bytes, u64>,
    /// A directory: read in part, or positioned, since it was opened or rewound.
    pub(super) parted: bool,
    /// A directory: the merged listing that it holds (`od->cache`).
    pub(super) snapshot: Option<Rc<RefCell<Snapshot>>>,
}

/// Most bytes a fifo holds.
const PIPE_SIZE: usize = 65536;

impl Model {
    pub(super) fn open(&mut self, slot: Slot, path: &[u8], flags: OpenFlags, mode: u32) -> Result<(), Errno> {
        self.close_slot(slot);
        let file = self.open_path(path, flags, mode)?;
        self.hold(&file);
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = Some(Rc::new(RefCell::new(file)));
        }
        Ok(())
    }

    /// What an open file holds: its dentry, and its end of a fifo.
    fn hold(&mut self, file: &OpenFile) {
        self.cache.pin(file.dentry);
        if let Some(node) = self.cache.dentry(file.dentry).node {
            let pipe = &mut self.cache.node_mut(node).pipe;
            pipe.readers += u32::from(file.flags.reads());
            pipe.writers += u32::from(file.flags.writes());
        }
    }

    /// Another descriptor of the same open file.
    pub(super) fn dup(&mut self, slot: Slot, to: Slot) -> Result<(), Errno> {
        let file = self.place(slot)?;
        let Some(Some(open)) = self.slots.get(usize::from(slot)) else { return Err(Errno::EBADF) };
        let mut shared = open.clone();
        if !self.rules.holds(Clause::FilDup) {
            self.hold(&file);
            shared = Rc::new(RefCell::new(file));
        }
        self.close_slot(to);
        if let Some(place) = self.slots.get_mut(usize::from(to)) {
            *place = Some(shared);
        }
        Ok(())
    }

    /// `do_filp_open`.
    fn open_path(&mut self, path: &[u8], flags: OpenFlags, mode: u32) -> Result<OpenFile, Errno> {
        let place = flags.has(libc::O_PATH) && self.rules.holds(Clause::VfsOpenPath);
        // What else is asked for does not count with O_PATH.
        let kept = if place { libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW } else { !libc::O_PATH };
        let flags = OpenFlags(flags.0 & kept);
        let create = flags.has(libc::O_CREAT);
        let exclusive = create && flags.has(libc::O_EXCL);
        // Before 6.1 a regular file was made, and then was no directory.
        let known = self.context.kernel >= (6, 1) || flags.has(libc::O_TMPFILE);
        if create && flags.has(libc::O_DIRECTORY) && known && self.rules.holds(Clause::VfsOpenCreateDirectory) {
            return Err(Errno::EINVAL);
        }
        if flags.has(libc::O_TMPFILE) {
            return self.open_tmpfile(path, flags, mode);
        }
        let mut walk = Walk::default();
        let (mut dir, mut last) = self.walk_parent(&mut walk, path)?;
        let mut need_dir = flags.has(libc::O_DIRECTORY);
        let mut follow = !flags.has(libc::O_NOFOLLOW) && !exclusive;
        let mut created = false;
        let id = loop {
            let Last::Name { name, slash } = &last else { break self.walk_dots(dir, &last) };
            let (name, slash) = (name.clone(), *slash);
            if slash {
                if create && self.rules.holds(Clause::VfsOpenCreateSlash) {
                    return Err(Errno::EISDIR);
                }
                follow |= self.rules.holds(Clause::VfsSlashFollow);
                need_dir |= self.rules.holds(Clause::VfsSlashDir);
            }
            let id = self.lookup(dir, &name)?;
            if self.is_negative(id) {
                if !create {
                    return Err(self.refuse(Clause::VfsMissing, Errno::ENOENT));
                }
                self.may_create(id)?;
                self.create_object(id, Body::File(Default::default()), mode)?;
                created = true;
                break id;
            }
            match self.symlink_target(id) {
                Some(target) if follow && self.rules.holds(Clause::VfsFollowLast) => {
                    (dir, last) = self.walk_link(&mut walk, dir, id, &target)?;
                }
                _ => break id,
            }
        };
        // do_open
        if create {
            if exclusive && !created && self.rules.holds(Clause::VfsOpenExclusive) {
                return Err(Errno::EEXIST);
            }
            if self.is_dir(id) {
                return Err(self.refuse(Clause::VfsOpenCreateIsDir, Errno::EISDIR));
            }
            if !created {
                self.may_open_in_sticky(dir, id)?;
            }
        }
        if need_dir && !self.is_dir(id) && self.rules.holds(Clause::VfsOpenNotDir) {
            return Err(Errno::ENOTDIR);
        }
        if place {
            return Ok(self.opened(id, flags));
        }
        let truncates = flags.has(libc::O_TRUNC) && !created;
        match self.kind_of(id) {
            Some(Kind::Symlink) => return Err(self.refuse(Clause::VfsOpenNoFollow, Errno::ELOOP)),
            Some(Kind::Dir) if flags.writes() || flags.has(libc::O_TRUNC) => {
                return Err(self.refuse(Clause::VfsOpenDirWrite, Errno::EISDIR));
            }
            // No device can come into a layer there, so this shows on a plain directory alone.
            Some(Kind::Char | Kind::Block) if !self.context.initial_capabilities() => return Err(Errno::EACCES),
            _ => {}
        }
        if !created {
            let read = if flags.reads() || flags.0 & libc::O_ACCMODE == libc::O_ACCMODE { READ } else { 0 };
            let writes = flags.writes() || flags.has(libc::O_TRUNC) || flags.0 & libc::O_ACCMODE == libc::O_ACCMODE;
            self.may(id, read | if writes { WRITE } else { 0 })?;
            let appends = flags.0 & libc::O_ACCMODE == libc::O_RDONLY || flags.has(libc::O_APPEND);
            if !appends || flags.has(libc::O_TRUNC) {
                self.spare_append_only(id, Clause::FatAppend)?;
            }
        }
        self.open_dentry(id, flags)?;
        if truncates && self.kind_of(id) == Some(Kind::File) && self.rules.holds(Clause::VfsOpenTruncates) {
            self.truncate_open(id);
        }
        Ok(self.opened(id, flags))
    }

    /// `do_tmpfile`: neither O_TRUNC nor the access mode matter any more, since the file is new.
    fn open_tmpfile(&mut self, path: &[u8], flags: OpenFlags, mode: u32) -> Result<OpenFile, Errno> {
        // The fourth access mode counts as writing here (`ACC_MODE`).
        if flags.0 & libc::O_ACCMODE == libc::O_RDONLY && self.rules.holds(Clause::VfsTmpfileAccess) {
            return Err(Errno::EINVAL);
        }
        let dir = self.walk(path, !flags.has(libc::O_NOFOLLOW))?;
        if !self.is_dir(dir) {
            return Err(self.refuse(Clause::VfsOpenNotDir, Errno::ENOTDIR));
        }
        self.may(dir, WRITE | EXEC)?;
        let id = self.make_nameless(dir, mode, !flags.has(libc::O_EXCL))?;
        Ok(self.opened(id, flags))
    }

    /// An open file as it is at first.
    fn opened(&self, id: DentryId, flags: OpenFlags) -> OpenFile {
        OpenFile {
            dentry: id,
            flags,
            position: 0,
            appended: flags.has(libc::O_APPEND),
            was_lower: self.cache.at(id).is_some_and(|n| n.upper.is_none()),
            listed: false,
            lost: false,
            at_far_end: Some(false),
            arrivals: self.disk.arrivals,
            real: self.cache.at(id).filter(|n| n.kind == Kind::Dir && n.lists_real()).map(Node::real),
            started: false,
            given: BTreeMap::new(),
            began: self.disk.arrivals,
            rest: BTreeMap::new(),
            parted: false,
            snapshot: None,
        }
    }

    /// `vfs_open`: copy-up for regular files, the driver's say for the rest.
    fn open_dentry(&mut self, id: DentryId, flags: OpenFlags) -> Result<(), Errno> {
        let Some(node) = self.cache.dentry(id).node else { return Err(Errno::ENOENT) };
        let is_lower = self.cache.node(node).upper.is_none();
        match self.kind_of(id) {
            Some(Kind::File) => {
                let truncates = flags.has(libc::O_TRUNC);
                if self.is_copied_up(id, Copy::Data) {
                    return Ok(());
                }
                if flags.writes() || truncates {
                    let clause = if truncates && !flags.writes() { Clause::CupOpenTrunc } else { Clause::CupOpenWrite };
                    self.must_copy_up(id, clause)?;
                    return self.copy_up(id, if truncates { Copy::Truncated } else { Copy::Data });
                }
                if !self.rules.holds(Clause::CupRead) {
                    self.copy_up(id, Copy::Data)?;
                }
                Ok(())
            }
            Some(Kind::Fifo) => {
                self.special_stays(id, is_lower && flags.writes())?;
                let readers = self.cache.node(node).pipe.readers;
                let write_only = flags.writes() && !flags.reads();
                if write_only && readers == 0 {
                    return Err(self.refuse(Clause::VfsFifoNoReader, Errno::ENXIO));
                }
                Ok(())
            }
            Some(Kind::Char) => {
                self.special_stays(id, is_lower && flags.writes())?;
                match self.disk[self.cache.node(node).real()].body {
                    Body::Char(1, _) => Ok(()),
                    _ => Err(self.refuse(Clause::VfsOpenNoDevice, Errno::ENXIO)),
                }
            }
            Some(Kind::Socket | Kind::Block) => {
                self.special_stays(id, is_lower && flags.writes())?;
                Err(self.refuse(Clause::VfsOpenNoDevice, Errno::ENXIO))
            }
            _ => Ok(()),
        }
    }

    fn special_stays(&mut self, id: DentryId, tempted: bool) -> Result<(), Errno> {
        if tempted && !self.rules.holds(Clause::CupSpecial) {
            self.copy_up(id, Copy::Data)?;
        }
        Ok(())
    }

    /// `handle_truncate`: size 0, and dated now even if it was 0 before.
    fn truncate_open(&mut self, id: DentryId) {
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return };
        self.drop_suid(id, true);
        self.disk.resize(ino, 0, 0);
        self.disk.date_data(&mut self.rules, ino);
        self.copy_attr(id);
    }

    /// Inodes of the disk that open descriptors keep in being, named or not.
    pub(crate) fn held_inodes(&self) -> Vec<Ino> {
        let nodes = self.slots.iter().flatten().filter_map(|file| self.cache.at(file.borrow().dentry));
        nodes.flat_map(|n| n.upper.into_iter().chain(n.lowers.iter().map(|l| l.1))).collect()
    }

    /// Closes what is in a slot, if anything.
    pub(super) fn close_slot(&mut self, slot: Slot) {
        let Some(file) = self.slots.get_mut(usize::from(slot)).and_then(Option::take) else { return };
        self.marks[usize::from(slot)].clear();
        // Another descriptor may still be open on it.
        let Ok(file) = Rc::try_unwrap(file).map(RefCell::into_inner) else { return };
        if let Some(node) = self.cache.dentry(file.dentry).node {
            let pipe = &mut self.cache.node_mut(node).pipe;
            pipe.readers -= u32::from(file.flags.reads());
            pipe.writers -= u32::from(file.flags.writes());
            if pipe.readers + pipe.writers == 0 {
                pipe.data.clear();
            }
        }
        self.cache.unpin(file.dentry);
    }

    /// Closes every slot.
    pub(super) fn close_all(&mut self) {
        for slot in 0..SLOTS as Slot {
            self.close_slot(slot);
        }
    }

    pub(super) fn close(&mut self, slot: Slot) -> Result<(), Errno> {
        self.place(slot)?;
        self.close_slot(slot);
        Ok(())
    }

    /// The open file in a slot, for what a place opened with O_PATH is not enough for.
    pub(super) fn file(&mut self, slot: Slot) -> Result<OpenFile, Errno> {
        let file = self.place(slot)?;
        if file.flags.has(libc::O_PATH) && self.rules.holds(Clause::VfsPathOnly) {
            return Err(Errno::EBADF);
        }
        Ok(file)
    }

    /// The open file in a slot, or the place if it was opened with O_PATH.
    pub(super) fn place(&mut self, slot: Slot) -> Result<OpenFile, Errno> {
        match self.slots.get(usize::from(slot)) {
            Some(Some(file)) => {
                let file = file.borrow().clone();
                if !self.cache.dentry(file.dentry).hashed && !self.rules.holds(Clause::FilOrphan) {
                    return Err(Errno::ESTALE);
                }
                Ok(file)
            }
            _ => Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF)),
        }
    }

    /// `setfl`: what is not named is cleared.
    pub(super) fn setfl(&mut self, slot: Slot, to: StatusFlags) -> Result<(), Errno> {
        let file = self.file(slot)?;
        if to.has(libc::O_APPEND) != file.flags.has(libc::O_APPEND) {
            self.spare_append_only(file.dentry, Clause::FatSetfl)?;
        }
        let asks = to.has(libc::O_NOATIME) && !file.flags.has(libc::O_NOATIME);
        if asks && !self.owns(file.dentry) && self.rules.holds(Clause::VfsSetflNoatime) {
            return Err(Errno::EPERM);
        }
        if self.rules.holds(Clause::VfsSetfl) {
            self.change_file(slot, |file| file.flags.0 = file.flags.0 & !StatusFlags::ALL | to.0);
        }
        Ok(())
    }

    /// Changes the state of the open file in a slot.
    pub(super) fn change_file(&mut self, slot: Slot, change: impl FnOnce(&mut OpenFile)) {
        if let Some(Some(file)) = self.slots.get_mut(usize::from(slot)) {
            change(&mut file.borrow_mut());
        }
    }

    pub(super) fn advance(&mut self, slot: Slot, to: u64) {
        if self.rules.holds(Clause::VfsReadPosition) {
            self.set_position(slot, to);
        }
    }

    pub(super) fn set_position(&mut self, slot: Slot, to: u64) {
        self.change_file(slot, |file| file.position = to);
    }

    /// Reads at `at`, or at the position and moves it.
    pub(super) fn read_at(&mut self, slot: Slot, len: u32, at: Option<u64>) -> Result<Vec<u8>, Errno> {
        let file = self.file(slot)?;
        if !file.flags.reads() {
            return Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF));
        }
        let Some(node) = self.cache.dentry(file.dentry).node else { return Err(Errno::EBADF) };
        match self.cache.node(node).kind {
            // `rw_verify_area`: the end of what is asked for lies beyond the largest position.
            Kind::Dir if len > 0 && at.is_none() && file.at_far_end == Some(true) => Err(Errno::EINVAL),
            Kind::Dir => Err(self.refuse(Clause::VfsReadDir, Errno::EISDIR)),
            Kind::File => {
                let mut ino = self.cache.node(node).data();
                if file.was_lower && self.cache.node(node).upper.is_some() && !self.rules.holds(Clause::FilReroute) {
                    ino = self.cache.node(node).lowers.last().map_or(ino, |l| l.1);
                }
                if len > 0 {
                    self.accessed(&file);
                }
                let data = self.disk.data(ino);
                let from = at.unwrap_or(file.position);
                let start = (from.min(data.len() as u64)) as usize;
                let end = (start + len as usize).min(data.len());
                if at.is_none() {
                    self.advance(slot, from + (end - start) as u64);
                }
                Ok(data[start..end].to_vec())
            }
            Kind::Fifo => {
                let pipe = &mut self.cache.node_mut(node).pipe;
                if len == 0 {
                    return Ok(Vec::new());
                }
                if pipe.data.is_empty() {
                    let writers = pipe.writers > 0;
                    let holds = self.rules.holds(Clause::VfsFifoRead);
                    return if writers == holds { Err(Errno::EAGAIN) } else { Ok(Vec::new()) };
                }
                let taken = pipe.data.len().min(len as usize);
                let data = pipe.data.drain(..taken).collect();
                self.accessed(&file);
                Ok(data)
            }
            _ => {
                let zeros = Model::reads_zeros(&self.disk[self.cache.node(node).real()].body);
                let zeros = zeros == self.rules.holds(Clause::VfsDevice);
                Ok(if zeros { vec![0; len as usize] } else { Vec::new() })
            }
        }
    }

    /// What was read by a descriptor is dated (`file_accessed`).
    pub(super) fn accessed(&mut self, file: &OpenFile) {
        if !file.flags.has(libc::O_NOATIME) {
            self.touch(file.dentry);
        }
    }

    /// What was read is dated (`touch_atime`).
    pub(super) fn touch(&mut self, id: DentryId) {
        if !self.options.strictatime {
            return;
        }
        let Some(node) = self.cache.at(id) else { return };
        let (upper, real) = (node.upper, node.real());
        let dated = match upper {
            Some(_) => self.rules.holds(Clause::FilAtime),
            None => !self.rules.holds(Clause::FilAtimeLower),
        };
        if dated {
            self.disk.access(real);
        }
    }

    /// Writes at `at`, or at the position and moves it.
    pub(super) fn write_at(&mut self, slot: Slot, data: &[u8], at: Option<u64>) -> Result<u64, Errno> {
        let file = self.file(slot)?;
        if !file.flags.writes() {
            return Err(self.refuse(Clause::VfsBadSlot, Errno::EBADF));
        }
        let Some(node) = self.cache.dentry(file.dentry).node else { return Err(Errno::EBADF) };
        match self.cache.node(node).kind {
            Kind::File => {
                if data.is_empty() {
                    return Ok(0);
                }
                let Some(ino) = self.cache.node(node).upper else { return Err(Errno::EBADF) };
                let size = self.disk.data(ino).len() as u64;
                let mut append = file.flags.has(libc::O_APPEND);
                if append != file.appended && !self.rules.holds(Clause::FilSetfl) {
                    append = file.appended;
                }
                let append = append && self.rules.holds(Clause::VfsAppend);
                let place = if append { size } else { at.unwrap_or(file.position) };
                self.copy_attr(file.dentry);
                self.remove_privs(file.dentry, true);
                self.disk.write(&mut self.rules, ino, place, data);
                self.copy_attr(file.dentry);
                if at.is_none() {
                    self.advance(slot, place + data.len() as u64);
                }
                Ok(data.len() as u64)
            }
            Kind::Fifo => {
                if data.is_empty() {
                    return Ok(0);
                }
                let pipe = &mut self.cache.node_mut(node).pipe;
                let refused = pipe.readers == 0;
                let free = PIPE_SIZE - pipe.data.len();
                if refused {
                    return Err(self.refuse(Clause::VfsFifoWrite, Errno::EPIPE));
                }
                if free == 0 {
                    return Err(Errno::EAGAIN);
                }
                let taken = data.len().min(free);
                if self.rules.holds(Clause::VfsFifoWrite) {
                    self.cache.node_mut(node).pipe.data.extend_from_slice(&data[..taken]);
                    if self.dates_fifos() {
                        let ino = self.cache.node(node).real();
                        self.disk.date_data(&mut self.rules, ino);
                    }
                }
                Ok(taken as u64)
            }
            _ => {
                let full = matches!(self.disk[self.cache.node(node).real()].body, Body::Char(1, 7));
                if full && self.rules.holds(Clause::VfsDevice) { Err(Errno::ENOSPC) } else { Ok(data.len() as u64) }
            }
        }
    }
}
