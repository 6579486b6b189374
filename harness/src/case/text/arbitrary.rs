//! Arbitrary cases for the properties of the language: every value the types allow and the language
//! can hold, with names that look like its own words.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::acl::{Acl, Tag};
use crate::bytes::Bytes;
use crate::case::{
    Case, Entry, ExpectedEntry, ExpectedKind, ExpectedTree, Layer, MAX_FILESYSTEMS, MAX_LOWERS, Node, NodeKind,
};
use crate::errno::Errno;
use crate::step::{
    Actor, AtFlags, Device, Expected, FallocateMode, InodeFlags, NewTime, On, Op, OpenFlags, RenameFlags, SLOTS,
    Special, StatusFlags, Step, Whence, XattrFlags,
};
use crate::trace::{Side, Time};

/// Names of one directory entry, nasty ones among them.
pub(super) fn name() -> impl Strategy<Value = Bytes> {
    let words = select(vec![
        "a",
        "b",
        "d",
        "opaque",
        "->",
        "=",
        "[",
        "]",
        "nlink=1",
        "absent",
        "uid=1",
        "0644",
        "1:3",
        "dir",
        "file",
        "link",
        "lower",
        "upper",
        "steps",
        "expect",
        "case",
        "#a",
        "# a",
        "a#b",
        "@",
        "@opaque",
        "@@",
        "a b",
        " ",
        "\n",
        "\t",
        "\r",
        "\"",
        "\\",
        "\\x41",
        "é",
        "...",
        ".x",
        "-",
        "*",
        "a*3",
        "|",
        "?",
        "=?",
        "~",
        "x.y",
        "ok",
        "ENOENT",
        "exact",
        "O_RDWR|O_CREAT",
        "RENAME_EXCHANGE",
        "as=root",
        "thread",
        "user.a=b",
        "{",
        "$",
    ]);
    prop_oneof![
        6 => words.prop_map(Bytes::from),
        2 => vec(any::<u8>().prop_map(|b| if matches!(b, 0 | b'/') { 0xff } else { b }), 1..20)
            .prop_filter("reserved", |n| n != b"." && n != b"..").prop_map(Bytes::from),
        1 => (select(vec![b'a', b'"', b'\\', b' ', b'@', 0x80]), select(vec![16, 17, 254, 255]))
            .prop_map(|(b, n)| Bytes::from(vec![b; n])),
    ]
}

/// Clean relative paths.
fn clean_path() -> impl Strategy<Value = Bytes> {
    vec(name(), 1..4).prop_map(|names| Bytes::from(names.iter().map(Bytes::as_slice).collect::<Vec<_>>().join(&b'/')))
}

/// Paths as a system call may get them.
fn raw_path() -> impl Strategy<Value = Bytes> {
    let words = select(vec!["", ".", "..", "/", "//", "a//b/", "/d/../x", "./a", "d/"]);
    prop_oneof![
        4 => clean_path(),
        2 => words.prop_map(Bytes::from),
        1 => (select(vec![b'a', b'/', 0xfe]), select(vec![1usize, 256, 4095, 5000])).prop_map(|(b, n)| Bytes::from(vec![b; n])),
        1 => vec(1u8.., 0..60).prop_map(Bytes::from),
    ]
}

fn data() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        (any::<u8>(), 0usize..6000).prop_map(|(b, n)| Bytes::from(vec![b; n])),
        vec((select(vec![b'a', 0, 0xfe]), 0usize..40), 0..6)
            .prop_map(|runs| runs.into_iter().flat_map(|(b, n)| vec![b; n]).collect()),
        name(),
    ]
}

fn device() -> impl Strategy<Value = Device> {
    prop_oneof![
        select(vec![Device::NULL, Device::ZERO, Device::FULL, Device::WHITEOUT]),
        (0u32..256).prop_map(|minor| Device::new(0, minor).expect("listed")),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), prop_oneof![Just(0), Just(1), Just(500_000_000), 0u32..1_000_000_000])
        .prop_map(|(sec, nsec)| Time { sec, nsec })
}

