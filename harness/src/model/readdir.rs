//! Listing a directory (`readdir.c`), with what it writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::Ino;
use super::number::Number;
use super::overlay::{Cache, DentryId, Node, NodeId, Snapshot, SnapshotEntry};
use super::stream::{Placed, is_dots};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// Listed names, each with its type and what its `d_ino` is.
pub type Listing = Vec<(Bytes, Kind, Number)>;

impl Model {
    /// Lists a directory by its names, `.` and `..` left out, sorted.
    ///
    /// # Errors
    /// That of a lookup of one of them, in an impure directory that is listed as it lies on disk (DIR-12).
    pub(crate) fn list_dentry(&mut self, id: DentryId) -> Result<Listing, Errno> {
        if self.cache.at(id).is_some_and(|n| !n.lists_real()) {
            let snapshot = self.snapshot(id);
            return Ok(self.emit(id, &snapshot, 0, &[]).0);
        }
        match self.cache.at(id).map(Node::real) {
            Some(real) => self.list_real(id, real),
            None => Ok(Vec::new()),
        }
    }

    /// Finds out whether a directory whose entries pass through is impure still, as reading it does.
    pub(super) fn find_impure(&mut self, id: DentryId, real: Ino) -> Result<bool, Errno> {
        let mut impure = self.cache.at(id).is_some_and(|n| n.upper == Some(real) && n.impure);
        // Where numbers cannot be compared, nobody asks.
        if impure && !self.has_one_device() {
            impure = !self.rules.holds(Clause::DirImpureApart);
        }
        if impure {
            self.fill_impure_cache(id)?;
        }
        Ok(impure)
    }

    /// Lists a directory that does not merge as it lies on disk, in `real`.
    pub(super) fn list_real(&mut self, id: DentryId, real: Ino) -> Result<Listing, Errno> {
        let Some(node_id) = self.cache.dentry(id).node else { return Ok(Vec::new()) };
        if self.context.view == View::Overlay {
            let raw = self.disk[real].names().into_iter().flatten().any(|(_, &i)| self.disk[i].is_char_whiteout());
            if raw && !self.rules.holds(Clause::DirRaw) {
                let entries = self.read_merged(id);
                return Ok(self.emit(id, &RefCell::new(Snapshot { entries, ..Snapshot::default() }), 0, &[]).0);
            }
        }
        let mut names = self.names_of(real);
        if self.find_impure(id, real)? {
            for entry in &mut names {
                entry.2 = self.cached_number(node_id, &entry.0, entry.2);
            }
        }
        Ok(self.numbered(names))
    }

    pub(super) fn names_of(&self, dir: Ino) -> Vec<(Bytes, Kind, Ino)> {
        let names = self.disk[dir].names();
        names.into_iter().flatten().map(|(name, &ino)| (name.clone(), self.disk[ino].body.kind(), ino)).collect()
    }

    /// Names with what their `d_ino` is.
    pub(super) fn numbered(&mut self, names: Vec<(Bytes, Kind, Ino)>) -> Listing {
        names.into_iter().map(|(name, kind, ino)| (name, kind, self.listed(ino))).collect()
    }

    /// The snapshot of a directory that merges: the one that is held, if nothing changed since
    /// (`ovl_cache_get`).
    pub(super) fn snapshot(&mut self, id: DentryId) -> Rc<RefCell<Snapshot>> {
        let Some(node_id) = self.cache.dentry(id).node else { return Rc::default() };
        let node = self.cache.node(node_id);
        let version = node.version;
        if let Some(held) = node.snapshot.upgrade() {
            if held.borrow().version == version {
                return held;
            }
        }
        let entries = self.read_merged(id);
        let mut order = Vec::new();
        if self.disk.traits.lists_dots_first {
            order.extend([entries.len() - 2, entries.len() - 1].map(Placed::Entry));
        }
        let snapshot = Rc::new(RefCell::new(Snapshot { version, entries, order, ..Snapshot::default() }));
        self.cache.node_mut(node_id).snapshot = Rc::downgrade(&snapshot);
        snapshot
    }

