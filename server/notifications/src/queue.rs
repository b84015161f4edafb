//! What is to be sent when, and what is under way: in memory, by notification. The deliveries themselves are in the database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minitower_vocabulary::ids::{DeliveryId, NotificationId, TeamId};
use minitower_vocabulary::time::Timestamp;

/// Deliveries of one notification that are sent at the same time.
const AT_ONCE: usize = 4;
/// Deliveries of one team that are sent at the same time.
const AT_ONCE_OF_A_TEAM: usize = 8;
/// Failures in a row after which a notification pauses.
const FAILURES: u32 = 3;
/// Longest pause of a notification whose receiver fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When each notification has something to send.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    moments: HashMap<NotificationId, Timestamp>,
    ordered: BTreeSet<(Timestamp, NotificationId)>,
    under_way: HashMap<NotificationId, HashSet<DeliveryId>>,
    of_teams: HashMap<TeamId, usize>,
    /// Notifications whose receivers fail: how often in a row, and until when they pause.
    failing: HashMap<NotificationId, (u32, Timestamp)>,
    /// Notifications of which something was sent since this was last asked.
    touched: HashSet<NotificationId>,
}

impl State {
    fn note(&mut self, id: NotificationId, at: Timestamp) {
        if let Some(known) = self.moments.get(&id).copied() {
            if known <= at {
                return;
            }
            self.ordered.remove(&(known, id));
        }
        self.moments.insert(id, at);
        self.ordered.insert((at, id));
    }

    fn forget(&mut self, id: NotificationId) {
        if let Some(at) = self.moments.remove(&id) {
            self.ordered.remove(&(at, id));
        }
    }
}

impl Queue {
    /// A notification has something to send at `at`. It waits for the end of a pause.
    pub(crate) fn note(&self, id: NotificationId, at: Timestamp) {
        let mut state = self.lock();
        let at = state.failing.get(&id).map_or(at, |(_, until)| at.max(*until));
        state.note(id, at);
    }

    /// Somebody asked for it: it does not wait for the end of a pause.
    pub(crate) fn asked_for(&self, id: NotificationId, at: Timestamp) {
        let mut state = self.lock();
        state.failing.remove(&id);
        state.note(id, at);
    }

    /// A notification is gone, or not in use any more.
    pub(crate) fn forget(&self, id: NotificationId) {
        let mut state = self.lock();
        state.forget(id);
        state.failing.remove(&id);
    }

    /// Those that have something to send now, the one that waits longest first: at most `most`. They have to be noted again.
    pub(crate) fn take_due(&self, now: Timestamp, most: usize) -> Vec<NotificationId> {
        let mut state = self.lock();
        let due: Vec<_> =
            state.ordered.iter().take_while(|(at, _)| *at <= now).take(most).map(|(_, id)| *id).collect();
        for id in &due {
            state.forget(*id);
        }
        due
    }

