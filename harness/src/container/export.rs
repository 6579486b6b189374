//! An upper layer as a layer of an OCI image: a tar archive with `.wh.` names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::whiteout::{OPAQUE, PREFIX, is_private_of_others};
use crate::bytes::Bytes;
use crate::trace::{Kind, NodeSeen, Seen, Time};

/// Room for the name a link leads to in a header; longer ones go beside it.
const LINK_ROOM: usize = 100;
/// What is beside a header is split at line feeds by some readers, this one's among them.
const LINE_FEED: u8 = b'\n';
/// Later times do not fit into a header of the first kind.
const LATEST: i64 = 0o77_777_777_777;

/// Why a layer cannot be told as one of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", if path.is_empty() { "the root".to_owned() } else { path.to_string() })]
pub struct ExportError {
    /// Where.
    pub path: Bytes,
    /// What it has that such a layer cannot say.
    pub why: String,
}

/// Writes an upper layer, as it was read from disk, as a layer of an OCI image. `data` gives what is in a
/// regular file.
///
/// # Errors
/// When the layer has what such an archive cannot say: redirects, files without data of their own, sockets,
/// names that begin with `.wh.`; or when `data` gives none.
pub fn export_layer(
    upper: &[NodeSeen],
    mut data: impl FnMut(&Bytes, &Seen) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, ExportError> {
    let mut builder = Builder::new(Vec::new());
    // The first name of each file that has several.
    let mut first: BTreeMap<(u32, u32, u64), Bytes> = BTreeMap::new();
    for node in upper {
        let fail = |why: String| ExportError { path: node.path.clone(), why };
        // Memory takes all there is.
        let written = |e: std::io::Error| fail(e.to_string());
        let seen = node.seen.as_ref().map_err(|e| fail(format!("it cannot be looked at: {e}")))?;
        if let Some(e) = node.list_error {
            return Err(fail(format!("it cannot be listed: {e}")));
        }
        let (parent, name) = node.path.split_last();
        if name.starts_with(PREFIX) {
            return Err(fail("a name that would mean a whiteout".to_owned()));
        }
        if is_whiteout(seen) {
            let path = Bytes::from(parent).join(&[PREFIX, name].concat());
            builder.append_data(&mut plain(), path_of(&path), std::io::empty()).map_err(written)?;
            continue;
        }
        let mut header = Header::new_gnu();
        let mut beside: Vec<(String, Vec<u8>)> = xattrs(seen).map_err(fail)?;
        let mut content = Vec::new();
        header.set_mode(u32::from(seen.stat.mode));
        header.set_uid(seen.stat.uid.into());
        header.set_gid(seen.stat.gid.into());
        dated(&mut header, seen.stat.mtime, &mut beside);
        let known = (seen.stat.dev.0, seen.stat.dev.1, seen.stat.ino);
        let linked = seen.stat.kind != Kind::Dir && seen.stat.nlink > 1;
        match first.get(&known).filter(|_| linked) {
            Some(to) => {
                header.set_entry_type(EntryType::Link);
                beside.clear();
                link_to(&mut header, to, &mut beside).map_err(fail)?;
            }
            None => {
                let kind = match seen.stat.kind {
                    Kind::Dir => EntryType::Directory,
                    Kind::File => {
                        content = data(&node.path, seen).map_err(fail)?;
                        EntryType::Regular
                    }
                    Kind::Symlink => {
                        let target = data(&node.path, seen).map_err(fail)?;
                        link_to(&mut header, &Bytes::from(target), &mut beside).map_err(fail)?;
                        EntryType::Symlink
                    }
                    Kind::Fifo => EntryType::Fifo,
                    Kind::Char => EntryType::Char,
                    Kind::Block => EntryType::Block,
                    Kind::Socket | Kind::Unknown => return Err(fail("there are no sockets in archives".to_owned())),
                };
                header.set_entry_type(kind);
                if matches!(seen.stat.kind, Kind::Char | Kind::Block) {
                    header.set_device_major(seen.stat.rdev.0).map_err(written)?;
                    header.set_device_minor(seen.stat.rdev.1).map_err(written)?;
                }
                first.insert(known, node.path.clone());
            }
        }
        header.set_size(content.len() as u64);
        if !beside.is_empty() {
            let beside = beside.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            builder.append_pax_extensions(beside).map_err(written)?;
        }
        let root = Bytes::from("./");
        let path = if node.path.is_empty() { &root } else { &node.path };
        builder.append_data(&mut header, path_of(path), content.as_slice()).map_err(written)?;
        if is_opaque(seen) {
            let mark = node.path.join(OPAQUE);
            builder.append_data(&mut plain(), path_of(&mark), std::io::empty()).map_err(written)?;
        }
    }
    builder.into_inner().map_err(|e| ExportError { path: Bytes::default(), why: e.to_string() })
}

/// The header of an empty file that only has a name.
fn plain() -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn path_of(path: &Bytes) -> &Path {
    Path::new(OsStr::from_bytes(path.as_slice()))
}

fn xattr<'s>(seen: &'s Seen, name: &str) -> Option<&'s Bytes> {
    seen.xattrs.iter().flatten().find(|(n, _)| n.as_slice() == name.as_bytes()).map(|(_, value)| value)
}

