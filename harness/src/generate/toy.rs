//! A toy world for tests: enough of an [`Aim`] to draw cases, and nothing like a specification.

use std::collections::{BTreeMap, BTreeSet};

use super::Aim;
use crate::bytes::Bytes;
use crate::case::{Case, Layer, NodeKind};
use crate::step::{Op, SLOTS, Special, Step, footprint_of};
use crate::trace::{Kind, Privilege};

/// Paths and their types: no symlinks followed, no attributes, no errors but the common ones.
#[derive(Clone, Default)]
pub(crate) struct Toy {
    tree: BTreeMap<Bytes, Kind>,
    /// Directories that a rename can move.
    movable: BTreeSet<Bytes>,
    slots: [Option<Kind>; SLOTS],
}

impl Toy {
    fn lay(&mut self, layer: &Layer) {
        let nodes = layer.resolved();
        let kinds: BTreeMap<&[u8], Option<Kind>> = nodes.iter().map(|(path, node)| (*path, node.kind.kind())).collect();
        for (path, node) in &nodes {
            let here = Bytes::from(*path);
            if path.is_empty() {
                continue;
            }
            let kind = match &node.kind {
                NodeKind::Link(to) => kinds.get(to.as_slice()).copied().flatten(),
                other => other.kind(),
            };
            let opaque =
                node.xattrs.iter().any(|(name, value)| name.as_slice() == b"@opaque" && value.as_slice() == b"y");
            if kind != Some(Kind::Dir) || opaque || self.tree.get(&here) != Some(&Kind::Dir) {
                self.cut(&here);
            }
            if let Some(kind) = kind.filter(|_| !node.is_whiteout()) {
                self.tree.insert(here, kind);
            }
        }
    }

    fn cut(&mut self, path: &Bytes) {
        let inside = path.join(b"");
        self.tree.retain(|p, _| p != path && !p.as_slice().starts_with(inside.as_slice()));
    }

    fn empty(&self, dir: &Bytes) -> bool {
        let inside = dir.join(b"");
        !self.tree.keys().any(|p| p.as_slice().starts_with(inside.as_slice()))
    }

    fn get(&self, path: &Bytes) -> Option<Kind> {
        if path.is_empty() { Some(Kind::Dir) } else { self.tree.get(path).copied() }
    }

    fn free(&self, path: &Bytes) -> bool {
        self.get(path).is_none() && self.get(&Bytes::from(path.split_last().0)) == Some(Kind::Dir)
    }

    fn make(&mut self, path: &Bytes, kind: Kind) -> bool {
        let free = self.free(path);
        if free {
            self.tree.insert(path.clone(), kind);
        }
        free
    }

    /// Does the step and says whether it succeeded.
    pub(crate) fn run(&mut self, step: &Step) -> bool {
        let mut paths = step.op.paths().into_iter().flatten().map(|path| {
            let long = path.as_slice().split(|&b| b == b'/').any(|name| name.len() > 255) || path.len() > 4095;
            if long || path.is_empty() { Bytes::from("nope/nope") } else { footprint_of(path.as_slice()) }
        });
        let one = paths.next().unwrap_or_default();
        let two = paths.next().unwrap_or_default();
        match &step.op {
            Op::Open { slot, flags, .. } => {
                if flags.has(libc::O_CREAT) {
                    let made = self.make(&one, Kind::File);
                    if !made && flags.has(libc::O_EXCL) {
                        return false;
                    }
                }
                let kind = self.get(&one).filter(|kind| match kind {
                    Kind::Dir => !flags.writes() && !flags.has(libc::O_CREAT) && !flags.has(libc::O_TRUNC),
                    Kind::File => !flags.has(libc::O_DIRECTORY),
                    Kind::Symlink | Kind::Socket => false,
                    _ => flags.has(libc::O_NONBLOCK),
                });
                if kind.is_some() {
                    self.slots[usize::from(*slot)] = kind;
                }
                kind.is_some()
            }
            Op::Close { slot } => self.slots[usize::from(*slot)].take().is_some(),
            Op::Read { slot, .. } | Op::Write { slot, .. } => self.slots[usize::from(*slot)] == Some(Kind::File),
            Op::Fstat { slot } => self.slots[usize::from(*slot)].is_some(),
            Op::Truncate { len, .. } => self.get(&one) == Some(Kind::File) && *len >= 0,
            Op::Mkdir { .. } => {
                let made = self.make(&one, Kind::Dir);
                if made {
                    self.movable.insert(one);
                }
                made
            }
            Op::Mknod { node, .. } => {
                let kind = match node {
                    Special::Regular => Kind::File,
                    Special::Fifo => Kind::Fifo,
                    Special::Socket => Kind::Socket,
                    Special::Char(crate::step::Device::WHITEOUT) => return false,
                    Special::Char(_) => Kind::Char,
                    Special::Block(_) => Kind::Block,
                };
                self.make(&one, kind)
            }
            Op::Symlink { target, .. } => !target.is_empty() && self.make(&one, Kind::Symlink),
            Op::Rmdir { .. } => {
                let ok = !one.is_empty() && self.get(&one) == Some(Kind::Dir) && self.empty(&one);
                if ok {
                    self.cut(&one);
                }
                ok
            }
            Op::Unlink { .. } => {
                let ok = self.get(&one).is_some_and(|kind| kind != Kind::Dir);
                if ok {
                    self.cut(&one);
                }
                ok
            }
            Op::Link { .. } => match self.get(&one) {
                Some(kind) if kind != Kind::Dir => self.make(&two, kind),
                _ => false,
            },
            Op::Rename { flags, .. } => self.rename(one, two, flags.0),
            Op::Chmod { .. } | Op::Stat { .. } => self.get(&one).is_some_and(|kind| kind != Kind::Symlink),
            Op::Lstat { .. } => self.get(&one).is_some(),
            Op::Readlink { .. } => self.get(&one) == Some(Kind::Symlink),
            Op::List { .. } => self.get(&one) == Some(Kind::Dir),
            Op::Remount | Op::Rotate => {
                self.slots = [None; SLOTS];
                if step.op == Op::Rotate {
                    self.movable.clear();
                }
                true
            }
            Op::DropCaches | Op::Observe => true,
        }
    }

