//! What follows the path of an entry: mode, data, owner, times, link count, xattrs.
//!
//! Layers and expected trees share these words; which of them an entry may have is decided here,
//! what they mean to it is not.

use std::fmt;

use super::ParseError;
use super::field::{mode, number, time, word_without_nul, xattr_value};
use super::hint::did_you_mean;
use super::lex::{Kind, Line};
use crate::acl::ValueText;
use crate::bytes::{Bytes, is_word_byte};
use crate::trace::Time;

/// The private xattr that `opaque` stands for, with the value `y`.
const OPAQUE: &[u8] = b"@opaque";
const OPAQUE_VALUE: &[u8] = b"y";

/// Where an entry stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a layer: what is written is made.
    Layer,
    /// In an expected tree: what is written is asserted.
    Expect,
}

/// The word for a file of which whole pages of zeros are holes.
pub(super) const SPARSE: &str = "sparse";

impl Place {
    /// The attributes written `WORD=VALUE`.
    fn named(self) -> &'static [&'static str] {
        match self {
            Place::Layer => &["uid", "gid", "time"],
            Place::Expect => &["uid", "gid", "nlink", "mtime"],
        }
    }
}

/// The attributes of one entry, as far as they are written.
#[derive(Default)]
pub(super) struct Attributes {
    pub mode: Option<u16>,
    pub data: Option<Bytes>,
    pub sparse: bool,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub nlink: Option<u32>,
    /// `time=` or `mtime=`.
    pub time: Option<Time>,
    /// A value of `None` is a name that stands alone.
    pub xattrs: Vec<(Bytes, Option<Bytes>)>,
}

impl Attributes {
    /// Reads the rest of the line: attributes in any order. `kind` is the word that started it.
    pub fn parse(line: &mut Line<'_>, place: Place, kind: &str) -> Result<Attributes, ParseError> {
        let mut all = Attributes::default();
        while let Some(token) = line.peek() {
            let at = token.at;
            if line.is_joined() {
                return Err(line.error(at, format!("a word that holds {token} needs quotes")));
            }
            let has_value = line.has_mark_after_next('=');
            match &token.kind {
                Kind::Quoted(_) if has_value => all.xattr(line, place, at)?,
                Kind::Quoted(_) if kind == "file" => {
                    let data = line.word("data")?;
                    set(&mut all.data, data, line, at, "the data")?;
                }
                Kind::Quoted(_) => return Err(line.error(at, "only a file has data")),
                Kind::Bare(word) if has_value && place.named().contains(word) => {
                    let word = *word;
                    line.skip();
                    line.skip();
                    all.named(line, word, at)?;
                }
                Kind::Bare(word) if !has_value && *word == "opaque" && kind == "dir" => {
                    line.skip();
                    all.push_xattr(OPAQUE.into(), Some(OPAQUE_VALUE.into()), line, at)?;
                }
                Kind::Bare(word) if !has_value && *word == SPARSE && kind == "file" && place == Place::Layer => {
                    line.skip();
                    if std::mem::replace(&mut all.sparse, true) {
                        return Err(line.error(at, format!("`{SPARSE}` is written twice")));
                    }
                }
                Kind::Bare(word) if !has_value && word.starts_with(|c: char| c.is_ascii_digit()) => {
                    let mode = mode(line)?;
                    if kind == "symlink" && mode != 0o777 {
                        return Err(line.error(at, "the mode of a symlink is always 0777"));
                    }
                    set(&mut all.mode, mode, line, at, "the mode")?;
                }
                Kind::Bare(word) if is_bare_name(word.as_bytes()) => all.xattr(line, place, at)?,
                Kind::Bare(word) => return Err(unknown(line, at, word, has_value, place, kind)),
                _ => return Err(line.expected("an attribute")),
            }
        }
        Ok(all)
    }

    fn named(&mut self, line: &mut Line<'_>, word: &str, at: usize) -> Result<(), ParseError> {
        require_joined(line)?;
        let max = i128::from(u32::MAX);
        match word {
            "uid" => set(&mut self.uid, number(line, "a user id", 0, max)?, line, at, "`uid=`"),
            "gid" => set(&mut self.gid, number(line, "a group id", 0, max)?, line, at, "`gid=`"),
            "nlink" => set(&mut self.nlink, number(line, "a link count", 0, max)?, line, at, "`nlink=`"),
            _ => set(&mut self.time, time(line)?, line, at, "the time"),
        }
    }

