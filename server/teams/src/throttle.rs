//! Failed logins, counted over a minute, and sign-ups.
//!
//! They are counted per team and address together, and per address. Guessing a team's password from one address keeps nobody out who comes from
//! another. And an address from which much has failed can still be one that many share: there each team may be tried once more, so that
//! whoever knows the password is let in.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minitower_vocabulary::time::Timestamp;

use crate::Error;
use crate::oidc::SignInError;

const WINDOW: Duration = Duration::from_secs(60);
/// Failed logins a minute for one slug from one address.
const PER_SLUG: u32 = 20;
/// Failed logins a minute from one address, after which each slug has one.
const PER_ADDRESS: u32 = 100;
/// Sign-ups a minute from one address.
const SIGNUPS: u32 = 20;
/// Sign-ins through the identity provider a minute from one address, behind which a whole office may be.
const SIGN_INS: u32 = 120;
/// How often a minute somebody asks with one device code: twice as often as it was told.
const POLLS: u32 = 60;
/// Most pairs, and most addresses, remembered; beyond that the oldest windows are forgotten first.
const REMEMBERED: usize = 10_000;

/// What counts as one address: with IPv6 a network of 64 bits, which is what one subscriber has at least. None: the caller came over no network.
pub(crate) type Origin = Option<IpAddr>;

