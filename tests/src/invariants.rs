//! What must hold of the database at any moment, read from outside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Looks at a database again and again, and remembers what must never change.
#[derive(Debug, Default)]
pub struct Witness {
    /// The terminal rows seen so far, by table and id.
    terminal: BTreeMap<(&'static str, i64), String>,
}

/// Each query yields what breaks an invariant: one line of text per breach.
const BREACHES: &[(&str, &str)] = &[
    (
        "one active attempt per run",
        "SELECT 'run ' || run_id FROM run_attempts WHERE status IN ('leased', 'running', 'cancelling')
         GROUP BY run_id HAVING count(*) > 1",
    ),
    (
        "one active attempt per runner",
        "SELECT 'runner ' || runner_id FROM run_attempts WHERE status IN ('leased', 'running', 'cancelling')
         GROUP BY runner_id HAVING count(*) > 1",
    ),
    (
        "a run is active exactly when one of its attempts is, and in the same state",
        "SELECT 'run ' || r.id || ' ' || r.status || ' with attempt ' || coalesce(a.status, 'none')
         FROM runs r LEFT JOIN run_attempts a
           ON a.run_id = r.id AND a.status IN ('leased', 'running', 'cancelling')
         WHERE coalesce(a.status, '') <> CASE WHEN r.status IN ('leased', 'running', 'cancelling')
           THEN r.status ELSE '' END",
    ),
    (
        "a run has an end exactly when it is terminal",
        "SELECT 'run ' || id || ' ' || status FROM runs
         WHERE (finished_at IS NOT NULL) <> (status IN ('completed', 'failed', 'cancelled', 'dead'))",
    ),
    (
        "retries stay within their budget",
        "SELECT 'run ' || id FROM runs WHERE retry_count < 0 OR retry_count > max_retries",
    ),
    (
        "only an ended run has an output",
        "SELECT 'run ' || id || ' ' || status FROM runs WHERE output IS NOT NULL AND finished_at IS NULL",
    ),
    (
        "only attempts at versions that ask for one have an API token",
        "SELECT 'attempt ' || a.id FROM run_attempts a JOIN runs r ON r.id = a.run_id
         JOIN app_versions v ON v.id = r.app_version_id WHERE a.api_token_hash IS NOT NULL AND v.api = 0",
    ),
    (
        "a run leaves no more behind than it may",
        "SELECT 'run ' || run_id FROM run_artifacts GROUP BY run_id HAVING count(*) > 1000 OR sum(bytes) > 1 << 30",
    ),
    (
        "as many deliveries of a notification wait as are counted, and no more than may",
        "SELECT 'notification ' || c.notification_id || ' counts ' || c.waiting FROM notification_counts c
         WHERE c.waiting > 1000 OR c.waiting <>
           (SELECT count(*) FROM notification_deliveries d WHERE d.notification_id = c.notification_id AND d.status = 'waiting')",
    ),
    (
        "attempts are numbered from 1 without a gap",
        "SELECT 'run ' || run_id FROM run_attempts GROUP BY run_id
         HAVING min(attempt_no) <> 1 OR max(attempt_no) <> count(*)",
    ),
    (
        "runs are numbered from 1 without a gap within their app",
        "SELECT 'app ' || app_id FROM runs GROUP BY app_id HAVING min(run_no) <> 1 OR max(run_no) <> count(*)",
    ),
    (
        "the counted runs are the runs",
        "WITH counted AS (SELECT app_id, environment_id, status, n FROM run_counts WHERE n <> 0),
              recounted AS (SELECT app_id, environment_id, coalesce(blocked_by, status) AS status, count(*) AS n
                FROM runs GROUP BY 1, 2, 3)
         SELECT 'counted app ' || app_id || ' ' || status || ' ' || n FROM
           (SELECT * FROM counted EXCEPT SELECT * FROM recounted)
         UNION ALL
         SELECT 'recounted app ' || app_id || ' ' || status || ' ' || n FROM
           (SELECT * FROM recounted EXCEPT SELECT * FROM counted)",
    ),
    (
        "an active attempt has a runner",
        "SELECT 'attempt ' || id FROM run_attempts
         WHERE finished_at IS NULL AND runner_id NOT IN (SELECT id FROM runners)",
    ),
    (
        "a runner knows the end of its last attempt",
        "WITH last AS (SELECT runner_id, max(id), finished_at FROM run_attempts WHERE finished_at IS NOT NULL GROUP BY 1)
         SELECT 'runner ' || id FROM runners LEFT JOIN last ON runner_id = id WHERE last_finished_at IS NOT finished_at",
    ),
];

/// The tables whose terminal rows are final, which rows are terminal, and what of them must stay.
const FINAL: [(&str, &str); 2] = [
    (
        "runs",
        "SELECT id, status, input, priority, max_retries, retry_count, cancel_requested, runner_name, exit_code,
           error_message, queued_at, started_at, finished_at, attempt_count, output
         FROM runs WHERE status IN ('completed', 'failed', 'cancelled', 'dead')",
    ),
    (
        "run_attempts",
        "SELECT id, run_id, attempt_no, runner_id, runner_name, status, lease_token_hash, lease_expires_at, leased_at, started_at,
           finished_at, exit_code, error_message, reason
         FROM run_attempts WHERE status IN ('completed', 'failed', 'cancelled', 'expired', 'released')",
    ),
];

impl Witness {
    /// Asserts everything that must hold of the database now, and that no terminal row seen before has changed.
    pub fn look(&mut self, database: &Path) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(database, flags).unwrap();
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        // One read transaction: everything below sees the same moment.
        db.execute_batch("BEGIN").unwrap();
        for (invariant, query) in BREACHES {
            let breaches = texts(&db, query);
            assert!(breaches.is_empty(), "broken: {invariant}: {breaches:?}");
        }
        let integrity = texts(&db, "PRAGMA quick_check");
        assert_eq!(integrity, ["ok"], "the database is damaged");
        let orphans = rows(&db, "PRAGMA foreign_key_check");
        assert!(orphans.is_empty(), "foreign keys without their rows: {orphans:?}");
        for (table, query) in FINAL {
            for (id, row) in rows(&db, query) {
                if let Some(before) = self.terminal.insert((table, id), row.clone()) {
                    assert_eq!(before, row, "a terminal row of {table} has changed");
                }
            }
        }
    }
}

