//! Reading a log, wherever its lines are: in segments first, then in the database.
//!
//! What is asked of a log is a closure over [`Lines`], on a read connection. It cannot wait for an object. So where it needs a frame that is
//! not in memory, it notes that; then the frame is fetched, and the closure runs once more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use minitower_kernel::objects::ObjectError;
use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::AttemptId;

use super::frame;
use crate::store::logs::{self, LogLine};
use crate::store::segments::{self, Placed};
use crate::{Error, Shared};

/// Frames fetched for one answer at most; a longer answer ends before.
const MOST_FRAMES: usize = 32;
/// Frames looked at together.
const FRAMES: i64 = 64;

/// Frames that were fetched, by attempt and first line.
type Fetched = HashMap<(AttemptId, i64), Arc<Vec<LogLine>>>;

/// The lines of attempts, as one snapshot shows them.
pub(crate) struct Lines<'a> {
    pub(crate) db: &'a Db,
    fetched: &'a Fetched,
    needed: &'a RefCell<Vec<Placed>>,
}

impl Lines<'_> {
    fn of_frame(&self, placed: &Placed) -> Option<Arc<Vec<LogLine>>> {
        let key = (placed.frame.attempt, placed.frame.first_seq);
        let found = self.fetched.get(&key).cloned();
        if found.is_none() {
            self.needed.borrow_mut().push(placed.clone());
        }
        found
    }

    /// Lines of an attempt after a number, in order, of one stream or both: at most `limit`, and no more once they make `max_bytes` of
    /// text.
    pub(crate) fn list(
        &self,
        attempt: AttemptId,
        stderr: Option<bool>,
        after_seq: i64,
        (limit, max_bytes): (i64, usize),
    ) -> Result<Vec<LogLine>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut lines, mut bytes, mut after) = (Vec::new(), 0, after_seq);
        let mut frames = 0;
        loop {
            let found = segments::after(self.db, attempt, after, FRAMES)?;
            let Some(last) = found.last() else { break };
            after = last.frame.last_seq;
            for placed in &found {
                if placed.frame.lines_of(stderr) == 0 {
                    continue;
                }
                frames += 1;
                if frames > MOST_FRAMES && !lines.is_empty() {
                    return Ok(lines);
                }
                let Some(of_frame) = self.of_frame(placed) else { return Ok(lines) };
                for line in of_frame.iter() {
                    if line.seq > after_seq && stderr.is_none_or(|stderr| stderr == line.stderr) {
                        bytes += line.line.len();
                        lines.push(line.clone());
                        if lines.len() >= limit || bytes >= max_bytes {
                            return Ok(lines);
                        }
                    }
                }
            }
        }
        let left = i64::try_from(limit - lines.len()).unwrap_or(i64::MAX);
        let behind = after_seq.max(segments::covered(self.db, attempt)?);
        lines.extend(logs::list(
            self.db,
            attempt,
            stderr,
            behind,
            (left, max_bytes - bytes.min(max_bytes - 1)),
        )?);
        Ok(lines)
    }

    /// Whether an attempt has lines after a number.
    pub(crate) fn any_after(
        &self,
        attempt: AttemptId,
        stderr: Option<bool>,
        after_seq: i64,
    ) -> Result<bool, StoreError> {
        let mut after = after_seq;
        loop {
            let found = segments::after(self.db, attempt, after, FRAMES)?;
            let Some(last) = found.last() else { break };
            after = last.frame.last_seq;
            for placed in found.iter().filter(|placed| placed.frame.lines_of(stderr) > 0) {
                if placed.frame.first_seq > after_seq {
                    return Ok(true);
                }
                let Some(lines) = self.of_frame(placed) else { return Ok(false) };
                let is_later =
                    |line: &LogLine| line.seq > after_seq && stderr.is_none_or(|s| s == line.stderr);
                if lines.iter().any(is_later) {
                    return Ok(true);
                }
            }
        }
        logs::any_after(self.db, attempt, stderr, after_seq.max(segments::covered(self.db, attempt)?))
    }

    /// The number of the first of an attempt's last `lines` lines; none: it has fewer.
    pub(crate) fn first_of_last(
        &self,
        attempt: AttemptId,
        stderr: Option<bool>,
        lines: i64,
    ) -> Result<Option<i64>, StoreError> {
        let covered = segments::covered(self.db, attempt)?;
        if covered == 0 {
            return logs::first_of_last(self.db, attempt, stderr, lines);
        }
        let (first, unpacked) = logs::first_of_last_behind(self.db, attempt, stderr, covered, lines)?;
        if first.is_some() {
            return Ok(first);
        }
        let (mut left, mut before) = (lines - unpacked, i64::MAX);
        loop {
            let found = segments::before(self.db, attempt, before, FRAMES)?;
            let Some(last) = found.last() else { return Ok(None) };
            before = last.frame.first_seq;
            for placed in &found {
                let here = placed.frame.lines_of(stderr);
                if here < left {
                    left -= here;
                    continue;
                }
                let Some(lines) = self.of_frame(placed) else { return Ok(None) };
                let mut of_stream = lines.iter().rev().filter(|line| stderr.is_none_or(|s| s == line.stderr));
                let nth = usize::try_from(left - 1).unwrap_or(usize::MAX);
                return Ok(of_stream.nth(nth).map(|line| line.seq));
            }
        }
    }
}

impl Shared {
    /// Reads logs. `f` may run several times, each time on a newer snapshot.
    pub(crate) async fn read_log<T, F>(&self, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Lines<'_>) -> Result<T, Error> + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let mut fetched = Fetched::new();
        loop {
            let (ask, known) = (Arc::clone(&f), fetched);
            let read = self.store.read(move |db| {
                let needed = RefCell::default();
                let answer = ask(&Lines { db, fetched: &known, needed: &needed });
                Ok::<_, Error>((answer, needed.into_inner(), known))
            });
            let (answer, needed, known) = read.await?;
            fetched = known;
            if needed.is_empty() {
                return answer;
            }
            for placed in needed {
                let lines = self.fetch(&placed).await?;
                fetched.insert((placed.frame.attempt, placed.frame.first_seq), Arc::new(lines));
            }
        }
    }

    async fn fetch(&self, placed: &Placed) -> Result<Vec<LogLine>, Error> {
        let (at, bytes) = (placed.frame.at.unsigned_abs(), placed.frame.bytes.unsigned_abs());
        let lost = |source| Error::Lost {
            what: "a part of this log".to_owned(),
            way_out: "restore the objects from a backup, or start the run again",
            source,
        };
        let frame = match self.objects.read_part(&placed.sha256, at..at + bytes).await {
            Err(source @ ObjectError::Missing { .. }) => {
                tracing::error!(sha256 = placed.sha256, "a segment of logs is missing");
                return Err(lost(source));
            }
            frame => frame?,
        };
        frame::unpack(&frame).map_err(|error| {
            tracing::error!(%error, sha256 = placed.sha256, at, "a segment of logs is damaged");
            lost(ObjectError::Damaged { sha256: placed.sha256.clone(), found: bytes, expected: bytes })
        })
    }
}
