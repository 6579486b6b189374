//! Tests of the generator, aiming at the model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Cases, Profile, draw, seed_for};
use crate::case::{Case, NodeKind};
use crate::model::{Context, Model};
use crate::step::{Op, Special};
use crate::trace::Privilege;

fn profile() -> Profile {
    Profile { steps: 30..=30, ..Profile::new(Privilege::Root) }
}

fn cases(profile: &Profile, n: u64) -> impl Iterator<Item = Case> {
    (0..n).map(|index| draw::<Model>(profile, &seed_for(7, index)))
}

#[test]
fn one_seed_is_one_case() {
    for index in 0..50 {
        let seed = seed_for(1, index);
        assert_eq!(draw::<Model>(&profile(), &seed), draw::<Model>(&profile(), &seed));
        assert_ne!(draw::<Model>(&profile(), &seed), draw::<Model>(&profile(), &seed_for(2, index)));
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
    let tree = Cases::<Model>::new(profile()).new_tree(&mut runner).expect("the strategy rejects nothing");
    assert_eq!(tree.current(), draw::<Model>(&profile(), &seed));
}

/// The shares that the generator is meant to keep; `-- --nocapture` prints the table.
#[test]
fn most_steps_change_something_and_each_call_both_succeeds_and_fails() {
    let mut table: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut changing: BTreeSet<&str> = BTreeSet::new();
    let (mut steps, mut mutating) = (0, 0);
    for case in cases(&profile(), 3000) {
        let mut model = Model::new(&case, Context::assumed(Privilege::Root), None);
        for step in &case.steps {
            let row = table.entry(step.op.name()).or_default();
            row.0 += 1;
            model.rules.begin_step();
            row.1 += usize::from(model.act(step).is_ok());
            steps += 1;
            if step.op.is_mutating() {
                mutating += 1;
                changing.insert(step.op.name());
            }
        }
    }
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
        assert!((1..=6).contains(&case.lowers.len()));
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
    }
}
