//! `minitower runs create`

use clap::Args;
use minitower_client::TeamClient;
use minitower_client::wire::apps::Version;
use minitower_client::wire::runs::{CreateRun, Run, RunStatus};
use serde_json::Value;

use super::retry::RetryArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::input::{self, Param, Unknown};
use crate::watch::{describe, no_runner, unless_interrupted, until_terminal};

/// Flags of `runs create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The app; default: the profile's
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// The app, as a flag
    #[arg(long = "app", value_name = "APP", conflicts_with = "app")]
    app_flag: Option<String>,
    /// The input, a JSON object; @FILE reads a file, - standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// One value of the input, of the type the version's parameters give it; repeatable
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    params: Vec<Param>,
    /// The version; default: the newest
    #[arg(long = "version", value_name = "NUMBER")]
    version_no: Option<i64>,
    /// Higher runs first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// How often it starts again when its runner is lost
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    max_retries: Option<i64>,
    /// How long it may take; default: the version's
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    timeout: Option<i64>,
    /// Where it runs; default: default
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Pass a -p on whose key looks like a slip of a parameter's name
    #[arg(long)]
    allow_unknown: bool,
    /// Wait until it has ended; the exit code is 0 completed, 1 failed or dead, 2 cancelled
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    retry: RetryArgs,
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
        };
        let run = team.create_run(&app, &create).await.map_err(|error| no_such_app(error, &app))?;
        let run_id = run.run_id;
        if !self.wait {
            super::show(&context.out, &run)?;
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
            super::show(&context.out, &ended)?;
            if !context.out.is_json() {
                context.out.note(format_args!("See its log: `minitower runs logs {run_id}`"));
            }
            Ok(Exit::of_run(ended.status))
        };
        unless_interrupted(context, run_id, waited).await
    }
}

impl Create {
    /// A key that resembles a parameter is a slip, which would leave that parameter at its default. Others may be
    /// meant: a job may look for what it likes.
    fn check_names(&self, context: &Context, app: &str, schema: Option<&Value>) -> Result<(), Failure> {
        for Unknown { key, meant } in input::unknown(&self.params, schema) {
            if let Some(meant) = meant.filter(|_| !self.allow_unknown) {
                return Err(Failure::new(format!("{app} has no parameter `{key}`: did you mean `{meant}`?"))
                    .help("correct it; --allow-unknown passes it on all the same"));
            }
            let known = input::known(schema).join(", ");
            context.out.warn(format_args!("{app} has no parameter `{key}`; it has {known}"));
        }
        Ok(())
    }
}

/// A run that nothing is there to take would wait in silence.
async fn tell_waiting(context: &Context, team: &TeamClient, run: &Run) {
    if run.status == RunStatus::Queued
        && let Some(reason) = no_runner(team, run.environment.as_deref()).await
    {
        context.out.warn(format_args!("run {} waits for a runner: {reason}", run.run_id));
    }
}

fn no_such_app(error: minitower_client::Error, app: &str) -> Failure {
    match error.code() {
        Some("no_version") => Failure::from(error)
            .help(format_args!("`minitower deploy` uploads a version of {app} from its folder")),
        _ => Failure::from(error).help_not_found(format_args!(
            "`minitower apps list` shows the apps, `minitower versions list --app {app}` the versions"
        )),
    }
}

/// The version the run is about to use, for the types of its parameters.
async fn version(team: &TeamClient, app: &str, wanted: Option<i64>) -> Result<Option<Version>, Failure> {
    match team.find_version(app, wanted).await {
        // The token of a run starts runs and reads no versions: values are text then, and the server checks them.
        Err(error) if error.status() == Some(403) => Ok(None),
        found => found.map_err(|error| no_such_app(error, app)),
    }
}
