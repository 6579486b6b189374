//! Layers on disk: made exactly as the case says, and digested to prove that nobody wrote to them.
//!
//! Entries are made relative to their parent's descriptor, which is reached through no symlink.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, linkat, lsetxattr, mkdirat,
    openat, symlinkat, utimensat,
};

use super::error::{Doing, ExecError, errno};
use super::observe::{Detail, Looker, c_path, digest_of, private_prefix};
use super::sys;
use crate::acl::Role;
use crate::bytes::Bytes;
use crate::case::{Layer, Node, NodeKind, stored_pages};
use crate::errno::Errno;
use crate::step::Device;
use crate::trace::{FNV_START, Privilege, TreeSeen};

/// Makes the entries of `layer` in the empty directory `root`. Changes the current directory.
pub(super) fn make(root: BorrowedFd<'_>, layer: &Layer, privilege: Privilege) -> Result<(), ExecError> {
    let nodes = layer.resolved();
    // In a setgid directory new entries get its group, so there every owner must be set.
    let inherits = nodes.iter().any(|(_, n)| n.kind == NodeKind::Dir && n.mode & 0o2000 != 0);
    let mut maker = Maker { root, parent: None, privilege, set_owner: inherits };
    for (path, node) in &nodes {
        maker.make(path, node).map_err(|e| explain(e, path, node, privilege))?;
    }
    // Making an entry dates its directory, so directories are dated last, children first; and what is made in one
    // with a default ACL would take that.
    for (path, node) in nodes.iter().rev().filter(|(_, n)| n.kind == NodeKind::Dir) {
        maker.set_xattrs(path, node, is_default_acl).map_err(|e| explain(e, path, node, privilege))?;
        maker.date(path, node).map_err(|e| explain(e, path, node, privilege))?;
    }
    Ok(())
}

/// What of the lower layers a digest must look at so that no change escapes it.
///
/// Every change of a node dates its ctime, and since 6.13 no two changes with a look in between give
/// it the same one (multigrain time stamps). Before, a change within one tick shows in what was
/// changed alone.
pub(super) fn digest_detail(kernel: &str) -> Detail {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 13) { Detail::ATTRIBUTES } else { Detail::ALL }
}

/// A digest of all these lower layers, in order. Changes the current directory.
pub(super) fn digest(looker: &mut Looker, lowers: &[OwnedFd], detail: Detail) -> Result<u64, ExecError> {
    lowers.iter().try_fold(FNV_START, |h, fd| {
        Ok(digest_of(h, &looker.tree(fd.as_fd(), detail).doing("looking at a lower layer")?, detail))
    })
}

/// These layers as they lie there, with everything. Changes the current directory.
pub(super) fn read(looker: &mut Looker, layers: &[OwnedFd]) -> Result<Vec<TreeSeen>, ExecError> {
    layers.iter().map(|fd| looker.tree(fd.as_fd(), Detail::ALL).doing("reading a layer")).collect()
}

/// What [`digest`] gives for layers that were read with everything.
pub(super) fn digest_of_all(trees: &[TreeSeen], detail: Detail) -> u64 {
    trees.iter().fold(FNV_START, |h, tree| digest_of(h, tree, detail))
}

fn explain(e: Errno, path: &[u8], node: &Node, privilege: Privilege) -> ExecError {
    let what = format!("layer entry {} ({}): {e}", Bytes::from(path), kind_name(&node.kind));
    let rootless = privilege == Privilege::Rootless;
    match e {
        Errno::EPERM | Errno::EINVAL | Errno::EACCES if rootless => {
            ExecError::unsupported(format!("{what} when rootless"), "run this case as root")
        }
        Errno::EOPNOTSUPP => ExecError::unsupported(
            format!("{what}: the layers' filesystem lacks these xattrs"),
            "user.* on tmpfs needs Linux 6.6 with CONFIG_TMPFS_XATTR",
        ),
        Errno::ENAMETOOLONG => ExecError::unsupported(what, "shorten its path"),
        _ => ExecError::Setup(what),
    }
}

fn kind_name(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Dir => "directory",
        NodeKind::File(_) => "file",
        NodeKind::Symlink(_) => "symlink",
        NodeKind::Fifo => "fifo",
        NodeKind::Socket => "socket",
        NodeKind::Char(Device::WHITEOUT) => "whiteout",
        NodeKind::Char(_) => "character device",
        NodeKind::Block(_) => "block device",
        NodeKind::Link(_) => "hard link",
    }
}

struct Maker<'a> {
    root: BorrowedFd<'a>,
    /// The directory that the last entry was in.
    parent: Option<(Vec<u8>, OwnedFd)>,
    privilege: Privilege,
    set_owner: bool,
}

