//! `minitower run` and `minitower runs create`

use std::borrow::Cow;
use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use minitower_client::wire::apps::Concurrency;
use minitower_client::wire::apps::Version;
use minitower_client::wire::runs::{After, AfterOn, CreateRun, Failure as RetryOn, Retry, Run, RunStatus};
use minitower_client::{Error, TeamClient};
use minitower_towerfile::shell;

use super::show::show;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::fields::in_flags;
use crate::follow::{self, From};
use crate::input::{self, Param, ParamParser};
use crate::waiting::no_runner;
use crate::watch::{run_id, unless_interrupted, until_terminal};

/// The API's fields of a new run, and the flags that set them.
const FLAGS: &[(&str, &str)] = &[
    ("input", "--input"),
    ("version_no", "--version"),
    ("priority", "--priority"),
    ("max_retries", "--max-retries"),
    ("timeout_seconds", "--timeout"),
    ("environment", "--environment"),
    ("after", "--after"),
    ("labels", "--label"),
    ("concurrency.max", "--concurrency"),
    ("concurrency.key", "--concurrency-key"),
    ("retry.max_attempts", "--retry"),
    ("retry.on", "--retry-on"),
    ("retry.backoff_initial_ms", "--retry-wait"),
    ("retry.backoff_multiplier", "--retry-factor"),
    ("retry.backoff_max_ms", "--retry-max-wait"),
];

/// Flags of `runs create`.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    asked: Asked,
    /// Print the run's log until it ends; the exit code is then 0 for completed, 1 for failed or dead, 2 for cancelled
    #[arg(long)]
    wait: bool,
}

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 completed, 1 failed or dead, 2 cancelled. Ctrl-C stops watching; the run continues.

With --json, the log is left out and the answer is the run as it ended."
)]
pub struct RunApp {
    #[command(flatten)]
    asked: Asked,
}

/// The run that is asked for.
#[derive(Debug, Args)]
struct Asked {
    /// The app; by default the profile's app
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// The app, given as a flag
    #[arg(long = "app", value_name = "APP", conflicts_with = "app")]
    app_flag: Option<String>,
    /// The input, a JSON object; @FILE reads it from a file, - from standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// One value of the input, converted to the type of its parameter; may be repeated, once for each KEY
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = ParamParser)]
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
    /// Start the run only after another one has completed, or with :ended after it has ended; may be repeated
    #[arg(long, value_name = "RUN[:ended]", value_parser = after)]
    after: Vec<After>,
    /// A label that the run is found by; may be repeated, once for each KEY
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// How many runs with the same key may be active at the same time
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    concurrency: Option<i64>,
    /// The key; by default the app's slug
    #[arg(long, value_name = "KEY", requires = "concurrency")]
    concurrency_key: Option<String>,
    /// Send a -p that the version has no parameter for
    #[arg(long)]
    allow_unknown: bool,
    #[command(flatten)]
    retry: RetryArgs,
}

/// How a run is retried. Each flag rules `--max-retries` out by itself: beside that one, clap would not ask for `--retry`.
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
    #[arg(
        long = "retry-on",
        value_name = "WHAT",
        value_delimiter = ',',
        requires = "max_attempts",
        conflicts_with = "max_retries"
    )]
    on: Vec<On>,
    /// How long to wait before the first retry
    #[arg(
        long = "retry-wait",
        value_name = "MILLISECONDS",
        requires = "max_attempts",
        conflicts_with = "max_retries",
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    initial_ms: Option<i64>,
    /// How many times longer each wait is than the one before
    #[arg(
        long = "retry-factor",
        value_name = "NUMBER",
        requires = "max_attempts",
        conflicts_with = "max_retries"
    )]
    multiplier: Option<f64>,
    /// The longest wait between two attempts
    #[arg(
        long = "retry-max-wait",
        value_name = "MILLISECONDS",
        requires = "max_attempts",
        conflicts_with = "max_retries",
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

