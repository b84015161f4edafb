//! The commands, one file or folder for each group of the help text. A command reads its flags, calls the server and
//! prints the answer. What several commands need is beside this folder.

pub mod access;
pub mod apps;
pub mod audit;
pub mod completion;
pub mod config;
pub mod deploy;
pub mod dev;
pub mod environments;
pub mod init;
mod kept;
pub mod limits;
pub mod notifications;
pub mod retention;
pub mod runners;
pub mod runs;
pub mod secrets;
pub mod sso;
pub mod tokens;
pub mod versions;

use clap::{Args, Parser, Subcommand};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::settings::GlobalArgs;

const AFTER_HELP: &str = "\
New here? Run `minitower dev` and follow what it prints.

Exit codes: 0 success, 10 not allowed (401, 403), 11 not found (404), 12 conflict (409), 13 gone (410), 14 the server \
cannot be reached, 1 any other error.
For a run that you run, wait for or watch: 0 completed, 1 failed or dead, 2 cancelled.";

/// What the API calls [`Force`] in a refusal.
const FORCE: &[(&str, &str)] = &[("force=true", "--force")];

/// The flag of deletions.
#[derive(Debug, Clone, Copy, Args)]
pub struct Force {
    /// Cancel runs that have not ended, and delete them when they have
    #[arg(long)]
    pub force: bool,
}

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
    /// Run a complete MiniTower on this machine: a control plane and one runner
    Dev(dev::Dev),
    /// Write a Towerfile for this folder
    Init(init::Init),
    /// Pack this folder and upload it as a new version
    Deploy(deploy::Deploy),
    /// Run an app: create a run, print its log, and exit as it exits
    Run(runs::create::RunApp),
    /// Print a run's log, by default the newest run's
    Logs(runs::logs::Logs),
    /// Create, list, watch, cancel and delete runs
    #[command(subcommand)]
    Runs(runs::Runs),
    /// List, create and delete apps
    #[command(subcommand)]
    Apps(apps::Apps),
    /// List, upload and delete versions of an app
    #[command(subcommand)]
    Versions(versions::Versions),
    /// List and create environments
    #[command(subcommand)]
    Environments(environments::Environments),
    /// Set, list and delete secrets (admins only)
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// List and drain runners
    #[command(subcommand)]
    Runners(runners::Runners),
    /// Log in with a team's password, or with a browser, and save the token in a profile
    Login(access::Login),
    /// Create a team and save its token in a profile
    Signup(access::Signup),
    /// Revoke the profile's token, and remove it from the profile
    Logout,
    /// Show the team, the role and the person of your token
    Me,
    /// List, create and revoke team tokens
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Show who changed what (admins only)
    Audit(audit::Audit),
    /// Show and change what the team may use
    Limits(limits::Limits),
    /// Show and change how long the team's runs are kept
    Retention(retention::Retention),
    /// Say who is told of which runs: webhooks, Slack, email
    #[command(subcommand)]
    Notifications(notifications::Notifications),
    /// Show and change profiles
    #[command(subcommand)]
    Config(config::Config),
    /// Print a completion script for your shell
    Completion(completion::Completion),
}

impl Command {
    /// Carries the command out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Dev(command) => command.run(context).await,
            Self::Init(command) => command.run(context),
            Self::Deploy(command) => command.run(context).await,
            Self::Run(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Runs(command) => command.run(context).await,
            Self::Apps(command) => command.run(context).await,
            Self::Versions(command) => command.run(context).await,
            Self::Environments(command) => command.run(context).await,
            Self::Secrets(command) => command.run(context).await,
            Self::Runners(command) => command.run(context).await,
            Self::Login(command) => command.run(context).await,
            Self::Signup(command) => command.run(context).await,
            Self::Logout => access::logout(context).await,
            Self::Me => access::me(context).await,
            Self::Tokens(command) => command.run(context).await,
            Self::Audit(command) => command.run(context).await,
            Self::Limits(command) => command.run(context).await,
            Self::Retention(command) => command.run(context).await,
            Self::Notifications(command) => command.run(context).await,
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
