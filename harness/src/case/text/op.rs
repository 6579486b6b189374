//! Steps: one row per operation, from which it is both written and read.
//!
//! A new operation is one row of the table below, and a new [`Field`] if an argument has a form that
//! no other has. Knows nothing of layers and sections.

use std::fmt;

use super::ParseError;
use super::field::{
    BufferSize, Count, Data, Extent, Field, Id, Lengths, Mode, MountOptions, NewTime, NodeType, Offset, OptionalMode,
    Ordinal, Parts, Path, Position, Room, Size, Slot, Whence, XattrName, XattrValue, number, xattr_value,
};
use super::flags::{AtFlags, FallocateMode, InodeFlags, OpenFlags, RenameFlags, StatusFlags, XattrFlags};
use super::hint::did_you_mean;
use super::lex::{Kind, Line};
use crate::acl::ValueText;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::{Actor, Expected, On, Op, Step};

/// How many threads a step can name so far.
const THREADS: i128 = 1;

macro_rules! operations {
    ($($word:literal => $op:ident { $($field:ident $(($wrap:path))?: $form:ty),* },)*) => {
        /// The words of the table.
        pub(super) const WORDS: &[&str] = &[$($word),*];

        /// How the operation is written.
        fn form(word: &str) -> String {
            let arguments: &[&str] = match word {
                $($word => &[$(<$form>::FORM),*],)*
                _ => &[],
            };
            [&[word], arguments].concat().join(" ")
        }

        /// Reads the arguments of the operation; `None` when there is no such operation.
        fn parse_arguments(word: &str, line: &mut Line<'_>) -> Result<Option<Op>, ParseError> {
            Ok(Some(match word {
                $($word => Op::$op { $($field: $($wrap)?(argument::<$form>(word, line)?)),* },)*
                _ => return Ok(None),
            }))
        }

        /// The operation with its arguments, as a case writes it.
        impl fmt::Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Op::$op { $($field $(: $wrap($field))?),* } => {
                        f.write_str($word)?;
                        $(<$form>::print($field, f)?;)*
                    })*
                }
                Ok(())
            }
        }
    };
}

