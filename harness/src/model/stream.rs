//! Reading an open directory call by call: what fits in a buffer, positions, rewinding (`readdir.c`,
//! `fs/readdir.c`).
//!
//! In which order a directory gives its entries is its filesystem's business: the model is told what was given
//! ([`Shown`]), takes it for the order if it can be one, and holds every later call to it. What no order explains
//! it answers with an order of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Model;
use super::clause::Clause;
use super::disk::Ino;
use super::file::OpenFile;
use super::number::Number;
use super::overlay::{DentryId, Snapshot, SnapshotEntry};
use super::readdir::Listing;
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::step::{Slot, Whence};
use crate::trace::Kind;

/// An entry that getdents64 gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dent {
    /// Its name.
    pub name: Bytes,
    /// Its type.
    pub kind: Kind,
    /// What its `d_ino` is; `None` for the `..` of the root.
    pub ino: Option<Number>,
    /// The position after it; `None` where that is its filesystem's business and nothing told it.
    pub next: Option<i64>,
}

/// What a call was seen to give, where that is for the kernel to choose: an order, or which of two rules it follows.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Names and the positions after them; of `getdents` the names alone count.
    pub dents: Vec<(Bytes, i64)>,
    /// The name that the next call began with, if it went on where this one ended.
    pub then: Option<Bytes>,
    /// The call was refused: nothing fitted.
    pub refused: bool,
    /// The call failed with EEXIST.
    pub exists: bool,
}

/// A position in a directory, as a call has given it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Its number, if that is known.
    pub(super) offset: Option<i64>,
    /// Where entries pass through: what had been given up to there, each with the count of arrivals then; `None`
    /// where that is not known.
    pub(super) given: Option<BTreeMap<Bytes, u64>>,
    /// And how many names had come anywhere when that reading began.
    pub(super) began: u64,
    /// And what came after it, each with the count of arrivals that it came with.
    pub(super) rest: BTreeMap<Bytes, u64>,
}

/// What an entry takes in the buffer (`struct linux_dirent64`).
fn record(name: &[u8]) -> usize {
    (19 + name.len() + 1).next_multiple_of(8)
}

/// Whether a name is `.` or `..`.
pub(super) fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// What of a merged listing is where, as far as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The entry with this index.
    Entry(usize),
    /// One that is not listed, whichever.
    Hidden,
}

impl Snapshot {
    /// Indices of the entries whose place is not known.
    fn unplaced(&self) -> Vec<usize> {
        (0..self.entries.len()).filter(|at| !self.order.contains(&Placed::Entry(*at))).collect()
    }

    /// How many positions it has: what is not listed has one as well (DIR-05).
    pub(super) fn total(&self) -> usize {
        self.entries.len()
    }
}

impl Model {
    /// Tells what the next step was seen to give.
    pub(crate) fn foresee(&mut self, shown: Option<Shown>) {
        self.shown = shown;
    }

    /// At its start an open directory finds out how it lists, and keeps a listing only while nothing changed
    /// (`ovl_dir_reset`).
    fn settle(&mut self, slot: Slot) -> Result<(), Errno> {
        let file = self.file(slot)?;
        let Some(node) = self.cache.at(file.dentry) else { return Ok(()) };
        let (merges, version) = (!node.lists_real(), node.version);
        let starts = match file.real {
            Some(_) => !file.started,
            None => file.position == 0,
        };
        if file.real.is_some() && !starts && merges && !self.rules.holds(Clause::DirMode) {
            self.change_file(slot, |file| file.real = None);
        }
        let changed = file.snapshot.as_ref().is_some_and(|held| held.borrow().version != version);
        if starts || changed && !self.rules.holds(Clause::DirKept) {
            self.change_file(slot, |file| {
                if merges {
                    file.real = None;
                }
                file.snapshot = file.snapshot.take().filter(|held| held.borrow().version == version);
            });
        }
        Ok(())
    }

