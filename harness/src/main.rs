//! The `ovlcheck` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ovlcheck::exec::worker_entry();
    ovlcheck::cli::main()
}
