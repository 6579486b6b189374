//! Attributes: chmod, chown, time stamps, truncate (`ovl_setattr`), and access.

use super::Model;
use super::clause::Clause;
use super::copy_up::Copy;
use super::disk::Ino;
use super::overlay::DentryId;
use super::permission::{CAPABILITY, WRITE, is_sxid};
use super::traits::SameSize;
use super::value::Stamp;
use crate::errno::Errno;
use crate::step::{Actor, AtFlags, NewTime, On};
use crate::trace::Kind;

impl Model {
    /// Copies an object up for a change of its attributes and gives its upper inode.
    fn attributes(&mut self, id: DentryId, clause: Clause) -> Result<Ino, Errno> {
        self.must_copy_up(id, clause)?;
        self.copy_up(id, Copy::Attributes)?;
        self.cache.at(id).and_then(|n| n.upper).ok_or(Errno::ESTALE)
    }

    pub(super) fn chmod(&mut self, id: DentryId, mode: u32) -> Result<(), Errno> {
        self.spare(id, Clause::FatAttributes)?;
        if !self.owns(id) && self.rules.holds(Clause::PrmOwner) {
            return Err(Errno::EPERM);
        }
        let mut mode = (mode & 0o7777) as u16;
        let gid = self.cache.at(id).map_or(0, |n| n.owner.1);
        if mode & 0o2000 != 0 && !self.in_group(gid) && self.rules.holds(Clause::PrmSetgidChmod) {
            mode &= !0o2000;
        }
        let ino = self.attributes(id, Clause::CupChmod)?;
        self.disk.set_mode(&mut self.rules, ino, mode);
        if let (true, Some(node)) = (is_sxid(mode), self.cache.dentry(id).node) {
            self.cache.node_mut(node).no_suid = false;
        }
        self.copy_attr(id);
        Ok(())
    }

    pub(super) fn fchmodat(&mut self, path: &[u8], mode: u32, flags: AtFlags) -> Result<(), Errno> {
        if self.context.kernel < (6, 6) {
            return Err(Errno::ENOSYS);
        }
        self.knows_flags(flags, libc::AT_SYMLINK_NOFOLLOW)?;
        let id = self.walk_at(path, flags)?;
        self.spare(id, Clause::FatAttributes)?;
        if self.kind_of(id) == Some(Kind::Symlink) {
            return Err(self.refuse(Clause::VfsChmodLink, Errno::EOPNOTSUPP));
        }
        self.chmod(id, mode)
    }

    /// Refuses flags that a call does not know.
    pub(super) fn knows_flags(&mut self, flags: AtFlags, known: i32) -> Result<(), Errno> {
        if flags.0 & !known == 0 { Ok(()) } else { Err(self.refuse(Clause::VfsAtFlags, Errno::EINVAL)) }
    }

    /// Walks to what a call with AT_SYMLINK_NOFOLLOW or without is about.
    fn walk_at(&mut self, path: &[u8], flags: AtFlags) -> Result<DentryId, Errno> {
        let nofollow = flags.has(libc::AT_SYMLINK_NOFOLLOW) && self.rules.holds(Clause::VfsNoFollow);
        self.walk(path, !nofollow)
    }

    pub(super) fn chown(&mut self, on: &On, uid: i64, gid: i64) -> Result<(), Errno> {
        let id = self.on(on)?;
        let (uid, gid) = (u32::try_from(uid).ok(), u32::try_from(gid).ok());
        // Other ids than the one that the user namespace maps do not exist there (USR-07).
        let unmapped = |id: Option<u32>| id.is_some_and(|id| id != 0);
        if !self.context.initial_capabilities() && (unmapped(uid) || unmapped(gid)) {
            return Err(self.refuse(Clause::VfsChownUnmapped, Errno::EINVAL));
        }
        if uid.is_some() || gid.is_some() {
            self.spare(id, Clause::FatAttributes)?;
        }
        let Some((cached, owner)) = self.cache.at(id).map(|n| (n.mode, n.owner)) else { return Err(Errno::ESTALE) };
        let setgid = cached & 0o2000 != 0 && (cached & 0o010 != 0 || !self.in_group(owner.1));
        let is_dir = self.kind_of(id) == Some(Kind::Dir);
        self.may_chown(id, owner, uid, gid, !is_dir && (cached & 0o4000 != 0 || setgid))?;
        let ino = self.attributes(id, Clause::CupChown)?;
        if !is_dir {
            self.drop_capability(id);
        }
        // Whatever is not a directory loses setuid, and setgid if group-executable, whoever asks.
        let real = self.disk[ino].mode;
        let killed = 0o4000 | if setgid { 0o2000 } else { 0 };
        if !is_dir && real & killed != 0 && self.rules.holds(Clause::VfsChownSuid) {
            self.disk.raw(ino).mode = real & !killed;
        }
        let (old_uid, old_gid) = (self.disk[ino].uid, self.disk[ino].gid);
        self.disk.set_owner(&mut self.rules, ino, uid.unwrap_or(old_uid), gid.unwrap_or(old_gid));
        self.copy_attr(id);
        Ok(())
    }

