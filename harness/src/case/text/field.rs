//! How one argument is written and read: slots, paths, modes, flags, devices, numbers, times.
//!
//! Each form has its two directions side by side. Knows nothing of which step or entry uses it.

use std::fmt;

use super::ParseError;
use super::lex::{Kind, Line};
use crate::acl::{Acl, ValueText};
use crate::bytes::Bytes;
use crate::step::{self, Device, Special, ground};
use crate::trace::Time;

/// An argument of an operation.
pub(super) trait Field {
    /// What it is in [`step::Op`].
    type Value;
    /// As the form of the operation names it: `PATH`, `[MODE]`.
    const FORM: &'static str;
    /// What a message calls it.
    const WHAT: &'static str;
    /// Whether it must be written.
    const REQUIRED: bool = true;

    /// Reads it; asked only when something is left of the line.
    fn parse(line: &mut Line<'_>) -> Result<Self::Value, ParseError>;

    /// The value of an argument that is not written; only asked when it is not required.
    fn default_value() -> Option<Self::Value> {
        None
    }

    /// Writes it after a blank; nothing when it has the value of one not written.
    fn print(value: &Self::Value, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// `0` to `9`.
pub(super) struct Slot;
/// A path as the system call gets it.
pub(super) struct Path;
/// Bytes to write.
pub(super) struct Data;
/// A count of bytes.
pub(super) struct Count;
/// A size of a file, which may be negative.
pub(super) struct Size;
/// An octal mode.
pub(super) struct Mode;
/// An octal mode that may be left out, then 0.
pub(super) struct OptionalMode;
/// `fifo`, `char 1:3`.
pub(super) struct NodeType;
/// An offset in a file, which may be negative.
pub(super) struct Offset;
/// A user or group number, or -1.
pub(super) struct Id;
/// A size of a buffer for `getdents`.
pub(super) struct BufferSize;
/// A size of a buffer for one `getdents64`, which may be too small.
pub(super) struct Room;
/// The number of an entry that was given.
pub(super) struct Ordinal;
/// The name of an xattr.
pub(super) struct XattrName;
/// The value of an xattr: data, or an access control list.
pub(super) struct XattrValue;
/// `now`, `omit`, or seconds.
pub(super) struct NewTime;
/// `SEEK_SET`.
pub(super) struct Whence;
/// `here`, or an offset in a file, which may be negative.
pub(super) struct Position;
/// A place or length of `fallocate`: bounded, because it takes storage.
pub(super) struct Extent;
/// `[1 20]`: sizes of buffers.
pub(super) struct Lengths;
/// `["a" "bc"]`: buffers to write.
pub(super) struct Parts;
/// `["lowerdir=a:b" "userxattr"]`: options of a mount that is tried.
pub(super) struct MountOptions;

impl Field for Slot {
    type Value = step::Slot;
    const FORM: &'static str = "SLOT";
    const WHAT: &'static str = "a slot";

    fn parse(line: &mut Line<'_>) -> Result<step::Slot, ParseError> {
        number(line, Self::WHAT, 0, step::SLOTS as i128 - 1)
    }

    fn print(value: &step::Slot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {value}")
    }
}

impl Field for Path {
    type Value = Bytes;
    const FORM: &'static str = "PATH";
    const WHAT: &'static str = "a path";

    fn parse(line: &mut Line<'_>) -> Result<Bytes, ParseError> {
        word_without_nul(line, Self::WHAT)
    }

    fn print(value: &Bytes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {value}")
    }
}

impl Field for Data {
    type Value = Bytes;
    const FORM: &'static str = "DATA";
    const WHAT: &'static str = "data";

    fn parse(line: &mut Line<'_>) -> Result<Bytes, ParseError> {
        line.word(Self::WHAT)
    }

    fn print(value: &Bytes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", value.quoted())
    }
}

impl Field for Count {
    type Value = u32;
    const FORM: &'static str = "LEN";
    const WHAT: &'static str = "a length";

    fn parse(line: &mut Line<'_>) -> Result<u32, ParseError> {
        number(line, Self::WHAT, 0, u32::MAX.into())
    }

    fn print(value: &u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {value}")
    }
}

impl Field for Size {
    type Value = i64;
    const FORM: &'static str = "LEN";
    const WHAT: &'static str = "a length";

    fn parse(line: &mut Line<'_>) -> Result<i64, ParseError> {
        number(line, Self::WHAT, i64::MIN.into(), i64::MAX.into())
    }

    fn print(value: &i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {value}")
    }
}

impl Field for Mode {
    type Value = u32;
    const FORM: &'static str = "MODE";
    const WHAT: &'static str = "an octal mode";

    fn parse(line: &mut Line<'_>) -> Result<u32, ParseError> {
        mode(line).map(u32::from)
    }

    fn print(value: &u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_mode(*value, f)
    }
}

impl Field for OptionalMode {
    type Value = u32;
    const FORM: &'static str = "[MODE]";
    const WHAT: &'static str = Mode::WHAT;
    const REQUIRED: bool = false;

    fn parse(line: &mut Line<'_>) -> Result<u32, ParseError> {
        Mode::parse(line)
    }

    fn default_value() -> Option<u32> {
        Some(0)
    }

    fn print(value: &u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *value == 0 { Ok(()) } else { print_mode(*value, f) }
    }
}

macro_rules! numbers {
    ($($name:ident: $type:ty, $form:literal, $what:literal, $min:expr, $max:expr;)*) => {
        $(impl Field for $name {
            type Value = $type;
            const FORM: &'static str = $form;
            const WHAT: &'static str = $what;

            fn parse(line: &mut Line<'_>) -> Result<$type, ParseError> {
                number(line, Self::WHAT, $min, $max)
            }

            fn print(value: &$type, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, " {value}")
            }
        })*
    };
}

numbers! {
    Offset: i64, "OFFSET", "an offset", i64::MIN.into(), i64::MAX.into();
    Id: i64, "ID", "a user or group number, or -1", -1, 4_294_967_294;
    Extent: i64, "BYTES", "a number of bytes", i64::MIN.into(), 1 << 24;
    BufferSize: u32, "SIZE", "a buffer size", 280, 1 << 20;
    Room: u32, "SIZE", "a buffer size", 0, 1 << 20;
    Ordinal: u32, "ENTRY", "the number of an entry, from 0", 0, 1 << 20;
}

impl Field for XattrName {
    type Value = Bytes;
    const FORM: &'static str = "NAME";
    const WHAT: &'static str = "an xattr name (`user.x`, or `@x` for a private one)";

    fn parse(line: &mut Line<'_>) -> Result<Bytes, ParseError> {
        word_without_nul(line, Self::WHAT)
    }

    fn print(value: &Bytes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match value.as_slice() {
            // Here an `@` cannot be taken for anything else.
            [b'@', rest @ ..] if Bytes::from(rest).is_bare() => write!(f, " @{}", String::from_utf8_lossy(rest)),
            _ => write!(f, " {value}"),
        }
    }
}

impl Field for XattrValue {
    type Value = Bytes;
    const FORM: &'static str = "DATA|acl:LIST";
    const WHAT: &'static str = "data";

    fn parse(line: &mut Line<'_>) -> Result<Bytes, ParseError> {
        xattr_value(line, Self::WHAT)
    }

    fn print(value: &Bytes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", ValueText(value))
    }
}

impl Field for NewTime {
    type Value = step::NewTime;
    const FORM: &'static str = "now|omit|TIME";
    const WHAT: &'static str = "a time (`now`, `omit`, `1000000000.5`)";

    fn parse(line: &mut Line<'_>) -> Result<step::NewTime, ParseError> {
        let value = match line.peek_bare() {
            Some("now") => step::NewTime::Now,
            Some("omit") => step::NewTime::Omit,
            _ => return time(line).map(step::NewTime::At),
        };
        line.skip();
        Ok(value)
    }

    fn print(value: &step::NewTime, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match value {
            step::NewTime::Now => f.write_str(" now"),
            step::NewTime::Omit => f.write_str(" omit"),
            step::NewTime::At(time) => write!(f, " {time}"),
        }
    }
}

impl Field for Whence {
    type Value = step::Whence;
    const FORM: &'static str = "WHENCE";
    const WHAT: &'static str = "SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE";

    fn parse(line: &mut Line<'_>) -> Result<step::Whence, ParseError> {
        let word = line.peek_bare().ok_or_else(|| line.expected(Self::WHAT))?;
        let found = step::Whence::NAMES.iter().find(|(_, name, _)| *name == word);
        let (whence, _, _) = found.ok_or_else(|| line.expected(Self::WHAT))?;
        line.skip();
        Ok(*whence)
    }

    fn print(value: &step::Whence, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = step::Whence::NAMES.iter().find(|(w, _, _)| w == value).map_or("", |(_, name, _)| name);
        write!(f, " {name}")
    }
}

impl Field for Position {
    type Value = Option<i64>;
    const FORM: &'static str = "here|OFFSET";
    const WHAT: &'static str = "an offset, or `here`";

    fn parse(line: &mut Line<'_>) -> Result<Option<i64>, ParseError> {
        if line.peek_bare() == Some("here") {
            line.skip();
            return Ok(None);
        }
        Offset::parse(line).map(Some)
    }

    fn print(value: &Option<i64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match value {
            None => f.write_str(" here"),
            Some(offset) => Offset::print(offset, f),
        }
    }
}

/// The most buffers that a step may name.
pub(super) const MAX_BUFFERS: usize = 16;

impl Field for Lengths {
    type Value = Vec<u32>;
    const FORM: &'static str = "[LEN ...]";
    const WHAT: &'static str = "sizes of buffers (`[1 20]`)";

    fn parse(line: &mut Line<'_>) -> Result<Vec<u32>, ParseError> {
        buffers(line, Self::WHAT, |line| number(line, "a length", 0, 1 << 20))
    }

    fn print(value: &Vec<u32>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" [")?;
        for (at, len) in value.iter().enumerate() {
            write!(f, "{}{len}", if at == 0 { "" } else { " " })?;
        }
        f.write_str("]")
    }
}

impl Field for Parts {
    type Value = Vec<Bytes>;
    const FORM: &'static str = "[DATA ...]";
    const WHAT: &'static str = r#"buffers (`["a" "bc"]`)"#;

