//! Runs.

use crate::domain::after::After;
use crate::domain::input::{self, Input};
use crate::domain::labels::Labels;
use crate::domain::retry::{RetryBudget, RetryPolicy};
use crate::domain::run::{Blocked, Concurrency, Run, RunFields, RunProgress, RunState, Wait};
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::{AppId, EnvironmentId, RunId, TeamId, VersionId};
use minitower_vocabulary::statuses::{Failure, RunStatus};
use minitower_vocabulary::time::Timestamp;
use serde_json::{Value, json};

use crate::store::events::RunMoved;
use crate::store::{apps, inputs, labels};
use minitower_kernel::{At, Columns, at, columns};
use minitower_kernel::{Db, StoreError, Tx};

columns! { ($)
    /// What is read of a run.
    enum Column;
    /// A statement that [`read`] can read, with what follows its FROM.
    macro select "FROM runs r JOIN apps a ON a.id = r.app_id JOIN app_versions v ON v.id = r.app_version_id";
    Id: "r.id",
    TeamId: "r.team_id",
    AppId: "r.app_id",
    AppSlug: "a.slug",
    Number: "r.run_no",
    VersionId: "r.app_version_id",
    VersionNumber: "v.version_no",
    EnvironmentId: "r.environment_id",
    Environment: "r.environment_name",
    Input: "r.input",
    LargeInputBytes: "r.large_input_bytes",
    Priority: "r.priority",
    CreatedAt: "r.created_at",
    Runner: "r.runner_name",
    Attempts: "r.attempt_count",
    Status: "r.status",
    MaxRetries: "r.max_retries",
    RetryCount: "r.retry_count",
    CancelRequested: "r.cancel_requested",
    QueuedAt: "r.queued_at",
    StartedAt: "r.started_at",
    FinishedAt: "r.finished_at",
    ExitCode: "r.exit_code",
    ErrorMessage: "r.error_message",
    RowVersion: "r.row_version",
    HiddenParameters: "v.hidden_parameters",
    Output: "r.output",
    TimeoutSeconds: "r.timeout_seconds",
    BlockedBy: "r.blocked_by",
    NotBefore: "r.not_before",
    RetryOn: "r.retry_on",
    BackoffInitialMs: "r.backoff_initial_ms",
    BackoffMultiplier: "r.backoff_multiplier",
    BackoffMaxMs: "r.backoff_max_ms",
    Deleted: "(r.deleted_at IS NOT NULL OR a.deleted_at IS NOT NULL OR v.deleted_at IS NOT NULL)",
    Labels: "r.labels",
    RetryOf: "r.retry_of",
    ConcurrencyKey: "r.concurrency_key",
    ConcurrencyMax: "r.concurrency_max",
    Awaited: "r.awaited",
    ComesAfter: "r.comes_after",
}
pub(crate) use select;

/// What makes a run.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its team.
    pub team: TeamId,
    /// Its app, with the slug.
    pub app: (AppId, String),
    /// The version, with its number.
    pub version: (VersionId, i64),
    /// Where it runs, with the name.
    pub environment: (EnvironmentId, String),
    /// Its input, a JSON object as text.
    pub input: Option<String>,
    /// The keys of the input whose values the version hides, a JSON array as text.
    pub hidden_parameters: Option<String>,
    /// Higher runs first.
    pub priority: i64,
    /// How often it may start again.
    pub max_retries: i64,
    /// What is retried, and after how long; none: losses only, at once.
    pub policy: Option<RetryPolicy>,
    /// Seconds it may take; none: as its version says.
    pub timeout_seconds: Option<i64>,
    /// What it is found by.
    pub labels: Labels,
    /// With which runs it shares a limit of active ones.
    pub concurrency: Option<Concurrency>,
    /// What it comes after.
    pub after: Vec<After>,
    /// What it waits for besides a runner.
    pub wait: Wait,
    /// The run that it repeats.
    pub retry_of: Option<RunId>,
}

