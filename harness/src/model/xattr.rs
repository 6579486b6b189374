//! Xattrs: set, get, list, remove, and the overlay's own names among them (`xattrs.c`).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::copy_up::Copy;
use super::disk::XattrValue;
use super::overlay::DentryId;
use super::permission::{CAPABILITY, READ, WRITE};
use super::value::Stamp;
use crate::acl::Role;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::{On, XattrFlags};
use crate::trace::Kind;

/// Longest name of an xattr (`XATTR_NAME_MAX`).
const NAME_MAX: usize = 255;

/// Whether a value of security.capability is let through (`validheader`): nothing at all, or what has the size of its
/// revision, which is in its first four bytes beside a flag.
fn is_valid_capability(value: &[u8]) -> bool {
    match (value.len(), value) {
        (0, _) => true,
        (20, [0 | 1, 0, 0, revision, ..]) => *revision == 2,
        (24, [0 | 1, 0, 0, revision, ..]) => *revision == 3,
        _ => false,
    }
}

/// A name as the caller gives it.
enum Name {
    /// Private: what follows the prefix in force.
    Private(Bytes),
    /// Any other.
    Plain(Bytes),
}

/// What an xattr's namespace demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    User,
    Trusted,
    Security,
    Unknown,
}

impl Model {
    fn prefix(&self) -> &'static [u8] {
        if self.context.userxattr() { b"user.overlay." } else { b"trusted.overlay." }
    }

    /// The name in full.
    fn full_name(&self, name: &[u8]) -> Bytes {
        match name.strip_prefix(b"@") {
            Some(rest) => Bytes::from([self.prefix(), rest].concat()),
            None => name.into(),
        }
    }

    /// What a call is about, and the name it gives. Since 6.13 the name is looked at before anything else; in 6.12
    /// so do those that change something, with a path.
    fn on_and_name(&mut self, on: &On, name: &[u8], writes: bool) -> Result<(DentryId, Name), Errno> {
        let name_first = match on {
            On::Path(_) | On::Link(_) if writes => self.context.kernel >= (6, 12),
            _ => self.context.kernel >= (6, 13),
        };
        if name_first {
            let name = self.xattr_name(name)?;
            return Ok((self.on(on)?, name));
        }
        let id = self.on(on)?;
        Ok((id, self.xattr_name(name)?))
    }

    /// Checks a name's length and tells private names (XAT-01).
    fn xattr_name(&mut self, name: &[u8]) -> Result<Name, Errno> {
        let full = self.full_name(name);
        if full.is_empty() || full.len() > NAME_MAX {
            return Err(self.refuse(Clause::XatRange, Errno::ERANGE));
        }
        Ok(match full.strip_prefix(self.prefix()) {
            Some(rest) => Name::Private(rest.into()),
            None => Name::Plain(full),
        })
    }

    fn space(&self, name: &Name) -> (Space, bool) {
        let full = match name {
            Name::Private(_) => {
                return (if self.context.userxattr() { Space::User } else { Space::Trusted }, true);
            }
            Name::Plain(full) => full,
        };
        let known: [(&[u8], Space); 3] =
            [(b"user.", Space::User), (b"trusted.", Space::Trusted), (b"security.", Space::Security)];
        match known.iter().find_map(|(p, space)| full.strip_prefix(*p).map(|rest| (*space, !rest.is_empty()))) {
            Some(found) => found,
            None => (Space::Unknown, true),
        }
    }

    /// `xattr_permission`: what the VFS demands of the caller before the filesystem is asked.
    fn may_xattr(&mut self, id: DentryId, name: &Name, write: bool) -> Result<(), Errno> {
        if write {
            self.spare(id, Clause::FatXattrs)?;
        }
        let refusal = if write { Errno::EPERM } else { Errno::ENODATA };
        match self.space(name).0 {
            Space::Trusted if !self.initially_capable() => Err(self.refuse(Clause::XatTrusted, refusal)),
            Space::User if !self.kind_of(id).is_some_and(|kind| self.context.takes_user_xattrs(kind)) => {
                Err(self.refuse(Clause::XatUserKind, refusal))
            }
            // The capability module keeps the rest of security.* for the administrator.
            Space::Security if write && !self.actor.is_capable() => Err(self.refuse(Clause::XatSecurity, Errno::EPERM)),
            Space::User if write && self.kind_of(id) == Some(Kind::Dir) && self.is_sticky(id) && !self.owns(id) => {
                Err(self.refuse(Clause::XatSticky, Errno::EPERM))
            }
            Space::User => self.may(id, if write { WRITE } else { READ }),
            Space::Unknown if !matches!(name, Name::Plain(n) if n.starts_with(b"system.")) => {
                self.may(id, if write { WRITE } else { READ })
            }
            _ => Ok(()),
        }
    }

    fn is_sticky(&self, id: DentryId) -> bool {
        self.cache.at(id).is_some_and(|n| n.mode & 0o1000 != 0)
    }

    /// The name that the xattr has on disk (XAT-01, XAT-05), as the disk keeps it.
    fn stored_name(&mut self, name: &Name) -> Result<String, Errno> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match name {
            Name::Private(rest) if self.context.view == View::Plain => Ok(text(&[b"@", &rest[..]].concat())),
            Name::Private(rest) => {
                if rest.is_empty() {
                    return Err(Errno::EINVAL);
                }
                // Before 6.7 there were no escapes, and private names nobody's (ovl_own_xattr_set).
                if self.context.kernel < (6, 7) {
                    return Err(Errno::EOPNOTSUPP);
                }
                let escaped = [b"overlay.", &rest[..]].concat();
                if self.prefix().len() + escaped.len() > NAME_MAX {
                    return Err(self.refuse(Clause::XatEscapeLong, Errno::EOPNOTSUPP));
                }
                let stored = if self.rules.holds(Clause::XatEscape) { &escaped[..] } else { &rest[..] };
                Ok(text(&[b"@", stored].concat()))
            }
            Name::Plain(full) => Ok(text(full)),
        }
    }

    /// What the real filesystem says of a name that it cannot hold.
    fn real_refusal(&mut self, name: &Name) -> Option<Errno> {
        match self.space(name) {
            (Space::User, _) if !self.disk.traits.user_xattrs => Some(Errno::EOPNOTSUPP),
            (Space::Unknown, _) => Some(self.refuse(Clause::XatUnknown, Errno::EOPNOTSUPP)),
            (_, false) => Some(Errno::EINVAL),
            _ => None,
        }
    }

    /// The file that a call is about.
    pub(super) fn on(&mut self, on: &On) -> Result<DentryId, Errno> {
        match on {
            On::Path(path) => self.walk(path, true),
            On::Link(path) => self.walk(path, false),
            On::Slot(slot) => Ok(self.file(*slot)?.dentry),
        }
    }

    pub(super) fn set_xattr(&mut self, on: &On, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<(), Errno> {
        if let Some(role) = Role::of(name) {
            return self.set_acl(on, role, Some(value), flags);
        }
        let (id, name) = self.on_and_name(on, name, true)?;
        let is_capability = matches!(&name, Name::Plain(name) if name.as_slice() == CAPABILITY.as_bytes());
        if is_capability && !is_valid_capability(value) && self.rules.holds(Clause::XatCapability) {
            return Err(Errno::EINVAL);
        }
        self.may_xattr(id, &name, true)?;
        let stored = self.stored_name(&name)?;
        // An upper in the index alone will do: the name is not linked to it for this.
        if self.cache.at(id).is_some_and(|n| n.upper.is_none()) {
            self.must_copy_up(id, Clause::CupSetXattr)?;
            self.copy_up(id, Copy::Attributes)?;
        }
        let done = self.set_real_xattr(id, &name, &stored, value, flags);
        self.refresh(id, done.is_err());
        done
    }

    /// The call on the upper filesystem.
    fn set_real_xattr(
        &mut self,
        id: DentryId,
        name: &Name,
        stored: &str,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        if let Some(errno) = self.real_refusal(name) {
            return Err(errno);
        }
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        let exists = self.disk[ino].xattr(stored).is_some();
        if exists && flags.0 & libc::XATTR_CREATE != 0 {
            return Err(self.refuse(Clause::XatCreate, Errno::EEXIST));
        }
        if !exists && flags.0 & libc::XATTR_REPLACE != 0 {
            return Err(self.refuse(Clause::XatReplace, Errno::ENODATA));
        }
        self.disk.set_xattr(&mut self.rules, ino, stored, XattrValue::Known(value.into()));
        if let (true, Some(node)) = (stored.starts_with("security."), self.cache.dentry(id).node) {
            self.cache.node_mut(node).no_suid = false;
        }
        Ok(())
    }

    /// Copies the upper's attributes to the overlay inode, as a call does that got as far as the upper
    /// filesystem, even if that refused it.
    fn refresh(&mut self, id: DentryId, failed: bool) {
        let Some(node) = self.cache.at(id) else { return };
        let real = &self.disk[node.real()];
        let stale = node.mode != real.mode || node.owner != (real.uid, real.gid);
        if !failed || !stale || self.rules.holds(Clause::XatRefresh) {
            self.copy_attr(id);
        }
    }

    pub(super) fn remove_xattr(&mut self, on: &On, name: &[u8]) -> Result<(), Errno> {
        if let Some(role) = Role::of(name) {
            return self.set_acl(on, role, None, XattrFlags::default());
        }
        let (id, name) = self.on_and_name(on, name, true)?;
        self.may_xattr(id, &name, true)?;
        let stored = self.stored_name(&name)?;
        let Some(node) = self.cache.at(id) else { return Err(Errno::ENOENT) };
        let (real, is_lower) = (node.real(), node.upper.is_none());
        if let Some(errno) = self.real_refusal(&name) {
            if !is_lower {
                self.refresh(id, true);
            }
            return Err(errno);
        }
        if self.disk[real].xattr(&stored).is_none() {
            if !is_lower {
                self.refresh(id, true);
            }
            // A lower file is asked before it is copied up (XAT-08).
            if is_lower && !self.rules.holds(Clause::XatRemoveMissing) {
                self.copy_up(id, Copy::Attributes)?;
            }
            return Err(self.refuse(Clause::XatNoData, Errno::ENODATA));
        }
        if is_lower {
            self.must_copy_up(id, Clause::CupRemoveXattr)?;
            self.copy_up(id, Copy::Attributes)?;
        }
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        self.disk.remove_xattr(&mut self.rules, ino, &stored);
        self.copy_attr(id);
        Ok(())
    }

    /// The value, or its length when `size` is 0.
    pub(super) fn get_xattr(&mut self, on: &On, name: &[u8], size: u32) -> Result<Vec<u8>, Errno> {
        let (id, name) = self.on_and_name(on, name, false)?;
        let stored = match &name {
            Name::Plain(name) if Role::of(name).is_some() => self.may_get_acl(id, name)?,
            name => {
                self.may_xattr(id, name, false)?;
                let stored = self.stored_name(name)?;
                if let Some(errno) = self.real_refusal(name) {
                    return Err(errno);
                }
                stored
            }
        };
        let Some(real) = self.cache.at(id).map(|n| n.real()) else { return Err(Errno::ENOENT) };
        match self.disk[real].xattr(&stored) {
            Some(XattrValue::Known(value)) => {
                let value = value.0.to_vec();
                if size != 0 && value.len() > size as usize {
                    return Err(self.refuse(Clause::XatSmall, Errno::ERANGE));
                }
                Ok(value)
            }
            // Handles and uuids are private and never shown.
            _ => Err(self.refuse(Clause::XatNoData, Errno::ENODATA)),
        }
    }

    /// The names that are shown, and the length of the list as a size query gives it (XAT-02).
    pub(super) fn list_xattr(&mut self, on: &On, size: u32) -> Result<(Vec<Bytes>, u64), Errno> {
        let id = self.on(on)?;
        let Some(real) = self.cache.at(id).map(|n| n.real()) else { return Err(Errno::ENOENT) };
        let stored: Vec<Bytes> = self.disk[real].xattrs.keys().cloned().collect();
        let plain = self.context.view == View::Plain;
        // A plain filesystem leaves out at once what is not for the caller.
        let mut stored = stored;
        let hides = !plain || self.disk.traits.hides_trusted;
        if plain && hides && !self.initially_capable() {
            stored.retain(|n| !n.starts_with(b"trusted.") && (n.first() != Some(&b'@') || self.context.userxattr()));
        }
        let whole: u64 = stored.iter().map(|n| self.full_name(n).len() as u64 + 1).sum();
        if size != 0 && whole > u64::from(size) {
            return Err(self.refuse(Clause::XatListSmall, Errno::ERANGE));
        }
        let mut names = Vec::new();
        for name in stored {
            match name.strip_prefix(b"@") {
                None => names.push(name),
                Some(_) if plain => names.push(name),
                Some(rest) => match rest.strip_prefix(b"overlay.") {
                    Some(rest) if self.context.kernel >= (6, 7) => {
                        if self.rules.holds(Clause::XatUnescape) {
                            names.push(Bytes::from([b"@", rest].concat()));
                        }
                    }
                    _ if !self.rules.holds(Clause::XatHidden) => names.push(name),
                    _ => {}
                },
            }
        }
        // trusted.* is for the administrator's eyes (XAT-06); the size query tells its length all the same.
        let trusted = hides && !self.initially_capable();
        let prefix = self.prefix();
        let is_trusted =
            |n: &Bytes| n.starts_with(b"trusted.") || n.first() == Some(&b'@') && prefix.starts_with(b"trusted.");
        if trusted && names.iter().any(is_trusted) && self.rules.holds(Clause::XatListTrusted) {
            names.retain(|n| !is_trusted(n));
        }
        names.sort();
        let shown: u64 = names.iter().map(|n| self.full_name(n).len() as u64 + 1).sum();
        let counted = if whole == shown || self.rules.holds(Clause::XatSizeQuery) { whole } else { shown };
        Ok((names, counted))
    }

    /// A copy of a stamp for the span that is now.
    pub(super) fn now(&self) -> Stamp {
        self.disk.now
    }
}
