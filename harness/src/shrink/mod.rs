//! Smaller cases that fail in the same way.
//!
//! One tree holds the layers, options, steps, names and data of a case; [`CaseTree`] walks from the
//! best case so far to the next smaller candidate, and proptest's runner drives it. Any case can be
//! shrunk: drawn, loaded from a file, or imported. What "fails in the same way" means is the
//! caller's to say; this module must not know how cases are run.

mod arguments;
mod cuts;
mod measure;
mod names;
mod run;
#[cfg(test)]
mod tests;
mod tree;

pub use run::{Budget, Shrunk, shrink, shrink_from};
pub use tree::CaseTree;