fn mode() -> impl Strategy<Value = u16> {
    0u16..0o10000
}

fn xattr_name() -> impl Strategy<Value = Bytes> {
    let words =
        select(vec!["@opaque", "@origin", "@", "user.x", "user.a b", "uid", "opaque", "0644", "0.5", "x", ".a"]);
    prop_oneof![words.prop_map(Bytes::from), name()]
}

fn xattr_value() -> impl Strategy<Value = Bytes> {
    let tag = prop_oneof![
        select(vec![Tag::Owner, Tag::OwningGroup, Tag::Mask, Tag::Other]),
        (0..u32::MAX).prop_map(Tag::User),
        (0..u32::MAX).prop_map(Tag::Group),
    ];
    let acl = vec((tag, 0u16..8), 1..7).prop_map(|entries| Acl(entries).encode());
    let acl = (acl, 0usize..40).prop_map(|(acl, odd)| match acl.0.get(odd) {
        // Almost a list.
        Some(_) if odd % 4 == 0 => acl.0.iter().enumerate().map(|(i, b)| if i == odd { b ^ 8 } else { *b }).collect(),
        _ => acl,
    });
    prop_oneof![Just(Bytes::from("y")), data(), acl]
}

fn unique<T, K: std::hash::Hash + Eq>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    items.into_iter().filter(|item| seen.insert(key(item))).collect()
}

fn node() -> impl Strategy<Value = Node> {
    let target = raw_path().prop_filter("empty", |t| !t.is_empty());
    let kind = prop_oneof![
        4 => Just(NodeKind::Dir),
        2 => data().prop_map(NodeKind::File),
        1 => target.prop_map(NodeKind::Symlink),
        1 => Just(NodeKind::Fifo),
        1 => Just(NodeKind::Socket),
        1 => device().prop_map(NodeKind::Char),
        1 => device().prop_map(NodeKind::Block),
    ];
    let xattrs = vec((xattr_name(), xattr_value()), 0..3);
    let owner = (prop_oneof![Just(0), any::<u32>()], prop_oneof![Just(0), any::<u32>()]);
    let rest = (option::of(mode()), owner, option::of(time()), any::<bool>());
    (kind, rest, xattrs).prop_map(|(kind, (mode, (uid, gid), time, sparse), xattrs)| {
        let mut node = Node::new(kind);
        node.sparse = sparse && matches!(node.kind, NodeKind::File(_));
        if !matches!(node.kind, NodeKind::Symlink(_)) {
            node.mode = mode.unwrap_or(node.mode);
        }
        node.time = time.unwrap_or(node.time);
        Node { uid, gid, xattrs: unique(xattrs, |(name, _)| name.clone()), ..node }
    })
}

/// Layers with any entries, also such as mean nothing.
pub(super) fn tolerant_layer() -> impl Strategy<Value = Layer> {
    let path = prop_oneof![1 => Just(Bytes::default()), 9 => clean_path(), 9 => select(vec!["a", "a/b", "d", "d/a"]).prop_map(Bytes::from)];
    let link =
        (clean_path(), clean_path()).prop_map(|(path, target)| Entry { path, node: Node::new(NodeKind::Link(target)) });
    let entry = prop_oneof![5 => (path, node()).prop_map(|(path, node)| Entry { path, node }), 1 => link];
    let links = vec((any::<prop::sample::Index>(), clean_path()), 0..3);
    (vec(entry, 0..8), links).prop_map(|(mut entries, links)| {
        for (index, path) in links {
            if !entries.is_empty() {
                let target = index.get(&entries).path.clone();
                entries.push(Entry { path, node: Node::new(NodeKind::Link(target)) });
            }
        }
        Layer { entries, on: 0 }
    })
}

