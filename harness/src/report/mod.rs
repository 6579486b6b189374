//! What people read: plain text made from values. Nothing here prints or decides.

mod coverage;
mod doctor;
mod finding;
mod resolved;
mod rules;
mod selftest;
mod summary;
mod tree_diff;

pub use coverage::{coverage, enumerated};
pub use doctor::doctor;
pub use finding::{finding, short};
pub use resolved::resolved;
pub use rules::rules;
pub use selftest::self_test;
pub use summary::{progress, summary};
