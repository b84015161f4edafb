//! The command line of MiniTower.
//!
//! | module | what |
//! |---|---|
//! | [`commands`] | one file per command, laid out as the help text is |
//! | [`connection`] | which server, which token: flags, environment, profile |
//! | [`profiles`] | the file profiles are kept in |
//! | [`input`] | `--input` and `-p key=value` become a run's input |
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
pub mod output;
pub mod profiles;
pub mod watch;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::commands::Cli;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Runs the program with the process's arguments and environment.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let context = Context::from_process(cli.global);
    let exit = runtime().and_then(|runtime| runtime.block_on(cli.command.run(&context)));
    match exit {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(context.out.stderr_style());
            failure.exit_code()
        }
    }
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
