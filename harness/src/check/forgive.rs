//! What a case can be judged on after: fields by which the model decides nothing.
//!
//! A difference in one of them says that the target shows something else, not that its tree is another
//! one. So the same field is passed over from there on, wherever it stands, and the rest is compared as
//! before: what differs later in another field has a cause of its own.

use super::divergence::{Divergence, Oracle, Place};
use crate::level::Level;

/// Fields, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forgivable(u16);

/// The fields, each with those that differ because it does.
const FIELDS: [(&str, u16); 9] = [
    ("mtime", 1),
    ("atime", 1 << 1),
    ("ctime", 1 << 2),
    ("nlink", 1 << 3),
    ("ino", 1 << 4 | 1 << 5),
    ("dev", 1 << 4 | 1 << 5),
    // Which inode number is shown comes from the origin, and a directory is impure for what has one.
    ("xattr @origin", 1 << 6 | 1 << 7),
    ("xattr @impure", 1 << 6 | 1 << 7),
    ("xattr @uuid", 1 << 8),
];

impl Forgivable {
    /// What `field` belongs to; nothing if the model decides by it.
    fn of(field: &str, level: Level) -> Forgivable {
        let field = if field == "d_ino" { "ino" } else { field };
        // By their own level's rules the marks of an upper layer change what Linux shows later.
        if level == Level::Linux && field.starts_with("xattr ") {
            return Forgivable(0);
        }
        Forgivable(FIELDS.iter().find(|(name, _)| *name == field).map_or(0, |(_, set)| *set))
    }

    /// Whether this field is passed over.
    pub(super) fn covers(self, field: &str) -> bool {
        self.0 != 0 && FIELDS.iter().enumerate().any(|(n, (name, _))| self.0 & 1 << n != 0 && *name == field)
    }

    /// Whether this xattr is.
    pub(super) fn covers_xattr(self, xattr: &[u8]) -> bool {
        self.0 != 0
            && FIELDS.iter().enumerate().any(|(n, (name, _))| {
                self.0 & 1 << n != 0 && name.strip_prefix("xattr ").is_some_and(|x| x.as_bytes() == xattr)
            })
    }
}

/// What is passed over from where on.
#[derive(Debug, Default)]
pub(super) struct Forgiven(Vec<(Place, Forgivable)>);

impl Forgiven {
    /// Passes over the field of a difference from its step on; `false` if judging cannot go on after it.
    pub(super) fn add(&mut self, divergence: &Divergence, level: Level) -> bool {
        let compared = matches!(divergence.oracle, Oracle::Outcome | Oracle::Footprint(_) | Oracle::Tree(_));
        let fields = Forgivable::of(&divergence.field, level);
        // One that was passed over already and differs again would do so for ever.
        let fresh = self.at(divergence.place).0 & fields.0 != fields.0;
        if !compared || fields.0 == 0 || !fresh {
            return false;
        }
        self.0.push((divergence.place, fields));
        true
    }

    /// What is passed over at a place.
    pub(super) fn at(&self, place: Place) -> Forgivable {
        let so_far = self.0.iter().filter(|(from, _)| *from <= place);
        Forgivable(so_far.fold(0, |set, (_, fields)| set | fields.0))
    }
}