    fn parse(line: &mut Line<'_>) -> Result<Vec<Bytes>, ParseError> {
        buffers(line, Self::WHAT, |line| line.word("data"))
    }

    fn print(value: &Vec<Bytes>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_quoted(value, f)
    }
}

impl Field for MountOptions {
    type Value = Vec<Bytes>;
    const FORM: &'static str = "[\"NAME=VALUE\" ...]";
    const WHAT: &'static str = r#"mount options (`["lowerdir=a:b" "userxattr"]`)"#;

    fn parse(line: &mut Line<'_>) -> Result<Vec<Bytes>, ParseError> {
        buffers(line, Self::WHAT, |line| {
            let at = line.at();
            let option = line.word("an option")?;
            if ground::is_confined(option.as_slice()) {
                Ok(option)
            } else {
                Err(line.error(
                    at,
                    "a path of a tried mount is relative, without `..`, and has a letter or a digit before each `/`",
                ))
            }
        })
    }

    fn print(value: &Vec<Bytes>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_quoted(value, f)
    }
}

fn print_quoted(words: &[Bytes], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(" [")?;
    for (at, word) in words.iter().enumerate() {
        write!(f, "{}{}", if at == 0 { "" } else { " " }, word.quoted())?;
    }
    f.write_str("]")
}

/// Reads a list of buffers in brackets.
fn buffers<'a, T>(
    line: &mut Line<'a>,
    what: &str,
    mut one: impl FnMut(&mut Line<'a>) -> Result<T, ParseError>,
) -> Result<Vec<T>, ParseError> {
    if !line.take_mark('[') {
        return Err(line.expected(what));
    }
    let mut out = Vec::new();
    while !line.take_mark(']') {
        if out.len() == MAX_BUFFERS {
            return Err(line.error(line.at(), format!("at most {MAX_BUFFERS} buffers")));
        }
        out.push(one(line)?);
    }
    Ok(out)
}

impl Field for NodeType {
    type Value = Special;
    const FORM: &'static str = "regular|fifo|socket|char M:N|block M:N";
    const WHAT: &'static str = "a node type (regular, fifo, socket, char M:N, block M:N)";

