//! `minitower completion`

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::failure::{Exit, Failure};

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
        // Into memory first: the generator panics when its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "minitower", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(Exit::Success)
    }
}
