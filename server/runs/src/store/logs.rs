//! Log lines of attempts.

use minitower_kernel::rusqlite::params;
use minitower_vocabulary::ids::AttemptId;
use minitower_vocabulary::time::Timestamp;

use minitower_kernel::{At, at};
use minitower_kernel::{Db, StoreError, Tx};

/// A line of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 1, 2, 3 … within the attempt.
    pub seq: i64,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// The text, without its newline.
    pub line: String,
    /// When the runner read it, by the runner's clock.
    pub logged_at: Timestamp,
}

/// Stores lines; those whose number is there already are ignored.
pub fn append(tx: &Tx<'_>, attempt: AttemptId, lines: &[LogLine]) -> Result<(), StoreError> {
    for line in lines {
        tx.execute(
            "INSERT INTO run_logs (run_attempt_id, seq, stream, line, logged_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
            params![attempt.0, line.seq, word(line.stderr), line.line, At(line.logged_at)],
        )?;
    }
    Ok(())
}

/// The stream's word.
const fn word(stderr: bool) -> &'static str {
    if stderr { "stderr" } else { "stdout" }
}

/// Lines of an attempt after a number, in order, of one stream or both: at most `limit`, and no more once they make `max_bytes` of text.
pub fn list(
    db: &Db,
    attempt: AttemptId,
    stderr: Option<bool>,
    after_seq: i64,
    (limit, max_bytes): (i64, usize),
) -> Result<Vec<LogLine>, StoreError> {
    db.all_within(
        "SELECT seq, stream, line, logged_at FROM run_logs
         WHERE run_attempt_id = ?1 AND seq > ?2 AND (?3 IS NULL OR stream = ?3) ORDER BY seq LIMIT ?4",
        params![attempt.0, after_seq, stderr.map(word), limit],
        max_bytes,
        |row| {
            let (stream, line): (String, String) = (row.get("stream")?, row.get("line")?);
            let (seq, bytes) = (row.get("seq")?, line.len());
            Ok((LogLine { seq, stderr: stream == "stderr", line, logged_at: at(row, "logged_at")? }, bytes))
        },
    )
}

/// Whether an attempt has lines after a number.
pub fn any_after(
    db: &Db,
    attempt: AttemptId,
    stderr: Option<bool>,
    after_seq: i64,
) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM run_logs WHERE run_attempt_id = ?1 AND seq > ?2 AND (?3 IS NULL OR stream = ?3) LIMIT 1",
        params![attempt.0, after_seq, stderr.map(word)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// The number of the first of an attempt's last `lines` lines; none: it has fewer.
pub fn first_of_last(
    db: &Db,
    attempt: AttemptId,
    stderr: Option<bool>,
    lines: i64,
) -> Result<Option<i64>, StoreError> {
    db.one(
        "SELECT seq FROM run_logs WHERE run_attempt_id = ?1 AND (?2 IS NULL OR stream = ?2)
         ORDER BY seq DESC LIMIT 1 OFFSET ?3 - 1",
        params![attempt.0, stderr.map(word), lines],
        |row| Ok(row.get("seq")?),
    )
}
