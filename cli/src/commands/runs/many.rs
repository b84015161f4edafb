//! Many runs at once: which ones, the question before, and the calls until all are done.

use std::borrow::Cow;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use minitower_client::Error;
use minitower_client::wire::many_runs::{CancelledRuns, ManyRuns, RetriedRuns};

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::fields::in_flags;

/// The API's fields, and the flags that set them.
const FLAGS: &[(&str, &str)] =
    &[("app", "--app"), ("status", "--status"), ("environment", "--environment"), ("label", "--label")];

/// Which runs are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many runs")]
pub(super) struct Which {
    /// All runs of this app
    #[arg(long)]
    app: Option<String>,
    /// All runs with this status; may be repeated
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// All runs with this label; with several, runs that have all of them
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Do not ask first
    #[arg(long, short)]
    yes: bool,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error("no run is named")]
    Nothing,
    #[error("{what} is asked about first, and there is no terminal to ask on")]
    NoTerminal { what: &'static str },
    #[error("nothing was changed")]
    Declined,
    #[error("cannot ask on the terminal")]
    Unreadable(#[source] io::Error),
}

impl Explained for NotDone {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Nothing => {
                Some("name one, or say which runs with --app, --status, --label or --environment".into())
            }
            Self::NoTerminal { .. } => Some("pass --yes to go ahead".into()),
            Self::Declined => None,
            Self::Unreadable(_) => Some("pass --yes to go ahead without a question".into()),
        }
    }
}

impl Which {
    fn body(&self, environment: Option<String>) -> Result<ManyRuns, NotDone> {
        if self.app.is_none() && self.status.is_empty() && self.label.is_empty() && environment.is_none() {
            return Err(NotDone::Nothing);
        }
        let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec().into());
        Ok(ManyRuns {
            app: self.app.clone(),
            status: list(&self.status),
            label: list(&self.label),
            environment,
            ..ManyRuns::default()
        })
    }

    /// Cancels them.
    pub(super) async fn cancel(
        self,
        context: &Context,
        environment: Option<String>,
    ) -> Result<Exit, Failure> {
        let (team, mut body) = (context.team()?, self.body(environment)?);
        let count = async |body: ManyRuns| Ok(team.cancel_runs(&body).await?.cancelled);
        if !self.agreed(&body, ("cancelling many runs", "Cancel"), count).await? {
            return tell_cancelled(context, 0);
        }
        let mut all = 0;
        loop {
            let CancelledRuns { cancelled, next_before } =
                team.cancel_runs(&body).await.map_err(|error| explained(error, context, all))?;
            all += cancelled;
            body.before = next_before;
            if next_before.is_none() {
                return tell_cancelled(context, all);
            }
        }
    }

    /// Runs them again.
    pub(super) async fn retry(self, context: &Context, environment: Option<String>) -> Result<Exit, Failure> {
        let (team, mut body) = (context.team()?, self.body(environment)?);
        let count = async |body: ManyRuns| Ok(team.retry_runs(&body).await?.retried);
        let mut all = RetriedRuns { retried: 0, run_ids: Vec::new(), skipped: 0, next_before: None };
        let mut more = self.agreed(&body, ("running many runs again", "Run again"), count).await?;
        while more {
            let answer = team.retry_runs(&body).await;
            let answer = answer.map_err(|error| explained(error, context, all.retried))?;
            all.retried += answer.retried;
            all.run_ids.extend(answer.run_ids);
            all.skipped += answer.skipped;
            body.before = answer.next_before;
            more = body.before.is_some();
        }
        tell_retried(context, &all)?;
        Ok(Exit::Success)
    }

    /// Whether there are any, and the person wants it.
    async fn agreed<F>(
        &self,
        body: &ManyRuns,
        (what, verb): (&'static str, &str),
        count: impl FnOnce(ManyRuns) -> F,
    ) -> Result<bool, Failure>
    where
        F: Future<Output = Result<u64, Error>>,
    {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(NotDone::NoTerminal { what }.into());
        }
        let counted = count(ManyRuns { dry_run: Some(true), ..body.clone() }).await;
        let found = counted.map_err(helped)?;
        if found == 0 {
            return Ok(false);
        }
        let runs = if found == 1 { "run" } else { "runs" };
        let mut answer = String::new();
        eprint!("{verb} {found} {runs}? [y/N] ");
        io::stderr().flush().map_err(NotDone::Unreadable)?;
        io::stdin().read_line(&mut answer).map_err(NotDone::Unreadable)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            _ => Err(NotDone::Declined.into()),
        }
    }
}

/// A refusal, and how far it came before.
fn explained(error: Error, context: &Context, done: u64) -> Failure {
    if done > 0 {
        context.out.warn(format_args!("{done} runs are done; repeat the command for the rest"));
    }
    helped(error)
}

fn helped(error: Error) -> Failure {
    let help = "`minitower apps list` shows the apps, `minitower environments list` the environments";
    Failure::from(in_flags(error, FLAGS)).help_not_found(help)
}

fn tell_cancelled(context: &Context, cancelled: u64) -> Result<Exit, Failure> {
    context.out.answer(&CancelledRuns { cancelled, next_before: None }, |out| {
        out.line(match cancelled {
            0 => "There is no such run to cancel.".to_owned(),
            1 => "1 run is cancelled.".to_owned(),
            many => format!("{many} runs are cancelled."),
        })
    })?;
    Ok(Exit::Success)
}

fn tell_retried(context: &Context, all: &RetriedRuns) -> Result<(), Failure> {
    context.out.answer(all, |out| {
        out.line(match all.retried {
            0 => "There is no such run to run again.".to_owned(),
            1 => "1 run is queued again.".to_owned(),
            many => format!("{many} runs are queued again."),
        })?;
        if all.skipped > 0 {
            out.warn(format_args!(
                "{} runs were left out: their app is disabled, or the team's limits no longer allow their priority or timeout",
                all.skipped
            ));
        }
        Ok(())
    })?;
    Ok(())
}
