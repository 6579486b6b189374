//! The index: lower hard links stay one file when they are copied up (`index=on`, IDX-01 to IDX-06).
//!
//! The copy lies in the index directory under the file handle of its lower inode, and every name of it
//! that was written to is a link of that. How many names the overlay shows is kept relative to how many
//! links the upper inode has, in an xattr.

use super::Model;
use super::clause::Clause;
use super::disk::{Body, Ino, Owner, XattrValue};
use super::overlay::{DentryId, NodeId};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// What stands for the name of an index entry on the model's disk: the file handle of this inode, in
/// hexadecimal digits.
pub(crate) fn index_name(lower: Ino) -> Bytes {
    Bytes::from(format!("@{lower}").as_str())
}

/// The inode whose file handle names an index entry.
pub(crate) fn indexed_inode(name: &[u8]) -> Option<Ino> {
    std::str::from_utf8(name.strip_prefix(b"@")?).ok()?.parse().ok()
}

impl Model {
    /// Makes or takes over the index directory, which is the work directory too (`ovl_get_indexdir`).
    pub(super) fn mount_index(&mut self) {
        let lower = self.lowers.first().copied();
        if let (None, Some(lower)) = (self.disk[self.upper].xattr("@origin"), lower) {
            if self.rules.holds(Clause::MntIndexOrigin) {
                self.disk.set_xattr(&mut self.rules, self.upper, "@origin", XattrValue::Handle(lower));
            }
        }
        let base = self.work_base;
        let kept = self.disk.child(base, b"index");
        let holds = self.rules.holds(Clause::MntIndexDir);
        self.work = kept.unwrap_or_else(|| {
            let mode = if holds { 0 } else { 0o755 };
            self.disk.create(&mut self.rules, base, b"index", Body::dir(), Owner { uid: 0, gid: 0, mode })
        });
        let names: Vec<Bytes> = self.disk[self.work].names().into_iter().flatten().map(|n| n.0.clone()).collect();
        for name in names.iter().filter(|n| n.first() == Some(&b'#')) {
            if self.rules.holds(Clause::MntIndexClean) {
                self.disk.remove_tree(&mut self.rules, self.work, name);
            }
        }
    }

    /// Whether copying up must go through the index (`ovl_need_index`).
    pub(super) fn needs_index(&mut self, node: NodeId) -> bool {
        let node = self.cache.node(node);
        let linked = node.lowers.first().is_some_and(|l| self.disk[l.1].nlink > 1);
        self.options.index && node.kind != Kind::Dir && linked && self.rules.holds(Clause::IdxCopyUp)
    }

    /// The index entry of a lower inode, unless it is of another file than `upper` (`ovl_lookup_index`).
    pub(super) fn index_of(&mut self, lower: Ino, upper: Option<Ino>) -> Option<Ino> {
        let entry = self.disk.child(self.work, &index_name(lower))?;
        let found = upper.is_none_or(|u| u == entry);
        (found && self.rules.holds(Clause::IdxLookup)).then_some(entry)
    }

    /// Links the copy in the index to the name of a dentry (`ovl_link_up`).
    pub(super) fn link_up(&mut self, parent: DentryId, id: DentryId, dest: Ino) -> Result<(), Errno> {
        let (Some(node_id), name) = (self.cache.dentry(id).node, self.cache.dentry(id).name.clone()) else {
            return Ok(());
        };
        let Some(upper) = self.cache.node(node_id).upper else { return Ok(()) };
        let (atime, mtime) = (self.disk[dest].atime, self.disk[dest].mtime);
        if self.rules.holds(Clause::IdxImpure) {
            self.set_impure(parent);
        }
        self.store_nlink(node_id, false);
        if self.disk[dest].nlink == 0 {
            return Err(Errno::ENOENT);
        }
        if self.disk.child(dest, &name).is_some() {
            return Err(Errno::EEXIST);
        }
        self.disk.link(&mut self.rules, upper, dest, &name);
        if self.rules.holds(Clause::CupParentTimes) {
            self.disk.set_times(&mut self.rules, dest, atime, mtime);
        }
        self.cache.dentry_mut(id).alias = true;
        self.store_nlink(node_id, true);
        Ok(())
    }

    /// Stores how many more names the overlay shows than the upper (or the lower) inode has links
    /// (`ovl_set_nlink_common`).
    pub(super) fn store_nlink(&mut self, node_id: NodeId, of_upper: bool) {
        let node = self.cache.node(node_id);
        let (Some(upper), Some(&(_, lower))) = (node.upper, node.lowers.first()) else { return };
        let base = if of_upper { upper } else { lower };
        let more = i64::from(node.nlink) - i64::from(self.disk[base].nlink);
        let value = format!("{}{more:+}", if of_upper { 'U' } else { 'L' });
        if self.rules.holds(Clause::IdxStored) {
            self.disk.set_xattr(&mut self.rules, upper, "@nlink", XattrValue::known(&value));
        }
    }

    /// The link count of an overlay inode as it is made (`ovl_get_nlink`).
    pub(super) fn union_nlink(&mut self, lower: Option<Ino>, upper: Option<Ino>, links: u32) -> u32 {
        let (Some(lower), Some(upper)) = (lower, upper) else { return links };
        if self.disk[lower].nlink == 1 {
            return links;
        }
        let Some(XattrValue::Known(stored)) = self.disk[upper].xattr("@nlink") else { return links };
        let Some((of, more)) = std::str::from_utf8(stored).ok().and_then(|s| s.split_at_checked(1)) else {
            return links;
        };
        let base = self.disk[if of == "L" { lower } else { upper }].nlink;
        match more.parse::<i64>().map(|more| i64::from(base) + more) {
            Ok(union @ 1..) if self.rules.holds(Clause::IdxUnion) => union as u32,
            _ => links,
        }
    }

    /// Before a name of a file comes or goes: an index entry to count it, and the count stored
    /// (`ovl_nlink_start`).
    pub(super) fn nlink_start(&mut self, id: DentryId) -> Result<(), Errno> {
        let Some(node_id) = self.cache.dentry(id).node else { return Ok(()) };
        if !self.cache.dentry(id).alias && self.needs_index(node_id) {
            self.must_copy_up(id, Clause::IdxVictim)?;
            self.copy_up(id, super::copy_up::Copy::Attributes)?;
        }
        if self.cache.node(node_id).indexed {
            self.store_nlink(node_id, true);
        }
        Ok(())
    }

    /// After a name of a file came or went: with the last one its index entry goes (`ovl_nlink_end`).
    pub(super) fn nlink_end(&mut self, node_id: NodeId) {
        let node = self.cache.node(node_id);
        if !node.indexed || node.nlink != 0 {
            return;
        }
        let (Some(upper), Some(&(_, lower))) = (node.upper, node.lowers.first()) else { return };
        if self.disk[upper].nlink != 1 {
            self.cache.node_mut(node_id).nlink = self.disk[upper].nlink - 1;
            self.store_nlink(node_id, true);
        } else if self.rules.holds(Clause::IdxOrphan) {
            let index = self.work;
            self.disk.unlink(&mut self.rules, index, &index_name(lower));
        }
    }
}
