//! How large a case is. Every candidate is strictly smaller than the best case, so shrinking ends.

use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Write};
use std::hash::Hasher;

use crate::bytes::Bytes;
use crate::case::{Case, LAYER_TIME, Layer, Node, NodeKind};
use crate::step::{Actor, Op, Special, Step};

/// The size of a case: layers, options, steps and entries weigh most, then what they say.
pub(super) fn weight(case: &Case) -> u64 {
    let layers = case.lowers.iter().chain([&case.upper]).map(layer).sum::<u64>();
    let trees: u64 = case.expect.iter().map(|tree| 500 + 100 * tree.entries.len() as u64).sum();
    let options = 600 * case.options.len() as u64;
    layers + trees + options + 900 * case.lowers.len() as u64 + case.steps.iter().map(step).sum::<u64>()
}

fn layer(layer: &Layer) -> u64 {
    let entries: u64 = layer.entries.iter().map(|entry| 1000 + path(&entry.path) + node(&entry.node)).sum();
    entries + 200 * u64::from(layer.on)
}

fn node(node: &Node) -> u64 {
    let kind = match &node.kind {
        NodeKind::File(bytes) => data(bytes),
        NodeKind::Dir => 20,
        NodeKind::Symlink(target) => 30 + path(target),
        NodeKind::Link(to) => 30 + path(to),
        NodeKind::Fifo | NodeKind::Socket => 40,
        NodeKind::Char(_) if node.is_whiteout() => 20,
        NodeKind::Char(_) | NodeKind::Block(_) => 50,
    };
    let default = Node::new(node.kind.clone());
    let odd = [node.sparse, node.mode != default.mode, node.uid != 0, node.gid != 0, node.time != LAYER_TIME];
    kind + 10 * odd.iter().filter(|odd| **odd).count() as u64 + 100 * node.xattrs.len() as u64
}

fn step(step: &Step) -> u64 {
    let paths: u64 = step.op.paths().into_iter().flatten().map(path).sum();
    let slot = step.op.slot().map_or(0, u64::from);
    let arguments = match &step.op {
        Op::Open { flags, mode, .. } => {
            let access = (flags.0 & libc::O_ACCMODE) as u64;
            let rest = u64::from((flags.0 & !libc::O_ACCMODE).count_ones());
            let default = if flags.creates() { 0o644 } else { 0 };
            5 * access + 20 * rest + odd_mode(*mode, default)
        }
        Op::Read { len, .. } => u64::from(*len).min(10_000),
        Op::Write { data: bytes, .. } => data(bytes),
        Op::Truncate { len, .. } => len.unsigned_abs().min(1_000_000),
        Op::Mkdir { mode, .. } => odd_mode(*mode, 0o755),
        Op::Mknod { node, mode, .. } => {
            let kind = match node {
                Special::Regular => 0,
                Special::Fifo | Special::Socket => 10,
                Special::Char(_) | Special::Block(_) => 20,
            };
            kind + odd_mode(*mode, 0o644)
        }
        Op::Symlink { target, .. } => path(target),
        Op::Rename { flags, .. } => 20 * u64::from(flags.0.count_ones()),
        Op::Chmod { mode, .. } => odd_mode(*mode, 0o600),
        // Dearer than the calls that they can become.
        Op::Readv { lens, .. } => 50 + lens.iter().map(|len| 10 + u64::from(*len).min(10_000)).sum::<u64>(),
        Op::Writev { parts, .. } => 50 + parts.iter().map(|part| 10 + data(part)).sum::<u64>(),
        Op::TryMount { options } => options.iter().map(|option| 50 + option.len() as u64).sum(),
        Op::Faccessat { flags, .. } | Op::Linkat { flags, .. } => 50 + 20 * u64::from(flags.0.count_ones()),
        Op::Fchmodat { mode, flags, .. } => 50 + odd_mode(*mode, 0o600) + 20 * u64::from(flags.0.count_ones()),
        Op::CopyFileRange { from_at, to_at, to, len, .. } => {
            let places = [*from_at, *to_at].into_iter().flatten();
            100 + places.map(|at| 20 + at.unsigned_abs().min(100_000)).sum::<u64>()
                + u64::from(*len)
                + 2 * u64::from(*to)
        }
        Op::Fallocate { offset, len, mode, .. } => {
            let bytes = offset.unsigned_abs().min(100_000) + len.unsigned_abs().min(100_000);
            bytes + 20 * u64::from(mode.0.count_ones())
        }
        Op::Sendfile { from_at, len, .. } => {
            80 + from_at.map_or(0, |at| 20 + at.unsigned_abs().min(100_000)) + u64::from(*len)
        }
        _ => 0,
    };
    let asserted = if step.expect.is_some() { 50 } else { 0 };
    let acted = if step.actor == Actor::Root { 0 } else { 30 };
    2000 + paths + 2 * slot + arguments + asserted + acted + u64::from(step.thread)
}

fn odd_mode(mode: u32, default: u32) -> u64 {
    if mode == default { 0 } else { 5 }
}

/// Short data of plain bytes is best; the first byte decides what is plain.
fn data(bytes: &Bytes) -> u64 {
    let plain = bytes.as_slice().iter().all(|&b| b == b'x');
    2 * bytes.len() as u64 + u64::from(!plain)
}

/// Early letters are best, then the other letters, then everything else.
fn path(bytes: &Bytes) -> u64 {
    bytes.as_slice().iter().map(|&b| if b.is_ascii_lowercase() { u64::from(b - b'a') + 10 } else { 60 }).sum()
}

/// A fingerprint of a case, the same in every run of one build.
pub(super) fn fingerprint(case: &Case) -> u64 {
    struct Sink(DefaultHasher);
    impl Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    let written = write!(sink, "{case:?}");
    debug_assert!(written.is_ok(), "a hasher takes everything");
    sink.0.finish()
}