impl RunApp {
    /// Creates the run, prints its log, and ends as it ends.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let run = self.asked.create(context, &team).await?;
        to_its_end(context, &team, run).await
    }
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let run = self.asked.create(context, &team).await?;
        finish(context, &team, run, self.wait).await
    }
}

/// Shows a new run, or with `wait` its log until it has ended.
pub(super) async fn finish(
    context: &Context,
    team: &TeamClient,
    run: Run,
    wait: bool,
) -> Result<Exit, Failure> {
    if wait {
        return to_its_end(context, team, run).await;
    }
    show(&context.out, &run)?;
    if !context.out.is_json() {
        tell_waiting(context, team, &run).await;
        context.out.note(format_args!("See its log: `minitower logs {} --follow`", run.run_id));
    }
    Ok(Exit::Success)
}

/// Prints the log of a new run until it has ended, or with `--json` the run as it ended.
async fn to_its_end(context: &Context, team: &TeamClient, run: Run) -> Result<Exit, Failure> {
    let (run_id, out) = (run.run_id, &context.out);
    let waited = async {
        if out.is_json() {
            let ended = until_terminal(context, team, run_id, |_| Ok(())).await?;
            show(out, &ended)?;
            return Ok(Exit::of_run(ended.status));
        }
        out.note(format_args!("run {run_id} ({} #{}) {}", run.app_slug, run.run_no, run.status.as_str()));
        let ended = follow::to_the_end(context, team, run_id, From::default()).await?;
        follow::tell_end(out, &ended);
        Ok(Exit::of_run(ended.status))
    };
    unless_interrupted(context, run_id, waited).await
}

impl Asked {
    async fn create(self, context: &Context, team: &TeamClient) -> Result<Run, Failure> {
        let app = context.app(self.app.as_deref().or(self.app_flag.as_deref()))?;
        let input = self.input.as_deref().map(input::read).transpose()?;
        let schema = if self.params.is_empty() {
            None
        } else {
            version(team, &app, self.version_no).await?.and_then(|version| version.params_schema)
        };
        input::check_keys(&app, &self.params, schema.as_ref(), self.allow_unknown)?;
        let create = CreateRun {
            retry: self.retry.retry(),
            timeout_seconds: self.timeout,
            input: input::merge(input, &self.params, schema.as_ref())?,
            version_no: self.version_no,
            priority: self.priority,
            max_retries: self.max_retries,
            environment: self.environment,
            after: self.after,
            labels: labels(self.label)?,
            concurrency: self.concurrency.map(|max| Concurrency { key: self.concurrency_key, max }),
        };
        let created = team.create_run(&app, &create).await;
        created.map_err(|error| no_such_app(in_flags(error, FLAGS), &app))
    }
}

/// One label, as it is written.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// All labels, each key once.
fn labels(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, TwiceError> {
    let mut labels = BTreeMap::new();
    for (key, value) in given {
        if labels.insert(key.clone(), value).is_some() {
            return Err(TwiceError { key });
        }
    }
    Ok(labels)
}

/// Of two values of a label, one would be lost.
#[derive(Debug, thiserror::Error)]
#[error("--label {key} is given twice")]
struct TwiceError {
    key: String,
}

impl Explained for TwiceError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("keep one of them".into())
    }
}

/// A run that has to complete or to end first.
pub(super) fn after(text: &str) -> Result<After, String> {
    let (id, on) = match text.split_once(':') {
        None => (text, AfterOn::Completed),
        Some((id, "completed")) => (id, AfterOn::Completed),
        Some((id, "ended")) => (id, AfterOn::Ended),
        Some(_) => return Err("write 41, or 41:ended for however it ends".to_owned()),
    };
    Ok(After { run_id: run_id(id)?, on })
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
            "`minitower apps list` shows the apps, `minitower versions list --app {}` their versions",
            shell::quoted(app)
        )),
    }
}

/// The version that the run will use, for the types of its parameters.
pub(super) async fn version(
    team: &TeamClient,
    app: &str,
    wanted: Option<i64>,
) -> Result<Option<Version>, Failure> {
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
