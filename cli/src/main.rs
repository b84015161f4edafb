//! The `minitower` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: `dev` loses no signal that comes from now on.
    let held = minitower_daemon::signals::hold();
    // And there is no thread yet: `dev` starts this very program again to supervise its jobs.
    minitower_runner::supervise_if_asked();
    minitower_cli::main(held)
}
