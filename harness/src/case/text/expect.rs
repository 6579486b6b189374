//! Entries of expected trees.
//!
//! What is not written is not asserted, so nothing here has a default.

use std::fmt;

use super::ParseError;
use super::attribute::{Attributes, Place, print_xattrs};
use super::entry::{PathText, parse_path, parse_target};
use super::field::{device, print_mode};
use super::hint::did_you_mean;
use super::lex::Line;
use crate::bytes::Bytes;
use crate::case::{ExpectedEntry, ExpectedKind, ExpectedTree};
use crate::trace::Side;

/// The words that start an entry of an expected tree.
const KINDS: &[&str] = &["absent", "dir", "file", "symlink", "fifo", "socket", "char", "block", "whiteout"];

/// The sides with their words.
const SIDES: &[(Side, &str)] = &[(Side::Merged, "merged"), (Side::Upper, "upper"), (Side::Work, "work")];

/// Reads what follows the word `expect`.
pub(super) fn parse_header(line: &mut Line<'_>) -> Result<ExpectedTree, ParseError> {
    let word = line.peek_bare().ok_or_else(|| line.expected("a tree (merged, upper, work)"))?;
    let Some((side, _)) = SIDES.iter().find(|(_, name)| *name == word) else {
        let hint = did_you_mean(word, SIDES.iter().map(|(_, name)| *name));
        return Err(line.error(line.at(), format!("expected a tree (merged, upper, work), found `{word}`{hint}")));
    };
    line.skip();
    let exact = line.peek_bare() == Some("exact");
    if exact {
        line.skip();
    }
    if !exact && !line.is_at_end() {
        return Err(line.expected("`exact` or the end of the line"));
    }
    line.end()?;
    Ok(ExpectedTree { side: *side, exact, entries: Vec::new() })
}

/// Reads an entry of an expected tree after those before it; `also` are words that could have stood
/// at its place.
pub(super) fn parse_expected(
    line: &mut Line<'_>,
    before: &[ExpectedEntry],
    also: &[&str],
) -> Result<ExpectedEntry, ParseError> {
    let Some(word) = line.peek_bare() else {
        return Err(line.expected("an entry (dir, file, absent, ...)"));
    };
    if !KINDS.contains(&word) {
        let hint = match word {
            "link" => " (write the file and its `nlink=`)".to_owned(),
            _ => did_you_mean(word, KINDS.iter().chain(also).copied()),
        };
        return Err(line.error(line.at(), format!("unknown expected entry `{word}`{hint}")));
    }
    line.skip();
    let path_at = line.at();
    let path = parse_path(line)?;
    if before.iter().any(|entry| entry.path == path) {
        return Err(line.error(path_at, format!("{} is in this tree already", PathText(&path))));
    }
    let has_device = line.has_mark_after_next(':');
    let kind = match word {
        "dir" => ExpectedKind::Dir,
        "file" => ExpectedKind::File(None),
        "symlink" if line.is_arrow() => ExpectedKind::Symlink(Some(parse_target(line)?)),
        "symlink" => ExpectedKind::Symlink(None),
        "fifo" => ExpectedKind::Fifo,
        "socket" => ExpectedKind::Socket,
        "char" if has_device => ExpectedKind::Char(Some(device(line)?)),
        "char" => ExpectedKind::Char(None),
        "block" if has_device => ExpectedKind::Block(Some(device(line)?)),
        "block" => ExpectedKind::Block(None),
        "whiteout" => ExpectedKind::Whiteout,
        _ => {
            if !line.is_at_end() && !line.is_joined() {
                return Err(line.error(line.at(), "what is absent has no attributes"));
            }
            line.end()?;
            return Ok(ExpectedEntry { path, ..nothing() });
        }
    };
    let attributes_at = line.at();
    let given = Attributes::parse(line, Place::Expect, word)?;
    let kind = match kind {
        ExpectedKind::File(_) => ExpectedKind::File(given.data),
        other => other,
    };
    let owner = match (given.uid, given.gid) {
        (Some(uid), Some(gid)) => Some((uid, gid)),
        (None, None) => None,
        _ => return Err(line.error(attributes_at, "`uid=` and `gid=` are asserted together")),
    };
    Ok(ExpectedEntry {
        path,
        kind: Some(kind),
        mode: given.mode,
        owner,
        nlink: given.nlink,
        mtime: given.time,
        xattrs: given.xattrs,
    })
}

fn nothing() -> ExpectedEntry {
    ExpectedEntry {
        path: Bytes::default(),
        kind: None,
        mode: None,
        owner: None,
        nlink: None,
        mtime: None,
        xattrs: Vec::new(),
    }
}

/// The tree as a section of a case: its header, then its entries indented by two blanks.
impl fmt::Display for ExpectedTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = SIDES.iter().find(|(side, _)| *side == self.side).map_or("", |(_, name)| name);
        writeln!(f, "expect {side}{}", if self.exact { " exact" } else { "" })?;
        self.entries.iter().try_for_each(|entry| writeln!(f, "  {entry}"))
    }
}

/// The entry as a line of an expected tree.
impl fmt::Display for ExpectedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = PathText(&self.path);
        let Some(kind) = &self.kind else {
            return write!(f, "absent {path}");
        };
        match kind {
            ExpectedKind::Dir => write!(f, "dir {path}")?,
            ExpectedKind::File(_) => write!(f, "file {path}")?,
            ExpectedKind::Symlink(None) => write!(f, "symlink {path}")?,
            ExpectedKind::Symlink(Some(target)) => write!(f, "symlink {path} -> {target}")?,
            ExpectedKind::Fifo => write!(f, "fifo {path}")?,
            ExpectedKind::Socket => write!(f, "socket {path}")?,
            ExpectedKind::Char(None) => write!(f, "char {path}")?,
            ExpectedKind::Char(Some(device)) => write!(f, "char {path} {device}")?,
            ExpectedKind::Block(None) => write!(f, "block {path}")?,
            ExpectedKind::Block(Some(device)) => write!(f, "block {path} {device}")?,
            ExpectedKind::Whiteout => write!(f, "whiteout {path}")?,
        }
        if let Some(mode) = self.mode {
            print_mode(mode.into(), f)?;
        }
        if let ExpectedKind::File(Some(data)) = kind {
            write!(f, " {}", data.quoted())?;
        }
        if let Some((uid, gid)) = self.owner {
            write!(f, " uid={uid} gid={gid}")?;
        }
        if let Some(nlink) = self.nlink {
            write!(f, " nlink={nlink}")?;
        }
        if let Some(mtime) = self.mtime {
            write!(f, " mtime={mtime}")?;
        }
        let xattrs = self.xattrs.iter().map(|(name, value)| (name, value.as_ref()));
        print_xattrs(xattrs, *kind == ExpectedKind::Dir, f)
    }
}
