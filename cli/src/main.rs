//! The `minitower` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    minitower_cli::main()
}
