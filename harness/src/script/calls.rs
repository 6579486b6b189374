//! Steps as calls of the C library, for the script's Python: what it is called, with which arguments.
//!
//! A new operation is one line here. The match has no default, so the compiler asks for it; what a
//! script cannot do is refused by name.

use super::Refused;
use super::quote::py;
use crate::bytes::Bytes;
use crate::step::{NewTime, On, Op, Special};

/// `AT_FDCWD`, `AT_EMPTY_PATH` and others as Python constants of the helper.
const CWD: &str = "CWD";

/// The arguments of `step` that make the call: the kind of result, the function, its arguments.
pub(super) fn call_of(op: &Op) -> Result<String, Refused> {
    let path = |p: &Bytes| py(p.as_slice());
    let call = |result: &str, name: &str, arguments: &[String]| {
        let mut words = vec![format!("\"{result}\""), format!("\"{name}\"")];
        words.extend_from_slice(arguments);
        words.join(", ")
    };
    let unit = |name: &str, arguments: &[String]| call("unit", name, arguments);
    let slot = |s: &u8| format!("Slot({s})");
    let cwd = || CWD.to_owned();
    let octal = |mode: u32| format!("0o{mode:o}");
    Ok(match op {
        Op::Open { slot: s, path: p, flags, mode } => {
            let flags = flags.0 | libc::O_CLOEXEC;
            format!("\"open\", {s}, {}, 0o{flags:o}, {}", path(p), octal(*mode))
        }
        Op::Close { slot: s } => format!("\"close\", {s}"),
        Op::Read { slot: s, len } => call("data", "read", &[slot(s), format!("Buffer({len})"), len.to_string()]),
        Op::Write { slot: s, data } => call("count", "write", &[slot(s), path(data), data.len().to_string()]),
        Op::Truncate { path: p, len } => unit("truncate", &[path(p), len.to_string()]),
        Op::Fstat { slot: s } => format!("\"stat\", {}, b\"\", AT_EMPTY_PATH", slot(s)),
        Op::Mkdir { path: p, mode } => unit("mkdirat", &[cwd(), path(p), octal(*mode)]),
        Op::Rmdir { path: p } => unit("unlinkat", &[cwd(), path(p), "AT_REMOVEDIR".into()]),
        Op::Unlink { path: p } => unit("unlinkat", &[cwd(), path(p), "0".into()]),
        Op::Mknod { path: p, node, mode } => {
            let (kind, device) = match node {
                Special::Regular => ("S.S_IFREG", (0, 0)),
                Special::Fifo => ("S.S_IFIFO", (0, 0)),
                Special::Socket => ("S.S_IFSOCK", (0, 0)),
                Special::Char(d) => ("S.S_IFCHR", (d.major(), d.minor())),
                Special::Block(d) => ("S.S_IFBLK", (d.major(), d.minor())),
            };
            let mode = mode & !libc::S_IFMT;
            let device = format!("os.makedev({}, {})", device.0, device.1);
            unit("mknodat", &[cwd(), path(p), format!("{kind} | {}", octal(mode)), device])
        }
        Op::Symlink { target, path: p } => unit("symlinkat", &[path(target), cwd(), path(p)]),
        Op::Readlink { path: p } => call("data", "readlinkat", &[cwd(), path(p), "Buffer(4096)".into(), "4096".into()]),
        Op::Link { old, new } => unit("linkat", &[cwd(), path(old), cwd(), path(new), "0".into()]),
        Op::Rename { old, new, flags } => unit("renameat2", &[cwd(), path(old), cwd(), path(new), flags.0.to_string()]),
        Op::Chmod { path: p, mode } => unit("chmod", &[path(p), octal(*mode)]),
        Op::Stat { path: p } => format!("\"stat\", CWD, {}, 0", path(p)),
        Op::Lstat { path: p } => format!("\"stat\", CWD, {}, AT_SYMLINK_NOFOLLOW", path(p)),
        Op::List { path: p } => format!("\"list\", {}", path(p)),
        Op::Pread { slot: s, len, offset } => {
            call("data", "pread", &[slot(s), format!("Buffer({len})"), len.to_string(), offset.to_string()])
        }
        Op::Pwrite { slot: s, data, offset } => {
            call("count", "pwrite", &[slot(s), path(data), data.len().to_string(), offset.to_string()])
        }
        Op::Lseek { slot: s, offset, whence } => {
            call("count", "lseek", &[slot(s), offset.to_string(), whence.number().to_string()])
        }
        Op::Ftruncate { slot: s, len } => unit("ftruncate", &[slot(s), len.to_string()]),
        Op::Fsync { slot: s } => unit("fsync", &[slot(s)]),
        Op::Fdatasync { slot: s } => unit("fdatasync", &[slot(s)]),
        Op::Getdents { slot: s, size } => format!("\"getdents\", {}, {size}", slot(s)),
        Op::Getdents64 { slot: s, size } => format!("\"getdents64\", {s}, {size}"),
        Op::Seekdir { slot: s, entry } => format!("\"seekdir\", {s}, {entry}"),
        Op::Fchmod { slot: s, mode } => unit("fchmod", &[slot(s), octal(*mode)]),
        Op::Chown { on, uid, gid } => {
            // -1 leaves one as it is, and is what the kernel calls it, too.
            let ids = [uid.to_string(), gid.to_string()];
            match on {
                On::Path(p) => unit("fchownat", &[&[cwd(), path(p)], &ids[..], &["0".into()]].concat()),
                On::Link(p) => {
                    unit("fchownat", &[&[cwd(), path(p)], &ids[..], &["AT_SYMLINK_NOFOLLOW".into()]].concat())
                }
                On::Slot(s) => unit("fchown", &[&[slot(s)], &ids[..]].concat()),
            }
        }
        Op::Utimens { on, atime, mtime } => {
            let time = |t: &NewTime| match t {
                NewTime::Now => format!("(0, {})", libc::UTIME_NOW),
                NewTime::Omit => format!("(0, {})", libc::UTIME_OMIT),
                NewTime::At(t) => format!("({}, {})", t.sec, t.nsec),
            };
            let times = format!("Times({}, {})", time(atime), time(mtime));
            match on {
                On::Path(p) => unit("utimensat", &[cwd(), path(p), times, "0".into()]),
                On::Link(p) => unit("utimensat", &[cwd(), path(p), times, "AT_SYMLINK_NOFOLLOW".into()]),
                // The C library's futimens makes the same call, but looks at the descriptor first.
                On::Slot(s) => unit("futimens", &[slot(s), times]),
            }
        }
        Op::SetXattr { on, name, value, flags } => {
            let (function, of) = xattr(on, ["setxattr", "lsetxattr", "fsetxattr"]);
            unit(function, &[of, full(name), path(value), value.len().to_string(), flags.0.to_string()])
        }
        Op::GetXattr { on, name, size } => {
            let (function, of) = xattr(on, ["getxattr", "lgetxattr", "fgetxattr"]);
            let result = if *size == 0 { "count" } else { "data" };
            call(result, function, &[of, full(name), format!("Buffer({size})"), size.to_string()])
        }
        Op::ListXattr { on, size } => {
            let (function, of) = xattr(on, ["listxattr", "llistxattr", "flistxattr"]);
            let result = if *size == 0 { "count" } else { "names" };
            call(result, function, &[of, format!("Buffer({size})"), size.to_string()])
        }
        Op::RemoveXattr { on, name } => {
            let (function, of) = xattr(on, ["removexattr", "lremovexattr", "fremovexattr"]);
            unit(function, &[of, full(name)])
        }
        Op::Access { path: p, mode } => unit("access", &[path(p), octal(*mode)]),
        Op::Readv { slot: s, lens } => {
            let buffers: Vec<String> = lens.iter().map(|len| format!("Buffer({len})")).collect();
            call("vector", "readv", &[slot(s), format!("[{}]", buffers.join(", "))])
        }
        Op::Writev { slot: s, parts } => {
            let parts: Vec<String> = parts.iter().map(path).collect();
            call("count", "writev", &[slot(s), format!("[{}]", parts.join(", "))])
        }
        Op::Dup { slot: s, to } => format!("\"dup\", {s}, {to}"),
        // The C library's functions of these names do more than the call, or are younger than it.
        Op::Faccessat { path: p, mode, flags } => {
            unit("syscall", &["439".into(), cwd(), path(p), octal(*mode), flags.0.to_string()])
        }
        Op::Fchmodat { path: p, mode, flags } => {
            unit("syscall", &["452".into(), cwd(), path(p), octal(*mode), flags.0.to_string()])
        }
        Op::Linkat { old, new, flags } => unit("linkat", &[cwd(), path(old), cwd(), path(new), flags.0.to_string()]),
        Op::Flink { slot: s, new } => {
            unit("linkat", &[slot(s), "b\"\"".into(), cwd(), path(new), "AT_EMPTY_PATH".into()])
        }
        Op::Statfs { path: p } => call("filesystem", "statfs", &[path(p), "Buffer(256)".into()]),
        Op::Fstatfs { slot: s } => call("filesystem", "fstatfs", &[slot(s), "Buffer(256)".into()]),
        Op::Syncfs { slot: s } => unit("syncfs", &[slot(s)]),
        Op::Chdir { path: p } => unit("chdir", &[path(p)]),
        Op::Fchdir { slot: s } => unit("fchdir", &[slot(s)]),
        Op::Getcwd => "\"getcwd\"".to_owned(),
        Op::CopyFileRange { from, from_at, to, to_at, len } => call(
            "count",
            "copy_file_range",
            &[slot(from), offset(*from_at), slot(to), offset(*to_at), len.to_string(), "0".into()],
        ),
        Op::Sendfile { to, from, from_at, len } => {
            call("count", "sendfile", &[slot(to), slot(from), offset(*from_at), len.to_string()])
        }
        Op::Fallocate { slot: s, offset, len, mode } => {
            unit("fallocate", &[slot(s), mode.0.to_string(), offset.to_string(), len.to_string()])
        }
        Op::Getflags { slot: s } => format!("\"getflags\", {}", slot(s)),
        Op::Setflags { slot: s, flags } => format!("\"setflags\", {}, {}", slot(s), flags.0),
        Op::Setfl { slot: s, flags } => {
            unit("fcntl", &[slot(s), libc::F_SETFL.to_string(), format!("0o{:o}", flags.0)])
        }
        Op::Umask { mode } => format!("\"umask\", {}", octal(*mode)),
        Op::Remount => "\"remount\"".to_owned(),
        Op::Rotate => "\"rotate\"".to_owned(),
        Op::DropCaches => "\"drop_caches\"".to_owned(),
        Op::TryMount { .. } => return Err(Refused::new("a script does not try other mounts".to_owned())),
        Op::Observe => "\"observe\"".to_owned(),
    })
}

/// An offset that a call takes by its address, null for the file's own position.
fn offset(at: Option<i64>) -> String {
    at.map_or("None".to_owned(), |at| format!("Offset({at})"))
}

/// One of three functions: for a path, for the link itself, for a slot; and what it is about.
fn xattr(on: &On, names: [&'static str; 3]) -> (&'static str, String) {
    match on {
        On::Path(p) => (names[0], py(p.as_slice())),
        On::Link(p) => (names[1], py(p.as_slice())),
        On::Slot(s) => (names[2], format!("Slot({s})")),
    }
}

/// The full name of an xattr: `@x` has the private prefix in force.
fn full(name: &Bytes) -> String {
    match name.strip_prefix(b"@") {
        Some(rest) => format!("PREFIX + {}", py(rest)),
        None => py(name.as_slice()),
    }
}
