//! What a pool's control plane is told of the pool, for people whose runs wait for its runners: the same words as in its status.

use std::time::Duration;

use minitower_client::wire::pools::{PoolState, ReportPool};
use minitower_daemon::errors::chain;

use super::plan::Elapsed;
use super::pool::Pool;
use super::reconcile::Context;
use crate::calls::CALL;
use crate::crd::{ConditionType, RunnerPoolStatus};
use crate::demand::ControlPlane;

/// How soon news are told that change no more than numbers and words.
const SOON: Duration = Duration::from_secs(5);
/// How soon the same is told again: the control plane forgets it after 90 seconds, and when it is restarted.
const AGAIN: Duration = Duration::from_secs(20);
/// The longest message, in characters: control planes take 2,000 bytes.
const MAX_MESSAGE: usize = 500;

/// What was last told of a pool.
#[derive(Debug)]
pub struct Told {
    pub(super) report: ReportPool,
    pub(super) at: Elapsed,
    pub(super) failed: bool,
}

/// How a pool stands, from what its status says.
pub(super) fn standing(pool: &Pool, status: &RunnerPoolStatus) -> ReportPool {
    let said = |of: ConditionType| status.conditions.iter().find(|condition| condition.type_ == of.as_str());
    let is = |of, expected: &str| said(of).is_some_and(|condition| condition.status == expected);
    let desired = status.desired_runners.unwrap_or_default();
    let is_fixed = pool.policy.replicas.is_some();
    let (state, of) = if is(ConditionType::Degraded, "True") && is(ConditionType::Ready, "False") {
        (PoolState::Broken, ConditionType::Degraded)
    } else if pool.policy.paused {
        (PoolState::Paused, ConditionType::Paused)
    } else if status.ready_runners < desired {
        (PoolState::Growing, ConditionType::Ready)
    } else if is_fixed || said(ConditionType::ScalingLimited).is_some_and(|c| c.reason == "MaxRunners") {
        (PoolState::AtMaximum, ConditionType::ScalingLimited)
    } else {
        (PoolState::Ready, ConditionType::ScalingLimited)
    };
    ReportPool {
        environment: Some(pool.spec.environment.clone()),
        team: pool.spec.team.clone(),
        state,
        min: pool.policy.replicas.unwrap_or(pool.policy.min),
        max: pool.policy.replicas.unwrap_or(pool.policy.max),
        desired,
        ready: status.ready_runners,
        message: one_line(said(of).map_or("", |condition| &condition.message)),
    }
}

/// Words of others, as one line of bearable length that is not empty.
pub(super) fn one_line(words: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = words.trim().chars().take(MAX_MESSAGE).map(clean).collect();
    if line.is_empty() { "nothing more is known".to_owned() } else { line }
}

/// Whether that is to be told now.
pub(super) fn is_due(told: Option<&Told>, report: &ReportPool, now: Elapsed) -> bool {
    let Some(Told { report: before, at, failed }) = told else { return true };
    let pause = match (failed, before.state == report.state, before == report) {
        (true, ..) | (false, true, true) => AGAIN,
        (false, true, false) => SOON,
        (false, false, _) => Duration::ZERO,
    };
    now >= *at + pause
}

/// Tells the control plane how the pool stands, if it is time. A failure costs only the words: it is logged, and tried again.
pub(super) async fn tell(
    pool: &Pool,
    status: &RunnerPoolStatus,
    control_plane: Option<&ControlPlane>,
    context: &Context,
    told: &mut Option<Told>,
    now: Elapsed,
) {
    let Some(control_plane) = control_plane else { return };
    let report = standing(pool, status);
    if !is_due(told.as_ref(), &report, now) || context.leadership.check(CALL).is_err() {
        return;
    }
    let outcome = control_plane.report_pool((&pool.namespace, &pool.name), &report).await;
    let had_failed = told.as_ref().is_some_and(|told| told.failed);
    if let Err(error) = &outcome
        && !had_failed
    {
        tracing::warn!(pool = pool.qualified_name(), error = %chain(error), "cannot tell the control plane how the pool stands");
    }
    *told = Some(Told { report, at: now, failed: outcome.is_err() });
}