/// Layers without entries that mean nothing.
fn layer() -> impl Strategy<Value = Layer> {
    tolerant_layer().prop_map(|layer| {
        let entries = super::entry::effective_entries(&layer).into_iter().map(|e| e.into_owned()).collect();
        Layer { entries, on: 0 }
    })
}

fn open_flags() -> impl Strategy<Value = OpenFlags> {
    (0..4, any::<u16>()).prop_map(|(access, bits)| {
        let named = OpenFlags::NAMES.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0);
        OpenFlags(named.fold(access, |flags, (_, (bit, _))| flags | bit))
    })
}

fn at_flags(bits: u32) -> AtFlags {
    let named = AtFlags::NAMES.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0);
    AtFlags(named.fold(0, |flags, (_, (bit, _))| flags | bit))
}

/// What an attribute call of this name is about.
fn on(name: &str, path: Bytes, slot: u8) -> On {
    match name.as_bytes()[0] {
        b'l' if name != "listxattr" => On::Link(path),
        b'f' => On::Slot(slot),
        _ => On::Path(path),
    }
}

fn op() -> impl Strategy<Value = Op> {
    let special = prop_oneof![
        Just(Special::Regular),
        Just(Special::Fifo),
        Just(Special::Socket),
        device().prop_map(Special::Char),
        device().prop_map(Special::Block),
    ];
    let rename_flags = (0u32..8).prop_map(RenameFlags);
    let len = prop_oneof![any::<i64>(), 0i64..10];
    let arguments = (
        (0..SLOTS as u8, raw_path(), raw_path(), data()),
        (open_flags(), rename_flags, special, mode().prop_map(u32::from), any::<u32>(), len),
    );
    (0..Op::ALL.len(), arguments).prop_map(
        |(which, ((slot, path, new, data), (flags, how, node, mode, count, len)))| match Op::ALL[which] {
            "open" => Op::Open { slot, path, flags, mode },
            "close" => Op::Close { slot },
            "read" => Op::Read { slot, len: count },
            "write" => Op::Write { slot, data },
            "truncate" => Op::Truncate { path, len },
            "fstat" => Op::Fstat { slot },
            "mkdir" => Op::Mkdir { path, mode },
            "rmdir" => Op::Rmdir { path },
            "mknod" => Op::Mknod { path, node, mode },
            "symlink" => Op::Symlink { target: new, path },
            "readlink" => Op::Readlink { path },
            "link" => Op::Link { old: path, new },
            "unlink" => Op::Unlink { path },
            "rename" => Op::Rename { old: path, new, flags: how },
            "chmod" => Op::Chmod { path, mode },
            "stat" => Op::Stat { path },
            "lstat" => Op::Lstat { path },
            "list" => Op::List { path },
            "pread" => Op::Pread { slot, len: count, offset: len },
            "pwrite" => Op::Pwrite { slot, data, offset: len },
            "lseek" => Op::Lseek { slot, offset: len, whence: Whence::NAMES[count as usize % Whence::NAMES.len()].0 },
            "ftruncate" => Op::Ftruncate { slot, len },
            "fsync" => Op::Fsync { slot },
            "fdatasync" => Op::Fdatasync { slot },
            "getdents" => Op::Getdents { slot, size: 280 + count % 70_000 },
            "getdents64" => Op::Getdents64 { slot, size: count % (1 << 20) },
            "seekdir" => Op::Seekdir { slot, entry: count % 1000 },
            "fchmod" => Op::Fchmod { slot, mode },
            "access" => Op::Access { path, mode },
            "readv" => Op::Readv { slot, lens: vec![count % (1 << 20); mode as usize % 4] },
            "writev" => Op::Writev { slot, parts: [data, new].into_iter().take(mode as usize % 3).collect() },
            "dup" => Op::Dup { slot, to: (count % 10) as u8 },
            "faccessat2" => Op::Faccessat { path, mode, flags: at_flags(count) },
            "fchmodat2" => Op::Fchmodat { path, mode, flags: at_flags(count) },
            "linkat" => Op::Linkat { old: path, new, flags: at_flags(count) },
            "flink" => Op::Flink { slot, new },
            "statfs" => Op::Statfs { path },
            "fstatfs" => Op::Fstatfs { slot },
            "syncfs" => Op::Syncfs { slot },
            "chdir" => Op::Chdir { path },
            "fchdir" => Op::Fchdir { slot },
            "getcwd" => Op::Getcwd,
            "copy_file_range" => {
                let (from_at, to_at) = ((mode % 2 == 0).then_some(len), (mode % 3 == 0).then_some(i64::from(count)));
                Op::CopyFileRange { from: slot, from_at, to: (count % 10) as u8, to_at, len: count }
            }
            "sendfile" => {
                Op::Sendfile { to: slot, from: (count % 10) as u8, from_at: (mode % 2 == 0).then_some(len), len: count }
            }
            "fallocate" => {
                let named = FallocateMode::NAMES.iter().enumerate().filter(|(i, _)| count & (1 << i) != 0);
                let mode = FallocateMode(named.fold(0, |flags, (_, (bit, _))| flags | bit));
                Op::Fallocate { slot, offset: len.min(1 << 24), len: i64::from(count % 5000) - 10, mode }
            }
            "getflags" => Op::Getflags { slot },
            "setflags" => {
                let named = InodeFlags::NAMES.iter().enumerate().filter(|(i, _)| count & (1 << i) != 0);
                Op::Setflags { slot, flags: InodeFlags(named.fold(0, |flags, (_, (bit, _))| flags | bit)) }
            }
            "setfl" => {
                let named = StatusFlags::NAMES.iter().enumerate().filter(|(i, _)| count & (1 << i) != 0);
                Op::Setfl { slot, flags: StatusFlags(named.fold(0, |flags, (_, (bit, _))| flags | bit)) }
            }
            "umask" => Op::Umask { mode },
            "chown" | "lchown" | "fchown" => {
                Op::Chown { on: on(Op::ALL[which], path, slot), uid: i64::from(count % 2000) - 1, gid: -1 }
            }
            "utimens" | "lutimens" | "futimens" => {
                let at = NewTime::At(Time { sec: len / 2, nsec: count % 1_000_000_000 });
                let mtime = [NewTime::Now, NewTime::Omit, at][count as usize % 3];
                Op::Utimens { on: on(Op::ALL[which], path, slot), atime: at, mtime }
            }
            "setxattr" | "lsetxattr" | "fsetxattr" => Op::SetXattr {
                on: on(Op::ALL[which], path, slot),
                name: new,
                value: data,
                flags: XattrFlags((count % 4) as i32),
            },
            "getxattr" | "lgetxattr" | "fgetxattr" => {
                Op::GetXattr { on: on(Op::ALL[which], path, slot), name: new, size: count }
            }
            "listxattr" | "llistxattr" | "flistxattr" => {
                Op::ListXattr { on: on(Op::ALL[which], path, slot), size: count }
            }
            "removexattr" | "lremovexattr" | "fremovexattr" => {
                Op::RemoveXattr { on: on(Op::ALL[which], path, slot), name: new }
            }
            "remount" => Op::Remount,
            "rotate" => Op::Rotate,
            "drop-caches" => Op::DropCaches,
            "try-mount" => {
                let words = ["lowerdir=a:b", "upperdir=u", "workdir=w/in", "lowerdir+=x:y", "index=on", "userxattr"];
                let asked = words.iter().enumerate().filter(|(i, _)| count & (1 << i) != 0);
                Op::TryMount { options: asked.map(|(_, word)| Bytes::from(*word)).collect() }
            }
            "observe" => Op::Observe,
            other => panic!("no arbitrary values for operation {other}"),
        },
    )
}

