//! Permission: what the caller may do, by the overlay inode and its own credentials (PRM-01).
//!
//! The mounter's second check against the real inode always passes here, because the mounter is root
//! of all that the layers hold.

use super::Model;
use super::clause::Clause;
use super::overlay::DentryId;
use crate::acl::Role;
use crate::errno::Errno;
use crate::trace::Kind;

/// `MAY_READ`
pub(super) const READ: u16 = 4;
/// `MAY_WRITE`
pub(super) const WRITE: u16 = 2;
/// `MAY_EXEC`
pub(super) const EXEC: u16 = 1;

impl Model {
    /// Whether the caller has capabilities in the initial user namespace.
    pub(super) fn initially_capable(&self) -> bool {
        self.actor.is_capable() && self.context.initial_capabilities()
    }

    /// Whether the caller is in a group, or its capabilities make up for it (`in_group_or_capable`).
    pub(super) fn in_group(&self, gid: u32) -> bool {
        self.actor.is_capable() || self.actor.is_in(gid)
    }

    /// Whether the caller owns an object, or may do as if (`inode_owner_or_capable`).
    pub(super) fn owns(&self, id: DentryId) -> bool {
        self.actor.is_capable() || self.cache.at(id).is_some_and(|n| n.owner.0 == self.actor.uid())
    }

    /// `generic_permission` on the overlay inode.
    pub(super) fn may(&mut self, id: DentryId, mask: u16) -> Result<(), Errno> {
        if mask & WRITE != 0 && self.is_immutable(id) && self.rules.holds(Clause::FatWrite) {
            return Err(Errno::EPERM);
        }
        let Some(node) = self.cache.at(id) else { return Ok(()) };
        let (uid, gid) = node.owner;
        let class = if uid == self.actor.uid() {
            6
        } else if self.actor.is_in(gid) {
            3
        } else {
            0
        };
        let mut granted = mask & !((node.mode >> class) & 7) == 0;
        // An access control list is for others than the owner, and not looked at while the mode grants the group,
        // which stands for the mask, nothing (`acl_permission_check`).
        if class != 6 {
            if let Some(acl) = self.disk.acl(node.real(), Role::Access) {
                let clause = if node.mode & 0o070 == 0 { Clause::AclZero } else { Clause::AclAccess };
                if self.rules.holds(clause) == (clause == Clause::AclAccess) {
                    let actor = self.actor;
                    granted = acl.grants(actor.uid(), gid, |gid| actor.is_in(gid), mask);
                }
            }
        }
        if granted {
            return Ok(());
        }
        // Capabilities override all but the execution of what nobody may execute.
        let executable = node.kind == Kind::Dir || mask & EXEC == 0 || node.mode & 0o111 != 0;
        if self.actor.is_capable() && executable {
            return Ok(());
        }
        if self.rules.holds(Clause::PrmMode) { Err(Errno::EACCES) } else { Ok(()) }
    }

    /// `may_create`: a name may be added to its directory.
    pub(super) fn may_create(&mut self, id: DentryId) -> Result<(), Errno> {
        let dir = self.cache.dentry(id).parent;
        self.may(dir, WRITE | EXEC)
    }

