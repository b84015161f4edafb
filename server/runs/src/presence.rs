//! Which runners were heard of, and when: in memory, written down in batches. An open poll is being heard of.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::explain::Runners;
use crate::domain::runner::{self, RunnerPrincipal, RunnerScope};
use crate::store::runners::{self, Known};
use minitower_kernel::clock::Clock;
use minitower_vocabulary::ids::{RunnerId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::{Error, Shared};

/// Rows of one write.
const BATCH: usize = 500;

#[derive(Debug, Default)]
pub(crate) struct Presence(Arc<Mutex<HashMap<RunnerId, Seen>>>);

#[derive(Debug)]
struct Seen {
    scope: RunnerScope,
    environment: String,
    at: Timestamp,
    /// Polls that wait now.
    polls: u32,
    /// Whether `at` is newer than what the database has.
    unsaved: bool,
    /// It has said that it goes, and was not heard of since.
    signed_off: bool,
    /// It got a run, and has neither ended it nor polled since.
    busy: bool,
}

impl Presence {
    pub(crate) fn load(&self, runners: Vec<Known>) {
        let mut seen = self.lock();
        for Known { id, scope, environment, last_seen_at: at, busy } in runners {
            seen.insert(
                id,
                Seen { scope, environment, at, polls: 0, unsaved: false, signed_off: false, busy },
            );
        }
    }

    pub(crate) fn registered(&self, id: RunnerId, (scope, environment): (RunnerScope, &str), at: Timestamp) {
        let mut seen = self.lock();
        let (polls, busy) = seen.get(&id).map_or((0, false), |s| (s.polls, s.busy));
        let environment = environment.to_owned();
        seen.insert(id, Seen { scope, environment, at, polls, unsaved: false, signed_off: false, busy });
    }

    /// The runner got a run.
    pub(crate) fn served(&self, id: RunnerId) {
        if let Some(seen) = self.lock().get_mut(&id) {
            seen.busy = true;
        }
    }

    /// The runner has given up its run, or ended it.
    pub(crate) fn idle(&self, id: RunnerId) {
        if let Some(seen) = self.lock().get_mut(&id) {
            seen.busy = false;
        }
    }

    /// The runners online that serve a team in an environment; `fenced` are those whose polls met a fence.
    pub(crate) fn serving(
        &self,
        team: TeamId,
        environment: &str,
        (ttl, now): (Duration, Timestamp),
        fenced: &HashSet<RunnerId>,
    ) -> Runners {
        let mut runners = Runners::default();
        for (id, seen) in self.lock().iter() {
            let online = !seen.signed_off && (seen.polls > 0 || runner::is_online(seen.at, ttl, now));
            if online && seen.environment == environment && seen.scope.serves(team) {
                runners.online += 1;
                runners.busy += u64::from(seen.busy);
                runners.drained += u64::from(!seen.busy && fenced.contains(id));
            }
        }
        runners
    }

    pub(crate) fn seen(&self, id: RunnerId, at: Timestamp) {
        if let Some(seen) = self.lock().get_mut(&id) {
            seen.at = seen.at.max(at);
            seen.unsaved = true;
            seen.signed_off = false;
        }
    }

    /// The runner goes: it is offline until it is heard of again.
    pub(crate) fn signed_off(&self, id: RunnerId) {
        if let Some(seen) = self.lock().get_mut(&id) {
            seen.signed_off = true;
        }
    }

    pub(crate) fn forget(&self, id: RunnerId) {
        self.lock().remove(&id);
    }

    /// A poll is open until the guard is dropped.
    pub(crate) fn poll(&self, by: &RunnerPrincipal, clock: &Clock) -> OpenPoll {
        let (id, now) = (by.runner_id, clock.now());
        let mut seen = self.lock();
        let entry = seen.entry(id).or_insert_with(|| Seen {
            scope: by.scope,
            environment: by.environment.clone(),
            at: now,
            polls: 0,
            unsaved: true,
            signed_off: false,
            busy: false,
        });
        entry.polls += 1;
        entry.busy = false;
        entry.signed_off = false;
        OpenPoll { presence: Arc::clone(&self.0), id, clock: clock.clone() }
    }

    /// When a runner was last heard of, and whether it counts as online.
    pub(crate) fn look(
        &self,
        id: RunnerId,
        saved: Timestamp,
        ttl: Duration,
        now: Timestamp,
    ) -> (Timestamp, bool) {
        match self.lock().get(&id) {
            Some(seen) if seen.signed_off => (seen.at, false),
            Some(seen) if seen.polls > 0 => (now, true),
            Some(seen) => (seen.at, runner::is_online(seen.at, ttl, now)),
            None => (saved, runner::is_online(saved, ttl, now)),
        }
    }

    pub(crate) fn seen_after(&self, id: RunnerId, at: Timestamp) -> bool {
        self.lock().get(&id).is_some_and(|s| s.polls > 0 || s.at >= at)
    }

    /// Runners online, by environment; environments with none are there with 0.
    pub(crate) fn online(&self, ttl: Duration, now: Timestamp) -> HashMap<String, i64> {
        let mut online = HashMap::new();
        for seen in self.lock().values() {
            let n = online.entry(seen.environment.clone()).or_insert(0);
            if !seen.signed_off && (seen.polls > 0 || runner::is_online(seen.at, ttl, now)) {
                *n += 1;
            }
        }
        online
    }

    /// What the database does not have yet; it counts as written down.
    fn take_unsaved(&self, now: Timestamp) -> Vec<(RunnerId, Timestamp)> {
        let mut unsaved = Vec::new();
        for (id, seen) in self.lock().iter_mut() {
            if seen.polls > 0 {
                seen.at = seen.at.max(now);
                seen.unsaved = true;
            }
            if std::mem::take(&mut seen.unsaved) {
                unsaved.push((*id, seen.at));
            }
        }
        unsaved
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunnerId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open poll.
#[derive(Debug)]
pub(crate) struct OpenPoll {
    presence: Arc<Mutex<HashMap<RunnerId, Seen>>>,
    id: RunnerId,
    clock: Clock,
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        if let Some(seen) = self.presence.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&self.id) {
            seen.polls = seen.polls.saturating_sub(1);
            seen.at = seen.at.max(self.clock.now());
            seen.unsaved = true;
        }
    }
}

impl Shared {
    /// Writes down who was heard of since the last time.
    pub(crate) async fn flush_presence(&self) -> Result<(), Error> {
        let unsaved = self.memory.presence.take_unsaved(self.clock.now());
        for batch in unsaved.chunks(BATCH) {
            let batch = batch.to_vec();
            self.store.write_upkeep(move |tx| Ok::<_, Error>(runners::touch(tx, &batch)?)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn principal() -> RunnerPrincipal {
        RunnerPrincipal {
            token_hash: [0; 32],
            runner_id: RunnerId(1),
            name: "r1".to_owned(),
            scope: RunnerScope::Platform,
            environment: "default".to_owned(),
        }
    }

    #[test]
    fn an_open_poll_is_being_heard_of_however_long_it_waits() {
        let (presence, clock) = (Presence::default(), Clock::manual(Timestamp(0)));
        presence.registered(RunnerId(1), (RunnerScope::Platform, "default"), Timestamp(0));
        let poll = presence.poll(&principal(), &clock);
        clock.advance(Duration::from_secs(3600));
        assert!(presence.look(RunnerId(1), Timestamp(0), TTL, clock.now()).1);
        drop(poll);
        assert_eq!(presence.online(TTL, clock.now())["default"], 1);
        clock.advance(3 * TTL);
        assert!(!presence.look(RunnerId(1), Timestamp(0), TTL, clock.now()).1);
        assert_eq!(presence.online(TTL, clock.now())["default"], 0);
    }

    #[test]
    fn who_signs_off_is_offline_at_once_and_online_when_heard_of_again() {
        let (presence, clock) = (Presence::default(), Clock::manual(Timestamp(0)));
        presence.registered(RunnerId(1), (RunnerScope::Platform, "default"), Timestamp(0));
        let online = || presence.look(RunnerId(1), Timestamp(0), TTL, clock.now()).1;
        // The poll that waits is answered a moment later.
        let poll = presence.poll(&principal(), &clock);
        presence.signed_off(RunnerId(1));
        assert!(!online());
        drop(poll);
        assert!(!online());
        assert_eq!(presence.online(TTL, clock.now())["default"], 0);
        presence.seen(RunnerId(1), Timestamp(1));
        assert!(online());
        presence.signed_off(RunnerId(1));
        let _poll = presence.poll(&principal(), &clock);
        assert!(online());
    }

    #[test]
    fn only_news_are_written_down() {
        let presence = Presence::default();
        presence.registered(RunnerId(1), (RunnerScope::Platform, "default"), Timestamp(0));
        assert!(presence.take_unsaved(Timestamp(1)).is_empty());
        presence.seen(RunnerId(1), Timestamp(7));
        assert_eq!(presence.take_unsaved(Timestamp(8)), [(RunnerId(1), Timestamp(7))]);
        assert!(presence.take_unsaved(Timestamp(9)).is_empty());
    }
}
