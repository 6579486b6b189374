//! Creation: mkdir, mknod, symlink, open(O_CREAT), open(O_TMPFILE) and link (`ovl_create_object`, `ovl_tmpfile`, `ovl_link`).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::copy_up::{Copy, TEMP};
use super::disk::{Body, Inherited, Ino, Owner, Swap, XattrValue};
use super::overlay::{DentryId, Node, NodeId, Pipe};
use crate::acl::Role;
use crate::errno::Errno;
use crate::step::{AtFlags, Device, InodeFlags, Slot, Special};
use crate::trace::Kind;

/// What is put at a free name.
enum New {
    Object(Body, Owner, Inherited),
    Link(Ino),
}

impl Model {
    /// Owner of a whiteout: the mounter, mode 0000 (WHT-06).
    pub(super) const WHITEOUT_OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0 };

    /// Owner and mode of a new object (`inode_init_owner`), and what it takes from the default access control list
    /// of its directory, which stands in for the umask (`posix_acl_create`).
    fn new_owner(&mut self, dir: DentryId, mode: u32, kind: Kind) -> (Owner, Inherited) {
        let is_dir = kind == Kind::Dir;
        let mut inherited = Inherited::default();
        let real = self.cache.at(dir).map(Node::real);
        let default = real.filter(|_| kind != Kind::Symlink).and_then(|real| self.disk.acl(real, Role::Default));
        let by_umask = default.is_none() || self.umask != 0 && !self.rules.holds(Clause::AclUmask);
        let mut masked = mode;
        if by_umask && (self.umask == 0 || self.rules.holds(Clause::CreUmask)) {
            masked &= !self.umask;
        }
        if let Some(default) = default.filter(|_| self.rules.holds(Clause::AclInherit)) {
            let access = default.clone().inherited(masked as u16);
            masked = masked & !0o777 | u32::from(access.bits());
            inherited.access = Some(access).filter(|access| !access.is_minimal());
            inherited.default = (is_dir && self.rules.holds(Clause::AclDefault)).then_some(default);
        }
        let mut owner = Owner { uid: self.actor.uid(), gid: self.actor.gid(), mode: (masked & 0o7777) as u16 };
        if !self.rules.holds(Clause::CreOwner) {
            owner.uid = owner.uid.wrapping_add(1);
        }
        let Some(parent) = real else { return (owner, inherited) };
        if self.disk[parent].mode & 0o2000 != 0 && self.rules.holds(Clause::FsSetgid) {
            owner.gid = self.disk[parent].gid;
            // Looked at before the umask takes anything away (`vfs_prepare_mode`).
            let executable = mode & 0o2010 == 0o2010;
            if is_dir {
                owner.mode |= 0o2000;
            } else if executable && !self.in_group(owner.gid) && self.rules.holds(Clause::PrmSetgidFile) {
                owner.mode &= !0o2000;
            }
        }
        (owner, inherited)
    }

    pub(super) fn mkdir(&mut self, path: &[u8], mode: u32) -> Result<(), Errno> {
        let id = self.walk_create(path, true)?;
        self.may_create(id)?;
        let mode = if self.rules.holds(Clause::FsMkdirMode) { mode & 0o1777 } else { mode };
        self.create_object(id, Body::dir(), mode)
    }

    pub(super) fn mknod(&mut self, path: &[u8], node: Special, mode: u32) -> Result<(), Errno> {
        let id = self.walk_create(path, false)?;
        self.may_create(id)?;
        let body = match node {
            Special::Regular => Body::File(Default::default()),
            Special::Fifo => Body::Fifo,
            Special::Socket => Body::Socket,
            Special::Char(d) => Body::Char(d.major(), d.minor()),
            Special::Block(d) => Body::Block(d.major(), d.minor()),
        };
        let whiteout = node == Special::Char(Device::WHITEOUT);
        if matches!(node, Special::Char(_) | Special::Block(_))
            && !whiteout
            && !self.initially_capable()
            && self.rules.holds(Clause::VfsMknodDevice)
        {
            return Err(Errno::EPERM);
        }
        if whiteout && self.context.view == View::Overlay && self.rules.holds(Clause::WhtMknod) {
            return Err(Errno::EPERM);
        }
        self.create_object(id, body, mode)
    }

    pub(super) fn symlink(&mut self, target: &[u8], path: &[u8]) -> Result<(), Errno> {
        if target.is_empty() || target.len() >= 4096 {
            let errno = if target.is_empty() { Errno::ENOENT } else { Errno::ENAMETOOLONG };
            return Err(if self.rules.holds(Clause::VfsSymlinkLong) { errno } else { Errno::EINVAL });
        }
        let id = self.walk_create(path, false)?;
        self.may_create(id)?;
        self.create_symlink(id, target)
    }

    /// `ovl_create_object`: the directory is copied up, then the object made in its upper.
    pub(super) fn create_object(&mut self, id: DentryId, body: Body, mode: u32) -> Result<(), Errno> {
        let dir = self.cache.dentry(id).parent;
        self.copy_up_parent(dir)?;
        let (owner, inherited) = self.new_owner(dir, mode, body.kind());
        self.put(id, New::Object(body, owner, inherited))
    }

    /// A symlink's mode is 0777, whatever the umask.
    fn create_symlink(&mut self, id: DentryId, target: &[u8]) -> Result<(), Errno> {
        let umask = std::mem::take(&mut self.umask);
        let done = self.create_object(id, Body::Symlink(target.into()), 0o777);
        self.umask = umask;
        done
    }

    /// Copies up the directory of a name that changes (CUP-05).
    pub(super) fn copy_up_parent(&mut self, dir: DentryId) -> Result<(), Errno> {
        self.must_copy_up(dir, Clause::CupParent)?;
        self.copy_up(dir, Copy::Data)
    }

    pub(super) fn link(&mut self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        let old = self.walk(old, false)?;
        self.link_dentry(old, new)
    }

    pub(super) fn linkat(&mut self, old: &[u8], new: &[u8], flags: AtFlags) -> Result<(), Errno> {
        self.knows_flags(flags, libc::AT_SYMLINK_FOLLOW)?;
        let follow = flags.has(libc::AT_SYMLINK_FOLLOW) && self.rules.holds(Clause::VfsLinkFollow);
        let old = self.walk(old, follow)?;
        self.link_dentry(old, new)
    }

    /// A link to what a descriptor is of (AT_EMPTY_PATH).
    pub(super) fn flink(&mut self, slot: Slot, new: &[u8]) -> Result<(), Errno> {
        // Before 6.10 the capability was asked for before anything else (`do_linkat`).
        if self.context.kernel < (6, 10) && !self.actor.is_capable() {
            return Err(self.refuse(Clause::VfsLinkEmpty, Errno::ENOENT));
        }
        let old = self.place(slot)?.dentry;
        // Every change of ids or capabilities makes new credentials, so nobody else has those it was opened with.
        if !self.actor.is_capable() {
            return Err(self.refuse(Clause::VfsLinkEmpty, Errno::ENOENT));
        }
        self.link_dentry(old, new)
    }

    /// `do_linkat`, from an existing object on.
    fn link_dentry(&mut self, old: DentryId, new: &[u8]) -> Result<(), Errno> {
        let id = self.walk_create(new, false)?;
        self.may_link(old)?;
        self.may_create(id)?;
        self.spare(old, Clause::FatLink)?;
        if self.is_dir(old) && self.rules.holds(Clause::VfsLinkDir) {
            return Err(Errno::EPERM);
        }
        if self.is_dir(old) {
            return Err(Errno::EISDIR);
        }
        if let Some(node) = self.cache.at(old) {
            let (links, linkable) = (self.links_of(node), self.disk[node.real()].linkable);
            if links == 0 && !(linkable && self.rules.holds(Clause::TmpLinked)) {
                return Err(self.refuse(Clause::VfsLinkGone, Errno::ENOENT));
            }
        }
        self.must_copy_up(old, Clause::CupLink)?;
        self.copy_up(old, Copy::Attributes)?;
        let dir = self.cache.dentry(id).parent;
        self.copy_up_parent(dir)?;
        self.nlink_start(old)?;
        let linked = self.link_copied_up(old, id);
        if let Some(node) = self.cache.dentry(old).node {
            self.nlink_end(node);
        }
        linked
    }

    /// `ovl_link`, once both sides are copied up.
    fn link_copied_up(&mut self, old: DentryId, id: DentryId) -> Result<(), Errno> {
        let dir = self.cache.dentry(id).parent;
        // Another name must still lead to the data.
        if self.cache.at(old).is_some_and(Node::is_metacopy) {
            self.set_redirect(old, false)?;
        }
        let (Some(source), Some(ino)) = (self.cache.dentry(old).node, self.cache.at(old).and_then(|n| n.upper)) else {
            return Err(Errno::ESTALE);
        };
        if self.cache.node(source).has_origin() && self.rules.holds(Clause::LnkImpure) {
            self.set_impure(dir);
        }
        self.put(id, New::Link(ino))?;
        self.cache.node_mut(source).nlink += 1;
        // The kernel drops the new dentry: the next walk looks up its upper and finds its origin.
        self.cache.unhash(id);
        Ok(())
    }

    /// The links that the VFS counts: a name that was removed through the overlay is none.
    fn links_of(&self, node: &Node) -> u32 {
        if self.context.view == View::Plain { self.disk[node.real()].nlink } else { node.nlink }
    }

    /// A name of an object is gone: it has one link less, but at least one while another name of it is known
    /// (`ovl_drop_nlink`).
    pub(super) fn drop_link(&mut self, node: NodeId, name: DentryId) {
        let alias = u32::from(self.cache.has_name_but(node, name));
        let node = self.cache.node_mut(node);
        if node.nlink > alias {
            node.nlink -= 1;
        }
    }

    /// Fires `clause`, which demands the copy-up, if the object is still to be copied up. With the
    /// clause's fault on there is no copy-up to go on with.
    pub(super) fn must_copy_up(&mut self, id: DentryId, clause: Clause) -> Result<(), Errno> {
        let lower = self.cache.at(id).is_some_and(|n| n.upper.is_none() || !self.cache.dentry(id).alias);
        if lower && !self.rules.holds(clause) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// `ovl_create_upper` or `ovl_create_over_whiteout`, by what is at the name in the upper.
    fn put(&mut self, id: DentryId, new: New) -> Result<(), Errno> {
        let dir = self.cache.dentry(id).parent;
        let name = self.cache.dentry(id).name.clone();
        let Some(upper_dir) = self.cache.at(dir).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        let over_whiteout = self.cache.dentry(id).opaque;
        let is_dir = matches!(&new, New::Object(Body::Dir(_), ..));
        let is_link = matches!(&new, New::Link(_));
        let too_long = matches!(&new, New::Object(Body::Symlink(to), ..) if to.len() >= self.disk.traits.symlink_limit);
        // The upper filesystem links nothing that has no name there.
        let gone = matches!(&new, New::Link(ino) if self.disk[*ino].nlink == 0 && !self.disk[*ino].linkable);
        let ino;
        if !over_whiteout {
            if self.disk.child(upper_dir, &name).is_some() {
                return Err(Errno::ESTALE);
            }
            if too_long {
                return Err(Errno::ENAMETOOLONG);
            }
            if gone {
                return Err(Errno::ENOENT);
            }
            ino = match new {
                New::Object(body, owner, inherited) => {
                    let ino = self.disk.create(&mut self.rules, upper_dir, &name, body, owner);
                    self.disk.set_inherited(ino, inherited);
                    ino
                }
                New::Link(ino) => {
                    let ino = self.shared(ino);
                    self.disk.link(&mut self.rules, ino, upper_dir, &name);
                    ino
                }
            };
            if is_dir && self.lower_whiteout(dir, &name) && !self.rules.holds(Clause::CreLowerWhiteout) {
                self.disk.set_xattr(&mut self.rules, ino, "@opaque", XattrValue::known("y"));
            }
            if is_dir && self.cache.at(dir).is_some_and(Node::is_merge) {
                // Before 5.14 every new directory became opaque there.
                let opaque = match self.options.forbids_offline_changes() || self.context.kernel < (5, 14) {
                    true => self.rules.holds(Clause::CreFeatureOpaque),
                    false => !self.rules.holds(Clause::CreNoOpaque),
                };
                if opaque {
                    self.disk.set_xattr(&mut self.rules, ino, "@opaque", XattrValue::known("y"));
                    self.cache.dentry_mut(id).opaque = true;
                }
            }
        } else {
            // Something else than the whiteout is there by now.
            let there = self.disk.child(upper_dir, &name);
            if !there.is_some_and(|i| self.disk[i].is_char_whiteout() || self.is_xattr_whiteout(i)) {
                return Err(Errno::ESTALE);
            }
            if too_long {
                return Err(Errno::ENAMETOOLONG);
            }
            if gone {
                return Err(Errno::ENOENT);
            }
            let work = self.work;
            ino = match new {
                New::Object(body, owner, inherited) => {
                    let ino = self.disk.create(&mut self.rules, work, TEMP, body, owner);
                    self.disk.set_inherited(ino, inherited);
                    ino
                }
                New::Link(ino) => {
                    let ino = self.shared(ino);
                    self.disk.link(&mut self.rules, ino, work, TEMP);
                    ino
                }
            };
            let replaces = self.rules.holds(Clause::CreOverWhiteout);
            if is_dir {
                if self.rules.holds(Clause::CreOpaque) {
                    self.disk.set_xattr(&mut self.rules, ino, "@opaque", XattrValue::known("y"));
                    self.cache.dentry_mut(id).opaque = true;
                }
                self.rename_in_work(TEMP, (upper_dir, &name), Swap::Exchange)?;
                self.disk.unlink(&mut self.rules, work, TEMP);
            } else {
                self.rename_in_work(TEMP, (upper_dir, &name), Swap::Replace)?;
            }
            if !replaces {
                self.disk.remove_tree(&mut self.rules, upper_dir, &name);
            }
        }
        self.dir_modified(dir, false);
        if is_link {
            return Ok(());
        }
        let node = self.cache.add_node(self.new_node(ino));
        self.cache.instantiate(id, node);
        Ok(())
    }

    /// The overlay inode of something new in the upper.
    fn new_node(&self, ino: Ino) -> Node {
        Node {
            kind: self.disk[ino].body.kind(),
            mode: self.disk[ino].mode,
            owner: (self.disk[ino].uid, self.disk[ino].gid),
            size: self.disk.size(ino),
            flags: InodeFlags::default(),
            upper: Some(ino),
            lowers: Vec::new(),
            by_lower: false,
            whiteouts: false,
            impure: false,
            indexed: false,
            no_suid: false,
            upper_data: true,
            redirect: None,
            version: 0,
            impure_cache: None,
            snapshot: Default::default(),
            key: Some(ino),
            dead: false,
            nlink: 1,
            refs: 0,
            pipe: Pipe::default(),
        }
    }

    /// `ovl_tmpfile`: a regular file that is in the upper of a directory by its filesystem alone, for a descriptor
    /// to hold. Unlike what has a name it may be made in a directory that was removed.
    pub(super) fn make_nameless(&mut self, dir: DentryId, mode: u32, linkable: bool) -> Result<DentryId, Errno> {
        let unknown = self.context.view == View::Overlay && self.context.kernel < (6, 10);
        if unknown || !self.rules.holds(Clause::TmpMade) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.copy_up_parent(dir)?;
        let Some(upper_dir) = self.cache.at(dir).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        if self.disk[upper_dir].nlink == 0 && self.disk.traits.refuses_in_removed {
            return Err(Errno::EPERM);
        }
        let (owner, inherited) = self.new_owner(dir, mode, Kind::File);
        let ino = self.disk.alloc(&self.rules, Body::File(Default::default()), owner);
        self.disk.set_inherited(ino, inherited);
        self.disk.raw(ino).linkable = linkable || !self.rules.holds(Clause::TmpExclusive);
        if !self.rules.holds(Clause::TmpUndated) {
            self.disk.date_dir(&mut self.rules, upper_dir);
        }
        let node = Node { nlink: 0, ..self.new_node(ino) };
        let node = self.cache.add_node(node);
        Ok(self.cache.add_nameless(dir, node))
    }

    /// Renames something in the work directory to a place in the upper.
    pub(super) fn rename_in_work(&mut self, name: &[u8], to: (Ino, &[u8]), swap: Swap) -> Result<(), Errno> {
        let work = self.work;
        self.disk.rename(&mut self.rules, (work, name), to, swap, Model::WHITEOUT_OWNER)
    }

    /// `ovl_dir_modified`: listings of a merging directory, or of one that lost or won a copied-up
    /// child, are out of date.
    pub(super) fn dir_modified(&mut self, dir: DentryId, impurity: bool) {
        if let Some(node) = self.cache.dentry(dir).node {
            let node = self.cache.node_mut(node);
            if !node.lists_real() || impurity {
                node.version += 1;
            }
        }
    }

    /// The inode that a hard link shares; another one like it while LNK-01's fault is on.
    fn shared(&mut self, ino: Ino) -> Ino {
        if self.rules.holds(Clause::LnkShared) { ino } else { self.disk.duplicate(ino) }
    }

    /// Whether the first lower layer that has the name holds a whiteout there.
    fn lower_whiteout(&self, dir: DentryId, name: &[u8]) -> bool {
        let lowers = self.cache.at(dir).map_or(&[][..], |n| &n.lowers);
        let first = lowers.iter().find_map(|l| self.disk.child(l.1, name));
        self.context.view == View::Overlay && first.is_some_and(|i| self.disk[i].is_char_whiteout())
    }
}
