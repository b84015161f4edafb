//! SQLite's own checks of a database, bounded or with a word about their progress.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::OpenError;

/// Instructions of SQLite's machine between two looks at the clock: a fraction of a millisecond.
const STEPS: i32 = 10_000;
/// How long the start may be held up after an unclean stop. SQLite looks at some hundred thousand pages in this time.
const AFTER_UNCLEAN_STOP: Duration = Duration::from_secs(1);
/// How often a check says that it still runs.
const WORD_EVERY: Duration = Duration::from_secs(5);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it is in order.
    Whole,
    /// What was looked at in the time given is in order.
    SoFar,
    /// The first thing that is not.
    Damaged(String),
}

/// Looks at every page and every index, however long it takes.
pub(crate) fn integrity(conn: &Connection) -> rusqlite::Result<Verdict> {
    let began = Instant::now();
    let mut said = Duration::ZERO;
    run(conn, "PRAGMA integrity_check(1)", move || {
        let elapsed = began.elapsed();
        if elapsed >= said + WORD_EVERY {
            said = elapsed;
            tracing::info!(seconds = elapsed.as_secs(), "still checking the database");
        }
        false
    })
}

/// Looks at every page, for `at_most` so long.
pub(crate) fn quick(conn: &Connection, at_most: Duration) -> rusqlite::Result<Verdict> {
    let began = Instant::now();
    run(conn, "PRAGMA quick_check(1)", move || began.elapsed() >= at_most)
}

/// Looks for damage where the last stop was not clean, for [`AFTER_UNCLEAN_STOP`] at most.
pub(crate) fn after_unclean_stop(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let began = Instant::now();
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let verdict = quick(conn, AFTER_UNCLEAN_STOP).map_err(sqlite)?;
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match verdict {
        Verdict::Damaged(verdict) => return Err(OpenError::Damaged { path: path.to_owned(), verdict }),
        Verdict::Whole => {
            tracing::info!(
                milliseconds,
                "the last stop was not clean: checked the whole database, it is in order"
            );
        }
        Verdict::SoFar => tracing::info!(
            milliseconds,
            "the last stop was not clean: checked a part of the database, which is in order"
        ),
    }
    Ok(())
}

fn run(
    conn: &Connection,
    check: &str,
    stop: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Verdict> {
    use rusqlite::ErrorCode as Code;
    conn.progress_handler(STEPS, Some(stop))?;
    let found = conn.query_row(check, (), |row| row.get::<_, String>(0));
    conn.progress_handler(STEPS, None::<fn() -> bool>)?;
    match found {
        Ok(verdict) if verdict == "ok" => Ok(Verdict::Whole),
        // The first line only names the table.
        Ok(verdict) => Ok(Verdict::Damaged(verdict.lines().last().unwrap_or_default().to_owned())),
        Err(error) => match error.sqlite_error_code() {
            Some(Code::OperationInterrupted) => Ok(Verdict::SoFar),
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Ok(Verdict::Damaged(error.to_string())),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "CREATE TABLE t (n, u UNIQUE);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO t SELECT n, printf('%050d', n) FROM n;",
        )
        .unwrap();
        (folder, path)
    }

    #[test]
    fn a_whole_database_is_whole_and_a_short_look_says_that_it_was_one() {
        let (_folder, path) = filled();
        let conn = Connection::open(path).unwrap();
        assert_eq!(integrity(&conn).unwrap(), Verdict::Whole);
        assert_eq!(quick(&conn, Duration::from_mins(1)).unwrap(), Verdict::Whole);
        assert_eq!(quick(&conn, Duration::ZERO).unwrap(), Verdict::SoFar);
    }

    #[test]
    fn a_page_of_other_bytes_is_found() {
        let (_folder, path) = filled();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40_960..45_056].fill(0xab);
        std::fs::write(&path, bytes).unwrap();
        let conn = Connection::open(path).unwrap();
        assert!(matches!(integrity(&conn).unwrap(), Verdict::Damaged(_)));
        assert!(matches!(quick(&conn, Duration::from_mins(1)).unwrap(), Verdict::Damaged(_)));
    }
}