/// A new queued run; none: its app or version was deleted.
pub fn insert(tx: &Tx<'_>, new: NewRun, now: Timestamp) -> Result<Option<Run>, StoreError> {
    let Some(number) = apps::next_run_no(tx, new.app.0, new.version.0)? else { return Ok(None) };
    let state = RunState::Queued { wait: new.wait, first_started_at: None };
    let progress = RunProgress { policy: new.policy, state, ..RunProgress::queued(new.max_retries, now) };
    let retry_on = new.policy.map(|policy| policy.on().map(Failure::as_str).collect::<Vec<_>>().join(","));
    let labels_text = labels::json(&new.labels);
    let comes_after = comes_after_text(&new.after);
    let large = new.input.as_ref().filter(|text| input::is_large(text));
    let id = tx.insert(
        "INSERT INTO runs (team_id, app_id, environment_id, environment_name, app_version_id, run_no, status, input, priority,
                           max_retries, created_at, queued_at, timeout_seconds, retry_on, backoff_initial_ms, backoff_multiplier,
                           backoff_max_ms, labels, retry_of, blocked_by, concurrency_key, concurrency_max,
                           large_input_bytes, comes_after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
        params![
            new.team.0,
            new.app.0.0,
            new.environment.0.0,
            new.environment.1,
            new.version.0.0,
            number,
            progress.status().as_str(),
            new.input.as_ref().filter(|text| !input::is_large(text)),
            new.priority,
            new.max_retries,
            At(now),
            new.timeout_seconds,
            retry_on,
            new.policy.map(|policy| policy.initial_ms()),
            new.policy.map(|policy| policy.multiplier_thousandths()),
            new.policy.map(|policy| policy.max_ms()),
            labels_text,
            new.retry_of.map(|run| run.0),
            progress.state.blocked_by().map(Blocked::as_str),
            new.concurrency.as_ref().map(|shared| shared.key.as_str()),
            new.concurrency.as_ref().and_then(|shared| shared.max),
            large.map(|text| i64::try_from(text.len()).unwrap_or(i64::MAX)),
            comes_after
        ],
    )?;
    if let Some(text) = large {
        inputs::insert(tx, RunId(id), text)?;
    }
    labels::insert(tx, new.team, RunId(id), &new.labels)?;
    let run = Run {
        id: RunId(id),
        team_id: new.team,
        app_id: new.app.0,
        app_slug: new.app.1,
        number,
        version_id: new.version.0,
        version_number: new.version.1,
        environment_id: new.environment.0,
        environment: new.environment.1,
        input: new.input.map(Input::Text),
        hidden_parameters: new.hidden_parameters,
        output: None,
        labels: labels_text,
        retry_of: new.retry_of,
        priority: new.priority,
        timeout_seconds: new.timeout_seconds,
        concurrency: new.concurrency,
        awaited: false,
        after: comes_after,
        created_at: now,
        runner: None,
        attempts: 0,
        progress,
        row_version: 0,
        deleted: false,
    };
    tx.emit(RunMoved::new(&run, None, None));
    Ok(Some(run))
}

/// What a run comes after, as it carries it: a JSON array; none: it comes after none.
fn comes_after_text(after: &[After]) -> Option<String> {
    let each = |after: &After| json!({"run_id": after.run.0, "on": after.until.as_str()});
    (!after.is_empty()).then(|| Value::Array(after.iter().map(each).collect()).to_string())
}

/// Saves a run's new state, if nobody changed the row since it was read; nothing is written when nothing changed. `attempt_started_at` is the
/// start of the attempt that moves it, for the metrics.
pub fn save(
    tx: &Tx<'_>,
    run: Run,
    after: RunProgress,
    attempt_started_at: Option<Timestamp>,
) -> Result<Run, StoreError> {
    if run.progress == after {
        return Ok(run);
    }
    // Only what is queued may be held back, before as after.
    let reason = after.state.blocked_by();
    if reason.is_none() || run.status() == RunStatus::Queued {
        hold_back(tx, &run, &after)?;
    }
    let end = after.state.end();
    let changed = tx.execute(
        "UPDATE runs SET status = ?3, retry_count = ?4, cancel_requested = ?5, queued_at = ?6, started_at = ?7, finished_at = ?8,
                         exit_code = ?9, error_message = ?10, row_version = row_version + 1
         WHERE id = ?1 AND row_version = ?2",
        params![
            run.id.0,
            run.row_version,
            after.status().as_str(),
            after.retries.used,
            after.state.is_cancel_requested(),
            At(after.queued_at),
            after.state.first_started_at().map(At),
            end.map(|end| At(end.finished_at)),
            end.and_then(|end| end.exit_code),
            end.and_then(|end| end.error_message.as_deref())
        ],
    )?;
    if changed == 0 {
        return Err(StoreError::Stale { what: "run", id: run.id.0 });
    }
    if reason.is_some() && run.status() != RunStatus::Queued {
        hold_back(tx, &run, &after)?;
    }
    let before = run.progress;
    let saved = Run { progress: after, row_version: run.row_version + 1, ..run };
    tx.emit(RunMoved::new(&saved, Some(before), attempt_started_at));
    Ok(saved)
}

