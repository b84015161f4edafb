//! How many requests are under way, in total and to one host: a host that does not answer takes no more than its share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests at the same time.
const MOST: usize = 64;
/// Requests to one host at the same time.
const MOST_OF_A_HOST: usize = 8;

/// The places that there are. A cheap clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<String, usize>>>);

/// The right to send one request to a host. Given back when dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct Place {
    places: Places,
    host: String,
}

impl Places {
    pub(super) fn take(&self, host: &str) -> Option<Place> {
        let mut taken = self.lock();
        let of_host = taken.get(host).copied().unwrap_or(0);
        if of_host >= MOST_OF_A_HOST || taken.values().sum::<usize>() >= MOST {
            return None;
        }
        taken.insert(host.to_owned(), of_host + 1);
        Some(Place { places: self.clone(), host: host.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(n) = taken.get_mut(&self.host) {
            *n -= 1;
            if *n == 0 {
                taken.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_leaves_places_to_the_others_and_gives_its_own_back() {
        let places = Places::default();
        let held: Vec<Place> = std::iter::from_fn(|| places.take("dead")).take(1000).collect();
        assert_eq!(held.len(), MOST_OF_A_HOST);
        drop(places.take("other").expect("another host"));
        drop(held);
        assert!(places.take("dead").is_some());
        assert!(places.lock().is_empty(), "nothing is kept of those that ended");
    }

    #[test]
    fn there_are_no_more_places_than_all_in_all() {
        let places = Places::default();
        let held: Vec<Place> = (0..1000).filter_map(|n| places.take(&format!("host-{n}"))).collect();
        assert_eq!(held.len(), MOST);
    }
}
