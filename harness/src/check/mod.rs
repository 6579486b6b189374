//! Judging: a model against a trace.
//!
//! [`judge`] replays the case in the model beside the trace and stops at the first difference. It
//! reads nothing but its arguments, so a trace made under another kernel, or last year, is judged
//! the same way.

mod compare;
mod divergence;
mod expect;
mod explain;
mod focus;
mod forgive;
mod judge;
mod layers;
mod looks;
mod origins;
mod transparency;
mod trees;

pub use compare::IGNORED_XATTRS;
pub use divergence::{Divergence, Oracle, Place, Signature};
pub use expect::check_expectations;
pub use focus::Focus;
pub use judge::{Judgement, judge, judge_foreseen};
pub use layers::{apply_upper, resolve_layers};
pub use looks::look_after;
pub use origins::{TargetOrigin, origins};
pub use transparency::{Deviation, Mirror, Transparency, transparency};
