//! Flags of calls: words joined by `|`.

use std::fmt;

use super::ParseError;
use super::field::Field;
use super::hint::did_you_mean;
use super::lex::Line;
use crate::step;

/// A set of flags that may be left out, with the names that its type knows.
macro_rules! optional_flags {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl Field for $name {
                type Value = step::$name;
                const FORM: &'static str = "[FLAGS]";
                const WHAT: &'static str = $what;
                const REQUIRED: bool = false;

                fn parse(line: &mut Line<'_>) -> Result<step::$name, ParseError> {
                    let mut flags = 0;
                    flag_words(line, Self::WHAT, |line, at, word| {
                        let known = step::$name::NAMES;
                        let (bit, _) = known.iter().find(|(_, name)| *name == word).ok_or_else(|| {
                            let hint = did_you_mean(word, known.iter().map(|(_, name)| *name));
                            line.error(at, format!("unknown flag `{word}`{hint}"))
                        })?;
                        flags |= bit;
                        Ok(())
                    })?;
                    Ok(step::$name(flags))
                }

                fn default_value() -> Option<step::$name> {
                    Some(step::$name(0))
                }

                fn print(value: &step::$name, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let mut rest = value.0;
                    let mut before = ' ';
                    for (bit, name) in step::$name::NAMES {
                        if rest & bit != 0 {
                            write!(f, "{before}{name}")?;
                            before = '|';
                            rest &= !bit;
                        }
                    }
                    if rest == 0 { Ok(()) } else { write!(f, "{before}{rest:#x}") }
                }
            }
        )*
    };
}

optional_flags! {
    /// `RENAME_EXCHANGE`; may be left out.
    RenameFlags, "flags (`RENAME_EXCHANGE`)";
    /// `XATTR_CREATE`; may be left out.
    XattrFlags, "flags (`XATTR_CREATE`)";
    /// `AT_EACCESS|AT_SYMLINK_NOFOLLOW`; may be left out.
    AtFlags, "flags (`AT_SYMLINK_NOFOLLOW`)";
    /// `FALLOC_FL_KEEP_SIZE`; may be left out.
    FallocateMode, "flags (`FALLOC_FL_KEEP_SIZE`)";
    /// `FS_IMMUTABLE_FL|FS_APPEND_FL`; may be left out.
    InodeFlags, "flags (`FS_IMMUTABLE_FL`)";
    /// `O_APPEND|O_NONBLOCK`; may be left out.
    StatusFlags, "flags (`O_APPEND`)";
}

/// `O_RDWR|O_CREAT`.
pub(super) struct OpenFlags;

/// The access modes with their names. The fourth is Linux's own: the file can be neither read nor
/// written, only asked about (open(2)).
const ACCESS: &[(i32, &str)] = &[
    (libc::O_RDONLY, "O_RDONLY"),
    (libc::O_WRONLY, "O_WRONLY"),
    (libc::O_RDWR, "O_RDWR"),
    (libc::O_ACCMODE, "O_ACCMODE"),
];

impl Field for OpenFlags {
    type Value = step::OpenFlags;
    const FORM: &'static str = "FLAGS";
    const WHAT: &'static str = "flags (`O_RDWR|O_CREAT`)";

    fn parse(line: &mut Line<'_>) -> Result<step::OpenFlags, ParseError> {
        let mut flags = 0;
        let mut access = None;
        flag_words(line, Self::WHAT, |line, at, word| {
            if let Some((bits, name)) = ACCESS.iter().find(|(_, name)| *name == word) {
                if let Some(first) = access.replace(*name) {
                    return Err(line.error(at, format!("a second access mode after {first}")));
                }
                flags |= bits;
            } else if let Some((bit, _)) = step::OpenFlags::NAMES.iter().find(|(_, name)| *name == word) {
                flags |= bit;
            } else {
                let known = ACCESS.iter().chain(step::OpenFlags::NAMES).map(|(_, name)| *name);
                return Err(line.error(at, format!("unknown flag `{word}`{}", did_you_mean(word, known))));
            }
            Ok(())
        })?;
        Ok(step::OpenFlags(flags))
    }

    fn print(value: &step::OpenFlags, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = value.0 & libc::O_ACCMODE;
        let name = ACCESS.iter().find(|(bits, _)| *bits == access).map_or("", |(_, name)| name);
        write!(f, " {name}")?;
        let mut rest = value.0 & !libc::O_ACCMODE;
        for (bit, name) in step::OpenFlags::NAMES {
            if rest & bit == *bit {
                write!(f, "|{name}")?;
                rest &= !bit;
            }
        }
        if rest == 0 { Ok(()) } else { write!(f, "|{rest:#x}") }
    }
}

/// Reads words joined by `|`.
fn flag_words(
    line: &mut Line<'_>,
    what: &str,
    mut take: impl FnMut(&Line<'_>, usize, &str) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    loop {
        let word = line.peek_bare().ok_or_else(|| line.expected(what))?;
        take(line, line.at(), word)?;
        line.skip();
        if !line.take_mark('|') {
            return Ok(());
        }
    }
}
