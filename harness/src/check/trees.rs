//! Comparing whole trees: merged (looking there has effects, in the worker's order), upper, work.

use super::compare::{Diff, Known};
use super::divergence::Oracle;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::level::Level;
use crate::model::Model;
use crate::model::disk::Ino;
use crate::model::index::indexed_inode;
use crate::model::look::Look;
use crate::model::overlay::{Cache, DentryId};
use crate::trace::{Kind, NodeSeen, Seen, Side, TreeSeen};

/// A difference at a place of a tree, with the inode that is suspect.
#[derive(Debug)]
pub(super) struct TreeDiff {
    pub path: Bytes,
    pub diff: Diff,
    pub suspect: Option<Ino>,
}

/// Where the first differing time stamp of the step was met.
pub(super) struct Late {
    pub at: Option<(Oracle, Bytes)>,
}

impl Late {
    fn note(&mut self, known: &Known, side: Side, path: &Bytes) {
        if self.at.is_none() && known.late.is_some() {
            self.at = Some((Oracle::Tree(side), path.clone()));
        }
    }
}

/// Walks the seen entries in step with the model.
struct Cursor<'a> {
    seen: &'a [NodeSeen],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self, path: &Bytes) -> Result<&'a NodeSeen, Diff> {
        match self.seen.get(self.at) {
            Some(node) if node.path == *path => {
                self.at += 1;
                Ok(node)
            }
            Some(node) => Err(Diff::new("order", path, &node.path)),
            None => Err(Diff::new("entry", "an entry", "the end of the tree")),
        }
    }

    /// Whether this place was listed and not found.
    fn is_missing(&self, path: &Bytes) -> bool {
        let node = self.seen[self.at..].iter().find(|node| node.path == *path);
        node.is_some_and(|node| node.seen == Err(Errno::ENOENT))
    }

    /// Goes on to this place over others that were listed and not found.
    fn skip_missing(&mut self, path: &Bytes) {
        let missing = |node: &&NodeSeen| node.path != *path && node.seen == Err(Errno::ENOENT);
        self.at += self.seen[self.at..].iter().take_while(missing).count();
    }

    /// Names directly below `path` from here on, as the worker listed them.
    fn names_below(&self, path: &Bytes) -> Vec<&'a [u8]> {
        let prefix = if path.is_empty() { 0 } else { path.len() + 1 };
        let below = |n: &&NodeSeen| {
            n.path.len() > prefix
                && n.path.starts_with(path)
                && (path.is_empty() || n.path.as_slice()[path.len()] == b'/')
        };
        let entries = self.seen[self.at..].iter().take_while(below);
        entries.map(|n| &n.path.as_slice()[prefix..]).filter(|n| !n.contains(&b'/')).collect()
    }
}

fn compare_names<'m>(expected: impl Iterator<Item = &'m Bytes> + Clone, seen: &[&[u8]]) -> Result<(), Diff> {
    if expected.clone().map(|n| n.as_slice()).eq(seen.iter().copied()) {
        return Ok(());
    }
    let list = |names: Vec<Bytes>| {
        let words: Vec<String> = names.iter().map(ToString::to_string).collect();
        format!("[{}]", words.join(" "))
    };
    Err(Diff::new("names", list(expected.cloned().collect()), list(seen.iter().map(|n| Bytes::from(*n)).collect())))
}

fn seen_of(node: &NodeSeen) -> Result<&Seen, Diff> {
    node.seen.as_ref().map_err(|e| Diff::new("errno", "a node", e))
}

fn listable(node: &NodeSeen) -> Result<(), Diff> {
    match node.list_error {
        None => Ok(()),
        Some(e) => Err(Diff::new("listing", "a listing", e)),
    }
}

/// Compares the merged view.
pub(super) fn merged(model: &mut Model, known: &mut Known, late: &mut Late, seen: &TreeSeen) -> Result<(), TreeDiff> {
    let mut cursor = Cursor { seen, at: 0 };
    visit_merged(model, known, late, &mut cursor, Cache::ROOT, Bytes::default(), Kind::Unknown)
}

