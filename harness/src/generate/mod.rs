//! Cases from a seed: layers that collide, and steps that aim.
//!
//! The generator consults a model through [`Aim`] while it draws, so that most calls succeed and
//! the others fail for a reason worth testing. The finished case is self-contained. What is drawn
//! depends on the seed, the [`Profile`] and the answers of the [`Aim`], and on nothing else. It must
//! not know how cases are run or judged.

mod aim;
mod dice;
mod layers;
mod motif;
mod names;
mod profile;
mod steps;
mod strategy;
#[cfg(test)]
mod tests;
mod trial;
mod world;

pub use aim::Aim;
pub use profile::{Profile, seed_for};
pub use strategy::{Cases, draw};