    fn parse(line: &mut Line<'_>) -> Result<Special, ParseError> {
        let node = match line.peek_bare() {
            Some("regular") => Special::Regular,
            Some("fifo") => Special::Fifo,
            Some("socket") => Special::Socket,
            Some("char") => {
                line.skip();
                return device(line).map(Special::Char);
            }
            Some("block") => {
                line.skip();
                return device(line).map(Special::Block);
            }
            _ => return Err(line.expected(Self::WHAT)),
        };
        line.skip();
        Ok(node)
    }

    fn print(value: &Special, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match value {
            Special::Regular => f.write_str(" regular"),
            Special::Fifo => f.write_str(" fifo"),
            Special::Socket => f.write_str(" socket"),
            Special::Char(device) => write!(f, " char {device}"),
            Special::Block(device) => write!(f, " block {device}"),
        }
    }
}

/// As a case writes it: `1:3`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major(), self.minor())
    }
}

/// As a case writes it: seconds, and a fraction that counts forward from them.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sec)?;
        if self.nsec == 0 {
            return Ok(());
        }
        let digits = format!("{:09}", self.nsec);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// Reads a word that the kernel gets as a C string.
pub(super) fn word_without_nul(line: &mut Line<'_>, what: &str) -> Result<Bytes, ParseError> {
    let at = line.at();
    let word = line.word(what)?;
    if word.0.contains(&0) {
        return Err(line.error(at, format!("{what} cannot hold a NUL byte")));
    }
    Ok(word)
}

