//! How many uploads are under way. Each holds a file open, for as long as its sender likes, and the files of a process are bounded: those
//! that are left are for the database, for connections, and for everybody else.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// Most uploads at a time, however many files the process may open.
const MOST: usize = 128;
/// What part of the files are uploads at most, and of these what part one owner's.
const SHARE: u64 = 8;
const OWNERS_SHARE: usize = 2;

/// The uploads that are under way, by owner. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    taken: Mutex<HashMap<i64, usize>>,
}

/// One upload's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Places,
    owner: i64,
}

/// Too many uploads are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPlace {
    most: usize,
    owners: bool,
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.owners { "the team has" } else { "the server has" };
        write!(f, "{whose} {} uploads under way, as many as it may have at a time", self.most)
    }
}

impl Places {
    /// As many as the files of this process allow.
    pub(crate) fn of_process() -> Self {
        let share = getrlimit(Resource::RLIMIT_NOFILE)
            .map_or(MOST, |(soft, _)| usize::try_from(soft / SHARE).unwrap_or(MOST));
        Self::new(share.clamp(OWNERS_SHARE, MOST))
    }

    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, taken: Mutex::default() }))
    }

    /// A place for one more upload of this owner.
    pub(crate) fn take(&self, owner: i64) -> Result<Place, NoPlace> {
        let (most, mut taken) = (self.0.most, self.lock());
        if taken.values().sum::<usize>() >= most {
            return Err(NoPlace { most, owners: false });
        }
        let own = taken.entry(owner).or_default();
        if *own >= most / OWNERS_SHARE {
            return Err(NoPlace { most: most / OWNERS_SHARE, owners: true });
        }
        *own += 1;
        Ok(Place { of: self.clone(), owner })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.lock();
        if let Some(own) = taken.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_owner_takes_the_places_of_all() {
        let places = Places::new(4);
        let mut first = vec![places.take(1).unwrap(), places.take(1).unwrap()];
        let own = places.take(1).unwrap_err();
        assert_eq!(own.to_string(), "the team has 2 uploads under way, as many as it may have at a time");
        let _others = [places.take(2).unwrap(), places.take(3).unwrap()];
        let all = places.take(4).unwrap_err();
        assert_eq!(all.to_string(), "the server has 4 uploads under way, as many as it may have at a time");
        first.pop();
        drop(places.take(4).unwrap());
        assert!(places.take(1).is_ok());
        assert_eq!(places.lock().len(), 3, "who has none is forgotten");
    }
}