    /// The merged listing that an open directory holds, from now on if it held none.
    fn held_snapshot(&mut self, slot: Slot) -> Result<Rc<RefCell<Snapshot>>, Errno> {
        let file = self.file(slot)?;
        let snapshot = file.snapshot.clone().unwrap_or_else(|| self.snapshot(file.dentry));
        self.change_file(slot, |file| file.snapshot = Some(snapshot.clone()));
        Ok(snapshot)
    }

    /// What every reading of a directory begins with.
    fn begin_reading(&mut self, slot: Slot) -> Result<DentryId, Errno> {
        let file = self.file(slot)?;
        if self.kind_of(file.dentry) != Some(Kind::Dir) {
            return Err(self.refuse(Clause::VfsGetdentsKind, Errno::ENOTDIR));
        }
        if self.cache.at(file.dentry).is_some_and(|n| n.dead) {
            return Err(self.refuse(Clause::DirDead, Errno::ENOENT));
        }
        self.settle(slot)?;
        self.accessed(&file);
        Ok(file.dentry)
    }

    /// Lists an open directory from its position to its end; `None` where its position is lost.
    pub(super) fn getdents(&mut self, slot: Slot) -> Result<Option<Listing>, Errno> {
        let shown = self.shown.take();
        let id = self.begin_reading(slot)?;
        let file = self.file(slot)?;
        if let Some(real) = file.real {
            return self.rest_of_real(slot, id, real, shown);
        }
        if file.was_lower && !file.listed && !self.rules.holds(Clause::DirSwitch) {
            // Opened before copy-up, it would go on with what it was opened on (DIR-15).
            if let Some(lower) = self.cache.at(id).and_then(|n| n.lowers.first().map(|l| l.1)) {
                self.change_file(slot, |file| (file.listed, file.position) = (true, u64::MAX >> 1));
                let names = self.names_of(lower);
                return Ok(Some(self.numbered(names)));
            }
        }
        let snapshot = self.held_snapshot(slot)?;
        let total = snapshot.borrow().total();
        let at = usize::try_from(file.position).unwrap_or(usize::MAX);
        let lost = file.lost || at < total && at > snapshot.borrow().order.len();
        let listing = if at >= total && !file.lost {
            Vec::new()
        } else {
            let shown: Vec<Bytes> = shown.into_iter().flat_map(|s| s.dents).map(|(name, _)| name).collect();
            let (listing, failed) = self.emit(id, &snapshot, if lost { 0 } else { at }, &shown);
            // Which call ends there depends on the order of the entries.
            self.undecided |= failed;
            listing
        };
        self.change_file(slot, |file| {
            file.listed = true;
            file.position = total as u64;
            file.lost = false;
        });
        Ok(if lost { None } else { Some(listing) })
    }

    /// Lists what is left of a directory whose entries pass through.
    fn rest_of_real(
        &mut self,
        slot: Slot,
        id: DentryId,
        real: Ino,
        shown: Option<Shown>,
    ) -> Result<Option<Listing>, Errno> {
        self.find_place(slot, real)?;
        let file = self.file(slot)?;
        let lost = self.is_lost(&file);
        if file.listed {
            // At its end, too, a read finds out whether the directory is impure still (DIR-13).
            self.find_impure(id, real)?;
            return Ok(if lost { None } else { Some(Vec::new()) });
        }
        let far = self.disk.traits.ends_far;
        self.change_file(slot, |open| {
            (open.listed, open.started) = (true, true);
            open.at_far_end = if lost && far { None } else { Some(far) };
        });
        let mut listing = self.list_real(id, real)?;
        let shown: Vec<Bytes> = shown.into_iter().flat_map(|s| s.dents).map(|(name, _)| name).collect();
        listing.retain(|(name, ..)| match self.may_come(slot, real, name) {
            Some(required) => required || !file.started || shown.contains(name),
            None => false,
        });
        Ok(if lost { None } else { Some(listing) })
    }

