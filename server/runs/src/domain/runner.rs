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

/// Whose a runner is, by the token that it registers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whom it serves.
    pub scope: RunnerScope,
    /// The pool that it names.
    pub pool: Option<String>,
    /// The token is bound to that pool, so that it is the pool's for certain. Whoever has another token may name any.
    pub bound: bool,
}

/// Why a name is not given to a runner that registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy {
    /// A runner of the platform has it.
    Platform,
    /// A runner of another team has it, which is not named.
    AnotherTeam,
    /// A runner of another pool has it.
    AnotherPool,
}

/// What becomes of a name that a runner has when another one registers under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameGoes {
    /// It is the same runner, again.
    Again,
    /// The runner of this team gives it up.
    From(TeamId),
    /// The runner keeps it.
    Not(HeldBy),
}

impl Origin {
    /// What becomes of the name that `holder` has, when a runner of this origin registers under it.
    ///
    /// A pod has no other name than its own. So a pool gets it from a team's runner, as far as it is certain that it is the pool's: the platform's
    /// token says so, and so does the pool's own. From a runner that registered with the token of another pool, nobody gets it.
    pub fn takes_from(&self, holder: &Self) -> NameGoes {
        let same_pool = self.pool.is_some() && self.pool == holder.pool;
        if holder.bound && !same_pool {
            return NameGoes::Not(HeldBy::AnotherPool);
        }
        if holder.scope == self.scope {
            // A pool's token says nothing about the other runners of its scope.
            return if self.bound && !same_pool {
                NameGoes::Not(HeldBy::AnotherPool)
            } else {
                NameGoes::Again
            };
        }
        let of_a_pool = self.bound || (self.scope == RunnerScope::Platform && self.pool.is_some());
        match holder.scope {
            RunnerScope::Platform => NameGoes::Not(HeldBy::Platform),
            RunnerScope::Team(team) if of_a_pool => NameGoes::From(team),
            RunnerScope::Team(_) => NameGoes::Not(HeldBy::AnotherTeam),
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
    use rstest::rstest;

    use super::*;

    const PLATFORM: Option<i64> = None;
    const ACME: Option<i64> = Some(7);
    const OTHER: Option<i64> = Some(8);

    /// A runner of that team or the platform, which names that pool; `true`: with the pool's own token.
    type Of = (Option<i64>, Option<&'static str>, bool);

    fn origin((team, pool, bound): Of) -> Origin {
        let scope = team.map_or(RunnerScope::Platform, |id| RunnerScope::Team(TeamId(id)));
        Origin { scope, pool: pool.map(str::to_owned), bound }
    }

    #[rstest]
    #[case::again((ACME, None, false), (ACME, Some("a/p"), false), NameGoes::Again)]
    #[case::pod_again((ACME, Some("a/p"), true), (ACME, Some("a/p"), true), NameGoes::Again)]
    #[case::own_hand_to_pool((ACME, Some("a/p"), true), (ACME, Some("a/p"), false), NameGoes::Again)]
    #[case::pool_to_own_token((ACME, Some("a/p"), false), (ACME, Some("a/p"), true), NameGoes::Again)]
    #[case::other_runner_of_its_team((ACME, Some("a/p"), true), (ACME, None, false), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::pods_of_its_team((ACME, Some("a/p"), false), (ACME, Some("b/p"), true), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::other_pool((PLATFORM, Some("a/p"), true), (PLATFORM, Some("b/p"), true), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::other_pool_of_a_team((PLATFORM, Some("a/p"), true), (ACME, Some("b/p"), true), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::other_pool_of_other_team((OTHER, Some("a/p"), true), (ACME, Some("b/p"), true), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::platform_token_to_a_pool((PLATFORM, Some("a/p"), false), (ACME, Some("b/p"), true), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::by_hand_to_a_pool((PLATFORM, None, false), (PLATFORM, Some("b/p"), true), NameGoes::Not(HeldBy::AnotherPool))]
    #[case::squatter((PLATFORM, Some("a/p"), true), (OTHER, Some("a/p"), false), NameGoes::From(TeamId(8)))]
    #[case::squatter_of_a_teams_pool((ACME, Some("a/p"), true), (OTHER, Some("a/p"), false), NameGoes::From(TeamId(8)))]
    #[case::squatter_without_pool((ACME, Some("a/p"), true), (OTHER, None, false), NameGoes::From(TeamId(8)))]
    #[case::squatter_by_another_pool((ACME, Some("a/p"), true), (OTHER, Some("b/p"), false), NameGoes::From(TeamId(8)))]
    #[case::platforms_pool((PLATFORM, Some("a/p"), false), (OTHER, None, false), NameGoes::From(TeamId(8)))]
    #[case::pool_changed_team((ACME, Some("a/p"), true), (OTHER, Some("a/p"), true), NameGoes::From(TeamId(8)))]
    #[case::not_a_pools((PLATFORM, None, false), (OTHER, None, false), NameGoes::Not(HeldBy::AnotherTeam))]
    #[case::claims_a_pool((OTHER, Some("a/p"), false), (ACME, Some("a/p"), true), NameGoes::Not(HeldBy::AnotherTeam))]
    #[case::platforms((ACME, Some("a/p"), true), (PLATFORM, None, false), NameGoes::Not(HeldBy::Platform))]
    fn a_name_goes_to_its_pool_and_to_nobody_else(
        #[case] new: Of,
        #[case] holder: Of,
        #[case] goes: NameGoes,
    ) {
        assert_eq!(origin(new).takes_from(&origin(holder)), goes);
    }

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
