//! Chance: a few ways to ask a proptest generator. It knows nothing of cases.

use proptest::prelude::Rng;
use proptest::test_runner::TestRng;

/// The random choices of one case; the same seed gives the same choices.
#[derive(Debug)]
pub(super) struct Dice<'a>(pub &'a mut TestRng);

impl Dice<'_> {
    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of the multiplication is below 2^-32 for every `n` used here.
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of 100 calls.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the items; the list must not be empty.
    pub fn one<'s, T>(&mut self, items: &'s [T]) -> &'s T {
        &items[self.below(items.len())]
    }

    /// One of the items, if there is any.
    pub fn any<'s, T>(&mut self, items: &'s [T]) -> Option<&'s T> {
        if items.is_empty() { None } else { Some(self.one(items)) }
    }

    /// One of the items by its weight; the weights must not all be 0.
    pub fn weighted<T: Copy>(&mut self, items: &[(usize, T)]) -> T {
        let total: usize = items.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(total);
        for &(weight, item) in items {
            if at < weight {
                return item;
            }
            at -= weight;
        }
        items[0].1
    }
}
