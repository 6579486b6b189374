//! The walk: from the best case so far to the next smaller candidate.

use std::collections::HashSet;

use proptest::strategy::ValueTree;

use super::{arguments, cuts, measure, names};
use crate::case::Case;

/// What is tried, in this order: the cheapest big wins first. Later rounds skip the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Tail,
    Related,
    Lookers,
    Steps,
    Slots,
    Layers,
    Subtrees,
    Entries,
    Options,
    Assertions,
    Pairs,
    Bulk,
    EntryArguments,
    StepArguments,
    Lift,
    Names,
    SlotNumbers,
}

impl Pass {
    const ALL: [Pass; 17] = [
        Pass::Tail,
        Pass::Related,
        Pass::Lookers,
        Pass::Steps,
        Pass::Slots,
        Pass::Layers,
        Pass::Subtrees,
        Pass::Entries,
        Pass::Options,
        Pass::Assertions,
        Pass::Pairs,
        Pass::Bulk,
        Pass::EntryArguments,
        Pass::StepArguments,
        Pass::Lift,
        Pass::Names,
        Pass::SlotNumbers,
    ];
}

/// Where the walk is.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Index into [`Pass::ALL`].
    pass: usize,
    /// Which candidate of the pass; for chunks, how many items from the end are done.
    at: usize,
    /// How many items go at once; 0 before the pass has begun.
    chunk: usize,
    round: usize,
    /// Whether this round has found anything.
    progress: bool,
}

/// A case and its smaller candidates, for proptest's runner.
///
/// [`simplify`](ValueTree::simplify) takes the current case as the best so far and moves to the
/// next candidate; [`complicate`](ValueTree::complicate) drops the current case and moves to the next
/// candidate of the best one. Both return false only when there is no candidate left, and then the
/// current case is the best one. Every candidate is smaller than the best case, and none is proposed
/// twice.
#[derive(Clone, Debug)]
pub struct CaseTree {
    best: Case,
    best_weight: u64,
    /// The candidate that is being tried, with its weight.
    candidate: Option<(Case, u64)>,
    seen: HashSet<u64>,
    cursor: Cursor,
    failed_at: Option<usize>,
    accepted: u32,
}

impl CaseTree {
    /// A tree around any case.
    pub fn new(case: Case) -> CaseTree {
        CaseTree {
            best_weight: measure::weight(&case),
            seen: HashSet::new(),
            best: case,
            candidate: None,
            cursor: Cursor { pass: 0, at: 0, chunk: 0, round: 0, progress: false },
            failed_at: None,
            accepted: 0,
        }
    }

    /// Says which step (by index) showed the failure, so that all later ones can go at once.
    pub fn failed_at(mut self, step: usize) -> CaseTree {
        self.failed_at = Some(step);
        self
    }

    /// The smallest case so far.
    pub fn best(&self) -> &Case {
        &self.best
    }

    /// How many candidates were taken as the best so far.
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// Drops the candidate that is being tried: the current case is the best one.
    pub(super) fn settle(&mut self) {
        self.candidate = None;
    }

    /// Takes the candidate as the best case.
    pub(super) fn accept(&mut self) {
        if let Some((case, weight)) = self.candidate.take() {
            self.best = case;
            self.best_weight = weight;
            self.accepted += 1;
            self.cursor.progress = true;
        }
    }

    /// Moves to the next candidate that is smaller and new.
    fn propose(&mut self) -> bool {
        if self.seen.is_empty() {
            self.seen.insert(measure::fingerprint(&self.best));
        }
        while let Some(case) = self.next_case() {
            let weight = measure::weight(&case);
            if weight < self.best_weight && self.seen.insert(measure::fingerprint(&case)) {
                self.candidate = Some((case, weight));
                return true;
            }
            self.skip();
        }
        false
    }

    /// Goes past the candidate at the cursor.
    fn skip(&mut self) {
        self.cursor.at += self.cursor.chunk.max(1);
    }

    /// The candidate at the cursor, which moves on to a later pass or round where there is none.
    fn next_case(&mut self) -> Option<Case> {
        loop {
            let Some(pass) = Pass::ALL.get(self.cursor.pass) else {
                if !self.cursor.progress {
                    return None;
                }
                let round = self.cursor.round + 1;
                self.cursor = Cursor { pass: 2, at: 0, chunk: 0, round, progress: false };
                continue;
            };
            if let Some(case) = self.case_of(*pass) {
                return Some(case);
            }
            self.cursor = Cursor { pass: self.cursor.pass + 1, at: 0, chunk: 0, ..self.cursor };
        }
    }

    fn case_of(&mut self, pass: Pass) -> Option<Case> {
        let (case, at) = (&self.best, self.cursor.at);
        match pass {
            Pass::Tail => self.failed_at.filter(|_| at == 0).and_then(|last| cuts::tail(case, last)),
            Pass::Related => (at == 0).then(|| cuts::related(case)).flatten(),
            Pass::Lookers => cuts::lookers(case, at),
            Pass::Steps => {
                let (low, high) = self.chunk(self.best.steps.len())?;
                Some(cuts::steps(&self.best, low, high))
            }
            Pass::Slots => cuts::slot(case, at),
            Pass::Layers => cuts::layer(case, at),
            Pass::Subtrees => cuts::subtree(case, at),
            Pass::Entries => {
                let (low, high) = self.chunk(cuts::entry_count(&self.best))?;
                Some(cuts::entries(&self.best, low, high))
            }
            Pass::Options => cuts::option(case, at),
            Pass::Assertions => cuts::assertion(case, at),
            Pass::Pairs => cuts::pair(case, at),
            Pass::Bulk => arguments::bulk(case, at),
            Pass::EntryArguments => arguments::entry(case, at),
            Pass::StepArguments => arguments::step(case, at),
            Pass::Lift => names::lift(case, at),
            Pass::Names => names::rename(case, at),
            Pass::SlotNumbers => names::renumber(case, at),
        }
    }

    /// The next chunk of `n` items, from the end: all, then halves, down to one by one. Later rounds
    /// begin with pairs, since what is left is mostly needed.
    fn chunk(&mut self, n: usize) -> Option<(usize, usize)> {
        let cursor = &mut self.cursor;
        if cursor.chunk == 0 {
            cursor.chunk = if cursor.round == 0 { n } else { n.min(2) };
        }
        while cursor.at >= n {
            cursor.chunk /= 2;
            cursor.at = 0;
            if cursor.chunk == 0 || n == 0 {
                return None;
            }
        }
        let high = n - cursor.at;
        Some((high.saturating_sub(cursor.chunk), high))
    }
}

impl ValueTree for CaseTree {
    type Value = Case;

    fn current(&self) -> Case {
        self.candidate.as_ref().map_or(&self.best, |(case, _)| case).clone()
    }

    fn simplify(&mut self) -> bool {
        self.accept();
        self.propose()
    }

    fn complicate(&mut self) -> bool {
        if self.candidate.take().is_none() {
            return false;
        }
        self.skip();
        self.propose()
    }
}
