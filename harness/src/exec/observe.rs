//! The look at what a step left: footprints and whole trees, as they are, with no opinion.
//!
//! Everything is relative to a descriptor or to the current directory, one name at a time, and no
//! last symlink is ever followed, so a hostile tree cannot lead a look anywhere else.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::sys;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::level::Level;
use crate::step::footprint_of;
use crate::trace::{
    Content, DirEntry, FNV_START, Footprint, Kind, NodeSeen, Privilege, Seen, Side, Stat, TreeSeen, content_of, fnv1a,
};

/// Files longer than this are not read; their content stands as `Unreadable(EFBIG)`. A sparse file
/// may claim to be as long as it likes.
pub(super) const READ_LIMIT: u64 = 16 << 20;

/// The longest list of xattr names, and the longest value, that the kernel has.
const XATTR_LIMIT: usize = 65536;

/// Enough for nearly every list and value. It is tried first, because the kernel allocates, and
/// for values clears, as much memory as it is offered.
const XATTR_USUAL: usize = 512;

/// How often a look that ran out of symlinks is repeated: a walk that a mount elsewhere interrupts counts on
/// (VFS-05.loop).
const WALKS: usize = 8;

/// The `getdents64` buffer: as large as the one of the C library.
const DENTS: usize = 32768;

/// The prefix of the private xattrs in force.
pub(super) fn private_prefix(privilege: Privilege) -> &'static [u8] {
    match privilege {
        Privilege::Root => b"trusted.overlay.",
        Privilege::Rootless => b"user.overlay.",
    }
}

/// What of each node of a tree is looked at besides its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    /// Its xattrs.
    pub xattrs: bool,
    /// Its content.
    pub content: bool,
}

impl Detail {
    /// Everything.
    pub(super) const ALL: Detail = Detail { xattrs: true, content: true };
    /// Attributes alone.
    pub(super) const ATTRIBUTES: Detail = Detail { xattrs: false, content: false };
    /// The merged tree between two steps: private xattrs are hidden there anyway.
    pub(super) const MERGED: Detail = Detail { xattrs: false, content: true };
    /// The upper tree between two steps: its data was just read through the merged one.
    pub(super) const UPPER: Detail = Detail { xattrs: true, content: false };
}

/// Looks at trees; owns the buffers for it.
#[derive(Debug)]
pub(super) struct Looker {
    prefix: &'static [u8],
    /// Whether nothing is told of xattrs where there are none, instead of none.
    may_lack_xattrs: bool,
    names: Vec<u8>,
    value: Vec<u8>,
    dents: Vec<u8>,
    data: Vec<u8>,
}

impl Looker {
    /// A looker that knows the private prefix in force.
    pub(super) fn new(privilege: Privilege) -> Looker {
        Looker {
            prefix: private_prefix(privilege),
            may_lack_xattrs: false,
            names: vec![0; XATTR_LIMIT],
            value: vec![0; XATTR_LIMIT],
            dents: vec![0; DENTS],
            data: Vec::new(),
        }
    }

    /// The same, for a target of this level: below Linux's own one may be without xattrs.
    pub(super) fn at(self, level: Level) -> Looker {
        Looker { may_lack_xattrs: level < Level::Linux, ..self }
    }