    /// `ovl_dir_read_merged`
    fn read_merged(&mut self, id: DentryId) -> Vec<SnapshotEntry> {
        let Some(node) = self.cache.at(id) else { return Vec::new() };
        let (upper, impure, lowers) = (node.upper, node.impure, node.lowers.clone());
        let marked = self.cache.dentry(id).marked;
        let mut merged: BTreeMap<Bytes, (Kind, Ino, Option<usize>)> = BTreeMap::new();
        let once = self.rules.holds(Clause::DirMerged);
        let dirs = upper.into_iter().map(|dir| (None, dir));
        for (at, (layer, dir)) in dirs.chain(lowers.into_iter().map(|(layer, dir)| (Some(layer), dir))).enumerate() {
            if at > 0 && !once {
                break;
            }
            for (name, kind, ino) in self.names_of(dir) {
                match merged.entry(name) {
                    std::collections::btree_map::Entry::Vacant(v) => {
                        v.insert((kind, ino, layer));
                    }
                    std::collections::btree_map::Entry::Occupied(mut o) => {
                        if o.get().0 != kind && !self.rules.holds(Clause::DirType) {
                            o.get_mut().0 = kind;
                        }
                    }
                }
            }
        }
        let mut entries = Vec::with_capacity(merged.len());
        let (one_device, marks) = (self.has_one_device(), self.marks_numbers());
        for (name, (kind, real, layer)) in merged {
            let hidden = self.disk[real].is_char_whiteout() && self.rules.holds(Clause::DirWhiteout);
            // Upper entries of an impure directory are looked up when they are emitted.
            let number = match layer {
                None if impure && one_device => None,
                // To be marked, lower ones are looked up as well.
                Some(_) if marks && self.rules.holds(Clause::DirLookedUp) => None,
                None if marks => None,
                None if impure && !self.rules.holds(Clause::DirApart) => None,
                _ => Some(real),
            };
            // What a mark makes doubtful is looked up as well: an xattr whiteout is left out then.
            let doubted = kind == Kind::File && marked && layer.is_some_and(|layer| self.marked.contains(&layer));
            let check = doubted && self.rules.holds(Clause::WhtMarked);
            let leaks = kind == Kind::File && !doubted && self.is_xattr_whiteout(real);
            let hidden = hidden || leaks && !self.rules.holds(Clause::WhtUnmarked);
            entries.push(SnapshotEntry { name, kind, number, real, hidden, optional: false, check });
        }
        let own = self.cache.at(id).map_or(0, Node::real);
        let parent = self.native_parent(id).unwrap_or(own);
        for (name, real) in [(".", own), ("..", parent)] {
            let (name, kind, number) = (Bytes::from(name), Kind::Dir, Some(real));
            let (hidden, optional, check) = (false, false, false);
            entries.push(SnapshotEntry { name, kind, number, real, hidden, optional, check });
        }
        entries
    }

    /// Emits a snapshot from a position on (`ovl_iterate`), and tells whether a lookup of an entry failed: that
    /// ends one call of getdents64, and the entry is left out of the next (DIR-12). Of what may have been passed
    /// over before, `shown` tells what was not.
    pub(super) fn emit(
        &mut self,
        id: DentryId,
        snapshot: &RefCell<Snapshot>,
        from: usize,
        shown: &[Bytes],
    ) -> (Listing, bool) {
        if from == 0 {
            self.listed_parent(id, snapshot);
        }
        let mut failed = 0;
        let mut entries = std::mem::take(&mut snapshot.borrow_mut().entries);
        let passed: Vec<Placed> = snapshot.borrow().order.iter().take(from).copied().collect();
        let mut listing = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter_mut().enumerate() {
            if is_dots(&entry.name) || passed.contains(&Placed::Entry(at)) {
                continue;
            }
            failed += u32::from(self.number_entry(id, entry));
            if !entry.hidden && (!entry.optional || shown.contains(&entry.name)) {
                listing.push((entry.name.clone(), entry.kind, self.listed(entry.number.unwrap_or(entry.real))));
            }
        }
        snapshot.borrow_mut().entries = entries;
        // The second ends a call in which nothing else may have been listed.
        self.undecided |= failed > 1;
        (listing, failed > 0)
    }