/// Takes a run out of the queue's indexes as long as something keeps it from the runners, or puts it back. Apart from the rest, so that the
/// ordinary moves of a run need not look at more indexes.
fn hold_back(tx: &Tx<'_>, run: &Run, after: &RunProgress) -> Result<(), StoreError> {
    let held = |state: &RunState| (state.not_before(), state.blocked_by());
    let (not_before, reason) = held(&after.state);
    if (not_before, reason) != held(&run.progress.state) {
        tx.execute(
            "UPDATE runs SET not_before = ?2, blocked_by = ?3 WHERE id = ?1",
            params![run.id.0, not_before.map(At), reason.map(Blocked::as_str)],
        )?;
    }
    Ok(())
}

/// Saves that a runner takes the run, if nobody changed the row since it was read, and takes the number of the attempt.
/// `attempt_started_at` is the start of that attempt, if it was started at once.
pub fn lease(
    tx: &Tx<'_>,
    run: Run,
    leased: RunProgress,
    runner_name: &str,
    attempt_started_at: Option<Timestamp>,
) -> Result<(Run, i64), StoreError> {
    let number = run.attempts + 1;
    let changed = tx.execute(
        "UPDATE runs SET status = ?3, runner_name = ?4, attempt_count = ?5, started_at = ?6, row_version = row_version + 1
         WHERE id = ?1 AND row_version = ?2",
        params![
            run.id.0,
            run.row_version,
            leased.status().as_str(),
            runner_name,
            number,
            leased.state.first_started_at().map(At)
        ],
    )?;
    if changed == 0 {
        return Err(StoreError::Stale { what: "run", id: run.id.0 });
    }
    debug_assert_eq!(
        leased.clone().into_state(run.progress.state.clone()),
        run.progress,
        "a lease changes the state only"
    );
    let before = run.progress;
    let saved = Run {
        progress: leased,
        runner: Some(runner_name.to_owned()),
        attempts: number,
        row_version: run.row_version + 1,
        ..run
    };
    tx.emit(RunMoved::new(&saved, Some(before), attempt_started_at));
    Ok((saved, number))
}

/// Keeps what the job wrote; before the run's end is saved, since an ended run never changes.
pub fn set_output(tx: &Tx<'_>, id: RunId, output: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET output = ?2 WHERE id = ?1", params![id.0, output])?;
    Ok(())
}

/// Runs whose backoff had passed at `now`, those that have waited longest for it first.
pub fn due(db: &Db, now: Timestamp, limit: i64) -> Result<Vec<Run>, StoreError> {
    db.all(
        select!(
            "WHERE r.id IN (SELECT id FROM runs INDEXED BY runs_by_not_before
                 WHERE not_before <= ?1 ORDER BY not_before, id LIMIT ?2) ORDER BY r.not_before, r.id"
        ),
        params![At(now), limit],
        read,
    )
}

/// When the next backoff ends.
pub fn next_due(db: &Db) -> Result<Option<Timestamp>, StoreError> {
    db.one(
        "SELECT not_before FROM runs INDEXED BY runs_by_not_before
         WHERE not_before IS NOT NULL ORDER BY not_before LIMIT 1",
        (),
        |row| at(row, "not_before"),
    )
}

/// Runs whose backoff ends after a moment, by that and their ids, from behind the run `after`.
pub fn backing_off(db: &Db, (moment, after): (Timestamp, RunId), limit: i64) -> Result<Vec<Run>, StoreError> {
    db.all(
        select!(
            "WHERE r.id IN (SELECT id FROM runs INDEXED BY runs_by_not_before
                 WHERE not_before >= ?1 AND (not_before, id) > (?1, ?2) ORDER BY not_before, id LIMIT ?3) ORDER BY r.not_before, r.id"
        ),
        params![At(moment), after.0, limit],
        read,
    )
}

/// The run of that id.
pub fn by_id(db: &Db, id: RunId) -> Result<Option<Run>, StoreError> {
    db.one(select!("WHERE r.id = ?1"), [id.0], read)
}

/// The team's run of that id, unless it was deleted, or went with its app or version.
pub fn by_id_of_team(db: &Db, team: TeamId, id: RunId) -> Result<Option<Run>, StoreError> {
    db.one(
        select!(
            "WHERE r.id = ?1 AND r.team_id = ?2
                 AND r.deleted_at IS NULL AND a.deleted_at IS NULL AND v.deleted_at IS NULL"
        ),
        params![id.0, team.0],
        read,
    )
}

