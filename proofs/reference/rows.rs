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
        | Error::RunnerNameHeld { .. }
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
    let (status, progress) = (status(run.status()), run.progress);
    let end = progress.state.end();
    RunRow {
        id: run.id.0,
        team: usize::try_from(run.team_id.0 - 1).unwrap(),
        app: run.app_slug,
        number: run.number,
        version: run.version_number,
        environment: run.environment,
        input: run.input.and_then(|input| input.text().map(str::to_owned)),
        priority: run.priority,
        max_retries: progress.retries.max,
        retry: progress.policy.map(|policy| Retry {
            max_attempts: progress.retries.max + 1,
            failed: policy.on().any(|on| on == Failure::Failed),
            timeout: policy.on().any(|on| on == Failure::Timeout),
            lost: policy.on().any(|on| on == Failure::Lost),
            backoff: policy.initial_ms(),
        }),
        not_before: progress.state.not_before().map(|at| at.0),
        retry_count: progress.retries.used,
        status,
        cancel_requested: progress.state.is_cancel_requested(),
        runner: run.runner,
        exit_code: end.and_then(|end| end.exit_code),
        message: end.and_then(|end| end.error_message.clone()),
        created_at: run.created_at.0,
        queued_at: progress.queued_at.0,
        started_at: progress.state.first_started_at().map(|at| at.0),
        finished_at: end.map(|end| end.finished_at.0),
    }
}

pub(crate) fn attempt_row(attempt: Attempt) -> AttemptRow {
    let (lease, state) = (attempt.lease, attempt.state);
    let job = state.job();
    AttemptRow {
        id: attempt.id.0,
        run: attempt.run_id.0,
        number: attempt.number,
        runner: attempt.runner_id.map(|id| id.0),
        runner_name: attempt.runner_name,
        status: Status::of_word(state.status().as_str()),
        expires: lease.expires_at.0,
        instance: lease.instance_id,
        request: lease.request_id,
        leased_at: attempt.leased_at.0,
        started_at: state.started_at().map(|at| at.0),
        finished_at: state.finished_at().map(|at| at.0),
        ended_by: state.ended_by().map(|by| match by {
            DomainEndedBy::Result => EndedBy::Result,
            DomainEndedBy::Expiry => EndedBy::Expiry,
            DomainEndedBy::Release => EndedBy::Release,
            DomainEndedBy::ProcessEnd => EndedBy::ProcessEnd,
        }),
        exit_code: job.and_then(|job| job.exit_code),
        message: state.error_message().map(str::to_owned),
    }
}