    /// Whether nothing can be said of where an open directory whose entries pass through stands: after an odd
    /// seek, and once it has been read from where only the filesystem's own cursor knows.
    fn is_lost(&self, file: &OpenFile) -> bool {
        file.lost || file.started && self.disk.traits.reads_by_cursor
    }

    /// Whether a name that lies in a directory whose entries pass through can be given by an open directory, and
    /// if so, whether it must before the end: a name that came while it was being read may be left out.
    fn may_come(&mut self, slot: Slot, real: Ino, name: &Bytes) -> Option<bool> {
        let file = self.file(slot).ok()?;
        let came = self.disk[real].arrivals.get(name).copied().unwrap_or(0);
        if self.disk.traits.lists_as_opened && came > file.arrivals {
            return None;
        }
        if file.given.get(name).is_some_and(|&then| came <= then) {
            return None;
        }
        Some(came <= file.began)
    }

    /// getdents64(2): as much as fits. `None` where the position is lost.
    pub(super) fn getdents64(&mut self, slot: Slot, size: u32) -> Result<Option<Vec<Dent>>, Errno> {
        let shown = self.shown.take();
        let id = self.begin_reading(slot)?;
        let file = self.file(slot)?;
        self.change_file(slot, |file| file.parted = true);
        let seen: Vec<i64> = shown.iter().flat_map(|s| s.dents.iter().map(|(_, next)| *next)).collect();
        let given = match file.real {
            Some(real) => self.read_real(slot, id, real, size as usize, shown)?,
            None => self.read_merged_from(slot, id, size as usize, shown)?,
        };
        let marks = &mut self.marks[usize::from(slot)];
        let Some(dents) = &given else {
            let nowhere = |at| Mark { offset: Some(at), given: None, began: 0, rest: BTreeMap::new() };
            marks.extend(seen.into_iter().map(nowhere));
            return Ok(None);
        };
        let (mut before, began, arrivals) = (file.given, file.began, self.disk.arrivals);
        let after = self.slots[usize::from(slot)].as_ref().map(|file| file.borrow().rest.clone()).unwrap_or_default();
        let came = |name: &Bytes| file.real.and_then(|real| self.disk[real].arrivals.get(name).copied()).unwrap_or(0);
        for (at, dent) in dents.iter().enumerate() {
            before.insert(dent.name.clone(), arrivals);
            let mut rest = after.clone();
            rest.extend(dents[at + 1..].iter().filter(|d| !is_dots(&d.name)).map(|d| (d.name.clone(), came(&d.name))));
            marks.push(Mark { offset: dent.next, given: Some(before.clone()), began, rest });
        }
        Ok(given)
    }

    /// Reads a directory whose entries pass through.
    fn read_real(
        &mut self,
        slot: Slot,
        id: DentryId,
        real: Ino,
        size: usize,
        shown: Option<Shown>,
    ) -> Result<Option<Vec<Dent>>, Errno> {
        self.find_place(slot, real)?;
        let file = self.file(slot)?;
        let listing = self.list_real(id, real)?;
        if self.is_lost(&file) {
            self.change_file(slot, |file| file.started = true);
            return Ok(None);
        }
        // Name, what is known of it, whether it has to come.
        let mut left: Vec<(Dent, bool)> = Vec::new();
        if !file.listed {
            for name in [".", ".."].map(Bytes::from) {
                if !file.given.contains_key(&name) {
                    let ino =
                        if name.len() == 1 { self.number_of_self(id, real) } else { self.number_of_parent(id, real) };
                    left.push((Dent { name, kind: Kind::Dir, ino, next: None }, true));
                }
            }
            for (name, kind, ino) in listing {
                if let Some(required) = self.may_come(slot, real, &name) {
                    left.push((Dent { name, kind, ino: Some(ino), next: None }, required));
                }
            }
        }
        let came = |(dent, _): &(Dent, bool)| (dent.name.clone(), self.disk[real].arrivals.get(&dent.name).copied());
        let mut rest: BTreeMap<Bytes, u64> =
            left.iter().map(came).map(|(name, came)| (name, came.unwrap_or(0))).collect();
        let given = match self.choose_real(left, size, shown) {
            Ok(given) => given,
            Err(errno) => {
                // Some are at the place of their first entry then, which is none that counts as the start.
                if !file.started && self.disk.traits.moves_when_refused {
                    self.change_file(slot, |file| (file.started, file.lost) = (true, true));
                }
                return Err(errno);
            }
        };
        rest.retain(|name, _| !is_dots(name) && given.iter().all(|dent| dent.name != *name));
        let arrivals = self.disk.arrivals;
        let far = self.disk.traits.ends_far;
        self.change_file(slot, |file| {
            file.started = true;
            file.at_far_end = if far { None } else { Some(false) };
            file.listed |= given.is_empty();
            file.rest = rest;
            for dent in &given {
                file.given.insert(dent.name.clone(), arrivals);
            }
        });
        Ok(Some(given))
    }

