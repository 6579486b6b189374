//! A whole case as text, in one canonical form.
//!
//! How a line of a section looks is written by the module of its noun.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::entry::effective_entries;
use crate::bytes::is_word_byte;
use crate::case::{Case, Entry};

/// The case as its file says it; see [`crate::case::text`].
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            f.write_str("case ")?;
            write_text(&self.title, f)?;
            f.write_char('\n')?;
        }
        for option in &self.options {
            f.write_str("option ")?;
            if option.bytes().all(|b| is_word_byte(b) || matches!(b, b'=' | b':')) {
                f.write_str(option)?;
            } else {
                write_text(option, f)?;
            }
            f.write_char('\n')?;
        }
        for layer in &self.lowers {
            f.write_str("lower")?;
            if layer.on != 0 {
                write!(f, " on={}", layer.filesystem() + 1)?;
            }
            write_entries(&effective_entries(layer), f)?;
        }
        let upper = effective_entries(&self.upper);
        if !upper.is_empty() {
            f.write_str("upper")?;
            write_entries(&upper, f)?;
        }
        f.write_str("steps\n")?;
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        self.expect.iter().try_for_each(|tree| write!(f, "{tree}"))
    }
}

/// Ends the line of a layer and writes its entries.
fn write_entries(entries: &[Cow<'_, Entry>], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('\n')?;
    entries.iter().try_for_each(|entry| writeln!(f, "  {entry}"))
}

/// Text in quotes: letters of all scripts stand for themselves, what cannot be seen is escaped.
fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            ' '..='~' => f.write_char(c)?,
            _ if c.is_alphanumeric() => f.write_char(c)?,
            _ => {
                for b in c.encode_utf8(&mut [0; 4]).bytes() {
                    write!(f, "\\x{b:02x}")?;
                }
            }
        }
    }
    f.write_char('"')
}
