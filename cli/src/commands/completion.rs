//! `minitower completion`, and the answers to kubectl's own completion.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap::builder::StyledStr;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use crate::failure::{Exit, Explained, Failure};
use crate::kubectl::{Called, NO_SCRIPT};
use crate::output::OutputError;

/// The variable by which a script asks.
const VARIABLE: &str = "MINITOWER_COMPLETE";
/// The program's own name.
const NAME: &str = "minitower";

/// Flags of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
For bash, in ~/.bashrc: source <(minitower completion bash)
For zsh, in ~/.zshrc:   source <(minitower completion zsh)
For fish:               minitower completion fish > ~/.config/fish/completions/minitower.fish

Apps, runs and environments are completed too, if the server answers within a second.")]
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
    /// Prints the script, which asks this program how a line goes on.
    pub fn run(self) -> Result<Exit, Failure> {
        if Called::from_process() == Called::Plugin {
            return Err(PluginError.into());
        }
        let mut script = Vec::new();
        let (name, program) = called();
        if let Some(shell) = Shells::builtins().completer(&self.shell.to_string()) {
            // Into memory, which cannot fail.
            shell
                .write_registration(VARIABLE, &name, &name, &program, &mut script)
                .map_err(OutputError::from)?;
        }
        io::stdout().write_all(&script).map_err(OutputError::from)?;
        Ok(Exit::Success)
    }
}

/// Under which name the program is completed, and how the shell starts it.
fn called() -> (String, String) {
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let name = program.file_name().map_or(NAME.to_owned(), |name| name.to_string_lossy().into_owned());
    // A path may be relative, and the shell goes elsewhere.
    let program = if program.components().count() > 1 { std::path::absolute(&program).ok() } else { None };
    let program = program.map_or_else(|| name.clone(), |program| program.to_string_lossy().into_owned());
    (name, program)
}

/// Answers a shell that asks, by the variable that its script sets, how the line goes on. `None` if no shell asks.
pub fn answer(command: fn() -> clap::Command) -> Option<Exit> {
    std::env::var_os(VARIABLE)?;
    let folder = std::env::current_dir().ok();
    // A word that leads nowhere has no candidates; the shell would show an error in the middle of the line.
    let _ = CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin(NAME)
        .try_complete(std::env::args_os(), folder.as_deref());
    Some(Exit::Success)
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