operations! {
    "open" => Open { slot: Slot, path: Path, flags: OpenFlags, mode: OptionalMode },
    "close" => Close { slot: Slot },
    "read" => Read { slot: Slot, len: Count },
    "write" => Write { slot: Slot, data: Data },
    "truncate" => Truncate { path: Path, len: Size },
    "fstat" => Fstat { slot: Slot },
    "mkdir" => Mkdir { path: Path, mode: Mode },
    "rmdir" => Rmdir { path: Path },
    "mknod" => Mknod { path: Path, node: NodeType, mode: Mode },
    "symlink" => Symlink { target: Path, path: Path },
    "readlink" => Readlink { path: Path },
    "link" => Link { old: Path, new: Path },
    "unlink" => Unlink { path: Path },
    "rename" => Rename { old: Path, new: Path, flags: RenameFlags },
    "chmod" => Chmod { path: Path, mode: Mode },
    "stat" => Stat { path: Path },
    "lstat" => Lstat { path: Path },
    "list" => List { path: Path },
    "pread" => Pread { slot: Slot, len: Count, offset: Offset },
    "pwrite" => Pwrite { slot: Slot, data: Data, offset: Offset },
    "lseek" => Lseek { slot: Slot, offset: Offset, whence: Whence },
    "ftruncate" => Ftruncate { slot: Slot, len: Size },
    "fsync" => Fsync { slot: Slot },
    "fdatasync" => Fdatasync { slot: Slot },
    "getdents" => Getdents { slot: Slot, size: BufferSize },
    "getdents64" => Getdents64 { slot: Slot, size: Room },
    "seekdir" => Seekdir { slot: Slot, entry: Ordinal },
    "fchmod" => Fchmod { slot: Slot, mode: Mode },
    "chown" => Chown { on(On::Path): Path, uid: Id, gid: Id },
    "lchown" => Chown { on(On::Link): Path, uid: Id, gid: Id },
    "fchown" => Chown { on(On::Slot): Slot, uid: Id, gid: Id },
    "utimens" => Utimens { on(On::Path): Path, atime: NewTime, mtime: NewTime },
    "lutimens" => Utimens { on(On::Link): Path, atime: NewTime, mtime: NewTime },
    "futimens" => Utimens { on(On::Slot): Slot, atime: NewTime, mtime: NewTime },
    "setxattr" => SetXattr { on(On::Path): Path, name: XattrName, value: XattrValue, flags: XattrFlags },
    "lsetxattr" => SetXattr { on(On::Link): Path, name: XattrName, value: XattrValue, flags: XattrFlags },
    "fsetxattr" => SetXattr { on(On::Slot): Slot, name: XattrName, value: XattrValue, flags: XattrFlags },
    "getxattr" => GetXattr { on(On::Path): Path, name: XattrName, size: Count },
    "lgetxattr" => GetXattr { on(On::Link): Path, name: XattrName, size: Count },
    "fgetxattr" => GetXattr { on(On::Slot): Slot, name: XattrName, size: Count },
    "listxattr" => ListXattr { on(On::Path): Path, size: Count },
    "llistxattr" => ListXattr { on(On::Link): Path, size: Count },
    "flistxattr" => ListXattr { on(On::Slot): Slot, size: Count },
    "removexattr" => RemoveXattr { on(On::Path): Path, name: XattrName },
    "lremovexattr" => RemoveXattr { on(On::Link): Path, name: XattrName },
    "fremovexattr" => RemoveXattr { on(On::Slot): Slot, name: XattrName },
    "access" => Access { path: Path, mode: Mode },
    "readv" => Readv { slot: Slot, lens: Lengths },
    "writev" => Writev { slot: Slot, parts: Parts },
    "dup" => Dup { slot: Slot, to: Slot },
    "faccessat2" => Faccessat { path: Path, mode: Mode, flags: AtFlags },
    "fchmodat2" => Fchmodat { path: Path, mode: Mode, flags: AtFlags },
    "linkat" => Linkat { old: Path, new: Path, flags: AtFlags },
    "flink" => Flink { slot: Slot, new: Path },
    "statfs" => Statfs { path: Path },
    "fstatfs" => Fstatfs { slot: Slot },
    "syncfs" => Syncfs { slot: Slot },
    "chdir" => Chdir { path: Path },
    "fchdir" => Fchdir { slot: Slot },
    "getcwd" => Getcwd {},
    "copy_file_range" => CopyFileRange { from: Slot, from_at: Position, to: Slot, to_at: Position, len: Count },
    "sendfile" => Sendfile { to: Slot, from: Slot, from_at: Position, len: Count },
    "fallocate" => Fallocate { slot: Slot, offset: Extent, len: Extent, mode: FallocateMode },
    "getflags" => Getflags { slot: Slot },
    "setflags" => Setflags { slot: Slot, flags: InodeFlags },
    "setfl" => Setfl { slot: Slot, flags: StatusFlags },
    "umask" => Umask { mode: Mode },
    "remount" => Remount {},
    "rotate" => Rotate {},
    "drop-caches" => DropCaches {},
    "try-mount" => TryMount { options: MountOptions },
    "observe" => Observe {},
}

/// Reads one argument.
fn argument<F: Field>(word: &str, line: &mut Line<'_>) -> Result<F::Value, ParseError> {
    if line.is_at_end() || (at_result(line) && !line.is_joined()) {
        return match F::default_value() {
            Some(value) if !F::REQUIRED => Ok(value),
            _ => Err(line.error(line.at(), format!("expected {}: the form is `{}`", F::WHAT, form(word)))),
        };
    }
    F::parse(line)
}

fn at_result(line: &Line<'_>) -> bool {
    line.peek().is_some_and(|token| token.kind == Kind::Mark('='))
}

