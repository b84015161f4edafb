//! Segments of logs, and the frames in them.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::AttemptId;
use minitower_vocabulary::time::Timestamp;

use crate::store::logs;
use crate::store::logs::LogLine;

/// Where lines of an attempt lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The attempt.
    pub attempt: AttemptId,
    /// The number of its first line.
    pub first_seq: i64,
    /// The number of its last line.
    pub last_seq: i64,
    /// How many lines it has.
    pub lines: i64,
    /// How many of them came from standard error.
    pub stderr_lines: i64,
    /// Where it lies in its segment.
    pub at: i64,
    /// Its length there.
    pub bytes: i64,
    /// What its lines count for in what their team has stored.
    pub counted: i64,
}

impl Frame {
    /// How many lines it has of one stream, or of both.
    pub fn lines_of(&self, stderr: Option<bool>) -> i64 {
        match stderr {
            None => self.lines,
            Some(true) => self.stderr_lines,
            Some(false) => self.lines - self.stderr_lines,
        }
    }
}

/// A frame, and the segment that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The frame.
    pub frame: Frame,
    /// The object.
    pub sha256: String,
}

fn placed(row: &Row<'_>) -> Result<Placed, StoreError> {
    let frame = Frame {
        attempt: AttemptId(row.get("run_attempt_id")?),
        first_seq: row.get("first_seq")?,
        last_seq: row.get("last_seq")?,
        lines: row.get("lines")?,
        stderr_lines: row.get("stderr_lines")?,
        at: row.get("at")?,
        bytes: row.get("bytes")?,
        counted: row.get("counted")?,
    };
    Ok(Placed { frame, sha256: row.get("sha256")? })
}

const PLACED: &str = "SELECT f.run_attempt_id, f.first_seq, f.last_seq, f.lines, f.stderr_lines, f.at, f.bytes, f.counted, s.sha256
    FROM log_frames f JOIN log_segments s ON s.id = f.segment_id";

/// Frames of an attempt with lines after a number, in order.
pub fn after(db: &Db, attempt: AttemptId, seq: i64, most: i64) -> Result<Vec<Placed>, StoreError> {
    // The frames of an attempt do not overlap: those behind the one that begins last at or before the line have later lines.
    db.all(
        &format!(
            "{PLACED} WHERE f.run_attempt_id = ?1 AND f.last_seq > ?2
               AND f.first_seq >= coalesce((SELECT max(first_seq) FROM log_frames WHERE run_attempt_id = ?1 AND first_seq <= ?2), 0)
             ORDER BY f.first_seq LIMIT ?3"
        ),
        params![attempt.0, seq, most],
        placed,
    )
}

/// Frames of an attempt that begin before a number, from the last one back.
pub fn before(db: &Db, attempt: AttemptId, seq: i64, most: i64) -> Result<Vec<Placed>, StoreError> {
    db.all(
        &format!(
            "{PLACED} WHERE f.run_attempt_id = ?1 AND f.first_seq < ?2 ORDER BY f.first_seq DESC LIMIT ?3"
        ),
        params![attempt.0, seq, most],
        placed,
    )
}

/// The number of the last line of an attempt that lies in a frame; 0: none does. Lines up to it are about to be removed from the database.
pub fn covered(db: &Db, attempt: AttemptId) -> Result<i64, StoreError> {
    let last = db.one(
        "SELECT last_seq FROM log_frames WHERE run_attempt_id = ?1 ORDER BY first_seq DESC LIMIT 1",
        [attempt.0],
        |row| Ok(row.get("last_seq")?),
    )?;
    Ok(last.unwrap_or(0))
}

/// Attempts with lines in the database.
#[derive(Debug, Default)]
pub struct WithLines {
    /// Those that have ended, and when.
    pub ended: Vec<(AttemptId, Timestamp)>,
    /// The last one that was looked at; none: there are no more.
    pub last: Option<AttemptId>,
}

/// Looks at the next `most` attempts with lines in the database, after one.
pub fn ended_with_lines(db: &Db, after: AttemptId, most: usize) -> Result<WithLines, StoreError> {
    let mut found = WithLines::default();
    let mut at = after;
    for _ in 0..most {
        let next = db.one(
            "SELECT l.run_attempt_id, a.finished_at FROM run_logs l JOIN run_attempts a ON a.id = l.run_attempt_id
             WHERE l.run_attempt_id > ?1 ORDER BY l.run_attempt_id LIMIT 1",
            [at.0],
            |row| Ok((AttemptId(row.get("run_attempt_id")?), row.get::<_, Option<i64>>("finished_at")?)),
        )?;
        let Some((attempt, finished_at)) = next else { return Ok(WithLines { last: None, ..found }) };
        at = attempt;
        found.last = Some(attempt);
        if let Some(finished_at) = finished_at {
            found.ended.push((attempt, Timestamp(finished_at)));
        }
    }
    Ok(found)
}

/// Notes a segment that is kept, whose frames are those of attempts between two.
pub fn insert(
    tx: &Tx<'_>,
    sha256: &str,
    bytes: i64,
    (first, last): (AttemptId, AttemptId),
) -> Result<i64, StoreError> {
    tx.insert(
        "INSERT INTO log_segments (sha256, bytes, live_bytes, first_attempt_id, last_attempt_id) VALUES (?1, ?2, 0, ?3, ?4)",
        params![sha256, bytes, first.0, last.0],
    )
}

