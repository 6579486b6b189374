//! The case language: the text form of a [`Case`].
//!
//! It is what a report prints, what `ovlcheck replay` takes and what a mail can carry. Writing and
//! reading are exact inverses, and there is one canonical way to write a case. This module knows the
//! plain data of cases and steps, and nothing of how they are run or judged.
//!
//! # A case
//!
//! ```
//! # let text = r#"
//! case "a deleted file leaves a whiteout"
//! option index=off                         # zero or more lines
//! lower                                    # one or more sections, the top-most layer first
//!   dir d 02755 uid=1 gid=2
//!   file d/a 0600 "hello\n" time=1000000000.5
//!   file big "x"*5000
//!   symlink s -> d/a
//!   link h -> d/a                          # a hard link within the layer
//! lower on=2                               # on a second filesystem of the same kind, at most 3
//!   dir . 0700                             # the layer's own root
//!   char null 1:3 0666
//!   fifo p
//! upper                                    # may be left out: an empty layer
//!   whiteout big                           # short for: char big 0:0
//!   dir o opaque                           # short for: @opaque="y"
//!   file x user.foo="bar" @origin=""       # xattrs
//! steps
//!   open 0 d/a O_RDWR|O_CREAT 0644 = ok
//!   write 0 "abc" = 3
//!   unlink d/a
//!   mkdir d/n 0755
//!   rename d/n d/m RENAME_NOREPLACE
//!   list d = [m]
//!   observe
//! expect merged exact
//!   dir . 0755                             # the root of the upper
//!   dir d 02755 uid=1 gid=2
//!   dir d/m
//!   file h "hello\n"                       # copying up d/a broke the link
//!   dir o
//!   file x user.foo="bar" nlink=1
//!   symlink s -> d/a
//!   char null 1:3
//!   fifo p
//! expect upper
//!   whiteout d/a
//!   file x @origin                         # it has that xattr, whatever its value
//!   absent d/n
//! # "#;
//! let case: ovlcheck::case::Case = text.parse()?;
//! assert_eq!(case.to_string().parse(), Ok(case));
//! # Ok::<(), ovlcheck::case::text::ParseError>(())
//! ```
//!
//! # Lines and words
//!
//! A line is a header, an entry or a step. Indentation and blank lines are free; `#` after a blank
//! starts a comment. Sections stand in the order shown, and `lower` and `steps` must be there.
//!
//! Names, paths and data are bytes. A word of letters, digits and `. _ - / + @ , ~` stands for itself;
//! everything else is written in quotes, with `\"`, `\\`, `\n`, `\t` and `\xNN`. `"x"*5000` is a word
//! repeated, and `"x"*5000+"y"` one of two parts. One word has at most [`MAX_DATA`] bytes, all words of a case [`MAX_TOTAL`]. Only data may
//! hold a NUL byte.
//!
//! The value of an xattr may also be written as the access control list that it is, without quotes:
//! `acl:u::rwx,u:1000:r--,g::r-x,g:7:r--,m::r-x,o::---` has entries of the owner, users, the owning group, groups,
//! the mask and others, in any order; their form in the xattr is [`Acl::encode`](crate::acl::Acl::encode).
//!
//! # Layers
//!
//! `dir PATH`, `file PATH`, `symlink PATH -> TARGET`, `fifo PATH`, `socket PATH`, `char PATH M:N`,
//! `block PATH M:N`, `whiteout PATH`, and `link PATH -> PATH`, then attributes in any order:
//!
//! | attribute | when it is not written |
//! |---|---|
//! | a mode in octal with a leading 0 | 0755 for a dir, 0777 for a symlink, 0 for a whiteout, else 0644 |
//! | data of a file, in quotes | empty |
//! | `sparse`: whole pages of zeros in its data are holes | they are stored |
//! | `uid=N`, `gid=N` | 0 |
//! | `time=SECONDS`, with a fraction that counts forward from them | [`crate::case::LAYER_TIME`] |
//! | `NAME=VALUE`, an xattr; an access ACL sets the permission bits of the mode | none |
//!
//! A path is relative and clean, `.` is the root. An xattr's name is in quotes unless it starts with
//! `@` (a private one) or holds a `.`, so a misspelt attribute is never taken for an xattr. Missing
//! parents are plain directories. A duplicate, an entry below something that is not a directory and a
//! hard link to nothing, to a directory or to a hard link are errors; since a [`Layer`] in memory
//! may hold such entries and means nothing by them, they are left out when it is written.
//!
//! # Steps
//!
//! `[as=root] [thread=0] OPERATION ARGUMENT... [= RESULT]`; [`Op`](crate::step::Op) lists the
//! operations and their arguments. Paths are the bytes that the system call gets: `""`, `/x`, `a//b/`
//! and `../x` mean themselves. An `open` without an access mode is `O_RDONLY`, without a mode 0. The
//! result is `ok`, a count, data in quotes, names in brackets, or the name of an errno; `=` has blanks
//! around it.
//!
//! # Expected trees
//!
//! `expect merged`, `expect upper` or `expect work`, each with `exact` or without. Entries are those of
//! layers without `link`, with `absent PATH`; target, device number and all attributes may be left out
//! and are then not asserted. `uid=` and `gid=` come together, `mtime=` and `nlink=` are known here
//! only, and an xattr without a value asserts that it is there (a name in quotes is then written
//! `"NAME"=?`).

mod attribute;
mod entry;
mod expect;
mod field;
mod flags;
mod hint;
mod lex;
mod op;
mod parse;
mod print;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod tests;

use std::str::FromStr;

pub use lex::{MAX_DATA, MAX_TOTAL};

use super::{Case, Layer};
use crate::step::Step;

/// Why a text is not a case, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was expected, or what is wrong.
    pub message: String,
}

/// Reads the bytes of a case file. An error names its line and column.
pub fn parse(bytes: &[u8]) -> Result<Case, ParseError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.parse(),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let message = "not UTF-8 text (other bytes are written \\xNN, in quotes)".to_owned();
            Err(ParseError { line, column, message })
        }
    }
}

/// A layer as reports show it: its entries that count, one per line.
pub fn print_layer(layer: &Layer) -> String {
    layer.to_string()
}

impl FromStr for Case {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::parse_case(text)
    }
}

impl FromStr for Step {
    type Err = ParseError;

    /// Reads one step from one line.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.contains('\n') {
            return Err(ParseError { line: 2, column: 1, message: "a step is one line".to_owned() });
        }
        let mut budget = MAX_TOTAL;
        op::parse_step(&mut lex::Line::lex(1, text, &mut budget)?, &[])
    }
}
