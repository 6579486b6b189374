//! Rename: renameat2 with its flags (`do_renameat2`, `vfs_rename`, `ovl_rename`).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::copy_up::Copy;
use super::disk::{Owner, Swap, XattrValue};
use super::overlay::{DentryId, Node};
use super::permission::WRITE;
use super::walk::{Last, Walk};
use crate::errno::Errno;
use crate::step::RenameFlags;

impl Model {
    pub(super) fn rename(&mut self, old: &[u8], new: &[u8], flags: RenameFlags) -> Result<(), Errno> {
        let noreplace = flags.has(libc::RENAME_NOREPLACE);
        let exchange = flags.has(libc::RENAME_EXCHANGE);
        let whiteout = flags.has(libc::RENAME_WHITEOUT);
        if exchange && (noreplace || whiteout) {
            return Err(self.refuse(Clause::VfsRenameFlags, Errno::EINVAL));
        }
        let (old_dir, old_last) = self.walk_parent(&mut Walk::default(), old)?;
        let (new_dir, new_last) = self.walk_parent(&mut Walk::default(), new)?;
        let Last::Name { name: old_name, slash: old_slash } = old_last else {
            return Err(self.refuse(Clause::VfsRenameOldDots, Errno::EBUSY));
        };
        let Last::Name { name: new_name, slash: new_slash } = new_last else {
            let errno = if noreplace { Errno::EEXIST } else { Errno::EBUSY };
            return Err(self.refuse(Clause::VfsRenameNewDots, errno));
        };
        let old = self.lookup(old_dir, &old_name)?;
        if self.is_negative(old) {
            return Err(self.refuse(Clause::VfsRenameMissing, Errno::ENOENT));
        }
        let new = self.lookup(new_dir, &new_name)?;
        if noreplace && !self.is_negative(new) && self.rules.holds(Clause::VfsRenameNoReplace) {
            return Err(Errno::EEXIST);
        }
        let old_is_dir = self.is_dir(old);
        let new_is_dir = self.is_dir(new);
        if exchange {
            if self.is_negative(new) {
                return Err(self.refuse(Clause::VfsRenameExchangeMissing, Errno::ENOENT));
            }
            if !new_is_dir && new_slash && self.rules.holds(Clause::VfsRenameSlash) {
                return Err(Errno::ENOTDIR);
            }
        }
        if !old_is_dir && (old_slash || !exchange && new_slash) && self.rules.holds(Clause::VfsRenameSlash) {
            return Err(Errno::ENOTDIR);
        }
        if self.cache.is_ancestor(old, new_dir) {
            return Err(self.refuse(Clause::VfsRenameIntoSelf, Errno::EINVAL));
        }
        if self.cache.is_ancestor(new, old_dir) {
            let errno = if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY };
            return Err(self.refuse(Clause::VfsRenameOntoAncestor, errno));
        }

