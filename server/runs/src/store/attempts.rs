//! Attempts at runs.

use std::time::Duration;

use crate::domain::attempt::{Attempt, AttemptFields, AttemptState, EndedBy, Lease};
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::{AttemptId, RunId, RunnerId, TeamId};
use minitower_vocabulary::statuses::{AttemptStatus, ResultReason};
use minitower_vocabulary::time::Timestamp;

use crate::store::runners;
use minitower_kernel::{At, Columns, at, columns};
use minitower_kernel::{Db, StoreError, Tx};

columns! { ($)
    /// What is read of an attempt.
    enum Column;
    /// A statement that [`read`] can read, with what follows its FROM.
    macro select "FROM run_attempts";
    Id: "id",
    RunId: "run_id",
    Number: "attempt_no",
    RunnerId: "runner_id",
    RunnerName: "runner_name",
    LeasedAt: "leased_at",
    Status: "status",
    LeaseExpiresAt: "lease_expires_at",
    LeaseTtlMs: "lease_ttl_ms",
    InstanceId: "instance_id",
    RequestId: "request_id",
    StartedAt: "started_at",
    FinishedAt: "finished_at",
    EndedBy: "ended_by",
    ExitCode: "exit_code",
    ErrorMessage: "error_message",
    Reason: "reason",
    RowVersion: "row_version",
}

/// What the partial indexes of active attempts ask for.
macro_rules! active {
    () => {
        "finished_at IS NULL"
    };
}

/// Hashes of the tokens that an attempt is given.
#[derive(Debug, Clone, Copy)]
pub struct TokenHashes {
    /// Of the lease token.
    pub lease: [u8; 32],
    /// Of the API token, for a version that asks for one.
    pub api: Option<[u8; 32]>,
}

/// A fresh attempt of a runner at a run that was just leased to it, and perhaps started, under the number taken by [`crate::store::runs::lease`].
pub fn insert(
    tx: &Tx<'_>,
    (run, number): (RunId, i64),
    runner: (RunnerId, &str),
    tokens: TokenHashes,
    (lease, state): (Lease, AttemptState),
    now: Timestamp,
) -> Result<Attempt, StoreError> {
    let id = tx.insert(
        "INSERT INTO run_attempts (run_id, attempt_no, runner_id, runner_name, status, lease_token_hash, lease_expires_at,
                                   lease_ttl_ms, instance_id, request_id, leased_at, api_token_hash, started_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            run.0,
            number,
            runner.0.0,
            runner.1,
            state.status().as_str(),
            tokens.lease.as_slice(),
            At(lease.expires_at),
            millis(lease.ttl),
            lease.instance_id,
            lease.request_id,
            At(now),
            tokens.api.as_ref().map(<[u8; 32]>::as_slice),
            state.started_at().map(At)
        ],
    )?;
    Ok(Attempt {
        id: AttemptId(id),
        run_id: run,
        number,
        runner_id: Some(runner.0),
        runner_name: runner.1.to_owned(),
        leased_at: now,
        lease,
        state,
        row_version: 0,
    })
}

/// Saves an attempt's new state, if nobody changed the row since it was read; nothing is written when nothing changed.
pub fn save(tx: &Tx<'_>, attempt: Attempt, lease: Lease, state: AttemptState) -> Result<Attempt, StoreError> {
    if attempt.state == state && attempt.lease == lease {
        return Ok(attempt);
    }
    let job = state.job();
    let changed = tx.execute(
        "UPDATE run_attempts SET status = ?3, lease_expires_at = ?4, lease_ttl_ms = ?5, started_at = ?6, finished_at = ?7,
                ended_by = ?8, exit_code = ?9, error_message = ?10, reason = ?11, request_id = ?12, row_version = row_version + 1
         WHERE id = ?1 AND row_version = ?2",
        params![
            attempt.id.0,
            attempt.row_version,
            state.status().as_str(),
            At(lease.expires_at),
            millis(lease.ttl),
            state.started_at().map(At),
            state.finished_at().map(At),
            state.ended_by().map(EndedBy::as_str),
            job.and_then(|job| job.exit_code),
            state.error_message(),
            job.and_then(|job| job.reason).map(ResultReason::as_str),
            lease.request_id
        ],
    )?;
    if changed == 0 {
        return Err(StoreError::Stale { what: "attempt", id: attempt.id.0 });
    }
    if let (Some(runner), Some(finished_at)) = (attempt.runner_id, state.finished_at()) {
        runners::set_last_finished(tx, runner, finished_at)?;
    }
    Ok(Attempt { lease, state, row_version: attempt.row_version + 1, ..attempt })
}

