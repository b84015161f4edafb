//! The commands that wait for the writer, in two classes.
//!
//! Lease traffic goes first, and the rest has its share all the same. Each class has places of its own: however many creations wait,
//! there is a place for a heartbeat.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Most commands of a class that wait; further ones wait for a place up to [`WAIT_FOR_PLACE`].
const PLACES: usize = 4096;
const WAIT_FOR_PLACE: Duration = Duration::from_secs(5);
/// Of so many commands one is of the rest, however many of the lease traffic wait.
const REST_IS_ONE_IN: usize = 8;

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Polls, cancellations and the calls under a lease: a runner whose heartbeat is late loses its run.
    Lease,
    /// Everything else.
    Rest,
}

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No place became free in time.
    Full,
    /// Nothing is taken any more.
    Closed,
}

/// What the thread does after a look at the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look<T> {
    /// It goes on, with this.
    GoOn(T),
    /// It sleeps until a command comes or the bell is rung.
    Sleep,
    /// The same, but at most until this moment.
    SleepUntil(Instant),
}

/// The queue between those who send commands and the one thread that takes them.
pub(crate) struct Waiting<J> {
    state: Mutex<State<J>>,
    bell: Condvar,
    lease_places: Semaphore,
    rest_places: Semaphore,
}

struct State<J> {
    lease: VecDeque<J>,
    rest: VecDeque<J>,
    /// Commands of the lease traffic that were taken since the last one of the rest.
    since_rest: usize,
    /// Whether the thread has to be woken.
    asleep: bool,
    closed: bool,
}

impl<J> State<J> {
    fn len(&self) -> usize {
        self.lease.len() + self.rest.len()
    }
}

impl<J> fmt::Debug for Waiting<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Waiting").field("lease", &state.lease.len()).field("rest", &state.rest.len()).finish()
    }
}

impl<J> Waiting<J> {
    pub(crate) fn new() -> Self {
        let (lease, rest) = (VecDeque::new(), VecDeque::new());
        Self {
            state: Mutex::new(State { lease, rest, since_rest: 0, asleep: false, closed: false }),
            bell: Condvar::new(),
            lease_places: Semaphore::new(PLACES),
            rest_places: Semaphore::new(PLACES),
        }
    }

