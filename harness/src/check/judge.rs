//! Replaying a case in the model beside its trace.

use std::collections::BTreeMap;

use super::compare::{Devices, Diff, IGNORED_XATTRS, Known};
use super::divergence::{Divergence, Oracle, Place};
use super::explain::{explain, may_differ, suspected};
use super::forgive::Forgiven;
use super::layers;
use super::trees::{self, Late, TreeDiff};
use crate::bytes::Bytes;
use crate::case::Case;
use crate::errno::Errno;
use crate::level::Level;
use crate::model::disk::Ino;
use crate::model::look::Look;
use crate::model::stream::{Dent, Shown};
use crate::model::{Clause, Context, Model, Predicted, View};
use crate::step::{Op, Slot};
use crate::trace::{
    DirEntry, End, Footprint, Kind, NodeSeen, Observation, Outcome, Side, Span, StatFs, StepTrace, Time, Trace, Value,
};

/// What judging a trace gives.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The first difference that nobody foresaw, if there is one.
    pub divergence: Option<Divergence>,
    /// What was foreseen and came true, by the numbers that the foresight gave; each once, in order.
    pub known: Vec<usize>,
    /// By which clauses what was foreseen was judged.
    pub known_rules: Vec<Clause>,
    /// The case was judged up to a foreseen difference after which nothing can be said.
    pub cut: bool,
    /// The case was judged up to a difference from what a higher level than the target's demands.
    pub beyond: bool,
    /// The case was judged up to a walk that something else on the machine interrupted (VFS-05.loop): run again, it
    /// may go on.
    pub interrupted: bool,
    /// How many steps were compared in full.
    pub checked: usize,
    /// How many of them changed the upper layer or the work directory.
    pub changed: usize,
    /// How many whole merged trees were compared with what their layers make.
    pub resolved: usize,
    /// How often each clause fired, indexed by `Clause as usize`.
    pub fired: Vec<u32>,
}

/// Fields that say what names there are and of what type, which is the same whether hard links are broken or not.
const OF_NAMES: [&str; 7] = ["names", "presence", "type", "d_type", "listing", "ending", "digest"];

/// Judges a trace of `case`. With a `fault`, the model is wrong in that one clause.
pub fn judge(case: &Case, trace: &Trace, fault: Option<Clause>) -> Judgement {
    judge_foreseen(case, trace, fault, &|_| None)
}

/// Judges a trace as [`judge`] does, but a difference that `foresee` knows, by the number that it gives, is
/// no news.
///
/// After it the case is judged on where that is sound: where the model decides nothing by the field that
/// differed (see `Forgiven`). That field is then compared no more, anywhere in the case, from that step on.
/// After any other foreseen difference the target's state is another than the model's, and judging ends.
pub fn judge_foreseen(
    case: &Case,
    trace: &Trace,
    fault: Option<Clause>,
    foresee: &dyn Fn(&Divergence) -> Option<usize>,
) -> Judgement {
    let mut forgiven = Forgiven::default();
    let mut known = Vec::new();
    let mut known_rules = Vec::new();
    loop {
        let judgement = judge_once(case, trace, fault, &forgiven);
        let Some((index, found)) = judgement.divergence.as_ref().and_then(|d| Some((foresee(d)?, d.clone()))) else {
            return Judgement { known, known_rules, ..judgement };
        };
        if !known.contains(&index) {
            known.push(index);
        }
        known_rules.extend(found.rule);
        if !forgiven.add(&found, trace.environment.level) {
            return Judgement { divergence: None, known, known_rules, cut: true, ..judgement };
        }
    }
}

