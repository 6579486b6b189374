//! Looking: what stat, lstat, readlink, list and the observations see, with the effects of looking.

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::{Disk, Ino};
use super::lookup::NAME_MAX;
use super::number::{Device, Number};
use super::overlay::{Cache, DentryId, NodeId};
use super::permission::READ;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::{Kind, StatFs};

/// `f_type` of an overlay (`linux/magic.h`).
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;

/// What a look at one place finds: attributes and xattrs of `attributes`, except where they are the view's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The disk inode that attributes and xattrs come from.
    pub attributes: Ino,
    /// The disk inode that content comes from.
    pub data: Ino,
    /// The disk inode that takes the blocks of `st_blocks`.
    pub blocks: Ino,
    /// What `st_ino` is.
    pub number: Number,
    /// What `st_dev` is, on the merged side.
    pub device: Device,
    /// Link count.
    pub nlink: u32,
}

impl Look {
    /// A look at an inode as it lies on disk.
    pub(crate) fn on_disk(disk: &Disk, ino: Ino) -> Look {
        let (number, device) = (Number::Of(ino), Device::Filesystem(disk[ino].on));
        Look { attributes: ino, data: ino, blocks: ino, number, device, nlink: disk[ino].nlink }
    }
}

impl Model {
    /// The disk inode whose number `st_ino` is made of (INO-01, INO-07).
    pub(super) fn number_inode(&mut self, id: NodeId) -> Ino {
        let node = self.cache.node(id);
        let real = node.real();
        let Some(&(_, lower)) = node.lowers.first() else { return real };
        let (is_dir, has_origin, upper) = (node.kind == Kind::Dir, node.has_origin(), node.upper.is_some());
        if !upper {
            return if self.rules.holds(Clause::InoReal) { lower } else { self.upper };
        }
        let indexed = node.indexed;
        if has_origin && (is_dir || self.disk[lower].nlink == 1 || indexed && self.rules.holds(Clause::IdxNumber)) {
            return if self.rules.holds(Clause::InoOrigin) { lower } else { real };
        }
        if self.rules.holds(Clause::InoBroken) { real } else { lower }
    }

    /// A look at a dentry (`ovl_getattr`).
    pub(crate) fn look(&mut self, id: DentryId) -> Result<Look, Errno> {
        let Some(node_id) = self.cache.dentry(id).node else {
            return Err(self.refuse(Clause::VfsMissing, Errno::ENOENT));
        };
        let (number, device) = self.identity(node_id);
        let node = self.cache.node(node_id);
        let (mut attributes, data) = (node.real(), node.data());
        let mut nlink = self.disk[attributes].nlink;
        if node.kind == Kind::Dir && node.is_merge() {
            let (bottom, merged) = (node.lowers.last().map(|l| l.1), true);
            if !self.rules.holds(Clause::LkpTopAttributes) {
                attributes = bottom.unwrap_or(attributes);
            }
            if merged == self.rules.holds(Clause::NlkMerged) {
                nlink = 1;
            }
        } else if node.kind == Kind::Dir && !self.rules.holds(Clause::NlkReal) {
            nlink = 1;
        } else if node.indexed && self.rules.holds(Clause::NlkUnion) {
            nlink = node.nlink;
        }
        let blocks = match node.is_metacopy() {
            true if self.rules.holds(Clause::McpBlocks) => data,
            _ => attributes,
        };
        Ok(Look { attributes, data, blocks, number, device, nlink })
    }

    /// A look at a clean path of the merged tree, not following a last symlink.
    pub(crate) fn look_merged(&mut self, path: &[u8]) -> Result<(DentryId, Look), Errno> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        // Looks start from the root, wherever the case is.
        let cwd = std::mem::replace(&mut self.cwd, Cache::ROOT);
        let found = self.walk(path, false);
        self.cwd = cwd;
        let id = found?;
        Ok((id, self.look(id)?))
    }

    /// The dentry of a listed name, to look at it.
    pub(crate) fn lookup_for_look(&mut self, dir: DentryId, name: &[u8]) -> Result<DentryId, Errno> {
        self.lookup(dir, name)
    }

    pub(super) fn stat(&mut self, path: &[u8], follow: bool) -> Result<Look, Errno> {
        let id = self.walk(path, follow)?;
        self.look(id)
    }

    /// What statfs says of the mount (`ovl_statfs`).
    pub(super) fn statfs(&mut self) -> StatFs {
        let overlay = self.context.view == View::Overlay;
        let magic =
            if overlay && self.rules.holds(Clause::StfType) { OVERLAYFS_SUPER_MAGIC } else { self.disk.traits.magic };
        let name_max = if self.rules.holds(Clause::StfNames) { NAME_MAX as u64 } else { 0 };
        StatFs { magic, name_max, read_only: false }
    }

    pub(super) fn readlink(&mut self, path: &[u8]) -> Result<Bytes, Errno> {
        let id = self.walk(path, false)?;
        match self.symlink_target(id) {
            Some(target) => Ok(target),
            None => Err(self.refuse(Clause::VfsReadlinkKind, Errno::EINVAL)),
        }
    }

    pub(super) fn list(&mut self, path: &[u8]) -> Result<super::readdir::Listing, Errno> {
        let id = self.walk(path, true)?;
        if !self.is_dir(id) && self.rules.holds(Clause::VfsOpenNotDir) {
            return Err(Errno::ENOTDIR);
        }
        self.may(id, READ)?;
        if self.cache.at(id).is_some_and(|n| n.dead) {
            return Err(self.refuse(Clause::DirDead, Errno::ENOENT));
        }
        self.touch(id);
        self.list_dentry(id)
    }

    /// The directory at a clean path below one of the disk, as `openat2` with `O_DIRECTORY`, `O_NOFOLLOW` and
    /// `RESOLVE_NO_SYMLINKS` finds it.
    pub(crate) fn disk_dir_at(&self, root: Ino, path: &[u8]) -> Result<Ino, Errno> {
        if path.len() >= 4096 {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut at = root;
        let mut names = path.split(|&b| b == b'/').filter(|n| !n.is_empty()).peekable();
        while let Some(name) = names.next() {
            at = self.disk_child(at, name)?;
            match self.disk[at].body.kind() {
                Kind::Dir => {}
                Kind::Symlink if names.peek().is_some() => return Err(Errno::ELOOP),
                _ => return Err(Errno::ENOTDIR),
            }
        }
        Ok(at)
    }

    /// The inode at a clean path below a directory of the disk: a name in what [`Model::disk_dir_at`] finds.
    pub(crate) fn disk_at(&self, root: Ino, path: &[u8]) -> Result<Ino, Errno> {
        let parent = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
        let dir = self.disk_dir_at(root, &path[..parent])?;
        match path[parent..].strip_prefix(b"/").unwrap_or(&path[parent..]) {
            b"" => Ok(dir),
            name => self.disk_child(dir, name),
        }
    }

    fn disk_child(&self, dir: Ino, name: &[u8]) -> Result<Ino, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.disk.child(dir, name).ok_or(Errno::ENOENT)
    }
}
