//! The sending end of the outbox.
//!
//! The due-queue calls it when a notification has something to send. Each delivery is sent in a task of its own, and what became of it is
//! written before anything else is sent to the same notification. A server that is killed in between sends it again, under the same id.

use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use minitower_kernel::StoreError;
use minitower_kernel::outbound::{self, Place, Request, Signing, SigningKey};
use minitower_teams::SecretValue;
use minitower_vocabulary::ids::NotificationId;
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::TargetKind;
use serde_json::{Value, json};

use crate::Notifications;
use crate::domain::delivery::{Attempt, Delivery, State};
use crate::domain::message::{Event, Message};
use crate::domain::notification::Notification;
use crate::domain::schedule;
use crate::outbox::webhook_id;
use crate::store::deliveries::NewDelivery;
use crate::store::events::{DeliveryDue, OutboxMoved};
use crate::store::{deliveries, notifications};

/// Notifications looked at in one call.
const LOOKED_AT: usize = 64;
/// Longest that sending takes.
const LONGEST: Duration = Duration::from_secs(10);
/// When to look again where there is no place to send from.
const NO_PLACE: Duration = Duration::from_millis(250);
/// When to look again after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Most bytes of an error that are kept.
const ERROR_BYTES: usize = 1024;

impl Notifications {
    /// Sends what is due, and answers when the next is.
    pub(crate) async fn send_due(self) -> Option<Timestamp> {
        let queue = &self.0.memory.queue;
        for id in queue.take_due(self.0.clock.now(), LOOKED_AT) {
            match self.send_of(id).await {
                Ok(Some(next)) => queue.note(id, next),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, notification_id = id.0, "could not read what is to be sent");
                    queue.note(id, self.0.clock.now().plus(AFTER_FAILURE));
                }
            }
        }
        queue.next()
    }

    /// Begins to send what a notification has; answers when to look at it again.
    async fn send_of(&self, id: NotificationId) -> Result<Option<Timestamp>, StoreError> {
        let (queue, now) = (&self.0.memory.queue, self.0.clock.now());
        let (under_way, free) = queue.under_way(id);
        if free == 0 {
            // Looked at again when one of them has ended.
            return Ok(None);
        }
        let limit = i64::try_from(under_way.len() + free).unwrap_or(i64::MAX);
        let subject = self.clone();
        let found = self.0.store.read(move |db| {
            let Some(notification) = notifications::of_any_team(db, id)?.filter(|one| one.enabled) else {
                return Ok::<_, StoreError>(None);
            };
            let due = deliveries::due(db, id, now, limit)?;
            let secret = subject.open_secret(db, notification.team, &notification.target)?;
            Ok(Some((notification, secret, due, deliveries::next_after(db, id, now)?)))
        });
        let Some((notification, secret, due, next)) = found.await? else { return Ok(None) };
        for delivery in due.into_iter().filter(|one| !under_way.contains(&one.id)).take(free) {
            let Some(place) = self.place(&notification) else { return Ok(Some(now.plus(NO_PLACE))) };
            if !queue.begin(notification.team, id, delivery.id) {
                return Ok(Some(now.plus(NO_PLACE)));
            }
            let (subject, notification, secret) = (self.clone(), notification.clone(), secret.clone());
            self.0
                .sending
                .spawn(async move { subject.deliver((notification, secret), delivery, place).await });
        }
        Ok(next)
    }

    /// A place to send from. A target that cannot be read needs none, but gets one: that is told by the attempt.
    fn place(&self, notification: &Notification) -> Option<Place> {
        let of_url = |url: &str| outbound::Target::parse(url).map(|target| target.host().to_owned());
        let host = match notification.target.kind {
            TargetKind::Webhook | TargetKind::Slack => of_url(&notification.target.shown).unwrap_or_default(),
            TargetKind::Email => {
                self.0.mailer.as_ref().map(|mailer| mailer.host().to_owned()).unwrap_or_default()
            }
        };
        self.0.outbound.place(&host)
    }

    async fn deliver(
        self,
        (notification, secret): (Notification, Option<SecretValue>),
        delivery: Delivery,
        place: Place,
    ) {
        let began = Instant::now();
        let sent = self.send((&notification, secret), &delivery, place).await;
        let (took, now) = (began.elapsed(), self.0.clock.now());
        let attempt = Attempt { at: now, took, ..sent };
        let delivered = attempt.error.is_none();
        self.0.memory.metrics.attempted(notification.target.kind, delivered);
        tracing::debug!(
            notification_id = notification.id.0,
            delivery_id = delivery.id.0,
            code = attempt.code,
            error = attempt.error,
            "tried to deliver a notification"
        );
        let key = (notification.team, notification.id);
        let id = delivery.id;
        let next = match self.record(&notification, delivery, attempt).await {
            Ok(()) => now,
            Err(error) => {
                tracing::warn!(%error, "could not write down what became of a delivery: it is sent again");
                now.plus(AFTER_FAILURE)
            }
        };
        let memory = &self.0.memory;
        memory.queue.end(key, id, delivered, next);
        if let Some(next) = memory.queue.next() {
            memory.send_due.at(next);
        }
    }

    async fn send(
        &self,
        (notification, secret): (&Notification, Option<SecretValue>),
        delivery: &Delivery,
        place: Place,
    ) -> Attempt {
        let data: Value = serde_json::from_str(&delivery.data).unwrap_or(Value::Null);
        let team = self.0.teams.slug(notification.team);
        let message = Message {
            event: delivery.event,
            notification: &notification.name,
            team: team.as_deref().unwrap_or_default(),
            data: &data,
            at: moment(delivery.created_at),
            public_url: self.0.settings.public_url.as_deref(),
        };
        let target = &notification.target;
        match target.kind {
            TargetKind::Webhook => {
                let Some(key) = secret.and_then(|text| SigningKey::parse(text.reveal()).ok()) else {
                    return failed("the secret of this notification cannot be read: set another one");
                };
                let (id, at) = (delivery.webhook_id.clone(), self.0.clock.now());
                let signing = Some(Signing { id, at, keys: vec![key] });
                self.post(&target.shown, message.webhook(), signing, place).await
            }
            TargetKind::Slack => {
                let Some(url) = secret else {
                    return failed("the URL of this notification cannot be read: set it again");
                };
                self.post(url.reveal(), message.slack(), None, place).await
            }
            TargetKind::Email => {
                let Some(mailer) = &self.0.mailer else {
                    return failed("this server sends no emails any more: MINITOWER_SMTP_URL is not set");
                };
                let sent = mailer.send((&target.shown, &delivery.webhook_id), message.email(), LONGEST).await;
                drop(place);
                match sent {
                    Ok(code) => answered(Some(code), None),
                    Err(error) => answered(error.code, Some(error.reason)),
                }
            }
        }
    }

    async fn post(&self, url: &str, body: String, signing: Option<Signing>, place: Place) -> Attempt {
        let Ok(target) = outbound::Target::parse(url) else {
            return failed("the URL of this notification is not one any more: set it again");
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.into_bytes();
        let request = Request { method: Method::POST, target, headers, body, timeout: LONGEST, signing };
        match self.0.outbound.send(place, request).await {
            Ok(answer) => {
                let status = answer.status;
                let error = if status.is_success() {
                    None
                } else if status.is_redirection() {
                    Some(format!("the receiver answered {status}, and redirects are not followed"))
                } else {
                    Some(format!("the receiver answered {status}"))
                };
                let retry_after = answer.retry_after;
                Attempt { retry_after, ..answered(Some(i64::from(status.as_u16())), error) }
            }
            Err(failure) => answered(None, Some(failure.to_string())),
        }
    }

    /// Writes down what became of a delivery, and tells what was dropped once there is room.
    async fn record(
        &self,
        notification: &Notification,
        delivery: Delivery,
        attempt: Attempt,
    ) -> Result<(), StoreError> {
        let (id, jitter) = (notification.id, rand::random::<f64>());
        self.0
            .store
            .write_upkeep(move |tx| {
                // It may have been asked for again, or deleted.
                let Some(delivery) = deliveries::by_id(tx, id, delivery.id)? else { return Ok(()) };
                let waited = delivery.waits();
                let after = delivery.after(&attempt, jitter);
                deliveries::save(tx, &after)?;
                tx.emit(OutboxMoved::waits(i64::from(after.waits()) - i64::from(waited)));
                deliveries::note_attempt(tx, after.id, after.attempts, &attempt)?;
                if matches!(after.state, State::Failed { .. }) {
                    tracing::info!(
                        notification_id = id.0,
                        delivery_id = after.id.0,
                        "a notification could not be delivered, and is not tried again"
                    );
                }
                tell_dropped(tx, id, attempt.at)
            })
            .await
    }
}

