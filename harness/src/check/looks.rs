//! The looks of the worker after a step, at a model that nobody compares with anything: what is looked up the
//! kernel remembers, and so must the model.

use crate::model::Model;
use crate::model::overlay::{Cache, DentryId};
use crate::step::{Op, footprint_of};
use crate::trace::Kind;

/// Looks as the worker does after a step of this kind: at whole trees, or at the footprint.
pub fn look_after(model: &mut Model, op: &Op) {
    if matches!(op, Op::Observe | Op::Remount | Op::Rotate) {
        return look_everywhere(model, Cache::ROOT);
    }
    for path in op.paths().into_iter().flatten() {
        // That nothing is there is remembered as well.
        let _ = model.look_merged(footprint_of(path.as_slice()).as_slice());
    }
}

fn look_everywhere(model: &mut Model, id: DentryId) {
    let _ = model.look(id);
    for (name, kind, _) in model.list_dentry(id).unwrap_or_default() {
        let Ok(child) = model.lookup_for_look(id, name.as_slice()) else { continue };
        match kind {
            Kind::Dir => look_everywhere(model, child),
            _ => drop(model.look(child)),
        }
    }
}
