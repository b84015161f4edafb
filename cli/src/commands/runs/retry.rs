//! `minitower runs retry`

use clap::Args;
use minitower_client::TeamClient;
use minitower_client::wire::runs::{After, RetryRun, Run};
use serde_json::Value;

use super::create::{after, finish, version};
use super::many::Which;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fields::in_flags;
use crate::input::{self, Param, ParamParser};
use crate::watch::{no_such_run, run_id};

/// The API's fields, and the flags that set them.
const FLAGS: &[(&str, &str)] = &[
    ("input", "--input"),
    ("version_no", "--version"),
    ("priority", "--priority"),
    ("environment", "--environment"),
    ("after", "--after"),
];

/// The flags that say which of many runs. None of those for a single run goes with them: clap asks for no RUN where they
/// rule it out, so `requires` alone would let a flag through that has no effect.
const MANY: [&str; 4] = ["app", "status", "label", "yes"];

/// Flags of `runs retry`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  `minitower runs retry 41 -p city=Rome --wait`
  `minitower runs retry 42 --after 43`
  `minitower runs retry --app hello --status failed --status dead`

The new run does not wait for the runs that the other one came after: name their retries with --after.

Of many runs, those that failed or are dead run again unless --status says otherwise. A run that another one repeats already is left alone.")]
pub struct Retry {
    /// The run's id
    #[arg(
        value_name = "RUN",
        value_parser = run_id,
        conflicts_with_all = MANY
    )]
    run_id: Option<i64>,
    /// Another input, a JSON object; @FILE reads it from a file, - from standard input
    #[arg(long, value_name = "JSON|@FILE|-", requires = "run_id", conflicts_with_all = MANY)]
    input: Option<String>,
    /// One value of the input that is other than before; may be repeated, once for each KEY
    #[arg(
        short = 'p',
        long = "param",
        value_name = "KEY=VALUE",
        value_parser = ParamParser,
        requires = "run_id",
        conflicts_with_all = MANY
    )]
    params: Vec<Param>,
    /// Another version
    #[arg(long = "version", value_name = "NUMBER", requires = "run_id", conflicts_with_all = MANY)]
    version_no: Option<i64>,
    /// Another priority
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        requires = "run_id",
        conflicts_with_all = MANY
    )]
    priority: Option<i64>,
    /// Another environment; without RUN, all runs in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Start it only after another run has completed, or with :ended after it has ended; may be repeated
    #[arg(
        long,
        value_name = "RUN[:ended]",
        value_parser = after,
        requires = "run_id",
        conflicts_with_all = MANY
    )]
    after: Vec<After>,
    /// Send a -p that the version has no parameter for
    #[arg(long, requires = "run_id", conflicts_with_all = MANY)]
    allow_unknown: bool,
    /// Print the new run's log until it ends; the exit code is then 0 for completed, 1 for failed or dead, 2 for cancelled
    #[arg(long, requires = "run_id", conflicts_with_all = MANY)]
    wait: bool,
    #[command(flatten)]
    which: Which,
}

impl Retry {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Some(id) = self.run_id else { return self.which.retry(context, self.environment).await };
        let team = context.team()?;
        let changes = RetryRun {
            input: self.input(&team, id).await?,
            version_no: self.version_no,
            priority: self.priority,
            environment: self.environment,
            after: self.after,
        };
        let made = team.retry_run(id, &changes, None).await;
        let run = made.map_err(|error| no_such_run(in_flags(error, FLAGS)))?;
        finish(context, &team, run, self.wait).await
    }

    /// The new input; none: as before.
    async fn input(&self, team: &TeamClient, id: i64) -> Result<Option<Value>, Failure> {
        let given = self.input.as_deref().map(input::read).transpose()?;
        if self.params.is_empty() {
            return Ok(given);
        }
        let first = team.run(id).await.map_err(no_such_run)?;
        let number = Some(self.version_no.unwrap_or(first.version_no));
        let schema = version(team, &first.app_slug, number).await?.and_then(|version| version.params_schema);
        input::check_keys(&first.app_slug, &self.params, schema.as_ref(), self.allow_unknown)?;
        let base = given.or_else(|| self.without_params(first));
        Ok(input::merge(base, &self.params, schema.as_ref())?)
    }

    /// The former input without the values that are other now. What it hides is shown as stars, which the server knows.
    fn without_params(&self, first: Run) -> Option<Value> {
        let mut input = first.input?;
        for param in &self.params {
            input.remove(param.key());
        }
        Some(Value::Object(input))
    }
}