    /// Finds where an open directory stands, if its filesystem keeps which entry comes next and that may be gone: tmpfs
    /// then goes on with what has the next lower number, and its place among the others is anywhere once something was
    /// renamed, or begins anew (`offset_dir_lookup`). Which of them was next is not known.
    fn find_place(&mut self, slot: Slot, real: Ino) -> Result<(), Errno> {
        let file = self.file(slot)?;
        let dir = &self.disk[real];
        let stands = |(name, came): (&Bytes, &u64)| {
            self.disk.child(real, name).is_some() && dir.arrivals.get(name).copied().unwrap_or(0) == *came
        };
        if self.disk.traits.keeps_the_next && !file.rest.iter().all(stands) {
            self.change_file(slot, |file| file.lost = true);
        }
        Ok(())
    }

    /// What a call gives of the entries that are left: what was seen, if it can be.
    fn choose_real(
        &mut self,
        mut left: Vec<(Dent, bool)>,
        size: usize,
        shown: Option<Shown>,
    ) -> Result<Vec<Dent>, Errno> {
        let first_dots = self.disk.traits.lists_dots_first;
        let refused = shown.as_ref().is_some_and(|s| s.refused);
        if let Some(shown) = shown.filter(|s| !s.refused) {
            let (mut room, mut rest, mut given) = (size, left.clone(), Vec::new());
            for (name, next) in &shown.dents {
                let Some(at) = rest.iter().position(|(dent, _)| dent.name == *name) else { break };
                let (dent, _) = rest.remove(at);
                let len = record(name);
                if len > room || first_dots && !is_dots(name) && rest.iter().any(|(d, _)| is_dots(&d.name)) {
                    break;
                }
                room -= len;
                given.push(Dent { next: Some(*next), ..dent });
            }
            let whole = given.len() == shown.dents.len();
            let over = rest.iter().all(|(_, required)| !required);
            let full = !given.is_empty() && rest.iter().any(|(dent, _)| record(&dent.name) > room);
            if whole && (over || full) {
                if !over {
                    self.stop_for_room(&mut given)?;
                }
                return Ok(given);
            }
        }
        // An order of its own. Of a call that was refused it is known what came next: something too long.
        let dots = first_dots && left.iter().any(|(dent, _)| is_dots(&dent.name));
        let long = |dent: &Dent| refused && record(&dent.name) > size && (!dots || is_dots(&dent.name));
        left.retain(|(dent, required)| *required || long(dent));
        left.sort_by_key(|(dent, _)| (!long(dent), !is_dots(&dent.name), dent.name.clone()));
        self.guessed |= !refused;
        let mut room = size;
        let mut given: Vec<Dent> = Vec::new();
        for (dent, _) in left {
            if record(&dent.name) > room {
                self.stop_for_room(&mut given)?;
                break;
            }
            room -= record(&dent.name);
            given.push(dent);
        }
        Ok(given)
    }

    /// What a call gives that has no room for the next entry.
    fn stop_for_room(&mut self, given: &mut Vec<Dent>) -> Result<(), Errno> {
        if given.is_empty() {
            return if self.rules.holds(Clause::DentsRoom) { Err(Errno::EINVAL) } else { Ok(()) };
        }
        if !self.rules.holds(Clause::DentsFill) {
            given.pop();
        }
        Ok(())
    }

