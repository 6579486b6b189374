//! Permission: what the caller may do. So far only uid 0 of the worker's user namespace calls, whom
//! no mode bit stops, so what is left is what capabilities do not override.

use super::Model;
use super::overlay::DentryId;
use crate::errno::Errno;

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

    /// Mode after a write or truncate by the caller (`setattr_should_drop_suidgid`).
    pub(super) fn mode_after_write(&mut self, mode: u16, gid: u32) -> u16 {
        use super::clause::Clause;
        if self.context.initial_capabilities() || mode & 0o6000 == 0 {
            return mode;
        }
        let mut kept = mode & !0o4000;
        // Without group execute the bit means locking and stays, for members of the group.
        if mode & 0o2000 != 0 && (mode & 0o010 != 0 || gid != 0) {
            kept &= !0o2000;
        }
        if kept != mode && self.rules.holds(Clause::VfsKillSuid) { kept } else { mode }
    }
}
