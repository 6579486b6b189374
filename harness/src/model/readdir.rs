//! Listing a directory (`readdir.c`), with what it writes.

use std::collections::BTreeMap;

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::Ino;
use super::overlay::{DentryId, NodeId};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// A listed name: its type and the inode whose number is its `d_ino`.
pub type Listing = Vec<(Bytes, Kind, Ino)>;

impl Model {
    /// Lists a directory by its names, `.` and `..` left out, sorted.
    pub(crate) fn list_dentry(&mut self, id: DentryId) -> Result<Listing, Errno> {
        let Some(node_id) = self.cache.dentry(id).node else { return Err(Errno::ENOENT) };
        let node = self.cache.node(node_id);
        // The upper directory was replaced behind the overlay's back (FIL-11).
        if self.disk[node.real()].nlink == 0 {
            return Err(Errno::ENOENT);
        }
        if node.lists_real() {
            let real = node.real();
            let impure = node.upper.is_some() && node.impure;
            if self.context.view == View::Overlay {
                let raw = self.disk[real].names().into_iter().flatten().any(|(_, &i)| self.disk[i].is_char_whiteout());
                if raw && !self.rules.holds(Clause::DirRaw) {
                    return Ok(self.list_merged(id));
                }
            }
            let mut listing = self.names_of(real);
            if impure {
                self.fill_impure_cache(id);
                for entry in &mut listing {
                    entry.2 = self.cached_number(node_id, &entry.0, entry.2);
                }
            }
            return Ok(listing);
        }
        Ok(self.list_merged(id))
    }

    pub(super) fn names_of(&self, dir: Ino) -> Listing {
        let names = self.disk[dir].names();
        names.into_iter().flatten().map(|(name, &ino)| (name.clone(), self.disk[ino].body.kind(), ino)).collect()
    }

    /// `ovl_dir_read_merged` and `ovl_iterate`.
    fn list_merged(&mut self, id: DentryId) -> Listing {
        let Some(node) = self.cache.at(id) else { return Vec::new() };
        let (upper, impure, lowers) = (node.upper, node.impure, node.lowers.clone());
        let mut merged: BTreeMap<Bytes, (Kind, Ino, bool)> = BTreeMap::new();
        let once = self.rules.holds(Clause::DirMerged);
        for (at, dir) in upper.into_iter().chain(lowers.into_iter().map(|l| l.1)).enumerate() {
            if at > 0 && !once {
                break;
            }
            for (name, kind, ino) in self.names_of(dir) {
                match merged.entry(name) {
                    std::collections::btree_map::Entry::Vacant(v) => {
                        v.insert((kind, ino, Some(dir) == upper));
                    }
                    std::collections::btree_map::Entry::Occupied(mut o) => {
                        if o.get().0 != kind && !self.rules.holds(Clause::DirType) {
                            o.get_mut().0 = kind;
                        }
                    }
                }
            }
        }
        let mut listing = Vec::with_capacity(merged.len());
        for (name, (kind, ino, in_upper)) in merged {
            if self.disk[ino].is_char_whiteout() && self.rules.holds(Clause::DirWhiteout) {
                continue;
            }
            // Upper entries of an impure directory are looked up; one that is not there any more, as far
            // as the cache knows, is left out (DIR-10).
            let gone = |m: &Model, child| m.is_negative(child);
            if in_upper && impure && self.lookup(id, &name).is_ok_and(|child| gone(self, child)) {
                continue;
            }
            let number = if in_upper && impure { self.listed_number(id, &name, ino) } else { ino };
            listing.push((name, kind, number));
        }
        listing
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
    fn fill_impure_cache(&mut self, id: DentryId) {
        let Some(node_id) = self.cache.dentry(id).node else { return };
        let version = self.cache.node(node_id).version;
        if self.cache.node(node_id).impure_cache.as_ref().is_some_and(|c| c.0 == version) {
            return;
        }
        let Some(upper) = self.cache.node(node_id).upper else { return };
        let mut numbers = BTreeMap::new();
        for (name, _, real) in self.names_of(upper) {
            let Ok(child) = self.lookup(id, &name) else { continue };
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
            return;
        }
        if self.rules.holds(Clause::DirImpureGone) {
            self.disk.remove_xattr(&mut self.rules, upper, "@impure");
        }
        let node = self.cache.node_mut(node_id);
        node.impure = false;
        node.impure_cache = None;
    }
}
