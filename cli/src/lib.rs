//! The command line of MiniTower.
//!
//! | module | what |
//! |---|---|
//! | [`commands`] | the commands, laid out as the help text is |
//! | [`candidates`] | what a shell offers for a word that names something on the server |
//! | [`follow`], [`watch`] | what `--follow` and `--wait` do |
//! | [`fields`] | the API's names in a refusal, as the flags that a person typed |
//! | [`input`] | `--input` and `-p key=value` become a run's input |
//! | [`context`] | what every command is given |
//! | [`connection`] | which server, which token, which app |
//! | [`profiles`] | the file with saved servers and tokens |
//! | [`settings`] | flags and variables that every command takes |
//! | [`failure`] | what a person sees when something goes wrong, and the exit code |
//! | [`output`] | tables, colours, JSON, progress |
//! | [`kubectl`] | the program as `kubectl minitower` |
//!
//! A module uses modules further down in this table, never one further up. Rules belong to the server: nothing here
//! repeats them.

pub mod candidates;
pub mod commands;
pub mod connection;
pub mod context;
pub mod failure;
pub mod fields;
pub mod follow;
pub mod input;
pub mod kubectl;
pub mod output;
pub mod profiles;
pub mod settings;
pub mod waiting;
pub mod watch;

#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::io;
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use minitower_daemon::logs;
use minitower_daemon::signals::{Held, Signals};

use crate::commands::{Cli, Command, completion, dev, sso};
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::Style;

/// The program could not begin its work.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl Explained for StartError {}

/// Runs the program with the process's arguments and environment.
pub fn main(held: Held) -> ExitCode {
    if kubectl::Called::from_process() == kubectl::Called::Completion {
        held.let_go();
        let words = std::env::args_os().skip(1).collect();
        // Whatever is printed would be taken for a candidate.
        let command = candidates::attached(Cli::command());
        return completion::complete(command, words).unwrap_or(Exit::Success).into();
    }
    // There is no thread yet, which the variable's removal needs.
    if let Some(exit) = completion::answer(|| candidates::attached(Cli::command())) {
        held.let_go();
        return exit.into();
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let signals = signals(&cli.command, held);
    let context = Context::from_process(cli.global);
    let exit = signals.map_err(Failure::from).and_then(|signals| {
        context.give_signals(signals);
        runtime()?.block_on(cli.command.run(&context))
    });
    match exit {
        Ok(exit) => exit.into(),
        Err(failure) => explained(&context, failure).tell(context.out.is_json(), context.out.stderr_style()),
    }
}

/// A team of `minitower dev` has no password to log in with, and whoever has signed in with a browser does so again.
fn explained(context: &Context, failure: Failure) -> Failure {
    let help = failure
        .is_refused_token()
        .then(|| dev::help_of_refused_token(context).or_else(|| sso::help_of_refused_token(context)))
        .flatten();
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// Takes the signals that were held back for `dev`. For every other command they do what they do by default.
fn signals(command: &Command, held: Held) -> Result<Option<Signals>, StartError> {
    if !matches!(command, Command::Dev(_)) {
        held.let_go();
        return Ok(None);
    }
    held.listen().map(Some).map_err(StartError::Signals)
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = kubectl::renamed(Cli::command());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Help and version are answers. Everything else is a mistake of the caller and ends with 1: clap's own 2 would read as
/// "cancelled".
fn usage(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !is_answer && asks_for_json() {
        return mistake(error).tell(true, Style::new(false));
    }
    if let Some(said) = without_its_words(error) {
        logs::say(said.trim_end());
        return Exit::Failed.into();
    }
    // Nothing can be said about a closed output.
    let _closed = error.print();
    if is_answer { Exit::Success.into() } else { Exit::Failed.into() }
}

/// A mistake in one sentence, and what helps.
fn mistake(error: &clap::Error) -> Failure {
    let said = without_its_words(error).unwrap_or_else(|| error.to_string());
    let mut paragraphs = said.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let first = paragraphs.next().unwrap_or_default();
    let failure = Failure::of(first.strip_prefix("error: ").unwrap_or(&first));
    let help: Vec<String> = paragraphs.filter(|text| !text.is_empty()).collect();
    if help.is_empty() { failure } else { failure.help(help.join("; ")) }
}

/// The text of a mistake that the standard library would name in its own words: `invalid digit found in string`.
fn without_its_words(error: &clap::Error) -> Option<String> {
    let number = error.source()?.downcast_ref::<ParseIntError>()?;
    let ours = match number.kind() {
        IntErrorKind::PosOverflow => "the number is too large",
        IntErrorKind::NegOverflow => "the number is too small",
        _ => "it must be a whole number",
    };
    Some(error.to_string().replace(&number.to_string(), ours))
}

/// Whether the line has `--json`, although something else in it is wrong.
fn asks_for_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(StartError::Runtime)
}
