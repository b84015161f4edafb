//! `minitower runs create`

use std::borrow::Cow;

use clap::{Args, ValueEnum};
use minitower_client::wire::apps::Version;
use minitower_client::wire::runs::{CreateRun, Failure as RetryOn, Retry, Run, RunStatus};
use minitower_client::{Error, TeamClient};
use serde_json::Value;

use super::show::show;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::input::{self, Param, Unknown};
use crate::watch::{describe, no_runner, unless_interrupted, until_terminal};

/// Flags of `runs create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The app; by default the profile's app
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// The app, given as a flag
    #[arg(long = "app", value_name = "APP", conflicts_with = "app")]
    app_flag: Option<String>,
    /// The input, a JSON object; @FILE reads it from a file, - from standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// One value of the input, converted to the type of its parameter; may be repeated
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    params: Vec<Param>,
    /// The version; by default the newest
    #[arg(long = "version", value_name = "NUMBER")]
    version_no: Option<i64>,
    /// The run's priority; higher goes first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// How often the run may start again if its runner is lost
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    max_retries: Option<i64>,
    /// How long the run may take; by default as long as the version says
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    timeout: Option<i64>,
    /// The environment that it runs in; by default `default`
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Accept a -p whose key looks like a misspelled parameter
    #[arg(long)]
    allow_unknown: bool,
    /// Wait until the run ends; the exit code is then 0 for completed, 1 for failed or dead, 2 for cancelled
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    retry: RetryArgs,
}

/// How a run is retried.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retries")]
struct RetryArgs {
    /// The most attempts the run may have, however they end; not with --max-retries
    #[arg(
        long = "retry",
        value_name = "ATTEMPTS",
        conflicts_with = "max_retries",
        value_parser = clap::value_parser!(i64).range(1..)
    )]
    max_attempts: Option<i64>,
    /// What to retry; by default everything
    #[arg(long = "retry-on", value_name = "WHAT", value_delimiter = ',', requires = "max_attempts")]
    on: Vec<On>,
    /// How long to wait before the first retry
    #[arg(
        long = "retry-wait",
        value_name = "MILLISECONDS",
        requires = "max_attempts",
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    initial_ms: Option<i64>,
    /// How many times longer each wait is than the one before
    #[arg(long = "retry-factor", value_name = "NUMBER", requires = "max_attempts")]
    multiplier: Option<f64>,
    /// The longest wait between two attempts
    #[arg(
        long = "retry-max-wait",
        value_name = "MILLISECONDS",
        requires = "max_attempts",
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    max_ms: Option<i64>,
}

/// What may be retried.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum On {
    /// A job that failed
    Failed,
    /// A job that reached its timeout
    Timeout,
    /// A run whose runner was lost
    Lost,
}

/// A parameter is probably misspelled.
#[derive(Debug, thiserror::Error)]
#[error("{app} has no parameter `{key}`: did you mean `{meant}`?")]
struct MisspelledError {
    app: String,
    key: String,
    meant: String,
}

impl Explained for MisspelledError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("correct it, or pass --allow-unknown to send it as it is".into())
    }
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref().or(self.app_flag.as_deref()))?;
        let team = context.team()?;
        let input = self.input.as_deref().map(input::read).transpose()?;
        let schema = if self.params.is_empty() {
            None
        } else {
            version(&team, &app, self.version_no).await?.and_then(|version| version.params_schema)
        };
        self.check_names(context, &app, schema.as_ref())?;
        let create = CreateRun {
            retry: self.retry.retry(),
            timeout_seconds: self.timeout,
            input: input::merge(input, &self.params, schema.as_ref())?,
            version_no: self.version_no,
            priority: self.priority,
            max_retries: self.max_retries,
            environment: self.environment,
            ..CreateRun::default()
        };
        let run = team.create_run(&app, &create).await.map_err(|error| no_such_app(error, &app))?;
        let run_id = run.run_id;
        if !self.wait {
            show(&context.out, &run)?;
            if !context.out.is_json() {
                tell_waiting(context, &team, &run).await;
                context.out.note(format_args!("See its log: `minitower runs logs {run_id} --follow`"));
            }
            return Ok(Exit::Success);
        }
        context.out.note(format_args!("run {run_id} ({app} #{}) {}", run.run_no, run.status.as_str()));
        tell_waiting(context, &team, &run).await;
        let waited = async {
            let ended = until_terminal(context, &team, run_id, |seen| {
                if seen.status != run.status && !seen.status.is_terminal() {
                    context.out.note(format_args!("run {run_id} {}", describe(seen)));
                }
                Ok(())
            })
            .await?;
            show(&context.out, &ended)?;
            if !context.out.is_json() {
                context.out.note(format_args!("See its log: `minitower runs logs {run_id}`"));
            }
            Ok(Exit::of_run(ended.status))
        };
        unless_interrupted(context, run_id, waited).await
    }
}

impl Create {
    /// A key that resembles a parameter is probably a mistake, which would leave that parameter at its default. Any other
    /// key may be intended: a job may read whatever it likes.
    fn check_names(&self, context: &Context, app: &str, schema: Option<&Value>) -> Result<(), Failure> {
        for Unknown { key, meant } in input::unknown(&self.params, schema) {
            if let Some(meant) = meant.filter(|_| !self.allow_unknown) {
                let (app, key, meant) = (app.to_owned(), key.to_owned(), meant.to_owned());
                return Err(MisspelledError { app, key, meant }.into());
            }
            let known = input::known(schema).join(", ");
            context.out.warn(format_args!("{app} has no parameter `{key}`; it has {known}"));
        }
        Ok(())
    }
}

/// Warns that nobody is there to take the run: it would wait in silence.
async fn tell_waiting(context: &Context, team: &TeamClient, run: &Run) {
    if run.status == RunStatus::Queued
        && let Some(reason) = no_runner(team, run.environment.as_deref()).await
    {
        context.out.warn(format_args!("run {} is waiting for a runner: {reason}", run.run_id));
    }
}

fn no_such_app(error: Error, app: &str) -> Failure {
    match error.code() {
        Some("no_version") => Failure::from(error)
            .help(format_args!("`minitower deploy` uploads a version of {app} from its folder")),
        _ => Failure::from(error).help_not_found(format_args!(
            "`minitower apps list` shows the apps, `minitower versions list --app {app}` their versions"
        )),
    }
}

/// The version that the run will use, for the types of its parameters.
async fn version(team: &TeamClient, app: &str, wanted: Option<i64>) -> Result<Option<Version>, Failure> {
    match team.find_version(app, wanted).await {
        // An attempt's token may start runs but not read versions. Values are then strings, and the server checks them.
        Err(error) if error.status() == Some(403) => Ok(None),
        found => found.map_err(|error| no_such_app(error, app)),
    }
}

impl RetryArgs {
    /// The policy, if the person asked for one.
    fn retry(&self) -> Option<Retry> {
        let on = self.on.iter().map(|on| match on {
            On::Failed => RetryOn::Failed,
            On::Timeout => RetryOn::Timeout,
            On::Lost => RetryOn::Lost,
        });
        Some(Retry {
            max_attempts: self.max_attempts?,
            on: Some(on.collect()).filter(|on: &Vec<_>| !on.is_empty()),
            backoff_initial_ms: self.initial_ms,
            backoff_multiplier: self.multiplier,
            backoff_max_ms: self.max_ms,
        })
    }
}
