//! Comparing one node: predicted attributes, xattrs and content against what was seen.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::forgive::Forgivable;
use crate::acl::ValueText;
use crate::bytes::Bytes;
use crate::container::is_private_of_others;
use crate::level::Level;
use crate::model::disk::{Body, Disk, Ino, PAGE, XattrValue};
use crate::model::look::Look;
use crate::model::number::{Device, Number};
use crate::model::value::{Bindings, Spans, Stamp};
use crate::trace::{Content, Kind, Seen, Stat, Time, content_of};

/// Xattrs that a security module of the host adds on its own; they are compared nowhere.
pub const IGNORED_XATTRS: &[&str] = &["security.selinux"];

/// Private xattrs by which Linux remembers what it has seen. A layer without them mounts as well, so
/// below Linux's own level they are compared nowhere.
const BOOKKEEPING: [&str; 4] = ["@origin", "@impure", "@uuid", "@nlink"];

/// One difference.
#[derive(Debug)]
pub(super) struct Diff {
    pub field: String,
    pub expected: String,
    pub seen: String,
}

impl Diff {
    pub(super) fn new(field: impl Into<String>, expected: impl Display, seen: impl Display) -> Diff {
        Diff { field: field.into(), expected: expected.to_string(), seen: seen.to_string() }
    }
}

/// What logical values are bound to, and which device the mount is.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub spans: Spans,
    pub bindings: Bindings,
    /// What the target claims to be. Below Linux's own level inode and device numbers, links of directories,
    /// times of access and change, and which error it is are its own business.
    pub level: Level,
    /// What is not compared in this step, because it is known to differ.
    pub forgiven: Forgivable,
    /// No overlay: private xattrs are ordinary ones.
    pub plain: bool,
    /// Inodes that open descriptors keep in being.
    pub held: Vec<Ino>,
    /// `st_dev` of the merged side, by mount: the overlay's own.
    pub merged_dev: Option<(u32, u32)>,
    /// And where layers lie on several filesystems, what else was seen.
    pub devices: Option<Devices>,
    /// Whether reading dates what is read.
    pub strictatime: bool,
    /// Whether blocks are compared.
    pub counts_blocks: bool,
    /// Blocks of the regular files of the lower layers at first; nothing changes them but reading, and that seldom.
    pub lower_blocks: BTreeMap<Ino, u64>,
    /// Those of upper files, as this look has found them.
    pub upper_blocks: BTreeMap<Ino, u64>,
    /// What this look has found on the merged side: inode number, whose blocks these are, how many.
    pub merged_blocks: Vec<(u64, Ino, u64)>,
    /// The first time stamp of the step that differs, and of which inode. It is reported only if
    /// nothing else does: whether a wrong date shows depends on the clock's tick, and a signature
    /// must not.
    pub late: Option<(Diff, Option<Ino>)>,
}

/// Devices of layers on several filesystems.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// Those of the filesystems themselves.
    pub native: Vec<(u32, u32)>,
    /// Those that stand for a filesystem in the mount that there is.
    pub shown: Vec<(u8, (u32, u32))>,
}

impl Devices {
    /// Takes note of the device of a filesystem itself.
    pub(super) fn know_native(&mut self, device: (u32, u32)) {
        if !self.native.contains(&device) {
            self.native.push(device);
        }
    }

    /// Whether the merged side can show this device, after the overlay's own: each is one of its own, and none is that
    /// of a filesystem itself. Binds what stands for a filesystem at first sight.
    fn admits(&mut self, own: (u32, u32), device: Device, seen: (u32, u32)) -> bool {
        if self.native.contains(&seen) || self.native.contains(&own) {
            return false;
        }
        let Device::Filesystem(number) = device else {
            return own == seen && self.shown.iter().all(|(_, shown)| *shown != seen);
        };
        match self.shown.iter().find(|(known, _)| *known == number) {
            Some((_, shown)) => *shown == seen,
            None => {
                let free = own != seen && self.shown.iter().all(|(_, shown)| *shown != seen);
                self.shown.push((number, seen));
                free
            }
        }
    }