    /// Puts a command behind those of its class, and waits for a place when there is none.
    pub(crate) async fn push(&self, class: Class, job: J) -> Result<(), Refused> {
        let place = tokio::time::timeout(WAIT_FOR_PLACE, self.places(class).acquire());
        // It is given back when the command is taken.
        place.await.map_err(|_| Refused::Full)?.map_err(|_| Refused::Closed)?.forget();
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        match class {
            Class::Lease => state.lease.push_back(job),
            Class::Rest => state.rest.push_back(job),
        }
        if state.asleep {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Takes the next command: lease traffic first, except for the share of the rest. Without `rest` only lease traffic.
    pub(crate) fn take(&self, rest: bool) -> Option<J> {
        let mut state = self.lock();
        let owed = state.lease.is_empty() || state.since_rest + 1 >= REST_IS_ONE_IN;
        if rest
            && owed
            && let Some(job) = state.rest.pop_front()
        {
            state.since_rest = 0;
            self.rest_places.add_permits(1);
            return Some(job);
        }
        let job = state.lease.pop_front()?;
        state.since_rest = state.since_rest.saturating_add(1);
        self.lease_places.add_permits(1);
        Some(job)
    }

    /// How many commands wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Blocks the thread until `look` lets it go on. `look` learns how many commands wait and whether the queue is closed; it is asked
    /// at once, and again at each command and each ring of the bell.
    pub(crate) fn block<T>(&self, mut look: impl FnMut(usize, bool) -> Look<T>) -> T {
        let mut state = self.lock();
        loop {
            let until = match look(state.len(), state.closed) {
                Look::GoOn(value) => return value,
                Look::Sleep => None,
                Look::SleepUntil(until) => Some(until),
            };
            state.asleep = true;
            state = match until {
                None => self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.asleep = false;
        }
    }

    /// Lets the thread look again.
    pub(crate) fn ring(&self) {
        // Under the lock, so that it does not fall between a look and the sleep that follows.
        let _state = self.lock();
        self.bell.notify_one();
    }

    /// Refuses all further commands; those that wait are still taken.
    pub(crate) fn close(&self) {
        self.lease_places.close();
        self.rest_places.close();
        self.lock().closed = true;
        self.bell.notify_one();
    }

    /// Refuses all further commands, and drops those that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut state = self.lock();
        let dropped = (std::mem::take(&mut state.lease), std::mem::take(&mut state.rest));
        drop(state);
        // Not under the lock: a command that is dropped wakes its caller.
        drop(dropped);
    }

    fn places(&self, class: Class) -> &Semaphore {
        match class {
            Class::Lease => &self.lease_places,
            Class::Rest => &self.rest_places,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn filled(lease: usize, rest: usize) -> Waiting<(Class, usize)> {
        let waiting = Waiting::new();
        for n in 0..rest {
            waiting.push(Class::Rest, (Class::Rest, n)).await.unwrap();
        }
        for n in 0..lease {
            waiting.push(Class::Lease, (Class::Lease, n)).await.unwrap();
        }
        waiting
    }

    #[tokio::test]
    async fn lease_traffic_goes_first_and_each_class_keeps_its_order() {
        let waiting = filled(3, 2).await;
        let taken: Vec<_> = std::iter::from_fn(|| waiting.take(true)).collect();
        let (lease, rest) = (Class::Lease, Class::Rest);
        assert_eq!(taken, [(lease, 0), (lease, 1), (lease, 2), (rest, 0), (rest, 1)]);
    }

    #[tokio::test]
    async fn the_rest_has_one_in_eight_while_lease_traffic_never_ends() {
        let waiting = filled(100, 10).await;
        let taken: Vec<_> = (0..80).filter_map(|_| waiting.take(true)).collect();
        for (n, eight) in taken.chunks(REST_IS_ONE_IN).enumerate() {
            let rest: Vec<_> = eight.iter().filter(|(class, _)| *class == Class::Rest).collect();
            assert_eq!(rest, [&(Class::Rest, n)], "{taken:?}");
        }
    }

    #[tokio::test]
    async fn without_the_rest_only_lease_traffic_is_taken() {
        let waiting = filled(1, 1).await;
        assert_eq!(waiting.take(false), Some((Class::Lease, 0)));
        assert_eq!(waiting.take(false), None);
        assert_eq!(waiting.len(), 1);
    }

    #[tokio::test]
    async fn ten_thousand_of_the_rest_leave_a_place_for_lease_traffic() {
        let waiting = Arc::new(Waiting::new());
        let mut pushes = Vec::new();
        for n in 0..10_000 {
            let waiting = Arc::clone(&waiting);
            pushes.push(tokio::spawn(async move { waiting.push(Class::Rest, n).await }));
        }
        while waiting.len() < PLACES {
            tokio::task::yield_now().await;
        }
        waiting.push(Class::Lease, usize::MAX).await.unwrap();
        assert_eq!(waiting.take(true), Some(usize::MAX));
        // Those without a place get one as others are taken.
        let mut taken = 0;
        while taken < 10_000 {
            match waiting.take(true) {
                Some(_) => taken += 1,
                None => tokio::task::yield_now().await,
            }
        }
        for push in pushes {
            push.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_and_gives_what_it_has() {
        let waiting = filled(1, 1).await;
        waiting.close();
        assert_eq!(waiting.push(Class::Lease, (Class::Lease, 9)).await, Err(Refused::Closed));
        assert_eq!(std::iter::from_fn(|| waiting.take(true)).count(), 2);
    }
}