fn visit_merged(
    model: &mut Model,
    known: &mut Known,
    late: &mut Late,
    cursor: &mut Cursor<'_>,
    id: DentryId,
    path: Bytes,
    listed: Kind,
) -> Result<(), TreeDiff> {
    let looked = model.look(id);
    let suspect = looked.ok().map(|l| l.attributes);
    let fail = |diff| TreeDiff { path: path.clone(), diff, suspect };
    let node = cursor.next(&path).map_err(fail)?;
    let look = match looked {
        Ok(look) => look,
        Err(errno) => {
            return match &node.seen {
                Err(seen) if *seen == errno => Ok(()),
                Err(seen) => Err(fail(Diff::new("errno", errno, seen))),
                Ok(_) => Err(fail(Diff::new("errno", errno, "a node"))),
            };
        }
    };
    if listed != node.listed {
        return Err(fail(Diff::new("d_type", format!("{listed:?}"), format!("{:?}", node.listed))));
    }
    let seen = seen_of(node).map_err(fail)?;
    known.node(&model.disk, look, seen, true).map_err(fail)?;
    late.note(known, Side::Merged, &path);
    if seen.stat.kind != Kind::Dir {
        return Ok(());
    }
    let listing = match model.list_dentry(id) {
        Err(errno) if node.list_error == Some(errno) => return Ok(()),
        Err(errno) => {
            let seen = node.list_error.map_or_else(|| "a listing".to_owned(), |e| e.to_string());
            return Err(fail(Diff::new("listing", errno, seen)));
        }
        Ok(listing) => listing,
    };
    listable(node).map_err(fail)?;
    let names = cursor.names_below(&path);
    if known.level < Level::Linux {
        // Whether a name is listed that cannot be found, as a whiteout may be, is Linux's own business.
        let seen: Vec<&[u8]> = names.into_iter().filter(|name| !cursor.is_missing(&path.join(name))).collect();
        let mut looked_up = |name: &Bytes| {
            let child = model.lookup_for_look(id, name)?;
            // What was looked up before may be known to be missing.
            if model.look(child) == Err(Errno::ENOENT) { Err(Errno::ENOENT) } else { Ok(child) }
        };
        let listing: Vec<_> = listing.into_iter().map(|e| (looked_up(&e.0), e.0, e.1)).collect();
        let there = |looked: &Result<DentryId, Errno>| *looked != Err(Errno::ENOENT);
        compare_names(listing.iter().filter(|e| there(&e.0)).map(|e| &e.1), &seen).map_err(fail)?;
        for (looked, name, kind) in listing.into_iter().filter(|e| there(&e.0)) {
            let path = path.join(&name);
            cursor.skip_missing(&path);
            match looked {
                Ok(child) => visit_merged(model, known, late, cursor, child, path, kind)?,
                // Another error for the same name is no difference.
                Err(errno) => {
                    if cursor.next(&path).map_err(fail)?.seen.is_ok() {
                        return Err(fail(Diff::new("errno", errno, "a node")));
                    }
                }
            }
        }
        return Ok(());
    }
    compare_names(listing.iter().map(|e| &e.0), &names).map_err(fail)?;
    for (name, kind, _) in listing {
        match model.lookup_for_look(id, &name) {
            Ok(child) => visit_merged(model, known, late, cursor, child, path.join(&name), kind)?,
            Err(errno) => {
                let node = cursor.next(&path.join(&name)).map_err(fail)?;
                match &node.seen {
                    Err(seen) if *seen == errno => {}
                    Err(seen) => return Err(fail(Diff::new("errno", errno, seen))),
                    Ok(_) => return Err(fail(Diff::new("errno", errno, "a node"))),
                }
            }
        }
    }
    Ok(())
}

/// Compares the upper layer as it lies on disk.
pub(super) fn upper(model: &Model, known: &mut Known, late: &mut Late, seen: &TreeSeen) -> Result<(), TreeDiff> {
    let mut cursor = Cursor { seen, at: 0 };
    visit_disk(model, known, late, &mut cursor, model.upper, Bytes::default(), Kind::Unknown)?;
    match seen.get(cursor.at) {
        None => Ok(()),
        Some(extra) => Err(TreeDiff {
            path: extra.path.clone(),
            diff: Diff::new("entry", "the end of the tree", "an entry"),
            suspect: None,
        }),
    }
}

