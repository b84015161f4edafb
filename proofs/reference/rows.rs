//! What the program answers in the words of the reference.

use minitower_runs::domain::attempt::{Attempt, EndedBy as DomainEndedBy};
use minitower_runs::domain::lease::{Outcome, Refusal};
use minitower_runs::domain::run::Run;
use minitower_runs::{self as admin, Error};

use crate::vocabulary::{Answer, AttemptRow, EndedBy, Ending, No, Retry, RunRow, Status};
use minitower_vocabulary::statuses::{Failure, ResultReason, ResultStatus, RunStatus};

pub(crate) fn refusal(error: Error) -> Answer {
    Answer::Refused(match error {
        Error::Teams(minitower_teams::Error::Unauthorized) => No::Unauthorized,
        Error::Absent(_) | Error::Teams(minitower_teams::Error::NoRegistrationToken(_)) => No::NotFound,
        Error::Refused(Refusal::Gone) => No::Gone,
        Error::Refused(_)
        | Error::PollerBusy
        | Error::RunnerIdle(_)
        | Error::RunnerBusy(_)
        | Error::RunnerNameHeld(_)
        | Error::AppDisabled(_) => No::Conflict,
        Error::AppExists(_) => No::SlugTaken,
        Error::NoVersion(_) => No::Unversioned,
        other => return Answer::Unexpected(format!("{other:?}")),
    })
}

pub(crate) fn drained(drained: &admin::Drained) -> Answer {
    Answer::Drained { run: drained.run_id.map(|id| id.0), draining: drained.draining }
}

pub(crate) fn outcome(ending: &Ending) -> Outcome {
    let status = match ending.status {
        Status::Completed => ResultStatus::Completed,
        Status::Failed => ResultStatus::Failed,
        Status::Cancelled => ResultStatus::Cancelled,
        other => panic!("no result is {other:?}"),
    };
    Outcome {
        status,
        exit_code: Some(ending.exit_code),
        error_message: ending.message.clone(),
        reason: Some(if ending.timeout { ResultReason::Timeout } else { ResultReason::Exit }),
    }
}

pub(crate) fn status(status: RunStatus) -> Status {
    Status::of_word(status.as_str())
}

pub(crate) fn row(run: Run) -> RunRow {
    RunRow {
        id: run.id.0,
        team: usize::try_from(run.team_id.0 - 1).unwrap(),
        app: run.app_slug,
        number: run.number,
        version: run.version_number,
        environment: run.environment,
        input: run.input,
        priority: run.priority,
        max_retries: run.state.retries.max,
        retry: run.state.policy.map(|policy| Retry {
            max_attempts: run.state.retries.max + 1,
            failed: policy.on().any(|on| on == Failure::Failed),
            timeout: policy.on().any(|on| on == Failure::Timeout),
            lost: policy.on().any(|on| on == Failure::Lost),
            backoff: policy.initial_ms(),
        }),
        not_before: run.state.not_before.map(|at| at.0),
        retry_count: run.state.retries.used,
        status: status(run.state.status),
        cancel_requested: run.state.cancel_requested,
        runner: run.runner,
        exit_code: run.state.exit_code,
        message: run.state.error_message,
        created_at: run.created_at.0,
        queued_at: run.state.queued_at.0,
        started_at: run.state.started_at.map(|at| at.0),
        finished_at: run.state.finished_at.map(|at| at.0),
    }
}

pub(crate) fn attempt_row(attempt: Attempt) -> AttemptRow {
    let state = attempt.state;
    AttemptRow {
        id: attempt.id.0,
        run: attempt.run_id.0,
        number: attempt.number,
        runner: attempt.runner_id.map(|id| id.0),
        runner_name: attempt.runner_name,
        status: Status::of_word(state.status.as_str()),
        expires: state.lease_expires_at.0,
        instance: state.instance_id,
        request: state.request_id,
        leased_at: attempt.leased_at.0,
        started_at: state.started_at.map(|at| at.0),
        finished_at: state.finished_at.map(|at| at.0),
        ended_by: state.ended_by.map(|by| match by {
            DomainEndedBy::Result => EndedBy::Result,
            DomainEndedBy::Expiry => EndedBy::Expiry,
            DomainEndedBy::Release => EndedBy::Release,
            DomainEndedBy::ProcessEnd => EndedBy::ProcessEnd,
        }),
        exit_code: state.exit_code,
        message: state.error_message,
    }
}
