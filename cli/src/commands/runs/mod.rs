//! `minitower runs`

mod artifacts;
mod cancel;
pub mod create;
mod download;
mod explain;
pub mod logs;
mod many;
mod retry;
mod show;
mod watch;

use std::borrow::Cow;

use clap::{Args, Subcommand};
use minitower_client::wire::runs::Run;
use minitower_client::{RunFilter, TeamClient};
use serde_json::json;

use crate::commands::apps::no_such_app;
use crate::commands::{FORCE, Force};
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure, NOT_FOUND};
use crate::fields::in_flags;
use crate::watch::{no_such_run, run_id};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// Create a run
    Create(Box<create::Create>),
    /// List runs, newest first
    List(show::List),
    /// Show one run
    Get(show::Get),
    /// Cancel a run, or many
    Cancel(cancel::Cancel),
    /// Run a run again, or many
    Retry(Box<retry::Retry>),
    /// Delete runs with their logs and artifacts (admins only)
    Delete(Delete),
    /// Print a run's log
    Logs(logs::Logs),
    /// Watch a run's status until it ends
    Watch(watch::Watch),
    /// Say why a run is not running
    Explain(explain::Explain),
    /// List a run's attempts
    Attempts(show::Attempts),
    /// List and download the files that a run produced
    Artifacts(artifacts::Artifacts),
}

impl Runs {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Cancel(command) => command.run(context).await,
            Self::Retry(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Explain(command) => command.run(context).await,
            Self::Attempts(command) => command.run(context).await,
            Self::Artifacts(command) => command.run(context).await,
        }
    }
}

/// Flags of `runs delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The runs' ids
    #[arg(required = true, value_name = "RUN", value_parser = run_id)]
    run_ids: Vec<i64>,
    #[command(flatten)]
    force: Force,
}

impl Delete {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        for id in &self.run_ids {
            let deleted = team.delete_run(*id, self.force.force).await;
            deleted.map_err(|error| no_such_run(in_flags(error, FORCE)))?;
            context.out.note(format_args!("Run {id} is deleted."));
        }
        context.out.answer(&json!({"deleted": self.run_ids}), |_| Ok(()))?;
        Ok(Exit::Success)
    }
}

/// There is no newest run, because nothing has been run yet.
#[derive(Debug, thiserror::Error)]
#[error("{} has no runs yet", app.as_deref().unwrap_or("the team"))]
struct NoRuns {
    app: Option<String>,
}

impl Explained for NoRuns {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(format!("`minitower run {}` creates one", self.app.as_deref().unwrap_or("APP")).into())
    }

    fn code(&self) -> u8 {
        NOT_FOUND
    }
}

/// The newest run: of `app`, otherwise of the profile's app, otherwise of the team.
async fn newest(context: &Context, team: &TeamClient, app: Option<&str>) -> Result<Run, Failure> {
    let app = match app {
        Some(app) => Some(app.to_owned()),
        None => context.profile()?.map(|profile| profile.app).filter(|app| !app.is_empty()),
    };
    let filter = RunFilter { limit: Some(1), ..RunFilter::default() };
    let runs = match &app {
        Some(app) => team.app_runs(app, &filter).await.map_err(no_such_app)?,
        None => team.runs(&filter).await?,
    };
    Ok(runs.runs.into_iter().next().ok_or(NoRuns { app })?)
}
