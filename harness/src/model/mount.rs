//! Making the layers, mounting, mounting again, rotating.

use std::rc::Rc;

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::{Body, Disk, Ino, Owner, XattrValue};
use super::number::Layout;
use super::options::Uuid;
use super::overlay::{Cache, Node, Pipe};
use super::value::Stamp;
use crate::acl::Role;
use crate::case::{Layer, NodeKind, stored_pages};
use crate::errno::Errno;
use crate::step::Device;
use crate::trace::Kind;

/// What a volatile mount leaves below `work`, with an empty file `dirty` in it.
const INCOMPAT: [&[u8]; 2] = [b"incompat", b"volatile"];

impl Model {
    /// Puts a layer on a filesystem of the disk and returns its root.
    pub(super) fn make_layer(disk: &mut Disk, rules: &super::Rules, layer: &Layer, on: u8) -> Ino {
        disk.on = on;
        let root = disk.alloc(rules, Body::dir(), Owner { uid: 0, gid: 0, mode: 0o755 });
        let find = |disk: &Disk, path: &[u8]| {
            path.split(|&b| b == b'/').filter(|n| !n.is_empty()).try_fold(root, |at, name| disk.child(at, name))
        };
        for (path, node) in layer.resolved() {
            let device = |d: &Device| (d.major(), d.minor());
            let body = match &node.kind {
                NodeKind::Dir => Body::dir(),
                NodeKind::File(data) => Body::File(Rc::new(data.0.to_vec())),
                NodeKind::Symlink(target) => Body::Symlink(target.clone()),
                NodeKind::Fifo => Body::Fifo,
                NodeKind::Socket => Body::Socket,
                NodeKind::Char(d) => Body::Char(device(d).0, device(d).1),
                NodeKind::Block(d) => Body::Block(device(d).0, device(d).1),
                NodeKind::Link(_) => Body::Fifo,
            };
            let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
                Some(at) => (&path[..at], &path[at + 1..]),
                None => (&path[..0], path),
            };
            let Some(dir) = find(disk, parent) else { continue };
            let ino = if path.is_empty() {
                root
            } else if let NodeKind::Link(to) = &node.kind {
                let Some(target) = find(disk, to) else { continue };
                put_raw(disk, dir, name, target);
                disk.raw(target).nlink += 1;
                continue;
            } else {
                let is_dir = matches!(body, Body::Dir(_));
                let ino = disk.alloc(rules, body, Owner { uid: 0, gid: 0, mode: 0 });
                put_raw(disk, dir, name, ino);
                if is_dir {
                    disk.raw(dir).nlink += u32::from(disk.traits.counts_subdirectories);
                } else {
                    disk.raw(ino).nlink = 1;
                }
                ino
            };
            if let NodeKind::File(data) = &node.kind {
                match node.sparse {
                    true => stored_pages(data.as_slice()).for_each(|page| disk.store(ino, page.start, page.end)),
                    false => disk.store(ino, 0, data.len()),
                }
            }
            let inode = disk.raw(ino);
            inode.mode = if inode.body.kind() == Kind::Symlink { 0o777 } else { node.mode };
            (inode.uid, inode.gid) = (node.uid, node.gid);
            (inode.atime, inode.mtime) = (Stamp::Exact(node.time), Stamp::Exact(node.time));
            inode.xattrs = node.xattrs.iter().map(|(n, v)| (n.clone(), XattrValue::Known(v.clone()))).collect();
            // Setting an access control list changes the mode, and leaves nothing that the mode says.
            if let Some(acl) = disk.acl(ino, Role::Access) {
                let inode = disk.raw(ino);
                inode.mode = inode.mode & !0o777 | acl.bits();
                disk.keep_acl(ino, Role::Access, Some(&acl).filter(|acl| !acl.is_minimal()));
            }
            if let Some(acl) = disk.acl(ino, Role::Default) {
                disk.keep_acl(ino, Role::Default, Some(&acl));
            }
        }
        // Whatever is made later is made on that of the upper layer.
        disk.on = 0;
        root
    }

    /// Mounts: the work directory, the uuid, the root (`ovl_fill_super`).
    pub(super) fn mount(&mut self) {
        self.mounted += 1;
        let on: Vec<u8> = self.lowers.iter().map(|lower| self.disk[*lower].on).collect();
        self.layout = Layout::of(&on, &self.options, &self.context, &self.disk, &mut self.rules);
        let root = if self.context.view == View::Plain {
            self.work = self.work_base;
            self.upper
        } else {
            self.make_workdir();
            self.init_uuid();
            if self.options.index {
                self.mount_index();
            }
            self.upper
        };
        self.cwd = Cache::ROOT;
        let overlay = self.context.view == View::Overlay;
        let lowers = self.lowers.iter().copied().enumerate().collect();
        let flags = self.root_protection(root);
        self.cache = Cache::new(Node {
            kind: Kind::Dir,
            flags,
            mode: self.disk[root].mode,
            owner: (self.disk[root].uid, self.disk[root].gid),
            size: 0,
            upper: Some(root),
            lowers: if overlay { lowers } else { Vec::new() },
            // The root's number is its upper's: it is never found by its lower (`ovl_get_root`).
            by_lower: false,
            whiteouts: overlay,
            indexed: false,
            no_suid: false,
            upper_data: true,
            redirect: None,
            impure: overlay && self.disk[root].xattr("@impure").is_some(),
            version: 0,
            impure_cache: None,
            snapshot: Default::default(),
            key: None,
            dead: false,
            nlink: 1,
            refs: 0,
            pipe: Pipe::default(),
        });
        // Of the root, too, the lowest layer is not asked (WHT-05).
        let above = self.lowers.len().saturating_sub(1);
        self.marked = (0..above).filter(|&layer| self.is_marked(self.lowers[layer])).collect();
        self.cache.dentry_mut(Cache::ROOT).marked = !self.marked.is_empty();
    }

    /// `ovl_workdir_create`
    fn make_workdir(&mut self) {
        let base = self.work_base;
        if self.disk.child(base, b"work").is_some() {
            if !self.rules.holds(Clause::MntWorkClean) {
                return;
            }
            self.disk.remove_tree(&mut self.rules, base, b"work");
        }
        let mode = if self.rules.holds(Clause::MntWorkdir) { 0 } else { 0o755 };
        self.work = self.disk.create(&mut self.rules, base, b"work", Body::dir(), Owner { uid: 0, gid: 0, mode });
        if self.options.volatile && self.rules.holds(Clause::MntVolatile) {
            let mut at = self.work;
            for name in INCOMPAT {
                let mode = 0;
                at = self.disk.create(&mut self.rules, at, name, Body::dir(), Owner { uid: 0, gid: 0, mode });
            }
            let owner = Owner { uid: 0, gid: 0, mode: 0 };
            self.disk.create(&mut self.rules, at, b"dirty", Body::File(Default::default()), owner);
        }
    }

    /// The errno that mounting again would give: EINVAL where a volatile mount has left its mark, which
    /// only people remove.
    pub(crate) fn refuses_mount(&mut self) -> Option<Errno> {
        let work = self.disk.child(self.work_base, b"work")?;
        let marked = self.disk.child(work, INCOMPAT[0]).is_some_and(|i| !self.disk.is_empty_dir(i));
        (marked && self.rules.holds(Clause::MntIncompat)).then_some(Errno::EINVAL)
    }

    /// `ovl_init_uuid_xattr` (since 6.6).
    fn init_uuid(&mut self) {
        if self.context.kernel < (6, 6) || self.options.uuid == Uuid::Null && self.rules.holds(Clause::MntUuidNull) {
            return;
        }
        let root = &self.disk[self.upper];
        if root.xattr("@uuid").is_some() {
            if !self.rules.holds(Clause::MntUuidKept) {
                let uuid = self.new_uuid();
                self.disk.set_xattr(&mut self.rules, self.upper, "@uuid", uuid);
            }
            return;
        }
        let fresh = if self.options.uuid == Uuid::On {
            self.rules.holds(Clause::MntUuidOn)
        } else if root.xattr("@impure").is_some() {
            !self.rules.holds(Clause::MntUuidImpure)
        } else {
            self.rules.holds(Clause::MntUuid)
        };
        if fresh {
            let uuid = self.new_uuid();
            self.disk.set_xattr(&mut self.rules, self.upper, "@uuid", uuid);
        }
    }

    fn new_uuid(&mut self) -> XattrValue {
        self.uuids += 1;
        XattrValue::Uuid(self.uuids)
    }

    /// Unmounts and mounts the same layers again; every descriptor is closed first.
    pub(super) fn remount(&mut self) {
        self.close_all();
        self.mount();
    }

    /// As `remount`, with the upper as top lower layer under a new upper.
    pub(super) fn rotate(&mut self) {
        self.close_all();
        if self.context.view == View::Overlay {
            self.lowers.insert(0, self.upper);
            self.upper = Model::make_layer(&mut self.disk, &self.rules, &Layer::default(), 0);
            self.work_base = self.disk.alloc(&self.rules, Body::dir(), Owner { uid: 0, gid: 0, mode: 0o755 });
        }
        self.mount();
    }
}

fn put_raw(disk: &mut Disk, dir: Ino, name: &[u8], ino: Ino) {
    if let Body::Dir(names) = &mut disk.raw(dir).body {
        names.insert(name.into(), ino);
    }
}