    /// Reads a merged listing from a position on.
    fn read_merged_from(
        &mut self,
        slot: Slot,
        id: DentryId,
        size: usize,
        shown: Option<Shown>,
    ) -> Result<Option<Vec<Dent>>, Errno> {
        let snapshot = self.held_snapshot(slot)?;
        let file = self.file(slot)?;
        let total = snapshot.borrow().total();
        let mut at = usize::try_from(file.position).unwrap_or(usize::MAX);
        let known = snapshot.borrow().order.len();
        // Whether what comes next there is listed, nobody knows yet.
        let unseen = at == known && at > snapshot.borrow().reached && self.hideable(id, &snapshot.borrow()) > 0;
        if file.lost || at < total && (at > known || unseen) {
            self.undecided |= snapshot.borrow().entries.iter().any(|e| e.number.is_none());
            self.change_file(slot, |file| file.lost = true);
            return Ok(None);
        }
        let refused = shown.as_ref().is_some_and(|s| s.refused);
        let mut shown = shown.filter(|s| !s.refused);
        let mut room = size;
        // Which entries, each with its place.
        let mut given: Vec<(usize, usize)> = Vec::new();
        let mut full = false;
        while at < total {
            let placed = snapshot.borrow().order.get(at).copied();
            match placed {
                Some(Placed::Hidden) => at += 1,
                // What an xattr may hide is looked up again.
                Some(Placed::Entry(entry)) if !self.is_listed(id, &snapshot, entry) => at += 1,
                Some(Placed::Entry(entry)) => {
                    let len = record(&snapshot.borrow().entries[entry].name);
                    if snapshot.borrow().entries[entry].name.as_slice() == b".." {
                        self.listed_parent(id, &snapshot);
                    }
                    if len > room {
                        full = true;
                        break;
                    }
                    room -= len;
                    given.push((entry, at));
                    at += 1;
                }
                None => match &shown {
                    Some(seen) if given.len() < seen.dents.len() => {
                        if !self.place_next(id, &snapshot, seen, given.len()) {
                            self.undecided |= self.fails_somewhere(id, &snapshot);
                            shown = None;
                        }
                    }
                    Some(seen) => match self.place_end(id, &snapshot, seen, room) {
                        Some(end) => {
                            full = end < total;
                            at = end;
                            break;
                        }
                        None => {
                            self.undecided |= self.fails_somewhere(id, &snapshot);
                            shown = None;
                        }
                    },
                    None => {
                        self.guessed |= !refused;
                        // One of those that fail may be the next.
                        self.undecided |= given.is_empty() && self.fails_somewhere(id, &snapshot);
                        if refused && given.is_empty() && self.has_longer(id, &snapshot, size) {
                            // What is left out may lie before, and was passed over.
                            let hides = self.hideable(id, &snapshot.borrow()) > 0;
                            self.change_file(slot, |file| file.lost |= hides);
                            full = true;
                            break;
                        }
                        self.place_own(id, &snapshot);
                    }
                },
            }
        }
        let end = at;
        let mut dents: Vec<Dent> = Vec::with_capacity(given.len());
        for &(entry, place) in &given {
            let next = self.position_after(&snapshot.borrow(), place, end);
            let SnapshotEntry { name, kind, number, real, .. } = snapshot.borrow().entries[entry].clone();
            let ino = match name.as_slice() {
                b"." => self.number_of_self(id, real),
                b".." => self.listed_parent(id, &snapshot),
                _ => Some(self.listed(number.unwrap_or(real))),
            };
            dents.push(Dent { name, kind, ino, next: Some(next) });
        }
        let mut borrowed = snapshot.borrow_mut();
        borrowed.reached = borrowed.reached.max(end);
        drop(borrowed);
        // Where what is passed over before the first entry lies is not known then.
        let nowhere = given.is_empty() && snapshot.borrow().vague;
        if !nowhere {
            self.change_file(slot, |file| file.position = end as u64);
        }
        if full {
            self.stop_for_room(&mut dents)?;
        }
        Ok(Some(dents))
    }

