//! Names, paths and data as raw bytes.
//!
//! A file name is any byte string without `/` and NUL, so nothing here is ever a `String`. The text
//! form is the one of the case language: bare where that is unambiguous, else quoted with escapes.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// How many bytes need no memory of their own: nearly all names are as short, and a case's judgement
/// makes, copies and drops names all the time.
const INLINE: usize = 16;

/// A byte string: a name, a path, a symlink target, an xattr value or file data.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub(crate) SmallVec<[u8; INLINE]>);

impl Bytes {
    /// The bytes as a slice.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes as a vector.
    pub fn into_vec(self) -> Vec<u8> {
        self.0.into_vec()
    }

    /// `self/name`, or `name` alone when `self` is empty.
    pub fn join(&self, name: &[u8]) -> Bytes {
        let mut out = SmallVec::with_capacity(self.0.len() + 1 + name.len());
        out.extend_from_slice(&self.0);
        if !out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(name);
        Bytes(out)
    }

    /// The path up to its last `/` (empty when there is none) and the name after it.
    pub fn split_last(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (&[], &self.0),
        }
    }

    /// Whether the text form needs no quotes: it stands for itself and ends at a blank.
    pub fn is_bare(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|&b| is_word_byte(b)) && self.0[0] != b'@'
    }

    /// The text form with quotes even where [`Bytes::is_bare`] needs none.
    pub fn quoted(&self) -> Quoted<'_> {
        Quoted(&self.0)
    }
}

/// Whether the byte may stand in a word without quotes.
pub fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'+' | b'@' | b',' | b'~')
}

/// How often a byte is repeated at least to be written once, with a number.
const LONG_RUN: usize = 17;

fn has_long_run(bytes: &[u8]) -> bool {
    bytes.chunk_by(|a, b| a == b).any(|run| run.len() >= LONG_RUN)
}

/// Bytes to be shown in quotes; made by [`Bytes::quoted`].
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a [u8]);

impl From<&str> for Bytes {
    fn from(s: &str) -> Self {
        Bytes(SmallVec::from_slice(s.as_bytes()))
    }
}

impl From<&[u8]> for Bytes {
    fn from(s: &[u8]) -> Self {
        Bytes(SmallVec::from_slice(s))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(s: Vec<u8>) -> Self {
        Bytes(SmallVec::from_vec(s))
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(s: &[u8; N]) -> Self {
        Bytes(SmallVec::from_slice(s))
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Bytes(bytes.into_iter().collect())
    }
}

/// Equal, ordered and hashed as the slice is, so that maps are searched by slices.
impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text form: bare when [`Bytes::is_bare`], else `"…"` with `\"`, `\\`, `\n`, `\t`, `\xNN`; a
/// run of one byte longer than 16 is written `"a"*300`, with `+` between it and what else there is.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.is_bare() && !has_long_run(&self.0) => f.write_str(text),
            _ => fmt::Display::fmt(&self.quoted(), f),
        }
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        let mut rest = self.0;
        while !rest.is_empty() {
            let mut runs = rest.chunk_by(|a, b| a == b);
            let short: usize = runs.by_ref().take_while(|run| run.len() < LONG_RUN).map(<[u8]>::len).sum();
            if rest.len() < self.0.len() {
                f.write_str("+")?;
            }
            if short > 0 {
                write_quoted(f, &rest[..short])?;
                rest = &rest[short..];
                continue;
            }
            let run = rest.iter().take_while(|b| **b == rest[0]).count();
            write_quoted(f, &rest[..1])?;
            write!(f, "*{run}")?;
            rest = &rest[run..];
        }
        Ok(())
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    use fmt::Write;
    f.write_char('"')?;
    for &b in bytes {
        match b {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\t' => f.write_str("\\t")?,
            0x20..=0x7e => f.write_char(b as char)?,
            _ => write!(f, "\\x{b:02x}")?,
        }
    }
    f.write_char('"')
}

/// Text (lossless, `\xNN` escapes) where a person reads the format, raw bytes elsewhere.
impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            let mut out = String::with_capacity(self.0.len());
            for &b in &self.0 {
                match b {
                    b'\\' => out.push_str("\\\\"),
                    0x20..=0x7e => out.push(b as char),
                    _ => out.push_str(&format!("\\x{b:02x}")),
                }
            }
            s.serialize_str(&out)
        } else {
            s.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: serde::de::Error>(self, v: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::from(v))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, v: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes::from(v))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Bytes, E> {
                unescape(v.as_bytes()).map(Bytes::from).ok_or_else(|| E::custom("bad escape in a byte string"))
            }
        }
        if d.is_human_readable() { d.deserialize_str(V) } else { d.deserialize_bytes(V) }
    }
}

/// Undoes the escapes of the text forms; `None` for an unknown or cut escape.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let (byte, len) = if text[at] == b'\\' { unescape_one(&text[at..])? } else { (text[at], 1) };
        out.push(byte);
        at += len;
    }
    Some(out)
}

/// The byte that the escape at the start of `text` stands for, and the length of the escape; `None`
/// when no known and complete escape is there.
pub fn unescape_one(text: &[u8]) -> Option<(u8, usize)> {
    let hex = |at: usize| char::from(*text.get(at)?).to_digit(16);
    Some(match text.get(..2)? {
        b"\\n" => (b'\n', 2),
        b"\\t" => (b'\t', 2),
        b"\\\"" => (b'"', 2),
        b"\\\\" => (b'\\', 2),
        b"\\x" => ((hex(2)? * 16 + hex(3)?) as u8, 4),
        _ => return None,
    })
}