    /// Who may give an object away, or to a group of their own (`setattr_prepare`).
    fn may_chown(
        &mut self,
        id: DentryId,
        owner: (u32, u32),
        uid: Option<u32>,
        gid: Option<u32>,
        changes_mode: bool,
    ) -> Result<(), Errno> {
        if self.actor.is_capable() {
            return Ok(());
        }
        let own = owner.0 == self.actor.uid();
        let uid_ok = uid.is_none_or(|uid| own && uid == owner.0);
        let gid_ok = gid.is_none_or(|gid| own && (gid == owner.1 || self.in_group(gid)));
        if uid_ok && gid_ok && (!changes_mode || self.owns(id)) {
            return Ok(());
        }
        if self.rules.holds(Clause::PrmChown) { Err(Errno::EPERM) } else { Ok(()) }
    }

    pub(super) fn utimens(&mut self, on: &On, atime: NewTime, mtime: NewTime) -> Result<(), Errno> {
        // Nothing to do: not even the path is looked at.
        if atime == NewTime::Omit && mtime == NewTime::Omit && self.rules.holds(Clause::VfsUtimeOmit) {
            return Ok(());
        }
        let id = self.on(on)?;
        let touches = atime == NewTime::Now && mtime == NewTime::Now;
        if !touches || self.is_immutable(id) {
            self.spare(id, Clause::FatAttributes)?;
        }
        if !self.owns(id) {
            // Anybody who may write may set both times to now.
            if atime != NewTime::Now || mtime != NewTime::Now {
                return Err(self.refuse(Clause::PrmTimes, Errno::EPERM));
            }
            self.may(id, WRITE)?;
        }
        let ino = self.attributes(id, Clause::CupUtimens)?;
        let new = |model: &Model, time: NewTime, old: Stamp| match time {
            NewTime::Now => model.now(),
            NewTime::Omit => old,
            NewTime::At(time) => Stamp::Exact(time),
        };
        let (atime, mtime) = (new(self, atime, self.disk[ino].atime), new(self, mtime, self.disk[ino].mtime));
        self.disk.set_times(&mut self.rules, ino, atime, mtime);
        self.copy_attr(id);
        Ok(())
    }

    pub(super) fn access(&mut self, path: &[u8], mode: u32) -> Result<(), Errno> {
        self.faccessat(path, mode, AtFlags::default())
    }

    pub(super) fn faccessat(&mut self, path: &[u8], mode: u32, flags: AtFlags) -> Result<(), Errno> {
        if mode & !0o7 != 0 {
            return Err(Errno::EINVAL);
        }
        self.knows_flags(flags, libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW)?;
        // It asks for the real user, and gives root its capabilities back.
        let caller = self.actor;
        if caller == Actor::Bare && flags.has(libc::AT_EACCESS) != self.rules.holds(Clause::VfsAccessEffective) {
            self.actor = Actor::Root;
        }
        let asked = self.access_as(path, mode, flags);
        self.actor = caller;
        asked
    }

    fn access_as(&mut self, path: &[u8], mode: u32, flags: AtFlags) -> Result<(), Errno> {
        let id = self.walk_at(path, flags)?;
        // Asked before the rest.
        if mode & 2 != 0 && self.is_immutable(id) {
            self.may(id, WRITE)?;
        }
        let Some(node) = self.cache.at(id) else { return Err(Errno::ENOENT) };
        let both = node.mode & self.disk[node.real()].mode;
        // No mode bit stops root but a missing execute bit.
        if mode & 1 != 0 && node.kind != Kind::Dir && both & 0o111 == 0 {
            return Err(self.refuse(Clause::VfsAccessExec, Errno::EACCES));
        }
        self.may(id, mode as u16)
    }

    pub(super) fn truncate(&mut self, path: &[u8], len: i64) -> Result<(), Errno> {
        let Ok(len) = u64::try_from(len) else { return Err(self.refuse(Clause::VfsTruncateNegative, Errno::EINVAL)) };
        let id = self.walk(path, true)?;
        match self.kind_of(id) {
            Some(Kind::File) => {}
            Some(Kind::Dir) => return Err(self.refuse(Clause::VfsTruncateKind, Errno::EISDIR)),
            _ => return Err(self.refuse(Clause::VfsTruncateKind, Errno::EINVAL)),
        }
        self.may(id, WRITE)?;
        self.spare_append_only(id, Clause::FatTruncate)?;
        self.must_copy_up(id, Clause::CupTruncate)?;
        // Taking a capability away is a change of an attribute, and comes first (`setattr_prepare`).
        if self.cache.at(id).is_some_and(|n| n.upper.is_none() && self.disk[n.real()].xattr(CAPABILITY).is_some()) {
            self.copy_up(id, Copy::Attributes)?;
        }
        self.copy_up(id, Copy::Data)?;
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        let size = self.disk.data(ino).len() as u64;
        if size == 0 && len == 0 && self.disk.traits.ignores_empty_truncate {
            self.drop_capability(id);
            return Ok(());
        }
        let same = size == len;
        let dated = !same
            || match self.disk.traits.same_size {
                // Cutting at the same size still cuts the storage behind it, which dates the file.
                SameSize::Stored => self.disk.is_stored(ino),
                SameSize::Always => true,
                SameSize::Never => false,
            };
        self.drop_suid(id, dated);
        let fill = if len > self.disk.data(ino).len() as u64 && !self.rules.holds(Clause::VfsTruncateExtends) {
            b'x'
        } else {
            0
        };
        self.disk.resize(ino, len, fill);
        if !same || self.rules.holds(Clause::FsTruncateSame) == dated {
            self.disk.date_data(&mut self.rules, ino);
        }
        self.copy_attr(id);
        Ok(())
    }
}
