//! Permission: what the caller may do. So far only uid 0 of the worker's user namespace calls, whom
//! no mode bit stops, so what is left is what capabilities do not override.

use super::Model;
use super::clause::Clause;
use super::overlay::DentryId;
use crate::errno::Errno;
use crate::trace::Kind;

impl Model {
    /// Whether the caller may follow a symlink (`may_follow_link`): with `fs.protected_symlinks`, one
    /// in a sticky world-writable directory must belong to the caller or to the directory's owner.
    pub(super) fn may_follow(&mut self, link: DentryId) -> Result<(), Errno> {
        if !self.context.protected_symlinks {
            return Ok(());
        }
        let parent = self.cache.dentry(link).parent;
        let (Some(link), Some(dir)) = (self.cache.at(link), self.cache.at(parent)) else { return Ok(()) };
        let (link, dir) = (&self.disk[link.real()], &self.disk[dir.real()]);
        let guarded = dir.mode & 0o1002 == 0o1002;
        if guarded && link.uid != 0 && link.uid != dir.uid { Err(Errno::EACCES) } else { Ok(()) }
    }

    /// Whether `O_CREAT` may open what is there already in a sticky directory (`may_create_in_sticky`):
    /// not what belongs to neither the caller nor the directory's owner, as far as the settings say.
    pub(super) fn may_open_in_sticky(&mut self, dir: DentryId, id: DentryId) -> Result<(), Errno> {
        let (Some(dir), Some(node)) = (self.cache.at(dir), self.cache.at(id)) else { return Ok(()) };
        let kind = node.kind;
        let (dir, file) = (&self.disk[dir.real()], &self.disk[node.real()]);
        let [fifos, regular] = self.context.protected_create;
        let strict = match kind {
            Kind::File => regular,
            Kind::Fifo => fifos,
            _ => 1,
        };
        if dir.mode & 0o1000 == 0 || strict == 0 || file.uid == dir.uid || file.uid == 0 {
            return Ok(());
        }
        let refused = dir.mode & 0o002 != 0 || dir.mode & 0o020 != 0 && strict >= 2;
        if refused && self.rules.holds(Clause::VfsOpenSticky) { Err(Errno::EACCES) } else { Ok(()) }
    }

    /// Clears setuid and setgid as a write or truncate by the caller does
    /// (`setattr_should_drop_suidgid`): which bits are there is read off the overlay inode, clearing
    /// them is the upper filesystem's part.
    ///
    /// With a truncation that changes nothing else the mode changes without a new ctime (`dated`).
    pub(super) fn drop_suid(&mut self, id: DentryId, dated: bool) {
        let Some(node) = self.cache.at(id) else { return };
        let (mode, Some(ino)) = (node.mode, node.upper) else { return };
        if self.context.initial_capabilities() || mode & 0o6000 == 0 {
            return;
        }
        // Without group execute setgid means locking, and stays for members of the group.
        let killed = mode & 0o4000 | if mode & 0o010 != 0 { mode & 0o2000 } else { 0 };
        let real = self.disk[ino].mode;
        if real & killed != 0 && self.rules.holds(Clause::VfsKillSuid) {
            if dated {
                self.disk.set_mode(&mut self.rules, ino, real & !killed);
            } else {
                self.disk.raw(ino).mode = real & !killed;
            }
        }
    }

    /// Copies the upper inode's mode to the overlay inode (`ovl_copyattr`).
    pub(super) fn copy_attr(&mut self, id: DentryId) {
        if let Some(node) = self.cache.dentry(id).node {
            let real = self.cache.node(node).real();
            self.cache.node_mut(node).mode = self.disk[real].mode;
        }
    }
}
