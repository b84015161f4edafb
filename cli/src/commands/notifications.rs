//! `minitower notifications`: who is told of which runs.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use minitower_client::TeamClient;
use minitower_client::wire::notifications::{
    CreateNotification, Delivery, DeliveryStatus, Notification, Target, UpdateNotification,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::fields::in_flags;
use crate::output::{Cell, Output, OutputError, Tone, clean, time};

/// How long a test waits for what became of it.
const TEST: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Notifications {
    /// List the team's notifications
    List,
    /// Create a notification; a webhook's secret is shown once (admins only)
    #[command(
        after_help = "Example: `minitower notifications create on-call --on failed,dead --app etl --webhook https://example.com/hook`"
    )]
    Create(Create),
    /// Change a notification (admins only)
    Update(Update),
    /// Delete notifications with their deliveries (admins only)
    Delete(Delete),
    /// Send a test, and say whether it arrived (admins only)
    Test(Test),
    /// List what was sent, and what became of it
    Deliveries(Deliveries),
    /// Send a delivery again, under the same id (admins only)
    Resend(Resend),
}

/// Where to send.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct To {
    /// A URL that gets a signed POST; `-` reads it from standard input
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// The URL of an incoming webhook of Slack; `-` reads it from standard input, because whoever knows it can post
    #[arg(long, value_name = "URL")]
    slack: Option<String>,
    /// An address that gets an email
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

/// Flags of `notifications create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name
    name: String,
    /// Of what it tells: failed, dead, completed, late or waiting; several are separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', required = true)]
    on: Vec<String>,
    /// Only of runs of this app
    #[arg(long)]
    app: Option<String>,
    /// Only of runs in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only of runs with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Create it without using it yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    to: To,
}

/// Flags of `notifications update`.
#[derive(Debug, Args)]
pub struct Update {
    /// Its id, as `list` shows it
    id: i64,
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    /// Of what it tells: failed, dead, completed, late or waiting; several are separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    on: Option<Vec<String>>,
    /// Only of runs of this app; an empty one: of every app
    #[arg(long)]
    app: Option<String>,
    /// Only of runs in this environment; an empty one: in every one
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only of runs with this label; an empty one: of all
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Use it again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Do not use it for now; what waits to be sent goes on waiting
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    to: To,
}

/// Flags of `notifications delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// Ids, as `list` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<i64>,
}

/// Flags of `notifications test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Its id, as `list` shows it
    id: i64,
}

/// Flags of `notifications deliveries`.
#[derive(Debug, Args)]
pub struct Deliveries {
    /// Its id, as `list` shows it
    id: i64,
    /// Show at most so many, from 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: i64,
    /// Only those before this delivery
    #[arg(long, value_name = "DELIVERY")]
    before: Option<i64>,
}

/// Flags of `notifications resend`.
#[derive(Debug, Args)]
pub struct Resend {
    /// The notification's id
    id: i64,
    /// The delivery's id, as `deliveries` shows it
    delivery: i64,
}

/// Why a command of this group did not do what it is for.
#[derive(Debug, thiserror::Error)]
enum NotificationError {
    #[error("cannot read the URL from standard input")]
    Unreadable(#[source] io::Error),
    #[error("there is nowhere to send to")]
    NoTarget,
    #[error("the test did not arrive: {0}")]
    NotDelivered(String),
    #[error("the test was not sent within {} s", TEST.as_secs())]
    NotSent,
}

impl Explained for NotificationError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoTarget => Some("pass --webhook URL, --slack URL or --email ADDRESS".into()),
            Self::NotDelivered(_) => Some(
                "it is tried again for about a day; `minitower notifications deliveries ID` shows the attempts".into(),
            ),
            Self::NotSent => Some("`minitower notifications deliveries ID` shows what becomes of it".into()),
            Self::Unreadable(_) => None,
        }
    }
}

/// The API's fields, and the flags that set them.
const FLAGS: &[(&str, &str)] = &[
    ("on", "--on"),
    ("app", "--app"),
    ("environment", "--environment"),
    ("label", "--label"),
    ("target.to", "--email"),
];

