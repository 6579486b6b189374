//! The proptest strategy: one case per seed, with the shrinker as its tree.

use std::fmt;
use std::marker::PhantomData;

use proptest::strategy::{NewTree, Strategy};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::aim::Aim;
use super::dice::Dice;
use super::names::Pool;
use super::profile::Profile;
use super::{layers, steps};
use crate::case::Case;
use crate::shrink::CaseTree;

/// Cases of a profile, aimed with `A`.
pub struct Cases<A> {
    profile: Profile,
    aim: PhantomData<fn() -> A>,
}

impl<A> Cases<A> {
    /// Cases of this profile.
    pub fn new(profile: Profile) -> Cases<A> {
        Cases { profile, aim: PhantomData }
    }
}

impl<A> fmt::Debug for Cases<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cases").field("profile", &self.profile).finish()
    }
}

impl<A: Aim> Strategy for Cases<A> {
    type Tree = CaseTree;
    type Value = Case;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        Ok(CaseTree::new(draw_with::<A>(&self.profile, runner.rng())))
    }
}

/// The case of this profile and seed; what [`Cases`] gives for the same seed.
pub fn draw<A: Aim>(profile: &Profile, seed: &[u8; 32]) -> Case {
    draw_with::<A>(profile, &mut TestRng::from_seed(RngAlgorithm::ChaCha, seed))
}

fn draw_with<A: Aim>(profile: &Profile, rng: &mut TestRng) -> Case {
    let mut dice = Dice(rng);
    let pool = Pool::draw(&mut dice, profile.reserved_names);
    let mut case = layers::draw(profile, &pool, &mut dice);
    suit(profile, &mut case);
    steps::draw::<A>(profile, &pool, &mut case, &mut dice);
    suit(profile, &mut case);
    case
}

/// Takes out of the layers what the target does not know.
fn suit(profile: &Profile, case: &mut Case) {
    if !profile.marks {
        unmark(case);
    }
    if !profile.xattr_whiteouts {
        for layer in case.lowers.iter_mut().chain([&mut case.upper]) {
            layer.entries.retain(|entry| entry.node.xattrs.iter().all(|(name, _)| name.as_slice() != b"@whiteout"));
        }
    }
}

/// Takes what has a meaning to overlays alone out of the layers.
fn unmark(case: &mut Case) {
    for layer in case.lowers.iter_mut().chain([&mut case.upper]) {
        layer.entries.retain(|entry| !entry.node.is_whiteout());
        for entry in &mut layer.entries {
            entry.node.xattrs.retain(|(name, _)| !name.starts_with(b"@"));
        }
    }
}
