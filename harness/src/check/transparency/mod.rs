//! Transparency: the same steps on a plain filesystem that holds a copy of the merged tree must give the
//! same outcomes and the same tree.
//!
//! [`Mirror::of`] makes the plain case of a case: one layer, the merged tree as the layer resolver makes
//! it. Where an overlay is *supposed* to differ, a closed list of deviations says so, each a predicate on
//! the step and the state before it ([`Deviation`]); such a step is left out of the plain run, or what it
//! returns is not compared. The model is asked for that state and for nothing else: what is expected is
//! what the plain filesystem did.

mod compare;
mod deviation;
mod layer;

pub use compare::{Transparency, transparency};
pub use deviation::Deviation;

use super::looks::look_after;
use crate::case::{Case, Entry};
use crate::model::{Context, Model, View};
use crate::step::Op;
use crate::trace::Environment;
use deviation::{Verdict, copies_across, deviation, interruptible, missing_acl, too_long};

/// A case and its counterpart on a plain filesystem.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The plain case: the merged tree is its only layer, and its steps are as many as those of the case.
    pub case: Case,
    /// For each step what is known to differ, as far as the steps are compared.
    plan: Vec<Plan>,
    /// What the comparison ended with before the last step, if it did.
    ended: Option<Deviation>,
    /// Whether a lower file has several names: then link counts tell of names that are not shown.
    lower_links: bool,
}

/// What is compared of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Everything.
    Whole,
    /// The step is left out of the plain run; through the overlay it must fail.
    LeftOut(Deviation),
    /// What it returns is not compared, what it leaves is.
    Outcome(Deviation),
    /// Everything, but from here on no dates of fifos.
    Dates(Deviation),
}

/// A step that does nothing anywhere: `fstat` of no descriptor.
const NOTHING: Op = Op::Fstat { slot: u8::MAX };

impl Mirror {
    /// The plain counterpart of a case run in this environment; `None` when the merged tree cannot be made on
    /// a plain filesystem.
    pub fn of(case: &Case, environment: &Environment) -> Option<Mirror> {
        let context = Context { view: View::Overlay, ..Context::of(environment) };
        // The merged tree as a layer has no private xattrs, and what they protect would not be protected there.
        let protects = |e: &Entry| e.node.xattrs.iter().any(|(name, _)| name.as_slice() == b"@protattr");
        if case.upper.entries.iter().any(protects) {
            return None;
        }
        let (layer, lower_links) = layer::merged(case, super::layers::rules(environment, &case.options))?;
        let mut plain = Case { lowers: vec![layer], ..Case::default() };
        let mut model = Model::new(case, context, None);
        let (mut plan, mut ended) = (Vec::with_capacity(case.steps.len()), None);
        for step in &case.steps {
            model.rules.begin_step();
            let known = deviation(&mut model, step);
            let predicted = model.act(step);
            let found = known
                .or_else(|| too_long(&model, step, &predicted))
                .or_else(|| missing_acl(step, &predicted))
                .or_else(|| copies_across(step, &predicted))
                .or_else(|| interruptible(&model));
            let (next, op) = match found {
                None => (Plan::Whole, step.op.clone()),
                Some((deviation, Verdict::Outcome)) => (Plan::Outcome(deviation), step.op.clone()),
                Some((deviation, Verdict::Dates)) => (Plan::Dates(deviation), step.op.clone()),
                Some((deviation, Verdict::LeaveOut)) => (Plan::LeftOut(deviation), NOTHING),
                Some((deviation, Verdict::Stop)) => {
                    ended = Some(deviation);
                    break;
                }
            };
            let mut mirrored = step.clone();
            mirrored.op = op;
            mirrored.expect = None;
            plain.steps.push(mirrored);
            plan.push(next);
            look_after(&mut model, &step.op);
        }
        Some(Mirror { case: plain, plan, ended, lower_links })
    }
}
