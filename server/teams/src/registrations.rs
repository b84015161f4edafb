//! How fast runners register with one token. Each makes rows that every listing of runners shows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use minitower_vocabulary::time::Timestamp;

use crate::auth::{RegistrationPrincipal, Shown};
use crate::domain::limits::Rate;
use crate::{Error, Teams};

/// Tokens whose rates are remembered before those that are at rest are forgotten.
const RATES: usize = 10_000;

/// How often runners may register with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    per_second: u64,
    /// How many may come at once.
    burst: u64,
}

impl Pace {
    const fn of(shown: Shown) -> Self {
        match shown {
            Shown::Team(_) => Self { per_second: 20, burst: 100 },
            // All runners of a pool may start at once, and the platform's token serves every pool.
            Shown::Pool(_) | Shown::Platform => Self { per_second: 200, burst: 10_000 },
        }
    }
}

/// The rates of the tokens that were shown lately.
#[derive(Debug, Default)]
pub(crate) struct Registrations(Mutex<HashMap<Shown, Rate>>);

impl Registrations {
    fn admit(&self, shown: Shown, now: Timestamp) -> Result<(), Error> {
        let Pace { per_second, burst } = Pace::of(shown);
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATES && !rates.contains_key(&shown) {
            rates.retain(|_, rate| !rate.is_at_rest(now));
        }
        let taken = rates.entry(shown).or_default().take_of(per_second, burst, now);
        taken.map_err(|retry_after| Error::TooManyRegistrations { retry_after })
    }
}

impl Teams {
    /// Counts a registration with this token; refuses it when too many come in a row.
    pub fn admit_registration(&self, by: RegistrationPrincipal) -> Result<(), Error> {
        self.0.registrations.admit(by.shown, self.0.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use minitower_vocabulary::ids::{PoolTokenId, RegistrationTokenId};

    use super::*;

    #[test]
    fn a_teams_token_registers_a_hundred_at_once_and_twenty_a_second_after() {
        let (registrations, team) = (Registrations::default(), Shown::Team(RegistrationTokenId(1)));
        for _ in 0..100 {
            registrations.admit(team, Timestamp(0)).unwrap();
        }
        let refused = registrations.admit(team, Timestamp(0));
        assert!(
            matches!(refused, Err(Error::TooManyRegistrations { retry_after }) if retry_after == Duration::from_millis(50)),
            "{refused:?}"
        );
        registrations.admit(Shown::Team(RegistrationTokenId(2)), Timestamp(0)).expect("another token");
        let within = (0..200).filter(|_| registrations.admit(team, Timestamp(1000)).is_ok()).count();
        assert_eq!(within, 20);
    }

    #[test]
    fn the_pods_of_a_large_pool_register_at_once() {
        let registrations = Registrations::default();
        for shown in [Shown::Pool(PoolTokenId(1)), Shown::Platform] {
            let within = (0..20_000).filter(|_| registrations.admit(shown, Timestamp(0)).is_ok()).count();
            assert_eq!(within, 10_000, "{shown:?}");
        }
    }
}