    /// The position after the entry at `place`: that of the next one that is listed (DIR-05).
    fn position_after(&mut self, snapshot: &Snapshot, place: usize, end: usize) -> i64 {
        let listed = |place: Option<&Placed>| match place {
            Some(Placed::Entry(entry)) => !snapshot.entries[*entry].hidden,
            _ => false,
        };
        let next = (place + 1..end).find(|&at| listed(snapshot.order.get(at))).unwrap_or(end);
        let gaps = snapshot.order.iter().take(next).filter(|place| !listed(Some(place))).count();
        let counts = self.rules.holds(Clause::DirPosition);
        let skips = gaps > 0 && !self.rules.holds(Clause::DirGaps);
        next as i64 + i64::from(!counts) - if skips { gaps as i64 } else { 0 }
    }

    /// Whether an entry that is looked up when it is emitted is not there any more, without looking it up.
    fn is_stale(&self, id: DentryId, entry: &SnapshotEntry) -> bool {
        (entry.number.is_none() || entry.check) && self.is_gone(id, &entry.name)
    }

    /// How many entries may be passed over yet without being listed.
    fn hideable(&self, id: DentryId, snapshot: &Snapshot) -> usize {
        let unplaced = snapshot.unplaced();
        let may = |entry: &SnapshotEntry| entry.hidden || entry.optional || self.is_stale(id, entry);
        let hidden = unplaced.iter().filter(|&&at| may(&snapshot.entries[at])).count();
        hidden.saturating_sub(snapshot.order.iter().filter(|p| **p == Placed::Hidden).count())
    }

    /// Passes over entries that are not listed, up to a position; `false` if there are not as many.
    fn pass_over(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>, to: usize) -> bool {
        let known = snapshot.borrow().order.len();
        let Some(gap) = to.checked_sub(known) else { return false };
        if gap > self.hideable(id, &snapshot.borrow()) {
            return false;
        }
        if gap > 0 {
            let stale: Vec<usize> = {
                let held = snapshot.borrow();
                let unplaced = held.unplaced();
                unplaced.into_iter().filter(|&at| self.is_stale(id, &held.entries[at])).collect()
            };
            // Whether it was one of those that was passed over is not known.
            let mut held = snapshot.borrow_mut();
            for at in stale {
                held.entries[at].optional = true;
            }
            held.order.extend(std::iter::repeat_n(Placed::Hidden, gap));
        }
        true
    }

    /// Looks an entry up if it was not, as emitting it does; tells whether it is listed.
    fn is_listed(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>, at: usize) -> bool {
        let mut entry = snapshot.borrow().entries[at].clone();
        let failed = self.number_entry(id, &mut entry);
        self.undecided |= failed;
        let listed = !entry.hidden;
        snapshot.borrow_mut().entries[at] = entry;
        listed
    }

    /// Whether the lookup of an entry fails, which ends a call early, after which one depends on the order.
    fn fails_somewhere(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>) -> bool {
        let entries = snapshot.borrow().entries.clone();
        entries.into_iter().any(|mut entry| self.number_entry(id, &mut entry))
    }

    /// Places the entry that was seen next; `false` if it cannot be the next one.
    fn place_next(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>, seen: &Shown, at: usize) -> bool {
        let (name, next) = &seen.dents[at];
        let known = snapshot.borrow().order.len();
        // The first one's own place shows by what comes after it.
        let place = match at.checked_sub(1) {
            Some(before) => usize::try_from(seen.dents[before].1).unwrap_or(usize::MAX),
            None if known == 0 => {
                usize::try_from(next - 1).unwrap_or(usize::MAX).min(self.hideable(id, &snapshot.borrow()))
            }
            None => known,
        };
        let entry = {
            let held = snapshot.borrow();
            held.unplaced().into_iter().find(|&at| held.entries[at].name == *name)
        };
        let Some(entry) = entry else { return false };
        if !self.is_listed(id, snapshot, entry) || !self.pass_over(id, snapshot, place) {
            return false;
        }
        let mut held = snapshot.borrow_mut();
        held.vague |= known == 0 && place > 0;
        held.order.push(Placed::Entry(entry));
        true
    }