/// Steps.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let expect = prop_oneof![
        Just(Expected::Ok),
        any::<u64>().prop_map(Expected::Count),
        data().prop_map(Expected::Bytes),
        vec(name(), 0..4).prop_map(Expected::Names),
        (1i32..4096).prop_map(|n| Expected::Errno(Errno(n))),
    ];
    let actor = (0..Actor::NAMES.len()).prop_map(|at| Actor::NAMES[at].0);
    (op(), actor, option::of(expect)).prop_map(|(op, actor, expect)| {
        let actor = if op.is_environment() { Actor::Root } else { actor };
        Step { actor, thread: 0, op, expect }
    })
}

fn expected_entry() -> impl Strategy<Value = ExpectedEntry> {
    let target = raw_path().prop_filter("empty", |t| !t.is_empty());
    let kind = prop_oneof![
        Just(ExpectedKind::Dir),
        option::of(data()).prop_map(ExpectedKind::File),
        option::of(target).prop_map(ExpectedKind::Symlink),
        Just(ExpectedKind::Fifo),
        Just(ExpectedKind::Socket),
        option::of(device()).prop_map(ExpectedKind::Char),
        option::of(device()).prop_map(ExpectedKind::Block),
        Just(ExpectedKind::Whiteout),
    ];
    let path = prop_oneof![1 => Just(Bytes::default()), 9 => clean_path()];
    let xattrs = vec((xattr_name(), option::of(xattr_value())), 0..3);
    let numbers = (option::of(mode()), option::of(any::<(u32, u32)>()), option::of(any::<u32>()), option::of(time()));
    (path, option::weighted(0.9, kind), numbers, xattrs).prop_map(
        |(path, kind, (mode, owner, nlink, mtime), xattrs)| {
            let absent =
                ExpectedEntry { path, kind, mode: None, owner: None, nlink: None, mtime: None, xattrs: Vec::new() };
            match &absent.kind {
                None => absent,
                Some(kind) => {
                    let mode = if matches!(kind, ExpectedKind::Symlink(_)) { mode.map(|_| 0o777) } else { mode };
                    ExpectedEntry {
                        mode,
                        owner,
                        nlink,
                        mtime,
                        xattrs: unique(xattrs, |(name, _)| name.clone()),
                        ..absent
                    }
                }
            }
        },
    )
}

