//! The steps of the enumeration, the names they are about, and how names may be exchanged.

use crate::bytes::Bytes;
use crate::model::Renaming;
use crate::step::{Op, OpenFlags, RenameFlags, Special};

/// Exchanges of names that turn each step of the alphabet into one of the alphabet. The first changes nothing.
pub(super) const SYMMETRIES: [&Renaming; 4] = [&[], &[("a", "b")], &[("x", "y")], &[("a", "b"), ("x", "y")]];

/// All paths: two directories or files, and two names in each.
pub(super) const PATHS: [&str; 6] = ["a", "b", "a/x", "a/y", "b/x", "b/y"];

/// Ordered pairs for rename and link: within a directory, into another, up, and down.
const PAIRS: [(&str, &str); 18] = [
    ("a", "b"),
    ("b", "a"),
    ("a/x", "a/y"),
    ("a/y", "a/x"),
    ("b/x", "b/y"),
    ("b/y", "b/x"),
    ("a/x", "b/x"),
    ("b/x", "a/x"),
    ("a/y", "b/y"),
    ("b/y", "a/y"),
    ("a/x", "b"),
    ("a/y", "b"),
    ("b/x", "a"),
    ("b/y", "a"),
    ("b", "a/x"),
    ("b", "a/y"),
    ("a", "b/x"),
    ("a", "b/y"),
];

/// Pairs for RENAME_EXCHANGE, which is the same both ways.
const EXCHANGES: [(&str, &str); 9] = [
    ("a", "b"),
    ("a/x", "a/y"),
    ("b/x", "b/y"),
    ("a/x", "b/x"),
    ("a/y", "b/y"),
    ("a/x", "b"),
    ("a/y", "b"),
    ("a", "b/x"),
    ("a", "b/y"),
];

/// The steps, and what each becomes when names are exchanged.
#[derive(Clone, Debug)]
pub struct Alphabet {
    /// The steps.
    pub ops: Vec<Op>,
    /// For each exchange of names: the index of what each step becomes.
    pub(super) images: Vec<Vec<usize>>,
}

impl Default for Alphabet {
    fn default() -> Alphabet {
        let ops = ops();
        let images = SYMMETRIES.iter().map(|s| ops.iter().map(|op| image(&ops, op, s)).collect()).collect();
        Alphabet { ops, images }
    }
}

impl Alphabet {
    /// The operations, each once.
    pub fn operations(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for op in &self.ops {
            if !names.contains(&op.name()) {
                names.push(op.name());
            }
        }
        names
    }
}

fn ops() -> Vec<Op> {
    let at = |path: &str| Bytes::from(path);
    let mut ops = Vec::new();
    for path in PATHS.map(at) {
        ops.push(Op::Mkdir { path: path.clone(), mode: 0o755 });
        ops.push(Op::Mknod { path: path.clone(), node: Special::Regular, mode: 0o644 });
        ops.push(Op::Unlink { path: path.clone() });
        ops.push(Op::Rmdir { path: path.clone() });
        ops.push(Op::Chmod { path: path.clone(), mode: 0o711 });
        ops.push(Op::Truncate { path, len: 1 });
    }
    for (old, new) in PAIRS {
        ops.push(Op::Rename { old: at(old), new: at(new), flags: RenameFlags(0) });
    }
    for (old, new) in PAIRS {
        ops.push(Op::Link { old: at(old), new: at(new) });
    }
    for (old, new) in EXCHANGES {
        ops.push(Op::Rename { old: at(old), new: at(new), flags: RenameFlags(libc::RENAME_EXCHANGE) });
    }
    for path in ["a", "b"].map(at) {
        ops.push(Op::List { path: path.clone() });
        ops.push(Op::Open { slot: 0, path: path.clone(), flags: OpenFlags(libc::O_RDWR), mode: 0 });
        ops.push(Op::Open { slot: 1, path, flags: OpenFlags(libc::O_RDONLY), mode: 0 });
    }
    ops.push(Op::List { path: at(".") });
    ops.push(Op::Write { slot: 0, data: at("w") });
    ops.push(Op::Fchmod { slot: 1, mode: 0o711 });
    ops.push(Op::Getdents { slot: 1, size: 4096 });
    ops.extend([Op::Remount, Op::DropCaches, Op::Rotate]);
    ops
}

/// A path with names exchanged.
pub(super) fn renamed(path: &Bytes, renaming: &Renaming) -> Bytes {
    let part = |name: &[u8]| -> Vec<u8> {
        let other = renaming.iter().find_map(|(a, b)| match name {
            n if n == a.as_bytes() => Some(b),
            n if n == b.as_bytes() => Some(a),
            _ => None,
        });
        other.map_or(name.to_vec(), |n| n.as_bytes().to_vec())
    };
    Bytes::from(path.0.split(|&c| c == b'/').map(part).collect::<Vec<_>>().join(&b'/'))
}

fn image(ops: &[Op], op: &Op, renaming: &Renaming) -> usize {
    let path = |p: &Bytes| renamed(p, renaming);
    let other = match op {
        Op::Mkdir { path: p, mode } => Op::Mkdir { path: path(p), mode: *mode },
        Op::Mknod { path: p, node, mode } => Op::Mknod { path: path(p), node: *node, mode: *mode },
        Op::Unlink { path: p } => Op::Unlink { path: path(p) },
        Op::Rmdir { path: p } => Op::Rmdir { path: path(p) },
        Op::Chmod { path: p, mode } => Op::Chmod { path: path(p), mode: *mode },
        Op::Truncate { path: p, len } => Op::Truncate { path: path(p), len: *len },
        Op::List { path: p } => Op::List { path: path(p) },
        Op::Open { slot, path: p, flags, mode } => Op::Open { slot: *slot, path: path(p), flags: *flags, mode: *mode },
        Op::Link { old, new } => Op::Link { old: path(old), new: path(new) },
        Op::Rename { old, new, flags } => {
            let (old, new) = (path(old), path(new));
            // An exchange is the same both ways; it is written in one.
            let turn = flags.has(libc::RENAME_EXCHANGE) && old > new;
            let (old, new) = if turn { (new, old) } else { (old, new) };
            Op::Rename { old, new, flags: *flags }
        }
        other => other.clone(),
    };
    ops.iter().position(|o| *o == other).unwrap_or(usize::MAX)
}