/// The origin of a caller.
pub(crate) fn origin(address: Option<IpAddr>) -> Origin {
    Some(match address?.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// A slug is whatever a stranger sends: only its hash is kept.
    hasher: RandomState,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    pairs: Windows<u64>,
    origins: Windows<Origin>,
    signups: Windows<Origin>,
    sign_ins: Windows<Origin>,
    polls: Windows<u64>,
}

impl Throttle {
    /// Refuses a login when too many have failed lately.
    pub(crate) fn check(&self, slug: &str, origin: Origin, now: Timestamp) -> Result<(), Error> {
        self.lock().check(self.pair(slug, origin), origin, now)
    }

    /// The same, and counts the login as failed until it is [forgiven](Self::forgive).
    pub(crate) fn admit(&self, slug: &str, origin: Origin, now: Timestamp) -> Result<(), Error> {
        let pair = self.pair(slug, origin);
        let mut counts = self.lock();
        counts.check(pair, origin, now)?;
        counts.pairs.add(pair, now);
        counts.origins.add(origin, now);
        Ok(())
    }

    /// The login that was admitted did not fail: nor will the next one of the same caller.
    pub(crate) fn forgive(&self, slug: &str, origin: Origin) {
        let mut counts = self.lock();
        counts.pairs.0.remove(&self.pair(slug, origin));
        if let Some((_, failures)) = counts.origins.0.get_mut(&origin) {
            *failures = failures.saturating_sub(1);
        }
    }

    /// Counts a sign-up, or refuses it.
    pub(crate) fn admit_signup(&self, origin: Origin, now: Timestamp) -> Result<(), Error> {
        let mut counts = self.lock();
        let (made, left) = counts.signups.look(&origin, now);
        if made >= SIGNUPS {
            return Err(Error::TooManySignups { retry_after: left });
        }
        counts.signups.add(origin, now);
        Ok(())
    }

    /// Counts a browser that comes back from the identity provider, or refuses it.
    pub(crate) fn admit_sign_in(&self, origin: Origin, now: Timestamp) -> Result<(), SignInError> {
        self.lock().sign_ins.admit(origin, SIGN_INS, now)
    }

    /// Counts a question about a device code, or refuses it.
    pub(crate) fn admit_poll(&self, device: &str, now: Timestamp) -> Result<(), SignInError> {
        let device = self.hasher.hash_one(device);
        self.lock().polls.admit(device, POLLS, now)
    }

    fn pair(&self, slug: &str, origin: Origin) -> u64 {
        self.hasher.hash_one((slug, origin))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn check(&self, pair: u64, origin: Origin, now: Timestamp) -> Result<(), Error> {
        let (of_pair, pair_left) = self.pairs.look(&pair, now);
        let (of_origin, origin_left) = self.origins.look(&origin, now);
        if of_pair >= PER_SLUG {
            return Err(Error::TooManyLogins { retry_after: pair_left });
        }
        if of_origin >= PER_ADDRESS && of_pair > 0 {
            return Err(Error::TooManyLogins { retry_after: origin_left.min(pair_left) });
        }
        Ok(())
    }
}

/// Fixed windows: begun by the first count, gone a minute later.
#[derive(Debug)]
struct Windows<K>(HashMap<K, (Timestamp, u32)>);

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Windows<K> {
    /// How often it was counted in its window, and when that ends.
    fn look(&self, key: &K, now: Timestamp) -> (u32, Duration) {
        let Some((began, counted)) = self.0.get(key) else { return (0, Duration::ZERO) };
        match WINDOW.checked_sub(now.since(*began)).filter(|left| !left.is_zero()) {
            Some(left) => (*counted, left.max(Duration::from_secs(1))),
            None => (0, Duration::ZERO),
        }
    }

    /// Counts one more, unless there were as many already.
    fn admit(&mut self, key: K, most: u32, now: Timestamp) -> Result<(), SignInError> {
        let (counted, retry_after) = self.look(&key, now);
        if counted >= most {
            return Err(SignInError::TooMany { retry_after });
        }
        self.add(key, now);
        Ok(())
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

    fn from(last: u8) -> Origin {
        origin(Some(IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn a_slug_is_refused_after_twenty_failures_from_one_address_and_free_again_a_minute_later() {
        let throttle = Throttle::default();
        for second in 0..20 {
            throttle.admit("acme", from(1), Timestamp(second * 1000)).unwrap();
        }
        let refused = throttle.check("acme", from(1), Timestamp(20_000));
        assert!(
            matches!(refused, Err(Error::TooManyLogins { retry_after }) if retry_after == Duration::from_secs(40)),
            "{refused:?}"
        );
        throttle.check("other", from(1), Timestamp(20_000)).unwrap();
        throttle.check("acme", from(2), Timestamp(20_000)).expect("guessing locks the rightful out");
        throttle.check("acme", from(1), Timestamp(60_000)).unwrap();
    }

    #[test]
    fn after_a_hundred_failures_over_any_slugs_an_address_has_one_try_for_each() {
        let throttle = Throttle::default();
        for n in 0..100 {
            throttle.admit(&format!("team-{n}"), from(1), Timestamp(0)).unwrap();
        }
        assert!(throttle.check("team-7", from(1), Timestamp(1)).is_err());
        throttle.admit("fresh", from(1), Timestamp(1)).expect("a neighbour is locked out");
        assert!(throttle.check("fresh", from(1), Timestamp(2)).is_err(), "that was one");
        throttle.check("team-7", from(2), Timestamp(2)).unwrap();
        throttle.check("team-7", from(1), Timestamp(60_001)).unwrap();
    }

    #[test]
    fn a_login_that_did_not_fail_counts_for_nothing() {
        let throttle = Throttle::default();
        for n in 0..300 {
            throttle.admit("acme", from(1), Timestamp(n)).unwrap();
            throttle.forgive("acme", from(1));
        }
        assert_eq!(throttle.lock().origins.look(&from(1), Timestamp(300)).0, 0);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |last: u16| origin(Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last])));
        assert_eq!(of(1), of(2));
        assert_ne!(of(1), origin(Some(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]))));
    }

    #[test]
    fn sign_ups_are_counted_per_address() {
        let throttle = Throttle::default();
        for _ in 0..SIGNUPS {
            throttle.admit_signup(from(1), Timestamp(0)).unwrap();
        }
        assert!(matches!(throttle.admit_signup(from(1), Timestamp(1)), Err(Error::TooManySignups { .. })));
        throttle.admit_signup(from(2), Timestamp(1)).unwrap();
        throttle.admit_signup(from(1), Timestamp(60_000)).unwrap();
    }

    #[test]
    fn whoever_asks_too_often_with_one_code_waits_and_nobody_else_does() {
        let throttle = Throttle::default();
        for _ in 0..POLLS {
            throttle.admit_poll("a", Timestamp(0)).unwrap();
        }
        assert!(matches!(throttle.admit_poll("a", Timestamp(1)), Err(SignInError::TooMany { .. })));
        throttle.admit_poll("b", Timestamp(1)).unwrap();
        throttle.admit_poll("a", Timestamp(60_000)).unwrap();
        for _ in 0..SIGN_INS {
            throttle.admit_sign_in(from(1), Timestamp(0)).unwrap();
        }
        assert!(throttle.admit_sign_in(from(1), Timestamp(1)).is_err());
        throttle.admit_sign_in(from(2), Timestamp(1)).unwrap();
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
