//! The merged tree of the layers against a merged view that was seen.

use super::merge::{Entry, Found};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::{Content, Kind, NodeSeen, Seen, Stat, Time};

/// Xattrs that a security module of the host adds on its own.
const IGNORED: &[&str] = &["security.selinux"];

/// One place where the view is not what its layers make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: Bytes,
    /// What of it: `presence`, `type`, `mode`, `content`, `xattr NAME` …
    pub field: String,
    /// What the layers make.
    pub expected: String,
    /// What the view shows.
    pub seen: String,
}

/// The first difference between the merged tree of some layers and a view of them, both in walking
/// order.
///
/// Not compared: access times, inode numbers, the change times of directories (looking at a merged view
/// may remove a mark from an upper directory), and what was not looked at on either side.
pub fn compare(expected: &[Entry<'_>], seen: &[NodeSeen]) -> Option<Difference> {
    walk(expected, seen, true).pop()
}

/// All differences, at most one a place; see [`compare`].
pub fn differences(expected: &[Entry<'_>], seen: &[NodeSeen]) -> Vec<Difference> {
    walk(expected, seen, false)
}

fn walk(expected: &[Entry<'_>], seen: &[NodeSeen], first: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut view = seen.iter().peekable();
    // What cannot be looked up can end the listing of its directory.
    let all_known = !expected.iter().any(|e| e.shared || matches!(e.found, Found::Unknown | Found::Refused(_)));
    // The directory below which the layers say nothing.
    let mut skipped: Option<&Bytes> = None;
    for entry in expected {
        if skipped.is_some_and(|dir| is_below(&entry.path, dir)) {
            continue;
        }
        // Of a directory that cannot be listed nothing below was looked at.
        let unlisted = view.peek().is_some_and(|n| n.path == entry.path && n.list_error.is_some());
        if unlisted && !all_known {
            view.next();
            skipped = Some(&entry.path);
            continue;
        }
        // What comes before it in the view is not in the layers.
        while let Some(extra) = view.next_if(|n| walks_before(&n.path, &entry.path)) {
            if !skipped.is_some_and(|dir| is_below(&extra.path, dir)) {
                found.push(extra_entry(extra));
            }
        }
        let node = view.next_if(|n| n.path == entry.path);
        let stale = entry.may_be_stale && node.is_some_and(|n| n.seen == Err(Errno::ESTALE));
        if entry.shared || stale {
            skipped = Some(&entry.path);
            continue;
        }
        found.extend(place(entry, node));
        if first && !found.is_empty() {
            found.truncate(1);
            return found;
        }
        if matches!(entry.found, Found::Unknown) {
            skipped = Some(&entry.path);
        }
    }
    found.extend(view.filter(|extra| !skipped.is_some_and(|dir| is_below(&extra.path, dir))).map(extra_entry));
    if first {
        found.truncate(1);
    }
    found
}

/// Whether a walk comes to `a` before it comes to `b`.
fn walks_before(a: &Bytes, b: &Bytes) -> bool {
    fn parts(path: &Bytes) -> impl Iterator<Item = &[u8]> {
        path.0.split(|&c| c == b'/')
    }
    match (a.is_empty(), b.is_empty()) {
        (_, true) => false,
        (true, false) => true,
        _ => parts(a).lt(parts(b)),
    }
}

fn is_below(path: &Bytes, dir: &Bytes) -> bool {
    dir.is_empty() || path.0.strip_prefix(dir.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn extra_entry(extra: &NodeSeen) -> Difference {
    let seen = match &extra.seen {
        Ok(seen) => kind(seen.stat.kind).to_owned(),
        Err(e) => format!("a name that gives {e}"),
    };
    difference(&extra.path, "presence", "nothing".to_owned(), seen)
}

fn difference(path: &Bytes, field: impl Into<String>, expected: String, seen: String) -> Difference {
    Difference { path: path.clone(), field: field.into(), expected, seen }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Dir => "a directory",
        Kind::File => "a file",
        Kind::Symlink => "a symlink",
        Kind::Fifo => "a fifo",
        Kind::Socket => "a socket",
        Kind::Char => "a character device",
        Kind::Block => "a block device",
        Kind::Unknown => "something",
    }
}

fn place(entry: &Entry<'_>, node: Option<&NodeSeen>) -> Option<Difference> {
    let fail = |field: &str, expected: String, seen: String| Some(difference(&entry.path, field, expected, seen));
    match (&entry.found, node) {
        (Found::Unknown, _) | (Found::Whiteout, None) => None,
        (Found::Whiteout, Some(node)) if entry.allows_ghost(node) => None,
        (Found::Whiteout, Some(node)) => Some(extra_entry(node)),
        (Found::Refused(errno), Some(node)) if node.seen == Err(*errno) => None,
        (Found::Refused(errno), Some(node)) => {
            let seen = node.seen.as_ref().map_or_else(ToString::to_string, |s| kind(s.stat.kind).to_owned());
            fail("presence", errno.to_string(), seen)
        }
        // A listing may leave out what it cannot look up.
        (Found::Refused(_), None) => None,
        (Found::Node { top, .. }, None) => fail("presence", kind(top.stat.kind).to_owned(), "nothing".to_owned()),
        (Found::Node { top, layers, data, counts_links }, Some(node)) => {
            let seen = match &node.seen {
                Ok(seen) => seen,
                Err(e) => return fail("presence", kind(top.stat.kind).to_owned(), e.to_string()),
            };
            if node.listed != Kind::Unknown && node.listed != top.stat.kind {
                return fail("d_type", kind(top.stat.kind).to_owned(), kind(node.listed).to_owned());
            }
            let merged = top.stat.kind == Kind::Dir && layers.len() > 1;
            let links = if merged { Some(1) } else { counts_links.then_some(top.stat.nlink) };
            attributes(&entry.path, &top.stat, &seen.stat, links)
                .or_else(|| xattrs(&entry.path, top, seen))
                .or_else(|| content(&entry.path, *data, &seen.content))
                .or_else(|| match node.list_error {
                    Some(e) => fail("listing", "a listing".to_owned(), e.to_string()),
                    None => None,
                })
        }
    }
}

fn attributes(path: &Bytes, expected: &Stat, seen: &Stat, links: Option<u32>) -> Option<Difference> {
    let fail = |field: &str, expected: String, seen: String| Some(difference(path, field, expected, seen));
    if expected.kind != seen.kind {
        return fail("type", kind(expected.kind).to_owned(), kind(seen.kind).to_owned());
    }
    if expected.mode != seen.mode {
        return fail("mode", format!("{:04o}", expected.mode), format!("{:04o}", seen.mode));
    }
    if (expected.uid, expected.gid) != (seen.uid, seen.gid) {
        let show = |s: &Stat| format!("{}:{}", s.uid, s.gid);
        return fail("owner", show(expected), show(seen));
    }
    if expected.kind != Kind::Dir && expected.size != seen.size {
        return fail("size", expected.size.to_string(), seen.size.to_string());
    }
    if matches!(expected.kind, Kind::Char | Kind::Block) && expected.rdev != seen.rdev {
        let show = |s: &Stat| format!("{}:{}", s.rdev.0, s.rdev.1);
        return fail("device", show(expected), show(seen));
    }
    if let Some(links) = links.filter(|&links| links != seen.nlink) {
        return fail("nlink", links.to_string(), seen.nlink.to_string());
    }
    let show = |t: Time| format!("{}.{:09}", t.sec, t.nsec);
    if expected.mtime != seen.mtime {
        return fail("mtime", show(expected.mtime), show(seen.mtime));
    }
    if expected.kind != Kind::Dir && expected.ctime != seen.ctime {
        return fail("ctime", show(expected.ctime), show(seen.ctime));
    }
    None
}

/// The view hides private xattrs, and shows escaped ones (`@overlay.x`) without the escape.
fn xattrs(path: &Bytes, top: &Seen, seen: &Seen) -> Option<Difference> {
    let (Some(expected), Some(seen)) = (&top.xattrs, &seen.xattrs) else { return None };
    let ignored = |name: &Bytes| IGNORED.iter().any(|i| i.as_bytes() == name.as_slice());
    let mut shown: Vec<(Bytes, &Bytes)> = expected
        .iter()
        .filter_map(|(name, value)| match name.as_slice().strip_prefix(b"@") {
            Some(private) => private.strip_prefix(b"overlay.").map(|n| (Bytes::from([b"@", n].concat()), value)),
            None => Some((name.clone(), value)),
        })
        .filter(|(name, _)| !ignored(name))
        .collect();
    shown.sort();
    let mut seen: Vec<(Bytes, &Bytes)> =
        seen.iter().filter(|(n, _)| !ignored(n)).map(|(n, value)| (n.clone(), value)).collect();
    seen.sort();
    if shown == seen {
        return None;
    }
    let value = |list: &[(Bytes, &Bytes)], name: &Bytes| {
        list.iter().find(|(n, _)| n == name).map_or("none".to_owned(), |(_, v)| v.quoted().to_string())
    };
    let differs = shown.iter().find(|x| !seen.contains(x)).or_else(|| seen.iter().find(|x| !shown.contains(x)));
    let name = differs.map(|(name, _)| name.clone()).unwrap_or_default();
    Some(difference(path, format!("xattr {name}"), value(&shown, &name), value(&seen, &name)))
}

fn content(path: &Bytes, expected: Option<&Content>, seen: &Content) -> Option<Difference> {
    let told = |c: &Content| !matches!(c, Content::None | Content::Unreadable(_));
    let expected = expected.filter(|e| told(e))?;
    if !told(seen) || expected == seen {
        return None;
    }
    let show = |c: &Content| match c {
        Content::Bytes(b) => b.quoted().to_string(),
        Content::Digest(d) => format!("data with digest {d:016x}"),
        Content::None | Content::Unreadable(_) => "nothing".to_owned(),
    };
    Some(difference(path, "content", show(expected), show(seen)))
}
