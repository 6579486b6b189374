//! Entries of layers, and the layer that they make.
//!
//! Knows one line at a time, and in [`check`] what a list of entries must be to stand in a file.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use super::ParseError;
use super::attribute::{Attributes, Place, SPARSE, print_xattrs};
use super::field::{device, print_mode, word_without_nul};
use super::hint::did_you_mean;
use super::lex::Line;
use crate::bytes::Bytes;
use crate::case::{Entry, Layer, Node, NodeKind};
use crate::step::Device;

/// The words that start an entry of a layer.
const KINDS: &[&str] = &["dir", "file", "symlink", "fifo", "socket", "char", "block", "link", "whiteout"];

/// Where the parts of an entry stand, for errors that show only in the whole layer.
#[derive(Clone, Copy)]
pub(super) struct Places {
    line: usize,
    path: usize,
    target: usize,
}

/// Reads an entry of a layer; `also` are words that could have stood at its place.
pub(super) fn parse_entry(line: &mut Line<'_>, also: &[&str]) -> Result<(Entry, Places), ParseError> {
    let Some(word) = line.peek_bare() else {
        return Err(line.expected("an entry (dir, file, symlink, ...)"));
    };
    if !KINDS.contains(&word) {
        let hint = did_you_mean(word, KINDS.iter().chain(also).copied());
        return Err(line.error(line.at(), format!("unknown entry `{word}`{hint}")));
    }
    line.skip();
    let mut places = Places { line: line.number(), path: line.column(line.at()), target: 0 };
    let path_at = line.at();
    let path = parse_path(line)?;
    if path.is_empty() && word != "dir" {
        return Err(line.error(path_at, "the root of a layer is a dir"));
    }
    let kind = match word {
        "dir" => NodeKind::Dir,
        "file" => NodeKind::File(Bytes::default()),
        "symlink" => NodeKind::Symlink(parse_target(line)?),
        "fifo" => NodeKind::Fifo,
        "socket" => NodeKind::Socket,
        "char" => NodeKind::Char(device(line)?),
        "block" => NodeKind::Block(device(line)?),
        "whiteout" => NodeKind::Char(Device::WHITEOUT),
        _ => {
            require_arrow(line)?;
            places.target = line.column(line.at());
            let node = Node::new(NodeKind::Link(parse_path(line)?));
            if !line.is_at_end() && !line.is_joined() {
                return Err(line.error(line.at(), "a hard link has no attributes but those of its target"));
            }
            line.end()?;
            return Ok((Entry { path, node }, places));
        }
    };
    let mut node = Node::new(kind);
    let given = Attributes::parse(line, Place::Layer, word)?;
    if let (NodeKind::File(data), Some(given)) = (&mut node.kind, given.data) {
        *data = given;
    }
    node.sparse = given.sparse;
    node.mode = given.mode.unwrap_or(node.mode);
    node.uid = given.uid.unwrap_or(node.uid);
    node.gid = given.gid.unwrap_or(node.gid);
    node.time = given.time.unwrap_or(node.time);
    node.xattrs = given.xattrs.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    Ok((Entry { path, node }, places))
}

/// Reads a clean relative path; `.` is the root, which is empty.
pub(super) fn parse_path(line: &mut Line<'_>) -> Result<Bytes, ParseError> {
    let at = line.at();
    let path = word_without_nul(line, "a path")?;
    if path.as_slice() == b"." {
        return Ok(Bytes::default());
    }
    for name in path.as_slice().split(|b| *b == b'/') {
        let wrong = match name {
            b"" => "has an empty component (a root is written `.`)".to_owned(),
            b"." | b".." => format!("has a component `{}`", if name.len() == 1 { "." } else { ".." }),
            _ if name.len() > NAME_MAX => format!("has a name of {} bytes, more than {NAME_MAX}", name.len()),
            _ => continue,
        };
        return Err(line.error(at, format!("a path in a tree is relative and clean: this one {wrong}")));
    }
    Ok(path)
}

/// The longest name of a directory entry in bytes (NAME_MAX of limits.h).
const NAME_MAX: usize = 255;

/// Reads `-> TARGET` of a symlink.
pub(super) fn parse_target(line: &mut Line<'_>) -> Result<Bytes, ParseError> {
    require_arrow(line)?;
    let at = line.at();
    let target = word_without_nul(line, "a target")?;
    if target.is_empty() {
        return Err(line.error(at, "the target of a symlink is not empty"));
    }
    Ok(target)
}

fn require_arrow(line: &mut Line<'_>) -> Result<(), ParseError> {
    if line.take_arrow() { Ok(()) } else { Err(line.expected("`->` and a target")) }
}