    /// Whether a filesystem itself can be on this device: the mount shows none of those.
    fn is_native(&mut self, own: Option<(u32, u32)>, seen: (u32, u32)) -> bool {
        self.know_native(seen);
        own != Some(seen) && self.shown.iter().all(|(_, shown)| *shown != seen)
    }
}

fn octal(mode: u16) -> String {
    format!("{mode:04o}")
}

fn time(t: Time) -> String {
    format!("{}.{:09}", t.sec, t.nsec)
}

impl Known {
    fn stamp(&mut self, ino: Ino, field: &str, stamp: Stamp, seen: Time) {
        if self.late.is_none() && !self.forgiven.covers(field) && !self.spans.admits(stamp, seen) {
            self.late = Some((Diff::new(field, self.spans.describe(stamp), time(seen)), Some(ino)));
        }
    }

    /// Compares an inode number. A filesystem that uses numbers again may give that of an inode that has
    /// no name any more and that no descriptor holds.
    pub(super) fn number(&mut self, disk: &Disk, number: Number, seen: u64) -> Result<(), Diff> {
        if self.level < Level::Linux || self.forgiven.covers("ino") {
            return Ok(());
        }
        let (ino, seen) = match number {
            Number::Of(ino) => (ino, seen),
            Number::Marked(ino, mark, bits) => {
                let high = !0 << (64 - bits);
                if seen & high != mark {
                    let expected = format!("a number marked with {mark:#x}, in its {bits} high bits");
                    return Err(Diff::new("ino", expected, format!("{seen:#x}")));
                }
                (ino, seen & !high)
            }
            Number::Counted(mount, node) => {
                return match self.bindings.counted((mount, node), seen) {
                    true => Ok(()),
                    false => Err(Diff::new("ino", "a number that the mount has counted for this directory", seen)),
                };
            }
        };
        let on = disk[ino].on;
        if disk.traits.reuses_numbers {
            if let Some(former) = self.bindings.holder(on, seen).filter(|&former| former != ino) {
                if disk[former].nlink == 0 && !self.held.contains(&former) {
                    self.bindings.release(on, former);
                }
            }
        }
        if self.bindings.number(on, ino, seen) {
            return Ok(());
        }
        let expected = match self.bindings.number_of(ino) {
            Some(n) if n != seen => format!("{n}, as before"),
            _ => "a number that no other inode has".to_owned(),
        };
        Err(Diff::new("ino", expected, seen))
    }

    /// What a number must be, in words.
    pub(super) fn describe_number(&self, number: Number) -> String {
        let known = |ino| self.bindings.number_of(ino);
        match number {
            Number::Of(ino) => known(ino).map_or("its own".to_owned(), |n| n.to_string()),
            Number::Marked(ino, mark, _) => {
                known(ino).map_or(format!("one marked with {mark:#x}"), |n| (n | mark).to_string())
            }
            Number::Counted(..) => "one that the mount has counted".to_owned(),
        }
    }

