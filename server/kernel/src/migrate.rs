//! The schema's versions.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations, SchemaVersion};

use crate::{Db, MigrationError, OpenError, copy};

/// The oldest SQLite to run on: from 3.51.3 on the WAL-reset race (<https://sqlite.org/wal.html#walresetbug>) is mended, which could corrupt a
/// database written by one and checkpointed by another connection.
pub const SQLITE_AT_LEAST: (&str, i32) = ("3.51.3", 3_051_003);

const STEPS: &[(&str, &str)] = &[
    ("0001_init", include_str!("../../../migrations/0001_init.sql")),
    ("0002_active_by_end", include_str!("../../../migrations/0002_active_by_end.sql")),
    ("0003_outputs_and_artifacts", include_str!("../../../migrations/0003_outputs_and_artifacts.sql")),
    ("0004_retry", include_str!("../../../migrations/0004_retry.sql")),
    ("0005_heard", include_str!("../../../migrations/0005_heard.sql")),
    (
        "0006_attempts_without_scattered_indexes",
        include_str!("../../../migrations/0006_attempts_without_scattered_indexes.sql"),
    ),
    ("0007_queue_by_team", include_str!("../../../migrations/0007_queue_by_team.sql")),
    ("0008_deletions", include_str!("../../../migrations/0008_deletions.sql")),
    (
        "0009_run_labels_and_idempotency",
        include_str!("../../../migrations/0009_run_labels_and_idempotency.sql"),
    ),
    ("0010_application_id", include_str!("../../../migrations/0010_application_id.sql")),
    ("0011_tokens_expire", include_str!("../../../migrations/0011_tokens_expire.sql")),
    ("0012_limits", include_str!("../../../migrations/0012_limits.sql")),
    ("0013_pool_tokens", include_str!("../../../migrations/0013_pool_tokens.sql")),
    ("0014_runners_of_pools", include_str!("../../../migrations/0014_runners_of_pools.sql")),
    ("0015_repeated_runs", include_str!("../../../migrations/0015_repeated_runs.sql")),
    ("0016_secrets", include_str!("../../../migrations/0016_secrets.sql")),
    ("0017_audit", include_str!("../../../migrations/0017_audit.sql")),
    ("0018_runs_that_wait", include_str!("../../../migrations/0018_runs_that_wait.sql")),
    ("0019_object_store", include_str!("../../../migrations/0019_object_store.sql")),
    ("0020_notifications", include_str!("../../../migrations/0020_notifications.sql")),
    ("0021_people", include_str!("../../../migrations/0021_people.sql")),
    ("0022_large_inputs", include_str!("../../../migrations/0022_large_inputs.sql")),
    ("0023_log_segments", include_str!("../../../migrations/0023_log_segments.sql")),
    ("0024_what_a_run_comes_after", include_str!("../../../migrations/0024_what_a_run_comes_after.sql")),
    ("0025_retention", include_str!("../../../migrations/0025_retention.sql")),
];

/// The newest version of the schema.
#[cfg(test)]
pub(crate) const LATEST: usize = STEPS.len();

pub(crate) fn assert_sqlite_version() -> Result<(), OpenError> {
    if rusqlite::version_number() < SQLITE_AT_LEAST.1 {
        return Err(OpenError::OldSqlite { found: rusqlite::version(), wanted: SQLITE_AT_LEAST.0 });
    }
    Ok(())
}

/// An empty database of that version, in memory; none: there is no such version.
pub(crate) fn schema_of(version: usize) -> Option<rusqlite::Result<Connection>> {
    let steps = STEPS.get(..version).filter(|steps| !steps.is_empty())?;
    Some(Connection::open_in_memory().and_then(|conn| {
        steps.iter().try_for_each(|(_, sql)| conn.execute_batch(sql))?;
        Ok(conn)
    }))
}

/// Brings an empty database to an older version, as that version itself did.
#[cfg(test)]
pub(crate) fn to(db: &mut Db, version: usize) {
    for (_, sql) in &STEPS[..version] {
        db.conn.execute_batch(sql).unwrap();
    }
    db.conn.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
}

/// Whether the database is copied before it is migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// To a file beside it, which is what an older version can go back to.
    Copy,
    /// It is itself a copy.
    Nothing,
}