/// Moves lines into a frame: notes it, unless some of them are gone, as those of a run that is being deleted are.
pub fn put(tx: &Tx<'_>, segment: i64, frame: &Frame) -> Result<bool, StoreError> {
    let noted = tx.execute(
        "INSERT INTO log_frames (run_attempt_id, first_seq, last_seq, lines, stderr_lines, segment_id, at, bytes, counted)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
         WHERE EXISTS (SELECT 1 FROM run_logs WHERE run_attempt_id = ?1 AND seq = ?2)
         ON CONFLICT DO NOTHING",
        params![
            frame.attempt.0,
            frame.first_seq,
            frame.last_seq,
            frame.lines,
            frame.stderr_lines,
            segment,
            frame.at,
            frame.bytes,
            frame.counted
        ],
    )?;
    Ok(noted > 0)
}

/// Removes the lines that lie in a frame.
pub fn remove_moved(tx: &Tx<'_>, frame: &Frame) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM run_logs WHERE run_attempt_id = ?1 AND seq >= ?2 AND seq <= ?3",
        params![frame.attempt.0, frame.first_seq, frame.last_seq],
    )?;
    Ok(())
}

/// Lines up to a number that lie in frames already: a crash came between the two.
pub fn remove_covered(tx: &Tx<'_>, attempt: AttemptId) -> Result<(), StoreError> {
    let covered = covered(tx, attempt)?;
    tx.execute("DELETE FROM run_logs WHERE run_attempt_id = ?1 AND seq <= ?2", params![attempt.0, covered])?;
    Ok(())
}

/// Removes some frames of an attempt. Answers what their lines counted for; none: there are no more.
pub fn remove(tx: &Tx<'_>, attempt: AttemptId, most: i64) -> Result<Option<i64>, StoreError> {
    let frames: Vec<(i64, i64)> = tx.all(
        "SELECT first_seq, counted FROM log_frames WHERE run_attempt_id = ?1 ORDER BY first_seq LIMIT ?2",
        params![attempt.0, most],
        |row| Ok((row.get("first_seq")?, row.get("counted")?)),
    )?;
    let Some((last, _)) = frames.last() else { return Ok(None) };
    tx.execute(
        "DELETE FROM log_frames WHERE run_attempt_id = ?1 AND first_seq <= ?2",
        params![attempt.0, last],
    )?;
    Ok(Some(frames.iter().map(|(_, counted)| counted).sum()))
}

/// A segment of which half is not needed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// Its number.
    pub id: i64,
    /// The object.
    pub sha256: String,
    /// The attempts whose frames are in it lie between these.
    pub attempts: (AttemptId, AttemptId),
}

/// Segments of which more than half is not needed any more, after one of them.
pub fn sparse(db: &Db, after: i64, most: i64) -> Result<Vec<Sparse>, StoreError> {
    db.all(
        "SELECT id, sha256, first_attempt_id, last_attempt_id FROM log_segments
         WHERE live_bytes * 2 < bytes AND id > ?1 ORDER BY id LIMIT ?2",
        params![after, most],
        |row| {
            let attempts = (AttemptId(row.get("first_attempt_id")?), AttemptId(row.get("last_attempt_id")?));
            Ok(Sparse { id: row.get("id")?, sha256: row.get("sha256")?, attempts })
        },
    )
}

/// The frames of a segment.
pub fn frames_of(db: &Db, segment: &Sparse) -> Result<Vec<Frame>, StoreError> {
    let (first, last) = segment.attempts;
    let found = db.all(
        &format!(
            "{PLACED} WHERE f.run_attempt_id BETWEEN ?1 AND ?2 AND f.segment_id = ?3 ORDER BY f.run_attempt_id, f.first_seq"
        ),
        params![first.0, last.0, segment.id],
        placed,
    )?;
    Ok(found.into_iter().map(|placed| placed.frame).collect())
}

/// Moves a frame to another segment, unless it is gone.
pub fn move_frame(tx: &Tx<'_>, frame: &Frame, (from, to, at): (i64, i64, i64)) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE log_frames SET segment_id = ?4, at = ?5 WHERE run_attempt_id = ?1 AND first_seq = ?2 AND segment_id = ?3",
        params![frame.attempt.0, frame.first_seq, from, to, at],
    )?;
    Ok(())
}

/// Removes a segment of which nothing is needed any more. True: it is gone.
pub fn remove_dead(tx: &Tx<'_>, id: i64) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM log_segments WHERE id = ?1 AND live_bytes = 0", [id])? > 0)
}

/// How many segments there are, and their bytes.
pub fn totals(db: &Db) -> Result<(i64, i64), StoreError> {
    let found =
        db.one("SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM log_segments", (), |row| {
            Ok((row.get("n")?, row.get("bytes")?))
        })?;
    Ok(found.unwrap_or_default())
}

/// The lines of an attempt behind its frames, in pieces of so many bytes of text.
pub fn unpacked(
    db: &Db,
    attempt: AttemptId,
    after: i64,
    max_bytes: usize,
) -> Result<Vec<LogLine>, StoreError> {
    logs::list(db, attempt, None, after.max(covered(db, attempt)?), (i64::MAX, max_bytes))
}
