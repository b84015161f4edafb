//! Pools that serve the same environment of the same control plane. Each of them grows by all runs that wait, so together they are too large.
//! That may be meant, but nobody should find out by the bill.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::pool::Pool;
use super::problems::Problem;

/// What each pool serves, by its qualified name; shared by the controllers of all namespaces. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    served: Arc<Mutex<HashMap<String, Served>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Served {
    server_url: String,
    environment: String,
    team: Option<String>,
}

impl Served {
    /// Whether a run may count as demand of both.
    fn overlaps(&self, other: &Self) -> bool {
        let same_team = match (&self.team, &other.team) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.server_url == other.server_url && self.environment == other.environment && same_team
    }
}

impl Neighbours {
    /// Notes what a pool serves, and returns the names of the other pools that serve the same, in order.
    pub fn meet(&self, pool: &Pool) -> Vec<String> {
        let name = pool.qualified_name();
        let served = Served {
            server_url: pool.server_url.clone(),
            environment: pool.spec.environment.clone(),
            team: pool.spec.team.clone(),
        };
        let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others: Vec<String> = all
            .iter()
            .filter(|(other, theirs)| **other != name && theirs.overlaps(&served))
            .map(|(other, _)| other.clone())
            .collect();
        others.sort();
        all.insert(name, served);
        others
    }

    /// Forgets a pool that is served no longer.
    pub fn forget(&self, qualified_name: &str) {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).remove(qualified_name);
    }
}

/// What a person is told about the other pools of a pool's environment.
pub fn told(pool: &Pool, others: &[String]) -> Option<Problem> {
    if others.is_empty() {
        return None;
    }
    let environment = &pool.spec.environment;
    let message = format!(
        "environment {environment} is also served by {}: each of these pools grows by all the runs that wait there; give each its own \
         environment, or its own team",
        others.join(", ")
    );
    Some(Problem::new("OtherPools", message))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::tests::objects::pool_object;
    use super::*;

    fn pool(name: &str, spec: &Value) -> Pool {
        let object = pool_object(&json!({ "metadata": { "name": name }, "spec": spec }));
        Pool::new(&object, None).unwrap()
    }

    #[rstest]
    #[case::the_same(json!({}), json!({}), true)]
    #[case::another_environment(json!({}), json!({ "environment": "gpu" }), false)]
    #[case::another_control_plane(json!({}), json!({ "server": { "url": "http://other" } }), false)]
    #[case::two_teams(json!({ "team": "a" }), json!({ "team": "b" }), false)]
    #[case::one_team(json!({ "team": "a" }), json!({ "team": "a" }), true)]
    #[case::a_team_and_all(json!({}), json!({ "team": "a" }), true)]
    fn pools_are_neighbours_if_a_run_counts_for_both(
        #[case] one: Value,
        #[case] other: Value,
        #[case] expected: bool,
    ) {
        let neighbours = Neighbours::default();
        let (one, other) = (pool("one", &one), pool("other", &other));
        assert_eq!(neighbours.meet(&one), [] as [&str; 0]);
        assert_eq!(neighbours.meet(&other), if expected { vec!["ns/one"] } else { vec![] });
        assert_eq!(
            neighbours.meet(&one),
            if expected { vec!["ns/other"] } else { vec![] },
            "both learn of it"
        );
        neighbours.forget("ns/other");
        assert_eq!(neighbours.meet(&one), [] as [&str; 0]);
    }
}