/// Brings the database up to date.
pub(crate) fn run(db: &mut Db, path: &Path, before: Before) -> Result<(), OpenError> {
    let failed =
        |source: MigrationError| OpenError::Migration { path: path.to_owned(), source: Box::new(source) };
    // Those that make a table anew would otherwise delete what refers to it.
    let migrations = Migrations::new(STEPS.iter().map(|(_, sql)| M::up(sql).foreign_key_check()).collect());
    let version = |db: &Db| match migrations.current_version(&db.conn) {
        Ok(SchemaVersion::NoneSet) => Ok(0),
        Ok(SchemaVersion::Inside(n) | SchemaVersion::Outside(n)) => Ok(n.get()),
        Err(error) => Err(failed(MigrationError::Version(error))),
    };
    let found = version(db)?;
    if found > STEPS.len() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: STEPS.len() });
    }
    if found == STEPS.len() {
        return Ok(());
    }
    if found > 0 && before == Before::Copy {
        let target = copy::with_suffix(path, &format!(".before-{}", STEPS[found].0));
        copy::copy(db, &target).map_err(|error| failed(error.into()))?;
        tracing::info!(copy = %target.display(), "copied the database before migrating it");
    }
    let foreign_keys = |db: &Db, on: bool| {
        db.conn
            .pragma_update(None, "foreign_keys", on)
            .map_err(|error| failed(MigrationError::ForeignKeys(error)))
    };
    foreign_keys(db, false)?;
    if let Err(source) = migrations.to_latest(&mut db.conn) {
        // Each step is a transaction.
        let step = STEPS[version(db)?].0;
        return Err(failed(MigrationError::Step { step, source }));
    }
    foreign_keys(db, true)?;
    tracing::info!(from = found, to = STEPS.len(), "migrated the database");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_file_in_the_folder_is_a_step_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|e| e.unwrap().file_name().to_str()?.strip_suffix(".sql").map(str::to_owned))
            .collect();
        files.sort();
        let steps: Vec<_> = STEPS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, steps, "STEPS has to list the files in migrations/, in order");
    }

    #[test]
    fn a_fresh_database_becomes_current_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        for _ in 0..2 {
            let mut db = Db::open_writer(&path).unwrap();
            run(&mut db, &path, Before::Copy).unwrap();
            db.conn.execute_batch("PRAGMA foreign_key_check; PRAGMA integrity_check;").unwrap();
        }
    }

    /// A database of an older version, with a team that has an app.
    fn at_version(version: usize) -> (tempfile::TempDir, PathBuf, Db) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let mut db = Db::open_writer(&path).unwrap();
        to(&mut db, version);
        db.conn
            .execute_batch(
                "INSERT INTO teams (id, slug, name, created_at) VALUES (1, 'acme', 'Acme', 0);
                 INSERT INTO environments VALUES (1, 1, 'default', 0);
                 INSERT INTO apps (id, team_id, slug, created_at, updated_at) VALUES (1, 1, 'hello', 0, 0);
                 INSERT INTO app_versions (id, app_id, version_no, entrypoint, artifact_sha256, artifact_bytes, created_at)
                   VALUES (1, 1, 1, 'main.py', printf('%064d', 0), 0, 0);",
            )
            .unwrap();
        (folder, path, db)
    }

    #[test]
    fn a_database_of_the_first_version_keeps_its_runs_and_gets_the_newer_indexes() {
        let (_folder, path, mut db) = at_version(1);
        db.conn
            .execute_batch(
                "INSERT INTO runners (id, name, environment, token_hash, registered_at, last_seen_at)
                   VALUES (1, 'r1', 'default', zeroblob(32), 0, 0);
                 INSERT INTO runs (id, team_id, app_id, environment_id, environment_name, app_version_id, run_no, status,
                     max_retries, created_at, queued_at)
                   VALUES (1, 1, 1, 1, 'default', 1, 1, 'running', 0, 0, 0);
                 INSERT INTO run_attempts (id, run_id, attempt_no, runner_id, runner_name, status, lease_token_hash,
                     lease_expires_at, lease_ttl_ms, leased_at)
                   VALUES (1, 1, 1, 1, 'r1', 'running', zeroblob(32), 9, 9, 0);",
            )
            .unwrap();
        run(&mut db, &path, Before::Copy).unwrap();
        assert!(
            copy::with_suffix(&path, &format!(".before-{}", STEPS[1].0)).is_file(),
            "the database was copied before"
        );
        let held: i64 = db
            .conn
            .query_row(
                "SELECT run_id FROM run_attempts INDEXED BY one_active_attempt_per_runner
                 WHERE runner_id = 1 AND finished_at IS NULL",
                (),
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(held, 1);
        let on: bool = db.conn.query_row("PRAGMA foreign_keys", (), |row| row.get(0)).unwrap();
        assert!(on, "foreign keys are enforced again");
    }

    #[test]
    fn what_versions_and_artifacts_take_is_counted_from_before() {
        let (_folder, path, mut db) = at_version(7);
        db.conn
            .execute_batch(
                "INSERT INTO teams (id, slug, name, created_at) VALUES (2, 'idle', 'idle', 0);
                 UPDATE app_versions SET artifact_bytes = 100;
                 INSERT INTO runs (id, team_id, app_id, environment_id, environment_name, app_version_id, run_no, status,
                     max_retries, created_at, queued_at)
                   VALUES (1, 1, 1, 1, 'default', 1, 1, 'queued', 0, 0, 0);
                 INSERT INTO run_artifacts (run_id, path, sha256, bytes, created_at)
                   VALUES (1, 'a', printf('%064d', 0), 20, 0), (1, 'b', printf('%064d', 0), 3, 0);",
            )
            .unwrap();
        run(&mut db, &path, Before::Copy).unwrap();
        let usage = "SELECT group_concat(team_id || ' ' || bytes ORDER BY team_id) FROM team_usage";
        let usage: String = db.conn.query_row(usage, (), |row| row.get(0)).unwrap();
        assert_eq!(usage, "1 123,2 0");
    }

    #[test]
    fn attempts_are_made_anew_with_their_lines_and_go_on_with_their_numbers() {
        let (_folder, path, mut db) = at_version(5);
        db.conn
            .execute_batch(
                "INSERT INTO runners (id, name, environment, token_hash, registered_at, last_seen_at)
                   VALUES (1, 'idle', 'default', zeroblob(32), 0, 0), (2, 'new', 'default', randomblob(32), 0, 0);
                 INSERT INTO runs (id, team_id, app_id, environment_id, environment_name, app_version_id, run_no, status,
                     max_retries, retry_count, created_at, queued_at)
                   VALUES (1, 1, 1, 1, 'default', 1, 1, 'queued', 3, 2, 0, 0);
                 INSERT INTO run_attempts (id, run_id, attempt_no, runner_id, runner_name, status, lease_token_hash,
                     lease_expires_at, lease_ttl_ms, leased_at, finished_at, ended_by)
                   VALUES (1, 1, 1, 1, 'idle', 'expired', zeroblob(32), 9, 9, 0, 7, 'expiry'),
                          (2, 1, 2, 1, 'idle', 'expired', randomblob(32), 19, 9, 8, 17, 'expiry');
                 INSERT INTO run_logs VALUES (1, 1, 'stdout', 'kept', 0);
                 UPDATE sqlite_sequence SET seq = 1000002 WHERE name = 'run_attempts';",
            )
            .unwrap();
        run(&mut db, &path, Before::Copy).unwrap();
        let text = |sql: &str| db.conn.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(text("SELECT group_concat(id || ' ' || finished_at) FROM run_attempts"), "1 7,2 17");
        assert_eq!(text("SELECT line FROM run_logs WHERE run_attempt_id = 1"), "kept");
        assert_eq!(
            text("SELECT group_concat(name || ' ' || coalesce(last_finished_at, '-')) FROM runners"),
            "idle 17,new -"
        );
        let lease = |runner: i64| {
            db.conn.execute(
                "INSERT INTO run_attempts (run_id, attempt_no, runner_id, runner_name, status, lease_token_hash,
                     lease_expires_at, lease_ttl_ms, leased_at) VALUES (1, 3, ?1, 'r', 'leased', zeroblob(32), 9, 9, 0)",
                [runner],
            )
        };
        assert!(lease(3).is_err(), "no such runner");
        lease(1).unwrap();
        assert_eq!(db.conn.last_insert_rowid(), 1_000_003);
        assert!(db.conn.execute("DELETE FROM runners WHERE id = 1", ()).is_err(), "it is busy");
        assert_eq!(db.conn.execute("DELETE FROM runners WHERE id = 2", ()).unwrap(), 1);
        assert!(db.conn.execute("DELETE FROM runs", ()).is_err(), "attempts refer to it");
        assert!(
            db.conn.execute("UPDATE run_attempts SET finished_at = 18 WHERE id = 2", ()).is_err(),
            "it has ended"
        );
    }

    /// Whether the schema takes that change of a queued run that waits for its retry.
    fn takes(change: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let mut db = Db::open_writer(&path).unwrap();
        run(&mut db, &path, Before::Copy).unwrap();
        db.conn
            .execute_batch(
                "PRAGMA foreign_keys = OFF;
                 INSERT INTO runs (id, team_id, app_id, environment_id, environment_name, app_version_id, run_no, status,
                     max_retries, created_at, queued_at, blocked_by, not_before, retry_on, backoff_initial_ms,
                     backoff_multiplier, backoff_max_ms)
                   VALUES (1, 1, 1, 1, 'default', 1, 1, 'queued', 1, 0, 9, 'backoff', 9, 'failed', 1, 1000, 1);",
            )
            .unwrap();
        db.conn.execute_batch(change).is_ok()
    }

    #[test]
    fn a_run_is_held_back_exactly_as_long_as_it_is_queued_and_has_a_moment_to_wait_for() {
        assert!(takes("UPDATE runs SET not_before = 10"));
        assert!(takes("UPDATE runs SET not_before = NULL, blocked_by = NULL"));
        for breach in [
            "UPDATE runs SET not_before = NULL",
            "UPDATE runs SET blocked_by = NULL",
            "UPDATE runs SET blocked_by = 'limit'",
            "UPDATE runs SET status = 'leased'",
            "UPDATE runs SET status = 'cancelled', finished_at = 1",
            "UPDATE runs SET retry_on = NULL",
            "UPDATE runs SET backoff_multiplier = 999",
            "UPDATE runs SET timeout_seconds = 0",
        ] {
            assert!(!takes(breach), "taken: {breach}");
        }
    }

    #[test]
    fn a_queued_run_may_wait_for_other_runs_for_its_app_or_for_a_place_under_its_key() {
        const NOT_BACKING_OFF: &str = "UPDATE runs SET not_before = NULL, blocked_by";
        let held = |by: &str| {
            takes(&format!("{NOT_BACKING_OFF} = '{by}', concurrency_key = 'db', concurrency_max = 1"))
        };
        assert!(held("after") && held("disabled") && held("limit"));
        assert!(!held("lunch"), "no other reason");
        assert!(takes(&format!("{NOT_BACKING_OFF} = 'after'")));
        assert!(!takes(&format!("{NOT_BACKING_OFF} = 'limit'")), "without a key");
        assert!(!takes(&format!("{NOT_BACKING_OFF} = 'disabled', status = 'leased'")), "a runner has it");
        assert!(!takes("UPDATE runs SET concurrency_max = 1"), "a limit of what?");
        assert!(!takes("UPDATE runs SET concurrency_key = 'db', concurrency_max = 0"));
        let comes_after =
            |id: &str| takes(&format!("INSERT INTO run_dependencies VALUES (2, {id}, 'ended', 0)"));
        assert!(comes_after("1"));
        assert!(!comes_after("2") && !comes_after("3"), "only after an earlier one: there are no circles");
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused_in_one_line_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let mut db = Db::open_writer(&path).unwrap();
        run(&mut db, &path, Before::Copy).unwrap();
        db.conn.execute_batch("PRAGMA user_version = 999").unwrap();
        let error = run(&mut db, &path, Before::Copy).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 999, .. }));
        let text = error.to_string();
        assert!(!text.contains('\n') && text.contains("m.db") && text.contains("restore"), "{text}");
    }

    #[test]
    fn a_step_that_fails_is_named_in_one_line_and_changes_nothing() {
        let (_folder, path, mut db) = at_version(5);
        db.conn.execute_batch("CREATE TABLE attempts_made_anew (n)").unwrap();
        let text = run(&mut db, &path, Before::Copy).unwrap_err().to_string();
        assert!(
            !text.contains('\n') && text.contains("step 0006") && text.contains("already exists"),
            "{text}"
        );
        let version: i64 = db.conn.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap();
        assert_eq!(version, 5);
        db.conn.execute_batch("SELECT * FROM attempts_made_anew; DROP TABLE attempts_made_anew").unwrap();
        run(&mut db, &path, Before::Nothing).unwrap();
    }
}
