//! Arguments: what steps and entries say, said more simply.

use super::cuts::{layers, layers_mut};
use crate::bytes::Bytes;
use crate::case::{Case, LAYER_TIME, Node, NodeKind};
use crate::step::{Actor, InodeFlags, Op, OpenFlags, RenameFlags, Special, StatusFlags, footprint_of};

/// All steps or entries simplified at once in one respect: the `at`th respect.
pub(super) fn bulk(case: &Case, at: usize) -> Option<Case> {
    let mut out = case.clone();
    match at {
        0 => out.steps.iter_mut().for_each(|step| paths_mut(&mut step.op, |path| *path = plain(path))),
        1 => entries(&mut out, |node| {
            let xattrs = std::mem::take(&mut node.xattrs);
            *node = Node::new(node.kind.clone());
            node.xattrs = xattrs.into_iter().filter(|(name, _)| name.as_slice().starts_with(b"@")).collect();
        }),
        2 => entries(&mut out, |node| {
            if let NodeKind::File(data) = &mut node.kind {
                *data = Bytes::default();
            }
        }),
        3 => out.steps.iter_mut().for_each(|step| match &mut step.op {
            Op::Open { flags, mode, .. } => *mode = if flags.creates() { 0o644 } else { 0 },
            Op::Mkdir { mode, .. } => *mode = 0o755,
            Op::Mknod { mode, .. } => *mode = 0o644,
            Op::Chmod { mode, .. } => *mode = 0o600,
            Op::Write { data, .. } => *data = Bytes::from("x"),
            _ => {}
        }),
        4 => out.lowers.iter_mut().for_each(|layer| layer.on = 0),
        _ => {
            let layer = out.lowers.get_mut(at - 5)?;
            layer.on = layer.on.saturating_sub(1);
        }
    }
    Some(out)
}

/// One entry made simpler: the `at`th way of all entries.
pub(super) fn entry(case: &Case, at: usize) -> Option<Case> {
    let mut left = at;
    for (layer_at, layer) in layers(case).enumerate() {
        for (entry_at, entry) in layer.entries.iter().enumerate() {
            let mut simpler = simpler_nodes(&entry.node);
            if left < simpler.len() {
                let mut out = case.clone();
                if let Some(layer) = layers_mut(&mut out).nth(layer_at) {
                    layer.entries[entry_at].node = simpler.swap_remove(left);
                }
                return Some(out);
            }
            left -= simpler.len();
        }
    }
    None
}

/// One step made simpler: the `at`th way of all steps.
pub(super) fn step(case: &Case, at: usize) -> Option<Case> {
    let calm = !may_block(case);
    let mut left = at;
    for (step_at, step) in case.steps.iter().enumerate() {
        if step.expect.is_some() {
            if left == 0 {
                let mut out = case.clone();
                out.steps[step_at].expect = None;
                return Some(out);
            }
            left -= 1;
        }
        if step.actor != Actor::Root {
            if left == 0 {
                let mut out = case.clone();
                out.steps[step_at].actor = Actor::Root;
                return Some(out);
            }
            left -= 1;
        }
        let mut simpler = simpler_ops(&step.op, calm);
        if left < simpler.len() {
            let mut out = case.clone();
            out.steps[step_at].op = simpler.swap_remove(left);
            return Some(out);
        }
        left -= simpler.len();
    }
    None
}

/// Whether the case may hold a fifo or a device, which an `open` without O_NONBLOCK could wait for.
pub(super) fn may_block(case: &Case) -> bool {
    let waits = |kind: &NodeKind| matches!(kind, NodeKind::Fifo | NodeKind::Char(_) | NodeKind::Block(_));
    layers(case).flat_map(|layer| &layer.entries).any(|e| waits(&e.node.kind) && !e.node.is_whiteout())
        || case.steps.iter().any(|step| {
            matches!(&step.op, Op::Mknod { node: Special::Fifo | Special::Char(_) | Special::Block(_), .. })
        })
}

fn entries(case: &mut Case, mut change: impl FnMut(&mut Node)) {
    for layer in layers_mut(case) {
        layer.entries.iter_mut().for_each(|entry| change(&mut entry.node));
    }
}

