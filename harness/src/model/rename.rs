//! Rename: renameat2 with its flags (`do_renameat2`, `vfs_rename`, `ovl_rename`).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::copy_up::Copy;
use super::disk::{Owner, Swap, XattrValue};
use super::options::Redirect;
use super::overlay::{Cache, DentryId, Node};
use super::permission::WRITE;
use super::walk::{Last, Walk};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::RenameFlags;
use crate::trace::Kind;

/// Longest absolute redirect, in bytes (module parameter `redirect_max`).
const REDIRECT_MAX: usize = 256;

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
        if exchange && self.is_negative(new) {
            return Err(self.refuse(Clause::VfsRenameExchangeMissing, Errno::ENOENT));
        }
        // Before 6.19 trailing slashes come before ancestors (then came `__start_renaming`).
        let ancestors_first = self.context.kernel >= (6, 19);
        if ancestors_first {
            self.not_ancestors(old, new, exchange)?;
        }
        if exchange && !new_is_dir && new_slash && self.rules.holds(Clause::VfsRenameSlash) {
            return Err(Errno::ENOTDIR);
        }
        if !old_is_dir && (old_slash || !exchange && new_slash) && self.rules.holds(Clause::VfsRenameSlash) {
            return Err(Errno::ENOTDIR);
        }
        if !ancestors_first {
            self.not_ancestors(old, new, exchange)?;
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

    /// Neither side may lie in the other.
    fn not_ancestors(&mut self, old: DentryId, new: DentryId, exchange: bool) -> Result<(), Errno> {
        if self.cache.is_ancestor(old, self.cache.dentry(new).parent) {
            return Err(self.refuse(Clause::VfsRenameIntoSelf, Errno::EINVAL));
        }
        if self.cache.is_ancestor(new, self.cache.dentry(old).parent) {
            let errno = if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY };
            return Err(self.refuse(Clause::VfsRenameOntoAncestor, errno));
        }
        Ok(())
    }

    /// `ovl_can_move`: what is no directory, or is a pure upper one, or anything with `redirect_dir=on`.
    fn can_move(&mut self, id: DentryId, clause: Clause) -> bool {
        if self.context.view == View::Plain {
            return true;
        }
        let stays = self.is_dir(id) && self.cache.at(id).is_some_and(|n| n.upper.is_none() || n.is_merge());
        if stays && self.options.redirect == Redirect::On {
            return self.rules.holds(Clause::RenRedirect);
        }
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
        let new_dir = self.cache.dentry(new).parent;
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
        self.copy_up(old, Copy::Attributes)?;
        self.must_copy_up(new_dir, Clause::RenParent)?;
        self.copy_up(new_dir, Copy::Data)?;
        if exchange {
            self.must_copy_up(new, Clause::CupRenameExchange)?;
            self.copy_up(new, Copy::Attributes)?;
        }
        let replaced = self.cache.dentry(new).node.filter(|_| overwrite);
        if replaced.is_some() {
            self.nlink_start(new)?;
        }
        let renamed = self.rename_copied_up(old, new, swap, clean, &whiteouts);
        if let Some(node) = replaced {
            self.nlink_end(node);
        }
        renamed
    }

    /// The rest of `ovl_rename`, once all that must be is copied up.
    fn rename_copied_up(
        &mut self,
        old: DentryId,
        new: DentryId,
        swap: Swap,
        clean: bool,
        whiteouts: &[Bytes],
    ) -> Result<(), Errno> {
        let exchange = swap == Swap::Exchange && !self.is_negative(new);
        let (old_dir, new_dir) = (self.cache.dentry(old).parent, self.cache.dentry(new).parent);
        let new_is_dir = self.is_dir(new);
        if !whiteouts.is_empty() {
            self.clear_empty(new, whiteouts, Clause::RenClear)?;
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
            let whiteout = target.is_some_and(|t| self.disk[t].is_char_whiteout() || self.is_xattr_whiteout(t));
            let stale = match target {
                Some(_) => !(whiteout && self.cache.dentry(new).opaque),
                None => swap == Swap::Exchange,
            };
            if stale && self.context.view == View::Overlay {
                return Err(Errno::ESTALE);
            }
        }
        self.mark_moved(old, new_dir, Clause::RenOpaque)?;
        if user_exchange {
            self.mark_moved(new, old_dir, Clause::RenOpaqueExchange)?;
        }
        let (old, new) = ((old_upper, &old_name[..]), (new_upper, &new_name[..]));
        let owner = match self.context.view {
            View::Overlay => Model::WHITEOUT_OWNER,
            View::Plain => Owner { uid: self.actor.uid(), gid: self.actor.gid(), mode: 0 },
        };
        self.disk.rename(&mut self.rules, old, new, swap, owner)
    }

    /// Marks what is moved: what merges with a redirect, a pure directory that goes to a merged parent as
    /// opaque (REN-08).
    fn mark_moved(&mut self, id: DentryId, to: DentryId, clause: Clause) -> Result<(), Errno> {
        if self.context.view == View::Plain {
            return Ok(());
        }
        if self.cache.at(id).is_some_and(Node::is_merge) {
            return self.set_redirect(id, self.cache.dentry(id).parent == to);
        }
        if !self.is_dir(id) || self.cache.dentry(id).opaque || !self.cache.at(to).is_some_and(Node::is_merge) {
            return Ok(());
        }
        let Some(upper) = self.cache.at(id).and_then(|n| n.upper) else { return Ok(()) };
        if self.rules.holds(clause) {
            self.disk.set_xattr(&mut self.rules, upper, "@opaque", XattrValue::known("y"));
            self.cache.dentry_mut(id).opaque = true;
        }
        Ok(())
    }

    /// Says on the upper where its lower layers are to be found (`ovl_set_redirect`).
    pub(super) fn set_redirect(&mut self, id: DentryId, same_dir: bool) -> Result<(), Errno> {
        let Some(node_id) = self.cache.dentry(id).node else { return Ok(()) };
        let node = self.cache.node(node_id);
        let is_dir = node.kind == Kind::Dir;
        let links = node.lowers.first().map_or(0, |l| self.disk[l.1].nlink);
        // Names of a lower hard link may come to lie in different directories.
        let absolute = !same_dir || !is_dir && links > 1 && self.rules.holds(Clause::McpRedirectLinks);
        let node = self.cache.node(node_id);
        if let Some(redirect) = &node.redirect {
            if (!absolute || redirect.first() == Some(&b'/')) && self.rules.holds(Clause::RenRedirectKept) {
                return Ok(());
            }
        }
        let redirect = if absolute { self.absolute_redirect(id)? } else { self.cache.dentry(id).name.clone() };
        let Some(upper) = self.cache.node(node_id).upper else { return Ok(()) };
        let clause = match (absolute, is_dir) {
            (true, true) => Clause::RenRedirectAbsolute,
            (false, true) => Clause::RenRedirectRelative,
            (_, false) => Clause::McpRedirect,
        };
        if self.rules.holds(clause) {
            self.disk.set_xattr(&mut self.rules, upper, "@redirect", XattrValue::Known(redirect.clone()));
        }
        self.cache.node_mut(node_id).redirect = Some(redirect);
        Ok(())
    }

    /// The path of a dentry in the lower layers: names as they were below every ancestor that was
    /// redirected itself (`ovl_get_redirect`).
    fn absolute_redirect(&mut self, id: DentryId) -> Result<Bytes, Errno> {
        let mut path: Vec<u8> = Vec::new();
        let mut at = id;
        while at != Cache::ROOT {
            let own = self.cache.at(at).and_then(|n| n.redirect.clone());
            let name = match own {
                Some(redirect) if at == id || self.rules.holds(Clause::RenRedirectOrigin) => redirect,
                _ => self.cache.dentry(at).name.clone(),
            };
            let is_absolute = name.first() == Some(&b'/');
            let len = path.len() + name.len() + usize::from(!is_absolute);
            if len > REDIRECT_MAX && self.rules.holds(Clause::RenRedirectLong) {
                return Err(Errno::EXDEV);
            }
            path.splice(0..0, name.iter().copied());
            if is_absolute {
                break;
            }
            path.insert(0, b'/');
            at = self.cache.dentry(at).parent;
        }
        Ok(Bytes::from(path))
    }
}