        // vfs_rename
        if self.cache.dentry(old).node == self.cache.dentry(new).node && self.rules.holds(Clause::VfsRenameSame) {
            return Ok(());
        }
        self.may_delete(old)?;
        if self.is_negative(new) {
            self.may_create(new)?;
        } else {
            self.may_delete(new)?;
        }
        if !self.is_negative(new) && !exchange {
            if old_is_dir && !new_is_dir {
                return Err(self.refuse(Clause::VfsRenameDirOverFile, Errno::ENOTDIR));
            }
            if !old_is_dir && new_is_dir {
                return Err(self.refuse(Clause::VfsRenameFileOverDir, Errno::EISDIR));
            }
        }
        // A directory that changes its parent is written to: its `..` changes.
        if old_dir != new_dir {
            if old_is_dir {
                self.may(old, WRITE)?;
            }
            if exchange && new_is_dir {
                self.may(new, WRITE)?;
            }
        }
        self.rename_dentries(old, new, exchange, whiteout)
    }

    /// `ovl_can_move`: what is no directory, or is a pure upper one (`redirect_dir` is not on).
    fn can_move(&mut self, id: DentryId, clause: Clause) -> bool {
        if self.context.view == View::Plain {
            return true;
        }
        let stays = self.is_dir(id) && self.cache.at(id).is_some_and(|n| n.upper.is_none() || n.is_merge());
        !(stays && self.rules.holds(clause))
    }

    /// `ovl_rename`: the overlay's part, in its order of refusals, copy-ups and marks.
    fn rename_dentries(&mut self, old: DentryId, new: DentryId, exchange: bool, whiteout: bool) -> Result<(), Errno> {
        let overlay = self.context.view == View::Overlay;
        if whiteout && overlay && self.rules.holds(Clause::RenFlags) {
            return Err(Errno::EINVAL);
        }
        if !self.can_move(old, Clause::RenXdev) || exchange && !self.can_move(new, Clause::RenXdevExchange) {
            return Err(Errno::EXDEV);
        }
        let overwrite = !exchange;
        let (old_dir, new_dir) = (self.cache.dentry(old).parent, self.cache.dentry(new).parent);
        let old_is_dir = self.is_dir(old);
        let new_is_dir = self.is_dir(new);
        let mut whiteouts = Vec::new();
        if overwrite && new_is_dir && !self.is_pure_upper(new) {
            whiteouts = self.check_empty(new, Clause::RenNotEmpty)?;
        }

        let new_whiteout = self.is_negative(new) && self.cache.dentry(new).opaque;
        let mut swap = if exchange { Swap::Exchange } else { Swap::Replace };
        let mut clean = false;
        if overwrite {
            if self.lower_positive(old) {
                if !new_whiteout {
                    if self.rules.holds(Clause::RenWhiteout) {
                        swap = Swap::Whiteout;
                    }
                } else if self.rules.holds(Clause::RenSwap) {
                    swap = Swap::Exchange;
                } else {
                    swap = Swap::Whiteout;
                }
            } else if old_is_dir && new_whiteout {
                swap = Swap::Exchange;
                clean = self.rules.holds(Clause::RenClean);
            } else if overlay && !self.rules.holds(Clause::RenNothing) {
                swap = Swap::Whiteout;
            }
            if whiteout && !overlay {
                swap = Swap::Whiteout;
            }
        }

        self.must_copy_up(old, Clause::CupRename)?;
        self.copy_up(old, Copy::Data)?;
        self.must_copy_up(new_dir, Clause::RenParent)?;
        self.copy_up(new_dir, Copy::Data)?;
        if exchange {
            self.must_copy_up(new, Clause::CupRenameExchange)?;
            self.copy_up(new, Copy::Data)?;
        }
        if !whiteouts.is_empty() {
            self.clear_empty(new, &whiteouts, Clause::RenClear)?;
        }
        self.rename_upper(old, new, swap)?;
        if clean {
            let name = self.cache.dentry(old).name.clone();
            if let Some(upper) = self.cache.at(old_dir).and_then(|n| n.upper) {
                self.disk.unlink(&mut self.rules, upper, &name);
            }
        }

        let old_origin = self.cache.at(old).is_some_and(Node::has_origin);
        let new_origin = self.cache.at(new).is_some_and(Node::has_origin);
        self.dir_modified(old_dir, old_origin || exchange && new_origin);
        self.dir_modified(new_dir, old_origin || new_origin);
        self.copy_attr(old);
        if !self.is_negative(new) && self.cache.at(new).is_some_and(|n| n.upper.is_some()) {
            self.copy_attr(new);
        }
        if exchange {
            self.cache.exchange(old, new);
        } else {
            if let (true, Some(node)) = (new_is_dir, self.cache.dentry(new).node) {
                self.cache.node_mut(node).dead = true;
            }
            if let (false, Some(node)) = (new_is_dir, self.cache.dentry(new).node) {
                self.drop_link(node, new);
            }
            self.cache.rename(old, new);
        }
        Ok(())
    }

    /// The marks, then the rename on the upper filesystem. Marks stay if that fails (REN-11).
    fn rename_upper(&mut self, old: DentryId, new: DentryId, swap: Swap) -> Result<(), Errno> {
        let (old_dir, new_dir) = (self.cache.dentry(old).parent, self.cache.dentry(new).parent);
        let user_exchange = swap == Swap::Exchange && !self.is_negative(new);
        if old_dir != new_dir {
            if self.cache.at(old).is_some_and(Node::has_origin) && self.rules.holds(Clause::RenImpure) {
                self.set_impure(new_dir);
            }
            if user_exchange
                && self.cache.at(new).is_some_and(Node::has_origin)
                && self.rules.holds(Clause::RenImpureExchange)
            {
                self.set_impure(old_dir);
            }
        }
        let (old_name, new_name) = (self.cache.dentry(old).name.clone(), self.cache.dentry(new).name.clone());
        let upper_of = |model: &Model, id: DentryId| model.cache.at(id).and_then(|n| n.upper).ok_or(Errno::ESTALE);
        let (old_upper, new_upper) = (upper_of(self, old_dir)?, upper_of(self, new_dir)?);
        let moved = self.disk.child(old_upper, &old_name);
        let target = self.disk.child(new_upper, &new_name);
        if moved.is_some() && moved == target {
            return Err(self.refuse(Clause::RenAlias, Errno::ESTALE));
        }
        // What the upper holds must be what was looked up.
        if self.is_negative(new) {
            let whiteout = target.is_some_and(|t| self.disk[t].is_char_whiteout());
            let stale = match target {
                Some(_) => !(whiteout && self.cache.dentry(new).opaque),
                None => swap == Swap::Exchange,
            };
            if stale && self.context.view == View::Overlay {
                return Err(Errno::ESTALE);
            }
        }
        self.mark_opaque(old, new_dir, Clause::RenOpaque);
        if user_exchange {
            self.mark_opaque(new, old_dir, Clause::RenOpaqueExchange);
        }
        let (old, new) = ((old_upper, &old_name[..]), (new_upper, &new_name[..]));
        let owner = match self.context.view {
            View::Overlay => Model::WHITEOUT_OWNER,
            View::Plain => Owner { uid: self.actor.uid(), gid: self.actor.gid(), mode: 0 },
        };
        self.disk.rename(&mut self.rules, old, new, swap, owner)
    }

    /// Makes a pure directory opaque that goes to a merged parent (REN-08).
    fn mark_opaque(&mut self, id: DentryId, to: DentryId, clause: Clause) {
        let pure = self.is_dir(id) && self.cache.at(id).is_some_and(|n| !n.is_merge());
        if !pure || self.cache.dentry(id).opaque || !self.cache.at(to).is_some_and(Node::is_merge) {
            return;
        }
        let Some(upper) = self.cache.at(id).and_then(|n| n.upper) else { return };
        if self.rules.holds(clause) {
            self.disk.set_xattr(&mut self.rules, upper, "@opaque", XattrValue::known("y"));
            self.cache.dentry_mut(id).opaque = true;
        }
    }
}
