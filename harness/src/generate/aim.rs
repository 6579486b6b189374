//! What the generator asks of a model, and no more: it must not know how the answer is found.

use crate::bytes::Bytes;
use crate::case::Case;
use crate::model::{Context, Model};
use crate::step::{SLOTS, Slot, Step};
use crate::trace::{Kind, Privilege};

/// What the generator needs to know of the world it aims at; implemented by the (unfaulted) model.
pub trait Aim: Sized {
    /// The world of this case with its layers mounted and no step done.
    fn new(case: &Case, privilege: Privilege) -> Self;
    /// Does one step, without looking at anything.
    fn apply(&mut self, step: &Step);
    /// Appends every path of the merged tree with its type, the root excluded, in an order that
    /// depends on the case alone.
    fn visible(&self, out: &mut Vec<(Bytes, Kind)>);
    /// What the open slots hold.
    fn slots(&self) -> [Option<Kind>; SLOTS];
    /// Appends the xattrs that can be seen in the merged tree: where they are, and their names.
    fn xattrs(&self, out: &mut Vec<(Bytes, Bytes)>);
    /// The names of the xattrs of what a slot holds.
    fn slot_xattrs(&self, slot: Slot) -> Vec<Bytes>;
    /// The path of the working directory from the root, empty at the root; `None` if it was removed.
    fn cwd(&self) -> Option<Bytes>;
}

impl Aim for Model {
    fn new(case: &Case, privilege: Privilege) -> Model {
        Model::new(case, Context::assumed(privilege), None)
    }

    fn apply(&mut self, step: &Step) {
        self.rules.begin_step();
        // What the call returns does not matter here, only what it leaves.
        let _ = self.act(step);
    }

    fn visible(&self, out: &mut Vec<(Bytes, Kind)>) {
        self.survey(out);
    }

    fn slots(&self) -> [Option<Kind>; SLOTS] {
        self.open_kinds()
    }

    fn xattrs(&self, out: &mut Vec<(Bytes, Bytes)>) {
        self.survey_xattrs(out);
    }

    fn slot_xattrs(&self, slot: Slot) -> Vec<Bytes> {
        self.xattrs_of_slot(slot)
    }

    fn cwd(&self) -> Option<Bytes> {
        self.cwd_path()
    }
}
