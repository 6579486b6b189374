//! What a campaign counts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::find::Finding;
use super::shard::Shard;
use crate::case::Case;
use crate::check::{Deviation, Judgement, TargetOrigin, Transparency};
use crate::errno::Errno;
use crate::model::{CLAUSES, Clause, Origin};
use crate::trace::{Environment, Outcome, Trace};

/// Counts that add up over cases and workers.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Cases run and judged.
    pub cases: u64,
    /// Steps run.
    pub steps: u64,
    /// Steps compared: outcome and two-sided footprint, with all trees at least every ten steps.
    pub checked: u64,
    /// Whole merged trees that were compared with what their layers make.
    pub resolved: u64,
    /// Steps that changed the upper layer or the work directory.
    pub changed: u64,
    /// Steps meant to change the tree.
    pub mutating: u64,
    /// Cases that were also run on a plain filesystem.
    pub mirrored: u64,
    /// Steps of those cases, and how many of them were compared in full.
    pub mirrored_steps: (u64, u64),
    /// Steps of those cases in which the overlay is supposed to differ.
    pub deviations: BTreeMap<Deviation, u64>,
    /// Cases that could not be tested, by reason.
    pub untested: BTreeMap<String, u64>,
    /// Cases that diverged.
    pub diverged: u64,
    /// Cases in which a known deviation was met, by its number.
    pub known: BTreeMap<usize, u64>,
    /// By which clauses something was judged wrong: how often that was news, and how often known.
    pub broken: BTreeMap<Clause, (u64, u64)>,
    /// Cases that were judged only up to a known deviation.
    pub cut: u64,
    /// Operation by result: `None` is success.
    pub results: BTreeMap<(&'static str, Option<Errno>), u64>,
    /// How often each clause fired, indexed by `Clause as usize`.
    pub fired: Vec<u64>,
    /// Operation by the state of its target, and whether that is its second one (a new name, what is written
    /// to): how many calls there were and how many of them succeeded. Empty unless coverage was asked for.
    pub origins: BTreeMap<(&'static str, bool, Origin), (u64, u64)>,
    /// Of each operation that is meant to change something: its calls so meant, and those that succeeded.
    pub mutations: BTreeMap<&'static str, (u64, u64)>,
}

impl Stats {
    /// Counts one judged case.
    pub fn count(&mut self, case: &Case, trace: &Trace, judgement: &Judgement) {
        self.cases += 1;
        self.steps += trace.steps.len() as u64;
        self.checked += judgement.checked as u64;
        self.changed += judgement.changed as u64;
        self.resolved += judgement.resolved as u64;
        self.diverged += u64::from(judgement.divergence.is_some());
        self.cut += u64::from(judgement.cut);
        if let Some(rule) = judgement.divergence.as_ref().and_then(|d| d.rule) {
            self.broken.entry(rule).or_default().0 += 1;
        }
        for rule in &judgement.known_rules {
            self.broken.entry(*rule).or_default().1 += 1;
        }
        for known in &judgement.known {
            *self.known.entry(*known).or_default() += 1;
        }
        for (step, record) in case.steps.iter().zip(&trace.steps) {
            let errno = match record.outcome {
                Outcome::Ok(_) => None,
                Outcome::Err(e) => Some(e),
            };
            if step.op.is_mutating() {
                self.mutating += 1;
                let row = self.mutations.entry(step.op.name()).or_default();
                *row = (row.0 + 1, row.1 + u64::from(errno.is_none()));
            }
            *self.results.entry((step.op.name(), errno)).or_default() += 1;
        }
        self.fired.resize(CLAUSES, 0);
        for (total, fired) in self.fired.iter_mut().zip(&judgement.fired) {
            *total += u64::from(*fired);
        }
    }

    /// Counts where the targets of one case's calls came from.
    pub fn count_origins(&mut self, trace: &Trace, targets: &[TargetOrigin]) {
        for target in targets {
            let Some(record) = trace.steps.get(target.step) else { continue };
            let row = self.origins.entry((target.operation, target.second, target.origin)).or_default();
            let succeeded = matches!(record.outcome, Outcome::Ok(_));
            *row = (row.0 + 1, row.1 + u64::from(succeeded));
        }
    }

    /// Counts what the comparison of one case with a plain filesystem came to.
    pub fn count_mirrored(&mut self, transparency: &Transparency) {
        self.mirrored += 1;
        self.mirrored_steps.0 += transparency.steps as u64;
        self.mirrored_steps.1 += transparency.compared as u64;
        for (deviation, steps) in &transparency.deviations {
            *self.deviations.entry(*deviation).or_default() += *steps as u64;
        }
    }

    /// Adds another worker's counts.
    pub fn add(&mut self, other: &Stats) {
        self.cases += other.cases;
        self.steps += other.steps;
        self.checked += other.checked;
        self.changed += other.changed;
        self.resolved += other.resolved;
        self.mirrored += other.mirrored;
        self.mirrored_steps.0 += other.mirrored_steps.0;
        self.mirrored_steps.1 += other.mirrored_steps.1;
        for (deviation, n) in &other.deviations {
            *self.deviations.entry(*deviation).or_default() += n;
        }
        self.cut += other.cut;
        for (rule, (news, known)) in &other.broken {
            let total = self.broken.entry(*rule).or_default();
            total.0 += news;
            total.1 += known;
        }
        for (known, n) in &other.known {
            *self.known.entry(*known).or_default() += n;
        }
        self.mutating += other.mutating;
        self.diverged += other.diverged;
        for (reason, n) in &other.untested {
            *self.untested.entry(reason.clone()).or_default() += n;
        }
        for (key, n) in &other.results {
            *self.results.entry(*key).or_default() += n;
        }
        for (key, (calls, succeeded)) in &other.origins {
            let row = self.origins.entry(*key).or_default();
            *row = (row.0 + calls, row.1 + succeeded);
        }
        for (operation, (calls, succeeded)) in &other.mutations {
            let row = self.mutations.entry(operation).or_default();
            *row = (row.0 + calls, row.1 + succeeded);
        }
        self.fired.resize(CLAUSES, 0);
        for (total, fired) in self.fired.iter_mut().zip(&other.fired) {
            *total += fired;
        }
    }

    /// Every clause with how often it fired, the rarest first.
    pub fn by_firing(&self) -> Vec<(Clause, u64)> {
        let fired = |clause: &Clause| self.fired.get(*clause as usize).copied().unwrap_or(0);
        let mut all: Vec<(Clause, u64)> = Clause::ALL.iter().map(|c| (*c, fired(c))).collect();
        all.sort_by_key(|(_, n)| *n);
        all
    }

    /// Clauses that never fired.
    pub fn never_fired(&self) -> Vec<Clause> {
        Clause::ALL.iter().copied().filter(|c| self.fired.get(*c as usize).is_none_or(|n| *n == 0)).collect()
    }
}

/// What became of a known deviation in a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The line of its name in the file of expectations.
    pub line: usize,
    /// In how many cases it was met.
    pub cases: u64,
    /// It did not come true although it should have.
    pub gone: bool,
    /// After how many cases it is gone if none met it; `None` if something else says so.
    pub due: Option<u64>,
}