/// Calls `change` with each path of the merged tree that the step names.
pub(super) fn paths_mut(op: &mut Op, change: impl FnMut(&mut Bytes)) {
    op.paths_mut().into_iter().flatten().for_each(change);
}

/// The path without decorations; the root is `.`, and an empty path stays the error it is.
fn plain(path: &Bytes) -> Bytes {
    let clean = footprint_of(path.as_slice());
    match (path.is_empty(), clean.is_empty()) {
        (true, _) => Bytes::default(),
        (_, true) => Bytes::from("."),
        _ => clean,
    }
}

fn simpler_nodes(node: &Node) -> Vec<Node> {
    let mut out = Vec::new();
    let mut with = |change: &dyn Fn(&mut Node)| {
        let mut simpler = node.clone();
        change(&mut simpler);
        out.push(simpler);
    };
    match &node.kind {
        NodeKind::File(data) => {
            for shorter in shorter(data) {
                with(&|node| node.kind = NodeKind::File(shorter.clone()));
            }
        }
        NodeKind::Dir => {}
        NodeKind::Char(_) if node.is_whiteout() => {}
        _ => with(&|node| {
            let xattrs = std::mem::take(&mut node.xattrs);
            *node = Node { xattrs, ..Node::new(NodeKind::File(Bytes::default())) };
        }),
    }
    if node.sparse {
        with(&|node| node.sparse = false);
    }
    let default = Node::new(node.kind.clone());
    if node.mode != default.mode {
        with(&|node| node.mode = default.mode);
    }
    if (node.uid, node.gid) != (0, 0) {
        with(&|node| (node.uid, node.gid) = (0, 0));
    }
    if node.uid != 0 && node.gid != 0 {
        with(&|node| node.uid = 0);
        with(&|node| node.gid = 0);
    }
    if node.time != LAYER_TIME {
        with(&|node| node.time = LAYER_TIME);
    }
    for at in 0..node.xattrs.len() {
        with(&|node| drop(node.xattrs.remove(at)));
    }
    out
}

/// Shorter data: none, one plain byte, half of it, and as much of plain bytes.
fn shorter(data: &Bytes) -> Vec<Bytes> {
    let mut out = Vec::new();
    if !data.is_empty() {
        out.push(Bytes::default());
    }
    if data.len() > 1 || (data.len() == 1 && data.as_slice() != b"x") {
        out.push(Bytes::from("x"));
    }
    if data.len() > 3 {
        out.push(Bytes::from(&data.as_slice()[..data.len() / 2]));
        out.push(Bytes::from(vec![b'x'; data.len()]));
    }
    out
}

