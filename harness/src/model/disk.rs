//! The filesystem under the layers: inodes, names, times and xattrs, as tmpfs keeps them, or another by
//! its traits.
//!
//! All layers and the work directory lie on one disk, which may have several filesystems of one kind. It knows nothing of overlays: the overlay
//! calls it as the kernel's overlay calls the upper filesystem, and the plain filesystem is this
//! disk with nothing above it. Its functions are the filesystem's own operations, after all checks.

mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::clause::{Clause, Rules};
use super::traits::Traits;
use super::value::Stamp;
use crate::acl::{Acl, Role};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::InodeFlags;
use crate::trace::Kind;

/// Index of an inode on the disk; never reused.
pub type Ino = u32;

/// What an inode holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A directory and its names.
    Dir(BTreeMap<Bytes, Ino>),
    /// Data of a regular file.
    File(Rc<Vec<u8>>),
    /// Target of a symlink.
    Symlink(Bytes),
    /// A fifo.
    Fifo,
    /// A socket.
    Socket,
    /// A character device: major, minor.
    Char(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
}

impl Body {
    /// An empty directory.
    pub fn dir() -> Body {
        Body::Dir(BTreeMap::new())
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Body::Dir(_) => Kind::Dir,
            Body::File(_) => Kind::File,
            Body::Symlink(_) => Kind::Symlink,
            Body::Fifo => Kind::Fifo,
            Body::Socket => Kind::Socket,
            Body::Char(..) => Kind::Char,
            Body::Block(..) => Kind::Block,
        }
    }
}

/// Value of an xattr; some are logical because only the kernel knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrValue {
    /// These bytes.
    Known(Bytes),
    /// A file handle of this inode: the same whenever it is stored, another for every other inode.
    Handle(Ino),
    /// The random uuid number `n` of the case.
    Uuid(u32),
}

impl XattrValue {
    /// A known value.
    pub fn known(value: &str) -> XattrValue {
        XattrValue::Known(value.into())
    }
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    /// What it holds.
    pub body: Body,
    /// Which of the filesystems it is on.
    pub on: u8,
    /// Mode bits below 010000.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count.
    pub nlink: u32,
    /// What protects it, where there is no overlay: an overlay has that in an xattr.
    pub flags: InodeFlags,
    /// It may be given a name although it has none: what O_TMPFILE made (`I_LINKABLE`).
    pub linkable: bool,
    /// Last access.
    pub atime: Stamp,
    /// Last modification.
    pub mtime: Stamp,
    /// Last change.
    pub ctime: Stamp,
    /// Xattrs; private ones start with `@`.
    pub xattrs: BTreeMap<Bytes, XattrValue>,
    /// Which pages of a regular file have storage; the rest are holes.
    pub pages: Vec<bool>,
    /// Which pages of a regular file have storage that was never written (fallocate), beyond its end too; they read
    /// as NUL bytes.
    pub unwritten: BTreeSet<usize>,
    /// Whether a regular file shares storage with a clone.
    pub cloned: bool,
    /// How many of its holes have been given storage by reading ([`Traits::reading_fills_holes`]).
    pub filled: usize,
    /// When each name of a directory came, in the disk's count of arrivals.
    pub arrivals: BTreeMap<Bytes, u64>,
    /// The clause that last changed it: the suspect when it is seen to differ.
    pub by: Option<Clause>,
}

/// Size of a page.
pub const PAGE: usize = 4096;

impl Inode {
    /// The names, if it is a directory.
    pub fn names(&self) -> Option<&BTreeMap<Bytes, Ino>> {
        match &self.body {
            Body::Dir(names) => Some(names),
            _ => None,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.body, Body::Dir(_))
    }

    /// Whether it is a character device 0:0.
    pub fn is_char_whiteout(&self) -> bool {
        self.body == Body::Char(0, 0)
    }

    /// The value of the private or ordinary xattr `name`.
    pub fn xattr(&self, name: &str) -> Option<&XattrValue> {
        self.xattrs.get(name.as_bytes())
    }
}

/// How `rename` treats its two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The new name is replaced.
    Replace,
    /// The new name is replaced and a whiteout takes the old one.
    Whiteout,
    /// The two are exchanged.
    Exchange,
}

