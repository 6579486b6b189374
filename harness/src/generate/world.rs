//! What the generator sees while it draws: the world through its [`Aim`], what was touched lately,
//! and what was there once. It chooses paths; it must not know which step they are for.

use std::collections::BTreeMap;

use super::aim::Aim;
use super::dice::Dice;
use super::layers::{absolute, acl, capability, named};
use super::names::Pool;
use super::profile::Profile;
use crate::acl::Acl;
use crate::bytes::Bytes;
use crate::case::{Case, Layer, NodeKind};
use crate::step::{Actor, On, Op, OpenFlags, SLOTS, Slot, StatusFlags, Step, XattrFlags, footprint_of};
use crate::trace::{Kind, Privilege};

/// How many paths count as touched lately.
const HOT: usize = 8;
/// How many names that are gone are kept in mind.
const GONE: usize = 16;
/// Deepest path that is aimed at, in names.
const DEPTH: usize = 6;

/// A case in the making.
pub(super) struct World<'p, A> {
    aim: A,
    pub pool: &'p Pool,
    /// The merged tree, sorted by path; read again when `stale`.
    visible: Vec<(Bytes, Kind)>,
    stale: bool,
    /// Paths touched lately, newest last.
    hot: Vec<Bytes>,
    /// Paths that were removed or moved away, or that a whiteout hides.
    gone: Vec<Bytes>,
    /// Directories of the layers in which xattrs hide names.
    veiled: Vec<Bytes>,
    /// Directories that a step made: the ones that can be renamed without `redirect_dir=on`.
    made: Vec<Bytes>,
    flags: [OpenFlags; SLOTS],
    slots: [Option<Kind>; SLOTS],
    steps: Vec<Step>,
    limit: usize,
    observe_within: usize,
    observe_in: usize,
    /// Percentage of calls that somebody else than root makes, and who.
    acted: usize,
    actors: &'static [Actor],
    /// Whether files may have security.capability.
    capabilities: bool,
    /// Whose ids an access control list may name, if there may be any.
    named: &'static [u32],
    /// The mount options of the case.
    options: Vec<String>,
    /// Where lower layers lie on several filesystems: directories that several of them have, and not the upper one.
    pub stacked: Option<Vec<Bytes>>,
}

/// The directories that several lower layers have, and not the upper one.
fn stacked(case: &Case) -> Vec<Bytes> {
    let mut times: BTreeMap<Bytes, usize> = BTreeMap::new();
    for layer in &case.lowers {
        for (path, _) in layer.resolved().iter().filter(|(_, node)| node.kind == NodeKind::Dir) {
            *times.entry(Bytes::from(*path)).or_default() += 1;
        }
    }
    for (path, _) in case.upper.resolved() {
        times.remove(&Bytes::from(path));
    }
    times.into_iter().filter(|(_, times)| *times > 1).map(|(path, _)| path).collect()
}

impl<'p, A: Aim> World<'p, A> {
    /// The world of this case before its first step, to get `limit` steps.
    pub fn new(profile: &Profile, pool: &'p Pool, case: &Case, limit: usize, dice: &mut Dice<'_>) -> Self {
        let aim = A::new(case, profile.privilege);
        let slots = aim.slots();
        let mut world = World {
            aim,
            pool,
            visible: Vec::new(),
            stale: true,
            hot: Vec::new(),
            gone: Vec::new(),
            veiled: Vec::new(),
            made: Vec::new(),
            flags: [OpenFlags::default(); SLOTS],
            slots,
            steps: Vec::with_capacity(limit),
            limit,
            observe_within: profile.observe_within.max(1),
            observe_in: 0,
            acted: *dice.one(&[0, 0, 15, 50]),
            capabilities: profile.capabilities,
            named: named(profile),
            options: case.options.clone(),
            stacked: case.spans_filesystems().then(|| stacked(case)),
            // In a user namespace with one id there is nobody else than root to be.
            actors: if profile.privilege == Privilege::Root {
                &[Actor::User, Actor::User, Actor::User, Actor::Other, Actor::Bare]
            } else {
                &[Actor::Bare]
            },
        };
        world.observe_in = world.interval(dice);
        world.look();
        for layer in [&case.upper].into_iter().chain(&case.lowers) {
            world.remember_hidden(layer);
        }
        world
    }

    fn remember_hidden(&mut self, layer: &Layer) {
        for entry in layer.entries.iter().filter(|e| !e.path.is_empty()) {
            if entry.node.xattrs.iter().any(|(name, _)| name.as_slice() == b"@whiteout") {
                self.veiled.push(Bytes::from(entry.path.split_last().0));
            }
            if self.kind(&entry.path).is_none() && !self.gone.contains(&entry.path) && self.gone.len() < GONE {
                self.gone.push(entry.path.clone());
            }
        }
    }