/// Refuses a list of entries that [`Layer::resolved`] would have to leave something out of.
pub(super) fn check(entries: &[Entry], places: &[Places]) -> Result<(), ParseError> {
    let mut at = HashMap::with_capacity(entries.len());
    for (entry, place) in entries.iter().zip(places) {
        if let Some((_, first)) = at.insert(entry.path.as_slice(), (entry, place)) {
            let message = format!("{} is in this layer already, in line {}", PathText(&entry.path), first.line);
            return Err(ParseError { line: place.line, column: place.path, message });
        }
    }
    for (entry, place) in entries.iter().zip(places) {
        if let Some((parent, other)) = non_directory_above(&entry.path, |path| at.get(path).copied()) {
            let message = format!("{} is below {} of line {}, which is not a dir", entry.path, parent.path, other.line);
            return Err(ParseError { line: place.line, column: place.path, message });
        }
        let NodeKind::Link(target) = &entry.node.kind else { continue };
        let wrong = match at.get(target.as_slice()).map(|(entry, _)| &entry.node.kind) {
            _ if target.is_empty() => "is a dir",
            None => "is not listed in this layer",
            Some(NodeKind::Dir) => "is a dir",
            Some(NodeKind::Link(_)) => "is a hard link itself, link to its target",
            Some(_) => continue,
        };
        let message = format!("the target {} {wrong}", PathText(target));
        return Err(ParseError { line: place.line, column: place.target, message });
    }
    Ok(())
}

type Placed<'a> = (&'a Entry, &'a Places);

fn non_directory_above<'a>(path: &Bytes, find: impl Fn(&[u8]) -> Option<Placed<'a>>) -> Option<Placed<'a>> {
    parents(path.as_slice()).filter_map(find).find(|(entry, _)| entry.node.kind != NodeKind::Dir)
}

/// A path of a tree in its text form: the root is `.`.
pub(super) struct PathText<'a>(pub &'a Bytes);

impl fmt::Display for PathText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(".") } else { write!(f, "{}", self.0) }
    }
}

/// The entries, one per line. What means nothing (see [`Layer::resolved`]) is left out, the rest makes
/// the same layer, so what is written can always be read.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        effective_entries(self).iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// The entries that [`Layer::resolved`] keeps, in the order of the layer, so that what is written can
/// always be read. They make the same layer: a directory that is there only as a parent of an entry
/// left out becomes an entry of its own.
pub(super) fn effective_entries(layer: &Layer) -> Vec<Cow<'_, Entry>> {
    let resolved = layer.resolved();
    let kept: HashSet<&[u8]> = resolved.iter().map(|(path, _)| *path).collect();
    let mut seen = HashSet::new();
    let mut entries = Vec::with_capacity(layer.entries.len());
    // From the end: the last entry of a path is the one that counts.
    for entry in layer.entries.iter().rev() {
        let path = entry.path.as_slice();
        if kept.contains(path) && (!path.is_empty() || entry.node.kind == NodeKind::Dir) && seen.insert(path) {
            entries.push(Cow::Borrowed(entry));
        }
    }
    entries.reverse();
    if entries.len() < layer.entries.len() {
        let mut implied: HashSet<&[u8]> = seen.iter().flat_map(|path| parents(path)).collect();
        // From the end: the deepest directory implies those above it.
        for (path, node) in resolved.iter().rev().filter(|(path, _)| !path.is_empty() && !seen.contains(path)) {
            if !implied.contains(path) {
                implied.extend(parents(path));
                entries.push(Cow::Owned(Entry { path: Bytes::from(*path), node: node.clone().into_owned() }));
            }
        }
    }
    entries
}

/// The directories that a path lies in, but for the root.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..at])
}

/// The entry as a line of a layer.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = &self.node;
        let path = PathText(&self.path);
        match &node.kind {
            NodeKind::Dir => write!(f, "dir {path}")?,
            NodeKind::File(_) => write!(f, "file {path}")?,
            NodeKind::Symlink(target) => write!(f, "symlink {path} -> {target}")?,
            NodeKind::Fifo => write!(f, "fifo {path}")?,
            NodeKind::Socket => write!(f, "socket {path}")?,
            NodeKind::Char(Device::WHITEOUT) => write!(f, "whiteout {path}")?,
            NodeKind::Char(device) => write!(f, "char {path} {device}")?,
            NodeKind::Block(device) => write!(f, "block {path} {device}")?,
            NodeKind::Link(target) => return write!(f, "link {path} -> {}", PathText(target)),
        }
        let (mode, time) = default_mode_and_time(&node.kind);
        if node.mode != mode && !matches!(node.kind, NodeKind::Symlink(_)) {
            print_mode(node.mode.into(), f)?;
        }
        match &node.kind {
            NodeKind::File(data) if !data.is_empty() => write!(f, " {}", data.quoted())?,
            _ => {}
        }
        if node.sparse && matches!(node.kind, NodeKind::File(_)) {
            write!(f, " {SPARSE}")?;
        }
        if node.uid != 0 {
            write!(f, " uid={}", node.uid)?;
        }
        if node.gid != 0 {
            write!(f, " gid={}", node.gid)?;
        }
        if node.time != time {
            write!(f, " time={}", node.time)?;
        }
        // Of several xattrs with one name the last is the one that is left on disk.
        let last = |i: usize, name: &Bytes| node.xattrs[i + 1..].iter().all(|(other, _)| other != name);
        let xattrs = node.xattrs.iter().enumerate().filter(|(i, (name, _))| last(*i, name));
        print_xattrs(xattrs.map(|(_, (name, value))| (name, Some(value))), node.kind == NodeKind::Dir, f)
    }
}

fn default_mode_and_time(kind: &NodeKind) -> (u16, crate::trace::Time) {
    // A file's data has no part in its defaults and need not be copied.
    let node = Node::new(match kind {
        NodeKind::File(_) => NodeKind::File(Bytes::default()),
        other => other.clone(),
    });
    (node.mode, node.time)
}
