//! Tests of the generator against a toy world.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Aim, Cases, Profile, draw, seed_for};
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
            (long || path.is_empty()).then(|| Bytes::from("nope/nope")).unwrap_or_else(|| footprint_of(path.as_slice()))
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

fn profile() -> Profile {
    Profile { steps: 30..=30, ..Profile::new(Privilege::Root) }
}

fn cases(profile: &Profile, n: u64) -> impl Iterator<Item = Case> {
    (0..n).map(|index| draw::<Toy>(profile, &seed_for(7, index)))
}

#[test]
fn one_seed_is_one_case() {
    for index in 0..50 {
        let seed = seed_for(1, index);
        assert_eq!(draw::<Toy>(&profile(), &seed), draw::<Toy>(&profile(), &seed));
        assert_ne!(draw::<Toy>(&profile(), &seed), draw::<Toy>(&profile(), &seed_for(2, index)));
    }
}

#[test]
fn seeds_differ_by_campaign_and_index() {
    let seeds: BTreeSet<[u8; 32]> = (0..40).flat_map(|campaign| (0..40).map(move |i| seed_for(campaign, i))).collect();
    assert_eq!(seeds.len(), 1600);
    assert_ne!(seed_for(3, 5), seed_for(5, 3));
}

#[test]
fn the_strategy_draws_what_the_seed_says() {
    let config = Config { failure_persistence: None, ..Config::default() };
    let seed = seed_for(9, 9);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let tree = Cases::<Toy>::new(profile()).new_tree(&mut runner).expect("the strategy rejects nothing");
    assert_eq!(tree.current(), draw::<Toy>(&profile(), &seed));
}

/// The shares that the generator is meant to keep; `-- --nocapture` prints the table.
#[test]
fn most_steps_change_something_and_each_call_both_succeeds_and_fails() {
    let mut table: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut steps, mut mutating) = (0, 0);
    for case in cases(&profile(), 3000) {
        let mut toy = <Toy as Aim>::new(&case, Privilege::Root);
        for step in &case.steps {
            let row = table.entry(step.op.name()).or_default();
            row.0 += 1;
            row.1 += usize::from(toy.run(step));
            steps += 1;
            mutating += usize::from(step.op.is_mutating());
        }
    }
    let changing =
        ["open", "write", "truncate", "mkdir", "rmdir", "mknod", "symlink", "link", "unlink", "rename", "chmod"];
    println!("mutating {}%", 100 * mutating / steps);
    for name in Op::ALL {
        let (all, ok) = table.get(name).copied().unwrap_or_default();
        println!("{name:12} {:4.1}% of steps, {:3}% succeed", 100.0 * all as f64 / steps as f64, 100 * ok / all.max(1));
        assert!(all > 0, "{name} is never drawn");
        if changing.contains(name) {
            assert!((40..=92).contains(&(100 * ok / all)), "{name} succeeds in {}%", 100 * ok / all);
        }
    }
    assert!(100 * mutating / steps >= 60, "only {}% of the steps are mutating", 100 * mutating / steps);
}

#[test]
fn an_observation_is_never_far() {
    for case in cases(&profile(), 500) {
        let runs = case.steps.split(|step| step.op == Op::Observe);
        assert!(runs.clone().all(|run| run.len() <= 10));
        assert_eq!(case.steps.len(), 30);
    }
}

#[test]
fn opens_do_not_block_where_something_could_make_them() {
    for case in cases(&profile(), 2000) {
        let waits = |kind: &NodeKind| matches!(kind, NodeKind::Fifo | NodeKind::Char(_) | NodeKind::Block(_));
        let mut layers = case.lowers.iter().chain([&case.upper]).flat_map(|layer| &layer.entries);
        let node = layers.any(|entry| waits(&entry.node.kind) && !entry.node.is_whiteout());
        let made = case.steps.iter().any(|s| matches!(s.op, Op::Mknod { node: Special::Fifo | Special::Block(_), .. }));
        for step in &case.steps {
            if let Op::Open { flags, .. } = &step.op {
                assert!(!(node || made) || flags.has(libc::O_NONBLOCK), "{step:?}");
            }
        }
    }
}

#[test]
fn layers_are_well_formed() {
    for case in cases(&profile(), 1000) {
        assert!((1..=3).contains(&case.lowers.len()));
        for layer in case.lowers.iter().chain([&case.upper]) {
            let resolved: BTreeSet<&[u8]> = layer.resolved().into_iter().map(|(path, _)| path).collect();
            let paths: BTreeSet<&[u8]> = layer.entries.iter().map(|entry| entry.path.as_slice()).collect();
            assert_eq!(paths.len(), layer.entries.len(), "two entries at one path");
            assert!(paths.is_subset(&resolved), "an entry that does not count in {layer:?}");
        }
    }
}

/// The shapes that layers must take now and then for overlay code to be reached at all.
#[test]
fn layers_collide() {
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let n = 500;
    for case in cases(&profile(), n) {
        let layers: Vec<BTreeMap<&[u8], &NodeKind>> = [&case.upper]
            .into_iter()
            .chain(&case.lowers)
            .map(|layer| layer.entries.iter().map(|e| (e.path.as_slice(), &e.node.kind)).collect())
            .collect();
        let mut found = BTreeSet::new();
        for (at, above) in layers.iter().enumerate() {
            for (path, kind) in above {
                let whiteout = **kind == NodeKind::Char(crate::step::Device::WHITEOUT);
                match layers[at + 1..].iter().find_map(|below| below.get(path)) {
                    Some(NodeKind::Dir) if **kind == NodeKind::Dir => found.insert("merged directory"),
                    Some(NodeKind::Dir) if whiteout => found.insert("whiteout over a directory"),
                    Some(_) if whiteout => found.insert("whiteout over a file"),
                    None if whiteout => found.insert("needless whiteout"),
                    Some(NodeKind::Dir) => found.insert("file over a directory"),
                    Some(_) if **kind == NodeKind::Dir => found.insert("directory over a file"),
                    _ => false,
                };
                if matches!(kind, NodeKind::Link(_)) {
                    found.insert("hard link");
                }
            }
        }
        found.insert(if case.upper.entries.is_empty() { "empty upper" } else { "filled upper" });
        for name in found {
            *hits.entry(name).or_default() += 1;
        }
    }
    println!("of {n} cases: {hits:?}");
    for (name, count) in &hits {
        assert!(*count >= 50, "{name} in only {count} of {n} cases");
    }
    assert_eq!(hits.len(), 9);
}

#[test]
fn rootless_cases_have_no_devices_and_one_owner() {
    let rootless = Profile { privilege: Privilege::Rootless, ..profile() };
    for case in cases(&rootless, 1000) {
        for entry in case.lowers.iter().chain([&case.upper]).flat_map(|layer| &layer.entries) {
            let device = matches!(entry.node.kind, NodeKind::Char(_) | NodeKind::Block(_));
            assert!(!device || entry.node.is_whiteout());
            assert_eq!((entry.node.uid, entry.node.gid), (0, 0));
        }
        for step in &case.steps {
            if let Op::Mknod { node: Special::Char(device) | Special::Block(device), .. } = &step.op {
                assert_eq!(*device, crate::step::Device::WHITEOUT);
            }
        }
    }
}