    /// Looks an entry up for its number, if it is an upper one of an impure directory and was not yet
    /// (`ovl_cache_update`); tells whether that failed.
    pub(super) fn number_entry(&mut self, id: DentryId, entry: &mut SnapshotEntry) -> bool {
        if entry.hidden || entry.number.is_some() && !entry.check {
            return false;
        }
        let mut failed = false;
        // Before 5.15 an entry was given whatever its lookup found.
        let leaves_out = self.context.kernel >= (5, 15);
        // One that is not there any more, as far as the cache knows, is left out (DIR-10).
        entry.hidden = match self.lookup(id, &entry.name) {
            Ok(child) => leaves_out && self.is_negative(child),
            Err(errno) => {
                failed = true;
                // Which of two names that lead to one directory fails depends on their order on disk.
                self.undecided |= errno == Errno::ESTALE || !self.disk.traits.lists_dots_first;
                leaves_out && self.rules.holds(Clause::DirFailedLookup)
            }
        };
        if entry.number.is_none() {
            entry.number = Some(self.listed_number(id, &entry.name, entry.real));
        }
        failed
    }

    /// The directory that has the top-most part of this one, on disk; `None` where that lies outside of the layers.
    fn native_parent(&self, id: DentryId) -> Option<Ino> {
        if id == Cache::ROOT {
            return None;
        }
        let (own, parent) = (self.cache.at(id)?, self.cache.at(self.cache.dentry(id).parent)?);
        match own.upper {
            Some(_) => parent.upper,
            None => {
                parent.lowers.iter().find(|(layer, _)| Some(*layer) == own.lowers.first().map(|l| l.0)).map(|l| l.1)
            }
        }
    }

    /// The directory in which the part of this one lies that is read, on disk.
    fn native_parent_of(&self, id: DentryId, real: Ino) -> Option<Ino> {
        let left_behind = self.cache.at(id)?.upper.is_some_and(|upper| upper != real);
        // Copied up since it was opened, and perhaps moved.
        if left_behind && id != Cache::ROOT { self.disk.parent_of(real) } else { self.native_parent(id) }
    }

    /// What `d_ino` of `.` is, where `real` is read (`ovl_calc_d_ino`).
    pub(super) fn number_of_self(&mut self, id: DentryId, real: Ino) -> Option<Number> {
        let own = self.cache.dentry(id).node?;
        let native = real;
        let shown = if !self.has_one_device() {
            self.raw_number(own, native)
        } else if self.rules.holds(Clause::DirInoDots) {
            self.number_inode(own)
        } else {
            native
        };
        Some(self.listed(shown))
    }

    /// What `d_ino` of `..` is in a directory that lists as it lies on disk (`ovl_iterate_real`).
    pub(super) fn number_of_parent(&mut self, id: DentryId, real: Ino) -> Option<Number> {
        let native = self.native_parent_of(id, real)?;
        let parent = self.cache.dentry(self.cache.dentry(id).parent).node?;
        let shown = if !self.has_one_device() {
            self.raw_number(parent, native)
        } else if self.cache.node(parent).is_merge() && self.rules.holds(Clause::DirInoDots) {
            self.number_inode(parent)
        } else {
            native
        };
        Some(self.listed(shown))
    }

    /// The inode behind `d_ino` where numbers cannot be compared: that of the entry as it lies in its layer.
    fn raw_number(&mut self, of: NodeId, native: Ino) -> Ino {
        if self.rules.holds(Clause::DirInoRaw) { native } else { self.number_inode(of) }
    }

