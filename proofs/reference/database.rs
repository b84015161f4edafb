//! What a control plane keeps, as tables: the reference makes them of its own state, and they are read from SQLite through a connection of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row};

use crate::vocabulary::{AttemptRow, EndedBy, Retry, RunRow, Status, Team};

/// Everything that is compared after each operation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) runs: BTreeMap<i64, RunRow>,
    /// Ready runs in the order of the queue, by environment.
    pub(crate) queue: BTreeMap<String, Vec<i64>>,
    pub(crate) attempts: BTreeMap<i64, AttemptRow>,
    /// By attempt and number.
    pub(crate) logs: BTreeMap<(i64, i64), String>,
    /// Runner's name, holder (0: the operator), owner.
    pub(crate) fences: BTreeSet<(String, i64, String)>,
    /// By team, app, environment and what is counted; zeros are left out.
    pub(crate) counts: BTreeMap<(Team, String, String, String), i64>,
    /// By name: id, team's id, environment, instance.
    pub(crate) runners: BTreeMap<String, (i64, Option<i64>, String, Option<String>)>,
    pub(crate) environments: BTreeSet<(Team, String)>,
    /// By team and slug: the versions' retries, the first version first.
    pub(crate) apps: BTreeMap<(Team, String), Vec<i64>>,
    /// How many registration tokens each team has.
    pub(crate) registration_tokens: BTreeMap<Team, i64>,
}

impl Tables {
    /// What another has otherwise, in words; none: they are equal.
    pub(crate) fn difference(&self, expected: &Self) -> Option<String> {
        let mut text = String::new();
        maps(&mut text, "run", &self.runs, &expected.runs);
        maps(&mut text, "queue", &self.queue, &expected.queue);
        maps(&mut text, "attempt", &self.attempts, &expected.attempts);
        maps(&mut text, "log line", &self.logs, &expected.logs);
        if self.fences != expected.fences {
            let _ = writeln!(text, "fences: {:?}\n  expected {:?}", self.fences, expected.fences);
        }
        maps(&mut text, "count", &self.counts, &expected.counts);
        maps(&mut text, "runner", &self.runners, &expected.runners);
        if self.environments != expected.environments {
            let _ = writeln!(
                text,
                "environments: {:?}\n  expected {:?}",
                self.environments, expected.environments
            );
        }
        maps(&mut text, "app", &self.apps, &expected.apps);
        maps(&mut text, "registration tokens", &self.registration_tokens, &expected.registration_tokens);
        (!text.is_empty()).then_some(text)
    }
}

fn maps<K: Ord + Debug, V: PartialEq + Debug>(
    text: &mut String,
    what: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) {
    let keys: BTreeSet<&K> = found.keys().chain(expected.keys()).collect();
    for key in keys {
        let (found, expected) = (found.get(key), expected.get(key));
        if found != expected {
            let _ = writeln!(text, "{what} {key:?}: {found:?}\n  expected {expected:?}");
        }
    }
}

/// A read-only connection of its own.
pub(crate) struct Reader(Connection);

