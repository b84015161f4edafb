//! The commands, one file each, in folders as the help text groups them. A command reads its flags, calls the server
//! and prints the answer; what several need lies beside this folder.

pub mod apps;
pub mod completion;
pub mod config;
pub mod deploy;
pub mod dev;
pub mod environments;
pub mod init;
pub mod login;
pub mod me;
pub mod runners;
pub mod runs;
pub mod signup;
pub mod tokens;
pub mod versions;

mod password;

use clap::{Parser, Subcommand};

use crate::connection::GlobalArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};

const AFTER_HELP: &str = "\
New here? Run `minitower dev`, and do what it says.

Exit codes: 0 done, 10 not allowed (401, 403), 11 not found (404), 12 conflict (409), 13 gone (410), 1 anything else.
Of a watched run: 0 completed, 1 failed or dead, 2 cancelled.";

/// Deploy Python and shell jobs, run them, and watch them.
#[derive(Debug, Parser)]
#[command(name = "minitower", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Flags every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// All commands, in the order of the help text.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole MiniTower on this machine: control plane and one runner
    Dev(dev::Dev),
    /// Write a Towerfile for this folder
    Init(init::Init),
    /// Pack this folder and upload it as a new version
    Deploy(deploy::Deploy),
    /// Create, list and watch runs
    #[command(subcommand)]
    Runs(runs::Runs),
    /// List and create apps
    #[command(subcommand)]
    Apps(apps::Apps),
    /// List and upload versions of an app
    #[command(subcommand)]
    Versions(versions::Versions),
    /// List and create environments
    #[command(subcommand)]
    Environments(environments::Environments),
    /// List and drain runners
    #[command(subcommand)]
    Runners(runners::Runners),
    /// Log in with a team's password and keep the token in a profile
    Login(login::Login),
    /// Make a team and keep its token in a profile
    Signup(signup::Signup),
    /// Say whose token is used
    Me,
    /// Create team tokens
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Look at and change profiles
    #[command(subcommand)]
    Config(config::Config),
    /// Print the completion script of a shell
    Completion(completion::Completion),
}

impl Command {
    /// Carries the command out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Dev(command) => command.run(context).await,
            Self::Init(command) => command.run(context),
            Self::Deploy(command) => command.run(context).await,
            Self::Runs(command) => command.run(context).await,
            Self::Apps(command) => command.run(context).await,
            Self::Versions(command) => command.run(context).await,
            Self::Environments(command) => command.run(context).await,
            Self::Runners(command) => command.run(context).await,
            Self::Login(command) => command.run(context).await,
            Self::Signup(command) => command.run(context).await,
            Self::Me => me::run(context).await,
            Self::Tokens(command) => command.run(context).await,
            Self::Config(command) => command.run(context),
            Self::Completion(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_anywhere() {
        for line in [["minitower", "--json", "apps", "list"], ["minitower", "apps", "list", "--json"]] {
            assert!(Cli::try_parse_from(line).unwrap().global.json);
        }
    }
}
