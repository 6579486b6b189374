//! Flags of inodes: what is immutable or append-only (`ovl_fileattr_set`, `ovl_check_protattr`).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::copy_up::Copy;
use super::disk::{Ino, XattrValue};
use super::overlay::DentryId;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::{InodeFlags, Slot};
use crate::trace::Kind;

/// Where the upper keeps what protects an inode.
const PROTATTR: &str = "@protattr";

/// Longest value that is read (`OVL_PROTATTR_MAX`).
const PROTATTR_MAX: usize = 32;

impl Model {
    /// What protects an object, by its overlay inode; a plain inode has flags of its own.
    pub(super) fn flags_of(&self, id: DentryId) -> InodeFlags {
        let Some(node) = self.cache.at(id) else { return InodeFlags::default() };
        if self.context.view == View::Plain { self.disk[node.real()].flags } else { node.flags }
    }

    /// Whether an object is immutable.
    pub(super) fn is_immutable(&self, id: DentryId) -> bool {
        self.flags_of(id).has(InodeFlags::IMMUTABLE)
    }

    /// Whether an object is append-only.
    pub(super) fn is_append_only(&self, id: DentryId) -> bool {
        self.flags_of(id).has(InodeFlags::APPEND)
    }

    /// EPERM, by the clause, for what is immutable or append-only.
    pub(super) fn spare(&mut self, id: DentryId, clause: Clause) -> Result<(), Errno> {
        if self.flags_of(id).has(InodeFlags::ALL) && self.rules.holds(clause) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EPERM, by the clause, for what is append-only.
    pub(super) fn spare_append_only(&mut self, id: DentryId, clause: Clause) -> Result<(), Errno> {
        if self.is_append_only(id) && self.rules.holds(clause) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// The letters of protattr up to one that it cannot have, and whether there is none such; nothing where nothing is
    /// read.
    fn letters(&self, upper: Ino) -> Option<(InodeFlags, bool)> {
        // Before 5.15 the flags were those of the upper inode.
        if self.context.view == View::Plain || self.context.kernel < (5, 15) {
            return None;
        }
        let Some(XattrValue::Known(value)) = self.disk[upper].xattr(PROTATTR) else { return None };
        if value.len() > PROTATTR_MAX {
            return None;
        }
        let mut flags = InodeFlags::default();
        let mut known = 0;
        for letter in value.as_slice() {
            flags.0 |= match letter {
                b'a' => InodeFlags::APPEND,
                b'i' => InodeFlags::IMMUTABLE,
                _ => break,
            };
            known += 1;
        }
        Some((flags, known > 0 && known == value.len()))
    }

    /// What protects an inode of the upper, by its protattr.
    pub(super) fn stored_protection(&self, upper: Ino) -> InodeFlags {
        self.letters(upper).filter(|(_, whole)| *whole).map_or(InodeFlags::default(), |(flags, _)| flags)
    }

    /// `ovl_check_protattr`: what an object gets when it is looked up.
    pub(super) fn protection(&mut self, upper: Option<Ino>) -> InodeFlags {
        let Some((flags, whole)) = upper.and_then(|upper| self.letters(upper)) else { return InodeFlags::default() };
        let clause = if whole { Clause::FatKept } else { Clause::FatForm };
        if self.rules.holds(clause) == whole { flags } else { InodeFlags::default() }
    }

    /// The root is not asked.
    pub(super) fn root_protection(&mut self, root: Ino) -> InodeFlags {
        let flags = self.stored_protection(root);
        if flags == InodeFlags::default() || self.rules.holds(Clause::FatRoot) { InodeFlags::default() } else { flags }
    }

    /// Whether the root is protected, which a later mount does not know.
    pub(crate) fn has_protected_root(&self) -> bool {
        self.stored_protection(self.upper) != InodeFlags::default()
    }

    /// Whether anything in the upper layer is protected, which it is not as a lower one.
    pub(crate) fn has_protected_upper(&self) -> bool {
        let mut inos = vec![self.upper];
        while let Some(ino) = inos.pop() {
            if self.stored_protection(ino) != InodeFlags::default() {
                return true;
            }
            inos.extend(self.disk[ino].names().into_iter().flatten().map(|(_, ino)| *ino));
        }
        false
    }

    /// The object that a slot gives, if it has flags; nothing where no rule says what it has: disk filesystems by
    /// themselves have more of them, and protect in their own ways.
    fn flagged(&mut self, slot: Slot) -> Result<Option<DentryId>, Errno> {
        let id = self.file(slot)?.dentry;
        if self.context.view == View::Plain && !self.disk.traits.protects_by_vfs {
            self.adrift = true;
            return Ok(None);
        }
        if !self.disk.traits.inode_flags {
            return Err(Errno::ENOTTY);
        }
        match self.kind_of(id) {
            Some(Kind::File | Kind::Dir) => Ok(Some(id)),
            _ => Err(self.refuse(Clause::FatKind, Errno::ENOTTY)),
        }
    }

    /// `getflags`, in letters.
    pub(super) fn getflags(&mut self, slot: Slot) -> Result<Option<Bytes>, Errno> {
        let Some(id) = self.flagged(slot)? else { return Ok(None) };
        let flags = self.flags_of(id);
        let shown = flags == InodeFlags::default() || self.rules.holds(Clause::FatShown);
        Ok(Some(Bytes::from(if shown { flags.letters() } else { "" })))
    }

    /// `setflags`: `vfs_fileattr_set`, `ovl_fileattr_set`. Nothing where no rule says what comes of it.
    pub(super) fn setflags(&mut self, slot: Slot, flags: InodeFlags) -> Result<Option<()>, Errno> {
        let Some(id) = self.flagged(slot)? else { return Ok(None) };
        if !self.owns(id) && self.rules.holds(Clause::FatOwner) {
            return Err(Errno::EPERM);
        }
        let before = self.flags_of(id);
        if before != flags && !self.initially_capable() && self.rules.holds(Clause::FatCapability) {
            return Err(Errno::EPERM);
        }
        self.must_copy_up(id, Clause::FatCopyUp)?;
        self.copy_up(id, Copy::Attributes)?;
        let (Some(node), Some(ino)) = (self.cache.dentry(id).node, self.cache.at(id).and_then(|n| n.upper)) else {
            return Err(Errno::ESTALE);
        };
        if self.context.view == View::Plain {
            self.disk.raw(ino).flags = flags;
        } else if flags != InodeFlags::default() {
            let letters: String = [(InodeFlags::APPEND, 'a'), (InodeFlags::IMMUTABLE, 'i')]
                .iter()
                .filter_map(|(bit, letter)| flags.has(*bit).then_some(*letter))
                .collect();
            if self.rules.holds(Clause::FatStored) {
                self.disk.set_xattr(&mut self.rules, ino, PROTATTR, XattrValue::known(&letters));
            }
        } else if before != InodeFlags::default() && self.rules.holds(Clause::FatCleared) {
            self.disk.remove_xattr(&mut self.rules, ino, PROTATTR);
        }
        self.cache.node_mut(node).flags = flags;
        self.disk.date_ctime(&mut self.rules, ino);
        self.copy_attr(id);
        Ok(Some(()))
    }
}