/// Makes one delivery of all that were dropped, if there is room for it again.
pub(crate) fn tell_dropped(
    tx: &minitower_kernel::Tx<'_>,
    id: NotificationId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(counts) = notifications::counts(tx, id)? else { return Ok(()) };
    let Some(since) = counts.dropped_since.filter(|_| counts.waiting <= schedule::WAITING_WHEN_TOLD) else {
        return Ok(());
    };
    let data =
        json!({"notification_id": id.0, "dropped": counts.dropped, "since": moment(since)}).to_string();
    let new = NewDelivery {
        notification: id,
        webhook_id: webhook_id(),
        event: Event::Dropped,
        run: None,
        data: &data,
    };
    deliveries::insert(tx, &new, now)?;
    notifications::tell_dropped(tx, id)?;
    tx.emit(OutboxMoved::written(1, 0));
    tx.emit(DeliveryDue { notification: id, at: now });
    Ok(())
}

fn answered(code: Option<i64>, error: Option<String>) -> Attempt {
    let error = error.map(|text| {
        let text = if text.is_empty() { "it failed".to_owned() } else { text };
        text.chars()
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= ERROR_BYTES).then_some(c)
            })
            .collect()
    });
    Attempt { at: Timestamp(0), took: Duration::ZERO, code, error, retry_after: None }
}

fn failed(reason: &str) -> Attempt {
    answered(None, Some(reason.to_owned()))
}

fn moment(at: Timestamp) -> minitower_vocabulary::wire::Timestamp {
    use minitower_vocabulary::wire::Timestamp as Wire;
    // No clock runs outside of the years -9999 to 9999. If one does, the epoch shows it.
    Wire::from_millisecond(at.0).unwrap_or(Wire::UNIX_EPOCH)
}
