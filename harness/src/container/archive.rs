//! Root filesystems in tar archives, and what makes an archive hostile.
//!
//! An archive becomes a [`Layer`], so nothing is written while it is read, and what is written later goes
//! below a descriptor, through no symlink. What could lead out of it is refused all the same, and named.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tar::{Archive, Entry as Member, EntryType};

use crate::bytes::Bytes;
use crate::case::{Entry, LAYER_TIME, Layer, Node, NodeKind};
use crate::compression::{Compression, MAGIC_LEN, in_memory};
use crate::step::Device;
use crate::trace::Time;

/// The longest sum of all files, in bytes: they are held in memory.
pub(super) const SIZE_LIMIT: u64 = 2 << 30;

/// Why an archive is no root filesystem.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or its compression cannot be undone here.
    #[error("{0}")]
    Unreadable(String),
    /// It holds something that no root filesystem needs and an attacker would like.
    #[error("refused: entry {path}: {why}")]
    Hostile {
        /// The entry.
        path: Bytes,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads `FILE.tar`, also compressed with gzip, xz or zstd (by the program of that name).
///
/// # Errors
/// When it cannot be read, or is hostile.
pub fn read_archive_file(path: &Path) -> Result<Layer, ArchiveError> {
    read_compressed(path, |from| read_archive(from))
}

/// Reads a file, through the program that undoes its compression if it is compressed.
pub(super) fn read_compressed<T>(
    path: &Path,
    read: impl FnOnce(&mut dyn Read) -> Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let unreadable = |e: std::io::Error| ArchiveError::Unreadable(format!("{}: {e}", path.display()));
    let mut magic = Vec::new();
    File::open(path).and_then(|f| f.take(MAGIC_LEN as u64).read_to_end(&mut magic)).map_err(unreadable)?;
    let mut file = File::open(path).map_err(unreadable)?;
    match Compression::of(&magic) {
        None => read(&mut file),
        Some(compression) => through(compression, file, &path.display().to_string(), read),
    }
}

/// Reads an archive in memory that may be compressed.
pub(super) fn read_blob(blob: &[u8]) -> Result<Layer, ArchiveError> {
    let Some(compression) = Compression::of(blob) else { return read_archive(blob) };
    let file =
        in_memory("ovlcheck-layer", blob).map_err(|e| ArchiveError::Unreadable(format!("a layer in memory: {e}")))?;
    through(compression, file, "a layer", |from| read_archive(from))
}

fn through<T>(
    compression: Compression,
    file: File,
    name: &str,
    read: impl FnOnce(&mut dyn Read) -> Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let mut from = compression
        .undo(file)
        .map_err(|e| ArchiveError::Unreadable(format!("{name} needs a program to decompress it: {e}")))?;
    let result = read(&mut from)?;
    from.finish().map_err(|e| ArchiveError::Unreadable(format!("{name}: {e}")))?;
    Ok(result)
}

/// Reads a tar archive.
///
/// # Errors
/// When it is damaged, too large, or hostile.
pub fn read_archive(from: impl Read) -> Result<Layer, ArchiveError> {
    let broken = |e: std::io::Error| ArchiveError::Unreadable(format!("not a whole tar archive: {e}"));
    let mut archive = Archive::new(from);
    let mut nodes: BTreeMap<Bytes, Node> = BTreeMap::new();
    let mut total = 0u64;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let written = Bytes::from(entry.path_bytes().as_ref());
        let hostile = |why: String| ArchiveError::Hostile { path: written.clone(), why };
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let path = clean(&written).map_err(|why| hostile(why.to_owned()))?;
        if let Some(way) = not_a_dir(&nodes, &path) {
            return Err(hostile(format!("it lies below {way}, which is no directory")));
        }
        let target = entry.link_name_bytes().map(|l| Bytes::from(l.as_ref())).unwrap_or_default();
        let body = match kind {
            EntryType::Directory => NodeKind::Dir,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                total = total.saturating_add(entry.size());
                if total > SIZE_LIMIT {
                    return Err(ArchiveError::Unreadable(format!("more than {} MiB of files", SIZE_LIMIT >> 20)));
                }
                let mut data = Vec::new();
                entry.read_to_end(&mut data).map_err(broken)?;
                NodeKind::File(Bytes::from(data))
            }
            // Where a symlink points is looked up inside the container, whatever it says.
            EntryType::Symlink if !target.is_empty() => NodeKind::Symlink(target),
            EntryType::Link => {
                let to = clean(&target).map_err(|why| hostile(format!("hard link to {target}: {why}")))?;
                if let Some(way) = not_a_dir(&nodes, &to) {
                    return Err(hostile(format!("hard link to {target}: {way} on the way is no directory")));
                }
                match nodes.get(&to).map(|n| &n.kind) {
                    Some(NodeKind::Link(first)) => NodeKind::Link(first.clone()),
                    Some(NodeKind::Dir) | None => {
                        return Err(hostile(format!("hard link to {target}, which is no file of the archive")));
                    }
                    Some(_) => NodeKind::Link(to),
                }
            }
            EntryType::Char | EntryType::Block => {
                let number = |n: std::io::Result<Option<u32>>| n.ok().flatten().unwrap_or(u32::MAX);
                let (major, minor) = (number(entry.header().device_major()), number(entry.header().device_minor()));
                let device = Device::new(major, minor).map_err(|e| hostile(e.to_string()))?;
                if kind == EntryType::Char { NodeKind::Char(device) } else { NodeKind::Block(device) }
            }
            EntryType::Fifo => NodeKind::Fifo,
            other => return Err(hostile(format!("type {other:?} is not known"))),
        };
        let mut node = Node::new(body);
        if !matches!(node.kind, NodeKind::Symlink(_)) {
            node.mode = (entry.header().mode().map_err(broken)? & 0o7777) as u16;
        }
        // Ids beyond 32 bits cannot be owners; such an archive is damaged.
        let id = |n: std::io::Result<u64>| n.ok().and_then(|n| u32::try_from(n).ok()).filter(|n| *n != u32::MAX);
        let bad_owner = || hostile("its owner is no uid and gid".to_owned());
        node.uid = id(entry.header().uid()).ok_or_else(bad_owner)?;
        node.gid = id(entry.header().gid()).ok_or_else(bad_owner)?;
        let sec = entry.header().mtime().ok().and_then(|t| i64::try_from(t).ok()).filter(|t| *t < 1 << 33);
        node.time = sec.map_or(LAYER_TIME, |sec| Time { sec, nsec: 0 });
        if kind != EntryType::Link {
            beside(&mut entry, &mut node).map_err(hostile)?;
        }
        if path.is_empty() && node.kind != NodeKind::Dir {
            return Err(hostile("the root is no directory".to_owned()));
        }
        if node.kind != NodeKind::Dir {
            // A directory that something else replaces takes what was in it along.
            let below = path.join(b"");
            nodes.retain(|p, _| !p.starts_with(below.as_slice()));
        }
        // What was linked to this name would hang in the air.
        if nodes.values().any(|n| n.kind == NodeKind::Link(path.clone())) {
            return Err(hostile("it replaces a file that has hard links".to_owned()));
        }
        nodes.insert(path, node);
    }
    if nodes.is_empty() {
        return Err(ArchiveError::Unreadable("no entry in the archive".to_owned()));
    }
    Ok(Layer { entries: nodes.into_iter().map(|(path, node)| Entry { path, node }).collect(), on: 0 })
}