    /// The same in a merged listing, which keeps what it was when it was to be given first (`ovl_cache_update`).
    pub(super) fn listed_parent(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>) -> Option<Number> {
        if let Some(number) = snapshot.borrow().parent {
            return number;
        }
        let parent = self.cache.dentry(self.cache.dentry(id).parent).node.filter(|_| id != Cache::ROOT);
        let native = snapshot.borrow().entries.last().map(|entry| entry.real);
        let number = match parent {
            Some(parent) if !self.has_one_device() => native.map(|native| Number::Of(self.raw_number(parent, native))),
            Some(parent) if self.cache.node(parent).has_origin() && self.rules.holds(Clause::DirInoDots) => {
                let shown = self.number_inode(parent);
                Some(self.listed(shown))
            }
            Some(parent) => native.map(|native| self.listed_native(parent, native)),
            None => None,
        };
        snapshot.borrow_mut().parent = Some(number);
        number
    }

    /// The inode behind `d_ino` of an upper entry in an impure directory: it is looked up for that.
    fn listed_number(&mut self, dir: DentryId, name: &Bytes, real: Ino) -> Ino {
        let Ok(child) = self.lookup(dir, name) else { return real };
        match self.cache.at(child) {
            Some(node) if node.has_origin() && self.rules.holds(Clause::DirIno) => {
                self.cache.dentry(child).node.map_or(real, |n| self.number_inode(n))
            }
            _ => real,
        }
    }

    /// The inode behind `d_ino` of an entry of an impure directory that lists as it lies on disk
    /// (`ovl_fill_real`).
    fn cached_number(&mut self, dir: NodeId, name: &Bytes, real: Ino) -> Ino {
        let cached = self.cache.node(dir).impure_cache.as_ref().map(|c| c.1.get(name).copied());
        match cached {
            Some(Some(number)) => {
                if self.rules.holds(Clause::DirIno) {
                    number
                } else {
                    real
                }
            }
            Some(None) => {
                let child = self.cache.child_of(dir, name).and_then(|c| self.cache.dentry(c).node);
                match child {
                    Some(node) if self.cache.node(node).has_origin() && !self.rules.holds(Clause::DirInoStale) => {
                        self.number_inode(node)
                    }
                    _ => real,
                }
            }
            None => real,
        }
    }

    /// `ovl_cache_get_impure`: finds out whether the directory is impure still.
    pub(super) fn fill_impure_cache(&mut self, id: DentryId) -> Result<(), Errno> {
        let Some(node_id) = self.cache.dentry(id).node else { return Ok(()) };
        let version = self.cache.node(node_id).version;
        if self.cache.node(node_id).impure_cache.as_ref().is_some_and(|c| c.0 == version) {
            return Ok(());
        }
        let Some(upper) = self.cache.node(node_id).upper else { return Ok(()) };
        let mut numbers = BTreeMap::new();
        for (name, _, real) in self.names_of(upper) {
            let child = match self.lookup(id, &name) {
                Ok(child) => child,
                Err(errno) => {
                    // Which other entries were looked up before it depends on their order on disk.
                    self.undecided = true;
                    return Err(errno);
                }
            };
            let Some(node) = self.cache.dentry(child).node else { continue };
            if self.cache.node(node).has_origin() {
                let number = self.number_inode(node);
                if number != real {
                    numbers.insert(name, number);
                }
            }
        }
        if !numbers.is_empty() {
            self.cache.node_mut(node_id).impure_cache = Some((version, numbers));
            return Ok(());
        }
        if self.rules.holds(Clause::DirImpureGone) {
            self.disk.remove_xattr(&mut self.rules, upper, "@impure");
        }
        let node = self.cache.node_mut(node_id);
        node.impure = false;
        node.impure_cache = None;
        Ok(())
    }
}
