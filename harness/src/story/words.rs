//! The words that both tellers use.

use crate::acl::ValueText;
use crate::bytes::Bytes;
use crate::case::LAYER_TIME;
use crate::trace::{Content, Kind, StatFs, Time};

/// A node as both tellers know it.
pub(super) struct Facts<'a> {
    pub kind: Kind,
    pub mode: u16,
    pub owner: (u32, u32),
    pub nlink: u32,
    /// Of a regular file or symlink.
    pub size: u64,
    pub rdev: (u32, u32),
    /// `None`: a time of the run.
    pub mtime: Option<Time>,
    /// How the entry that led here was listed, when that is not how it turned out to be.
    pub listed: Option<Kind>,
    /// A value of `None` is one that only the kernel knows.
    pub xattrs: Vec<(Bytes, Option<&'a Bytes>)>,
    pub content: Content,
}

/// Private xattrs whose values only the kernel knows.
pub(super) fn is_secret(name: &[u8], value: &[u8]) -> bool {
    // A handle of no length says "no origin"; anybody can foretell that.
    matches!(name, b"@uuid") || (matches!(name, b"@origin" | b"@upper") && !value.is_empty())
}

/// The word for a type.
pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Dir => "dir",
        Kind::File => "file",
        Kind::Symlink => "symlink",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::Char => "char",
        Kind::Block => "block",
        Kind::Unknown => "unknown",
    }
}

impl Facts<'_> {
    pub(super) fn text(&self) -> String {
        let whiteout = self.kind == Kind::Char && self.rdev == (0, 0);
        let mut out = if whiteout { "whiteout" } else { kind_word(self.kind) }.to_owned();
        if matches!(self.kind, Kind::Char | Kind::Block) && !whiteout {
            out += &format!(" {}:{}", self.rdev.0, self.rdev.1);
        }
        out += &format!(" {:04o} {}:{} links {}", self.mode, self.owner.0, self.owner.1, self.nlink);
        if self.kind == Kind::File {
            out += &format!(" size {}", self.size);
        }
        match self.mtime {
            None => out += " now",
            Some(LAYER_TIME) => {}
            Some(t) => out += &format!(" at {}.{:09}", t.sec, t.nsec),
        }
        if let Some(listed) = self.listed {
            out += &format!(" listed as {}", kind_word(listed));
        }
        match &self.content {
            Content::None => {}
            Content::Bytes(b) if self.kind == Kind::Symlink => out += &format!(" -> {}", b.quoted()),
            Content::Bytes(b) => out += &format!(" {}", b.quoted()),
            Content::Digest(d) => out += &format!(" digest {d:016x}"),
            Content::Unreadable(e) => out += &format!(" unreadable: {e}"),
        }
        for (name, value) in &self.xattrs {
            match value {
                Some(value) => out += &format!(" {}={}", xattr_word(name), ValueText(value)),
                None => out += &format!(" {}=*", xattr_word(name)),
            }
        }
        out
    }
}

/// A listing: names, marked as `ls -F` does it, with `%` for devices.
pub(crate) fn listing_text<'a>(entries: impl Iterator<Item = (&'a Bytes, Kind)>) -> String {
    let mark = |kind| match kind {
        Kind::Dir => "/",
        Kind::Symlink => "@",
        Kind::Fifo => "|",
        Kind::Socket => "=",
        Kind::Char | Kind::Block => "%",
        Kind::Unknown => "?",
        Kind::File => "",
    };
    let words: Vec<String> = entries.map(|(name, kind)| format!("{name}{}", mark(kind))).collect();
    format!("[{}]", words.join(" "))
}

/// What one getdents64 gave but `.` and `..`, by name: their order is their filesystem's business.
pub(super) fn dents_text<'a>(entries: impl Iterator<Item = (&'a Bytes, Kind)>) -> String {
    let mut entries: Vec<_> = entries.filter(|(name, _)| !matches!(name.as_slice(), b"." | b"..")).collect();
    entries.sort();
    listing_text(entries.into_iter())
}

/// Names of xattrs.
pub(super) fn names_text<'a>(names: impl Iterator<Item = &'a Bytes>) -> String {
    format!("[{}]", names.map(xattr_word).collect::<Vec<_>>().join(" "))
}

/// The name of an xattr; a private one keeps its `@` without quotes.
fn xattr_word(name: &Bytes) -> String {
    match name.strip_prefix(b"@") {
        Some(rest) => format!("@{}", Bytes::from(rest)),
        None => name.to_string(),
    }
}

/// What statfs says.
pub(super) fn filesystem_text(facts: &StatFs) -> String {
    format!("type {:#x}, names up to {} bytes, read-only: {}", facts.magic, facts.name_max, facts.read_only)
}
