//! Notifications, and how many deliveries of each wait or were dropped.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx, at, maybe_at};
use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::{Occasion, TargetKind};

use crate::domain::filter::Filter;
use crate::domain::notification::{Notification, Sealed, Target};

const SELECT: &str = "SELECT n.id, n.team_id, n.name, n.occasions, n.app, n.environment, n.label, n.kind, n.shown, n.secret, n.enabled,
                             c.waiting, c.dropped, n.created_at, n.updated_at
                      FROM notifications n JOIN notification_counts c ON c.notification_id = n.id";

/// What a notification is, apart from its deliveries.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its name.
    pub name: String,
    /// Of what it tells.
    pub filter: Filter,
    /// Where it is sent.
    pub target: Target,
    /// Whether it is in use.
    pub enabled: bool,
}

/// How much of a notification's part of the outbox is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that are to be sent.
    pub waiting: i64,
    /// Deliveries that were dropped, and have not been told yet.
    pub dropped: i64,
    /// When the first of them was.
    pub dropped_since: Option<Timestamp>,
}

/// A new one. [`StoreError::Taken`]: the team has one of that name.
pub fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    content: &Content,
    now: Timestamp,
) -> Result<NotificationId, StoreError> {
    let (filter, target) = (&content.filter, &content.target);
    tx.insert(
        "INSERT INTO notifications (team_id, name, occasions, app, environment, label, kind, shown, secret, enabled, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
        params![
            team.0,
            content.name,
            occasions(filter),
            filter.app,
            filter.environment,
            label(filter),
            target.kind.as_str(),
            target.shown,
            target.secret.as_ref().map(|sealed| sealed.0.as_slice()),
            content.enabled,
            At(now)
        ],
    )
    .map(NotificationId)
}

/// Changes one.
pub fn update(tx: &Tx<'_>, id: NotificationId, content: &Content, now: Timestamp) -> Result<(), StoreError> {
    let (filter, target) = (&content.filter, &content.target);
    tx.execute(
        "UPDATE notifications SET name = ?2, occasions = ?3, app = ?4, environment = ?5, label = ?6, kind = ?7, shown = ?8, secret = ?9,
                                  enabled = ?10, updated_at = ?11
         WHERE id = ?1",
        params![
            id.0,
            content.name,
            occasions(filter),
            filter.app,
            filter.environment,
            label(filter),
            target.kind.as_str(),
            target.shown,
            target.secret.as_ref().map(|sealed| sealed.0.as_slice()),
            content.enabled,
            At(now)
        ],
    )?;
    Ok(())
}

/// Deletes one with its deliveries; false: the team has none of that id.
pub fn delete(tx: &Tx<'_>, team: TeamId, id: NotificationId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM notifications WHERE id = ?1 AND team_id = ?2", params![id.0, team.0])? > 0)
}

/// How many a team has; at most `most` are counted.
pub fn count(db: &Db, team: TeamId, most: i64) -> Result<i64, StoreError> {
    let n = db.one(
        "SELECT count(*) AS n FROM (SELECT 1 FROM notifications WHERE team_id = ?1 LIMIT ?2)",
        params![team.0, most],
        |row| Ok(row.get("n")?),
    )?;
    Ok(n.unwrap_or(0))
}

/// The team's notification of that id.
pub fn by_id(db: &Db, team: TeamId, id: NotificationId) -> Result<Option<Notification>, StoreError> {
    db.one(&format!("{SELECT} WHERE n.id = ?1 AND n.team_id = ?2"), params![id.0, team.0], read)
}

/// A notification, whoever's it is.
pub fn of_any_team(db: &Db, id: NotificationId) -> Result<Option<Notification>, StoreError> {
    db.one(&format!("{SELECT} WHERE n.id = ?1"), [id.0], read)
}

/// A team's notifications, newest first, from behind `before` if given: at most `limit`.
pub fn list(
    db: &Db,
    team: TeamId,
    before: Option<NotificationId>,
    limit: i64,
) -> Result<Vec<Notification>, StoreError> {
    db.all(
        &format!("{SELECT} WHERE n.team_id = ?1 AND n.id < ?2 ORDER BY n.id DESC LIMIT ?3"),
        params![team.0, before.map_or(i64::MAX, |id| id.0), limit],
        read,
    )
}