fn judge_once(case: &Case, trace: &Trace, fault: Option<Clause>, forgiven: &Forgiven) -> Judgement {
    let level = trace.environment.level;
    let mut judge = Judge::new(case, trace, fault, forgiven);
    let mut divergence = judge.run().err().map(|d| *d);
    // What only Linux does is no finding below its level; nor is what comes of it. The form on disk is not
    // looked at below its own, and whatever of it shows in the merged view binds everybody.
    let own_way = |rule: Option<Clause>| level < Level::Linux && rule.is_some_and(|r| r.level() == Level::Linux);
    let mut beyond = false;
    if let Some(found) = &mut divergence {
        beyond = if fault.is_some() {
            // The model alone is on trial.
            own_way(found.rule)
        } else {
            let fired = judge.model.rules.fired();
            let explained = explain(case, trace, forgiven, found, fired);
            // How a layer lies on disk accuses nobody who does not claim to keep to that.
            let binding = explained.filter(|clause| clause.level() <= level || clause.level() == Level::Linux);
            found.rule = binding.or_else(|| suspected(found, level));
            // Whoever keeps the names of a lower file together has others that differ from here on.
            let apart = explained.is_none() || !OF_NAMES.contains(&found.field.as_str());
            let linked = level < Level::Linux && apart && fired[Clause::LnkBroken as usize] > 0;
            own_way(explained) || linked || may_differ(case, trace, found, level)
        };
    }
    if beyond {
        divergence = None;
    }
    let (mut resolved, checked, changed) = (0, judge.checked, judge.changed);
    // What a view shows after the upper changed behind the overlay's back is nobody's rule, and with a
    // fault the model alone is on trial.
    if divergence.is_none() && fault.is_none() && !beyond && level >= Level::Format {
        let until = if judge.model.adrift || judge.model.undecided { checked } else { usize::MAX };
        (resolved, divergence) = layers::check(case, trace, until);
    }
    let fired = judge.model.rules.fired().to_vec();
    let interrupted = judge.interrupted;
    let (known, known_rules) = Default::default();
    Judgement { divergence, known, known_rules, cut: false, beyond, interrupted, checked, changed, resolved, fired }
}

/// A model beside a trace.
pub(super) struct Judge<'a> {
    pub(super) model: Model,
    known: Known,
    case: &'a Case,
    trace: &'a Trace,
    forgiven: &'a Forgiven,
    /// Where errors must be the same, whatever the level.
    pub(super) exact_at: Option<Place>,
    /// Steps that were compared in full.
    pub(super) checked: usize,
    changed: usize,
    late_at: Option<(Oracle, Bytes)>,
    /// A walk was interrupted, which ended judging.
    interrupted: bool,
}

type Verdict = Result<(), Box<Divergence>>;

