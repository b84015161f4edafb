//! Sign-ins that the person has made, and whose token nobody has fetched yet. Strangers put nothing here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

use crate::domain::people::{Memberships, Person};
use crate::secrets::TokenHash;

/// Most of them; beyond that the oldest is forgotten.
const MOST: usize = 10_000;
/// Most of one person.
const MOST_OF_ONE: usize = 16;

/// What waits for whoever shows the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The person has confirmed what a command line has begun.
    Granted {
        /// Who.
        person: Person,
        /// The slug of the team.
        team: String,
        /// What they are in it.
        role: Role,
    },
    /// The person has refused it.
    Denied {
        /// Who.
        person: Person,
    },
    /// The token was fetched: the same code yields no second one.
    Used {
        /// Who.
        person: Person,
    },
    /// The person signed in with a browser, which fetches the token.
    Returned {
        /// Who.
        person: Person,
        /// What they are where.
        memberships: Memberships,
        /// The hash of what the browser has kept.
        browser: TokenHash,
    },
}

impl Waiting {
    fn person(&self) -> &Person {
        match self {
            Self::Granted { person, .. }
            | Self::Denied { person }
            | Self::Used { person }
            | Self::Returned { person, .. } => person,
        }
    }
}

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
    number: u64,
    until: Timestamp,
}

#[derive(Debug, Default)]
struct Entries {
    by_code: HashMap<TokenHash, Entry>,
    next: u64,
}

/// All of them, by the hash of the code that fetches it.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<Entries>);

impl Room {
    /// Keeps something for whoever shows the code, for as long as `life`.
    pub(crate) fn put(&self, code: TokenHash, waiting: Waiting, now: Timestamp, life: Duration) {
        let mut entries = self.lock();
        entries.by_code.retain(|_, entry| entry.until > now);
        let (one, same) = (waiting.person(), |entry: &Entry, person: &Person| {
            let other = entry.waiting.person();
            (&other.issuer, &other.subject) == (&person.issuer, &person.subject)
        });
        let of_one = entries.by_code.values().filter(|entry| same(entry, one)).count();
        let oldest = |of: Option<&Person>| {
            let all = entries.by_code.iter().filter(|(_, entry)| of.is_none_or(|one| same(entry, one)));
            all.min_by_key(|(_, entry)| entry.number).map(|(code, _)| *code)
        };
        let gone = match (of_one >= MOST_OF_ONE, entries.by_code.len() >= MOST) {
            (true, _) => oldest(Some(one)),
            (false, true) => oldest(None),
            (false, false) => None,
        };
        if let Some(gone) = gone {
            entries.by_code.remove(&gone);
        }
        let (number, until) = (entries.next, now.plus(life));
        entries.next += 1;
        entries.by_code.insert(code, Entry { waiting, number, until });
    }

    /// Takes what waits for the code, if `fits` says yes: once. Whoever asks after that gets nothing.
    pub(crate) fn take<E>(
        &self,
        code: &TokenHash,
        now: Timestamp,
        fits: impl FnOnce(&Waiting) -> Result<(), E>,
    ) -> Result<Option<Waiting>, E> {
        let mut entries = self.lock();
        let Some(entry) = entries.by_code.get(code).filter(|entry| entry.until > now) else {
            return Ok(None);
        };
        fits(&entry.waiting)?;
        Ok(entries.by_code.remove(code).map(|entry| entry.waiting))
    }

    /// Whether the token that the code stands for was fetched.
    pub(crate) fn is_used(&self, code: &TokenHash, now: Timestamp) -> bool {
        let entries = self.lock();
        let entry = entries.by_code.get(code).filter(|entry| entry.until > now);
        entry.is_some_and(|entry| matches!(entry.waiting, Waiting::Used { .. }))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    fn of(subject: usize) -> Waiting {
        let person = Person { issuer: "i".to_owned(), subject: subject.to_string(), name: "Ada".to_owned() };
        Waiting::Denied { person }
    }

    fn code(n: usize) -> TokenHash {
        let mut code = [0; 32];
        code[..8].copy_from_slice(&n.to_le_bytes());
        code
    }

    fn take(room: &Room, n: usize, at: i64) -> Option<Waiting> {
        room.take(&code(n), Timestamp(at), |_| Ok::<_, Infallible>(())).unwrap()
    }

    #[test]
    fn it_is_taken_once_and_in_time() {
        let room = Room::default();
        room.put(code(1), of(1), Timestamp(0), LIFE);
        assert_eq!(room.take(&code(1), Timestamp(1), |_| Err("no")), Err("no"));
        assert_eq!(take(&room, 1, 9_999), Some(of(1)), "a refusal takes nothing");
        assert_eq!(take(&room, 1, 9_999), None);
        room.put(code(2), of(1), Timestamp(0), LIFE);
        assert_eq!(take(&room, 2, 10_000), None);
        assert_eq!(take(&room, 3, 0), None);
    }

    #[test]
    fn one_person_pushes_out_only_themselves() {
        let room = Room::default();
        room.put(code(0), of(7), Timestamp(0), LIFE);
        for n in 1..=MOST_OF_ONE + 1 {
            room.put(code(n), of(1), Timestamp(0), LIFE);
        }
        assert_eq!(take(&room, 1, 1), None, "the oldest of many is gone");
        assert!(take(&room, 2, 1).is_some() && take(&room, 0, 1).is_some());
    }

    #[test]
    fn the_memory_is_bounded() {
        let room = Room::default();
        for n in 0..MOST + 5 {
            room.put(code(n), of(n), Timestamp(0), LIFE);
        }
        assert_eq!(room.lock().by_code.len(), MOST);
        assert!(take(&room, 4, 1).is_none() && take(&room, 5, 1).is_some());
        room.put(code(0), of(0), Timestamp(20_000), LIFE);
        assert_eq!(room.lock().by_code.len(), 1, "what is over goes");
    }
}
