//! The `ovlcheck` program, for the tests of this package to drive.

use std::process::ExitCode;

fn main() -> ExitCode {
    ovlcheck::exec::worker_entry();
    ovlcheck::cli::main()
}
