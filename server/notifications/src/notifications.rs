//! Create, list, change and delete notifications, and start the subject.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minitower_kernel::clock::Clock;
use minitower_kernel::outbound::Outbound;
use minitower_kernel::page::Page;
use minitower_kernel::{Db, Store, StoreError, Tx};
use minitower_runs::Apps;
use minitower_runs::domain::labels::{BadLabel, Label};
use minitower_teams::Teams;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::names::check_environment;
use minitower_vocabulary::wire::notifications::Occasion;
use tokio_util::task::TaskTracker;

use crate::domain::filter::Filter;
use crate::domain::notification::Notification;
use crate::mail::Mailer;
use crate::store::deliveries;
use crate::store::events::{DeliveryDue, NotificationChanged, OutboxMoved};
use crate::store::notifications::{self, Content};
use crate::targets::WantedTarget;
use crate::{Error, Memory, Notifications, Settings, Shared};

/// Most notifications of a team.
pub const MOST_OF_A_TEAM: i64 = 20;
/// Most characters of a name.
const NAME_CHARS: usize = 100;
/// How long a slice of a deletion takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// Deliveries that are deleted at once within a slice: a few milliseconds, at their largest.
const DELETED_AT_ONCE: i64 = 20;
/// Notifications that are read at a time at the start.
const LOADED_AT_ONCE: i64 = 1000;

/// What makes a notification.
#[derive(Debug, Clone)]
pub struct New {
    /// Its name.
    pub name: String,
    /// The words for what it tells of.
    pub on: Vec<String>,
    /// Only of runs of this app.
    pub app: Option<String>,
    /// Only of runs in this environment.
    pub environment: Option<String>,
    /// Only of runs with this label.
    pub label: Option<String>,
    /// Where to send.
    pub target: Option<WantedTarget>,
    /// Whether it is in use.
    pub enabled: bool,
}

/// What changes about a notification. None: it stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Its name.
    pub name: Option<String>,
    /// The words for what it tells of.
    pub on: Option<Vec<String>>,
    /// Only of runs of this app; none: of every app.
    pub app: Option<Option<String>>,
    /// Only of runs in this environment; none: in every one.
    pub environment: Option<Option<String>>,
    /// Only of runs with this label; none: of all.
    pub label: Option<Option<String>>,
    /// Where to send.
    pub target: Option<WantedTarget>,
    /// Whether it is in use.
    pub enabled: Option<bool>,
}

/// A notification that was made or changed, and the secret that was set with it.
#[derive(Debug, Clone)]
pub struct Made {
    /// The notification.
    pub notification: Notification,
    /// What its webhooks are signed with: shown once.
    pub secret: Option<String>,
}

impl Notifications {
    /// Opens the subject on a database that is already open. `memory` followed the commits from the database's opening on.
    /// What it does by itself is called by the due-queue that `memory` was made with.
    pub async fn open(
        store: Arc<Store>,
        clock: Clock,
        settings: Settings,
        teams: Teams,
        apps: Apps,
        outbound: Outbound,
        memory: Arc<Memory>,
    ) -> Result<Self, StoreError> {
        let mailer = settings.smtp.clone().map(Mailer::new);
        let sending = TaskTracker::new();
        let shared = Shared { store, clock, settings, teams, apps, outbound, memory, mailer, sending };
        let subject = Self(Arc::new(shared));
        subject.load().await?;
        subject.register();
        Ok(subject)
    }

    async fn load(&self) -> Result<(), StoreError> {
        let (mut after, mut subscriptions) = (NotificationId(0), Vec::new());
        loop {
            let page = self.0.store.read(move |db| notifications::in_use(db, after, LOADED_AT_ONCE)).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            subscriptions.extend(page.iter().filter_map(Notification::subscription));
        }
        self.0.memory.load(self.0.store.volumes().clone(), subscriptions);
        self.load_outbox().await
    }

    /// The team's notifications, newest first; the cursor is an id.
    pub async fn list(
        &self,
        by: &TeamPrincipal,
        page: Page<NotificationId>,
    ) -> Result<Vec<Notification>, Error> {
        let team = by.team_id;
        self.0.store.read(move |db| Ok(notifications::list(db, team, page.cursor, page.limit)?)).await
    }

    /// One of the team's notifications.
    pub async fn show(&self, by: &TeamPrincipal, id: NotificationId) -> Result<Notification, Error> {
        let team = by.team_id;
        self.0.store.read(move |db| find(db, team, id)).await
    }

