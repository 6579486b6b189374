//! Tests of the shrinker with planted predicates.

use std::collections::HashSet;
use std::time::Duration;

use proptest::strategy::ValueTree;

use super::{Budget, CaseTree, Shrunk, measure, shrink, shrink_from};
use crate::bytes::Bytes;
use crate::case::{Case, Entry, Layer, Node, NodeKind};
use crate::generate::{Profile, draw, seed_for};
use crate::model::Model;
use crate::step::{Op, OpenFlags, RenameFlags, Step};
use crate::trace::Privilege;

const BUDGET: Budget = Budget { max_runs: 2000, max_time: Duration::from_secs(60) };

/// 60 steps and about 40 entries in three lower layers and an upper.
fn large(index: u64) -> Case {
    let profile = Profile { steps: 60..=60, lowers: 3..=3, entries: 60..=60, ..Profile::new(Privilege::Root) };
    draw::<Model>(&profile, &seed_for(11, index))
}

fn entries(case: &Case) -> usize {
    case.lowers.iter().chain([&case.upper]).map(|layer| layer.entries.len()).sum()
}

fn has_file(layer: &Layer, path: &Bytes) -> bool {
    layer.entries.iter().any(|entry| entry.path == *path && matches!(entry.node.kind, NodeKind::File(_)))
}

/// An unlink of a lower file and a later mkdir of the same name.
fn unlink_then_mkdir(case: &Case) -> bool {
    case.steps.iter().enumerate().any(|(at, step)| match &step.op {
        Op::Unlink { path } => {
            case.lowers.iter().any(|layer| has_file(layer, path))
                && case.steps[at..]
                    .iter()
                    .any(|later| matches!(&later.op, Op::Mkdir { path: made, .. } if made == path))
        }
        _ => false,
    })
}

fn planted(index: u64) -> Case {
    let mut case = large(index);
    let path = Bytes::from(if index.is_multiple_of(2) { "odd name" } else { "deep/er/\\odd" });
    case.lowers[1].entries.push(Entry { path: path.clone(), node: Node::new(NodeKind::File(Bytes::from("data"))) });
    case.steps.insert(20, Op::Unlink { path: path.clone() }.into());
    case.steps.insert(41, Op::Mkdir { path, mode: 0o700 }.into());
    case
}

#[test]
fn two_steps_over_one_lower_file() {
    for index in 0..40 {
        let case = planted(index);
        assert!(unlink_then_mkdir(&case));
        let Shrunk { case, runs, .. } = shrink(case, BUDGET, unlink_then_mkdir);
        println!("{index}: {runs} runs");
        let a = Bytes::from("a");
        assert_eq!(
            case.steps,
            [Op::Unlink { path: a.clone() }.into(), Op::Mkdir { path: a.clone(), mode: 0o755 }.into()]
        );
        assert_eq!((entries(&case), case.lowers.len(), case.options.len()), (1, 1, 0));
        assert!(has_file(&case.lowers[0], &a));
        assert!(runs <= 150, "{runs} runs");
    }
}

#[test]
fn three_particular_steps_among_sixty() {
    let want = |case: &Case| {
        let mut left = ["link", "rename", "truncate"].into_iter().peekable();
        for step in &case.steps {
            if left.peek() == Some(&step.op.name()) {
                left.next();
            }
        }
        left.peek().is_none()
    };
    for index in 0..40 {
        let mut case = large(index);
        let a = Bytes::from("a");
        case.steps.insert(7, Op::Link { old: a.clone(), new: Bytes::from("b/c") }.into());
        case.steps.insert(30, Op::Rename { old: a.clone(), new: a.clone(), flags: RenameFlags(2) }.into());
        case.steps.insert(55, Op::Truncate { path: a, len: 5000 }.into());
        let Shrunk { case, runs, .. } = shrink(case, BUDGET, want);
        println!("{index}: {runs} runs");
        assert_eq!((case.steps.len(), entries(&case), case.lowers.len()), (3, 0, 1));
        assert!(runs <= 150, "{runs} runs");
    }
}

#[test]
fn one_entry_of_the_second_layer() {
    let want = |case: &Case| {
        case.lowers.len() > 1 && case.lowers[1].entries.iter().any(|e| matches!(e.node.kind, NodeKind::Symlink(_)))
    };
    let mut tried = 0;
    for index in (0..40).map(large).filter(want) {
        tried += 1;
        let Shrunk { case, runs, .. } = shrink(index, BUDGET, want);
        assert_eq!((case.steps.len(), entries(&case), case.lowers.len()), (0, 1, 2));
        assert!(runs <= 150, "{runs} runs");
    }
    assert!(tried > 10);
}

