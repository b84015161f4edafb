//! This program as a plugin of kubectl: which name it goes by, and the answers to kubectl's completion.
//!
//! kubectl starts `kubectl-NAME` from the path for `kubectl NAME`, and `kubectl_complete-NAME` for the words after it
//! (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>). Both may be links to this program.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use clap::builder::StyledStr;

use crate::failure::{Exit, Failure};

/// The program's own name.
const ALONE: &str = "minitower";
/// How a person types it as a plugin.
const PLUGIN: &str = "kubectl minitower";

/// As what the program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// By a person, under its own name or one they have given it.
    Alone,
    /// By kubectl, as `kubectl minitower`.
    Plugin,
    /// By kubectl, which wants to know how the words after `kubectl minitower` may go on.
    Completion,
}

impl Called {
    /// What the process was started as.
    pub fn from_process() -> Self {
        std::env::args_os().next().map_or(Self::Alone, |program| Self::by(&program))
    }

    /// What a program of this path was started as.
    fn by(program: &OsStr) -> Self {
        match Path::new(program).file_stem().and_then(OsStr::to_str) {
            Some("kubectl-minitower") => Self::Plugin,
            Some("kubectl_complete-minitower") => Self::Completion,
            _ => Self::Alone,
        }
    }

    /// What to type to come back here.
    pub fn typed(self) -> &'static str {
        match self {
            Self::Alone => ALONE,
            Self::Plugin | Self::Completion => PLUGIN,
        }
    }

    /// A hint, with its commands under the name they are typed by. Hints quote commands: `` `minitower runs list` ``.
    fn retell(self, hint: &str) -> Cow<'_, str> {
        match self {
            Self::Alone => Cow::Borrowed(hint),
            Self::Plugin | Self::Completion => {
                Cow::Owned(hint.replace(&format!("`{ALONE} "), &format!("`{PLUGIN} ")))
            }
        }
    }

    /// The commands under the name they are typed by.
    fn rename(self, command: clap::Command) -> clap::Command {
        match self {
            Self::Alone => command,
            Self::Plugin | Self::Completion => {
                let command = self.retell_help(command.bin_name(PLUGIN).display_name(PLUGIN));
                command.mut_subcommand("completion", |completion| completion.after_help(NO_SCRIPT))
            }
        }
    }

    fn retell_help(self, command: clap::Command) -> clap::Command {
        let retold = command.get_after_help().map(|text| self.retell(&text.to_string()).into_owned());
        let command = match retold {
            Some(text) => command.after_help(text),
            None => command,
        };
        command.mut_subcommands(|subcommand| self.retell_help(subcommand))
    }
}

/// A hint of this process, with its commands under the name they are typed by.
pub fn retold(hint: &str) -> Cow<'_, str> {
    Called::from_process().retell(hint)
}

/// The commands of this process under the name they are typed by.
pub fn renamed(command: clap::Command) -> clap::Command {
    Called::from_process().rename(command)
}

/// What to do when no server is named: kubectl reaches one in the cluster.
pub const NO_SERVER: &str = "bring the cluster's control plane here with `kubectl port-forward --namespace NAMESPACE service/NAME 8080` \
     (`kubectl get services -A -l app.kubernetes.io/part-of=minitower` shows both names), then run \
     `minitower login --server http://localhost:8080`, give --server or set MINITOWER_SERVER_URL";

/// What to do when the server does not answer.
pub const NO_ANSWER: &str = "if a `kubectl port-forward` led to it, start that again, it ends with its pod; or name another server with --server";

/// What to do for completion, in place of loading a script.
pub const NO_SCRIPT: &str = "kubectl's own completion asks a program `kubectl_complete-minitower` about this plugin. Link it into a folder of PATH: \
     ln -s \"$(command -v kubectl-minitower)\" ~/.local/bin/kubectl_complete-minitower";

/// Prints how the last of `words` may go on, as cobra's programs do: a candidate a line, its description after a tab,
/// and a last line with what the shell shall do
/// (<https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md>, `ShellCompDirective`).
pub fn complete(command: clap::Command, words: Vec<OsString>) -> Result<Exit, Failure> {
    const NO_SPACE: u8 = 2;
    const NO_FILES: u8 = 4;

    let mut command = command.no_binary_name(true);
    // kubectl passes the word to complete last, be it empty.
    let words = if words.is_empty() { vec![OsString::new()] } else { words };
    let last = words.len() - 1;
    let folder = std::env::current_dir().ok();
    // A word that leads nowhere has no candidates; kubectl would show an error as one.
    let found =
        clap_complete::engine::complete(&mut command, words, last, folder.as_deref()).unwrap_or_default();
    let mut answer = Vec::new();
    let mut folders = !found.is_empty();
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        folders &= value.ends_with('/');
        let help = candidate.get_help().map(StyledStr::to_string).unwrap_or_default();
        match help.lines().next() {
            Some(help) if !help.is_empty() => writeln!(answer, "{value}\t{help}")?,
            _ => writeln!(answer, "{value}")?,
        }
    }
    // Files are among the candidates already; within a folder one goes on typing.
    let directive = if folders { NO_FILES | NO_SPACE } else { NO_FILES };
    writeln!(answer, ":{directive}")?;
    io::stdout().write_all(&answer)?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use rstest::rstest;

    use super::*;
    use crate::commands::Cli;

    #[rstest]
    #[case("minitower", Called::Alone)]
    #[case("/usr/local/bin/minitower", Called::Alone)]
    #[case("mt", Called::Alone)]
    #[case("/root/.krew/bin/kubectl-minitower", Called::Plugin)]
    #[case("kubectl_complete-minitower", Called::Completion)]
    fn the_name_tells_who_calls(#[case] program: &str, #[case] called: Called) {
        assert_eq!(Called::by(OsStr::new(program)), called);
    }

    #[test]
    fn hints_name_what_was_typed() {
        let hint = "run `minitower login`; `minitowerd` and minitower.db are others";
        assert_eq!(Called::Alone.retell(hint), hint);
        assert_eq!(
            Called::Plugin.retell(hint),
            "run `kubectl minitower login`; `minitowerd` and minitower.db are others"
        );
    }

    #[test]
    fn every_help_text_names_what_was_typed() {
        fn assert_told(mut command: clap::Command, typed: &str) {
            let typed = format!("{typed} {}", command.get_name());
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("Usage: {typed}")), "{typed}: {help}");
            let others = help.matches("minitower ").count() - help.matches("kubectl minitower ").count();
            assert_eq!(others, 0, "{typed}: {help}");
            for subcommand in command.get_subcommands() {
                assert_told(subcommand.clone(), &typed);
            }
        }
        let mut command = Called::Plugin.rename(Cli::command());
        command.build();
        assert!(command.render_help().to_string().contains("Usage: kubectl minitower "));
        for subcommand in command.get_subcommands() {
            assert_told(subcommand.clone(), PLUGIN);
        }
    }
}