impl Reader {
    pub(crate) fn open(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).unwrap();
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        Self(db)
    }

    /// Active attempts whose lease has run out at `now`, and runs whose backoff has passed.
    pub(crate) fn overdue(&self, now: i64) -> i64 {
        let sql = "SELECT (SELECT count(*) FROM run_attempts
                       WHERE status IN ('leased', 'running', 'cancelling') AND lease_expires_at <= ?1)
                   + (SELECT count(*) FROM runs WHERE not_before <= ?1)";
        self.0.prepare_cached(sql).unwrap().query_row([now], |row| row.get(0)).unwrap()
    }

    /// All tables, as of one moment.
    pub(crate) fn tables(&self) -> Tables {
        self.0.execute_batch("BEGIN").unwrap();
        let tables = self.read();
        self.0.execute_batch("COMMIT").unwrap();
        tables
    }

    fn read(&self) -> Tables {
        let mut tables = Tables::default();
        self.each(
            "SELECT r.*, a.slug, v.version_no FROM runs r JOIN apps a ON a.id = r.app_id
             JOIN app_versions v ON v.id = r.app_version_id",
            |row| {
                let run = run(row);
                tables.runs.insert(run.id, run);
            },
        );
        self.each(
            "SELECT environment_name, id FROM runs WHERE status = 'queued' AND blocked_by IS NULL
             ORDER BY priority DESC, queued_at, id",
            |row| tables.queue.entry(get(row, 0)).or_default().push(row.get(1).unwrap()),
        );
        self.each("SELECT * FROM run_attempts", |row| {
            let attempt = attempt(row);
            tables.attempts.insert(attempt.id, attempt);
        });
        self.each("SELECT run_attempt_id, seq, stream, line FROM run_logs", |row| {
            let line = format!("{} {}", get(row, 2), get(row, 3));
            tables.logs.insert((row.get(0).unwrap(), row.get(1).unwrap()), line);
        });
        self.each("SELECT runner_name, holder_team_id, owner FROM runner_fences", |row| {
            tables.fences.insert((get(row, 0), row.get(1).unwrap(), get(row, 2)));
        });
        self.each(
            "SELECT c.team_id, a.slug, e.name, c.status, c.n FROM run_counts c JOIN apps a ON a.id = c.app_id
             JOIN environments e ON e.id = c.environment_id WHERE c.n <> 0",
            |row| {
                let key = (team(row, 0), get(row, 1), get(row, 2), get(row, 3));
                tables.counts.insert(key, row.get(4).unwrap());
            },
        );
        self.each("SELECT name, id, team_id, environment, instance_id FROM runners", |row| {
            let rest = (row.get(1).unwrap(), row.get(2).unwrap(), get(row, 3), row.get(4).unwrap());
            tables.runners.insert(get(row, 0), rest);
        });
        self.each("SELECT team_id, name FROM environments", |row| {
            tables.environments.insert((team(row, 0), get(row, 1)));
        });
        self.each(
            "SELECT a.team_id, a.slug, v.max_retries FROM apps a LEFT JOIN app_versions v ON v.app_id = a.id
             ORDER BY v.version_no",
            |row| {
                let versions = tables.apps.entry((team(row, 0), get(row, 1))).or_default();
                versions.extend(row.get::<_, Option<i64>>(2).unwrap());
            },
        );
        self.each("SELECT team_id, count(*) FROM registration_tokens GROUP BY team_id", |row| {
            tables.registration_tokens.insert(team(row, 0), row.get(1).unwrap());
        });
        tables
    }

    fn each(&self, sql: &str, mut take: impl FnMut(&Row<'_>)) {
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            take(row);
        }
    }
}

fn get(row: &Row<'_>, index: usize) -> String {
    row.get(index).unwrap()
}

fn team(row: &Row<'_>, index: usize) -> Team {
    usize::try_from(row.get::<_, i64>(index).unwrap() - 1).unwrap()
}

fn run(row: &Row<'_>) -> RunRow {
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap();
    let number = |column: &str| row.get::<_, Option<i64>>(column).unwrap();
    let not_before = number("not_before");
    assert_eq!(text("blocked_by").as_deref(), not_before.map(|_| "backoff"), "nothing else holds a run back");
    let retry = text("retry_on").map(|words| Retry {
        max_attempts: number("max_retries").unwrap() + 1,
        failed: words.split(',').any(|word| word == "failed"),
        timeout: words.split(',').any(|word| word == "timeout"),
        lost: words.split(',').any(|word| word == "lost"),
        backoff: number("backoff_initial_ms").unwrap(),
    });
    RunRow {
        id: row.get("id").unwrap(),
        team: usize::try_from(number("team_id").unwrap() - 1).unwrap(),
        app: row.get("slug").unwrap(),
        number: row.get("run_no").unwrap(),
        version: row.get("version_no").unwrap(),
        environment: row.get("environment_name").unwrap(),
        input: text("input"),
        priority: row.get("priority").unwrap(),
        max_retries: row.get("max_retries").unwrap(),
        retry,
        not_before,
        retry_count: row.get("retry_count").unwrap(),
        status: Status::of_word(&text("status").unwrap()),
        cancel_requested: row.get("cancel_requested").unwrap(),
        runner: text("runner_name"),
        exit_code: number("exit_code"),
        message: text("error_message"),
        created_at: row.get("created_at").unwrap(),
        queued_at: row.get("queued_at").unwrap(),
        started_at: number("started_at"),
        finished_at: number("finished_at"),
    }
}

fn attempt(row: &Row<'_>) -> AttemptRow {
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap();
    let number = |column: &str| row.get::<_, Option<i64>>(column).unwrap();
    AttemptRow {
        id: row.get("id").unwrap(),
        run: row.get("run_id").unwrap(),
        number: row.get("attempt_no").unwrap(),
        runner: number("runner_id"),
        runner_name: row.get("runner_name").unwrap(),
        status: Status::of_word(&text("status").unwrap()),
        expires: row.get("lease_expires_at").unwrap(),
        instance: text("instance_id"),
        request: text("request_id"),
        leased_at: row.get("leased_at").unwrap(),
        started_at: number("started_at"),
        finished_at: number("finished_at"),
        ended_by: text("ended_by").map(|word| EndedBy::of_word(&word)),
        exit_code: number("exit_code"),
        message: text("error_message"),
    }
}
