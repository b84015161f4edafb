//! Failed logins, counted per team and per address over a minute.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use minitower_vocabulary::time::Timestamp;

use crate::Error;

const WINDOW: Duration = Duration::from_secs(60);
/// Failed logins a minute for one slug.
const PER_SLUG: u32 = 20;
/// Failed logins a minute from one address.
const PER_ADDRESS: u32 = 100;
/// Most slugs, and most addresses, remembered; beyond that the oldest windows are forgotten first.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    slugs: Mutex<Windows<String>>,
    addresses: Mutex<Windows<IpAddr>>,
}

impl Throttle {
    /// Refuses when either has failed too often lately.
    pub(crate) fn check(&self, slug: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Error> {
        let by_slug = lock(&self.slugs).wait(&slug.to_owned(), PER_SLUG, now);
        let by_address = address.and_then(|a| lock(&self.addresses).wait(&a, PER_ADDRESS, now));
        match by_slug.max(by_address) {
            Some(retry_after) => Err(Error::TooManyLogins { retry_after }),
            None => Ok(()),
        }
    }

    pub(crate) fn failed(&self, slug: &str, address: Option<IpAddr>, now: Timestamp) {
        lock(&self.slugs).add(slug.to_owned(), now);
        if let Some(address) = address {
            lock(&self.addresses).add(address, now);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fixed windows: begun by the first failure, gone a minute later.
#[derive(Debug)]
struct Windows<K>(HashMap<K, (Timestamp, u32)>);

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Windows<K> {
    fn wait(&self, key: &K, limit: u32, now: Timestamp) -> Option<Duration> {
        let (began, failures) = self.0.get(key)?;
        let left = WINDOW.checked_sub(now.since(*began)).filter(|d| !d.is_zero())?;
        (*failures >= limit).then(|| left.max(Duration::from_secs(1)))
    }

    fn add(&mut self, key: K, now: Timestamp) {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0.retain(|_, (began, _)| now.since(*began) < WINDOW);
            if self.0.len() >= REMEMBERED
                && let Some(oldest) =
                    self.0.iter().min_by_key(|(_, (began, _))| *began).map(|(k, _)| k.clone())
            {
                self.0.remove(&oldest);
            }
        }
        let window = self.0.entry(key).or_insert((now, 0));
        if now.since(window.0) >= WINDOW {
            *window = (now, 0);
        }
        window.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_refused_after_twenty_failures_and_free_again_a_minute_later() {
        let throttle = Throttle::default();
        for second in 0..20 {
            throttle.check("acme", None, Timestamp(second * 1000)).unwrap();
            throttle.failed("acme", None, Timestamp(second * 1000));
        }
        let refused = throttle.check("acme", None, Timestamp(20_000));
        assert!(
            matches!(refused, Err(Error::TooManyLogins { retry_after }) if retry_after == Duration::from_secs(40)),
            "{refused:?}"
        );
        throttle.check("other", None, Timestamp(20_000)).unwrap();
        throttle.check("acme", None, Timestamp(60_000)).unwrap();
    }

    #[test]
    fn an_address_is_refused_after_a_hundred_failures_over_any_slugs() {
        let throttle = Throttle::default();
        let address = Some(IpAddr::from([127, 0, 0, 1]));
        for n in 0..100 {
            throttle.check(&format!("team-{n}"), address, Timestamp(0)).unwrap();
            throttle.failed(&format!("team-{n}"), address, Timestamp(0));
        }
        assert!(throttle.check("fresh", address, Timestamp(1)).is_err());
        throttle.check("fresh", Some(IpAddr::from([127, 0, 0, 2])), Timestamp(1)).unwrap();
    }

    #[test]
    fn a_flood_of_names_does_not_fill_the_memory() {
        let mut windows = Windows::default();
        for n in 0..REMEMBERED + 500 {
            windows.add(n, Timestamp(0));
        }
        assert_eq!(windows.0.len(), REMEMBERED);
    }
}
