//! `minitower completion`, and the answers to kubectl's own completion.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::Args;
use clap::builder::StyledStr;
use clap_complete::Shell;

use crate::failure::{Exit, Explained, Failure};
use crate::kubectl::{Called, NO_SCRIPT};
use crate::output::OutputError;

/// Flags of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "For bash, in ~/.bashrc: source <(minitower completion bash)")]
pub struct Completion {
    /// The shell to print the script for
    shell: Shell,
}

/// kubectl completes its plugins itself.
#[derive(Debug, thiserror::Error)]
#[error("a plugin of kubectl has no completion script")]
struct PluginError;

impl Explained for PluginError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(NO_SCRIPT.into())
    }
}

impl Completion {
    /// Prints the script that completes `command`.
    pub fn run(self, mut command: clap::Command) -> Result<Exit, Failure> {
        if Called::from_process() == Called::Plugin {
            return Err(PluginError.into());
        }
        // Into memory first: the generator panics when its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "minitower", &mut script);
        io::stdout().write_all(&script).map_err(OutputError::from)?;
        Ok(Exit::Success)
    }
}

/// Prints the candidates for the last of `words` as cobra's programs do: one on each line, with its description after a
/// tab, and a last line that tells the shell what to do
/// (<https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md>, `ShellCompDirective`).
pub fn complete(command: clap::Command, words: Vec<OsString>) -> Result<Exit, OutputError> {
    const NO_SPACE: u8 = 2;
    const NO_FILES: u8 = 4;

    let mut command = command.no_binary_name(true);
    // kubectl passes the word to complete last, even an empty one.
    let words = if words.is_empty() { vec![OsString::new()] } else { words };
    let last = words.len() - 1;
    let folder = std::env::current_dir().ok();
    // A word that leads nowhere has no candidates; kubectl would offer an error as one.
    let found =
        clap_complete::engine::complete(&mut command, words, last, folder.as_deref()).unwrap_or_default();
    let mut answer = String::new();
    let mut folders = !found.is_empty();
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        folders &= value.ends_with('/');
        let help = candidate.get_help().map(StyledStr::to_string).unwrap_or_default();
        answer += &value;
        if let Some(help) = help.lines().next().filter(|help| !help.is_empty()) {
            answer.push('\t');
            answer += help;
        }
        answer.push('\n');
    }
    // Files are among the candidates already; after a folder a person types on.
    let directive = if folders { NO_FILES | NO_SPACE } else { NO_FILES };
    writeln!(io::stdout(), "{answer}:{directive}")?;
    Ok(Exit::Success)
}