fn expected_tree() -> impl Strategy<Value = ExpectedTree> {
    let side = select(vec![Side::Merged, Side::Upper, Side::Work]);
    (side, any::<bool>(), vec(expected_entry(), 0..5)).prop_map(|(side, exact, entries)| ExpectedTree {
        side,
        exact,
        entries: unique(entries, |entry| entry.path.clone()),
    })
}

fn case_of<L: Strategy<Value = Layer>>(layer: impl Fn() -> L) -> impl Strategy<Value = Case> {
    let text = || prop_oneof!["[ -~]{1,30}", any::<String>().prop_map(|s| s.replace('\0', "")), "[a-z]+=[a-z:0-9]+"];
    let option = text().prop_filter("empty", |o| !o.is_empty());
    let title = prop_oneof![Just(String::new()), text(), Just("x".repeat(30)), Just("Größe \u{202e}\n".to_owned())];
    let lower = (layer(), 0..MAX_FILESYSTEMS as u8).prop_map(|(layer, on)| Layer { on, ..layer });
    let lowers = vec(lower, 1..=MAX_LOWERS);
    (title, vec(option, 0..3), lowers, layer(), vec(step(), 1..12), vec(expected_tree(), 0..3)).prop_map(
        |(title, options, lowers, upper, steps, expect)| Case { title, options, lowers, upper, steps, expect },
    )
}

/// Cases as a file may hold them.
pub(super) fn case() -> impl Strategy<Value = Case> {
    case_of(layer)
}

/// Cases with layers of any entries.
pub(super) fn tolerant_case() -> impl Strategy<Value = Case> {
    case_of(tolerant_layer)
}
