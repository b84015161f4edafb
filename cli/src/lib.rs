//! The command line of MiniTower.
//!
//! | module | what |
//! |---|---|
//! | [`commands`] | one file per command, laid out as the help text is |
//! | [`connection`] | which server, which token: flags, environment, profile |
//! | [`profiles`] | the file profiles are kept in |
//! | [`input`] | `--input` and `-p key=value` become a run's input |
//! | [`kubectl`] | the program as `kubectl minitower` |
//! | [`follow`], [`watch`] | what `--follow` and `--wait` do |
//! | [`output`] | tables, colours, JSON, progress |
//! | [`failure`] | what a person sees when something went wrong, and the exit code |
//!
//! Everything a server decides stays with the server; nothing here repeats its rules.

pub mod commands;
pub mod connection;
pub mod context;
pub mod failure;
pub mod follow;
pub mod input;
pub mod kubectl;
pub mod output;
pub mod profiles;
pub mod watch;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use minitower_daemon::signals::{Held, Signals};

use crate::commands::{Cli, Command};
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Runs the program with the process's arguments and environment.
pub fn main(held: Held) -> ExitCode {
    if kubectl::Called::from_process() == kubectl::Called::Completion {
        held.let_go();
        let words = std::env::args_os().skip(1).collect();
        // Whatever is printed would be taken for a candidate.
        return kubectl::complete(Cli::command(), words)
            .map_or_else(|failure| failure.exit_code(), ExitCode::from);
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let signals = signals(&cli.command, held);
    let context = Context::from_process(cli.global);
    let exit = signals.and_then(|signals| {
        context.give_signals(signals);
        runtime()?.block_on(cli.command.run(&context))
    });
    match exit {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(context.out.stderr_style());
            failure.exit_code()
        }
    }
}

/// Takes the signals that were held back for `dev`; to every other command they do what they do by default.
fn signals(command: &Command, held: Held) -> Result<Option<Signals>, Failure> {
    if !matches!(command, Command::Dev(_)) {
        held.let_go();
        return Ok(None);
    }
    held.listen().map(Some).map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = kubectl::renamed(Cli::command());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Help and version are answers; everything else is a mistake of the caller, which ends with 1: clap's own 2 would
/// read as "cancelled".
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be said about a closed output.
    let _closed = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success.into(),
        _ => Exit::Failed.into(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}