/// Saves an attempt's new lease, as [`save`] does. Its state stays.
pub fn save_lease(tx: &Tx<'_>, attempt: Attempt, lease: Lease) -> Result<Attempt, StoreError> {
    let state = attempt.state.clone();
    save(tx, attempt, lease, state)
}

/// Voids the attempt's tokens in favour of others.
pub fn replace_tokens(tx: &Tx<'_>, id: AttemptId, tokens: TokenHashes) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE run_attempts SET lease_token_hash = ?2, api_token_hash = ?3 WHERE id = ?1",
        params![id.0, tokens.lease.as_slice(), tokens.api.as_ref().map(<[u8; 32]>::as_slice)],
    )?;
    Ok(())
}

/// Whom the API token of that hash speaks for: nobody once its attempt has ended, or its lease has run out.
pub fn principal(
    db: &Db,
    api_token_hash: [u8; 32],
    now: Timestamp,
) -> Result<Option<(AttemptId, TeamId)>, StoreError> {
    db.one(
        concat!(
            "SELECT a.id, r.team_id FROM run_attempts a INDEXED BY run_attempts_by_api_token
             JOIN runs r ON r.id = a.run_id WHERE a.api_token_hash = ?1 AND a.lease_expires_at > ?2 AND a.",
            active!()
        ),
        params![api_token_hash.as_slice(), At(now)],
        |row| Ok((AttemptId(row.get("id")?), TeamId(row.get("team_id")?))),
    )
}