/// Those in use, of all teams, from behind `after`: at most `limit`.
pub fn in_use(db: &Db, after: NotificationId, limit: i64) -> Result<Vec<Notification>, StoreError> {
    db.all(
        &format!("{SELECT} WHERE n.enabled = 1 AND n.id > ?1 ORDER BY n.id LIMIT ?2"),
        params![after.0, limit],
        read,
    )
}

/// How much of its part of the outbox is taken; none: it is not in use, or there is none.
pub fn counts(db: &Db, id: NotificationId) -> Result<Option<Counts>, StoreError> {
    db.one(
        "SELECT c.waiting, c.dropped, c.dropped_since FROM notification_counts c JOIN notifications n ON n.id = c.notification_id
         WHERE c.notification_id = ?1 AND n.enabled = 1",
        [id.0],
        |row| {
            Ok(Counts {
                waiting: row.get("waiting")?,
                dropped: row.get("dropped")?,
                dropped_since: maybe_at(row, "dropped_since")?,
            })
        },
    )
}

/// Counts deliveries that are not made.
pub fn drop_more(tx: &Tx<'_>, id: NotificationId, more: i64, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE notification_counts SET dropped = dropped + ?2, dropped_since = coalesce(dropped_since, ?3) WHERE notification_id = ?1",
        params![id.0, more, At(now)],
    )?;
    Ok(())
}

/// Those that were dropped are told now.
pub fn tell_dropped(tx: &Tx<'_>, id: NotificationId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE notification_counts SET dropped = 0, dropped_since = NULL WHERE notification_id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// Those in use of which some were dropped that are not told yet: at most `limit`.
pub fn with_dropped(db: &Db, limit: i64) -> Result<Vec<NotificationId>, StoreError> {
    db.all(
        "SELECT c.notification_id FROM notification_counts c JOIN notifications n ON n.id = c.notification_id
         WHERE c.dropped > 0 AND n.enabled = 1 LIMIT ?1",
        [limit],
        |row| Ok(NotificationId(row.get("notification_id")?)),
    )
}

/// Deliveries of all teams that are to be sent.
pub fn all_waiting(db: &Db) -> Result<i64, StoreError> {
    let n = db
        .one("SELECT coalesce(sum(waiting), 0) AS n FROM notification_counts", (), |row| Ok(row.get("n")?))?;
    Ok(n.unwrap_or(0))
}

fn occasions(filter: &Filter) -> String {
    filter.on.iter().map(|on| on.as_str()).collect::<Vec<_>>().join(",")
}

fn label(filter: &Filter) -> Option<String> {
    filter.label.as_ref().map(|(key, value)| format!("{key}={value}"))
}

fn read(row: &Row<'_>) -> Result<Notification, StoreError> {
    let (occasions, kind): (String, String) = (row.get("occasions")?, row.get("kind")?);
    let on = occasions.split(',').map(|word| {
        Occasion::parse(word).ok_or_else(|| StoreError::Inconsistent(format!("the occasion {word:?}")))
    });
    let on = on.collect::<Result<_, _>>()?;
    let label: Option<String> = row.get("label")?;
    let label =
        label.and_then(|text| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(Notification {
        id: NotificationId(row.get("id")?),
        team: TeamId(row.get("team_id")?),
        name: row.get("name")?,
        filter: Filter { on, app: row.get("app")?, environment: row.get("environment")?, label },
        target: Target {
            kind: TargetKind::parse(&kind)
                .ok_or_else(|| StoreError::Inconsistent(format!("the kind of target {kind:?}")))?,
            shown: row.get("shown")?,
            secret: row.get::<_, Option<Vec<u8>>>("secret")?.map(Sealed),
        },
        enabled: row.get("enabled")?,
        waiting: row.get("waiting")?,
        dropped: row.get("dropped")?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
    })
}