    /// Places the end of a call; `None` if it cannot have ended there.
    fn place_end(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>, seen: &Shown, room: usize) -> Option<usize> {
        let total = snapshot.borrow().total();
        let end = match seen.dents.last() {
            Some((_, next)) => usize::try_from(*next).unwrap_or(usize::MAX),
            None => total,
        };
        let unplaced = snapshot.borrow().unplaced();
        if end >= total {
            // All of them were passed.
            let mut over = true;
            for at in unplaced {
                let optional = snapshot.borrow().entries[at].optional;
                over &= !self.is_listed(id, snapshot, at) || optional;
            }
            if !over || end > total {
                return None;
            }
            snapshot.borrow_mut().order.resize(total, Placed::Hidden);
            return Some(total);
        }
        let longer: Vec<usize> = {
            let held = snapshot.borrow();
            let fits = |at: &usize| record(&held.entries[*at].name) <= room;
            let gone = |at: &usize| held.entries[*at].hidden || self.is_stale(id, &held.entries[*at]);
            unplaced.into_iter().filter(|at| !fits(at) && !gone(at)).collect()
        };
        // What did not fit was looked up all the same.
        let next = match &seen.then {
            Some(then) => longer.iter().copied().find(|&at| snapshot.borrow().entries[at].name == *then),
            None if longer.len() == 1 => longer.first().copied(),
            None => {
                self.undecided |= longer.iter().any(|&at| snapshot.borrow().entries[at].number.is_none());
                return (!longer.is_empty() && self.pass_over(id, snapshot, end)).then_some(end);
            }
        };
        let listed = next.is_some_and(|at| self.is_listed(id, snapshot, at));
        (listed && self.pass_over(id, snapshot, end)).then_some(end)
    }

    /// Whether an entry may come that does not fit in a buffer of this size.
    fn has_longer(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>, size: usize) -> bool {
        let held = snapshot.borrow();
        let longer: Vec<usize> = held
            .unplaced()
            .into_iter()
            .filter(|&at| record(&held.entries[at].name) > size)
            .filter(|&at| !held.entries[at].hidden && !self.is_stale(id, &held.entries[at]))
            .collect();
        // Which one was looked up shows when it is given.
        self.undecided |= longer.len() > 1 && longer.iter().any(|&at| held.entries[at].number.is_none());
        !longer.is_empty()
    }

    /// Places an entry by an order of the model's own: `.` and `..`, then by name.
    fn place_own(&mut self, id: DentryId, snapshot: &RefCell<Snapshot>) {
        let mut unplaced = snapshot.borrow().unplaced();
        unplaced.sort_by_key(|&at| (!is_dots(&snapshot.borrow().entries[at].name), at));
        let next = unplaced.into_iter().find(|&at| self.is_listed(id, snapshot, at));
        let mut held = snapshot.borrow_mut();
        let place = next.map_or(Placed::Hidden, Placed::Entry);
        held.order.push(place);
    }