    /// Compares attributes. `merged` says whether the look was at the merged side.
    pub(super) fn stat(&mut self, disk: &Disk, look: Look, seen: &Stat, merged: bool) -> Result<(), Diff> {
        let inode = &disk[look.attributes];
        let kind = inode.body.kind();
        if kind != seen.kind {
            return Err(Diff::new("type", format!("{kind:?}"), format!("{:?}", seen.kind)));
        }
        if inode.mode != seen.mode {
            return Err(Diff::new("mode", octal(inode.mode), octal(seen.mode)));
        }
        if (inode.uid, inode.gid) != (seen.uid, seen.gid) {
            return Err(Diff::new(
                "owner",
                format!("{}:{}", inode.uid, inode.gid),
                format!("{}:{}", seen.uid, seen.gid),
            ));
        }
        let linux = self.level == Level::Linux;
        let counted = linux || merged && kind != Kind::Dir;
        if counted && look.nlink != seen.nlink && !self.forgiven.covers("nlink") {
            return Err(Diff::new("nlink", look.nlink, seen.nlink));
        }
        let (size, rdev) = match &inode.body {
            Body::File(data) => (data.len() as u64, (0, 0)),
            Body::Symlink(target) => (target.len() as u64, (0, 0)),
            Body::Char(major, minor) | Body::Block(major, minor) => (0, (*major, *minor)),
            _ => (0, (0, 0)),
        };
        // A directory's size is its filesystem's business.
        if kind != Kind::Dir && size != seen.size {
            return Err(Diff::new("size", size, seen.size));
        }
        if rdev != seen.rdev && matches!(kind, Kind::Char | Kind::Block) {
            return Err(Diff::new(
                "device",
                format!("{}:{}", rdev.0, rdev.1),
                format!("{}:{}", seen.rdev.0, seen.rdev.1),
            ));
        }
        if linux && kind == Kind::File && self.counts_blocks {
            if merged {
                self.merged_blocks.push((seen.ino, look.blocks, seen.blocks));
            } else {
                self.upper_blocks.insert(look.blocks, seen.blocks);
            }
        }
        self.number(disk, look.number, seen.ino)?;
        let counts = linux && !self.forgiven.covers("dev");
        if let (Some(_), true) = (&self.devices, counts) {
            self.device(look.device, seen.dev, merged)?;
        } else if counts && merged && *self.merged_dev.get_or_insert(seen.dev) != seen.dev {
            let (major, minor) = self.merged_dev.unwrap_or_default();
            let seen = format!("{}:{}", seen.dev.0, seen.dev.1);
            return Err(Diff::new("dev", format!("{major}:{minor}, as everything here"), seen));
        }
        let (mtime, atime, ctime) = (inode.mtime, inode.atime, inode.ctime);
        self.stamp(look.attributes, "mtime", mtime, seen.mtime);
        if linux {
            // Whoever looks reads symlinks.
            if !(self.strictatime && kind == Kind::Symlink) {
                self.stamp(look.attributes, "atime", atime, seen.atime);
            }
            self.stamp(look.attributes, "ctime", ctime, seen.ctime);
        }
        Ok(())
    }

    /// Compares a device where layers lie on several filesystems.
    fn device(&mut self, device: Device, seen: (u32, u32), merged: bool) -> Result<(), Diff> {
        let Some(devices) = &mut self.devices else { return Ok(()) };
        if merged && device == Device::Overlay && self.merged_dev.is_none() {
            self.merged_dev = Some(seen);
        }
        let fits = match (merged, self.merged_dev) {
            (true, Some(own)) => devices.admits(own, device, seen),
            // What is no directory before any directory was seen.
            (true, None) => devices.admits((0, 0), device, seen),
            (false, own) => devices.is_native(own, seen),
        };
        if fits {
            return Ok(());
        }
        let expected = match (merged, device) {
            (false, _) => "a device that the merged tree does not show".to_owned(),
            (true, Device::Overlay) => "the overlay's own device".to_owned(),
            (true, Device::Filesystem(number)) => format!("a device that stands for filesystem {}", number + 1),
        };
        Err(Diff::new("dev", expected, format!("{}:{}", seen.0, seen.1)))
    }

    /// Compares the blocks that the merged side has shown in a look with those of the layers, as far as both were
    /// looked at. Gives the number of the inode that differs.
    pub(super) fn blocks(&mut self, disk: &Disk) -> Result<(), (u64, Diff)> {
        let (merged, upper) = (std::mem::take(&mut self.merged_blocks), std::mem::take(&mut self.upper_blocks));
        for (number, ino, seen) in merged {
            let filled = (disk[ino].filled * PAGE / 512) as u64;
            let expected = self.lower_blocks.get(&ino).map(|at_first| at_first + filled);
            if let Some(expected) = expected.or_else(|| upper.get(&ino).copied()).filter(|expected| *expected != seen) {
                return Err((number, Diff::new("blocks", expected, seen)));
            }
        }
        Ok(())
    }

    fn xattr_value(&mut self, expected: &XattrValue, seen: &Bytes) -> bool {
        match expected {
            XattrValue::Known(value) => value == seen,
            XattrValue::Handle(ino) => self.bindings.handle(*ino, seen),
            XattrValue::Uuid(n) => self.bindings.uuid(*n, seen),
        }
    }

