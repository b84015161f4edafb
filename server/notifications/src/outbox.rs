//! The writing end of the outbox: deliveries are written in the transaction that ends their run.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::PoisonError;

use minitower_kernel::{StoreError, Tx};
use minitower_runs::domain::run::Run;
use minitower_runs::followed::{self, RunMoved};
use minitower_vocabulary::ids::{NotificationId, RunId};
use minitower_vocabulary::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::Memory;
use crate::domain::filter::{Happening, Subscription, occasion_of_end};
use crate::domain::message::{self, Event};
use crate::domain::schedule::MOST_WAITING;
use crate::store::deliveries::NewDelivery;
use crate::store::notifications::Counts;
use crate::store::{deliveries, notifications};

/// Most bytes of what is told of a run; the table allows no more.
const DATA_BYTES: usize = 64 * 1024;

/// What a batch wrote to the outbox.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// How many deliveries of each notification, and when they are to be sent.
    pub(crate) queued: HashMap<NotificationId, (u64, Timestamp)>,
    /// How many were dropped.
    pub(crate) dropped: u64,
}

/// What a batch has written so far.
pub(crate) struct Batch<'a> {
    tx: &'a Tx<'a>,
    memory: &'a Memory,
    has_room: bool,
    counts: HashMap<NotificationId, Option<Counts>>,
    dropped: HashMap<NotificationId, (i64, Timestamp)>,
    written: Written,
}

/// A run that something happened to, read when the first one asks.
struct Told<'a> {
    memory: &'a Memory,
    id: RunId,
    /// None inside: it is gone.
    run: OnceCell<Option<Run>>,
    data: Option<String>,
}

impl Memory {
    /// Writes what the runs of a batch that have ended are told by.
    pub(crate) fn fold(
        &self,
        tx: &Tx<'_>,
        moved: &mut dyn Iterator<Item = &RunMoved>,
    ) -> Result<(), StoreError> {
        let mut batch: Option<Batch<'_>> = None;
        for moved in moved {
            let Some(end) = moved.after.state.end() else { continue };
            // What has ended never changes; its row may.
            if moved.before.as_ref().is_some_and(|before| before.state.end().is_some()) {
                continue;
            }
            let Some(occasion) = occasion_of_end(moved.after.status()) else { continue };
            let Some(subscriptions) = self.of_team(moved.key.team_id) else { continue };
            let what = Happening { occasion, app: &moved.names.app, environment: &moved.names.environment };
            let batch = batch.get_or_insert_with(|| Batch::new(tx, self));
            batch.tell(moved.id, what, &subscriptions, end.finished_at)?;
        }
        let written = batch.map(Batch::finish).transpose()?.unwrap_or_default();
        // What a batch left here that was rolled back counts for nothing.
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = written;
        Ok(())
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(tx: &'a Tx<'_>, memory: &'a Memory) -> Self {
        Self {
            tx,
            memory,
            has_room: memory.has_room(),
            counts: HashMap::new(),
            dropped: HashMap::new(),
            written: Written::default(),
        }
    }

    /// Tells all that want to know of it.
    pub(crate) fn tell(
        &mut self,
        run: RunId,
        what: Happening<'_>,
        subscriptions: &[Subscription],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut told = Told { memory: self.memory, id: run, run: OnceCell::new(), data: None };
        for subscription in subscriptions.iter().filter(|one| one.filter.may_match(what)) {
            self.tell_one(&mut told, subscription, Event::Run(what.occasion), now)?;
        }
        Ok(())
    }

    fn tell_one(
        &mut self,
        told: &mut Told<'_>,
        subscription: &Subscription,
        event: Event,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (tx, id) = (self.tx, subscription.id);
        let counts = match self.counts.get(&id) {
            Some(counts) => *counts,
            // Read inside: another command of the batch may have changed or deleted it.
            None => *self.counts.entry(id).or_insert(notifications::counts(tx, id)?),
        };
        let Some(counts) = counts else { return Ok(()) };
        if subscription.filter.label.is_some() {
            let Some(run) = told.run(tx)? else { return Ok(()) };
            let labels = labels(run);
            let label = |key: &str| labels.get(key).and_then(Value::as_str);
            if !subscription.filter.matches_labels(label) {
                return Ok(());
            }
        }
        if counts.waiting >= MOST_WAITING || !self.has_room {
            self.dropped.entry(id).or_insert((0, now)).0 += 1;
            return Ok(());
        }
        let run = Some(told.id);
        let Some(data) = told.data(tx)? else { return Ok(()) };
        let new = NewDelivery { notification: id, webhook_id: webhook_id(), event, run, data };
        if deliveries::insert(tx, &new, now)?.is_some() {
            self.counts.insert(id, Some(Counts { waiting: counts.waiting + 1, ..counts }));
            self.written.queued.entry(id).or_insert((0, now)).0 += 1;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Written, StoreError> {
        for (id, (more, since)) in self.dropped {
            notifications::drop_more(self.tx, id, more, since)?;
            self.written.dropped += more.unsigned_abs();
        }
        Ok(self.written)
    }
}

impl Told<'_> {
    fn run(&mut self, tx: &Tx<'_>) -> Result<Option<&Run>, StoreError> {
        if self.run.get().is_none() {
            self.run = OnceCell::from(followed::run(tx, self.id)?);
        }
        Ok(self.run.get().and_then(Option::as_ref))
    }

    /// What is told of it; none: it is gone.
    fn data(&mut self, tx: &Tx<'_>) -> Result<Option<&str>, StoreError> {
        if self.data.is_none() {
            let shown = self.memory.shown;
            let Some(run) = self.run(tx)? else { return Ok(None) };
            let (id, slug) = (run.id.0, run.app_slug.clone());
            // Neither is told, and both may be large.
            let run = Run { input: None, output: None, ..run.clone() };
            let least = json!({"run_id": id, "app_slug": slug});
            self.data = Some(shown(run).and_then(bounded).unwrap_or_else(|| least.to_string()));
        }
        Ok(self.data.as_deref())
    }
}

/// The text of what is told of a run, without the parts that make it too large.
fn bounded(mut run: Map<String, Value>) -> Option<String> {
    let text = |run: &Map<String, Value>| message::of_run(run.clone()).to_string();
    for part in ["error_message", "labels"] {
        if text(&run).len() <= DATA_BYTES {
            break;
        }
        run.remove(part);
    }
    Some(text(&run)).filter(|text| text.len() <= DATA_BYTES)
}

fn labels(run: &Run) -> Map<String, Value> {
    run.labels.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A new id for a receiver.
pub(crate) fn webhook_id() -> String {
    format!("msg_{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_run_is_bounded() {
        let run = |error: usize| {
            let Value::Object(run) =
                json!({"run_id": 1, "input": {"a": 1}, "error_message": "\u{1}".repeat(error)})
            else {
                unreachable!()
            };
            bounded(run).unwrap()
        };
        assert!(run(10).contains("error_message") && !run(10).contains("input"));
        assert_eq!(run(20_000), r#"{"run_id":1}"#);
    }

    #[test]
    fn ids_are_new() {
        assert_ne!(webhook_id(), webhook_id());
        assert_eq!(webhook_id().len(), 36);
    }
}
