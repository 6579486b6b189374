//! The drive: proptest's runner over a [`CaseTree`], within a budget.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::tree::CaseTree;
use crate::case::Case;

/// How much shrinking may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many cases may be run, the first one included.
    pub max_runs: u32,
    /// How long it may take; a run that has begun is finished.
    pub max_time: Duration,
}

/// What shrinking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest case that failed; the given one if no other did, or if it did not fail itself.
    pub case: Case,
    /// How many cases were run.
    pub runs: u32,
    /// How many of them were smaller and failed.
    pub accepted: u32,
}

/// Shrinks a case for as long as `fails` says that it fails in the same way.
///
/// A case that does not fail when run again comes back as it is, after one run.
pub fn shrink(case: Case, budget: Budget, fails: impl FnMut(&Case) -> bool) -> Shrunk {
    shrink_from(CaseTree::new(case), budget, fails)
}

/// Shrinks a tree that may know more, see [`CaseTree::failed_at`].
///
/// # Panics
/// When `fails` does.
pub fn shrink_from(mut tree: CaseTree, budget: Budget, fails: impl FnMut(&Case) -> bool) -> Shrunk {
    let fails = RefCell::new(fails);
    let runs = Cell::new(0);
    let panic: RefCell<Option<Box<dyn Any + Send>>> = RefCell::new(None);
    let begun = Instant::now();
    let spent = || runs.get() >= budget.max_runs || begun.elapsed() >= budget.max_time || panic.borrow().is_some();
    let test = |case: Case| {
        runs.set(runs.get() + 1);
        match catch_unwind(AssertUnwindSafe(|| (fails.borrow_mut())(&case))) {
            Ok(true) => Err(TestCaseError::fail("fails in the same way")),
            Ok(false) => Ok(()),
            Err(payload) => {
                *panic.borrow_mut() = Some(payload);
                Ok(())
            }
        }
    };
    if budget.max_runs > 0 {
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            max_shrink_iters: budget.max_runs,
            // Twice the time: the walk below stops first, and quietly.
            max_shrink_time: u32::try_from(budget.max_time.as_millis().saturating_mul(2)).unwrap_or(u32::MAX).max(1),
            verbose: 0,
            ..Config::default()
        });
        let walk = Walk { tree: &mut tree, spent: &spent };
        // What it says is in the tree as well: the best case is the last one that failed.
        drop(runner.run_one(walk, test));
    }
    if let Some(payload) = panic.into_inner() {
        resume_unwind(payload);
    }
    Shrunk { accepted: tree.accepted(), case: tree.best().clone(), runs: runs.get() }
}

/// A tree that has no candidates left once the budget is spent.
///
/// The runner has limits of its own, but it prints when it reaches one and then walks all remaining
/// candidates to get back to the best case.
struct Walk<'t, S> {
    tree: &'t mut CaseTree,
    spent: &'t S,
}

impl<S: Fn() -> bool> ValueTree for Walk<'_, S> {
    type Value = Case;

    fn current(&self) -> Case {
        self.tree.current()
    }

    fn simplify(&mut self) -> bool {
        if (self.spent)() {
            self.tree.accept();
            return false;
        }
        self.tree.simplify()
    }

    fn complicate(&mut self) -> bool {
        if (self.spent)() {
            self.tree.settle();
            return false;
        }
        self.tree.complicate()
    }
}