    fn interval(&self, dice: &mut Dice<'_>) -> usize {
        dice.between(self.observe_within.div_ceil(2), self.observe_within)
    }

    /// Whether the case has all its steps.
    pub fn is_full(&self) -> bool {
        self.steps.len() >= self.limit
    }

    /// The steps, when done.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Does a step; an `observe` goes before it when one is due.
    pub fn push(&mut self, op: Op, dice: &mut Dice<'_>) {
        let acted = !op.is_environment() && dice.percent(self.acted);
        let actor = if acted { *dice.one(self.actors) } else { Actor::Root };
        self.push_as(actor, op, dice);
    }

    /// Whether the case is mounted with this very option.
    pub fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }

    /// Gives what is at a path a capability, where the case may hold any.
    pub fn set_capability(&self, path: &Bytes) -> Option<Op> {
        let (on, name) = (On::Path(path.clone()), Bytes::from("security.capability"));
        self.capabilities.then(|| Op::SetXattr { on, name, value: capability(), flags: XattrFlags::default() })
    }

    /// An access control list, where the case may hold any.
    pub fn acl(&self, dice: &mut Dice<'_>) -> Option<Acl> {
        (!self.named.is_empty()).then(|| acl(self.named, dice))
    }

    /// Whether somebody else than root makes calls in this case.
    pub fn has_actors(&self) -> bool {
        self.acted > 0 && self.actors.len() > 1
    }

    /// Does a step as this actor and adds it, if there is room.
    pub fn push_as(&mut self, actor: Actor, op: Op, dice: &mut Dice<'_>) {
        if self.observe_in == 0 && op != Op::Observe {
            self.push_as(Actor::Root, Op::Observe, dice);
        }
        if self.is_full() {
            return;
        }
        // The work directory of a volatile mount cannot be mounted again.
        let spent = op == Op::Remount && self.has_option("volatile") && dice.percent(40);
        let op = if spent { Op::Rotate } else { op };
        self.observe_in = if op == Op::Observe { self.interval(dice) } else { self.observe_in - 1 };
        self.note(&op);
        let mut op = op;
        self.respell(&mut op, dice);
        let step = Step { actor, ..Step::from(op) };
        self.aim.apply(&step);
        match &step.op {
            Op::Open { slot, flags, .. } => {
                self.flags[usize::from(*slot)] = *flags;
                self.slots = self.aim.slots();
            }
            Op::Dup { slot, to } => {
                self.flags[usize::from(*to)] = self.flags[usize::from(*slot)];
                self.slots = self.aim.slots();
            }
            Op::Setfl { slot, flags } => {
                let known = &mut self.flags[usize::from(*slot)];
                known.0 = known.0 & !StatusFlags::ALL | flags.0;
            }
            Op::Close { .. } | Op::Remount | Op::Rotate => self.slots = self.aim.slots(),
            _ => {}
        }
        self.stale |= step.op.is_mutating() || matches!(step.op, Op::Remount | Op::Rotate);
        self.steps.push(step);
    }

    /// Says the paths of a step, which start from the root so far, as the working directory demands: from there
    /// where that is possible, else absolute; now and then not at all, nor those that begin with a dot.
    fn respell(&self, op: &mut Op, dice: &mut Dice<'_>) {
        let cwd = self.aim.cwd();
        if cwd.as_ref().is_some_and(Bytes::is_empty) {
            return;
        }
        for path in op.paths_mut().into_iter().flatten() {
            if matches!(path.first(), None | Some(b'/' | b'.')) || dice.percent(12) {
                continue;
            }
            let below = cwd.as_ref().and_then(|cwd| path.strip_prefix(cwd.as_slice())?.strip_prefix(b"/"));
            *path = match (below, &cwd) {
                (Some(rest), _) if dice.percent(70) && !rest.is_empty() => Bytes::from(rest),
                (None, Some(cwd)) if dice.percent(40) => {
                    let up = cwd.as_slice().split(|&b| b == b'/').count();
                    Bytes::from([b"../".repeat(up).as_slice(), path.as_slice()].concat())
                }
                _ => absolute(path),
            };
        }
    }

    fn note(&mut self, op: &Op) {
        if *op == Op::Rotate {
            // What was made so far lies in a lower layer now.
            self.made.clear();
        }
        if !op.is_mutating() && !matches!(op, Op::Open { .. }) {
            return;
        }
        for path in op.paths().into_iter().flatten() {
            let clean = footprint_of(path.as_slice());
            if clean.is_empty() || clean.len() > 1024 {
                continue;
            }
            self.hot.retain(|p| *p != clean);
            if self.hot.len() == HOT {
                self.hot.remove(0);
            }
            self.hot.push(clean);
        }
        let (leaves, made) = match op {
            Op::Unlink { path } | Op::Rmdir { path } => (Some(path), None),
            Op::Rename { old, new, .. } => {
                let dir = self.made.contains(&footprint_of(old.as_slice()));
                (Some(old), dir.then_some(new))
            }
            Op::Mkdir { path, .. } => (None, Some(path)),
            _ => return,
        };
        for (list, path) in [(&mut self.gone, leaves), (&mut self.made, made)] {
            let Some(path) = path else { continue };
            let clean = footprint_of(path.as_slice());
            list.retain(|p| *p != clean);
            if list.len() == GONE {
                list.remove(0);
            }
            list.push(clean);
        }
    }

    fn look(&mut self) {
        if !self.stale {
            return;
        }
        self.stale = false;
        self.visible.clear();
        self.aim.visible(&mut self.visible);
        if !self.visible.is_sorted() {
            self.visible.sort_unstable();
        }
    }

    /// The type of what is visible at a clean path; the root is a directory.
    pub fn kind(&mut self, path: &Bytes) -> Option<Kind> {
        if path.is_empty() {
            return Some(Kind::Dir);
        }
        self.look();
        self.visible.binary_search_by(|(p, _)| p.cmp(path)).ok().map(|at| self.visible[at].1)
    }

    /// The paths below a directory, parents first.
    pub fn below(&mut self, dir: &Bytes) -> Vec<(Bytes, Kind)> {
        self.look();
        let prefix = dir.join(b"");
        self.visible.iter().filter(|(p, _)| p.as_slice().starts_with(prefix.as_slice())).cloned().collect()
    }

    /// A visible path of a kind that `fits`; often one that was touched lately, or beside one.
    pub fn existing(&mut self, fits: impl Fn(Kind) -> bool, dice: &mut Dice<'_>) -> Option<Bytes> {
        self.look();
        if dice.percent(55) {
            let hot: Vec<Bytes> = self.hot.clone();
            let beside = dice.percent(35);
            let mut near: Vec<&Bytes> = Vec::new();
            for (path, kind) in &self.visible {
                let hit = hot.iter().any(|h| h == path || (beside && h.split_last().0 == path.split_last().0));
                if hit && fits(*kind) {
                    near.push(path);
                }
            }
            if let Some(&path) = dice.any(&near) {
                return Some(path.clone());
            }
        }
        let all: Vec<&Bytes> = self.visible.iter().filter(|(_, kind)| fits(*kind)).map(|(path, _)| path).collect();
        dice.any(&all).map(|&path| path.clone())
    }

    /// A path at which something has an xattr, and the name of that.
    pub fn named(&self, dice: &mut Dice<'_>) -> Option<(Bytes, Bytes)> {
        let mut here = Vec::new();
        self.aim.xattrs(&mut here);
        dice.any(&here).cloned()
    }

    /// An open slot whose file has an xattr, and the name of that.
    pub fn named_slot(&self, dice: &mut Dice<'_>) -> Option<(Slot, Bytes)> {
        let mut here = Vec::new();
        for slot in self.open_slots(|_, flags| !flags.has(libc::O_PATH)) {
            here.extend(self.aim.slot_xattrs(slot).into_iter().map(|name| (slot, name)));
        }
        dice.any(&here).cloned()
    }

    /// A visible directory, or the root.
    pub fn directory(&mut self, dice: &mut Dice<'_>) -> Bytes {
        if dice.percent(30) {
            return Bytes::default();
        }
        self.existing(|kind| kind == Kind::Dir, dice).unwrap_or_default()
    }

    /// A visible directory that a step made.
    pub fn made(&mut self, dice: &mut Dice<'_>) -> Option<Bytes> {
        let made = self.made.clone();
        let here: Vec<Bytes> = made.into_iter().filter(|path| self.kind(path) == Some(Kind::Dir)).collect();
        dice.any(&here).cloned()
    }

    /// A visible directory in which xattrs hide names: it may look empty and is not.
    pub fn veiled_directory(&mut self, dice: &mut Dice<'_>) -> Option<Bytes> {
        let veiled = self.veiled.clone();
        let here = |path: &Bytes| !path.is_empty() && self.kind(path) == Some(Kind::Dir);
        let here: Vec<Bytes> = veiled.into_iter().filter(here).collect();
        dice.any(&here).cloned()
    }

    /// A visible directory in which nothing is visible.
    pub fn empty_directory(&mut self, dice: &mut Dice<'_>) -> Option<Bytes> {
        self.look();
        let mut empty: Vec<&Bytes> = Vec::new();
        for (at, (path, kind)) in self.visible.iter().enumerate() {
            let prefix = path.join(b"");
            // Sorted, but a name like `a!` sorts between `a` and `a/b`.
            let has = |p: &Bytes| p.as_slice().starts_with(prefix.as_slice());
            if *kind == Kind::Dir && !self.visible[at + 1..].iter().any(|(p, _)| has(p)) {
                empty.push(path);
            }
        }
        let hot: Vec<&Bytes> = empty.iter().filter(|p| self.hot.contains(p)).copied().collect();
        let from = if !hot.is_empty() && dice.percent(60) { &hot } else { &empty };
        dice.any(from).map(|&path| path.clone())
    }

    /// A path at which nothing is visible, in a visible directory: often one where something was.
    pub fn absent(&mut self, dice: &mut Dice<'_>) -> Bytes {
        if dice.percent(50) {
            let gone = self.gone.clone();
            let free: Vec<Bytes> = gone.into_iter().filter(|path| self.is_free(path)).collect();
            if let Some(path) = dice.any(&free) {
                return path.clone();
            }
        }
        let mut path = Bytes::default();
        for _ in 0..6 {
            let dir = self.directory(dice);
            if dir.as_slice().iter().filter(|&&b| b == b'/').count() + 2 > DEPTH {
                continue;
            }
            path = dir.join(self.pool.name(dice).as_slice());
            if self.is_free(&path) {
                return path;
            }
        }
        let fresh = ["new", "g", "h"];
        let fallback = Bytes::from(*dice.one(&fresh));
        if self.is_free(&fallback) || path.is_empty() { fallback } else { path }
    }

    /// Nothing is visible here, but its parent directory is.
    fn is_free(&mut self, path: &Bytes) -> bool {
        let parent = Bytes::from(path.split_last().0);
        self.kind(path).is_none() && self.kind(&parent) == Some(Kind::Dir)
    }

    /// Any path at all: what exists, what does not, and what no call should accept.
    pub fn any(&mut self, dice: &mut Dice<'_>) -> Bytes {
        match dice.below(20) {
            0..=5 => self.existing(|_| true, dice).unwrap_or_default(),
            6..=10 => self.absent(dice),
            11..=13 => {
                let above = self.existing(|kind| kind != Kind::Dir, dice).unwrap_or_else(|| Bytes::from("nope"));
                above.join(self.pool.name(dice).as_slice())
            }
            14 => Bytes::from("nope").join(self.pool.name(dice).as_slice()),
            15..=17 => {
                let link = self.existing(|kind| kind == Kind::Symlink, dice).unwrap_or_else(|| Bytes::from("nope"));
                if dice.percent(50) { link } else { link.join(self.pool.name(dice).as_slice()) }
            }
            18 => {
                let dir = self.directory(dice);
                dir.join(dice.one(&[".", "..", "", "x/..", "../.."]).as_bytes())
            }
            _ => match dice.below(5) {
                0 => Bytes::default(),
                1 => Bytes::from("/"),
                2 => Bytes::from(vec![b'n'; 256]),
                3 => Bytes::from(vec![b'/'; 4100]),
                _ => self.directory(dice).join(&[b'n'; 256]),
            },
        }
    }

    /// The same place said in another way, now and then.
    pub fn dressed(&mut self, path: Bytes, dice: &mut Dice<'_>) -> Bytes {
        if !dice.percent(7) {
            return path;
        }
        match dice.below(6) {
            0 => Bytes::from(".").join(path.as_slice()),
            1 => absolute(&path),
            2 => path.join(b""),
            3 => self.directory(dice).join(b"..").join(path.as_slice()),
            4 => path.join(b"."),
            _ => {
                let (parent, name) = path.split_last();
                Bytes::from(parent).join(b"").join(name)
            }
        }
    }

    /// An open slot whose file `fits`.
    pub fn slot(&self, fits: impl Fn(Kind, OpenFlags) -> bool, dice: &mut Dice<'_>) -> Option<Slot> {
        dice.any(&self.open_slots(fits)).copied()
    }

    fn open_slots(&self, fits: impl Fn(Kind, OpenFlags) -> bool) -> Vec<Slot> {
        (0u8..)
            .zip(self.slots.iter().zip(&self.flags))
            .filter(|(_, (kind, flags))| kind.is_some_and(|kind| fits(kind, **flags)))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// The flags of an `open`, made safe for what the case may hold.
    pub fn safe(&self, flags: i32, dice: &mut Dice<'_>) -> OpenFlags {
        let quiet = self.pool.fifos || dice.percent(20);
        OpenFlags(if quiet { flags | libc::O_NONBLOCK } else { flags })
    }
}