    /// Compares xattrs; the merged side shows no private ones.
    pub(super) fn xattrs(&mut self, disk: &Disk, ino: Ino, seen: &[(Bytes, Bytes)], merged: bool) -> Result<(), Diff> {
        let describe = |value: &XattrValue| match value {
            XattrValue::Known(value) => ValueText(value).to_string(),
            XattrValue::Handle(_) => "the file handle of its origin".to_owned(),
            XattrValue::Uuid(_) => "the uuid of this upper".to_owned(),
        };
        let ignored = |name: &[u8]| IGNORED_XATTRS.iter().any(|i| i.as_bytes() == name);
        let forgiven = self.forgiven;
        let foreign = self.level < Level::Linux && !self.plain;
        let kept = foreign && !merged;
        let passed = |name: &[u8]| {
            // Those of Linux show in the merged view only where somebody has set them there.
            let of_others = foreign && (merged && name.starts_with(b"@") || is_private_of_others(name));
            of_others
                || ignored(name)
                || forgiven.covers_xattr(name)
                || kept && BOOKKEEPING.iter().any(|b| b.as_bytes() == name)
        };
        let mut rest = seen.iter().filter(|(n, _)| !passed(n)).peekable();
        let shown = merged && !self.plain;
        for (name, value) in &disk[ino].xattrs {
            if passed(name) {
                continue;
            }
            // Through the overlay, private names are hidden and escaped ones come back (XAT-02).
            let unescaped;
            let name = match name.strip_prefix(b"@") {
                Some(rest) if shown => match rest.strip_prefix(b"overlay.") {
                    Some(rest) => {
                        unescaped = Bytes::from([b"@", rest].concat());
                        &unescaped
                    }
                    None => continue,
                },
                _ => name,
            };
            if let Some((extra, value)) = rest.next_if(|(n, _)| n < name) {
                return Err(Diff::new(format!("xattr {extra}"), "none", ValueText(value).to_string()));
            }
            match rest.next_if(|(n, _)| n == name) {
                None => return Err(Diff::new(format!("xattr {name}"), describe(value), "none")),
                Some((_, seen)) => {
                    if !self.xattr_value(value, seen) {
                        return Err(Diff::new(format!("xattr {name}"), describe(value), ValueText(seen).to_string()));
                    }
                }
            }
        }
        match rest.next() {
            Some((extra, value)) => Err(Diff::new(format!("xattr {extra}"), "none", ValueText(value).to_string())),
            None => Ok(()),
        }
    }

    /// Compares the content of a file or symlink.
    pub(super) fn content(&self, disk: &Disk, ino: Ino, seen: &Content) -> Result<(), Diff> {
        let expected = match &disk[ino].body {
            Body::File(data) => {
                // The common case without a copy.
                if matches!(seen, Content::Bytes(b) if b.as_slice() == data.as_slice()) {
                    return Ok(());
                }
                content_of(data)
            }
            Body::Symlink(target) => {
                if matches!(seen, Content::Bytes(b) if b == target) {
                    return Ok(());
                }
                Content::Bytes(target.clone())
            }
            _ => Content::None,
        };
        if expected == *seen {
            return Ok(());
        }
        let show = |c: &Content| match c {
            Content::None => "nothing".to_owned(),
            Content::Bytes(b) => b.quoted().to_string(),
            Content::Digest(d) => format!("data with digest {d:016x}"),
            Content::Unreadable(e) => format!("unreadable: {e}"),
        };
        Err(Diff::new("content", show(&expected), show(seen)))
    }

    /// Compares everything of a node that was looked at.
    pub(super) fn node(&mut self, disk: &Disk, look: Look, seen: &Seen, merged: bool) -> Result<(), Diff> {
        self.stat(disk, look, &seen.stat, merged)?;
        if let Some(xattrs) = &seen.xattrs {
            self.xattrs(disk, look.attributes, xattrs, merged)?;
        }
        if seen.content != Content::None {
            self.content(disk, look.data, &seen.content)?;
        }
        Ok(())
    }
}
