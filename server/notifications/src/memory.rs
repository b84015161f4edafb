//! What the subject keeps in memory, and how it follows the commits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use minitower_kernel::due::{Due, DueQueue};
use minitower_kernel::events::Subscribers;
use minitower_kernel::volumes::Volumes;
use minitower_runs::followed::{AppChanged, RunMoved};
use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::Occasion;

use crate::Shown;
use crate::domain::filter::Subscription;
use crate::lateness::standing;
use crate::metrics::Metrics;
use crate::outbox::Written;
use crate::queue::Queue;
use crate::store::events::{DeliveryDue, NotificationChanged, OutboxMoved};
use crate::watch::Watch;

/// What follows the commits. Made before the database is opened, so that it follows them from the first one on.
#[derive(Debug)]
pub struct Memory {
    /// The notifications in use of the teams that have any.
    teams: RwLock<HashMap<TeamId, Arc<[Subscription]>>>,
    /// What the batch that is open wrote to the outbox. It counts once it is committed.
    pub(crate) written: Mutex<Written>,
    pub(crate) queue: Queue,
    pub(crate) watch: Watch,
    pub(crate) metrics: Metrics,
    /// Calls the sender when something is to be sent.
    pub(crate) send_due: Due,
    /// Calls whoever looks for runs that are late.
    pub(crate) watch_due: Due,
    /// Calls the upkeep of the outbox.
    pub(crate) upkeep_due: Due,
    /// Known from the database's opening on.
    volumes: OnceLock<Volumes>,
    pub(crate) shown: Shown,
}

impl Memory {
    /// An empty memory that follows the commits. Its metrics are registered with `registry`; `shown` is how the API shows a run.
    pub fn new(
        registry: &prometheus::Registry,
        due: &DueQueue,
        subscribers: &mut Subscribers,
        shown: Shown,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let memory = Arc::new(Self {
            teams: RwLock::default(),
            written: Mutex::default(),
            queue: Queue::default(),
            watch: Watch::default(),
            metrics: Metrics::new(registry)?,
            send_due: due.place(),
            watch_due: due.place(),
            upkeep_due: due.place(),
            volumes: OnceLock::new(),
            shown,
        });
        memory.follow(subscribers);
        Ok(memory)
    }

    fn follow(self: &Arc<Self>, subscribers: &mut Subscribers) {
        let memory = Arc::clone(self);
        subscribers.fold(move |tx, moved: &mut dyn Iterator<Item = &RunMoved>| memory.fold(tx, moved));
        let memory = Arc::clone(self);
        subscribers.on(move |moved: &RunMoved| {
            memory.committed();
            memory.stands(moved);
        });
        let memory = Arc::clone(self);
        subscribers.on(move |changed: &AppChanged| {
            if memory.watch.app_changed(changed.id) {
                memory.watch_due.at(Timestamp(0));
            }
        });
        let memory = Arc::clone(self);
        subscribers.on(move |due: &DeliveryDue| {
            memory.queue.asked_for(due.notification, due.at);
            memory.send_due.at(due.at);
        });
        let memory = Arc::clone(self);
        subscribers.on(move |moved: &OutboxMoved| memory.metrics.moved(*moved));
        let memory = Arc::clone(self);
        subscribers.on(move |changed: &NotificationChanged| memory.changed(changed));
    }

    /// What the batch wrote is durable now: it can be sent.
    fn committed(&self) {
        let written = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        if written.queued.is_empty() && written.dropped == 0 {
            return;
        }
        let mut queued = 0;
        for (id, (n, at)) in written.queued {
            queued += n;
            self.note(id, at);
        }
        self.metrics.moved(OutboxMoved::written(queued, written.dropped));
    }

    /// A run is to be looked at when it will be late.
    fn stands(&self, moved: &RunMoved) {
        let (state, key) = (&moved.after.state, moved.key);
        let standing = standing(moved.after.status(), moved.after.queued_at, state.first_started_at());
        if self.watch.stands(key.team_id, key.app_id, moved.id, standing)
            && let Some(next) = self.watch.next(Timestamp(0))
        {
            self.watch_due.at(next);
        }
    }

    /// A notification has something to send.
    pub(crate) fn note(&self, id: NotificationId, at: Timestamp) {
        self.queue.note(id, at);
        if let Some(next) = self.queue.next() {
            self.send_due.at(next);
        }
    }

    fn changed(&self, changed: &NotificationChanged) {
        let mut teams = self.teams.write().unwrap_or_else(PoisonError::into_inner);
        let others = teams.remove(&changed.team).unwrap_or_default();
        let others = others.iter().filter(|known| known.id != changed.id).cloned();
        let now: Arc<[Subscription]> = others.chain(changed.after.clone()).collect();
        let late = [Occasion::Late, Occasion::Waiting];
        let wanted = now.iter().any(|one| late.iter().any(|occasion| one.filter.on.contains(occasion)));
        if !now.is_empty() {
            teams.insert(changed.team, now);
        }
        if self.watch.wanted(changed.team, wanted) {
            self.watch_due.at(Timestamp(0));
        }
        if changed.after.is_none() {
            self.queue.forget(changed.id);
        }
    }

    pub(crate) fn load(&self, volumes: Volumes, subscriptions: Vec<Subscription>) {
        let _ = self.volumes.set(volumes);
        for subscription in subscriptions {
            self.changed(&NotificationChanged {
                team: subscription.team,
                id: subscription.id,
                after: Some(subscription),
            });
        }
    }

    /// The notifications in use of a team; none: it has none.
    pub(crate) fn of_team(&self, team: TeamId) -> Option<Arc<[Subscription]>> {
        self.teams.read().unwrap_or_else(PoisonError::into_inner).get(&team).cloned()
    }

    /// Whether the volume of the database has room for what need not be.
    pub(crate) fn has_room(&self) -> bool {
        self.volumes.get().is_none_or(|volumes| volumes.room_for_state().is_ok())
    }
}
