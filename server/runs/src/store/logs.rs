//! Log lines of attempts.

use crate::domain::log::{Gap, Kept};
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

/// Lines looked at together when a log has become too long.
const DROPPED_AT_ONCE: i64 = 200;
/// Lines looked at together when a log is measured.
const MEASURED_AT_ONCE: i64 = 10_000;

/// Stores lines, and drops others from the middle of a log that is longer than `most` with them; those whose number has been there already
/// are ignored.
pub fn append(
    tx: &Tx<'_>,
    attempt: AttemptId,
    lines: &[LogLine],
    (mut kept, most): (Kept, u64),
) -> Result<Kept, StoreError> {
    for line in lines {
        if kept.has_had(line.seq) {
            continue;
        }
        let stored = tx.execute(
            "INSERT INTO run_logs (run_attempt_id, seq, stream, line, logged_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
            params![attempt.0, line.seq, word(line.stderr), line.line, At(line.logged_at)],
        )?;
        if stored > 0 {
            kept.add(line.seq, line.line.len() as u64, most);
        }
    }
    if kept.is_too_long(most) {
        drop_middle(tx, attempt, &mut kept, most)?;
    }
    Ok(kept)
}

/// Drops the oldest lines behind the beginning until the log is no longer than it may be, and says in their place how many there were.
fn drop_middle(tx: &Tx<'_>, attempt: AttemptId, kept: &mut Kept, most: u64) -> Result<(), StoreError> {
    let former = kept.dropped_to();
    while kept.is_too_long(most) {
        let oldest = tx.all(
            "SELECT seq, octet_length(line) AS bytes FROM run_logs WHERE run_attempt_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            params![attempt.0, kept.dropped_to(), DROPPED_AT_ONCE],
            |row| Ok((row.get::<_, i64>("seq")?, row.get::<_, i64>("bytes")?.unsigned_abs())),
        )?;
        if oldest.is_empty() {
            break;
        }
        for (seq, bytes) in oldest {
            if kept.is_too_long(most) {
                kept.drop_line(seq, bytes);
            }
        }
    }
    let Some(gap) = kept.gap else { return Ok(()) };
    let dropped = params![attempt.0, former, gap.last];
    let at: Option<i64> = tx.one(
        "SELECT logged_at FROM run_logs WHERE run_attempt_id = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT 1",
        dropped,
        |row| Ok(row.get("logged_at")?),
    )?;
    tx.execute("DELETE FROM run_logs WHERE run_attempt_id = ?1 AND seq > ?2 AND seq <= ?3", dropped)?;
    tx.execute(
        "INSERT INTO run_logs (run_attempt_id, seq, stream, line, logged_at) VALUES (?1, ?2, 'stderr', ?3, ?4)
         ON CONFLICT DO UPDATE SET line = excluded.line",
        params![attempt.0, gap.first, gap.notice(), at.unwrap_or(0)],
    )?;
    tx.execute(
        "INSERT INTO run_log_gaps (run_attempt_id, first_seq, last_seq, lines, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET last_seq = excluded.last_seq, lines = excluded.lines, bytes = excluded.bytes",
        params![attempt.0, gap.first, gap.last, signed(gap.lines), signed(gap.bytes)],
    )?;
    Ok(())
}

/// The stream's word.
const fn word(stderr: bool) -> &'static str {
    if stderr { "stderr" } else { "stdout" }
}

/// What is kept of a log that grew before this process began: it looks at every line.
pub fn measure(db: &Db, attempt: AttemptId, most: u64) -> Result<Kept, StoreError> {
    let gap = gap(db, attempt)?;
    let mut kept = Kept { gap, beginning_to: gap.map(|gap| gap.first - 1), ..Kept::default() };
    let mut after = 0;
    loop {
        let lines = db.all(
            "SELECT seq, octet_length(line) AS bytes FROM run_logs WHERE run_attempt_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            params![attempt.0, after, MEASURED_AT_ONCE],
            |row| Ok((row.get::<_, i64>("seq")?, row.get::<_, i64>("bytes")?.unsigned_abs())),
        )?;
        let Some((last, _)) = lines.last() else { return Ok(kept) };
        after = *last;
        for (seq, bytes) in lines {
            if gap.is_none_or(|gap| gap.first != seq) {
                kept.add(seq, bytes, most);
            }
        }
    }
}

/// What was left out of a log.
pub fn gap(db: &Db, attempt: AttemptId) -> Result<Option<Gap>, StoreError> {
    db.one(
        "SELECT first_seq, last_seq, lines, bytes FROM run_log_gaps WHERE run_attempt_id = ?1",
        [attempt.0],
        |row| {
            let count = |column: &str| row.get::<_, i64>(column).map(i64::unsigned_abs);
            let (first, last) = (row.get("first_seq")?, row.get("last_seq")?);
            Ok(Gap { first, last, lines: count("lines")?, bytes: count("bytes")? })
        },
    )
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
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

/// The number of the first of an attempt's last `lines` lines behind a number; none: there are fewer, and so many.
pub fn first_of_last_behind(
    db: &Db,
    attempt: AttemptId,
    stderr: Option<bool>,
    after_seq: i64,
    lines: i64,
) -> Result<(Option<i64>, i64), StoreError> {
    let found = db.one(
        "SELECT min(seq) AS first, count(*) AS n FROM (
             SELECT seq FROM run_logs WHERE run_attempt_id = ?1 AND seq > ?2 AND (?3 IS NULL OR stream = ?3)
             ORDER BY seq DESC LIMIT ?4)",
        params![attempt.0, after_seq, stderr.map(word), lines],
        |row| Ok((row.get::<_, Option<i64>>("first")?, row.get::<_, i64>("n")?)),
    )?;
    let (first, n) = found.unwrap_or_default();
    Ok((first.filter(|_| n >= lines), n))
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