    /// Makes a notification.
    pub async fn create(&self, by: &TeamPrincipal, new: New) -> Result<Made, Error> {
        let New { name, on, app, environment, label, target, enabled } = new;
        let name = checked_name(name)?;
        let filter = Filter {
            on: occasions(&on)?,
            app: self.checked_app(by, app).await?,
            environment: environment.map(checked_environment).transpose()?,
            label: label.as_deref().map(checked_label).transpose()?,
        };
        let target = target.ok_or_else(|| Error::field("target", "is missing"))?;
        let checked = self.check_target(target, None).await?;
        let (team, now) = (by.team_id, self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                if notifications::count(tx, team, MOST_OF_A_TEAM)? >= MOST_OF_A_TEAM {
                    return Err(Error::TooMany { most: MOST_OF_A_TEAM });
                }
                let (target, secret) = checked.seal(tx, team)?;
                let content = Content { name, filter, target, enabled };
                let id =
                    notifications::insert(tx, team, &content, now).map_err(|error| taken(error, &content))?;
                let notification = find(tx, team, id)?;
                tx.emit(NotificationChanged { team, id, after: notification.subscription() });
                Ok(Made { notification, secret })
            })
            .await
    }

    /// Changes a notification.
    pub async fn update(
        &self,
        by: &TeamPrincipal,
        id: NotificationId,
        change: Change,
    ) -> Result<Made, Error> {
        let former = self.show(by, id).await?;
        let name = change.name.map(checked_name).transpose()?;
        let on = change.on.as_deref().map(occasions).transpose()?;
        let app = match change.app {
            Some(app) => Some(self.checked_app(by, app).await?),
            None => None,
        };
        let environment =
            change.environment.map(|name| name.map(checked_environment).transpose()).transpose()?;
        let label = change.label.map(|text| text.as_deref().map(checked_label).transpose()).transpose()?;
        let checked = match change.target {
            Some(wanted) => Some(self.check_target(wanted, Some(&former.target)).await?),
            None => None,
        };
        let (team, now, enabled) = (by.team_id, self.0.clock.now(), change.enabled);
        self.0
            .store
            .write(move |tx| {
                // What the change does not name stays as it is now.
                let Notification { name: former_name, filter, target, enabled: was_enabled, .. } =
                    find(tx, team, id)?;
                let (target, secret) = match checked {
                    Some(checked) => checked.seal(tx, team)?,
                    None => (target, None),
                };
                let filter = Filter {
                    on: on.unwrap_or(filter.on),
                    app: app.unwrap_or(filter.app),
                    environment: environment.unwrap_or(filter.environment),
                    label: label.unwrap_or(filter.label),
                };
                let enabled = enabled.unwrap_or(was_enabled);
                let content = Content { name: name.unwrap_or(former_name), filter, target, enabled };
                notifications::update(tx, id, &content, now).map_err(|error| taken(error, &content))?;
                let notification = find(tx, team, id)?;
                tx.emit(NotificationChanged { team, id, after: notification.subscription() });
                if notification.enabled && notification.waiting > 0 {
                    tx.emit(DeliveryDue { notification: id, at: now });
                }
                Ok(Made { notification, secret })
            })
            .await
    }

    /// Deletes a notification with its deliveries: these a few at a time, so that nobody waits for it. What is under way is not stopped.
    pub async fn delete(&self, by: &TeamPrincipal, id: NotificationId) -> Result<(), Error> {
        let team = by.team_id;
        loop {
            let began = Instant::now();
            let gone =
                self.0.store.write_upkeep(move |tx| delete_slice(tx, team, id, Instant::now() + SLICE));
            if gone.await? {
                return Ok(());
            }
            // Half of the time is for others.
            tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
        }
    }

    /// The app has to be there when it is named; it may be deleted later.
    async fn checked_app(&self, by: &TeamPrincipal, app: Option<String>) -> Result<Option<String>, Error> {
        let Some(slug) = app else { return Ok(None) };
        Ok(Some(self.0.apps.app(by, slug).await?.slug))
    }
}

/// Deletes some of a notification's deliveries, and with the last of them the notification itself: true.
fn delete_slice(tx: &Tx<'_>, team: TeamId, id: NotificationId, until: Instant) -> Result<bool, Error> {
    let before = find(tx, team, id)?.waiting;
    if deliveries::delete_some(tx, id, DELETED_AT_ONCE, || Instant::now() < until)? {
        tx.emit(OutboxMoved::waits(find(tx, team, id)?.waiting - before));
        return Ok(false);
    }
    notifications::delete(tx, team, id)?;
    tx.emit(OutboxMoved::waits(-before));
    tx.emit(NotificationChanged { team, id, after: None });
    Ok(true)
}

pub(crate) fn find(db: &Db, team: TeamId, id: NotificationId) -> Result<Notification, Error> {
    notifications::by_id(db, team, id)?.ok_or(Error::NoNotification(id))
}

fn taken(error: StoreError, content: &Content) -> Error {
    match error {
        StoreError::Taken => Error::NameTaken(content.name.clone()),
        other => other.into(),
    }
}

fn checked_name(name: String) -> Result<String, Error> {
    let good =
        !name.trim().is_empty() && name.chars().count() <= NAME_CHARS && !name.chars().any(char::is_control);
    if good {
        return Ok(name);
    }
    Err(Error::field("name", format!("must have 1 to {NAME_CHARS} characters, and no control characters")))
}

fn occasions(words: &[String]) -> Result<std::collections::BTreeSet<Occasion>, Error> {
    const MAY: &str = "failed, dead, completed, late or waiting";
    if words.is_empty() {
        return Err(Error::field("on", format!("is missing or empty: it is a list of {MAY}")));
    }
    let occasion = |word: &String| {
        let shown: String = word.chars().take(64).collect();
        Occasion::parse(word)
            .ok_or_else(|| Error::field("on", format!("has {shown:?} in it: it is a list of {MAY}")))
    };
    words.iter().map(occasion).collect()
}

fn checked_environment(name: String) -> Result<String, Error> {
    check_environment(&name).map_err(|error| Error::field("environment", error))?;
    Ok(name)
}

fn checked_label(text: &str) -> Result<(String, String), Error> {
    let label = Label::parse(text).map_err(|error| match error {
        BadLabel::Form => Error::field("label", "must have the form key=value"),
        other => Error::field("label", format!("is not a label that a run may have: {other}")),
    })?;
    Ok((label.key, label.value))
}
