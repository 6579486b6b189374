//! A divergence: what was expected, what was seen, and where.

use std::fmt;

use serde::Serialize;

use crate::bytes::Bytes;
use crate::model::Clause;
use crate::step::Op;
use crate::trace::Side;

/// Which comparison found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Oracle {
    /// What a call returned.
    Outcome,
    /// One side of the footprint after a step.
    Footprint(Side),
    /// A whole tree.
    Tree(Side),
    /// The merged tree, against its layers as they lie on disk: the layer resolver.
    Layers,
    /// The merged tree, against the upper layer told as one of an image and unpacked over the lower ones.
    Image,
    /// The same steps on a plain filesystem: transparency.
    Plain,
    /// The lower layers changed.
    Lower,
    /// An assertion that stands in the case file.
    CaseFile,
    /// The target died, hung or could not be mounted.
    Ending,
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |s: &Side| match s {
            Side::Merged => "merged",
            Side::Upper => "upper",
            Side::Work => "work",
        };
        match self {
            Oracle::Outcome => f.write_str("outcome"),
            Oracle::Footprint(s) => write!(f, "footprint, {} side", side(s)),
            Oracle::Tree(s) => write!(f, "{} tree", side(s)),
            Oracle::Layers => f.write_str("merged tree against its layers"),
            Oracle::Image => f.write_str("merged tree against an image of its layers"),
            Oracle::Plain => f.write_str("plain filesystem"),
            Oracle::Lower => f.write_str("lower layers"),
            Oracle::CaseFile => f.write_str("case file"),
            Oracle::Ending => f.write_str("ending"),
        }
    }
}

/// When it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At the first mount.
    Mount,
    /// At the step with this index.
    Step(usize),
    /// In the look at everything after the last step.
    End,
}

/// A difference between what must be and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// When.
    pub place: Place,
    /// Which comparison.
    pub oracle: Oracle,
    /// The step's operation; `mount` or `end` outside the steps.
    pub operation: &'static str,
    /// The clause that decided the expectation, as far as is known.
    pub rule: Option<Clause>,
    /// All clauses that fired in the step, each once, in order.
    pub in_play: Vec<Clause>,
    /// Where in the tree; empty for the root or for what has no place.
    pub path: Bytes,
    /// What of it: `errno`, `mode`, `nlink`, `names`, `xattr @origin` …
    pub field: String,
    /// What must be.
    pub expected: String,
    /// What is.
    pub seen: String,
}

/// What makes two divergences one and the same while a case shrinks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// Which comparison.
    pub oracle: Oracle,
    /// The deciding clause.
    pub rule: Option<Clause>,
    /// The step's operation; `end` for every look at everything, since one is as good as another.
    pub operation: &'static str,
    /// What differed.
    pub field: String,
}

impl Divergence {
    /// Its signature.
    pub fn signature(&self) -> Signature {
        let operation = if self.operation == Op::Observe.name() { "end" } else { self.operation };
        Signature { oracle: self.oracle, rule: self.rule, operation, field: self.field.clone() }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Mount => f.write_str("at the mount")?,
            Place::Step(n) => write!(f, "at step {} ({})", n + 1, self.operation)?,
            Place::End => f.write_str("after the last step")?,
        }
        write!(f, ", {}", self.oracle)?;
        if !matches!(self.oracle, Oracle::Outcome | Oracle::Lower | Oracle::Ending) {
            let root = self.path.is_empty();
            if root { f.write_str(", the root")? } else { write!(f, ", {}", self.path)? }
        }
        write!(f, ", {}: expected {}, seen {}", self.field, self.expected, self.seen)?;
        if let Some(rule) = self.rule {
            write!(f, " [{rule}]")?;
        }
        Ok(())
    }
}