#[test]
fn a_hint_of_the_failing_step_saves_runs() {
    let (mut with, mut without) = (0, 0);
    for index in 0..20 {
        without += shrink(planted(index), BUDGET, unlink_then_mkdir).runs;
        let Shrunk { case, runs, .. } =
            shrink_from(CaseTree::new(planted(index)).failed_at(41), BUDGET, unlink_then_mkdir);
        assert_eq!(case.steps.len(), 2);
        with += runs;
    }
    assert!(with <= without, "{with} runs with the hint, {without} without");
}

#[test]
fn always_failing_ends_at_the_smallest_case() {
    let Shrunk { case, runs, .. } = shrink(large(3), BUDGET, |_| true);
    assert_eq!((case.steps.len(), entries(&case), case.lowers.len()), (0, 0, 1));
    assert!(runs <= 30, "{runs} runs");
    let Shrunk { case, .. } = shrink(large(3), BUDGET, |case| !case.steps.is_empty());
    assert_eq!(case.steps.len(), 1);
}

#[test]
fn never_failing_ends_at_once() {
    let shrunk = shrink(large(3), BUDGET, |_| false);
    assert_eq!(shrunk, Shrunk { case: large(3), runs: 1, accepted: 0 });
}

#[test]
fn the_walk_ends_whatever_is_rejected() {
    let first = large(4);
    let shrunk = shrink(first.clone(), Budget { max_runs: 100_000, ..BUDGET }, |case| *case == first);
    println!("{} runs", shrunk.runs);
    assert_eq!((shrunk.case, shrunk.accepted), (large(4), 0));
}

#[test]
fn the_budget_holds() {
    for max_runs in [0, 1, 2, 17] {
        let shrunk = shrink(planted(0), Budget { max_runs, ..BUDGET }, unlink_then_mkdir);
        assert_eq!(shrunk.runs, max_runs);
        assert!(unlink_then_mkdir(&shrunk.case));
    }
    let none = Budget { max_time: Duration::ZERO, ..BUDGET };
    assert_eq!(shrink(planted(0), none, unlink_then_mkdir).runs, 1);
}

#[test]
fn two_shrinks_are_equal() {
    for index in 0..10 {
        assert_eq!(
            shrink(planted(index), BUDGET, unlink_then_mkdir),
            shrink(planted(index), BUDGET, unlink_then_mkdir)
        );
    }
}

/// Accepts and rejects in turn, by the fingerprint, and looks at every candidate on the way.
#[test]
fn every_candidate_is_new_smaller_and_whole() {
    for index in 0..30 {
        let mut tree = CaseTree::new(large(index)).failed_at(50);
        let mut seen = HashSet::from([measure::fingerprint(&tree.current())]);
        let mut more = tree.simplify();
        while more {
            let case = tree.current();
            let print = measure::fingerprint(&case);
            assert!(seen.insert(print), "proposed twice");
            assert!(measure::weight(&case) < measure::weight(tree.best()));
            assert!(!case.lowers.is_empty());
            for layer in case.lowers.iter().chain([&case.upper]) {
                let resolved: HashSet<&[u8]> = layer.resolved().into_iter().map(|(path, _)| path).collect();
                assert!(layer.entries.iter().all(|entry| resolved.contains(entry.path.as_slice())), "{layer:?}");
            }
            more = if print.is_multiple_of(5) { tree.simplify() } else { tree.complicate() };
        }
        assert_eq!(tree.current(), *tree.best());
        assert!(!tree.complicate() && !tree.simplify());
    }
}

#[test]
fn an_open_stays_nonblocking_while_there_is_a_fifo() {
    let open = |flags| Step::from(Op::Open { slot: 0, path: Bytes::from("f"), flags: OpenFlags(flags), mode: 0 });
    let fifo = Step::from(Op::Mknod { path: Bytes::from("f"), node: crate::step::Special::Fifo, mode: 0o644 });
    let layers = vec![Layer::default()];
    let case = Case { lowers: layers, steps: vec![fifo, open(libc::O_NONBLOCK | libc::O_RDWR)], ..Case::default() };
    let shrunk = shrink(case, BUDGET, |case| {
        let fifo = case.steps.iter().any(|step| step.op.name() == "mknod" && format!("{step:?}").contains("Fifo"));
        let quiet = case.steps.iter().all(|step| match &step.op {
            Op::Open { flags, .. } => flags.has(libc::O_NONBLOCK),
            _ => true,
        });
        assert!(!fifo || quiet, "this could wait for ever");
        case.steps.len() == 2
    });
    assert!(matches!(shrunk.case.steps[1].op, Op::Open { flags: OpenFlags(0), .. }), "{:?}", shrunk.case.steps);
}

#[test]
#[should_panic(expected = "a defect")]
fn a_panic_of_the_predicate_is_not_a_failure_of_the_case() {
    let mut runs = 0;
    shrink(large(1), BUDGET, |_| {
        runs += 1;
        assert!(runs < 2, "a defect");
        true
    });
}
