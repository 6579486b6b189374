//! Bounded enumeration: every sequence of a few steps from a small alphabet, on every one of some initial
//! layers.
//!
//! Sequences are not run one by one. The model's state after each is taken as a fingerprint
//! ([`crate::model::Model::fingerprint`]): of two prefixes that lead to the same state one is continued,
//! and of two that differ in names alone likewise. What is run is every *transition*: each step of the
//! alphabet from one representative of each state. Steps that leave the state as it is are run one after
//! the other in one case. So the result is as good as the model's idea of a state: a kernel that remembers
//! something else, which no step of the alphabet shows, can hide behind it.
//!
//! | module | what it is |
//! |---|---|
//! | `alphabet` | the steps, the names and how they may be exchanged |
//! | `layers` | the initial layers |
//! | `plan` | states, transitions, and the cases that run them |

mod alphabet;
mod layers;
mod plan;
#[cfg(test)]
mod tests;

pub use alphabet::Alphabet;
pub use layers::layers;
pub use plan::{Coverage, Plan};