    /// `may_delete`, up to the types: a name may be taken out of its directory.
    pub(super) fn may_delete(&mut self, id: DentryId) -> Result<(), Errno> {
        self.may_create(id)?;
        self.spare_append_only(self.cache.dentry(id).parent, Clause::FatDirectory)?;
        self.spare(id, Clause::FatRemove)?;
        let (Some(dir), Some(node)) = (self.cache.at(self.cache.dentry(id).parent), self.cache.at(id)) else {
            return Ok(());
        };
        let uid = self.actor.uid();
        let kept = dir.mode & 0o1000 != 0 && node.owner.0 != uid && dir.owner.0 != uid && !self.actor.is_capable();
        if kept && self.rules.holds(Clause::PrmSticky) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// `may_linkat`: with `fs.protected_hardlinks`, only what the caller owns, or could write and is no
    /// special or setuid file.
    pub(super) fn may_link(&mut self, id: DentryId) -> Result<(), Errno> {
        if !self.context.protected_hardlinks || self.owns(id) {
            return Ok(());
        }
        let Some(node) = self.cache.at(id) else { return Ok(()) };
        let safe = node.kind == Kind::File && node.mode & 0o4000 == 0 && node.mode & 0o2010 != 0o2010;
        if safe && self.may(id, READ | WRITE).is_ok() {
            return Ok(());
        }
        Err(self.refuse(Clause::PrmHardlink, Errno::EPERM))
    }

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
        if guarded && link.uid != self.actor.uid() && link.uid != dir.uid { Err(Errno::EACCES) } else { Ok(()) }
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
        if dir.mode & 0o1000 == 0 || strict == 0 || file.uid == dir.uid || file.uid == self.actor.uid() {
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
        let (mode, Some(ino), no_suid) = (node.mode, node.upper, node.no_suid) else { return };
        if self.disk[ino].xattr(CAPABILITY).is_some() && !(no_suid && self.rules.holds(Clause::VfsNoSuid)) {
            self.drop_capability(id);
        }
        let Some(node) = self.cache.at(id) else { return };
        if self.initially_capable() || mode & 0o6000 == 0 {
            return;
        }
        if node.no_suid && self.rules.holds(Clause::VfsNoSuid) {
            return;
        }
        // Without group execute setgid means locking, and stays for members of the group.
        let setgid = mode & 0o010 != 0 || !self.in_group(node.owner.1);
        let killed = mode & 0o4000 | if setgid { mode & 0o2000 } else { 0 };
        let real = self.disk[ino].mode;
        if real & killed != 0 && self.rules.holds(Clause::VfsKillSuid) {
            // What changes the mode sets an access control list again, which dates it.
            let listed = self.disk.traits.truncating_sets_acl && self.disk.acl(ino, Role::Access).is_some();
            if dated || listed {
                self.disk.set_mode(&mut self.rules, ino, real & !killed);
            } else {
                self.disk.raw(ino).mode = real & !killed;
            }
        }
    }

    /// Takes the capabilities of an upper file away (`cap_inode_killpriv`); the overlay does it through itself.
    pub(super) fn drop_capability(&mut self, id: DentryId) {
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return };
        if self.disk[ino].xattr(CAPABILITY).is_some() && self.rules.holds(Clause::VfsKillCapability) {
            self.disk.remove_xattr(&mut self.rules, ino, CAPABILITY);
        }
    }

    /// As `drop_suid`, before data are written; what is found then is remembered (`file_remove_privs`).
    ///
    /// `reached`: the call gets as far as the upper filesystem.
    pub(super) fn remove_privs(&mut self, id: DentryId, reached: bool) {
        let Some(node) = self.cache.dentry(id).node else { return };
        // The upper filesystem looks for itself, as the mounter, and remembers nothing of other names.
        let known = self.cache.node(node).no_suid;
        self.cache.node_mut(node).no_suid &= !reached;
        self.drop_suid(id, true);
        let Some(upper) = self.cache.node(node).upper else { return };
        if self.disk[upper].mode & 0o6000 != self.cache.node(node).mode & 0o6000 && !self.initially_capable() {
            self.copy_attr(id);
        }
        let node = self.cache.node_mut(node);
        node.no_suid = known || !is_sxid(node.mode);
    }

    /// Copies the upper inode's mode, owner and size to the overlay inode (`ovl_copyattr`).
    pub(super) fn copy_attr(&mut self, id: DentryId) {
        if let Some(node) = self.cache.dentry(id).node {
            let real = self.cache.node(node).real();
            self.cache.node_mut(node).mode = self.disk[real].mode;
            self.cache.node_mut(node).size = self.disk.size(real);
            self.cache.node_mut(node).owner = (self.disk[real].uid, self.disk[real].gid);
        }
    }
}

/// The xattr that gives who executes a file capabilities.
pub(super) const CAPABILITY: &str = "security.capability";

/// Whether a mode is setuid or setgid (`is_sxid`, which since 6.2 asks for no group execution).
pub(super) fn is_sxid(mode: u16) -> bool {
    mode & 0o6000 != 0
}