    /// Adds the footprint of a path to `out`. The current directory is the merged root, `merged`,
    /// and is so again afterwards. Without an upper layer only the merged side is looked at.
    pub(super) fn footprint(
        &mut self,
        path: &[u8],
        merged: BorrowedFd<'_>,
        upper: Option<BorrowedFd<'_>>,
        out: &mut Vec<Footprint>,
    ) -> Result<(), Errno> {
        let clean = footprint_of(path);
        let here = c_path(if clean.is_empty() { b"." } else { clean.as_slice() })?;
        let mut seen = sys::statx(sys::CWD, &here, libc::AT_SYMLINK_NOFOLLOW);
        for _ in 0..WALKS {
            if !matches!(seen, Err(Errno::ELOOP)) {
                break;
            }
            seen = sys::statx(sys::CWD, &here, libc::AT_SYMLINK_NOFOLLOW);
        }
        let seen = seen.map(|stat| Seen { stat, xattrs: None, content: Content::None });
        out.push(Footprint { side: Side::Merged, path: clean.clone(), seen });
        let Some(upper) = upper else { return Ok(()) };
        let (parent, name) = clean.split_last();
        let parent_path = Bytes::from(parent);
        let opened;
        let dir = if parent.is_empty() {
            upper
        } else {
            match sys::open_beneath(upper, &c_path(parent)?) {
                Ok(fd) => {
                    opened = fd;
                    opened.as_fd()
                }
                Err(e) => {
                    out.push(Footprint { side: Side::Upper, path: parent_path, seen: Err(e) });
                    out.push(Footprint { side: Side::Upper, path: clean, seen: Err(e) });
                    return Ok(());
                }
            }
        };
        sys::fchdir(dir)?;
        out.push(Footprint { side: Side::Upper, path: parent_path, seen: self.look(c".", true) });
        if !name.is_empty() {
            let seen = self.look(&c_path(name)?, true);
            out.push(Footprint { side: Side::Upper, path: clean, seen });
        }
        sys::fchdir(merged)
    }

    /// Attributes and xattrs of a name in the current directory.
    fn look(&mut self, name: &CStr, xattrs: bool) -> Result<Seen, Errno> {
        let stat = sys::statx(sys::CWD, name, libc::AT_SYMLINK_NOFOLLOW)?;
        let xattrs = if xattrs { self.xattrs(name)? } else { None };
        Ok(Seen { stat, xattrs, content: Content::None })
    }

