//! `ovlcheck doctor`

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;

use super::campaign::stop_flag;
use super::{CANNOT, DEFECT, HELD, INTERRUPTED, refuse};
use super::{say, say_raw};
use crate::exec::examine::examine;
use crate::report;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck doctor                       what can be tested here, and what to do about the rest
  ovlcheck doctor --dir /var/lib/x      would an upper layer in that directory do?
  ovlcheck doctor --json | jq .can_run

Exit status: 0 `ovlcheck run` works here, 3 it does not.";

/// What `ovlcheck doctor` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct DoctorArgs {
    /// Try this directory's filesystem too: in a fresh directory there, which is removed again.
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Print JSON, as docs/json.md describes it.
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(args: &DoctorArgs) -> u8 {
    // ^C waits for the end, which is near, so that nothing of ours stays in --dir.
    let stop = stop_flag();
    let found = match examine(args.dir.as_deref()) {
        Ok(found) => found,
        Err(e) => return refuse(&e),
    };
    if args.json {
        match serde_json::to_string_pretty(&found) {
            Ok(json) => say!("{json}"),
            Err(e) => {
                eprintln!("ovlcheck: cannot write JSON: {e}");
                return DEFECT;
            }
        }
    } else {
        say_raw!("{}", report::doctor(&found));
    }
    match found.can_run {
        _ if stop.load(Ordering::Relaxed) => INTERRUPTED,
        true => HELD,
        false => CANNOT,
    }
}
