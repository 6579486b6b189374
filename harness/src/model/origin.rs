//! Where the target of a call comes from, just before the call: what coverage counts.

use super::Model;
use super::overlay::DentryId;
use super::walk::{Last, Walk};
use crate::step::{Actor, Slot};
use crate::trace::Kind;

/// The state of a target with regard to the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Nothing is there, in a directory that is.
    Free,
    /// Nothing is there, because of a whiteout in the upper layer.
    Whiteout,
    /// In one lower layer.
    Lower,
    /// A directory in several lower layers.
    Lowers,
    /// A directory in the upper layer and below it.
    Merged,
    /// In the upper layer, without anything of its name below.
    Upper,
    /// In the upper layer, copied up.
    CopiedUp,
    /// In the upper layer, copied up but for its data.
    Metacopy,
    /// A directory of the upper layer that is marked opaque.
    Opaque,
    /// In the upper layer, and something else of its name lies below.
    Shadowing,
    /// Removed, and still open or the working directory.
    Removed,
    /// The path does not lead to a name: something on the way is missing, in the way, or not allowed.
    Unreached,
    /// The slot is closed.
    Closed,
}

impl Origin {
    /// All of them, in the order of the tables.
    pub const ALL: [Origin; 13] = [
        Origin::Free,
        Origin::Whiteout,
        Origin::Lower,
        Origin::Lowers,
        Origin::Merged,
        Origin::Upper,
        Origin::CopiedUp,
        Origin::Metacopy,
        Origin::Opaque,
        Origin::Shadowing,
        Origin::Removed,
        Origin::Unreached,
        Origin::Closed,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Free => "free",
            Origin::Whiteout => "whiteout",
            Origin::Lower => "lower",
            Origin::Lowers => "lowers",
            Origin::Merged => "merged",
            Origin::Upper => "upper",
            Origin::CopiedUp => "copied-up",
            Origin::Metacopy => "metacopy",
            Origin::Opaque => "opaque",
            Origin::Shadowing => "shadowing",
            Origin::Removed => "removed",
            Origin::Unreached => "unreached",
            Origin::Closed => "closed",
        }
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Origin::Free => "nothing is there",
            Origin::Whiteout => "nothing is there, over a whiteout of the upper layer",
            Origin::Lower => "in one lower layer",
            Origin::Lowers => "a directory in several lower layers",
            Origin::Merged => "a directory in the upper layer and below",
            Origin::Upper => "in the upper layer alone",
            Origin::CopiedUp => "copied up",
            Origin::Metacopy => "copied up without its data",
            Origin::Opaque => "an opaque directory of the upper layer",
            Origin::Shadowing => "in the upper layer, over something else of its name",
            Origin::Removed => "removed, and still open or the working directory",
            Origin::Unreached => "the path does not lead to a name",
            Origin::Closed => "the slot is closed",
        }
    }
}

impl Model {
    /// Where what a path leads to comes from; the walk looks up what the call would look up.
    pub(crate) fn origin(&mut self, actor: Actor, path: &[u8], follow: bool) -> Origin {
        self.actor = actor;
        let found = match self.walk(path, follow) {
            Ok(id) => Some(id),
            Err(_) => self.name_of(path),
        };
        self.actor = Actor::Root;
        found.map_or(Origin::Unreached, |id| self.origin_of(id))
    }

    /// Where what a descriptor refers to comes from.
    pub(crate) fn origin_of_slot(&mut self, slot: Slot) -> Origin {
        let file = self.slots.get(usize::from(slot)).and_then(Option::as_ref);
        match file.map(|file| file.borrow().dentry) {
            Some(id) => self.origin_of(id),
            None => Origin::Closed,
        }
    }

    /// The dentry of the last name of a path, also where nothing is.
    fn name_of(&mut self, path: &[u8]) -> Option<DentryId> {
        let (dir, last) = self.walk_parent(&mut Walk::default(), path).ok()?;
        let Last::Name { name, .. } = last else { return None };
        self.lookup(dir, &name).ok()
    }

    fn origin_of(&mut self, id: DentryId) -> Origin {
        let covers = self.lower_positive(id);
        let dentry = self.cache.dentry(id);
        let Some(node) = dentry.node else { return if covers { Origin::Whiteout } else { Origin::Free } };
        if !dentry.hashed {
            return Origin::Removed;
        }
        let node = self.cache.node(node);
        let has = |name| node.upper.is_some_and(|ino| self.disk[ino].xattr(name).is_some());
        match (node.upper, node.kind) {
            (None, _) if node.lowers.len() > 1 && node.kind == Kind::Dir => Origin::Lowers,
            (None, _) => Origin::Lower,
            (Some(_), Kind::Dir) if !node.lowers.is_empty() => Origin::Merged,
            (Some(_), Kind::Dir) if has("@opaque") => Origin::Opaque,
            (Some(_), Kind::Dir) if covers => Origin::Shadowing,
            (Some(_), Kind::Dir) => Origin::Upper,
            _ if node.is_metacopy() => Origin::Metacopy,
            _ if !node.lowers.is_empty() || has("@origin") => Origin::CopiedUp,
            _ if covers => Origin::Shadowing,
            _ => Origin::Upper,
        }
    }
}
