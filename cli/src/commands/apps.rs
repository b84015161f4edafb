//! `minitower apps`

use clap::{Args, Subcommand};
use minitower_client::Error;
use minitower_client::wire::apps::{App, ChangeApp, Concurrency, CreateApp, LogLimits};
use serde_json::json;

use super::{FORCE, Force, retention};
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
    /// Change an app: its description, how many of its runs may be active, how long they should take and are kept
    Update(Update),
    /// Disable apps: they refuse new runs, and their queued runs wait
    Disable(Slugs),
    /// Enable apps again: their queued runs go on at their old places
    Enable(Slugs),
    /// Delete apps with their versions, runs, logs and artifacts (admins only)
    Delete(Delete),
}

/// The apps of `apps disable` and `apps enable`.
#[derive(Debug, Args)]
pub struct Slugs {
    /// The apps' slugs
    #[arg(required = true, value_name = "APP")]
    apps: Vec<String>,
}

/// Flags of `apps update`.
#[derive(Debug, Args)]
#[command(after_help = "What is left out stays as it is. `none` clears a value.")]
#[command(group(
    clap::ArgGroup::new("change")
        .required(true)
        .multiple(true)
        .args(["description", "concurrency", "log_bytes", "keep", "keep_last", "expect_seconds", "expect_wait_seconds"])
))]
pub struct Update {
    /// The app's slug
    app: String,
    /// A sentence that describes the app
    #[arg(long, value_name = "TEXT|none")]
    description: Option<String>,
    /// How many runs of the app may be active at the same time
    #[arg(long, value_name = "NUMBER|none", value_parser = number)]
    concurrency: Option<Given>,
    /// Count together with the runs of other apps that have this key; by default the app's slug
    #[arg(long, value_name = "KEY", requires = "concurrency")]
    concurrency_key: Option<String>,
    /// The most bytes that are kept of a run's log
    #[arg(long, value_name = "BYTES|none", value_parser = number)]
    log_bytes: Option<Given>,
    #[command(flatten)]
    kept: retention::Kept,
    /// How long a run usually takes at most, in seconds
    #[arg(long, value_name = "SECONDS|none", value_parser = number)]
    expect_seconds: Option<Given>,
    /// How long a run usually waits at most, in seconds
    #[arg(long, value_name = "SECONDS|none", value_parser = number)]
    expect_wait_seconds: Option<Given>,
}

/// A number, or none for `none`.
#[derive(Debug, Clone, Copy)]
struct Given(Option<i64>);

fn number(text: &str) -> Result<Given, String> {
    if text == "none" {
        return Ok(Given(None));
    }
    text.parse()
        .map(|number| Given(Some(number)))
        .map_err(|_| "write a whole number, or none to clear it".to_owned())
}

/// The API's fields of a change, and the flags that set them.
const UPDATE_FLAGS: &[(&str, &str)] = &[
    ("description", "--description"),
    ("concurrency.max", "--concurrency"),
    ("concurrency.key", "--concurrency-key"),
    ("log_limits.bytes_per_run", "--log-bytes"),
    ("expect_seconds", "--expect-seconds"),
    ("expect_wait_seconds", "--expect-wait-seconds"),
];

impl Update {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let number = |given: Option<Given>| given.map(|Given(number)| number);
        let key = self.concurrency_key;
        let change = ChangeApp {
            description: self.description.map(|text| Some(text).filter(|text| text != "none")),
            disabled: None,
            concurrency: number(self.concurrency).map(|max| max.map(|max| Concurrency { key, max })),
            log_limits: number(self.log_bytes)
                .map(|bytes| bytes.map(|bytes| LogLimits { bytes_per_run: bytes })),
            retention: self.kept.change().map(Some),
            expect_seconds: number(self.expect_seconds),
            expect_wait_seconds: number(self.expect_wait_seconds),
        };
        let changed = context.team()?.change_app(&self.app, &change).await;
        show(
            context,
            &changed
                .map_err(|error| no_such_app(in_flags(in_flags(error, UPDATE_FLAGS), retention::FLAGS)))?,
        )
    }
}

/// Disables apps, or enables them.
async fn set_disabled(context: &Context, apps: &[String], disabled: bool) -> Result<Exit, Failure> {
    let team = context.team()?;
    let change = ChangeApp { disabled: Some(Some(disabled)), ..ChangeApp::default() };
    let mut changed = Vec::with_capacity(apps.len());
    for app in apps {
        changed.push(team.change_app(app, &change).await.map_err(no_such_app)?);
        let said = if disabled { "is disabled: its queued runs wait" } else { "is enabled" };
        context.out.note(format_args!("App {app} {said}."));
    }
    context.out.answer(&json!({"apps": changed}), |_| Ok(()))?;
    Ok(Exit::Success)
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
            Self::Update(update) => update.run(context).await,
            Self::Disable(Slugs { apps }) => set_disabled(context, &apps, true).await,
            Self::Enable(Slugs { apps }) => set_disabled(context, &apps, false).await,
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

fn concurrency(shared: &Concurrency) -> String {
    match &shared.key {
        Some(key) => format!("{} under the key {key}", shared.max),
        None => shared.max.to_string(),
    }
}

fn show(context: &Context, app: &App) -> Result<Exit, Failure> {
    context.out.answer(app, |out| {
        let kept = app.retention;
        out.details(&[
            ("app", Some(Cell::new(&app.slug))),
            ("id", Some(Cell::new(app.app_id))),
            ("description", app.description.as_ref().map(Cell::new)),
            ("disabled", app.disabled.then(|| Cell::new("yes"))),
            ("concurrency", app.concurrency.as_ref().map(|shared| Cell::new(concurrency(shared)))),
            ("log bytes", app.log_limits.as_ref().map(|limits| Cell::new(limits.bytes_per_run))),
            (
                "kept for",
                kept.and_then(|kept| kept.keep_seconds).map(|time| Cell::new(retention::shown(time))),
            ),
            (
                "kept at least",
                kept.and_then(|kept| kept.keep_last).map(|last| Cell::new(retention::newest(last))),
            ),
            ("expected seconds", app.expect_seconds.map(Cell::new)),
            ("expected wait", app.expect_wait_seconds.map(Cell::new)),
            ("created", Some(Cell::new(time(app.created_at)))),
            ("updated", Some(Cell::new(time(app.updated_at)))),
        ])
    })?;
    Ok(Exit::Success)
}