impl Maker<'_> {
    /// The directory at this path of the layer.
    fn dir(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        if path.is_empty() {
            return Ok(self.root);
        }
        if self.parent.as_ref().is_none_or(|(at, _)| at != path) {
            self.parent = Some((path.to_owned(), sys::open_beneath(self.root, &c_path(path)?)?));
        }
        self.parent.as_ref().map(|(_, fd)| fd.as_fd()).ok_or(Errno::ENOENT)
    }

    fn make(&mut self, path: &[u8], node: &Node) -> Result<(), Errno> {
        let (parent, name) = split(path);
        let (root, set_owner) = (self.root, self.set_owner);
        let dir = self.dir(parent)?;
        let c_name = c_path(name)?;
        let mode = Mode::from(u32::from(node.mode));
        match &node.kind {
            NodeKind::Dir if path.is_empty() => {}
            NodeKind::Dir => mkdirat(dir, &*c_name, mode).map_err(errno)?,
            NodeKind::File(data) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let fd = openat(dir, &*c_name, flags, mode).map_err(errno)?;
                match node.sparse {
                    true => write_sparse(&fd, data.as_slice())?,
                    false => write_at(&fd, data.as_slice(), 0)?,
                }
            }
            NodeKind::Symlink(to) => symlinkat(&*c_path(to.as_slice())?, dir, &*c_name).map_err(errno)?,
            NodeKind::Fifo => mknod(dir, &c_name, libc::S_IFIFO, node, (0, 0))?,
            NodeKind::Socket => mknod(dir, &c_name, libc::S_IFSOCK, node, (0, 0))?,
            NodeKind::Char(d) => mknod(dir, &c_name, libc::S_IFCHR, node, (d.major(), d.minor()))?,
            NodeKind::Block(d) => mknod(dir, &c_name, libc::S_IFBLK, node, (d.major(), d.minor()))?,
            NodeKind::Link(to) => {
                let (to_parent, to_name) = split(to.as_slice());
                let opened;
                let to_dir = if to_parent.is_empty() {
                    root
                } else {
                    opened = sys::open_beneath(root, &c_path(to_parent)?)?;
                    opened.as_fd()
                };
                return linkat(to_dir, &*c_path(to_name)?, dir, &*c_name, AtFlags::empty()).map_err(errno);
            }
        }
        if set_owner || node.uid != 0 || node.gid != 0 {
            let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
            chownat(dir, &*c_name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(errno)?;
        }
        let special = node.mode & 0o7000 != 0 || set_owner || node.uid != 0 || node.gid != 0 || path.is_empty();
        if special && !matches!(node.kind, NodeKind::Symlink(_)) {
            // chown and mkdir drop setuid and setgid; this is no symlink, so nothing is followed.
            chmodat(dir, &*c_name, mode, AtFlags::empty()).map_err(errno)?;
        }
        let is_dir = node.kind == NodeKind::Dir;
        self.set_xattrs(path, node, |name| !is_dir || !is_default_acl(name))?;
        if is_dir { Ok(()) } else { self.date(path, node) }
    }

    /// Sets the xattrs of which the names fit. The mode was set before: an access ACL changes it.
    fn set_xattrs(&mut self, path: &[u8], node: &Node, fits: impl Fn(&[u8]) -> bool) -> Result<(), Errno> {
        if !node.xattrs.iter().any(|(name, _)| fits(name)) {
            return Ok(());
        }
        let (parent, name) = split(path);
        let privilege = self.privilege;
        sys::fchdir(self.dir(parent)?)?;
        let c_name = c_path(name)?;
        for (name, value) in node.xattrs.iter().filter(|(name, _)| fits(name)) {
            let full = match name.as_slice().strip_prefix(b"@") {
                Some(private) => [private_prefix(privilege), private].concat(),
                None => name.as_slice().to_vec(),
            };
            lsetxattr(&*c_name, &*c_path(&full)?, value.as_slice(), XattrFlags::empty()).map_err(errno)?;
        }
        Ok(())
    }

    fn date(&mut self, path: &[u8], node: &Node) -> Result<(), Errno> {
        let (parent, name) = split(path);
        let dir = self.dir(parent)?;
        let time = Timespec { tv_sec: node.time.sec, tv_nsec: node.time.nsec.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(dir, &*c_path(name)?, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(errno)
    }
}

fn write_at(fd: &OwnedFd, mut rest: &[u8], mut at: u64) -> Result<(), Errno> {
    while !rest.is_empty() {
        let n = rustix::io::pwrite(fd, rest, at).map_err(errno)?;
        rest = &rest[n..];
        at += n as u64;
    }
    Ok(())
}

/// Writes data, but for the pages that [`stored_pages`] leaves out.
fn write_sparse(fd: &OwnedFd, data: &[u8]) -> Result<(), Errno> {
    rustix::fs::ftruncate(fd, data.len() as u64).map_err(errno)?;
    for page in stored_pages(data) {
        write_at(fd, &data[page.clone()], page.start as u64)?;
    }
    Ok(())
}

fn is_default_acl(name: &[u8]) -> bool {
    Role::of(name) == Some(Role::Default)
}

fn mknod(dir: BorrowedFd<'_>, name: &std::ffi::CStr, kind: u32, node: &Node, dev: (u32, u32)) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    sys::mknodat(dir.as_raw_fd(), name, kind | u32::from(node.mode), dev)
}

/// Parent and name; the layer's root is `.` in itself.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None if path.is_empty() => (b"", b"."),
        None => (b"", path),
    }
}