/// Owner and mode of a new inode.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode bits.
    pub mode: u16,
}

/// The access control lists that something new takes from the directory that it is made in.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// For access.
    pub access: Option<Acl>,
    /// What is made in it takes.
    pub default: Option<Acl>,
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    /// What its filesystem does its own way.
    pub traits: Traits,
    /// What "now" is.
    pub now: Stamp,
    /// On which of the filesystems inodes are made.
    pub on: u8,
    /// How many changes were made so far.
    pub changes: u64,
    /// How many names came to directories so far.
    pub arrivals: u64,
}

impl std::ops::Index<Ino> for Disk {
    type Output = Inode;

    fn index(&self, ino: Ino) -> &Inode {
        &self.inodes[ino as usize]
    }
}

impl Disk {
    /// An empty disk of a filesystem with these traits.
    pub fn new(traits: Traits) -> Disk {
        Disk { traits, ..Disk::default() }
    }

    /// An inode without a name yet.
    pub fn alloc(&mut self, rules: &Rules, body: Body, owner: Owner) -> Ino {
        let ino = self.inodes.len() as Ino;
        let nlink = match &body {
            Body::Dir(_) if self.traits.counts_subdirectories => 2,
            Body::Dir(_) => 1,
            _ => 0,
        };
        let Owner { uid, gid, mode } = owner;
        let (atime, mtime, ctime) = (self.now, self.now, self.now);
        let by = rules.in_play().last().copied();
        self.inodes.push(Inode {
            body,
            on: self.on,
            mode,
            uid,
            gid,
            nlink,
            flags: InodeFlags::default(),
            linkable: false,
            atime,
            mtime,
            ctime,
            xattrs: BTreeMap::new(),
            pages: Vec::new(),
            unwritten: BTreeSet::new(),
            cloned: false,
            filled: 0,
            arrivals: BTreeMap::new(),
            by,
        });
        ino
    }

    /// Another inode like this one, without a name.
    pub fn duplicate(&mut self, ino: Ino) -> Ino {
        let copy = Inode { nlink: 0, ..self[ino].clone() };
        self.inodes.push(copy);
        (self.inodes.len() - 1) as Ino
    }

    /// Direct access for what no rule dates: making the layers of a case.
    pub fn raw(&mut self, ino: Ino) -> &mut Inode {
        &mut self.inodes[ino as usize]
    }

    /// The inode at `name`, if any.
    pub fn child(&self, dir: Ino, name: &[u8]) -> Option<Ino> {
        // A map by Bytes is asked by slice through the ordered range, which needs no allocation.
        let names = self[dir].names()?;
        lookup(names, name)
    }

    /// The directory that a directory has a name in.
    pub fn parent_of(&self, dir: Ino) -> Option<Ino> {
        let holds = |inode: &Inode| inode.names().is_some_and(|names| names.values().any(|&ino| ino == dir));
        self.inodes.iter().position(holds).map(|at| at as Ino)
    }

    fn changed(&mut self, rules: &Rules, ino: Ino) -> &mut Inode {
        let by = rules.in_play().last().copied();
        self.changes += 1;
        let inode = &mut self.inodes[ino as usize];
        inode.by = by.or(inode.by);
        inode
    }

    pub(super) fn date_ctime(&mut self, rules: &mut Rules, ino: Ino) {
        let now = self.now;
        let dated = rules.holds(Clause::FsCtime);
        let inode = self.changed(rules, ino);
        if dated {
            inode.ctime = now;
        }
    }

    /// Dates a directory in which a name came or went (FS-01.dirtime).
    pub(super) fn date_dir(&mut self, rules: &mut Rules, dir: Ino) {
        let now = self.now;
        let dated = rules.holds(Clause::FsDirTime);
        let inode = self.changed(rules, dir);
        if dated {
            inode.mtime = now;
            inode.ctime = now;
        }
    }

    fn insert(&mut self, dir: Ino, name: &[u8], ino: Ino) {
        self.arrivals += 1;
        self.inodes[dir as usize].arrivals.insert(name.into(), self.arrivals);
        if let Body::Dir(names) = &mut self.inodes[dir as usize].body {
            names.insert(Bytes::from(name), ino);
        }
    }