fn simpler_ops(op: &Op, calm: bool) -> Vec<Op> {
    let mut out = Vec::new();
    let mut with = |change: &mut dyn FnMut(&mut Op)| {
        let mut simpler = op.clone();
        change(&mut simpler);
        if simpler != *op {
            out.push(simpler);
        }
    };
    with(&mut |op| paths_mut(op, |path| *path = plain(path)));
    match op {
        Op::Open { flags, .. } => {
            // O_TMPFILE has the bits of O_DIRECTORY, and goes with them.
            let part = |bit: i32| bit == libc::O_DIRECTORY && flags.has(libc::O_TMPFILE);
            let fewer = OpenFlags::NAMES
                .iter()
                .filter(|(bit, _)| flags.has(*bit) && (*bit != libc::O_NONBLOCK || calm) && !part(*bit))
                .map(|(bit, _)| flags.0 & !bit);
            let access = [libc::O_RDONLY, libc::O_WRONLY].map(|access| (flags.0 & !libc::O_ACCMODE) | access);
            for bits in fewer.chain(access) {
                with(&mut |op| set_flags(op, bits));
            }
            let default = if flags.creates() { 0o644 } else { 0 };
            with(&mut |op| set_mode(op, default));
        }
        Op::Read { .. } => {
            for short in [1, 100] {
                with(&mut |op| {
                    if let Op::Read { len, .. } = op {
                        *len = short;
                    }
                });
            }
        }
        Op::Write { data, .. } => {
            for shorter in shorter(data) {
                with(&mut |op| {
                    if let Op::Write { data, .. } = op {
                        *data = shorter.clone();
                    }
                });
            }
        }
        Op::Truncate { .. } => {
            for short in [0, 1] {
                with(&mut |op| {
                    if let Op::Truncate { len, .. } = op {
                        *len = short;
                    }
                });
            }
        }
        Op::Mkdir { .. } => with(&mut |op| set_mode(op, 0o755)),
        Op::Chmod { .. } => with(&mut |op| set_mode(op, 0o600)),
        Op::Mknod { .. } => {
            with(&mut |op| {
                if let Op::Mknod { node, .. } = op {
                    *node = Special::Regular;
                }
            });
            with(&mut |op| set_mode(op, 0o644));
        }
        Op::Symlink { .. } => with(&mut |op| {
            if let Op::Symlink { target, .. } = op {
                *target = Bytes::from("a");
            }
        }),
        Op::Readv { lens, .. } => out.push(Op::Read { slot: op.slot().unwrap_or(0), len: lens.iter().sum() }),
        Op::Writev { slot, parts } => {
            out.push(Op::Write { slot: *slot, data: parts.iter().flat_map(|p| p.0.iter().copied()).collect() });
        }
        Op::TryMount { options } => {
            for at in 0..options.len() {
                let mut fewer = options.clone();
                fewer.remove(at);
                out.push(Op::TryMount { options: fewer });
            }
        }
        Op::CopyFileRange { .. } | Op::Sendfile { .. } => {
            for short in [1, 100] {
                with(&mut |op| {
                    if let Op::CopyFileRange { len, .. } | Op::Sendfile { len, .. } = op {
                        *len = short.min(*len);
                    }
                });
            }
            with(&mut |op| match op {
                Op::CopyFileRange { from_at, to_at, .. } => (*from_at, *to_at) = (None, None),
                Op::Sendfile { from_at, .. } => *from_at = None,
                _ => {}
            });
            with(&mut |op| {
                if let Op::CopyFileRange { from_at, to_at, .. } = op {
                    (*from_at, *to_at) = (from_at.map(|_| 0), to_at.map(|_| 0));
                }
            });
        }
        Op::Fallocate { .. } => {
            with(&mut |op| {
                if let Op::Fallocate { offset, .. } = op {
                    *offset = 0;
                }
            });
            for short in [1, 4096] {
                with(&mut |op| {
                    if let Op::Fallocate { len, .. } = op {
                        *len = short.min(*len);
                    }
                });
            }
        }
        Op::Setfl { slot, flags } => {
            let fewer =
                StatusFlags::NAMES.iter().filter(|(bit, _)| flags.has(*bit) && (*bit != libc::O_NONBLOCK || calm));
            out.extend(fewer.map(|(bit, _)| Op::Setfl { slot: *slot, flags: StatusFlags(flags.0 & !bit) }));
        }
        Op::Setflags { slot, flags } => {
            let fewer = InodeFlags::NAMES.iter().filter(|(bit, _)| flags.has(*bit)).map(|(bit, _)| flags.0 & !bit);
            out.extend(fewer.map(|bits| Op::Setflags { slot: *slot, flags: InodeFlags(bits) }));
        }
        Op::Faccessat { path, mode, .. } => out.push(Op::Access { path: path.clone(), mode: *mode }),
        Op::Fchmodat { path, mode, .. } => out.push(Op::Chmod { path: path.clone(), mode: *mode }),
        Op::Linkat { old, new, .. } => out.push(Op::Link { old: old.clone(), new: new.clone() }),
        Op::Rename { flags, .. } => {
            let fewer = RenameFlags::NAMES.iter().filter(|(bit, _)| flags.has(*bit)).map(|(bit, _)| flags.0 & !bit);
            for bits in [0].into_iter().chain(fewer) {
                with(&mut |op| {
                    if let Op::Rename { flags, .. } = op {
                        *flags = RenameFlags(bits);
                    }
                });
            }
        }
        _ => {}
    }
    out
}

/// The mode stays what a call that makes a file would want it to be only where there is one.
fn set_flags(op: &mut Op, bits: i32) {
    if let Op::Open { flags, mode, .. } = op {
        *flags = OpenFlags(bits);
        if !flags.creates() {
            *mode = 0;
        }
    }
}

fn set_mode(op: &mut Op, to: u32) {
    if let Op::Open { mode, .. } | Op::Mkdir { mode, .. } | Op::Mknod { mode, .. } | Op::Chmod { mode, .. } = op {
        *mode = to;
    }
}