impl<'a> Judge<'a> {
    pub(super) fn new(case: &'a Case, trace: &'a Trace, fault: Option<Clause>, forgiven: &'a Forgiven) -> Judge<'a> {
        let context = Context::of(&trace.environment);
        let level = trace.environment.level;
        let mut known = Known { level, plain: context.view == View::Plain, ..Known::default() };
        known.spans.push(trace.setup);
        known.spans.push(trace.mounted);
        let model = Model::new(case, context, fault);
        known.strictatime = model.options.strictatime;
        known.counts_blocks = model.disk.traits.counts_blocks && !known.plain;
        if known.counts_blocks {
            known.lower_blocks = blocks_of(&model, trace);
        }
        if case.spans_filesystems() && !known.plain {
            known.devices = Some(Devices::default());
            bind_lowers(&model, &mut known, trace);
        }
        Judge {
            model,
            known,
            case,
            trace,
            forgiven,
            exact_at: None,
            checked: 0,
            changed: 0,
            late_at: None,
            interrupted: false,
        }
    }

    /// Whether judging ended where nobody can say what must be.
    pub(super) fn ended_early(&self) -> bool {
        self.model.adrift || self.model.undecided
    }

    pub(super) fn run(&mut self) -> Verdict {
        if let Some(error) = &self.trace.mount_error {
            if self.model.mounts == Err(error.errno) {
                return Ok(());
            }
            let seen = format!("{}: {}", error.errno, error.message);
            return Err(self.diverge(Place::Mount, Oracle::Ending, None, Diff::new("mount", "a mount", seen)));
        }
        if let Err(errno) = self.model.mounts {
            let diff = Diff::new("mount", errno, "a mount");
            return Err(self.diverge(Place::Mount, Oracle::Outcome, None, diff));
        }
        for (index, record) in self.trace.steps.iter().enumerate() {
            let stepped = self.step(index, record);
            if self.model.undecided {
                return Ok(());
            }
            stepped?;
            if self.model.adrift {
                return Ok(());
            }
            self.checked += 1;
        }
        self.ending()?;
        if let Some(last) = &self.trace.last {
            self.known.forgiven = self.forgiven.at(Place::End);
            self.model.rules.begin_step();
            let looked = self.observe(Place::End, last);
            if self.model.undecided {
                return Ok(());
            }
            looked?;
            self.late(Place::End)?;
        }
        let lower = self.trace.lower;
        if lower.before != lower.after {
            let diff = Diff::new("digest", format!("{:016x}", lower.before), format!("{:016x}", lower.after));
            return Err(self.diverge(Place::End, Oracle::Lower, None, diff));
        }
        Ok(())
    }

    fn ending(&mut self) -> Verdict {
        let (step, seen) = match &self.trace.end {
            End::Completed => return Ok(()),
            End::Died { step, how } => (*step, format!("death of the worker or target: {how}")),
            End::Hung { step } => (*step, "no return before the deadline".to_owned()),
            End::MountFailed { step, error }
                if matches!(self.case.steps.get(*step as usize).map(|s| &s.op), Some(Op::Remount))
                    && self.model.refuses_mount() == Some(error.errno) =>
            {
                return Ok(());
            }
            End::MountFailed { step, error } => (*step, format!("{}: {}", error.errno, error.message)),
        };
        let place = Place::Step(step as usize);
        Err(self.diverge(place, Oracle::Ending, None, Diff::new("ending", "a return", seen)))
    }

    /// The end of the time in which looks after step `index` happened: before the next record ends.
    fn looked_until(&self, index: usize) -> Time {
        let next = self.trace.steps.get(index + 1).map(|s| s.span.to);
        next.or(self.trace.last.as_ref().map(|l| l.span.to)).unwrap_or(self.trace.steps[index].span.to)
    }

    /// What the model is told of a step before it says what must be: what reading a directory gave, since the order
    /// of its entries is for the kernel to choose; and whether a name was taken, since not every version tells
    /// whether it may be (FIL-11).
    fn shown(&self, index: usize, record: &StepTrace) -> Option<Shown> {
        if record.outcome == Outcome::Err(Errno::EEXIST) {
            return Some(Shown { exists: true, ..Shown::default() });
        }
        let slot = match self.case.steps.get(index)?.op {
            Op::Getdents64 { slot, .. } | Op::Getdents { slot, .. } => slot,
            _ => return None,
        };
        let names = |dents: &[(DirEntry, i64)]| dents.iter().map(|(e, next)| (e.name.clone(), *next)).collect();
        match &record.outcome {
            Outcome::Ok(Value::Dents(dents)) => {
                Some(Shown { dents: names(dents), then: self.next_name(index, slot).cloned(), ..Shown::default() })
            }
            Outcome::Ok(Value::List(list)) => {
                let dents = list.iter().map(|e| (e.name.clone(), 0)).collect();
                Some(Shown { dents, ..Shown::default() })
            }
            Outcome::Err(Errno::EINVAL) => Some(Shown { refused: true, ..Shown::default() }),
            _ => None,
        }
    }

    /// The name with which the next call goes on that reads the directory in `slot`, if it is sure to go on there.
    fn next_name(&self, index: usize, slot: Slot) -> Option<&Bytes> {
        let steps = &self.case.steps;
        if steps.iter().any(|step| matches!(step.op, Op::Dup { .. })) {
            return None;
        }
        let later = steps.iter().zip(&self.trace.steps).skip(index + 1);
        for (step, record) in later {
            match (&step.op, &record.outcome) {
                (Op::Getdents64 { slot: of, .. }, Outcome::Ok(Value::Dents(dents))) if *of == slot => {
                    return dents.first().map(|(entry, _)| &entry.name);
                }
                (Op::Remount | Op::Rotate, _) => return None,
                (Op::Getdents64 { .. } | Op::Fstat { .. }, _) => {}
                (op, _) if op.slot() == Some(slot) => return None,
                _ => {}
            }
        }
        None
    }

    fn step(&mut self, index: usize, record: &StepTrace) -> Verdict {
        let Some(step) = self.case.steps.get(index) else { return Ok(()) };
        let place = Place::Step(index);
        self.known.forgiven = self.forgiven.at(place);
        self.model.rules.begin_step();
        let span = self.known.spans.push(record.span);
        self.model.at(span);
        let before = self.model.disk.changes;
        self.model.foresee(self.shown(index, record));
        let predicted = self.model.act(step);
        self.changed += usize::from(self.model.disk.changes != before);
        if self.model.disk.traits.reuses_numbers {
            self.known.held = self.model.held_inodes();
        }
        // A walk that was interrupted has done nothing; what comes after it is another case.
        let loops = record.outcome == Outcome::Err(Errno::ELOOP) && predicted != Err(Errno::ELOOP);
        if loops && self.model.may_loop() {
            (self.interrupted, self.model.undecided) = (true, true);
            return Ok(());
        }
        let exact = self.exact_at == Some(place) || self.known.level == Level::Linux;
        self.outcome(&predicted, &record.outcome, exact)
            .map_err(|diff| self.diverge(place, Oracle::Outcome, None, diff))?;
        if matches!(step.op, Op::Remount | Op::Rotate) {
            self.known.merged_dev = None;
            if let Some(devices) = &mut self.known.devices {
                devices.shown.clear();
            }
        }
        let looks = Span { from: record.span.from, to: self.looked_until(index) };
        let looks = self.known.spans.push(looks);
        self.model.at(looks);
        let mut after_merged = false;
        // What the call itself has shown is as old as the call.
        (self.known.merged_blocks, self.known.upper_blocks) = Default::default();
        for footprint in &record.footprint {
            // What follows a merged look on the upper side is the path's directory, opened as one.
            let directory = after_merged && footprint.side == Side::Upper;
            after_merged = footprint.side == Side::Merged && !footprint.path.is_empty();
            if footprint.side == Side::Upper && self.known.level < Level::Format {
                continue;
            }
            self.footprint(place, footprint, directory)?;
            self.note_late(Oracle::Footprint(footprint.side), &footprint.path);
        }
        if let Err((number, diff)) = self.known.blocks(&self.model.disk) {
            let has = |f: &&Footprint| f.seen.as_ref().is_ok_and(|seen| seen.stat.ino == number);
            let at = record.footprint.iter().find(has).map(|f| f.path.clone());
            return Err(self.blocks_differ(place, Oracle::Footprint(Side::Merged), at, diff));
        }
        if let Some(observation) = &record.observation {
            self.observe(place, observation)?;
        }
        self.late(place)
    }

    /// Remembers where the first differing time stamp was met.
    fn note_late(&mut self, oracle: Oracle, path: &Bytes) {
        if self.late_at.is_none() && self.known.late.is_some() {
            self.late_at = Some((oracle, path.clone()));
        }
    }

    /// Reports a differing time stamp if nothing else of the step differed.
    fn late(&mut self, place: Place) -> Verdict {
        let Some((diff, ino)) = self.known.late.take() else { return Ok(()) };
        let (oracle, path) = self.late_at.take().unwrap_or((Oracle::Outcome, Bytes::default()));
        let suspect = ino.and_then(|ino| self.model.disk[ino].by);
        let mut found = self.diverge(place, oracle, suspect, diff);
        found.path = path;
        Err(found)
    }

    fn outcome(
        &mut self,
        predicted: &Result<Predicted, crate::errno::Errno>,
        seen: &Outcome,
        exact: bool,
    ) -> Result<(), Diff> {
        let value = match (predicted, seen) {
            (Ok(Predicted::Unspecified), _) => return Ok(()),
            (Ok(value), Outcome::Ok(seen)) => (value, seen),
            (Err(e), Outcome::Err(seen)) if e == seen || !exact => return Ok(()),
            (Err(e), Outcome::Err(seen)) => return Err(Diff::new("errno", e, seen)),
            (Err(e), Outcome::Ok(_)) => return Err(Diff::new("errno", e, "success")),
            (Ok(_), Outcome::Err(seen)) => return Err(Diff::new("errno", "success", seen)),
        };
        match value {
            (Predicted::Unit, Value::Unit) => Ok(()),
            (Predicted::Count(n), Value::Count(seen)) if n == seen => Ok(()),
            (Predicted::Count(n), Value::Count(seen)) => Err(Diff::new("count", n, seen)),
            (Predicted::Bytes(b), Value::Bytes(seen)) if b == seen => Ok(()),
            (Predicted::Bytes(b), Value::Bytes(seen)) => Err(Diff::new("data", b, seen)),
            (Predicted::Stat(look), Value::Stat(seen)) => self.known.stat(&self.model.disk, *look, seen, true),
            (Predicted::Names(names), Value::Names(seen)) => {
                let ignored = |n: &&Bytes| IGNORED_XATTRS.iter().any(|i| i.as_bytes() == n.as_slice());
                if names.iter().eq(seen.iter().filter(|n| !ignored(n))) {
                    return Ok(());
                }
                Err(Diff::new("names", format!("{names:?}"), format!("{seen:?}")))
            }
            (Predicted::Filesystem(facts), Value::Filesystem(seen)) if facts == seen => Ok(()),
            (Predicted::Filesystem(facts), Value::Filesystem(seen)) => {
                let show = |s: &StatFs| {
                    format!("type {:#x}, names up to {} bytes, read-only: {}", s.magic, s.name_max, s.read_only)
                };
                Err(Diff::new("filesystem", show(facts), show(seen)))
            }
            (Predicted::List(listing), Value::List(seen)) => self.listing(listing, seen),
            (Predicted::Dents(dents), Value::Dents(seen)) => self.dents(dents, seen),
            (_, seen) => Err(Diff::new("value", "a value of the call's type", format!("{seen:?}"))),
        }
    }

    fn dents(&mut self, expected: &[Dent], seen: &[(DirEntry, i64)]) -> Result<(), Diff> {
        let same = expected.len() == seen.len() && expected.iter().zip(seen).all(|(e, (s, _))| e.name == s.name);
        if !same {
            let show = |names: Vec<&Bytes>| {
                format!("[{}]", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            };
            let seen = show(seen.iter().map(|(s, _)| &s.name).collect());
            return Err(Diff::new("names", show(expected.iter().map(|e| &e.name).collect()), seen));
        }
        for (expected, (seen, next)) in expected.iter().zip(seen) {
            let name = &expected.name;
            if expected.kind != seen.kind {
                let (expected, seen) = (expected.kind, seen.kind);
                return Err(Diff::new("d_type", format!("{name} {expected:?}"), format!("{name} {seen:?}")));
            }
            if let Some(offset) = expected.next.filter(|offset| offset != next) {
                return Err(Diff::new("d_off", format!("{name} {offset}"), format!("{name} {next}")));
            }
            if expected.ino.is_some_and(|ino| self.known.number(&self.model.disk, ino, seen.ino).is_err()) {
                let number = expected.ino.map_or("its own".to_owned(), |number| self.known.describe_number(number));
                return Err(Diff::new("d_ino", format!("{name} {number}"), format!("{name} {}", seen.ino)));
            }
        }
        Ok(())
    }

    fn listing(&mut self, expected: &crate::model::readdir::Listing, seen: &[DirEntry]) -> Result<(), Diff> {
        if !expected.iter().map(|e| &e.0).eq(seen.iter().map(|e| &e.name)) {
            let show = |names: Vec<&Bytes>| {
                format!("[{}]", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            };
            let expected = show(expected.iter().map(|e| &e.0).collect());
            return Err(Diff::new("names", expected, show(seen.iter().map(|e| &e.name).collect())));
        }
        for ((name, kind, ino), seen) in expected.iter().zip(seen) {
            if *kind != seen.kind {
                return Err(Diff::new("d_type", format!("{name} {kind:?}"), format!("{name} {:?}", seen.kind)));
            }
            if self.known.number(&self.model.disk, *ino, seen.ino).is_err() {
                let number = self.known.describe_number(*ino);
                return Err(Diff::new("d_ino", format!("{name} {number}"), format!("{name} {}", seen.ino)));
            }
        }
        Ok(())
    }

    fn footprint(&mut self, place: Place, footprint: &Footprint, directory: bool) -> Verdict {
        let oracle = Oracle::Footprint(footprint.side);
        let merged = footprint.side == Side::Merged;
        let look = if merged {
            self.model.look_merged(&footprint.path).map(|(_, look)| look)
        } else {
            let upper = self.model.upper;
            let found = if directory {
                self.model.disk_dir_at(upper, &footprint.path)
            } else {
                self.model.disk_at(upper, &footprint.path)
            };
            found.map(|ino| Look::on_disk(&self.model.disk, ino))
        };
        let suspect = look.ok().and_then(|l| self.model.disk[l.attributes].by);
        let diff = match (look, &footprint.seen) {
            (Ok(look), Ok(seen)) => match self.known.node(&self.model.disk, look, seen, merged) {
                Ok(()) => return Ok(()),
                Err(diff) => diff,
            },
            (Err(e), Err(seen)) if e == *seen || self.known.level < Level::Linux => return Ok(()),
            (Err(e), Err(seen)) => Diff::new("errno", e, seen),
            (Err(e), Ok(seen)) => Diff::new("presence", e, describe(seen)),
            (Ok(look), Err(seen)) => {
                Diff::new("presence", format!("{:?}", self.model.disk[look.attributes].body.kind()), seen)
            }
        };
        let mut found = self.diverge(place, oracle, suspect, diff);
        found.path = footprint.path.clone();
        Err(found)
    }

    fn observe(&mut self, place: Place, observation: &Observation) -> Verdict {
        let span = self.known.spans.push(observation.span);
        self.model.at(span);
        let mut late = Late { at: self.late_at.take() };
        let (model, known) = (&mut self.model, &mut self.known);
        let overlay = model.context.view == View::Overlay;
        let found = match trees::merged(model, known, &mut late, &observation.merged) {
            Err(diff) => Some((Side::Merged, diff)),
            Ok(()) if !overlay || known.level < Level::Format => None,
            Ok(()) => match trees::upper(model, known, &mut late, &observation.upper) {
                Err(diff) => Some((Side::Upper, diff)),
                Ok(()) if known.level < Level::Linux => None,
                Ok(()) => trees::work(model, known, &observation.work).err().map(|diff| (Side::Work, diff)),
            },
        };
        self.late_at = late.at;
        if let (None, Err((number, diff))) = (&found, self.known.blocks(&self.model.disk)) {
            let has = |node: &&NodeSeen| node.seen.as_ref().is_ok_and(|seen| seen.stat.ino == number);
            let at = observation.merged.iter().find(has).map(|node| node.path.clone());
            return Err(self.blocks_differ(place, Oracle::Tree(Side::Merged), at, diff));
        }
        let Some((side, TreeDiff { path, diff, suspect })) = found else { return Ok(()) };
        let suspect = suspect.and_then(|ino| self.model.disk[ino].by);
        let mut found = self.diverge(place, Oracle::Tree(side), suspect, diff);
        found.path = path;
        Err(found)
    }

    fn blocks_differ(&self, place: Place, oracle: Oracle, path: Option<Bytes>, diff: Diff) -> Box<Divergence> {
        let mut found = self.diverge(place, oracle, Some(Clause::McpBlocks), diff);
        found.path = path.unwrap_or_default();
        found
    }

    fn diverge(&self, place: Place, oracle: Oracle, suspect: Option<Clause>, diff: Diff) -> Box<Divergence> {
        // Of a death or a refused mount no clause has been the judge.
        let rules = if oracle == Oracle::Ending { &[] } else { self.model.rules.in_play() };
        let mut in_play: Vec<Clause> = Vec::new();
        for &clause in rules {
            if !in_play.contains(&clause) {
                in_play.push(clause);
            }
        }
        let operation = match place {
            Place::Mount => "mount",
            Place::Step(n) => self.case.steps.get(n).map_or("end", |s| s.op.name()),
            Place::End => "end",
        };
        let rule = suspect.or(rules.last().copied());
        Box::new(Divergence {
            place,
            oracle,
            operation,
            rule,
            in_play,
            path: Bytes::default(),
            field: diff.field,
            expected: diff.expected,
            seen: diff.seen,
        })
    }
}

/// Binds the numbers of what lies in the lower layers, and the devices of their filesystems, to what was read there
/// before the mount.
fn bind_lowers(model: &Model, known: &mut Known, trace: &Trace) {
    for (&root, nodes) in model.lowers.iter().zip(&trace.lowers) {
        for node in nodes {
            let (Ok(seen), Ok(ino)) = (&node.seen, model.disk_at(root, &node.path)) else { continue };
            known.bindings.number(model.disk[ino].on, ino, seen.stat.ino);
            if let Some(devices) = &mut known.devices {
                devices.know_native(seen.stat.dev);
            }
        }
    }
}

/// The blocks of the regular files of all lower layers.
fn blocks_of(model: &Model, trace: &Trace) -> BTreeMap<Ino, u64> {
    let mut blocks = BTreeMap::new();
    for (&root, nodes) in model.lowers.iter().zip(&trace.lowers) {
        for node in nodes {
            let Ok(seen) = &node.seen else { continue };
            if let (Kind::File, Ok(ino)) = (seen.stat.kind, model.disk_at(root, &node.path)) {
                blocks.insert(ino, seen.stat.blocks);
            }
        }
    }
    blocks
}

fn describe(seen: &crate::trace::Seen) -> String {
    let whiteout = seen.stat.kind == crate::trace::Kind::Char && seen.stat.rdev == (0, 0);
    if whiteout { "a whiteout".to_owned() } else { format!("{:?}", seen.stat.kind) }
}
