//! Copy-up: giving a lower object its upper (`copy_up.c`). Its effects stay even if what it was for
//! fails afterwards.

use super::Model;
use super::clause::Clause;
use super::disk::{Body, Ino, Owner, XattrValue};
use super::index::index_name;
use super::overlay::{DentryId, NodeId};
use crate::acl::Role;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// How much of a regular file is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// What a change of attributes needs: no data with `metacopy=on` (MCP-06), else all of it.
    Attributes,
    /// All of it.
    Data,
    /// None of it, because it is about to be truncated by `O_TRUNC`.
    Truncated,
}

impl Model {
    /// The value that the origin of a copy of `lower` is stored with (`ovl_get_origin_fh`).
    pub(super) fn origin_value(&mut self, lower: Ino) -> XattrValue {
        if self.context.decodes_handles() || !self.rules.holds(Clause::CupOriginEmpty) {
            XattrValue::Handle(lower)
        } else {
            XattrValue::known("")
        }
    }

    /// Marks a directory's upper impure (`ovl_set_impure`).
    pub(super) fn set_impure(&mut self, dir: DentryId) {
        let Some(node) = self.cache.dentry(dir).node else { return };
        let node = self.cache.node_mut(node);
        let Some(upper) = node.upper else { return };
        if !node.impure {
            node.impure = true;
            self.disk.set_xattr(&mut self.rules, upper, "@impure", XattrValue::known("y"));
        }
    }

    /// `ovl_already_copied_up`: it has an upper at its own name, with its data if they are asked for.
    pub(super) fn is_copied_up(&self, id: DentryId, copy: Copy) -> bool {
        self.cache.at(id).is_none_or(|n| {
            n.upper.is_some() && self.cache.dentry(id).alias && (n.upper_data || copy == Copy::Attributes)
        })
    }

    /// Copies a dentry up, its ancestors first (`ovl_copy_up_flags`).
    pub(super) fn copy_up(&mut self, id: DentryId, copy: Copy) -> Result<(), Errno> {
        if self.is_copied_up(id, copy) {
            return Ok(());
        }
        let parent = self.cache.dentry(id).parent;
        if parent != id && self.cache.at(parent).is_some_and(|n| n.upper.is_none()) {
            self.must_copy_up(parent, Clause::CupAncestors)?;
            self.copy_up(parent, Copy::Data)?;
        }
        self.copy_up_one(parent, id, copy)
    }

    /// `ovl_copy_up_one`: the parent has an upper.
    fn copy_up_one(&mut self, parent: DentryId, id: DentryId, copy: Copy) -> Result<(), Errno> {
        let (Some(node_id), Some(dest)) = (self.cache.dentry(id).node, self.cache.at(parent).and_then(|p| p.upper))
        else {
            return Ok(());
        };
        if self.cache.node(node_id).upper.is_none() {
            self.make_copy(parent, id, copy)?;
        }
        if !self.cache.dentry(id).alias {
            self.link_up(parent, id, dest)?;
        }
        if !self.cache.node(node_id).upper_data && copy != Copy::Attributes {
            self.copy_data_up(node_id, copy);
        }
        Ok(())
    }

