//! Removal: unlink and rmdir, whiteouts, and the clearing of directories that hold only those.

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::copy_up::TEMP;
use super::disk::{Body, Owner, Swap, XattrValue};
use super::overlay::{DentryId, Node};
use super::walk::{Last, Walk};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// Second temporary name, for a link of the spare whiteout.
const TEMP_LINK: &[u8] = b"##";
/// Where the spare whiteout lies.
pub(super) const SPARE: &[u8] = b"#spare";

impl Model {
    pub(super) fn unlink(&mut self, path: &[u8]) -> Result<(), Errno> {
        let (dir, last) = self.walk_parent(&mut Walk::default(), path)?;
        let Last::Name { name, slash } = last else {
            return Err(if self.rules.holds(Clause::VfsUnlinkDots) { Errno::EISDIR } else { Errno::EINVAL });
        };
        let id = self.lookup(dir, &name)?;
        if self.is_negative(id) {
            return Err(self.refuse(Clause::VfsMissing, Errno::ENOENT));
        }
        if slash && self.is_dir(id) {
            return Err(self.refuse(Clause::VfsUnlinkDir, Errno::EISDIR));
        }
        if slash && self.rules.holds(Clause::VfsUnlinkSlash) {
            return Err(Errno::ENOTDIR);
        }
        self.may_delete(id)?;
        if self.is_dir(id) {
            return Err(self.refuse(Clause::VfsUnlinkDir, Errno::EISDIR));
        }
        self.remove(id)
    }

    pub(super) fn rmdir(&mut self, path: &[u8]) -> Result<(), Errno> {
        let (dir, last) = self.walk_parent(&mut Walk::default(), path)?;
        let name = match last {
            Last::Name { name, .. } => name,
            Last::DotDot => return Err(self.refuse(Clause::VfsRmdirDotDot, Errno::ENOTEMPTY)),
            Last::Dot => return Err(self.refuse(Clause::VfsRmdirDot, Errno::EINVAL)),
            Last::Root => return Err(self.refuse(Clause::VfsRmdirRoot, Errno::EBUSY)),
        };
        let id = self.lookup(dir, &name)?;
        if self.is_negative(id) {
            return Err(self.refuse(Clause::VfsMissing, Errno::ENOENT));
        }
        self.may_delete(id)?;
        if !self.is_dir(id) {
            return Err(self.refuse(Clause::VfsRmdirNotDir, Errno::ENOTDIR));
        }
        self.remove(id)
    }

    /// `errno`, or another one while the clause's fault is on.
    pub(super) fn refuse(&mut self, clause: Clause, errno: Errno) -> Errno {
        match (self.rules.holds(clause), errno) {
            (true, errno) => errno,
            (false, Errno::EPERM) => Errno::EACCES,
            (false, _) => Errno::EPERM,
        }
    }

    /// `ovl_do_remove`, of a positive dentry.
    fn remove(&mut self, id: DentryId) -> Result<(), Errno> {
        let is_dir = self.is_dir(id);
        let covers = self.lower_positive(id);
        let mut whiteouts = Vec::new();
        if is_dir && (covers || !self.is_pure_upper(id)) {
            whiteouts = self.check_empty(id, Clause::RmvNotEmpty)?;
        }
        let dir = self.cache.dentry(id).parent;
        self.copy_up_parent(dir)?;
        self.nlink_start(id)?;
        let node = self.cache.dentry(id).node;
        let result = self.remove_upper(id, covers, &whiteouts);
        if let Some(node) = node {
            if result.is_ok() && !is_dir {
                self.drop_link(node, id);
            }
            self.nlink_end(node);
        }
        if self.cache.at(id).is_some_and(|n| n.upper.is_some()) {
            self.copy_attr(id);
        }
        result
    }

    /// Takes a name out of the upper, or puts a whiteout there (`ovl_remove_upper`,
    /// `ovl_remove_and_whiteout`).
    fn remove_upper(&mut self, id: DentryId, covers: bool, whiteouts: &[Bytes]) -> Result<(), Errno> {
        let is_dir = self.is_dir(id);
        let dir = self.cache.dentry(id).parent;
        let leaves_whiteout = if covers {
            self.rules.holds(Clause::RmvWhiteout)
        } else {
            self.context.view == View::Overlay && !self.rules.holds(Clause::RmvPlain)
        };
        if !whiteouts.is_empty() {
            self.clear_empty(id, whiteouts, Clause::RmvCleared)?;
        }
        let name = self.cache.dentry(id).name.clone();
        let Some(upper_dir) = self.cache.at(dir).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        let result = if leaves_whiteout {
            let done = self.cleanup_and_whiteout(upper_dir, &name);
            self.dir_modified(dir, true);
            self.cache.unhash(id);
            done
        } else {
            let done = if is_dir {
                self.disk.rmdir(&mut self.rules, upper_dir, &name)
            } else {
                self.disk.unlink(&mut self.rules, upper_dir, &name);
                Ok(())
            };
            let origin = self.cache.at(id).is_some_and(Node::has_origin);
            self.dir_modified(dir, origin);
            if done.is_ok() {
                self.cache.unhash(id);
            }
            done
        };
        if let (true, true, Some(node)) = (is_dir, result.is_ok(), self.cache.dentry(id).node) {
            self.cache.node_mut(node).dead = true;
        }
        result
    }