    fn erase(&mut self, dir: Ino, name: &[u8]) {
        if let Body::Dir(names) = &mut self.inodes[dir as usize].body {
            let key = names.get_key_value(name).map(|(k, _)| k.clone());
            if let Some(key) = key {
                names.remove(&key);
            }
        }
    }

    fn links(&mut self, rules: &mut Rules, ino: Ino, by: i32) {
        let is_dir = self[ino].is_dir();
        if is_dir && !self.traits.counts_subdirectories {
            return;
        }
        let clause = if is_dir { Clause::FsDirLinks } else { Clause::FsLinks };
        if rules.holds(clause) {
            let inode = &mut self.inodes[ino as usize];
            inode.nlink = inode.nlink.saturating_add_signed(by);
        }
    }

    /// Gives a nameless inode its first name.
    pub fn add(&mut self, rules: &mut Rules, dir: Ino, name: &[u8], ino: Ino) {
        self.insert(dir, name, ino);
        if self[ino].is_dir() {
            self.links(rules, dir, 1);
        } else {
            let inode = &mut self.inodes[ino as usize];
            inode.nlink += 1;
        }
        self.date_dir(rules, dir);
    }

    /// Creates an inode at a name that is free.
    pub fn create(&mut self, rules: &mut Rules, dir: Ino, name: &[u8], body: Body, owner: Owner) -> Ino {
        let ino = self.alloc(rules, body, owner);
        self.add(rules, dir, name, ino);
        ino
    }

    /// Gives an inode another name (or a nameless one its first).
    pub fn link(&mut self, rules: &mut Rules, ino: Ino, dir: Ino, name: &[u8]) {
        self.insert(dir, name, ino);
        self.links(rules, ino, 1);
        if self[ino].linkable && rules.holds(Clause::TmpOnce) {
            self.inodes[ino as usize].linkable = false;
        }
        self.date_ctime(rules, ino);
        self.date_dir(rules, dir);
    }

    /// Removes the name of what is no directory.
    pub fn unlink(&mut self, rules: &mut Rules, dir: Ino, name: &[u8]) {
        if let Some(ino) = self.child(dir, name) {
            self.erase(dir, name);
            self.links(rules, ino, -1);
            self.date_ctime(rules, ino);
            self.date_dir(rules, dir);
        }
    }

    /// Whether a directory holds no name; true for anything else.
    pub fn is_empty_dir(&self, ino: Ino) -> bool {
        self[ino].names().is_none_or(BTreeMap::is_empty)
    }

    /// Removes an empty directory.
    pub fn rmdir(&mut self, rules: &mut Rules, dir: Ino, name: &[u8]) -> Result<(), Errno> {
        let Some(ino) = self.child(dir, name) else { return Ok(()) };
        if !self.is_empty_dir(ino) && rules.holds(Clause::FsNotEmpty) {
            return Err(Errno::ENOTEMPTY);
        }
        self.erase(dir, name);
        self.inodes[ino as usize].nlink = 0;
        self.links(rules, dir, -1);
        self.date_ctime(rules, ino);
        self.date_dir(rules, dir);
        Ok(())
    }

    /// Removes a name of whatever type, with everything below it.
    pub fn remove_tree(&mut self, rules: &mut Rules, dir: Ino, name: &[u8]) {
        let Some(ino) = self.child(dir, name) else { return };
        let names: Option<Vec<Bytes>> = self[ino].names().map(|names| names.keys().cloned().collect());
        match names {
            Some(names) => {
                for n in names {
                    self.remove_tree(rules, ino, n.as_slice());
                }
                self.erase(dir, name);
                self.inodes[ino as usize].nlink = 0;
                self.links(rules, dir, -1);
            }
            None => {
                self.erase(dir, name);
                self.links(rules, ino, -1);
                self.date_ctime(rules, ino);
            }
        }
        self.date_dir(rules, dir);
    }

