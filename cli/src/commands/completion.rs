//! `minitower completion`

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::failure::{Exit, Failure};
use crate::kubectl::{Called, NO_SCRIPT};

/// Flags of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "For bash, in ~/.bashrc: source <(minitower completion bash)")]
pub struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    /// Prints the script.
    pub fn run(self) -> Result<Exit, Failure> {
        if Called::from_process() == Called::Plugin {
            return Err(
                Failure::new("a shell that completes kubectl needs no script of its plugins").help(NO_SCRIPT)
            );
        }
        // Into memory first: the generator panics when its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "minitower", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(Exit::Success)
    }
}
