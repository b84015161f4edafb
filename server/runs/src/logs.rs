//! The logs of runs, as their team reads them.

use std::sync::Arc;

use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{AttemptId, RunId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::runs::find;
use crate::segments::Lines;
use crate::store::attempts;
use crate::store::logs::{self, LogLine};
use crate::{Absent, Error, Field, Runs, Shared};

/// Most log lines in one answer; ask again with `after_seq` for more.
pub const MAX_LOG_LINES: i64 = 10_000;
/// Most lines that can be asked for from the end.
const MAX_TAIL: i64 = 1_000_000;
/// Most bytes of log text in one answer, however few lines they are.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of log text that are read at a time for a whole log.
const PIECE_BYTES: usize = 256 * 1024;

/// Which lines of a run's log to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadLog {
    /// The number of the attempt; none: the newest.
    pub attempt: Option<i64>,
    /// Only lines with a larger number; none: from the first.
    pub after_seq: Option<i64>,
    /// Only the last so many.
    pub tail: Option<i64>,
    /// Only those of standard error, or of standard output; none: both.
    pub stderr: Option<bool>,
}

/// One page of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines, by number.
    pub lines: Vec<LogLine>,
    /// There are more lines after this one.
    pub next_seq: Option<i64>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    attempt: AttemptId,
    after_seq: i64,
    stderr: Option<bool>,
}

impl ReadLog {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.after_seq.is_some_and(|seq| seq < 0) {
            return Err(Error::field("after_seq", Field::Below { least: 0 }));
        }
        if self.tail.is_some_and(|lines| !(1..=MAX_TAIL).contains(&lines)) {
            return Err(Error::field(
                "tail",
                Field::NotBetween { least: 1, most: MAX_TAIL, found: self.tail },
            ));
        }
        Ok(())
    }

    /// None: the run has no attempt yet, so it has no log.
    pub(crate) fn place(&self, log: &Lines<'_>, team: TeamId, run: RunId) -> Result<Option<Place>, Error> {
        let db = log.db;
        find(db, team, run)?;
        let attempt = match self.attempt {
            Some(number) => {
                Some(attempts::by_number(db, run, number)?.ok_or(Absent::Attempt { run, number })?)
            }
            None => attempts::newest(db, run)?,
        };
        let Some(attempt) = attempt else { return Ok(None) };
        let stderr = self.stderr;
        let first = match self.tail {
            Some(lines) => log.first_of_last(attempt, stderr, lines)?,
            None => None,
        };
        let after_seq = self.after_seq.unwrap_or(0).max(first.map_or(0, |first| first - 1));
        Ok(Some(Place { attempt, after_seq, stderr }))
    }
}

impl Place {
    /// The number of the line behind which it begins.
    pub(crate) fn after_seq(&self) -> i64 {
        self.after_seq
    }

    fn page(self, log: &Lines<'_>, limit: i64, max_bytes: usize) -> Result<LogPage, Error> {
        let Self { attempt, after_seq, stderr } = self;
        let lines = log.list(attempt, stderr, after_seq, (limit, max_bytes))?;
        let next_seq = match lines.last() {
            Some(last) if log.any_after(attempt, stderr, last.seq)? => Some(last.seq),
            _ => None,
        };
        Ok(LogPage { lines, next_seq })
    }
}

/// A piece of what an attempt's log holds behind a line, and a line that says what is missing between the two, if something is: a log that is
/// too long loses lines of its middle while it is read.
pub(crate) fn behind(
    log: &Lines<'_>,
    attempt: AttemptId,
    after_seq: i64,
    stderr: Option<bool>,
) -> Result<(LogPage, Option<LogLine>), Error> {
    let page = Place { attempt, after_seq, stderr }.page(log, MAX_LOG_LINES, PIECE_BYTES)?;
    // Whoever has not come to the gap yet finds a line there that tells of it.
    let gap = logs::gap(log.db, attempt)?.filter(|gap| gap.first <= after_seq && after_seq < gap.last);
    let notice = gap.filter(|_| stderr != Some(false)).map(|gap| LogLine {
        seq: gap.last,
        stderr: true,
        line: gap.notice(),
        logged_at: page.lines.first().map_or(Timestamp(0), |line| line.logged_at),
    });
    Ok((page, notice))
}

impl Runs {
    /// One page of a run's log: at most `limit` lines, 1 to [`MAX_LOG_LINES`].
    pub async fn run_logs(
        &self,
        by: &TeamPrincipal,
        id: RunId,
        read: ReadLog,
        limit: Option<i64>,
    ) -> Result<LogPage, Error> {
        read.check()?;
        let most = limit.unwrap_or(MAX_LOG_LINES);
        if !(1..=MAX_LOG_LINES).contains(&most) {
            return Err(Error::field(
                "limit",
                Field::NotBetween { least: 1, most: MAX_LOG_LINES, found: limit },
            ));
        }
        let team = by.team_id;
        self.0
            .read_log(move |log| match read.place(log, team, id)? {
                Some(place) => place.page(log, most, MAX_LOG_BYTES),
                None => Ok(LogPage::default()),
            })
            .await
    }

    /// A whole log, to be read piece by piece.
    pub async fn open_log(&self, by: &TeamPrincipal, id: RunId, read: ReadLog) -> Result<WholeLog, Error> {
        read.check()?;
        let team = by.team_id;
        let place = self.0.read_log(move |log| read.place(log, team, id)).await?;
        Ok(WholeLog { shared: Arc::clone(&self.0), run: (team, id), next: place })
    }
}

/// A log that is read piece by piece, in bounded memory. Lines that come meanwhile are read too.
#[derive(Debug)]
pub struct WholeLog {
    shared: Arc<Shared>,
    run: (TeamId, RunId),
    /// Where the next piece begins; none: there is none.
    next: Option<Place>,
}

impl WholeLog {
    /// The next lines; none at the end. An error if the run is deleted meanwhile: what is left of its log is not all of it.
    pub async fn next_lines(&mut self) -> Result<Option<Vec<LogLine>>, Error> {
        let Some(place) = self.next.take() else { return Ok(None) };
        let (team, run) = self.run;
        let page = self.shared.read_log(move |log| {
            find(log.db, team, run)?;
            place.page(log, MAX_LOG_LINES, PIECE_BYTES)
        });
        let page = page.await?;
        self.next = page.next_seq.map(|after_seq| Place { after_seq, ..place });
        Ok((!page.lines.is_empty()).then_some(page.lines))
    }
}
