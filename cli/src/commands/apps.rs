//! `minitower apps`

use clap::{Args, Subcommand};
use minitower_client::Error;
use minitower_client::wire::apps::{App, CreateApp};
use serde_json::json;

use super::{FORCE, Force};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fields::in_flags;
use crate::output::{Cell, time};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Apps {
    /// List the team's apps
    List,
    /// Show one app
    Get(Get),
    /// Create an app
    Create(Create),
    /// Delete apps with their versions, runs, logs and artifacts (admins only)
    Delete(Delete),
}

/// Flags of `apps delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The apps' slugs
    #[arg(required = true, value_name = "APP")]
    apps: Vec<String>,
    #[command(flatten)]
    force: Force,
}

/// Flags of `apps get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The app's slug
    app: String,
}

/// Flags of `apps create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The app's slug, for example daily-report
    #[arg(value_name = "SLUG", required_unless_present = "slug_flag")]
    slug: Option<String>,
    /// The app's slug, given as a flag
    #[arg(long = "slug", value_name = "SLUG", conflicts_with = "slug", hide = true)]
    slug_flag: Option<String>,
    /// A sentence that describes the app
    #[arg(long)]
    description: Option<String>,
}

impl Apps {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(context).await,
            Self::Get(Get { app }) => {
                let app = context.team()?.app(&app).await.map_err(no_such_app)?;
                show(context, &app)
            }
            Self::Create(Create { slug, slug_flag, description }) => {
                let app = CreateApp { slug: slug.or(slug_flag).unwrap_or_default(), description };
                let created = context.team()?.create_app(&app).await;
                show(context, &created.map_err(|error| in_flags(error, &[("description", "--description")]))?)
            }
            Self::Delete(Delete { apps, force }) => {
                let team = context.team()?;
                for app in &apps {
                    team.delete_app(app, force.force)
                        .await
                        .map_err(|error| no_such_app(in_flags(error, FORCE)))?;
                    context.out.note(format_args!("App {app} is deleted."));
                }
                context.out.answer(&json!({"deleted": apps}), |_| Ok(()))?;
                Ok(Exit::Success)
            }
        }
    }
}

/// Adds what to do about a wrong slug.
pub(super) fn no_such_app(error: Error) -> Failure {
    Failure::from(error).help_not_found("`minitower apps list` shows the existing apps")
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let apps = context.team()?.apps().await?;
    context.out.answer(&apps, |out| {
        let rows = apps.apps.iter().map(|app| {
            vec![
                Cell::new(&app.slug),
                Cell::new(if app.disabled { "yes" } else { "no" }),
                Cell::new(time(app.updated_at)),
                Cell::optional(app.description.as_ref()),
            ]
        });
        let header = ["APP", "DISABLED", "UPDATED", "DESCRIPTION"];
        let empty = "There are no apps yet; `minitower deploy` creates one.";
        out.table(&header, &rows.collect::<Vec<_>>(), empty)
    })?;
    Ok(Exit::Success)
}

fn show(context: &Context, app: &App) -> Result<Exit, Failure> {
    context.out.answer(app, |out| {
        out.details(&[
            ("app", Some(Cell::new(&app.slug))),
            ("id", Some(Cell::new(app.app_id))),
            ("description", app.description.as_ref().map(Cell::new)),
            ("disabled", app.disabled.then(|| Cell::new("yes"))),
            ("created", Some(Cell::new(time(app.created_at)))),
            ("updated", Some(Cell::new(time(app.updated_at)))),
        ])
    })?;
    Ok(Exit::Success)
}