fn visit_disk(
    model: &Model,
    known: &mut Known,
    late: &mut Late,
    cursor: &mut Cursor<'_>,
    ino: Ino,
    path: Bytes,
    listed: Kind,
) -> Result<(), TreeDiff> {
    let fail = |diff| TreeDiff { path: path.clone(), diff, suspect: Some(ino) };
    let node = cursor.next(&path).map_err(fail)?;
    if listed != node.listed {
        return Err(fail(Diff::new("d_type", format!("{listed:?}"), format!("{:?}", node.listed))));
    }
    let seen = seen_of(node).map_err(fail)?;
    let look = Look::on_disk(&model.disk, ino);
    known.node(&model.disk, look, seen, false).map_err(fail)?;
    late.note(known, Side::Upper, &path);
    let Some(names) = model.disk[ino].names() else { return Ok(()) };
    listable(node).map_err(fail)?;
    compare_names(names.keys(), &cursor.names_below(&path)).map_err(fail)?;
    for (name, &child) in names {
        visit_disk(model, known, late, cursor, child, path.join(name), model.disk[child].body.kind())?;
    }
    Ok(())
}

/// The name of an index entry in a comparison, where nothing told the handle.
const UNKNOWN_HANDLE: &str = "(a handle)";

/// Compares the work directory: its own attributes and the names of temporaries are the kernel's
/// business, what kinds of things lie in it is not. An index entry is named by the file handle of its
/// lower inode, where that is known from an origin.
pub(super) fn work(model: &Model, known: &Known, seen: &TreeSeen) -> Result<(), TreeDiff> {
    fn shape(model: &Model, known: &Known, ino: Ino, depth: usize, out: &mut Vec<String>) {
        for (name, &child) in model.disk[ino].names().into_iter().flatten() {
            let handle = indexed_inode(name).map(|lower| known.bindings.handle_of(lower));
            let hex = |handle: &Bytes| handle.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let name = match handle {
                Some(Some(handle)) => Bytes::from(hex(handle).as_str()),
                Some(None) => Bytes::from(UNKNOWN_HANDLE),
                None => name.clone(),
            };
            out.push(entry(depth, &name, model.disk[child].body.kind(), model.disk[child].mode));
            shape(model, known, child, depth + 1, out);
        }
    }
    fn entry(depth: usize, name: &[u8], kind: Kind, mode: u16) -> String {
        let name = if name.starts_with(b"#") { Bytes::from("#") } else { Bytes::from(name) };
        format!("{:depth$}{name} {kind:?} {mode:04o}", "")
    }
    let mut expected = Vec::new();
    shape(model, known, model.work_base, 0, &mut expected);
    expected.sort();
    let mut found = Vec::new();
    for node in seen.iter().filter(|n| !n.path.is_empty()) {
        let (dir, name) = node.path.split_last();
        let depth = if dir.is_empty() { 0 } else { 1 + dir.iter().filter(|b| **b == b'/').count() };
        let of_index = dir == b"index" && !name.starts_with(b"#");
        match &node.seen {
            Ok(seen) => {
                let line = entry(depth, name, seen.stat.kind, seen.stat.mode);
                let unknown = of_index && expected.binary_search(&line).is_err();
                let name = if unknown { UNKNOWN_HANDLE.as_bytes() } else { name };
                found.push(entry(depth, name, seen.stat.kind, seen.stat.mode));
            }
            Err(e) => found.push(format!("{}: {e}", node.path)),
        }
    }
    // What the temporaries are called says nothing, nor then does their order.
    found.sort();
    if expected == found {
        return Ok(());
    }
    let show = |lines: &[String]| format!("[{}]", lines.iter().map(|l| l.trim()).collect::<Vec<_>>().join(", "));
    Err(TreeDiff { path: Bytes::default(), diff: Diff::new("names", show(&expected), show(&found)), suspect: None })
}
