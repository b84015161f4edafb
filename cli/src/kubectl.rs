//! This program as a plugin of kubectl: the name it goes by, and the hints that differ.
//!
//! kubectl starts `kubectl-NAME` from the path for `kubectl NAME`, and `kubectl_complete-NAME` for the words after it
//! (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>). Both may be links to this program.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

/// The program's own name.
const ALONE: &str = "minitower";
/// How a person types it as a plugin.
const PLUGIN: &str = "kubectl minitower";

/// How the program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// By a person, under its own name or another that they gave it.
    Alone,
    /// By kubectl, as `kubectl minitower`.
    Plugin,
    /// By kubectl, which asks for the completion of the words after `kubectl minitower`.
    Completion,
}

impl Called {
    /// How this process was started.
    pub fn from_process() -> Self {
        std::env::args_os().next().map_or(Self::Alone, |program| Self::by(&program))
    }

    /// How a program of this path was started.
    fn by(program: &OsStr) -> Self {
        match Path::new(program).file_stem().and_then(OsStr::to_str) {
            Some("kubectl-minitower") => Self::Plugin,
            Some("kubectl_complete-minitower") => Self::Completion,
            _ => Self::Alone,
        }
    }

    /// What a person types to run this program again.
    pub fn typed(self) -> &'static str {
        match self {
            Self::Alone => ALONE,
            Self::Plugin | Self::Completion => PLUGIN,
        }
    }

    /// A hint whose commands have the name that the person types. Hints quote commands: `` `minitower runs list` ``.
    fn retell(self, hint: &str) -> Cow<'_, str> {
        match self {
            Self::Alone => Cow::Borrowed(hint),
            Self::Plugin | Self::Completion => {
                Cow::Owned(hint.replace(&format!("`{ALONE} "), &format!("`{PLUGIN} ")))
            }
        }
    }

    /// The commands under the name that the person types.
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

/// A hint of this process, whose commands have the name that the person types.
pub fn retold(hint: &str) -> Cow<'_, str> {
    Called::from_process().retell(hint)
}

/// The commands of this process under the name that the person types.
pub fn renamed(command: clap::Command) -> clap::Command {
    Called::from_process().rename(command)
}

/// What to do when no server is named: kubectl reaches one in the cluster.
pub const NO_SERVER: &str = "forward a port to the cluster's control plane with `kubectl port-forward --namespace NAMESPACE service/NAME 8080` \
     (`kubectl get services -A -l app.kubernetes.io/part-of=minitower` shows both names), then run \
     `minitower login --server http://localhost:8080`, pass --server or set MINITOWER_SERVER_URL";

/// What to do when the server does not answer.
pub const NO_ANSWER: &str = "if you reach it through `kubectl port-forward`, start that again: it ends with its pod; or name another server with --server";

/// What to do for completion, in place of loading a script.
pub const NO_SCRIPT: &str = "kubectl completes this plugin by asking a program `kubectl_complete-minitower`. Link it into a folder of PATH: \
     ln -s \"$(command -v kubectl-minitower)\" ~/.local/bin/kubectl_complete-minitower";

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