    /// lseek(2) in a directory: the new position; `None` for what no rule says.
    pub(super) fn seek_directory(&mut self, slot: Slot, offset: i64, whence: Whence) -> Result<Option<u64>, Errno> {
        self.settle(slot)?;
        let file = self.file(slot)?;
        let start = whence == Whence::Set && offset == 0;
        if start && !self.rules.holds(Clause::DirRewind) {
            return Ok(Some(0));
        }
        let arrivals = self.disk.arrivals;
        if file.real.is_some() {
            if start {
                self.rewind(slot);
                return Ok(Some(0));
            }
            // Positions in a directory are its filesystem's business.
            let far = self.disk.traits.ends_far;
            self.change_file(slot, |file| {
                (file.lost, file.started, file.parted, file.arrivals) = (true, true, true, arrivals);
                file.at_far_end = if far { None } else { file.at_far_end };
            });
            return Ok(None);
        }
        let to = match whence {
            Whence::Set => offset,
            Whence::Cur if file.lost => return Ok(None),
            Whence::Cur if file.snapshot.as_ref().is_some_and(|held| held.borrow().vague) => {
                self.change_file(slot, |file| file.lost |= offset != 0);
                return Ok(None);
            }
            Whence::Cur => offset.wrapping_add(file.position as i64),
            _ => return Err(self.refuse(Clause::DirSeek, Errno::EINVAL)),
        };
        if to < 0 {
            return Err(self.refuse(Clause::DirSeek, Errno::EINVAL));
        }
        let vague = file.snapshot.as_ref().is_some_and(|held| held.borrow().vague);
        self.change_file(slot, |file| {
            (file.listed, file.lost) = (false, vague && to > 0 && to != file.position as i64);
            file.parted = to > 0;
            file.position = to as u64;
        });
        Ok(Some(to as u64))
    }

    /// lseek(2) to the position after an entry that getdents64 gave through this slot, or to the start if there is
    /// none; `None` where its number is not known.
    pub(super) fn seekdir(&mut self, slot: Slot, entry: u32) -> Result<Option<u64>, Errno> {
        let file = self.file(slot)?;
        let mark = self.marks.get(usize::from(slot)).and_then(|marks| marks.get(entry as usize)).cloned();
        let Some(mark) = mark else { return self.lseek(slot, 0, Whence::Set) };
        self.settle(slot)?;
        if file.real.is_some() && self.file(slot)?.real.is_some() {
            let Some(given) = mark.given else {
                self.change_file(slot, |file| (file.lost, file.started, file.parted) = (true, true, true));
                return Ok(mark.offset.map(|offset| offset as u64));
            };
            let arrivals = self.disk.arrivals;
            let far = self.disk.traits.ends_far;
            self.change_file(slot, |file| {
                (file.given, file.began, file.arrivals) = (given, mark.began, arrivals);
                file.rest = mark.rest;
                (file.started, file.parted, file.listed, file.lost) = (true, true, false, false);
                file.at_far_end = if far { None } else { Some(false) };
            });
            return Ok(mark.offset.map(|offset| offset as u64));
        }
        let Some(offset) = mark.offset else {
            self.change_file(slot, |file| file.lost = true);
            return Ok(None);
        };
        let to = self.seek_directory(slot, offset, Whence::Set)?;
        let number = self.rules.holds(Clause::DirTell);
        if !number {
            self.change_file(slot, |file| file.position += 1);
        }
        Ok(to)
    }

    fn rewind(&mut self, slot: Slot) {
        let arrivals = self.disk.arrivals;
        self.change_file(slot, |file| {
            (file.listed, file.lost, file.started, file.parted) = (false, false, false, false);
            file.at_far_end = Some(false);
            (file.arrivals, file.began) = (arrivals, arrivals);
            file.given.clear();
            file.rest.clear();
        });
    }

    /// Whether an open directory was read in part, or positioned: the order of entries tells what is left.
    pub(crate) fn is_partway(&self, slot: Slot) -> bool {
        let file = self.slots.get(usize::from(slot)).and_then(Option::as_ref);
        file.is_some_and(|file| file.borrow().parted)
    }

    /// Whether nothing is left to read, wherever each entry was.
    pub(crate) fn is_over(&self, slot: Slot) -> bool {
        let Some(Some(file)) = self.slots.get(usize::from(slot)) else { return true };
        let file = file.borrow();
        match (file.real, &file.snapshot) {
            (Some(real), _) => {
                self.disk[real].names().into_iter().flatten().all(|(name, _)| file.given.contains_key(name))
            }
            (None, Some(held)) => file.position >= held.borrow().total() as u64,
            (None, None) => false,
        }
    }
}
