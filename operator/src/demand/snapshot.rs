//! One good answer of a control plane.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use minitower_client::wire::admin::{Runner, RunnerScope, RunnerStatus};

/// Runs queued and ready, by team and environment, over all apps.
pub type Pending = HashMap<(String, String), u64>;

/// What a control plane said in one scrape.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When the control plane was asked: nothing in the snapshot is older.
    pub taken_at: Instant,
    /// Runs queued and ready.
    pub pending: Pending,
    /// All runners that the token may see, by name.
    pub runners: Vec<RunnerView>,
}

impl Snapshot {
    /// Runs queued and ready in an environment, of one team or of all. An environment that nobody has used yet has none.
    pub fn pending_in(&self, environment: &str, team: Option<&str>) -> u64 {
        let counted = self.pending.iter().filter(|((of_team, of_environment), _)| {
            of_environment == environment && team.is_none_or(|team| team == of_team)
        });
        counted.fold(0, |sum: u64, (_, runs)| sum.saturating_add(*runs))
    }
}

/// Whose registration token a runner registered with, and so whose runs it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The platform's.
    Platform,
    /// A team's, with its slug. Older control planes leave the slug out.
    Team(Option<String>),
}

impl Scope {
    /// Whether a pool of this team, or of all, has such runners. Every team can register a runner under the name of any pool.
    pub fn fits(&self, team: Option<&str>) -> bool {
        match (self, team) {
            (Self::Platform, None) => true,
            (Self::Team(slug), Some(team)) => slug.as_deref().is_none_or(|slug| slug == team),
            (Self::Platform, Some(_)) | (Self::Team(_), None) => false,
        }
    }
}

/// A runner, as its control plane sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerView {
    /// Its name; in a cluster the pod's.
    pub name: String,
    /// The pool it registered with.
    pub pool: Option<String>,
    /// Whose runs it takes.
    pub scope: Scope,
    /// The environment whose runs it serves.
    pub environment: String,
    /// Whether it is online.
    pub online: bool,
    /// Whether it holds a run.
    pub busy: bool,
    /// Since when it holds none, by the server's clock.
    pub idle_since: Option<Timestamp>,
    /// The run it holds.
    pub run_id: Option<i64>,
    /// Since when it holds that run, by the server's clock.
    pub attempt_started_at: Option<Timestamp>,
    /// Whether a fence keeps work from it.
    pub draining: bool,
    /// The process that last polled under this name.
    pub instance_id: Option<String>,
}

impl From<Runner> for RunnerView {
    fn from(runner: Runner) -> Self {
        Self {
            name: runner.name,
            pool: runner.pool,
            scope: match runner.scope {
                RunnerScope::Platform => Scope::Platform,
                RunnerScope::Team => Scope::Team(runner.team),
            },
            environment: runner.environment,
            online: runner.status == RunnerStatus::Online,
            busy: runner.busy,
            idle_since: runner.idle_since.map(Timestamp::from),
            run_id: runner.run_id,
            attempt_started_at: runner.attempt_started_at.map(Timestamp::from),
            draining: runner.draining,
            instance_id: runner.instance_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let pending = [("acme", "default", 3), ("zeta", "default", 4), ("acme", "gpu", 5)];
        Snapshot {
            taken_at: Instant::now(),
            pending: pending.map(|(team, name, runs)| ((team.to_owned(), name.to_owned()), runs)).into(),
            runners: Vec::new(),
        }
    }

    #[test]
    fn demand_is_that_of_the_environment_and_of_the_team_if_one_is_named() {
        let snapshot = snapshot();
        assert_eq!(snapshot.pending_in("default", None), 7);
        assert_eq!(snapshot.pending_in("default", Some("zeta")), 4);
        assert_eq!(snapshot.pending_in("gpu", Some("zeta")), 0);
        assert_eq!(snapshot.pending_in("never-used", None), 0);
    }

    #[test]
    fn a_pool_has_the_runners_of_the_token_that_it_is_for() {
        let of = |slug: &str| Scope::Team(Some(slug.to_owned()));
        assert!(Scope::Platform.fits(None) && !Scope::Platform.fits(Some("acme")));
        assert!(of("acme").fits(Some("acme")) && !of("acme").fits(Some("zeta")) && !of("acme").fits(None));
        let of_older = Scope::Team(None);
        assert!(of_older.fits(Some("acme")) && !of_older.fits(None));
    }
}