    fn rename(&mut self, old: Bytes, new: Bytes, flags: u32) -> bool {
        let nested = |a: &Bytes, b: &Bytes| a != b && a.as_slice().starts_with(b.join(b"").as_slice());
        let (Some(from), to) = (self.get(&old), self.get(&new)) else { return false };
        let exchange = flags == libc::RENAME_EXCHANGE;
        if old.is_empty() || new.is_empty() || nested(&new, &old) || (exchange && nested(&old, &new)) {
            return false;
        }
        let stuck = |this: &Toy, path: &Bytes, kind| kind == Some(Kind::Dir) && !this.movable.contains(path);
        if stuck(self, &old, Some(from)) || (exchange && stuck(self, &new, to)) {
            return false;
        }
        let fits = match (flags, to) {
            (0, Some(to)) => (to == Kind::Dir) == (from == Kind::Dir) && (to != Kind::Dir || self.empty(&new)),
            (0 | libc::RENAME_NOREPLACE, None) => self.free(&new),
            (libc::RENAME_EXCHANGE, Some(_)) => true,
            _ => false,
        };
        if !fits || old == new {
            return fits;
        }
        let (one, two) = (self.take(&old), self.take(&new));
        self.put(&new, one);
        if exchange {
            self.put(&old, two);
        }
        true
    }

    fn take(&mut self, path: &Bytes) -> Vec<(Vec<u8>, Kind, bool)> {
        let inside = path.join(b"");
        let hit = |p: &Bytes| p == path || p.as_slice().starts_with(inside.as_slice());
        let out = self.tree.iter().filter(|(p, _)| hit(p));
        let out = out.map(|(p, k)| (p.as_slice()[path.len()..].to_vec(), *k, self.movable.contains(p))).collect();
        self.cut(path);
        self.movable.retain(|p| !hit(p));
        out
    }

    fn put(&mut self, path: &Bytes, nodes: Vec<(Vec<u8>, Kind, bool)>) {
        for (rest, kind, movable) in nodes {
            let at = Bytes([path.as_slice(), &rest].concat());
            if movable {
                self.movable.insert(at.clone());
            }
            self.tree.insert(at, kind);
        }
    }
}

impl Aim for Toy {
    fn new(case: &Case, _: Privilege) -> Self {
        let mut toy = Toy::default();
        case.lowers.iter().rev().for_each(|layer| toy.lay(layer));
        toy.lay(&case.upper);
        toy
    }

    fn apply(&mut self, step: &Step) {
        self.run(step);
    }

    fn visible(&self, out: &mut Vec<(Bytes, Kind)>) {
        out.extend(self.tree.iter().map(|(path, kind)| (path.clone(), *kind)));
    }

    fn slots(&self) -> [Option<Kind>; SLOTS] {
        self.slots
    }
}