    /// `ovl_do_copy_up`: the copy is made in the work directory, or nameless, and put at its name; that of
    /// a lower hard link at its name in the index.
    fn make_copy(&mut self, parent: DentryId, id: DentryId, copy: Copy) -> Result<(), Errno> {
        let (Some(node_id), Some(dest)) = (self.cache.dentry(id).node, self.cache.at(parent).and_then(|p| p.upper))
        else {
            return Ok(());
        };
        let lower = self.cache.node(node_id).lowers[0].1;
        let data_from = self.cache.node(node_id).data();
        let kind = self.cache.node(node_id).kind;
        let to_index = self.needs_index(node_id);
        // A file that hand-made redirects give two names: there is no rule for the other one from here on.
        self.undecided |= self.led && kind != Kind::Dir && !to_index && self.cache.has_name_but(node_id, id);
        let metacopy = copy == Copy::Attributes
            && self.options.metacopy
            && kind == Kind::File
            && self.rules.holds(Clause::McpCopyUp);
        let (dest, name) = match to_index {
            true => (self.work, index_name(lower)),
            false => (dest, self.cache.dentry(id).name.clone()),
        };
        let (dest_atime, dest_mtime) = (self.disk[dest].atime, self.disk[dest].mtime);
        if !to_index && self.rules.holds(Clause::CupImpure) {
            self.set_impure(parent);
        }

        if self.disk[dest].nlink == 0 {
            return Err(self.removed_directory(kind, lower));
        }
        if let Some(taken) = self.disk.child(dest, &name) {
            self.may_replace(kind, taken)?;
        }

        // Regular files are built nameless (O_TMPFILE), the rest in the work directory.
        let source = self.disk[lower].clone();
        let body = match &source.body {
            Body::Dir(_) => Body::dir(),
            Body::File(data) => Body::File(match copy {
                Copy::Truncated => Default::default(),
                // The size is that of the whole file all the same (MCP-04).
                _ if metacopy => std::rc::Rc::new(vec![0; data.len()]),
                _ if data.is_empty() => data.clone(),
                _ if self.rules.holds(Clause::CupData) => self.sized(data_from, data.len()),
                _ => std::rc::Rc::new(vec![0; data.len()]),
            }),
            Body::Symlink(_) | Body::Char(..) | Body::Block(..) => {
                if self.rules.holds(Clause::CupDevice) {
                    source.body.clone()
                } else {
                    match &source.body {
                        Body::Symlink(_) => Body::Symlink(Bytes::from("x")),
                        _ => Body::Char(1, 9),
                    }
                }
            }
            other => other.clone(),
        };
        let mounter = Owner { uid: 0, gid: 0, mode: if kind == Kind::Symlink { 0o777 } else { 0 } };
        let temp = if kind == Kind::File {
            self.disk.alloc(&self.rules, body, mounter)
        } else {
            let work = self.work;
            self.disk.create(&mut self.rules, work, TEMP, body, mounter)
        };

        if copy != Copy::Truncated && !metacopy {
            self.undecided |= self.skips_beyond(data_from, self.disk.size(temp) as usize);
            self.copy_storage(data_from, temp);
        }

        // `ovl_copy_up_metadata`
        self.copy_xattrs(lower, temp);
        self.set_origin(lower, temp, kind, to_index);
        if metacopy {
            self.disk.set_xattr(&mut self.rules, temp, "@metacopy", XattrValue::known(""));
        }
        let keeps =
            self.rules.holds(if kind == Kind::Dir { Clause::CupDirAttributes } else { Clause::CupFileAttributes });
        if kind != Kind::Symlink {
            self.disk.set_mode(&mut self.rules, temp, if keeps { source.mode } else { source.mode ^ 0o011 });
        }
        self.disk.set_owner(&mut self.rules, temp, source.uid, source.gid);
        if keeps {
            self.disk.set_times(&mut self.rules, temp, source.atime, source.mtime);
        }

        if kind == Kind::File {
            self.disk.link(&mut self.rules, temp, dest, &name);
            // The copy has one name; the other lower names keep what they have (LNK-03).
            if source.nlink > 1 && !to_index && !self.rules.holds(Clause::LnkBroken) {
                self.disk.raw(temp).nlink = source.nlink;
            }
        } else {
            let work = self.work;
            let whiteout = Model::WHITEOUT_OWNER;
            self.disk.rename(&mut self.rules, (work, TEMP), (dest, &name), super::disk::Swap::Replace, whiteout)?;
        }
        let node = self.cache.node_mut(node_id);
        node.upper = Some(temp);
        node.upper_data = !metacopy;
        node.indexed = to_index;
        if kind == Kind::Dir {
            node.whiteouts = true;
        }
        self.cache.rekey(node_id, temp);
        if to_index {
            self.store_nlink(node_id, true);
            return Ok(());
        }
        // Restore the parent's time stamps; its ctime stays new.
        if self.rules.holds(Clause::CupParentTimes) {
            self.disk.set_times(&mut self.rules, dest, dest_atime, dest_mtime);
        }
        self.cache.dentry_mut(id).alias = true;
        Ok(())
    }

