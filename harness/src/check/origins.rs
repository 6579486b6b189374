//! Where the targets of a case's calls come from, for the tables of coverage.

use super::look_after;
use crate::case::Case;
use crate::model::{Context, Model, Origin};
use crate::step::{On, Op, Step};
use crate::trace::Trace;

/// A target of a call: the index of its step, what it is to the operation, and where it comes from. A call
/// with two names or two descriptors has two targets; the name of the second is that of the operation with
/// ` to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetOrigin {
    /// Index of the step.
    pub step: usize,
    /// The operation.
    pub operation: &'static str,
    /// Whether it is the second: the new name, or what is written to.
    pub second: bool,
    /// Its state just before the call.
    pub origin: Origin,
}

/// The targets of all steps that ran, as far as the model can say what there was. The model has no other part
/// in this: nothing is compared.
pub fn origins(case: &Case, trace: &Trace) -> Vec<TargetOrigin> {
    let mut targets = Vec::new();
    let mut model = Model::new(case, Context::of(&trace.environment), None);
    for (index, step) in case.steps.iter().take(trace.steps.len()).enumerate() {
        model.rules.begin_step();
        if !step.op.is_environment() {
            let found = targets_of(&mut model, step).into_iter().flatten().enumerate();
            targets.extend(found.map(|(n, origin)| TargetOrigin {
                step: index,
                operation: step.op.name(),
                second: n == 1,
                origin,
            }));
        }
        // What it returns was judged elsewhere.
        let _ = model.act(step);
        look_after(&mut model, &step.op);
        if model.adrift || model.undecided {
            break;
        }
    }
    targets
}

fn targets_of(model: &mut Model, step: &Step) -> [Option<Origin>; 2] {
    let follow = follows(&step.op);
    let mut at: Vec<Origin> = Vec::new();
    // What is open comes first where there is both: flink's old name is a descriptor.
    let mut op = step.op.clone();
    // The slots that `open` and `dup` fill are no targets.
    let slots = match &step.op {
        Op::Open { .. } => 0,
        Op::Dup { .. } => 1,
        _ => 2,
    };
    let used: Vec<_> = op.slots_mut().into_iter().flatten().take(slots).map(|slot| *slot).collect();
    at.extend(used.into_iter().map(|slot| model.origin_of_slot(slot)));
    for path in step.op.paths().into_iter().flatten() {
        at.push(model.origin(step.actor, path.as_slice(), follow));
    }
    [at.first().copied(), at.get(1).copied()]
}

/// Whether the call follows a symlink that is the last name of its path.
fn follows(op: &Op) -> bool {
    match op {
        Op::Lstat { .. }
        | Op::Readlink { .. }
        | Op::Mkdir { .. }
        | Op::Rmdir { .. }
        | Op::Mknod { .. }
        | Op::Symlink { .. }
        | Op::Unlink { .. }
        | Op::Link { .. }
        | Op::Flink { .. }
        | Op::Rename { .. } => false,
        Op::Open { flags, .. } => !flags.has(libc::O_NOFOLLOW),
        Op::Linkat { flags, .. } => flags.has(libc::AT_SYMLINK_FOLLOW),
        Op::Faccessat { flags, .. } | Op::Fchmodat { flags, .. } => !flags.has(libc::AT_SYMLINK_NOFOLLOW),
        Op::Chown { on, .. }
        | Op::Utimens { on, .. }
        | Op::SetXattr { on, .. }
        | Op::GetXattr { on, .. }
        | Op::ListXattr { on, .. }
        | Op::RemoveXattr { on, .. } => !matches!(on, On::Link(_)),
        _ => true,
    }
}