/// How long a campaign took to begin, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Until a worker was ready: a guest boots first.
    pub ready: Option<Duration>,
    /// Until a case was judged.
    pub judged: Option<Duration>,
}

/// What a campaign came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The seed that every case was drawn from; of several campaigns the first.
    pub seed: u64,
    /// How many campaigns this is about, each with the next seed.
    pub seeds: u64,
    /// Which part of them.
    pub shard: Shard,
    /// Where it ran; `None` if no worker came up.
    pub environment: Option<Environment>,
    /// The counts.
    pub stats: Stats,
    /// One finding for each signature, in the order they were found.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub elapsed: Duration,
    /// How long it took to begin.
    pub start: Start,
    /// Whether it was cut short.
    pub interrupted: bool,
    /// What became of each known deviation; empty where there are no expectations.
    pub known: Vec<Known>,
    /// Defects of ovlcheck that it met.
    pub defects: Vec<String>,
}

impl Summary {
    /// Adds another campaign, with the next seed: a finding of a signature that was met counts there.
    pub fn add(&mut self, other: Summary) {
        self.seeds += other.seeds;
        self.environment = self.environment.take().or(other.environment);
        self.stats.add(&other.stats);
        self.elapsed += other.elapsed;
        self.interrupted |= other.interrupted;
        self.defects.extend(other.defects);
        for (known, more) in self.known.iter_mut().zip(other.known) {
            known.cases += more.cases;
            known.gone &= more.gone;
        }
        for mut finding in other.findings {
            // An index means a case of the first seed.
            finding.index = None;
            let signature = finding.divergence.signature();
            match self.findings.iter_mut().find(|f| f.divergence.signature() == signature) {
                Some(known) => known.times += finding.times,
                None => self.findings.push(finding),
            }
        }
    }
}
