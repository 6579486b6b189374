//! The model on its own: no fault and no case may make it panic.

use super::{Clause, Context, Model};
use crate::generate::{Profile, draw, seed_for};
use crate::trace::Privilege;

#[test]
fn no_fault_makes_the_model_panic() {
    let mut steps = 0;
    for privilege in [Privilege::Root, Privilege::Rootless] {
        let profile = Profile::new(privilege);
        for index in 0..40 {
            let case = draw::<Model>(&profile, &seed_for(7, index));
            for fault in std::iter::once(None).chain(Clause::ALL.iter().copied().map(Some)) {
                let mut model = Model::new(&case, Context::assumed(privilege), fault);
                for step in &case.steps {
                    model.rules.begin_step();
                    let _ = model.apply(&step.op);
                    steps += 1;
                }
            }
        }
    }
    assert!(steps > 100_000, "only {steps} steps ran");
}

/// Each row of the page that maps rules, tests and bugs says where it is tested, when it will be, or why not; and
/// what it names exists.
#[test]
fn the_mapping_names_what_exists() {
    const PAGE: &str = include_str!("../../../docs/mapping.md");
    /// How many reasons why not the page may give.
    const REASONS: usize = 15;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let mut lines = PAGE.lines();
    let rows = |lines: &mut std::str::Lines<'_>| -> Vec<Vec<String>> {
        let rows = lines.skip_while(|l| !l.starts_with("|---")).skip(1).take_while(|l| l.starts_with('|'));
        rows.map(|l| l.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let topics: Vec<String> = rows(&mut lines).into_iter().map(|row| row[0].clone()).collect();
    let tables = [rows(&mut lines), rows(&mut lines), rows(&mut lines)];
    assert!(tables.iter().all(|table| table.len() > 50), "a table is missing");
    let mut reasons = 0;
    let mut named = Vec::new();
    for row in tables.iter().flatten() {
        let place = row.last().map_or("", String::as_str);
        if place.starts_with("not: ") {
            reasons += 1;
            continue;
        }
        assert!(!place.is_empty(), "nothing is said of {row:?}");
        for part in place.split([';', ',']).map(str::trim) {
            if let Some(topic) = part.strip_prefix("later: ") {
                assert!(topics.iter().any(|t| t == topic), "unknown topic {topic}: {row:?}");
                continue;
            }
            let name = part.trim_matches('`');
            let exists = match name.ends_with(".case") {
                true => root.join(name).is_file(),
                false => name.parse::<Clause>().is_ok(),
            };
            assert!(exists, "there is no {name}: {row:?}");
            named.push(name);
        }
    }
    assert!(reasons <= REASONS, "{reasons} reasons why not");
    let overlay = |id: &str| !["VFS", "FS-", "VFS-"].iter().any(|family| id.starts_with(family));
    for clause in Clause::ALL.iter().map(|clause| clause.id()).filter(|id| overlay(id)) {
        assert!(named.contains(&clause), "{clause} is in no row");
    }
}