    /// Renames; both types agree or the swap is an exchange.
    pub fn rename(
        &mut self,
        rules: &mut Rules,
        old: (Ino, &[u8]),
        new: (Ino, &[u8]),
        swap: Swap,
        whiteout_owner: Owner,
    ) -> Result<(), Errno> {
        let (old_dir, old_name) = old;
        let (new_dir, new_name) = new;
        let Some(ino) = self.child(old_dir, old_name) else { return Err(Errno::ENOENT) };
        let target = self.child(new_dir, new_name);
        let is_dir = self[ino].is_dir();
        if swap == Swap::Exchange {
            let Some(target) = target else { return Err(Errno::ENOENT) };
            let target_is_dir = self[target].is_dir();
            self.insert(old_dir, old_name, target);
            self.insert(new_dir, new_name, ino);
            if old_dir != new_dir && is_dir != target_is_dir {
                let by = if is_dir { 1 } else { -1 };
                self.links(rules, new_dir, by);
                self.links(rules, old_dir, -by);
            }
            if self.traits.exchange_dates {
                self.date_ctime(rules, target);
            } else {
                self.date_exchanged(rules, [ino, target], old_dir != new_dir);
            }
        } else {
            if let Some(target) = target {
                if !self.is_empty_dir(target) && rules.holds(Clause::FsNotEmpty) {
                    if swap == Swap::Whiteout && self.traits.failed_whiteout_dates {
                        self.date_dir(rules, old_dir);
                    }
                    return Err(self.traits.rename_not_empty);
                }
                if self[target].is_dir() {
                    self.inodes[target as usize].nlink = 0;
                    self.links(rules, new_dir, -1);
                } else {
                    self.links(rules, target, -1);
                }
                self.date_ctime(rules, target);
            }
            self.erase(old_dir, old_name);
            self.insert(new_dir, new_name, ino);
            if is_dir && old_dir != new_dir {
                self.links(rules, old_dir, -1);
                self.links(rules, new_dir, 1);
            }
            if swap == Swap::Whiteout {
                // Made in the directory itself, so a setgid directory gives it its group.
                let mut owner = whiteout_owner;
                let maker = if self.traits.whiteout_by_target { new_dir } else { old_dir };
                if self[maker].mode & 0o2000 != 0 && rules.holds(Clause::FsSetgid) {
                    owner.gid = self[maker].gid;
                }
                let whiteout = self.alloc(rules, Body::Char(0, 0), owner);
                // It takes from that directory's default list, too, as anything made there does.
                let default = self.acl(maker, Role::Default).filter(|acl| !acl.is_minimal());
                if let (Some(acl), false) = (default, self.traits.whiteout_by_target) {
                    if rules.holds(Clause::AclWhiteout) {
                        let access = Some(acl.inherited(owner.mode));
                        self.set_inherited(whiteout, Inherited { access, default: None });
                    }
                }
                self.inodes[whiteout as usize].nlink = 1;
                self.insert(old_dir, old_name, whiteout);
            }
        }
        if swap != Swap::Exchange || self.traits.exchange_dates {
            self.date_ctime(rules, ino);
        }
        self.date_dir(rules, old_dir);
        if new_dir != old_dir {
            self.date_dir(rules, new_dir);
        }
        Ok(())
    }

    /// Dates what was exchanged where only a change of a directory's parent counts as a change.
    fn date_exchanged(&mut self, rules: &mut Rules, pair: [Ino; 2], parents_differ: bool) {
        if !parents_differ || !pair.iter().any(|&ino| self[ino].is_dir()) {
            return;
        }
        for ino in pair {
            if self[ino].is_dir() {
                self.date_dir(rules, ino);
            } else {
                self.date_ctime(rules, ino);
            }
        }
    }

    /// Sets an xattr.
    pub fn set_xattr(&mut self, rules: &mut Rules, ino: Ino, name: &str, value: XattrValue) {
        if !self.traits.dates_same_xattr && self[ino].xattr(name) == Some(&value) {
            return;
        }
        self.date_xattr(rules, ino);
        self.inodes[ino as usize].xattrs.insert(name.into(), value);
    }