/// Reads the value of an xattr: `"data"`, or an access control list, `acl:u::rwx,g::r-x,o::---`.
pub(super) fn xattr_value(line: &mut Line<'_>, what: &str) -> Result<Bytes, ParseError> {
    if line.peek_bare() != Some("acl") || !line.has_mark_after_next(':') {
        return line.word(what);
    }
    let at = line.at();
    let text = line.joined().trim_start_matches("acl:");
    text.parse::<Acl>().map(|acl| acl.encode()).map_err(|e| line.error(at, e.to_string()))
}

/// Reads a decimal number of this range.
pub(super) fn number<T: TryFrom<i128>>(line: &mut Line<'_>, what: &str, min: i128, max: i128) -> Result<T, ParseError> {
    let what = format_args!("{what} ({min} to {max})");
    let word = line.peek_bare().ok_or_else(|| line.expected(what))?;
    let digits = word.strip_prefix('-').unwrap_or(word);
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !digits.starts_with('0'));
    let value = word.parse::<i128>().ok().filter(|n| is_plain && (min..=max).contains(n));
    let value = value.and_then(|n| T::try_from(n).ok()).ok_or_else(|| line.expected(what))?;
    line.skip();
    Ok(value)
}

/// Reads an octal mode.
pub(super) fn mode(line: &mut Line<'_>) -> Result<u16, ParseError> {
    let what = "an octal mode (00 to 07777)";
    let word = line.peek_bare().ok_or_else(|| line.expected(what))?;
    let digits = word.strip_prefix('0').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    let value = digits.and_then(|d| u16::from_str_radix(d, 8).ok()).filter(|mode| *mode <= 0o7777);
    let value = value.ok_or_else(|| line.expected(what))?;
    line.skip();
    Ok(value)
}

/// Writes an octal mode after a blank.
pub(super) fn print_mode(mode: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " 0{mode:03o}")
}

/// Reads `MAJOR:MINOR`.
pub(super) fn device(line: &mut Line<'_>) -> Result<Device, ParseError> {
    let at = line.at();
    let what = "a device number (`1:3`)";
    if !line.has_mark_after_next(':') {
        return Err(line.expected(what));
    }
    let major = number(line, "a major number", 0, u32::MAX.into())?;
    line.skip();
    if !line.is_joined() {
        return Err(line.expected("a minor number"));
    }
    let minor = number(line, "a minor number", 0, u32::MAX.into())?;
    Device::new(major, minor).map_err(|refused| line.error(at, refused.to_string()))
}

/// Reads seconds with up to nine digits of a fraction.
pub(super) fn time(line: &mut Line<'_>) -> Result<Time, ParseError> {
    let what = "a time (seconds since 1970, `1000000000.5`)";
    let word = match line.peek().map(|t| &t.kind) {
        Some(Kind::Bare(word)) => *word,
        _ => return Err(line.expected(what)),
    };
    let (sec, fraction) = word.split_once('.').unwrap_or((word, "0"));
    // The fraction counts forward from the seconds, so `-0.5` would not be what it seems.
    let sec_ok = sec != "-0" && sec.strip_prefix('-').unwrap_or(sec).bytes().all(|b| b.is_ascii_digit());
    let fraction_ok = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    let parsed = match (sec_ok && fraction_ok, sec.parse::<i64>(), format!("{fraction:0<9}").parse::<u32>()) {
        (true, Ok(sec), Ok(nsec)) => Time { sec, nsec },
        _ => return Err(line.expected(what)),
    };
    line.skip();
    Ok(parsed)
}