/// Takes the attempt's tokens away, for good.
pub fn void_tokens(tx: &Tx<'_>, id: AttemptId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE run_attempts SET lease_token_hash = randomblob(32), api_token_hash = NULL WHERE id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// Whether this is the attempt's lease token.
pub fn has_token(db: &Db, id: AttemptId, hash: [u8; 32]) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM run_attempts WHERE id = ?1 AND lease_token_hash = ?2",
        params![id.0, hash.as_slice()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// The attempt at that run that this runner holds, or held, under that lease token.
pub fn by_lease(
    db: &Db,
    run: RunId,
    runner: RunnerId,
    hash: [u8; 32],
) -> Result<Option<Attempt>, StoreError> {
    db.one(
        // The latest first: nearly always it is the one.
        select!(
            "WHERE run_id = ?1 AND runner_id = ?2 AND lease_token_hash = ?3 ORDER BY attempt_no DESC LIMIT 1"
        ),
        params![run.0, runner.0, hash.as_slice()],
        read,
    )
}

/// The active attempt of a runner.
pub fn active_of_runner(db: &Db, runner: RunnerId) -> Result<Option<Attempt>, StoreError> {
    db.one(
        select!("INDEXED BY one_active_attempt_per_runner WHERE runner_id = ?1 AND ", active!()),
        [runner.0],
        read,
    )
}

/// The active attempt at a run.
pub fn active_of_run(db: &Db, run: RunId) -> Result<Option<Attempt>, StoreError> {
    db.one(select!("INDEXED BY one_active_attempt_per_run WHERE run_id = ?1 AND ", active!()), [run.0], read)
}

/// Active attempts whose lease had run out at `now`, the longest dead first.
pub fn expired(db: &Db, now: Timestamp, limit: i64) -> Result<Vec<Attempt>, StoreError> {
    db.all(
        select!(
            "INDEXED BY run_attempts_by_expiry
             WHERE lease_expires_at <= ?1 AND ",
            active!(),
            " ORDER BY lease_expires_at LIMIT ?2"
        ),
        params![At(now), limit],
        read,
    )
}

/// When the next lease runs out, unless extended.
pub fn next_expiry(db: &Db) -> Result<Option<Timestamp>, StoreError> {
    db.one(
        concat!(
            "SELECT lease_expires_at FROM run_attempts INDEXED BY run_attempts_by_expiry
             WHERE ",
            active!(),
            " ORDER BY lease_expires_at LIMIT 1"
        ),
        (),
        |row| at(row, "lease_expires_at"),
    )
}

/// Active attempts in the order of their runs, after the run `after`: by an index of the active ones, however many have ended.
pub fn active(db: &Db, after: RunId, limit: i64) -> Result<Vec<Attempt>, StoreError> {
    db.all(
        select!(
            "INDEXED BY one_active_attempt_per_run
             WHERE run_id > ?1 AND ",
            active!(),
            " ORDER BY run_id LIMIT ?2"
        ),
        params![after.0, limit],
        read,
    )
}

/// A run's attempts, oldest first, from behind the number `after` if given: at most `limit`.
pub fn list(db: &Db, run: RunId, after: Option<i64>, limit: i64) -> Result<Vec<Attempt>, StoreError> {
    db.all(
        select!("WHERE run_id = ?1 AND attempt_no > ?2 ORDER BY attempt_no LIMIT ?3"),
        // Numbers begin at 1.
        params![run.0, after.unwrap_or(0), limit],
        read,
    )
}

/// The newest attempt of all.
pub fn newest_of_all(db: &Db) -> Result<AttemptId, StoreError> {
    let newest =
        db.one("SELECT id FROM run_attempts ORDER BY id DESC LIMIT 1", (), |row| Ok(AttemptId(row.get(0)?)))?;
    Ok(newest.unwrap_or(AttemptId(0)))
}

/// The newest attempt at a run.
pub fn newest(db: &Db, run: RunId) -> Result<Option<AttemptId>, StoreError> {
    db.one("SELECT id FROM run_attempts WHERE run_id = ?1 ORDER BY attempt_no DESC LIMIT 1", [run.0], |row| {
        Ok(AttemptId(row.get(0)?))
    })
}

/// The attempt at a run with that number.
pub fn by_number(db: &Db, run: RunId, number: i64) -> Result<Option<AttemptId>, StoreError> {
    db.one(
        "SELECT id FROM run_attempts WHERE run_id = ?1 AND attempt_no = ?2",
        params![run.0, number],
        |row| Ok(AttemptId(row.get(0)?)),
    )
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a row of [`select`].
fn read(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let columns = Columns::of(row);
    let id: i64 = columns.get(Column::Id)?;
    let nonsense =
        |column: &str, value: &str| StoreError::Inconsistent(format!("attempt {id} with {column} {value:?}"));
    let ttl = |millis: i64| {
        let millis = u64::try_from(millis).map_err(|_| nonsense("lease_ttl_ms", &millis.to_string()));
        millis.map(Duration::from_millis)
    };
    let ended_by = |text: &str| EndedBy::parse(text).ok_or_else(|| nonsense("ended_by", text));
    let reason = |text: &str| ResultReason::parse(text).ok_or_else(|| nonsense("reason", text));
    let status = |text: &str| AttemptStatus::parse(text).ok_or_else(|| nonsense("status", text));
    let fields = AttemptFields {
        status: status(columns.text(Column::Status)?)?,
        started_at: columns.maybe_at(Column::StartedAt)?,
        finished_at: columns.maybe_at(Column::FinishedAt)?,
        ended_by: columns.maybe_text(Column::EndedBy)?.map(ended_by).transpose()?,
        exit_code: columns.get(Column::ExitCode)?,
        error_message: columns.get(Column::ErrorMessage)?,
        reason: columns.maybe_text(Column::Reason)?.map(reason).transpose()?,
    };
    let state = AttemptState::try_from(fields)
        .map_err(|incomplete| StoreError::Inconsistent(format!("attempt {id}: {incomplete}")))?;
    Ok(Attempt {
        id: AttemptId(id),
        run_id: RunId(columns.get(Column::RunId)?),
        number: columns.get(Column::Number)?,
        runner_id: columns.get::<Option<i64>>(Column::RunnerId)?.map(RunnerId),
        runner_name: columns.get(Column::RunnerName)?,
        leased_at: columns.at(Column::LeasedAt)?,
        lease: Lease {
            expires_at: columns.at(Column::LeaseExpiresAt)?,
            ttl: ttl(columns.get(Column::LeaseTtlMs)?)?,
            instance_id: columns.get(Column::InstanceId)?,
            request_id: columns.get(Column::RequestId)?,
        },
        state,
        row_version: columns.get(Column::RowVersion)?,
    })
}