    /// When the next one has.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.lock().ordered.first().map(|(at, _)| *at)
    }

    /// Those of a notification's deliveries that are under way, and how many more may be.
    pub(crate) fn under_way(&self, id: NotificationId) -> (HashSet<DeliveryId>, usize) {
        let state = self.lock();
        let under_way = state.under_way.get(&id).cloned().unwrap_or_default();
        let most = if state.failing.contains_key(&id) { 1 } else { AT_ONCE };
        let free = most.saturating_sub(under_way.len());
        (under_way, free)
    }

    /// Begins a delivery; false: the team has too many under way.
    pub(crate) fn begin(&self, team: TeamId, id: NotificationId, delivery: DeliveryId) -> bool {
        let mut state = self.lock();
        let of_team = state.of_teams.entry(team).or_default();
        if *of_team >= AT_ONCE_OF_A_TEAM {
            return false;
        }
        *of_team += 1;
        state.under_way.entry(id).or_default().insert(delivery);
        state.touched.insert(id);
        true
    }

    /// A delivery has ended, well or not.
    pub(crate) fn end(
        &self,
        (team, id): (TeamId, NotificationId),
        delivery: DeliveryId,
        delivered: bool,
        now: Timestamp,
    ) {
        let mut state = self.lock();
        if let Some(n) = state.of_teams.get_mut(&team) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                state.of_teams.remove(&team);
            }
        }
        if let Some(under_way) = state.under_way.get_mut(&id) {
            under_way.remove(&delivery);
            if under_way.is_empty() {
                state.under_way.remove(&id);
            }
        }
        if delivered {
            state.failing.remove(&id);
            state.note(id, now);
            return;
        }
        let failures = state.failing.get(&id).map_or(1, |(failures, _)| failures.saturating_add(1));
        let pause = pause(failures);
        state.failing.insert(id, (failures, now.plus(pause)));
        state.note(id, now.plus(pause));
    }

    /// Notifications of which something was sent since this was last asked.
    pub(crate) fn take_touched(&self) -> HashSet<NotificationId> {
        std::mem::take(&mut self.lock().touched)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(failures: u32) -> Duration {
    let Some(exponent) = failures.checked_sub(FAILURES) else { return Duration::ZERO };
    2_u64
        .checked_pow(exponent)
        .map_or(LONGEST_PAUSE, |seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: TeamId = TeamId(1);
    const ONE: NotificationId = NotificationId(1);
    const TWO: NotificationId = NotificationId(2);

    #[test]
    fn the_earliest_moment_of_each_counts_and_is_taken_once() {
        let queue = Queue::default();
        queue.note(ONE, Timestamp(9));
        queue.note(ONE, Timestamp(5));
        queue.note(ONE, Timestamp(7));
        queue.note(TWO, Timestamp(4));
        assert_eq!(queue.next(), Some(Timestamp(4)));
        assert_eq!(queue.take_due(Timestamp(3), 9), []);
        assert_eq!(queue.take_due(Timestamp(5), 1), [TWO]);
        assert_eq!(queue.take_due(Timestamp(5), 9), [ONE]);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn what_is_under_way_is_bounded_by_notification_and_by_team() {
        let queue = Queue::default();
        for n in 0..4 {
            assert!(queue.begin(TEAM, ONE, DeliveryId(n)));
        }
        assert_eq!((queue.under_way(ONE).1, queue.under_way(TWO).1), (0, 4));
        for n in 4..8 {
            assert!(queue.begin(TEAM, TWO, DeliveryId(n)));
        }
        assert!(!queue.begin(TEAM, NotificationId(3), DeliveryId(8)));
        assert!(queue.begin(TeamId(2), NotificationId(4), DeliveryId(9)));
        queue.end((TEAM, ONE), DeliveryId(0), true, Timestamp(1));
        assert!(queue.begin(TEAM, NotificationId(3), DeliveryId(8)));
        assert_eq!(queue.take_due(Timestamp(1), 9), [ONE], "there may be more to send");
    }

    #[test]
    fn a_receiver_that_fails_again_and_again_is_left_alone_for_a_while() {
        let queue = Queue::default();
        let fail = |at: i64| {
            assert!(queue.begin(TEAM, ONE, DeliveryId(1)));
            queue.end((TEAM, ONE), DeliveryId(1), false, Timestamp(at));
            let next = queue.next().unwrap().0 - at;
            queue.take_due(Timestamp(i64::MAX), 9);
            next
        };
        assert_eq!([fail(0), fail(0), fail(0), fail(0), fail(0)], [0, 0, 1000, 2000, 4000]);
        for _ in 0..100 {
            assert!(fail(0) <= 60_000);
        }
        assert_eq!(queue.under_way(ONE).1, 1, "one at a time tries whether it is back");
        queue.note(ONE, Timestamp(1));
        assert_eq!(queue.next(), Some(Timestamp(60_000)));
        queue.asked_for(ONE, Timestamp(1));
        assert_eq!(queue.next(), Some(Timestamp(1)), "whoever asks does not wait");
        assert_eq!(queue.under_way(ONE).1, 4);
    }

    #[test]
    fn what_is_not_in_use_is_not_called() {
        let queue = Queue::default();
        queue.note(ONE, Timestamp(1));
        queue.forget(ONE);
        assert_eq!((queue.next(), queue.take_due(Timestamp(9), 9)), (None, Vec::new()));
    }
}