    /// The access control list of a role that an inode has (`get_inode_acl`).
    pub fn acl(&self, ino: Ino, role: Role) -> Option<Acl> {
        // Most inodes have no xattr at all, and this is asked at every step of a walk.
        if self[ino].xattrs.is_empty() {
            return None;
        }
        match self[ino].xattr(role.xattr()) {
            Some(XattrValue::Known(value)) => Acl::decode(value.as_slice(), |_| true).ok().flatten(),
            _ => None,
        }
    }

    /// Sets or removes an access control list (`simple_set_acl`): the mode goes with that for access, and what the
    /// mode says is not kept.
    pub fn set_acl(&mut self, rules: &mut Rules, ino: Ino, role: Role, acl: Option<&Acl>) {
        let old = self[ino].mode;
        let mut mode = old;
        let mut kept = acl;
        if let (Role::Access, Some(acl)) = (role, acl) {
            if rules.holds(Clause::AclMode) {
                mode = mode & !0o777 | acl.bits();
            }
            if acl.is_minimal() && rules.holds(Clause::AclMinimal) {
                kept = None;
            }
        }
        let same = self.acl(ino, role).as_ref() == kept;
        let dates = if kept.is_some() { self.traits.dates_same_acl } else { self.traits.dates_missing_acl };
        if dates || !same || mode != old {
            self.date_ctime(rules, ino);
        }
        self.inodes[ino as usize].mode = mode;
        self.keep_acl(ino, role, kept);
    }

    /// Keeps an access control list with an inode, or none.
    pub(super) fn keep_acl(&mut self, ino: Ino, role: Role, acl: Option<&Acl>) {
        let besides = self.traits.lists_acls_twice.then(|| (role.xfs_xattr(), acl.map(Acl::encode_for_xfs)));
        let xattrs = &mut self.inodes[ino as usize].xattrs;
        for (name, value) in [(role.xattr(), acl.map(Acl::encode))].into_iter().chain(besides) {
            match value {
                Some(value) => drop(xattrs.insert(name.into(), XattrValue::Known(value))),
                None => drop(xattrs.remove(name.as_bytes())),
            }
        }
    }

    /// Gives a new inode the access control lists that it takes from where it is made.
    pub fn set_inherited(&mut self, ino: Ino, inherited: Inherited) {
        let lists = [(Role::Access, inherited.access), (Role::Default, inherited.default)];
        for (role, acl) in lists.into_iter().filter_map(|(role, acl)| Some((role, acl?))) {
            self.keep_acl(ino, role, Some(&acl));
        }
    }

    fn date_xattr(&mut self, rules: &mut Rules, ino: Ino) {
        if self.traits.xattr_dates {
            self.date_ctime(rules, ino);
        }
    }

    /// Removes an xattr.
    pub fn remove_xattr(&mut self, rules: &mut Rules, ino: Ino, name: &str) {
        self.date_xattr(rules, ino);
        self.inodes[ino as usize].xattrs.remove(name.as_bytes());
    }

    /// Sets the mode.
    pub fn set_mode(&mut self, rules: &mut Rules, ino: Ino, mode: u16) {
        self.date_ctime(rules, ino);
        self.inodes[ino as usize].mode = mode;
        if let Some(acl) = self.acl(ino, Role::Access) {
            let acl = if rules.holds(Clause::AclChmod) { acl.with_mode(mode) } else { acl };
            self.keep_acl(ino, Role::Access, Some(&acl));
        }
    }

    /// Sets owner and group, nothing else.
    pub fn set_owner(&mut self, rules: &mut Rules, ino: Ino, uid: u32, gid: u32) {
        self.date_ctime(rules, ino);
        let inode = &mut self.inodes[ino as usize];
        (inode.uid, inode.gid) = (uid, gid);
    }

    /// Dates an access, which is no change.
    pub fn access(&mut self, ino: Ino) {
        self.inodes[ino as usize].atime = self.now;
    }

    /// Sets atime and mtime.
    pub fn set_times(&mut self, rules: &mut Rules, ino: Ino, atime: Stamp, mtime: Stamp) {
        self.date_ctime(rules, ino);
        let inode = &mut self.inodes[ino as usize];
        (inode.atime, inode.mtime) = (atime, mtime);
    }
}

fn lookup(names: &BTreeMap<Bytes, Ino>, name: &[u8]) -> Option<Ino> {
    names.get(name).copied()
}
