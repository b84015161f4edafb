//! What was read from the database and is asked for with every request, kept in memory until a commit may have changed it.

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// A bounded memory of reads. [`Remembered::forget`] is called by the commits' hook, so before the change is answered: from the answer on
/// nobody meets what was true before it.
///
/// A read that began before a change must not be remembered after it; so a read takes a [`Ticket`] first, and what it found is
/// remembered only if nothing was forgotten since.
#[derive(Debug)]
pub(crate) struct Remembered<K: Hash + Eq, V>(Mutex<State<K, V>>);

#[derive(Debug)]
struct State<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    most: usize,
    /// Counts the times that everything was forgotten.
    epoch: u64,
}

/// When a read began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// Keeps at most so many, those used last.
    pub(crate) fn new(most: usize) -> Self {
        // A bounded cache of the crate takes its memory beforehand; this one grows with its use.
        Self(Mutex::new(State { entries: LruCache::unbounded(), most, epoch: 0 }))
    }

    /// What is remembered, or else what the read finds, from then on remembered; an error is not. The read begins here, after its ticket was
    /// taken, as a future does that nobody has polled.
    pub(crate) async fn or_read<E>(&self, key: K, read: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let ticket = match self.get(&key) {
            Ok(value) => return Ok(value),
            Err(ticket) => ticket,
        };
        let value = read.await?;
        self.put(ticket, key, value.clone());
        Ok(value)
    }

    /// What is remembered, or the ticket for a read.
    pub(crate) fn get(&self, key: &K) -> Result<V, Ticket> {
        let mut state = self.lock();
        match state.entries.get(key) {
            Some(value) => Ok(value.clone()),
            None => Err(Ticket(state.epoch)),
        }
    }

    /// Remembers what a read found, unless it may be outdated.
    pub(crate) fn put(&self, ticket: Ticket, key: K, value: V) {
        let mut state = self.lock();
        if state.epoch == ticket.0 {
            state.entries.put(key, value);
            if state.entries.len() > state.most {
                state.entries.pop_lru();
            }
        }
    }

    /// Forgets everything, and what reads on their way will find. Changes are rare beside the reads; forgetting one entry only would need to know
    /// under which keys it is remembered.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let remembered = Remembered::new(2);
        let Err(before) = remembered.get(&1) else { panic!("nothing is remembered yet") };
        remembered.forget();
        remembered.put(before, 1, "old");
        let Err(after) = remembered.get(&1) else { panic!("the old value came back") };
        remembered.put(after, 1, "new");
        assert_eq!(remembered.get(&1).ok(), Some("new"));
    }

    #[test]
    fn it_is_bounded_and_forgets_what_was_not_used_for_longest() {
        let remembered = Remembered::new(2);
        for key in 0..2 {
            let Err(ticket) = remembered.get(&key) else { panic!("{key} is known") };
            remembered.put(ticket, key, key);
        }
        assert!(remembered.get(&0).is_ok());
        let Err(ticket) = remembered.get(&2) else { panic!("2 is known") };
        remembered.put(ticket, 2, 2);
        let known: Vec<bool> = (0..3).map(|key| remembered.get(&key).is_ok()).collect();
        assert_eq!(known, [true, false, true]);
    }
}
