//! Runners and the fences that keep work from them.

use std::collections::BTreeMap;
use std::time::Duration;

use minitower_vocabulary::ids::{RunId, RunnerId, TeamId};
use minitower_vocabulary::time::Timestamp;

/// Whom a runner serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunnerScope {
    /// Its environment name across all teams: registered with the platform's token.
    Platform,
    /// One team: registered with that team's token.
    Team(TeamId),
}

impl RunnerScope {
    /// Whether a runner of this scope serves that team's runs.
    pub fn serves(self, team: TeamId) -> bool {
        match self {
            Self::Platform => true,
            Self::Team(own) => own == team,
        }
    }
}

/// Who a runner token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerPrincipal {
    /// Hash of the token that was shown.
    pub token_hash: [u8; 32],
    /// The runner.
    pub runner_id: RunnerId,
    /// Its name.
    pub name: String,
    /// Whom it serves.
    pub scope: RunnerScope,
    /// Which environment's runs it serves.
    pub environment: String,
}

/// A runner as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// Its name, unique on the platform.
    pub name: String,
    /// Whom it serves.
    pub scope: RunnerScope,
    /// Which environment's runs it serves.
    pub environment: String,
    /// The pool it belongs to.
    pub pool: Option<String>,
    /// What it said of its machine when it registered.
    pub labels: BTreeMap<String, String>,
    /// The process of its newest lease or poll.
    pub instance_id: Option<String>,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// Since when it holds no run; none while it holds one.
    pub idle_since: Option<Timestamp>,
    /// The run it holds.
    pub run_id: Option<RunId>,
    /// Since when it holds that run.
    pub attempt_started_at: Option<Timestamp>,
    /// Whether any fence keeps work from it.
    pub draining: bool,
}

/// Who holds a fence. A team cannot lift the operator's fence by naming its owner, nor the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FenceHolder {
    /// Somebody with the operator token.
    Operator,
    /// Somebody with an admin token of that team.
    Team(TeamId),
}

/// A runner that was not heard of for this many lease lengths is offline.
pub const OFFLINE_AFTER_LEASES: u32 = 3;

/// Whether a runner last heard of at `last_seen` counts as online.
pub fn is_online(last_seen: Timestamp, lease_ttl: Duration, now: Timestamp) -> bool {
    now.since(last_seen) < lease_ttl * OFFLINE_AFTER_LEASES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_offline_after_three_lease_lengths_of_silence() {
        let ttl = Duration::from_secs(60);
        assert!(is_online(Timestamp(0), ttl, Timestamp(179_999)));
        assert!(!is_online(Timestamp(0), ttl, Timestamp(180_000)));
        assert!(is_online(Timestamp(5), ttl, Timestamp(0)), "a clock behind the last sight is no silence");
    }

    #[test]
    fn a_team_runner_serves_its_team_only() {
        assert!(RunnerScope::Platform.serves(TeamId(7)));
        assert!(RunnerScope::Team(TeamId(7)).serves(TeamId(7)));
        assert!(!RunnerScope::Team(TeamId(7)).serves(TeamId(8)));
    }
}
