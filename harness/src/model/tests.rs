//! The model on its own: no fault and no case may make it panic.

use super::{Clause, Context, Model};
use crate::generate::{Profile, draw, seed_for};
use crate::trace::Privilege;

#[test]
fn no_fault_makes_the_model_panic() {
    let mut steps = 0;
    for privilege in [Privilege::Root, Privilege::Rootless] {
        let profile = Profile::new(privilege);
        for index in 0..40 {
            let case = draw::<Model>(&profile, &seed_for(7, index));
            for fault in std::iter::once(None).chain(Clause::ALL.iter().copied().map(Some)) {
                let mut model = Model::new(&case, Context::assumed(privilege), fault);
                for step in &case.steps {
                    model.rules.begin_step();
                    let _ = model.apply(&step.op);
                    steps += 1;
                }
            }
        }
    }
    assert!(steps > 100_000, "only {steps} steps ran");
}