/// What stands beside the header: the exact time, and xattrs. Those of an overlay are refused: it would take
/// them for its own.
fn beside(entry: &mut Member<'_, impl Read>, node: &mut Node) -> Result<(), String> {
    let records = entry.pax_extensions().map_err(|e| e.to_string())?;
    for record in records.into_iter().flatten() {
        let record = record.map_err(|_| "what stands beside its header cannot be read".to_owned())?;
        let (key, value) = (record.key_bytes(), record.value_bytes());
        if key == b"mtime" {
            if let Some(time) = std::str::from_utf8(value).ok().and_then(exact_time) {
                node.time = time;
            }
            continue;
        }
        let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { continue };
        let overlay = [&b"trusted.overlay."[..], b"user.overlay.", b"@"];
        if overlay.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(format!("xattr {}, which an overlay takes for its own", Bytes::from(name)));
        }
        // Labels and access lists are the host's business.
        if name != b"security.selinux" && !name.starts_with(b"system.") {
            node.xattrs.push((Bytes::from(name), Bytes::from(value)));
        }
    }
    Ok(())
}

/// Seconds with a fraction, as in `-1.5`.
fn exact_time(text: &str) -> Option<Time> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (sec, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i128 = format!("{:0<9.9}", fraction).parse().ok()?;
    let total =
        i128::from(sec.parse::<u32>().map(i64::from).or_else(|_| sec.parse::<i64>()).ok()?) * 1_000_000_000 + nanos;
    let total = if negative { -total } else { total };
    let sec = i64::try_from(total.div_euclid(1_000_000_000)).ok().filter(|sec| sec.abs() < 1 << 40)?;
    Some(Time { sec, nsec: u32::try_from(total.rem_euclid(1_000_000_000)).ok()? })
}

/// The path without `.` and empty components; what is absolute or has `..` is refused.
fn clean(path: &Bytes) -> Result<Bytes, &'static str> {
    if path.starts_with(b"/") {
        return Err("an absolute path");
    }
    if path.as_slice().contains(&0) {
        return Err("a NUL byte in the path");
    }
    let mut names = Vec::new();
    for name in path.as_slice().split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("a path with '..'"),
            name if name.len() > 255 => return Err("a name longer than 255 bytes"),
            name => names.push(name),
        }
    }
    Ok(Bytes::from(names.join(&b'/')))
}

