//! The outbox: deliveries, and the attempts at them.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx, at, maybe_at};
use minitower_vocabulary::ids::{DeliveryId, NotificationId, RunId};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::DeliveryStatus;
use std::time::Duration;

use crate::domain::delivery::{Attempt, Delivery, State};
use crate::domain::message::Event;

const SELECT: &str = "SELECT id, notification_id, webhook_id, event, run_id, data, status, attempts, tries, created_at, next_at, ended_at
                      FROM notification_deliveries";

/// Attempts that are kept of a delivery.
const ATTEMPTS_KEPT: i64 = 20;

/// What makes a delivery.
#[derive(Debug, Clone)]
pub struct NewDelivery<'a> {
    /// The notification.
    pub notification: NotificationId,
    /// What its receiver knows it by.
    pub webhook_id: String,
    /// What it tells.
    pub event: Event,
    /// Of which run.
    pub run: Option<RunId>,
    /// What is told, as JSON.
    pub data: &'a str,
}

/// A new delivery, to be sent at once; none: this was told of this run already.
pub fn insert(tx: &Tx<'_>, new: &NewDelivery<'_>, now: Timestamp) -> Result<Option<DeliveryId>, StoreError> {
    let inserted = tx.execute(
        "INSERT INTO notification_deliveries (notification_id, webhook_id, event, run_id, data, status, created_at, next_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?6)
         ON CONFLICT (notification_id, run_id, event) WHERE event IN ('run.late', 'run.waiting') DO NOTHING",
        params![
            new.notification.0,
            new.webhook_id,
            new.event.as_str(),
            new.run.map(|run| run.0),
            new.data,
            At(now)
        ],
    )?;
    if inserted == 0 {
        return Ok(None);
    }
    tx.one("SELECT id FROM notification_deliveries WHERE webhook_id = ?1", [&new.webhook_id], |row| {
        Ok(DeliveryId(row.get("id")?))
    })
}

/// A delivery of that notification.
pub fn by_id(db: &Db, notification: NotificationId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    db.one(&format!("{SELECT} WHERE id = ?1 AND notification_id = ?2"), params![id.0, notification.0], read)
}

/// A notification's deliveries, newest first, from behind `before` if given: at most `limit`.
pub fn list(
    db: &Db,
    notification: NotificationId,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    db.all(
        &format!("{SELECT} WHERE notification_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"),
        params![notification.0, before.map_or(i64::MAX, |id| id.0), limit],
        read,
    )
}

/// Those that are to be sent by now, the first one first: at most `limit`.
pub fn due(
    db: &Db,
    notification: NotificationId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    db.all(
        &format!(
            "{SELECT} WHERE notification_id = ?1 AND status = 'waiting' AND next_at <= ?2 ORDER BY next_at, id LIMIT ?3"
        ),
        params![notification.0, At(now), limit],
        read,
    )
}

/// When the first one after `now` is to be sent.
pub fn next_after(
    db: &Db,
    notification: NotificationId,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let next = db.one(
        "SELECT min(next_at) AS next_at FROM notification_deliveries
         WHERE notification_id = ?1 AND status = 'waiting' AND next_at > ?2",
        params![notification.0, At(now)],
        |row| maybe_at(row, "next_at"),
    )?;
    Ok(next.flatten())
}

/// When each notification has something to send, from behind `after`: at most `limit`.
pub fn next_of_each(
    db: &Db,
    after: NotificationId,
    limit: i64,
) -> Result<Vec<(NotificationId, Timestamp)>, StoreError> {
    db.all(
        "SELECT notification_id, min(next_at) AS next_at FROM notification_deliveries
         WHERE status = 'waiting' AND notification_id > ?1 GROUP BY notification_id ORDER BY notification_id LIMIT ?2",
        params![after.0, limit],
        |row| Ok((NotificationId(row.get("notification_id")?), at(row, "next_at")?)),
    )
}

/// Brings forward what is put off further than `latest`.
pub fn bring_forward(
    tx: &Tx<'_>,
    notification: NotificationId,
    latest: Timestamp,
) -> Result<usize, StoreError> {
    tx.execute(
        "UPDATE notification_deliveries SET next_at = ?2 WHERE notification_id = ?1 AND status = 'waiting' AND next_at > ?2",
        params![notification.0, At(latest)],
    )
}

/// Saves what became of a delivery.
pub fn save(tx: &Tx<'_>, delivery: &Delivery) -> Result<(), StoreError> {
    let (status, next_at, ended_at) = match delivery.state {
        State::Waiting { next_at } => (DeliveryStatus::Waiting, Some(At(next_at)), None),
        State::Delivered { ended_at } => (DeliveryStatus::Delivered, None, Some(At(ended_at))),
        State::Failed { ended_at } => (DeliveryStatus::Failed, None, Some(At(ended_at))),
    };
    tx.execute(
        "UPDATE notification_deliveries SET status = ?2, next_at = ?3, ended_at = ?4, attempts = ?5, tries = ?6 WHERE id = ?1",
        params![delivery.id.0, status.as_str(), next_at, ended_at, delivery.attempts, delivery.tries],
    )?;
    Ok(())
}

