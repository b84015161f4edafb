//! Runners, as administrators see them.

use minitower_runs::domain::runner as domain;
use minitower_runs::{self as admin, ListedRunner};
use minitower_vocabulary::wire::admin::{Drained, Runner, RunnerScope, RunnerStatus};

use super::moment;

pub(crate) fn runner(listed: ListedRunner) -> Runner {
    let ListedRunner { runner, online, run_visible } = listed;
    let domain::Runner {
        id,
        name,
        scope,
        environment,
        pool,
        labels,
        instance_id,
        last_seen_at,
        idle_since,
        run_id,
        attempt_started_at,
        draining,
    } = runner;
    Runner {
        runner_id: id.0,
        name,
        environment,
        status: if online { RunnerStatus::Online } else { RunnerStatus::Offline },
        last_seen_at: Some(moment(last_seen_at)),
        scope: match scope {
            domain::RunnerScope::Platform => RunnerScope::Platform,
            domain::RunnerScope::Team(_) => RunnerScope::Team,
        },
        pool,
        labels,
        instance_id,
        busy: run_id.is_some(),
        idle_since: idle_since.map(moment),
        run_id: run_id.filter(|_| run_visible).map(|id| id.0),
        attempt_started_at: attempt_started_at.filter(|_| run_visible).map(moment),
        draining,
    }
}

pub(crate) fn drained(drained: admin::Drained) -> Drained {
    let admin::Drained { name, run_id, draining } = drained;
    Drained { name, busy: run_id.is_some(), run_id: run_id.map(|id| id.0), draining }
}