fn texts(db: &Connection, query: &str) -> Vec<String> {
    let mut statement = db.prepare(query).unwrap_or_else(|error| panic!("{error}: {query}"));
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The rows by their column `id`, where there is one, as text.
fn rows(db: &Connection, query: &str) -> Vec<(i64, String)> {
    let mut statement = db.prepare(query).unwrap();
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let read = |row: &rusqlite::Row<'_>| {
        let mut text = String::new();
        let mut id = 0;
        for (index, column) in columns.iter().enumerate() {
            let value: rusqlite::types::Value = row.get(index)?;
            if let ("id", rusqlite::types::Value::Integer(number)) = (column.as_str(), &value) {
                id = *number;
            }
            let _ = write!(text, "{column}={value:?} ");
        }
        Ok((id, text))
    };
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::schema;

    /// A database with one ended run, as the server would have written it.
    fn database(folder: &Path) -> Connection {
        let db = Connection::open(folder.join("minitower.db")).unwrap();
        schema::migrate(&db);
        db.execute_batch(
            "INSERT INTO teams VALUES (1, 'acme', 'Acme', NULL, 0);
             INSERT INTO environments VALUES (1, 1, 'default', 0);
             INSERT INTO apps (id, team_id, slug, created_at, updated_at) VALUES (1, 1, 'hello', 0, 0);
             INSERT INTO app_versions (id, app_id, version_no, entrypoint, artifact_sha256, artifact_bytes, created_at)
               VALUES (1, 1, 1, 'main.py', printf('%064d', 0), 0, 0);
             INSERT INTO runs (id, team_id, app_id, environment_id, environment_name, app_version_id, run_no, status,
                 max_retries, created_at, queued_at, finished_at)
               VALUES (1, 1, 1, 1, 'default', 1, 1, 'cancelled', 0, 0, 0, 1);
             INSERT INTO run_counts VALUES (1, 1, 1, 'cancelled', 1);",
        )
        .unwrap();
        db
    }

    /// Whether the witness objects to what the statements make of the database after a first look.
    fn objects_to(statements: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let db = database(folder.path());
        let path = folder.path().join("minitower.db");
        let mut witness = Witness::default();
        witness.look(&path);
        db.execute_batch(statements).unwrap();
        catch_unwind(AssertUnwindSafe(|| witness.look(&path))).is_err()
    }

    #[test]
    fn a_sound_database_passes_and_each_breach_is_noticed() {
        assert!(!objects_to("UPDATE runs SET row_version = 7"));
        for breach in [
            "UPDATE run_counts SET n = 2",
            "DELETE FROM run_counts",
            "UPDATE runs SET run_no = 2",
            "UPDATE runs SET runner_name = 'another'",
            "DROP TRIGGER ended_runs_are_final; UPDATE runs SET output = '1'",
            "INSERT INTO run_artifacts VALUES (1, 'large', printf('%064d', 0), 1073741825, 0)",
            "DROP TRIGGER ended_runs_are_final;
             UPDATE runs SET status = 'running', finished_at = NULL;
             UPDATE run_counts SET status = 'running'",
            "INSERT INTO notifications (team_id, name, occasions, kind, shown, enabled, created_at, updated_at)
               VALUES (1, 'n', 'failed', 'email', 'a@b.example', 1, 0, 0);
             UPDATE notification_counts SET waiting = 1",
            "PRAGMA foreign_keys = OFF; DELETE FROM environments",
        ] {
            assert!(objects_to(breach), "not noticed: {breach}");
        }
    }
}