fn is_whiteout(seen: &Seen) -> bool {
    match seen.stat.kind {
        Kind::Char => seen.stat.rdev == (0, 0),
        Kind::File => seen.stat.size == 0 && xattr(seen, "@whiteout").is_some(),
        _ => false,
    }
}

fn is_opaque(seen: &Seen) -> bool {
    xattr(seen, "@opaque").is_some_and(|value| value.as_slice() == b"y")
}

/// The xattrs as they stand beside a header.
fn xattrs(seen: &Seen) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut beside = Vec::new();
    for (name, value) in seen.xattrs.iter().flatten() {
        match name.as_slice() {
            b"@redirect" => return Err("it is redirected".to_owned()),
            b"@metacopy" => return Err("it has no data of its own".to_owned()),
            n if n.starts_with(b"@overlay.") => {
                return Err("it has xattrs that another overlay would take for its own".to_owned());
            }
            // The overlay's own notes; which module set a label is not for another machine.
            n if n.starts_with(b"@") || n == b"security.selinux" || is_private_of_others(n) => continue,
            n => {
                let name = std::str::from_utf8(n).map_err(|_| "an xattr's name is no text".to_owned())?;
                if value.is_empty() {
                    // So says the standard of these headers (pax).
                    return Err(format!("xattr {name}: readers take an empty value for none"));
                }
                if value.as_slice().contains(&LINE_FEED) || name.contains(['=', '\n']) {
                    return Err(format!("xattr {name}: some readers take its value for two"));
                }
                beside.push((format!("SCHILY.xattr.{name}"), value.as_slice().to_vec()));
            }
        }
    }
    Ok(beside)
}

fn link_to(header: &mut Header, to: &Bytes, beside: &mut Vec<(String, Vec<u8>)>) -> Result<(), String> {
    if to.len() <= LINK_ROOM {
        return header.set_link_name_literal(to.as_slice()).map_err(|e| e.to_string());
    }
    if to.as_slice().contains(&LINE_FEED) {
        return Err("where it leads has a line feed".to_owned());
    }
    beside.push(("linkpath".to_owned(), to.as_slice().to_vec()));
    Ok(())
}

/// Seconds stand in the header, as far as they fit; the exact time beside it.
fn dated(header: &mut Header, time: Time, beside: &mut Vec<(String, Vec<u8>)>) {
    header.set_mtime(u64::try_from(time.sec.clamp(0, LATEST)).unwrap_or(0));
    if time.nsec == 0 && (0..=LATEST).contains(&time.sec) {
        return;
    }
    let nanos = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let text = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    beside.push(("mtime".to_owned(), text.into_bytes()));
}
