//! Access control lists: setting, removing and reading them (`ovl_set_acl`, `ovl_get_acl`). What they decide is
//! decided where permission is asked for and objects are made.

use super::Model;
use super::clause::Clause;
use super::copy_up::Copy;
use super::disk::Ino;
use super::overlay::DentryId;
use crate::acl::{Acl, Role};
use crate::errno::Errno;
use crate::step::{On, XattrFlags};
use crate::trace::Kind;

impl Model {
    /// Sets a list, or removes it where there is no value or one without entries (`set_posix_acl`).
    pub(super) fn set_acl(
        &mut self,
        on: &On,
        role: Role,
        value: Option<&[u8]>,
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        let id = self.on(on)?;
        // Before 6.2 a value went to the filesystem as any other xattr's does, and what was found wrong with the order
        // of entries was found by the upper one (`ovl_posix_acl_xattr_set`).
        let by_handler = self.context.kernel < (6, 2);
        let acl = match value {
            None => None,
            Some([]) if !by_handler => None,
            Some(value) => self.decode_acl(value)?,
        };
        if acl.is_none() && value.is_some() {
            self.holds_or(Clause::AclEmpty, Errno::EINVAL)?;
        }
        self.spare(id, Clause::FatXattrs)?;
        match self.kind_of(id) {
            Some(Kind::Symlink) => return Err(self.refuse(Clause::AclSymlink, Errno::EOPNOTSUPP)),
            Some(Kind::Dir) => {}
            _ if role == Role::Default && acl.is_some() => return Err(self.refuse(Clause::AclDirectory, Errno::EACCES)),
            _ if role == Role::Default => return self.holds_or(Clause::AclDirectory, Errno::EACCES),
            _ => {}
        }
        if !self.owns(id) && self.rules.holds(Clause::AclOwner) {
            return Err(Errno::EPERM);
        }
        let valid = acl.as_ref().is_none_or(Acl::is_valid);
        if !valid && !by_handler {
            return Err(self.refuse(Clause::AclValue, Errno::EINVAL));
        }
        let clause = if value.is_some() { Clause::CupSetXattr } else { Clause::CupRemoveXattr };
        self.drop_setgid(id, role, clause)?;
        let exists = |model: &Model, ino: Ino| model.disk[ino].xattr(role.xattr()).is_some();
        let Some(node) = self.cache.at(id) else { return Err(Errno::ENOENT) };
        let (real, is_lower) = (node.real(), node.upper.is_none());
        let removes = acl.is_none() && (value.is_none() || !by_handler);
        // A lower object is asked before it is copied up.
        if is_lower && removes && !exists(self, real) && self.rules.holds(Clause::AclMissing) {
            return Err(Errno::ENODATA);
        }
        let ino = if is_lower { self.copied_up(id, clause)? } else { real };
        if !valid {
            self.copy_attr(id);
            return Err(self.refuse(Clause::AclValue, Errno::EINVAL));
        }
        let exists = exists(self, ino);
        if !exists && removes {
            self.holds_or(Clause::AclGone, Errno::ENODATA)?;
        }
        if acl.is_some() && flags.0 != 0 {
            let wrong = if exists { libc::XATTR_CREATE } else { libc::XATTR_REPLACE };
            if flags.0 & wrong != 0 {
                self.holds_or(Clause::AclFlags, if exists { Errno::EEXIST } else { Errno::ENODATA })?;
            }
        }
        self.disk.set_acl(&mut self.rules, ino, role, acl.as_ref());
        self.copy_attr(id);
        Ok(())
    }

    /// Reads a value as the kernel does before it asks for anything else.
    fn decode_acl(&mut self, value: &[u8]) -> Result<Option<Acl>, Errno> {
        let all = self.context.initial_capabilities();
        // In a user namespace with one id there is no other one.
        Acl::decode(value, |id| all || id == 0).map_err(|errno| self.refuse(Clause::AclValue, errno))
    }

    /// Fires a clause by which a call goes on; with its fault on it gives this errno.
    fn holds_or(&mut self, clause: Clause, errno: Errno) -> Result<(), Errno> {
        if self.rules.holds(clause) { Ok(()) } else { Err(errno) }
    }

    /// An owner outside the group loses setgid: the mounter, who sets the list, would keep it.
    fn drop_setgid(&mut self, id: DentryId, role: Role, clause: Clause) -> Result<(), Errno> {
        let Some(node) = self.cache.at(id) else { return Ok(()) };
        let (mode, gid) = (node.mode, node.owner.1);
        if mode & 0o2000 == 0 || role == Role::Default || self.in_group(gid) || !self.rules.holds(Clause::AclSetgid) {
            return Ok(());
        }
        let ino = self.copied_up(id, clause)?;
        self.disk.raw(ino).mode &= !0o2000;
        self.copy_attr(id);
        Ok(())
    }

    fn copied_up(&mut self, id: DentryId, clause: Clause) -> Result<Ino, Errno> {
        self.must_copy_up(id, clause)?;
        self.copy_up(id, Copy::Attributes)?;
        self.cache.at(id).and_then(|n| n.upper).ok_or(Errno::ESTALE)
    }

    /// Reading a list asks for no permission (`vfs_get_acl`); gives the name that it is kept under.
    pub(super) fn may_get_acl(&mut self, id: DentryId, name: &[u8]) -> Result<String, Errno> {
        if self.kind_of(id) == Some(Kind::Symlink) {
            return Err(self.refuse(Clause::AclSymlink, Errno::EOPNOTSUPP));
        }
        Ok(String::from_utf8_lossy(name).into_owned())
    }
}