/// Reads a row of [`select`].
pub(crate) fn read(row: &Row<'_>) -> Result<Run, StoreError> {
    let columns = Columns::of(row);
    let id: i64 = columns.get(Column::Id)?;
    let fields = RunFields {
        status: status(id, columns.text(Column::Status)?)?,
        cancel_requested: columns.get(Column::CancelRequested)?,
        blocked_by: blocked_by(id, columns.maybe_text(Column::BlockedBy)?)?,
        not_before: columns.maybe_at(Column::NotBefore)?,
        started_at: columns.maybe_at(Column::StartedAt)?,
        finished_at: columns.maybe_at(Column::FinishedAt)?,
        exit_code: columns.get(Column::ExitCode)?,
        error_message: columns.get(Column::ErrorMessage)?,
    };
    let state = RunState::try_from(fields)
        .map_err(|incomplete| StoreError::Inconsistent(format!("run {id}: {incomplete}")))?;
    Ok(Run {
        id: RunId(id),
        team_id: TeamId(columns.get(Column::TeamId)?),
        app_id: AppId(columns.get(Column::AppId)?),
        app_slug: columns.get(Column::AppSlug)?,
        number: columns.get(Column::Number)?,
        version_id: VersionId(columns.get(Column::VersionId)?),
        version_number: columns.get(Column::VersionNumber)?,
        environment_id: EnvironmentId(columns.get(Column::EnvironmentId)?),
        environment: columns.get(Column::Environment)?,
        input: input_of(&columns)?,
        hidden_parameters: columns.get(Column::HiddenParameters)?,
        output: columns.get(Column::Output)?,
        labels: columns.get(Column::Labels)?,
        retry_of: columns.get::<Option<i64>>(Column::RetryOf)?.map(RunId),
        priority: columns.get(Column::Priority)?,
        timeout_seconds: columns.get(Column::TimeoutSeconds)?,
        concurrency: concurrency(&columns)?,
        awaited: columns.get(Column::Awaited)?,
        after: columns.get(Column::ComesAfter)?,
        created_at: columns.at(Column::CreatedAt)?,
        runner: columns.get(Column::Runner)?,
        attempts: columns.get(Column::Attempts)?,
        progress: RunProgress {
            retries: RetryBudget {
                max: columns.get(Column::MaxRetries)?,
                used: columns.get(Column::RetryCount)?,
            },
            policy: policy(id, &columns)?,
            queued_at: columns.at(Column::QueuedAt)?,
            state,
        },
        row_version: columns.get(Column::RowVersion)?,
        deleted: columns.get(Column::Deleted)?,
    })
}

fn input_of(columns: &Columns<'_, '_, Column>) -> Result<Option<Input>, StoreError> {
    if let Some(bytes) = columns.get(Column::LargeInputBytes)? {
        return Ok(Some(Input::Apart { bytes }));
    }
    Ok(columns.get::<Option<String>>(Column::Input)?.map(Input::Text))
}

fn policy(id: i64, columns: &Columns<'_, '_, Column>) -> Result<Option<RetryPolicy>, StoreError> {
    let Some(words) = columns.maybe_text(Column::RetryOn)? else { return Ok(None) };
    let on: Option<Vec<Failure>> = words.split(',').map(Failure::parse).collect();
    let on = on.ok_or_else(|| StoreError::Inconsistent(format!("run {id} retried on {words:?}")))?;
    let initial_ms = columns.get(Column::BackoffInitialMs)?;
    let multiplier = columns.get(Column::BackoffMultiplier)?;
    Ok(Some(RetryPolicy::new(&on, initial_ms, multiplier, columns.get(Column::BackoffMaxMs)?)))
}

fn concurrency(columns: &Columns<'_, '_, Column>) -> Result<Option<Concurrency>, StoreError> {
    let Some(key) = columns.maybe_text(Column::ConcurrencyKey)? else { return Ok(None) };
    Ok(Some(Concurrency { key: key.to_owned(), max: columns.get(Column::ConcurrencyMax)? }))
}

fn blocked_by(id: i64, text: Option<&str>) -> Result<Option<Blocked>, StoreError> {
    let known = |text| {
        Blocked::parse(text).ok_or_else(|| StoreError::Inconsistent(format!("run {id} blocked by {text:?}")))
    };
    text.map(known).transpose()
}

fn status(id: i64, text: &str) -> Result<RunStatus, StoreError> {
    RunStatus::parse(text).ok_or_else(|| StoreError::Inconsistent(format!("run {id} with status {text:?}")))
}