    /// The data of an inode, cut or filled up to the size that the file has by its attributes.
    fn sized(&self, from: Ino, size: usize) -> std::rc::Rc<Vec<u8>> {
        let data = self.disk.data(from);
        if data.len() == size {
            return data;
        }
        let mut cut = data[..data.len().min(size)].to_vec();
        cut.resize(size, 0);
        std::rc::Rc::new(cut)
    }

    /// Whether copying `size` bytes of data passes over a hole that reaches beyond them: what is left to copy is less
    /// than nothing then, and what comes of that depends on the kernel (`ovl_copy_up_file`, `ovl_verify_area`). Only a
    /// metacopy made by hand has another size than its data.
    fn skips_beyond(&self, from: Ino, size: usize) -> bool {
        let stored = &self.disk[from].pages;
        let mut at = 0;
        while at < size.div_ceil(super::disk::PAGE) {
            let Some(hole) = stored.iter().skip(at).position(|stored| *stored) else { return false };
            if hole > 0 && (at + hole) * super::disk::PAGE > size {
                return true;
            }
            at += hole + CHUNK / super::disk::PAGE;
        }
        false
    }

    /// Whether copying up clones the data of an inode: they stay on its filesystem (`vfs_clone_file_range`).
    fn clones(&self, from: Ino) -> bool {
        self.disk.traits.clones && self.disk[from].on == 0
    }

    /// Gives the copy of a file the storage that copying its data does: from the first page that has any,
    /// holes behind it included; a clone has holes where the file has them.
    fn copy_storage(&mut self, from: Ino, to: Ino) {
        if self.disk.traits.seeks_by_cache {
            self.disk.raw(to).unwritten = self.disk[from].unwritten.clone();
        }
        let len = self.disk.data(to).len();
        let stored = self.disk[from].pages.clone();
        if self.clones(from) && len > 0 && stored.contains(&true) {
            let clone = self.disk.raw(to);
            (clone.pages, clone.cloned) = (stored, true);
            return;
        }
        // In pieces, each from where the next data are, with all holes in them (CUP-15).
        let mut at = 0;
        while let Some(next) = stored.iter().skip(at).position(|stored| *stored) {
            let start = (at + next) * super::disk::PAGE;
            let end = (start + CHUNK).min(len);
            if start >= end {
                break;
            }
            self.disk.store(to, start, end);
            self.disk.read_by_kernel(from, start, end);
            at = end.div_ceil(super::disk::PAGE);
        }
    }

    /// Copies the data up of what has its attributes in the upper already (`ovl_copy_up_meta_inode_data`).
    fn copy_data_up(&mut self, node_id: NodeId, copy: Copy) {
        let node = self.cache.node(node_id);
        let (Some(upper), from) = (node.upper, node.data()) else { return };
        if !self.rules.holds(Clause::McpDataUp) {
            return;
        }
        // As much as the size of the object right below says, which in layers made by hand need not be that of the
        // data; what the upper has beyond it stays.
        let size = node.lowers.first().map_or(0, |l| self.disk.data(l.1).len());
        if copy == Copy::Data && size > 0 {
            self.undecided |= self.skips_beyond(from, size);
            let source = self.disk.data(from);
            let copied = &source[..source.len().min(size)];
            let mut data = self.disk.data(upper).to_vec();
            data.resize(data.len().max(copied.len()), 0);
            data[..copied.len()].copy_from_slice(copied);
            self.disk.raw(upper).body = Body::File(std::rc::Rc::new(data));
            self.copy_storage(from, upper);
            // Data that are written date the file; holes are not written, but cloned with the rest.
            let dates = self.clones(from) || self.disk.has_data(from);
            if dates && self.rules.holds(Clause::McpDates) {
                self.disk.date_data(&mut self.rules, upper);
            }
        }
        self.disk.remove_xattr(&mut self.rules, upper, "@metacopy");
        self.cache.node_mut(node_id).upper_data = true;
    }