    fn xattrs(&mut self, path: &CStr) -> Result<Option<Vec<(Bytes, Bytes)>>, Errno> {
        let mut listed = sys::llistxattr(path, &mut self.names[..XATTR_USUAL]);
        if listed == Err(Errno::ERANGE) {
            listed = sys::llistxattr(path, &mut self.names);
        }
        let len = match listed {
            Err(Errno::EOPNOTSUPP) if self.may_lack_xattrs => return Ok(None),
            // A filesystem without xattrs has none.
            Err(Errno::EOPNOTSUPP) => 0,
            other => other?,
        };
        let mut found = Vec::new();
        for name in self.names[..len].split_inclusive(|&b| b == 0) {
            let c_name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::EINVAL)?;
            let mut value = sys::lgetxattr(path, c_name, &mut self.value[..XATTR_USUAL]);
            if value == Err(Errno::ERANGE) {
                value = sys::lgetxattr(path, c_name, &mut self.value);
            }
            let value = value?;
            let name = c_name.to_bytes();
            let name = match name.strip_prefix(self.prefix) {
                Some(private) => Bytes::from([b"@", private].concat()),
                None => Bytes::from(name),
            };
            found.push((name, Bytes::from(&self.value[..value])));
        }
        found.sort();
        Ok(Some(found))
    }

    /// Entries of an open directory from its position to its end, read with a buffer of `size`.
    pub(super) fn getdents(&mut self, dir: RawFd, size: usize) -> Result<Vec<DirEntry>, Errno> {
        let whole = std::mem::take(&mut self.dents);
        self.dents = vec![0; size];
        let listed = self.list(dir);
        self.dents = whole;
        listed
    }

    /// The entries that one getdents64 with a buffer of `size` gives, each with the position after it.
    pub(super) fn getdents64(&mut self, dir: RawFd, size: usize) -> Result<Vec<(DirEntry, i64)>, Errno> {
        let mut buffer = vec![0; size];
        let len = sys::getdents(dir, &mut buffer)?;
        let mut rest = &buffer[..len];
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = parse_dirent(rest).ok_or(Errno::EIO)?;
            let next = rest.get(8..).and_then(|rest| rest.first_chunk()).ok_or(Errno::EIO)?;
            entries.push((entry, i64::from_ne_bytes(*next)));
            rest = after;
        }
        Ok(entries)
    }

    /// The full name of an xattr: `@x` has the private prefix in force.
    pub(super) fn full_name(&self, name: &[u8]) -> Result<CString, Errno> {
        match name.strip_prefix(b"@") {
            Some(rest) => c_path(&[self.prefix, rest].concat()),
            None => c_path(name),
        }
    }

    /// The names in a list of xattrs, private ones with `@`, sorted.
    pub(super) fn names_in(&self, list: &[u8]) -> Vec<Bytes> {
        let names = list.split(|&b| b == 0).filter(|n| !n.is_empty());
        let mut names: Vec<Bytes> = names
            .map(|name| match name.strip_prefix(self.prefix) {
                Some(private) => Bytes::from([b"@", private].concat()),
                None => Bytes::from(name),
            })
            .collect();
        names.sort();
        names
    }

    /// All entries of an open directory but `.` and `..`, sorted.
    pub(super) fn list(&mut self, dir: RawFd) -> Result<Vec<DirEntry>, Errno> {
        let mut entries = Vec::new();
        loop {
            let len = sys::getdents(dir, &mut self.dents)?;
            if len == 0 {
                break;
            }
            let mut rest = &self.dents[..len];
            while !rest.is_empty() {
                let (entry, after) = parse_dirent(rest).ok_or(Errno::EIO)?;
                rest = after;
                if !matches!(entry.name.as_slice(), b"." | b"..") {
                    entries.push(entry);
                }
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// The whole tree below `root`, depth first. Leaves the current directory somewhere in it.
    pub(super) fn tree(&mut self, root: BorrowedFd<'_>, detail: Detail) -> Result<TreeSeen, Errno> {
        sys::fchdir(root)?;
        let mut out = Vec::new();
        self.node(&Bytes::default(), c".", Kind::Unknown, None, detail, &mut out)?;
        Ok(out)
    }

    /// One node of the current directory `dir`, and what is below it.
    fn node(
        &mut self,
        path: &Bytes,
        name: &CStr,
        listed: Kind,
        dir: Option<BorrowedFd<'_>>,
        detail: Detail,
        out: &mut TreeSeen,
    ) -> Result<(), Errno> {
        let mut seen = self.look(name, detail.xattrs);
        let kind = seen.as_ref().map_or(Kind::Unknown, |s| s.stat.kind);
        if let (Ok(seen), true) = (&mut seen, detail.content) {
            seen.content = self.content(name, &seen.stat);
        }
        let at = out.len();
        out.push(NodeSeen { path: path.clone(), listed, seen, list_error: None });
        if kind != Kind::Dir {
            return Ok(());
        }
        let listing =
            open_to_look(name, libc::O_DIRECTORY).and_then(|fd| self.list(fd.as_raw_fd()).map(|list| (fd, list)));
        let (fd, entries) = match listing {
            Ok(found) => found,
            Err(e) => {
                out[at].list_error = Some(e);
                return Ok(());
            }
        };
        if entries.is_empty() {
            return Ok(());
        }
        sys::fchdir(fd.as_fd())?;
        for entry in entries {
            let child = path.join(entry.name.as_slice());
            self.node(&child, &c_path(entry.name.as_slice())?, entry.kind, Some(fd.as_fd()), detail, out)?;
        }
        match dir {
            Some(dir) => sys::fchdir(dir),
            None => Ok(()),
        }
    }

    fn content(&mut self, name: &CStr, stat: &Stat) -> Content {
        let found = match stat.kind {
            Kind::Symlink => {
                sys::readlink(name, &mut self.value[..4096]).map(|len| Content::Bytes(Bytes::from(&self.value[..len])))
            }
            Kind::File if stat.size > READ_LIMIT => Err(Errno::EFBIG),
            Kind::File => self.read_file(name, stat.size).map(|()| content_of(&self.data)),
            _ => return Content::None,
        };
        found.unwrap_or_else(Content::Unreadable)
    }

    fn read_file(&mut self, name: &CStr, size: u64) -> Result<(), Errno> {
        let fd = open_to_look(name, 0)?;
        let mut len = 0;
        // One byte more than stat said, so that the end shows at the first read.
        self.data.resize(size as usize + 1, 0);
        loop {
            if len == self.data.len() {
                if len as u64 > READ_LIMIT {
                    return Err(Errno::EFBIG);
                }
                self.data.resize(len * 2, 0);
            }
            // A read that returns less than it was offered has reached the end.
            len += sys::read(fd.as_raw_fd(), &mut self.data[len..])?;
            if len < self.data.len() {
                break;
            }
        }
        self.data.truncate(len);
        Ok(())
    }
}

/// Opens what is no symlink, fifo or device to read it. Only its owner may leave its access time alone.
fn open_to_look(name: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let flags = flags | libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match sys::open(name, flags | libc::O_NOATIME, 0) {
        Err(Errno::EPERM) => sys::open(name, flags, 0),
        opened => opened,
    }
}

/// A path for the kernel. NUL cannot be part of one.
pub(super) fn c_path(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::EINVAL)
}

/// A digest of a tree: everything but access times and device numbers, which say nothing about
/// whether somebody wrote to it.
pub(super) fn digest_of(start: u64, tree: &TreeSeen, detail: Detail) -> u64 {
    let mut h = start;
    let mut number = |n: u64| h = fnv1a(h, &n.to_le_bytes());
    for node in tree {
        number(fnv1a(FNV_START, node.path.as_slice()));
        number(node.listed as u64);
        number(node.list_error.map_or(0, |e| e.0 as u64));
        match &node.seen {
            Err(e) => number(e.0 as u64),
            Ok(Seen { stat: s, xattrs, content }) => {
                for n in [u64::from(s.mode) << 8 | s.kind as u64, s.uid.into(), s.gid.into(), s.nlink.into()] {
                    number(n);
                }
                for n in [s.size, s.rdev.0.into(), s.rdev.1.into(), s.ino] {
                    number(n);
                }
                for t in [s.mtime, s.ctime] {
                    number(t.sec as u64);
                    number(t.nsec.into());
                }
                for (name, value) in xattrs.iter().flatten().filter(|_| detail.xattrs) {
                    number(fnv1a(FNV_START, name.as_slice()));
                    number(fnv1a(FNV_START, value.as_slice()));
                }
                number(match content {
                    _ if !detail.content => 0,
                    Content::None => 0,
                    Content::Bytes(bytes) => fnv1a(FNV_START, bytes.as_slice()),
                    Content::Digest(digest) => *digest,
                    Content::Unreadable(e) => e.0 as u64,
                });
            }
        }
    }
    h
}

/// The first `struct linux_dirent64` and the rest; `None` when it is cut or malformed.
fn parse_dirent(bytes: &[u8]) -> Option<(DirEntry, &[u8])> {
    let ino = u64::from_ne_bytes(*bytes.first_chunk()?);
    let len = usize::from(u16::from_ne_bytes(*bytes.get(16..)?.first_chunk()?));
    let name = CStr::from_bytes_until_nul(bytes.get(19..len)?).ok()?;
    let kind = match *bytes.get(18)? {
        libc::DT_DIR => Kind::Dir,
        libc::DT_REG => Kind::File,
        libc::DT_LNK => Kind::Symlink,
        libc::DT_FIFO => Kind::Fifo,
        libc::DT_SOCK => Kind::Socket,
        libc::DT_CHR => Kind::Char,
        libc::DT_BLK => Kind::Block,
        _ => Kind::Unknown,
    };
    Some((DirEntry { name: Bytes::from(name.to_bytes()), kind, ino }, bytes.get(len..)?))
}
