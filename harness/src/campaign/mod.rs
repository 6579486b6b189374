//! Campaigns: many cases drawn, run and judged by several workers, and what came of them.
//!
//! Nothing is printed here: the caller gets [`Event`]s while it runs and a [`Summary`] at the end.

mod compare;
mod confirm;
mod exchange;
mod find;
mod run;
mod selftest;
mod shard;
mod stats;

pub use compare::{Change, Comparison, Difference, compare};
pub use confirm::{Confirmed, confirm};
pub use exchange::{Exchange, Exchanged, exchange, with_handovers};
pub use find::{Finding, Judging, entries, examine, find_again, investigate, mirrored, start_mirror};
pub use run::{Event, Settings, case_of, run, run_cases};
pub use selftest::{FaultResult, REPLAYS, SelfTest, ShrunkFault, self_test};
pub use shard::{NoShard, Shard};
pub use stats::{Known, Start, Stats, Summary};