    /// Copying up into a directory that was removed (FIL-11). From 6.7 to 6.18 what was built in the work
    /// directory stays there until the next mount; before and since, `ovl_copy_up_workdir` cleans it up.
    fn removed_directory(&mut self, kind: Kind, lower: Ino) -> Errno {
        if kind == Kind::File {
            return self.refuse(Clause::FilRemovedDir, Errno::ENOENT);
        }
        if !((6, 7)..(6, 19)).contains(&self.context.kernel) {
            return self.refuse(Clause::FilRemovedDir, Errno::EIO);
        }
        let body = if kind == Kind::Dir { Body::dir() } else { self.disk[lower].body.clone() };
        let work = self.work;
        let name = format!("#left{}", self.disk[work].names().map_or(0, |n| n.len()));
        let owner = Owner { uid: 0, gid: 0, mode: if kind == Kind::Symlink { 0o777 } else { 0 } };
        self.disk.create(&mut self.rules, work, name.as_bytes(), body, owner);
        self.refuse(Clause::FilRemovedDir, Errno::EIO)
    }

    /// Whether copy-up may put an object where something has taken its name (FIL-11). A regular file
    /// is linked in and never may. The rest is renamed in, and may replace what rename(2) would
    /// replace, but where the kernel refuses that, too ([`Context::never_replaces`](super::Context::never_replaces)).
    fn may_replace(&mut self, kind: Kind, taken: Ino) -> Result<(), Errno> {
        let refused = || self.shown.as_ref().is_some_and(|shown| shown.exists);
        if kind == Kind::File || self.context.never_replaces().unwrap_or_else(refused) {
            return Err(self.refuse(Clause::FilReplaced, Errno::EEXIST));
        }
        let taken_by_dir = self.disk[taken].is_dir();
        match (kind == Kind::Dir, taken_by_dir) {
            (true, false) => Err(self.refuse(Clause::FilReplacedRename, Errno::ENOTDIR)),
            (false, true) => Err(self.refuse(Clause::FilReplacedRename, Errno::EISDIR)),
            (true, true) if !self.disk.is_empty_dir(taken) => {
                Err(self.refuse(Clause::FilReplacedRename, self.disk.traits.rename_not_empty))
            }
            _ if self.rules.holds(Clause::FilReplacedRename) => {
                self.adrift = true;
                Ok(())
            }
            _ => Err(Errno::EEXIST),
        }
    }

    /// Xattrs of the source go to the copy, private ones excepted (`ovl_copy_xattr`).
    pub(super) fn copy_xattrs(&mut self, from: Ino, to: Ino) {
        let xattrs = self.disk[from].xattrs.clone();
        for (name, value) in xattrs {
            // Escaped names are ordinary data of an overlay above this one (CUP-11), since there are any (6.7).
            let escaped = name.starts_with(b"@overlay.") && self.context.kernel >= (6, 7);
            let private = name.first() == Some(&b'@') && !escaped;
            let copied = if Role::of(name.as_slice()).is_some() {
                self.rules.holds(Clause::CupAcl)
            } else if private {
                !self.rules.holds(Clause::CupPrivate)
            } else {
                self.rules.holds(Clause::CupXattrs)
            };
            if copied {
                let name = String::from_utf8_lossy(&name).into_owned();
                self.disk.set_xattr(&mut self.rules, to, &name, value);
            }
        }
    }

    /// Stores the origin of a copy (`ovl_set_origin_fh`), or does not.
    fn set_origin(&mut self, lower: Ino, temp: Ino, kind: Kind, to_index: bool) {
        let wanted = if kind == Kind::Dir {
            self.rules.holds(Clause::CupOriginDir)
        } else if to_index {
            self.rules.holds(Clause::IdxOrigin)
        } else if self.disk[lower].nlink == 1 {
            self.rules.holds(Clause::CupOriginFile)
        } else {
            !self.rules.holds(Clause::CupOriginHardlink)
        };
        if !wanted {
            return;
        }
        // The overlay ignores the EPERM.
        if self.context.userxattr() && !self.context.takes_user_xattrs(kind) && self.rules.holds(Clause::CupOriginUser)
        {
            return;
        }
        let value = self.origin_value(lower);
        self.disk.set_xattr(&mut self.rules, temp, "@origin", value);
    }
}

/// Most that copying up writes in one piece (`OVL_COPY_UP_CHUNK_SIZE`).
const CHUNK: usize = 1 << 20;

/// Name of what is being built in the work directory; the kernel's is `#` and a number.
pub(super) const TEMP: &[u8] = b"#";
