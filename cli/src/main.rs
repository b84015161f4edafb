//! The `minitower` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: `dev` starts this very program again to supervise its jobs.
    minitower_runner::supervise_if_asked();
    minitower_cli::main()
}