/// Reads a whole step; `also` are words that could have stood at its place.
pub(super) fn parse_step(line: &mut Line<'_>, also: &[&str]) -> Result<Step, ParseError> {
    let mut actor = None;
    let mut thread = None;
    let word = loop {
        let Some(word) = line.peek_bare() else {
            return Err(line.expected("an operation"));
        };
        if !line.has_mark_after_next('=') {
            break word;
        }
        let at = line.at();
        line.skip();
        line.skip();
        if !line.is_joined() {
            return Err(line.expected(format_args!("the value of `{word}=` (without a blank)")));
        }
        let twice = match word {
            "as" => actor.replace(parse_actor(line)?).is_some(),
            "thread" => thread.replace(number(line, "a thread", 0, THREADS - 1)?).is_some(),
            _ => {
                let hint = did_you_mean(word, ["as", "thread"]);
                return Err(line.error(at, format!("expected `as=` or `thread=`, found `{word}=`{hint}")));
            }
        };
        if twice {
            return Err(line.error(at, format!("`{word}=` is written twice")));
        }
    };
    let at = line.at();
    line.skip();
    let Some(op) = parse_arguments(word, line)? else {
        let hint = did_you_mean(word, WORDS.iter().chain(also).copied());
        return Err(line.error(at, format!("unknown operation `{word}`{hint}")));
    };
    let expect = match at_result(line) && !line.is_joined() {
        true => {
            line.skip();
            if line.is_joined() {
                return Err(line.error(line.at(), "expected a blank here, after `=`"));
            }
            Some(parse_result(line)?)
        }
        false => None,
    };
    if !line.is_at_end() && !line.is_joined() && expect.is_none() {
        return Err(line.expected(format_args!("the end of the line (the form is `{} [= RESULT]`)", form(word))));
    }
    line.end()?;
    Ok(Step { actor: actor.unwrap_or_default(), thread: thread.unwrap_or(0), op, expect })
}

fn parse_actor(line: &mut Line<'_>) -> Result<Actor, ParseError> {
    let word = line.peek_bare();
    let found = Actor::NAMES.iter().find(|(_, name)| Some(*name) == word);
    let (actor, _) = found.ok_or_else(|| line.expected("an actor (root, bare, user, other)"))?;
    line.skip();
    Ok(*actor)
}

const RESULT: &str = "a result (ok, a count, \"data\", [names], an errno name)";

fn parse_result(line: &mut Line<'_>) -> Result<Expected, ParseError> {
    let word = match line.peek().map(|token| &token.kind) {
        Some(Kind::Quoted(_)) => return line.word("data").map(Expected::Bytes),
        Some(Kind::Bare("acl")) if line.has_mark_after_next(':') => {
            return xattr_value(line, "data").map(Expected::Bytes);
        }
        Some(Kind::Mark('[')) => {
            line.skip();
            return parse_names(line).map(Expected::Names);
        }
        Some(Kind::Bare(word)) => *word,
        _ => return Err(line.expected(RESULT)),
    };
    if word == "ok" {
        line.skip();
        Ok(Expected::Ok)
    } else if word.starts_with(|c: char| c.is_ascii_digit()) {
        number(line, "a count", 0, u64::MAX.into()).map(Expected::Count)
    } else if let Ok(errno) = word.parse::<Errno>() {
        line.skip();
        Ok(Expected::Errno(errno))
    } else {
        let hint = did_you_mean(word, std::iter::once("ok").chain(Errno::names()));
        Err(line.error(line.at(), format!("expected {RESULT}, found `{word}`{hint}")))
    }
}

fn parse_names(line: &mut Line<'_>) -> Result<Vec<Bytes>, ParseError> {
    let mut names = Vec::new();
    while !line.take_mark(']') {
        let at = line.at();
        let name = line.word("a name or `]`")?;
        if name.is_empty() || name.0.iter().any(|b| matches!(b, b'/' | 0)) {
            return Err(line.error(at, "a name is not empty and holds neither `/` nor NUL"));
        }
        names.push(name);
    }
    Ok(names)
}

/// The step as a line of a case.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actor != Actor::Root {
            let name = Actor::NAMES.iter().find(|(a, _)| *a == self.actor).map_or("", |(_, name)| name);
            write!(f, "as={name} ")?;
        }
        if self.thread != 0 {
            write!(f, "thread={} ", self.thread)?;
        }
        write!(f, "{}", self.op)?;
        match &self.expect {
            Some(expect) => write!(f, " = {expect}"),
            None => Ok(()),
        }
    }
}

/// The result as it stands after `=`.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Ok => f.write_str("ok"),
            Expected::Count(count) => write!(f, "{count}"),
            Expected::Bytes(data) => write!(f, "{}", ValueText(data)),
            Expected::Errno(errno) => write!(f, "{errno}"),
            Expected::Names(names) => {
                f.write_str("[")?;
                for (i, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if i == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}