impl Notifications {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(context).await,
            Self::Create(command) => command.run(context).await,
            Self::Update(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::Test(command) => command.run(context).await,
            Self::Deliveries(command) => command.run(context).await,
            Self::Resend(command) => command.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let answer = context.team()?.notifications().await?;
    context.out.answer(&answer, |out| {
        let rows = answer.notifications.iter().map(|one| {
            let on: Vec<_> = one.on.iter().map(|on| on.as_str()).collect();
            vec![
                Cell::new(one.id),
                Cell::new(&one.name),
                Cell::new(on.join(",")),
                Cell::new(runs(one)),
                Cell::new(target(&one.target)),
                if one.enabled { Cell::new("yes") } else { Cell::toned("no", Tone::Bad) },
                Cell::new(one.waiting),
            ]
        });
        let columns = ["ID", "NAME", "ON", "RUNS", "TARGET", "ENABLED", "WAITING"];
        let empty = "There are no notifications. Create one: minitower notifications create";
        out.table(&columns, &rows.collect::<Vec<_>>(), empty)
    })?;
    Ok(Exit::Success)
}

/// Which runs a notification is about.
fn runs(one: &Notification) -> String {
    let parts = [("app", &one.app), ("environment", &one.environment), ("label", &one.label)];
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

fn target(target: &Target) -> String {
    let to = target.url.as_ref().or(target.to.as_ref()).map_or("", String::as_str);
    match target.kind.as_str() {
        "slack" => format!("slack {to}"),
        _ => to.to_owned(),
    }
}

fn details(out: &Output, one: &Notification) -> Result<(), OutputError> {
    let on: Vec<_> = one.on.iter().map(|on| on.as_str()).collect();
    out.details(&[
        ("notification", Some(Cell::new(&one.name))),
        ("id", Some(Cell::new(one.id))),
        ("on", Some(Cell::new(on.join(", ")))),
        ("runs", Some(Cell::new(runs(one)))),
        ("target", Some(Cell::new(target(&one.target)))),
        ("enabled", Some(Cell::new(if one.enabled { "yes" } else { "no" }))),
    ])?;
    if let Some(secret) = &one.target.secret {
        out.note("The secret that its webhooks are signed with, shown only now:");
        out.line(clean(secret))?;
    }
    Ok(())
}

impl To {
    fn read(self) -> Result<Option<Target>, NotificationError> {
        let (kind, url, to) = match self {
            Self { webhook: Some(url), .. } => ("webhook", Some(read_url(url)?), None),
            Self { slack: Some(url), .. } => ("slack", Some(read_url(url)?), None),
            Self { email: Some(to), .. } => ("email", None, Some(to)),
            Self { webhook: None, slack: None, email: None } => return Ok(None),
        };
        Ok(Some(Target { kind: kind.to_owned(), url, to, secret: None }))
    }
}

fn read_url(text: String) -> Result<String, NotificationError> {
    if text != "-" {
        return Ok(text);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(NotificationError::Unreadable)?;
    Ok(line.trim().to_owned())
}

impl Create {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Self { name, on, app, environment, label, disabled, to } = self;
        let target = to.read()?.ok_or(NotificationError::NoTarget)?;
        let enabled = disabled.then_some(false);
        let wanted = CreateNotification { name, on, app, environment, label, target: Some(target), enabled };
        let made = context.team()?.create_notification(&wanted).await;
        let made = made.map_err(|error| in_flags(error, FLAGS))?;
        context.out.answer(&made, |out| details(out, &made))?;
        Ok(Exit::Success)
    }
}

impl Update {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Self { id, name, on, app, environment, label, enable, disable, to } = self;
        let or_any = |value: Option<String>| value.map(|value| Some(value).filter(|value| !value.is_empty()));
        let change = UpdateNotification {
            name,
            on,
            app: or_any(app),
            environment: or_any(environment),
            label: or_any(label),
            target: to.read()?,
            enabled: (enable || disable).then_some(enable),
        };
        let changed = context.team()?.update_notification(id, &change).await;
        let changed = changed.map_err(|error| in_flags(error, FLAGS))?;
        context.out.answer(&changed, |out| details(out, &changed))?;
        Ok(Exit::Success)
    }
}

impl Delete {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        for id in &self.ids {
            team.delete_notification(*id).await?;
        }
        let answer = json!({"deleted": self.ids});
        context.out.answer(&answer, |out| {
            self.ids.iter().try_for_each(|id| out.line(format_args!("Deleted the notification {id}.")))
        })?;
        Ok(Exit::Success)
    }
}

impl Test {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let sent = team.test_notification(self.id).await?;
        let told = wait_for_attempt(&team, self.id, sent.id).await?;
        if told.status == DeliveryStatus::Delivered {
            context.out.answer(&told, |out| out.line("The test was delivered."))?;
            return Ok(Exit::Success);
        }
        let reason = told.attempts.last().and_then(|attempt| attempt.error.clone()).unwrap_or_default();
        Err(NotificationError::NotDelivered(clean(&reason)).into())
    }
}

/// The delivery after its first attempt.
async fn wait_for_attempt(team: &TeamClient, id: i64, delivery: i64) -> Result<Delivery, Failure> {
    let deadline = Instant::now() + TEST;
    loop {
        let page = team.deliveries(id, Some(delivery + 1), 1).await?;
        let found = page.deliveries.into_iter().find(|one| one.id == delivery && !one.attempts.is_empty());
        if let Some(found) = found {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(NotificationError::NotSent.into());
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Deliveries {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let answer = context.team()?.deliveries(self.id, self.before, self.limit).await?;
        context.out.answer(&answer, |out| {
            let rows = answer.deliveries.iter().map(row);
            let columns = ["ID", "EVENT", "RUN", "STATUS", "CREATED", "ATTEMPTS", "NEXT", "ERROR"];
            out.table(&columns, &rows.collect::<Vec<_>>(), "Nothing was sent yet.")
        })?;
        Ok(Exit::Success)
    }
}

fn row(one: &Delivery) -> Vec<Cell> {
    let tone = match one.status {
        DeliveryStatus::Delivered => Tone::Good,
        DeliveryStatus::Failed => Tone::Bad,
        DeliveryStatus::Waiting => Tone::Waiting,
    };
    let error = one.attempts.last().and_then(|attempt| attempt.error.as_deref());
    vec![
        Cell::new(one.id),
        Cell::new(&one.event),
        Cell::optional(one.run_id),
        Cell::toned(one.status.as_str(), tone),
        Cell::new(time(one.created_at)),
        Cell::new(one.attempts.len()),
        Cell::optional(one.next_at.map(time)),
        Cell::optional(error),
    ]
}

impl Resend {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let again = context.team()?.retry_delivery(self.id, self.delivery).await?;
        context.out.answer(&again, |out| {
            out.line(format_args!(
                "The delivery {} is sent again, under the id {}.",
                again.id, again.webhook_id
            ))
        })?;
        Ok(Exit::Success)
    }
}
