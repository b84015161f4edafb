//! Pools as their operator reports them: in memory alone. Whoever reports does so again and again, and a server that has just started hears
//! of all of them within seconds.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minitower_teams::Teams;
use minitower_vocabulary::names::{self, DEFAULT_ENVIRONMENT};
use minitower_vocabulary::time::Timestamp;

use crate::domain::pools::{Pool, Standing};
use crate::{Error, Field, Runners};

/// How long a pool is remembered after it was last reported: several reports may be lost.
const REMEMBERED: Duration = Duration::from_secs(90);
/// The most pools that are remembered. With one more, the one that was reported the longest time ago is forgotten.
const MOST: usize = 1_000;
/// Most bytes of what an operator says of a pool.
const MAX_MESSAGE: usize = 2_000;

/// What is remembered of pools, by name.
#[derive(Debug, Default)]
pub(crate) struct Pools(Mutex<BTreeMap<String, (Timestamp, Pool)>>);

impl Pools {
    fn reported(&self, pool: Pool, now: Timestamp) {
        let mut known = self.fresh(now);
        known.insert(pool.name.clone(), (now, pool));
        if known.len() > MOST {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at).map(|(name, _)| name.clone());
            oldest.map(|name| known.remove(&name));
        }
    }

    fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Those that serve a team's runs in an environment.
    pub(crate) fn serving(&self, team: Option<&str>, environment: &str, now: Timestamp) -> Vec<Pool> {
        let known = self.fresh(now);
        known.values().map(|(_, pool)| pool).filter(|pool| pool.serves(team, environment)).cloned().collect()
    }

    /// What is known, without what was reported too long ago.
    fn fresh(&self, now: Timestamp) -> MutexGuard<'_, BTreeMap<String, (Timestamp, Pool)>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| now.since(*at) < REMEMBERED);
        known
    }
}

/// What an operator says of a pool.
#[derive(Debug, Clone)]
pub struct ReportPool {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The environment whose runs its runners take; none: `default`.
    pub environment: Option<String>,
    /// The slug of the team whose runs they take; none: every team's.
    pub team: Option<String>,
    /// How it stands.
    pub standing: Standing,
}

impl Runners {
    /// Remembers how a pool stands.
    pub fn report_pool(&self, report: ReportPool) -> Result<(), Error> {
        let ReportPool { namespace, name, environment, team, standing } = report;
        let name = Teams::pool_name(&namespace, &name)?.to_string();
        let environment =
            environment.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        names::check_environment(&environment)?;
        if let Some(team) = &team {
            self.0.teams.must_know(team)?;
        }
        names::check_line(&standing.message, MAX_MESSAGE)
            .map_err(|problem| Error::field("message", Field::Text(problem)))?;
        self.0.memory.pools.reported(Pool { name, environment, team, standing }, self.0.clock.now());
        Ok(())
    }

    /// Forgets a pool. One that is not known is as good.
    pub fn forget_pool(&self, namespace: &str, name: &str) -> Result<(), Error> {
        self.0.memory.pools.forget(Teams::pool_name(namespace, name)?.as_str());
        Ok(())
    }

    /// All pools that were reported lately, with the time of the report, by name.
    pub fn pools(&self) -> Vec<(Timestamp, Pool)> {
        self.0.memory.pools.fresh(self.0.clock.now()).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use minitower_vocabulary::statuses::PoolState;

    use super::*;
    use crate::domain::pools::tests::pool;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1000)
    }

    fn known(pools: &Pools, now: Timestamp) -> usize {
        pools.serving(None, "gpu", now).len()
    }

    #[test]
    fn a_pool_is_remembered_for_ninety_seconds_after_its_last_report() {
        let pools = Pools::default();
        pools.reported(pool("p", PoolState::Ready), at(0));
        pools.reported(pool("p", PoolState::Broken), at(60));
        assert_eq!(pools.serving(None, "gpu", at(149)), [pool("p", PoolState::Broken)]);
        assert_eq!(known(&pools, at(150)), 0);
    }

    #[test]
    fn a_pool_that_is_no_more_is_forgotten_at_once() {
        let pools = Pools::default();
        pools.reported(pool("p", PoolState::Ready), at(0));
        pools.forget("tower/q");
        assert_eq!(known(&pools, at(0)), 1);
        pools.forget("tower/p");
        assert_eq!(known(&pools, at(0)), 0);
    }

    #[test]
    fn however_many_are_reported_only_the_last_thousand_are_remembered() {
        let pools = Pools::default();
        let many = i64::try_from(MOST).unwrap();
        for n in 0..=many {
            pools.reported(pool(&format!("p{n}"), PoolState::Ready), Timestamp(1_000_000 + n));
        }
        assert_eq!(known(&pools, at(1)), MOST);
        let names: Vec<_> = pools.serving(None, "gpu", at(1)).into_iter().map(|pool| pool.name).collect();
        assert!(!names.contains(&"tower/p0".to_owned()) && names.contains(&format!("tower/p{many}")));
    }
}
