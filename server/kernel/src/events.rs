//! What commits change, and who follows it.
//!
//! A transaction emits typed events, which the subject that emits them defines. After the commit and before its commands are answered
//! they reach the subscribers, on the writer's thread: gauges, wake-ups, caches. Nothing in memory changes before the commit, but for
//! [mirrors](Subscribers::mirror), which belong to the open transaction and are taken back with it.

use std::any::Any;
use std::fmt;

use crate::feed::{Followers, Later};
use crate::{StoreError, Tx};

/// One thing that a transaction changed; its type is the subject's.
pub type Event = Box<dyn Any + Send>;

type Follow = Box<dyn Fn(&dyn Any) + Send>;
type Mirror = Box<dyn Fn(&dyn Any, Turn) + Send>;
type Fold = Box<dyn Fn(&Tx<'_>, &[Event]) -> Result<(), StoreError> + Send>;

/// Which way a [mirror](Subscribers::mirror) goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The transaction has changed this.
    Done,
    /// The change was rolled back; the latest is taken back first.
    Undone,
}

/// Everyone who follows commits. Filled before the [`Store`](crate::Store) is opened; from then on it is the writer's.
#[derive(Default)]
pub struct Subscribers {
    follow: Vec<Follow>,
    fold: Vec<Fold>,
    mirror: Vec<Mirror>,
    triggers: Vec<String>,
    later: Followers,
}

impl Subscribers {
    /// Calls `f` with each event of type `E`, after its commit and before the answers. It must not block.
    pub fn on<E: Any>(&mut self, f: impl Fn(&E) + Send + 'static) {
        self.follow.push(Box::new(move |event| {
            if let Some(event) = event.downcast_ref() {
                f(event);
            }
        }));
    }

    /// Calls `f` with the events of type `E` of a whole batch, inside its transaction and before the commit: for tables that follow
    /// from others and are written once a batch. An error rolls the batch back.
    pub fn fold<E: Any>(
        &mut self,
        f: impl Fn(&Tx<'_>, &mut dyn Iterator<Item = &E>) -> Result<(), StoreError> + Send + 'static,
    ) {
        self.fold.push(Box::new(move |tx, events| {
            f(tx, &mut events.iter().filter_map(|event| event.downcast_ref::<E>()))
        }));
    }

    /// Calls `f` with each event of type `E` as it is emitted, and once more, in the opposite order, if its command or its batch is rolled
    /// back: for memory that the commands of one batch read and change one after the other, as they do the tables. Only commands may read
    /// it. `f` must not block.
    pub fn mirror<E: Any>(&mut self, f: impl Fn(&E, Turn) + Send + 'static) {
        self.mirror.push(Box::new(move |event, turn| {
            if let Some(event) = event.downcast_ref() {
                f(event, turn);
            }
        }));
    }

    /// Has SQLite itself follow the changes of tables: `sql` makes one temporary trigger, which the write connection has from the database's
    /// opening on. It may ask [who acts](crate::acting).
    pub fn trigger(&mut self, sql: String) {
        self.triggers.push(sql);
    }

    pub(crate) fn triggers(&self) -> &[String] {
        &self.triggers
    }

    /// Calls `f` with the events of type `E` once they are durable, in the order of the commits, on the [feed](crate::feed)'s thread: for
    /// whoever tells the outside. `wanted` is asked after the commit, on the writer's thread: how many bytes the event holds, none if
    /// nobody wants it now.
    pub fn later<E: Any>(
        &mut self,
        wanted: impl Fn(&E) -> Option<usize> + Send + 'static,
        f: impl FnMut(Later<'_, E>) + Send + 'static,
    ) {
        self.later.add(wanted, f);
    }

    pub(crate) fn take_later(&mut self) -> Followers {
        std::mem::take(&mut self.later)
    }

    pub(crate) fn emitted(&self, event: &Event) {
        for mirror in &self.mirror {
            mirror(event.as_ref(), Turn::Done);
        }
    }

    pub(crate) fn rolled_back(&self, events: &[Event]) {
        for event in events.iter().rev() {
            for mirror in &self.mirror {
                mirror(event.as_ref(), Turn::Undone);
            }
        }
    }

    pub(crate) fn before_commit(&self, tx: &Tx<'_>, events: &[Event]) -> Result<(), StoreError> {
        self.fold.iter().try_for_each(|fold| fold(tx, events))
    }

    pub(crate) fn committed(&self, events: &[Event]) {
        for event in events {
            for follow in &self.follow {
                follow(event.as_ref());
            }
        }
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribers")
            .field("follow", &self.follow.len())
            .field("fold", &self.fold.len())
            .field("mirror", &self.mirror.len())
            .field("later", &self.later)
            .field("triggers", &self.triggers.len())
            .finish()
    }
}