    /// `ovl_pure_upper`: nothing lower in it, and no whiteouts to expect.
    pub(super) fn is_pure_upper(&mut self, id: DentryId) -> bool {
        let pure = self.cache.at(id).is_some_and(|n| n.lowers.is_empty() && !n.whiteouts);
        if !pure || self.context.view == View::Plain {
            return pure;
        }
        // Only raw whiteouts tell who asks.
        let raw = self.cache.at(id).and_then(|n| n.upper).is_some_and(|u| {
            self.disk[u]
                .names()
                .is_some_and(|names| !names.is_empty() && names.values().all(|&i| self.disk[i].is_char_whiteout()))
        });
        if raw { self.rules.holds(Clause::RmvPure) } else { true }
    }

    /// The upper whiteouts in a directory that shows nothing else (`ovl_check_empty_dir`).
    pub(super) fn check_empty(&mut self, id: DentryId, clause: Clause) -> Result<Vec<Bytes>, Errno> {
        let Some(node) = self.cache.at(id) else { return Ok(Vec::new()) };
        let upper = node.upper;
        let mut seen: Vec<Bytes> = Vec::new();
        let mut whiteouts = Vec::new();
        for dir in upper.into_iter().chain(node.lowers.clone().into_iter().map(|l| l.1)) {
            let names: Vec<(Bytes, u32)> =
                self.disk[dir].names().into_iter().flatten().map(|(n, &i)| (n.clone(), i)).collect();
            for (name, ino) in names {
                if seen.contains(&name) {
                    continue;
                }
                // Only character devices are looked at here (WHT-10).
                if self.disk[ino].is_char_whiteout() {
                    if Some(dir) == upper {
                        whiteouts.push(name.clone());
                    }
                } else if self.is_xattr_whiteout(ino) {
                    if self.rules.holds(Clause::WhtEmpty) {
                        return Err(Errno::ENOTEMPTY);
                    }
                } else if self.rules.holds(clause) {
                    return Err(Errno::ENOTEMPTY);
                }
                seen.push(name);
            }
        }
        Ok(whiteouts)
    }

    /// Replaces a directory that holds only whiteouts by an empty opaque one (`ovl_clear_empty`).
    pub(super) fn clear_empty(&mut self, id: DentryId, whiteouts: &[Bytes], clause: Clause) -> Result<(), Errno> {
        let dir = self.cache.dentry(id).parent;
        let name = self.cache.dentry(id).name.clone();
        let (Some(upper_dir), Some(upper)) =
            (self.cache.at(dir).and_then(|n| n.upper), self.cache.at(id).and_then(|n| n.upper))
        else {
            return Err(Errno::ESTALE);
        };
        if !self.rules.holds(clause) {
            return Err(Errno::ENOTEMPTY);
        }
        let work = self.work;
        let old = self.disk[upper].clone();
        let owner = Owner { uid: 0, gid: 0, mode: old.mode & 0o1777 };
        let fresh = self.disk.create(&mut self.rules, work, TEMP, Body::dir(), owner);
        self.copy_xattrs(upper, fresh);
        self.disk.set_xattr(&mut self.rules, fresh, "@opaque", XattrValue::known("y"));
        self.cache.dentry_mut(id).opaque = true;
        self.disk.set_mode(&mut self.rules, fresh, old.mode);
        self.disk.set_owner(&mut self.rules, fresh, old.uid, old.gid);
        self.disk.set_times(&mut self.rules, fresh, old.atime, old.mtime);
        self.rename_in_work(TEMP, (upper_dir, &name), Swap::Exchange)?;
        for name in whiteouts {
            self.disk.unlink(&mut self.rules, upper, name);
        }
        self.disk.rmdir(&mut self.rules, work, TEMP)
    }

    /// Puts a whiteout at a name of the upper, in place of what is there (`ovl_cleanup_and_whiteout`).
    fn cleanup_and_whiteout(&mut self, upper_dir: u32, name: &[u8]) -> Result<(), Errno> {
        let work = self.work;
        let owner = if self.rules.holds(Clause::WhtNode) {
            Model::WHITEOUT_OWNER
        } else {
            Owner { uid: 0, gid: 0, mode: 0o644 }
        };
        let spare = match self.disk.child(work, SPARE) {
            Some(spare) => spare,
            None => self.disk.create(&mut self.rules, work, SPARE, Body::Char(0, 0), owner),
        };
        let temp = if self.rules.holds(Clause::WhtShared) {
            self.disk.link(&mut self.rules, spare, work, TEMP_LINK);
            TEMP_LINK
        } else {
            SPARE
        };
        let target_is_dir = self.disk.child(upper_dir, name).is_some_and(|i| self.disk[i].is_dir());
        if !target_is_dir {
            return self.rename_in_work(temp, (upper_dir, name), Swap::Replace);
        }
        self.rename_in_work(temp, (upper_dir, name), Swap::Exchange)?;
        self.disk.rmdir(&mut self.rules, work, temp)
    }

    /// Whether a positive dentry's object is of this type.
    pub(super) fn kind_of(&self, id: DentryId) -> Option<Kind> {
        self.cache.at(id).map(|n| n.kind)
    }
}