/// Notes an attempt, the one of that number, and forgets the oldest.
pub fn note_attempt(
    tx: &Tx<'_>,
    delivery: DeliveryId,
    number: i64,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO notification_attempts (delivery_id, attempt_no, at, duration_ms, code, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            delivery.0,
            number,
            At(attempt.at),
            i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX),
            attempt.code,
            attempt.error
        ],
    )?;
    tx.execute(
        "DELETE FROM notification_attempts WHERE delivery_id = ?1 AND attempt_no <= ?2",
        params![delivery.0, number - ATTEMPTS_KEPT],
    )?;
    Ok(())
}

/// The attempts at a delivery, oldest first.
pub fn attempts(db: &Db, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
    db.all(
        "SELECT at, duration_ms, code, error FROM notification_attempts WHERE delivery_id = ?1 ORDER BY attempt_no",
        [delivery.0],
        |row| {
            Ok(Attempt {
                at: at(row, "at")?,
                took: Duration::from_millis(row.get::<_, i64>("duration_ms")?.unsigned_abs()),
                code: row.get("code")?,
                error: row.get("error")?,
                retry_after: None,
            })
        },
    )
}

/// Whether any ended before `before`.
pub fn any_older(db: &Db, before: Timestamp) -> Result<bool, StoreError> {
    let found =
        db.one("SELECT 1 FROM notification_deliveries WHERE ended_at < ?1 LIMIT 1", [At(before)], |_| Ok(()));
    Ok(found?.is_some())
}

/// Deletes deliveries of a notification, `at_once` and again as long as `go_on` says so; true: there may be more.
pub fn delete_some(
    tx: &Tx<'_>,
    notification: NotificationId,
    at_once: i64,
    go_on: impl Fn() -> bool,
) -> Result<bool, StoreError> {
    loop {
        let deleted = tx.execute(
            "DELETE FROM notification_deliveries WHERE id IN
                 (SELECT id FROM notification_deliveries WHERE notification_id = ?1 ORDER BY id LIMIT ?2)",
            params![notification.0, at_once],
        )?;
        if i64::try_from(deleted).is_ok_and(|deleted| deleted < at_once) {
            return Ok(false);
        }
        if !go_on() {
            return Ok(true);
        }
    }
}

/// Deletes some that ended before `before`: at most `limit`.
pub fn prune_old(tx: &Tx<'_>, before: Timestamp, limit: i64) -> Result<usize, StoreError> {
    tx.execute(
        "DELETE FROM notification_deliveries WHERE id IN
             (SELECT id FROM notification_deliveries WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)",
        params![At(before), limit],
    )
}

/// Deletes some of a notification's deliveries that have ended, beyond the newest `kept`: at most `limit`.
pub fn prune_many(
    tx: &Tx<'_>,
    notification: NotificationId,
    kept: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    tx.execute(
        "DELETE FROM notification_deliveries WHERE id IN
             (SELECT id FROM notification_deliveries
              WHERE notification_id = ?1 AND status <> 'waiting'
                AND id < (SELECT id FROM notification_deliveries WHERE notification_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
              ORDER BY id LIMIT ?3)",
        params![notification.0, kept, limit],
    )
}

fn read(row: &Row<'_>) -> Result<Delivery, StoreError> {
    let (event, status): (String, String) = (row.get("event")?, row.get("status")?);
    let bad =
        |what: &str, found: &str| StoreError::Inconsistent(format!("the {what} {found:?} of a delivery"));
    let missing = || StoreError::Inconsistent("a delivery without its moment".to_owned());
    let moment = |column: &str| maybe_at(row, column)?.ok_or_else(missing);
    Ok(Delivery {
        id: DeliveryId(row.get("id")?),
        notification: NotificationId(row.get("notification_id")?),
        webhook_id: row.get("webhook_id")?,
        event: Event::parse(&event).ok_or_else(|| bad("event", &event))?,
        run: row.get::<_, Option<i64>>("run_id")?.map(RunId),
        data: row.get("data")?,
        state: match DeliveryStatus::parse(&status).ok_or_else(|| bad("status", &status))? {
            DeliveryStatus::Waiting => State::Waiting { next_at: moment("next_at")? },
            DeliveryStatus::Delivered => State::Delivered { ended_at: moment("ended_at")? },
            DeliveryStatus::Failed => State::Failed { ended_at: moment("ended_at")? },
        },
        attempts: row.get("attempts")?,
        tries: row.get("tries")?,
        created_at: at(row, "created_at")?,
    })
}
