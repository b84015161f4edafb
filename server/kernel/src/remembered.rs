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
pub struct Remembered<K: Hash + Eq, V>(Mutex<State<K, V>>);

#[derive(Debug)]
struct State<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    most: usize,
    /// Counts the times that something was forgotten.
    epoch: u64,
}

/// When a read began.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl<K: Hash + Eq + Clone, V: Clone> Remembered<K, V> {
    /// Keeps at most so many, those used last.
    pub fn new(most: usize) -> Self {
        // A bounded cache of the crate takes its memory beforehand; this one grows with its use.
        Self(Mutex::new(State { entries: LruCache::unbounded(), most, epoch: 0 }))
    }

    /// What is remembered, or else what the read finds, from then on remembered; an error is not. The read begins here, after its ticket was
    /// taken, as a future does that nobody has polled.
    pub async fn or_read<E>(&self, key: K, read: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let ticket = match self.get(&key) {
            Ok(value) => return Ok(value),
            Err(ticket) => ticket,
        };
        let value = read.await?;
        self.put(ticket, key, value.clone());
        Ok(value)
    }

    /// What is remembered, or the ticket for a read.
    pub fn get(&self, key: &K) -> Result<V, Ticket> {
        let mut state = self.lock();
        match state.entries.get(key) {
            Some(value) => Ok(value.clone()),
            None => Err(Ticket(state.epoch)),
        }
    }

    /// Remembers what a read found, unless it may be outdated.
    pub fn put(&self, ticket: Ticket, key: K, value: V) {
        let mut state = self.lock();
        if state.epoch == ticket.0 {
            state.entries.put(key, value);
            if state.entries.len() > state.most {
                state.entries.pop_lru();
            }
        }
    }

    /// Forgets what is remembered under a key, and what reads on their way will find.
    pub fn forget(&self, key: &K) {
        let mut state = self.lock();
        state.epoch += 1;
        state.entries.pop(key);
    }

    /// Forgets what `outdated` names, and what reads on their way will find. It looks at every entry.
    pub fn forget_if(&self, outdated: impl Fn(&K, &V) -> bool) {
        let mut state = self.lock();
        state.epoch += 1;
        let keys: Vec<K> = state
            .entries
            .iter()
            .filter(|(key, value)| outdated(key, value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            state.entries.pop(&key);
        }
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
        remembered.forget(&1);
        remembered.put(before, 1, "old");
        let Err(after) = remembered.get(&1) else { panic!("the old value came back") };
        remembered.put(after, 1, "new");
        assert_eq!(remembered.get(&1).ok(), Some("new"));
    }

    #[test]
    fn a_change_is_forgotten_by_its_key_and_leaves_the_rest() {
        let remembered = Remembered::new(4);
        for key in 0..3 {
            let Err(ticket) = remembered.get(&key) else { panic!("{key} is known") };
            remembered.put(ticket, key, key * 10);
        }
        remembered.forget(&0);
        remembered.forget_if(|_, value| *value == 20);
        let known: Vec<bool> = (0..3).map(|key| remembered.get(&key).is_ok()).collect();
        assert_eq!(known, [false, true, false]);
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
