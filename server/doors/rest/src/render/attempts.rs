//! Attempts, as their team and as their runner sees them.

use minitower_runs::Grant;
use minitower_runs::domain::attempt as domain;
use minitower_runs::domain::input::Input;
use minitower_runs::domain::run::Run;
use minitower_vocabulary::limits;
use minitower_vocabulary::statuses::AttemptStatus;
use minitower_vocabulary::wire::runner::{AttemptState, Lease, LeaseLimits};
use minitower_vocabulary::wire::runs::Attempt;

use super::runs::input_object;
use super::{milliseconds, moment};
use crate::ApiError;

pub(crate) fn attempt(attempt: domain::Attempt) -> Attempt {
    let job = attempt.state.job();
    Attempt {
        attempt_id: attempt.id.0,
        attempt_no: attempt.number,
        status: attempt.status(),
        runner: Some(attempt.runner_name),
        exit_code: job.and_then(|job| job.exit_code),
        error_message: attempt.state.error_message().map(str::to_owned),
        reason: job.and_then(|job| job.reason).map(|reason| reason.as_str().to_owned()),
        leased_at: moment(attempt.leased_at),
        started_at: attempt.state.started_at().map(moment),
        finished_at: attempt.state.finished_at().map(moment),
    }
}

/// The answer to `start` and `heartbeat`.
pub(crate) fn attempt_state(run: &Run, attempt: &domain::Attempt) -> AttemptState {
    AttemptState {
        attempt_id: attempt.id.0,
        attempt_no: attempt.number,
        status: attempt.status(),
        lease_expires_at: moment(attempt.lease.expires_at),
        cancel_requested: run.progress.state.is_cancel_requested(),
        run_status: run.status(),
        lease_ttl_ms: Some(milliseconds(attempt.lease.ttl)),
    }
}

/// The answer to a poll that got work.
pub(crate) fn lease(grant: Grant) -> Result<Lease, ApiError> {
    let Grant {
        run,
        team_slug,
        attempt,
        version,
        lease_token,
        api_token,
        secrets,
        log_bytes,
        artifacts_bytes,
        ..
    } = grant;
    Ok(Lease {
        run_id: run.id.0,
        run_no: run.number,
        app_id: run.app_id.0,
        input: input_object(run.input.as_ref().and_then(Input::text))?,
        app_slug: run.app_slug,
        version_no: run.version_number,
        entrypoint: version.entrypoint,
        timeout_seconds: run.timeout_seconds.or(version.timeout_seconds),
        attempt_id: attempt.id.0,
        attempt_no: attempt.number,
        // Only of what the poll has started: a runner that did not ask for that starts the attempt by a call.
        status: (attempt.status() == AttemptStatus::Running).then_some(AttemptStatus::Running),
        lease_token,
        lease_expires_at: moment(attempt.lease.expires_at),
        lease_ttl_ms: Some(milliseconds(attempt.lease.ttl)),
        team_id: Some(run.team_id.0),
        team_slug: Some(team_slug),
        environment: Some(run.environment),
        api_token,
        secrets: secrets.into_iter().map(|(name, value)| (name, value.reveal().to_owned())).collect(),
        limits: Some(LeaseLimits {
            log_bytes: Some(log_bytes),
            artifact_bytes: Some(limits::ARTIFACT_BYTES),
            artifacts_bytes: Some(artifacts_bytes),
            artifacts: Some(limits::ARTIFACTS),
        }),
    })
}
