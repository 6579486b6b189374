//! What people read: plain text made from values. Nothing here prints or decides.

mod comparison;
mod coverage;
mod doctor;
mod exchange;
mod explain;
mod finding;
mod junit;
mod kernels;
mod ktap;
mod machine;
mod matrix;
mod merged;
mod propose;
mod resolved;
mod rules;
mod selftest;
mod summary;
mod tables;
mod tree_diff;
mod walkthrough;

pub use comparison::comparison;
pub use coverage::{coverage, enumerated};
pub use doctor::doctor;
pub use exchange::exchanged;
pub use explain::{clause, explained, upper_after};
pub use finding::{finding, short};
pub use junit::{JunitResult, JunitTest, failed, junit, junit_tests};
pub use kernels::{TriedKernel, kernels};
pub use ktap::ktap;
pub(crate) use machine::{
    CampaignEnd, CountedCalls, CountedResult, CountedTarget, Coverage, Fired, Met, Untested, json_summary,
};
pub use machine::{
    JSON_VERSION, json_begin, json_begin_campaign, json_case, json_finding, json_kernel, json_progress, json_replayed,
    json_untried,
};
pub use matrix::{Column, Standing, html as matrix_html, markdown as matrix_markdown, text as matrix_text};
pub(crate) use merged::merged;
pub use propose::{propose, propose_head};
pub use resolved::resolved;
pub use rules::rules;
pub use selftest::self_test;
pub use summary::{progress, summary};
pub use tables::{CHANGING, SUCCEEDING, tables};
pub use walkthrough::walkthrough;
