//! What a shell offers for a word that names something on the server: apps, runs, environments.
//!
//! A person waits for it between two keys. So it takes little time or is left out, and says nothing.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::builder::StyledStr;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use minitower_client::{Client, Error, RunFilter, TeamClient};

use crate::connection;
use crate::context::Context;
use crate::output::clean;
use crate::settings::{Environment, GlobalArgs};

/// Longest wait for the server, all in all.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most runs that are offered, the newest.
const MOST_RUNS: u32 = 50;

/// The commands, whose arguments know what the server has.
pub fn attached(command: clap::Command) -> clap::Command {
    // There, an environment is one to serve, and need not exist.
    let is_dev = command.get_name() == "dev";
    let command = command.mut_args(|arg| {
        let ask: fn(&OsStr) -> Vec<CompletionCandidate> = match arg.get_id().as_str() {
            "app" | "app_flag" => |word| found(word, Wanted::Apps),
            "run_id" | "before" => |word| found(word, Wanted::Runs),
            "environment" if !is_dev => |word| found(word, Wanted::Environments),
            _ => return arg,
        };
        arg.add(ArgValueCompleter::new(ask))
    });
    command.mut_subcommands(attached)
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Apps,
    Runs,
    Environments,
}

/// A candidate, and what it is.
type Found = (String, String);

/// The candidates that begin as the word does; none if the server cannot be asked.
fn found(word: &OsStr, wanted: Wanted) -> Vec<CompletionCandidate> {
    let Some(team) = team(&flags(std::env::args_os())) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(&team, wanted)).await });
    // A name lookup may still be going on.
    runtime.shutdown_background();
    let Ok(Ok(found)) = asked else { return Vec::new() };
    let begins = |value: &str| word.to_str().is_some_and(|word| value.starts_with(word));
    let found = found.into_iter().filter(|(value, _)| begins(value));
    found
        .map(|(value, what)| {
            let help = Some(clean(&what)).filter(|what| !what.is_empty()).map(StyledStr::from);
            CompletionCandidate::new(clean(&value)).help(help)
        })
        .collect()
}

async fn ask(team: &TeamClient, wanted: Wanted) -> Result<Vec<Found>, Error> {
    Ok(match wanted {
        Wanted::Apps => {
            let apps = team.apps().await?.apps.into_iter();
            apps.map(|app| (app.slug, app.description.unwrap_or_default())).collect()
        }
        Wanted::Runs => {
            let filter = RunFilter { limit: Some(MOST_RUNS), ..RunFilter::default() };
            let runs = team.runs(&filter).await?.runs.into_iter();
            runs.map(|run| {
                let what = format!("{} #{} {}", run.app_slug, run.run_no, run.status.as_str());
                (run.run_id.to_string(), what)
            })
            .collect()
        }
        Wanted::Environments => {
            let made = team.environments().await?.environments.into_iter().map(|made| made.name);
            let mut names: Vec<_> = made.filter(|name| name != "default").collect();
            names.insert(0, "default".to_owned());
            names.into_iter().map(|name| (name, String::new())).collect()
        }
    })
}

/// The team of the line that is being typed.
fn team(flags: &GlobalArgs) -> Option<TeamClient> {
    let env = Environment::from_process();
    let profile = Context::quiet(flags.clone()).profile().ok()?;
    let server = connection::server(flags, &env, profile.as_ref()).ok()?;
    let token = connection::token(flags, &env, profile.as_ref(), &server).ok()?;
    let mut config = connection::client_config(flags, &env, server);
    config.connect_timeout = PATIENCE;
    config.request_timeout = PATIENCE;
    Some(Client::new(&config).ok()?.team(token))
}

/// What the line says about the connection. The rest of it may be half a word.
fn flags(words: impl Iterator<Item = OsString>) -> GlobalArgs {
    let mut flags = GlobalArgs::default();
    let mut words = words.filter_map(|word| word.into_string().ok());
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || value.clone().or_else(|| words.next());
        match name.as_str() {
            "--server" => flags.server = value(),
            "--token" => flags.token = value(),
            "--profile" => flags.profile = value(),
            "--ca-file" => flags.ca_file = value().map(Into::into),
            _ => {}
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_which_server_is_asked() {
        let line = "minitower --server http://h runs --profile=p get --token t 1";
        let flags = flags(line.split(' ').map(OsString::from));
        assert_eq!(flags.server.as_deref(), Some("http://h"));
        assert_eq!((flags.profile.as_deref(), flags.token.as_deref()), (Some("p"), Some("t")));
    }
}
