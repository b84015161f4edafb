//! What pools of runners mean for a run that waits for one of their runners.

use minitower_vocabulary::statuses::PoolState;

/// A pool, in its operator's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its namespace, a slash, its name.
    pub name: String,
    /// The environment whose runs its runners take.
    pub environment: String,
    /// The slug of the team whose runs they take; none: every team's.
    pub team: Option<String>,
    /// What its operator says of it.
    pub standing: Standing,
}

/// How a pool stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// In a word.
    pub state: PoolState,
    /// The fewest runners it has.
    pub min: u32,
    /// The most runners it has.
    pub max: u32,
    /// How many runners there should be.
    pub desired: u32,
    /// How many are online.
    pub ready: u32,
    /// The same for people.
    pub message: String,
}

impl Pool {
    /// Whether its runners take the runs of a team in an environment.
    pub fn serves(&self, team: Option<&str>, environment: &str) -> bool {
        self.environment == environment && (self.team.is_none() || self.team.as_deref() == team)
    }

    /// What it does for whoever waits, and the way out.
    pub fn told(&self) -> String {
        let Self { name, standing: Standing { state, max, desired, ready, message, .. }, .. } = self;
        let (namespace, pool) = name.split_once('/').unwrap_or(("default", name));
        match state {
            PoolState::Growing => {
                format!("the pool {name} is starting one ({ready} of {desired} are online): wait")
            }
            PoolState::Broken => format!(
                "the pool {name} cannot start any: {message}; see `kubectl -n {namespace} describe runnerpool {pool}`, or ask whoever \
                 runs the pool"
            ),
            PoolState::AtMaximum => format!(
                "the pool {name} is at its maximum of {max} ({message}): wait until a run is done, or have its maxRunners raised"
            ),
            PoolState::Paused => {
                format!(
                    "the pool {name} is paused, and starts none ({message}): have its spec.paused removed"
                )
            }
            PoolState::Ready => format!("the pool {name} has its runners: {message}"),
        }
    }
}

/// Of the pools that serve a run for which no runner is free, the one that decides when it starts. One that is starting a runner comes
/// first: nothing has to be done. One that is broken is more than it should be, and comes next.
pub fn deciding(pools: &[Pool]) -> Option<&Pool> {
    let order = [PoolState::Growing, PoolState::Broken, PoolState::AtMaximum, PoolState::Paused];
    order.iter().find_map(|state| pools.iter().find(|pool| pool.standing.state == *state))
}

#[cfg(test)]
#[path = "pools/tests.rs"]
pub(crate) mod tests;