    fn xattr(&mut self, line: &mut Line<'_>, place: Place, at: usize) -> Result<(), ParseError> {
        let has_value = line.has_mark_after_next('=');
        let name = word_without_nul(line, "an xattr's name")?;
        if name.is_empty() {
            return Err(line.error(at, "an xattr has a name"));
        }
        if !has_value && place == Place::Layer {
            return Err(line.expected(format_args!("`=` and the value of xattr {name}")));
        }
        let mut value = None;
        if has_value {
            line.skip();
            require_joined(line)?;
            if place == Place::Layer || !line.take_mark('?') {
                value = Some(xattr_value(line, "an xattr's value")?);
            }
        }
        self.push_xattr(name, value, line, at)
    }

    fn push_xattr(&mut self, name: Bytes, value: Option<Bytes>, line: &Line<'_>, at: usize) -> Result<(), ParseError> {
        if self.xattrs.iter().any(|(other, _)| *other == name) {
            return Err(line.error(at, format!("xattr {name} is written twice")));
        }
        self.xattrs.push((name, value));
        Ok(())
    }
}

fn require_joined(line: &Line<'_>) -> Result<(), ParseError> {
    if line.is_joined() { Ok(()) } else { Err(line.expected("a value right after `=`")) }
}

fn set<T>(slot: &mut Option<T>, value: T, line: &Line<'_>, at: usize, what: &str) -> Result<(), ParseError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(line.error(at, format!("{what} is written twice"))),
    }
}

fn unknown(line: &Line<'_>, at: usize, word: &str, has_value: bool, place: Place, kind: &str) -> ParseError {
    if word == "opaque" {
        return line.error(at, format!("only a dir is `opaque`, a {kind} may have `@opaque=\"y\"`"));
    }
    if word == SPARSE {
        return line.error(at, format!("only a file in a layer is `{SPARSE}`"));
    }
    if has_value && Place::Layer.named().contains(&word) {
        return line.error(at, format!("`{word}=` belongs to a layer; an expected tree has `mtime=`"));
    }
    if has_value && Place::Expect.named().contains(&word) {
        return line.error(at, format!("`{word}=` belongs to an expected tree"));
    }
    let known = place.named().iter().copied().chain(["opaque", SPARSE]);
    let hint = did_you_mean(word, known);
    let word = if has_value { format!("{word}=") } else { word.to_owned() };
    let message = format!(
        "unknown attribute `{word}`{hint}{} (data is in quotes, and an xattr's name unless it starts with `@` or holds `.`)",
        if hint.is_empty() { "" } else { " " }
    );
    line.error(at, message)
}

/// Whether an xattr's name is written without quotes: `user.x`, `@opaque`. A word without a `.` is
/// not, so that a misspelt attribute is an error and not an xattr.
fn is_bare_name(name: &[u8]) -> bool {
    let is_private = name.len() > 1 && name[0] == b'@';
    let is_spaced = name.first().is_some_and(u8::is_ascii_alphabetic) && name.contains(&b'.');
    (is_private || is_spaced) && name.iter().all(|b| is_word_byte(*b))
}

/// Writes xattrs, each after a blank; `opaque` for the one that marks a directory so.
pub(super) fn print_xattrs<'a>(
    xattrs: impl IntoIterator<Item = (&'a Bytes, Option<&'a Bytes>)>,
    is_dir: bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (name, value) in xattrs {
        if is_dir && name.as_slice() == OPAQUE && value.is_some_and(|v| v.as_slice() == OPAQUE_VALUE) {
            f.write_str(" opaque")?;
            continue;
        }
        let bare = std::str::from_utf8(name.as_slice()).ok().filter(|_| is_bare_name(name.as_slice()));
        match bare {
            Some(name) => write!(f, " {name}")?,
            None => write!(f, " {}", name.quoted())?,
        }
        match (value, bare) {
            (Some(value), _) => write!(f, "={}", ValueText(value))?,
            (None, Some(_)) => {}
            (None, None) => f.write_str("=?")?,
        }
    }
    Ok(())
}
