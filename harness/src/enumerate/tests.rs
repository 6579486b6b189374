//! The plan: what it leaves out must be covered by what it keeps.

use std::collections::HashMap;

use super::alphabet::SYMMETRIES;
use super::{Alphabet, Plan, layers};
use crate::case::Case;
use crate::check::look_after;
use crate::errno::Errno;
use crate::model::{Context, Model};
use crate::step::Op;
use crate::trace::Privilege;

fn context() -> Context {
    Context::assumed(Privilege::Root)
}

fn plan(length: usize, layers: Vec<Case>) -> Plan {
    Plan::new(Alphabet::default(), layers, &context(), length, |_, _, _| true).expect("nothing stops it")
}

fn after(case: &Case, ops: &[&Op]) -> (Model, Option<Errno>) {
    let mut model = Model::new(case, context(), None);
    let mut last = None;
    for op in case.steps.iter().map(|s| &s.op).chain(ops.iter().copied()) {
        model.rules.begin_step();
        last = model.apply(op).err();
        look_after(&mut model, op);
    }
    (model, last)
}

#[test]
fn exchanging_names_maps_the_alphabet_to_itself() {
    let alphabet = Alphabet::default();
    for images in &alphabet.images {
        for (op, &image) in images.iter().enumerate() {
            assert!(image < alphabet.ops.len(), "{:?} becomes no step of the alphabet", alphabet.ops[op]);
            assert_eq!(images[image], op, "{:?}", alphabet.ops[op]);
        }
    }
    assert_eq!(alphabet.images.len(), SYMMETRIES.len());
}

#[test]
fn every_step_is_run_from_every_state() {
    let layers: Vec<Case> = layers().expect("the table is right").into_iter().take(3).collect();
    let all = layers.len() * Alphabet::default().ops.len();
    let plan = plan(1, layers);
    let c = &plan.coverage;
    assert_eq!(c.transitions + c.symmetric, all);
    assert_eq!(c.sequences, all as u128);
    // Each case has one step that changes something, or none.
    let looks = plan.layers()[0].steps.len();
    let steps: usize = (0..plan.len()).map(|i| plan.case(i).expect("is there").steps.len() - looks).sum();
    assert_eq!(steps, c.transitions);
    assert_eq!(plan.case(plan.len()), None);
}

/// Sequences that the plan takes for one must have one future: each step gives the same, and leads to one
/// state again.
#[test]
fn equal_fingerprints_have_equal_futures() {
    let alphabet = Alphabet::default();
    let mut pairs = 0;
    for case in layers().expect("the table is right").iter().step_by(5) {
        let mut met: HashMap<u128, Vec<&Op>> = HashMap::new();
        for op in &alphabet.ops {
            let fingerprint = after(case, &[op]).0.fingerprint(&[]);
            met.entry(fingerprint).or_default().push(op);
        }
        for same in met.values().filter(|ops| ops.len() > 1) {
            let (one, other) = (same[0], same[same.len() - 1]);
            pairs += 1;
            for op in &alphabet.ops {
                let (left, right) = (after(case, &[one, op]), after(case, &[other, op]));
                assert_eq!(left.1, right.1, "{one:?} or {other:?}, then {op:?}");
                assert_eq!(left.0.fingerprint(&[]), right.0.fingerprint(&[]), "{one:?} or {other:?}, then {op:?}");
            }
        }
    }
    assert!(pairs > 0, "nothing was compared");
}

#[test]
fn fingerprints_tell_states_apart() {
    let case: Case = "case \"\"\nlower\n  file a/x \"data\"\n  file b \"data\"\nsteps\n".parse().expect("a case");
    let alphabet = Alphabet::default();
    let mut met: HashMap<u128, &Op> = HashMap::new();
    met.insert(after(&case, &[]).0.fingerprint(&[]), &Op::Observe);
    for op in &alphabet.ops {
        let (model, error) = after(&case, &[op]);
        let changes = op.is_mutating() && error.is_none() && !matches!(op, Op::Open { .. });
        if changes {
            let other = met.insert(model.fingerprint(&[]), op);
            assert!(other.is_none(), "{op:?} and {other:?}");
        }
    }
    // Names that stand for each other: the same states, written with others.
    let swapped: Case = "case \"\"\nlower\n  file b/x \"data\"\n  file a \"data\"\nsteps\n".parse().expect("a case");
    let exchanged = after(&swapped, &[]).0.fingerprint(&[("a", "b")]);
    assert_eq!(after(&case, &[]).0.fingerprint(&[]), exchanged);
}