/// The first directory on the way to `path` that the archive made something else.
fn not_a_dir(nodes: &BTreeMap<Bytes, Node>, path: &Bytes) -> Option<Bytes> {
    let ends = path.as_slice().iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    ends.map(|at| Bytes::from(&path.as_slice()[..at])).find(|p| nodes.get(p).is_some_and(|n| n.kind != NodeKind::Dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    fn add(builder: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, link: &str, device: (u32, u32)) {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        // Not set_path, which would refuse what is to be tried.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(0);
        header.set_device_major(device.0).expect("ustar");
        header.set_device_minor(device.1).expect("ustar");
        header.set_cksum();
        builder.append(&header, std::io::empty()).expect("memory");
    }

    fn archive(entries: &[(EntryType, &str, &str, (u32, u32))]) -> Result<Layer, ArchiveError> {
        let mut builder = Builder::new(Vec::new());
        for (kind, path, link, device) in entries {
            add(&mut builder, *kind, path, link, *device);
        }
        read_archive(builder.into_inner().expect("memory").as_slice())
    }

    #[track_caller]
    fn refused(entries: &[(EntryType, &str, &str, (u32, u32))], why: &str) {
        match archive(entries) {
            Err(e @ ArchiveError::Hostile { .. }) => assert!(e.to_string().contains(why), "no '{why}' in {e}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hostile_archives_are_refused() {
        use EntryType::{Block, Char, Link, Regular, Symlink};
        let none = (0, 0);
        refused(&[(Regular, "/etc/passwd", "", none)], "absolute");
        refused(&[(Regular, "../x", "", none)], "'..'");
        refused(&[(Regular, "a/../../x", "", none)], "'..'");
        refused(&[(Symlink, "a", "/etc", none), (Regular, "a/passwd", "", none)], "no directory");
        refused(&[(Link, "a", "/etc/shadow", none)], "absolute");
        refused(&[(Link, "a", "../etc/shadow", none)], "'..'");
        refused(&[(Link, "a", "missing", none)], "no file of the archive");
        refused(&[(Symlink, "a", "/etc", none), (Link, "b", "a/shadow", none)], "no directory");
        refused(&[(Block, "sda", "", (8, 0))], "8:0");
        refused(&[(Char, "mem", "", (1, 1))], "1:1");
    }

    #[test]
    fn times_have_fractions_and_signs() {
        let time = |text| exact_time(text).map(|t| (t.sec, t.nsec));
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("-0.999999995"), Some((-1, 5)));
        assert_eq!(time("1.0000000019"), Some((1, 1)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.x"), None);
    }

    #[test]
    fn xattrs_are_read_and_those_of_an_overlay_refused() {
        let with = |key: &str| {
            let mut builder = Builder::new(Vec::new());
            builder.append_pax_extensions([(key, &b"v"[..]), ("mtime", &b"7.25"[..])]).expect("memory");
            add(&mut builder, EntryType::Regular, "f", "", (0, 0));
            read_archive(builder.into_inner().expect("memory").as_slice())
        };
        let layer = with("SCHILY.xattr.user.a").expect("an archive");
        assert_eq!(layer.entries[0].node.xattrs, [(Bytes::from("user.a"), Bytes::from("v"))]);
        assert_eq!(layer.entries[0].node.time, Time { sec: 7, nsec: 250_000_000 });
        for key in ["trusted.overlay.redirect", "user.overlay.opaque", "@redirect"] {
            let e = with(&format!("SCHILY.xattr.{key}")).expect_err("refused");
            assert!(e.to_string().contains("takes for its own"), "{e}");
        }
    }

    #[test]
    fn what_a_root_filesystem_has_is_read() {
        use EntryType::{Char, Directory, Link, Regular, Symlink};
        let none = (0, 0);
        let layer = archive(&[
            (Directory, "./", "", none),
            (Directory, "./bin/", "", none),
            (Regular, "./bin/a", "", none),
            (Link, "./bin/b", "./bin/a", none),
            (Link, "./bin/c", "bin/b", none),
            (Symlink, "lib", "/usr/../../lib", none),
            (Char, "null", "", (1, 3)),
        ])
        .expect("a root filesystem");
        let kinds: Vec<String> = layer.entries.iter().map(|e| format!("{} {:?}", e.path, e.node.kind)).collect();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        assert!(kinds.contains(&"bin/c Link(bin/a)".to_owned()), "{kinds:?}");
        assert!(archive(&[]).is_err());
        assert!(read_archive(&b"no archive at all, but long enough to look at twice"[..]).is_err());
    }
}
