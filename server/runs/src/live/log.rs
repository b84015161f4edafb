//! A run's log, as it grows.
//!
//! A stream is always at one [place](LogPlace): the number of an attempt and of a line in it. It either reads the database from there, page
//! by page, until a snapshot holds nothing more, or takes what is told, and leaves out what is not behind its place. It listened before the
//! first read, so the two fit together without a gap. If it falls behind, it goes back to reading.

use std::collections::VecDeque;
use std::sync::Arc;

use minitower_kernel::topics::{Heard, Listener, Piece, Topics};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;

use crate::domain::run::{Run, RunState};
use crate::logs::{self, ReadLog};
use crate::segments::Lines;
use crate::store::attempts;
use crate::store::events::{LogStored, RunMoved};
use crate::store::logs::LogLine;
use crate::{Absent, Error, Runs, Shared};

/// What a line holds besides its text, as it is and as it is rendered.
const LINE_BYTES: usize = 192;

/// What followers of a run are told.
#[derive(Debug)]
pub enum LogTold {
    /// Lines of an attempt, by number.
    Lines {
        /// The attempt's number.
        attempt: i64,
        /// The lines.
        lines: Arc<Vec<LogLine>>,
    },
    /// An attempt of that number began.
    Attempt(i64),
    /// Its attempt is over, and another one may follow.
    Queued,
    /// The run has ended.
    Ended(LogEnd),
}

/// How a log ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// The run's status.
    pub status: RunStatus,
    /// The number of the attempt whose log was the last; none: the run had none.
    pub attempt: Option<i64>,
    /// The job's exit code, if a runner reported one.
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    pub error_message: Option<String>,
}

/// The last line that was sent: lines behind it follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// The number of its attempt; 0: before any.
    pub attempt: i64,
    /// Its number; 0: before the first.
    pub seq: i64,
}

/// Which lines to follow.
#[derive(Debug, Clone, Copy, Default)]
pub struct FollowLog {
    /// Where to begin, and which lines; with an attempt that one alone.
    pub read: ReadLog,
    /// Where an earlier stream of the same lines had come to: it decides where this one begins.
    pub after: Option<LogPlace>,
}

/// What a follower hears.
#[derive(Debug)]
pub enum LogHeard {
    /// Lines out of the database.
    Lines {
        /// The attempt's number.
        attempt: i64,
        /// The lines.
        lines: Vec<LogLine>,
    },
    /// Lines that all hear, from the one at this index on; of both streams.
    Told(Arc<Piece<LogTold>>, usize),
    /// The run goes on with the attempt of this number.
    Attempt(i64),
    /// There is nothing more.
    Ended(LogEnd),
}

/// What a stream does next.
#[derive(Debug)]
enum Next {
    Read,
    Listen,
    Attempt(i64),
    End(LogEnd),
    Nothing,
}

/// Follows a log. It is told what it is to read, and reads in bounded pieces.
#[derive(Debug)]
pub struct LogStream {
    shared: Arc<Shared>,
    run: (TeamId, RunId),
    listener: Listener<RunId, LogTold>,
    heard: VecDeque<Arc<Piece<LogTold>>>,
    place: LogPlace,
    /// The attempt that alone is followed.
    only: Option<i64>,
    stderr: Option<bool>,
    next: Next,
}

/// What one snapshot holds behind a place.
#[derive(Debug)]
struct Page {
    attempt: i64,
    lines: Vec<LogLine>,
    next: Next,
}

pub(super) fn bytes_of(lines: &[LogLine]) -> usize {
    lines.iter().map(|line| 2 * line.line.len() + LINE_BYTES).sum()
}

pub(super) fn tell_lines(topics: &Topics<RunId, LogTold>, stored: &LogStored) {
    let LogStored { run, attempt, lines } = stored;
    topics.tell(run, bytes_of(lines), || LogTold::Lines { attempt: *attempt, lines: by_number(lines) });
}

/// The same lines by number, of several with one number the first: as the database has them.
fn by_number(lines: &Arc<Vec<LogLine>>) -> Arc<Vec<LogLine>> {
    if lines.is_sorted_by(|one, next| one.seq < next.seq) {
        return Arc::clone(lines);
    }
    let mut sorted = Vec::clone(lines);
    sorted.sort_by_key(|line| line.seq);
    sorted.dedup_by_key(|line| line.seq);
    Arc::new(sorted)
}

pub(super) fn tell_move(topics: &Topics<RunId, LogTold>, moved: &RunMoved) {
    let was_queued = moved.before.as_ref().is_none_or(|before| before.status() == RunStatus::Queued);
    let bytes = super::moves::bytes_of(moved);
    match &moved.after.state {
        RunState::Leased { .. } | RunState::Running { .. } if was_queued => {
            topics.tell(&moved.id, bytes, || LogTold::Attempt(moved.attempts));
        }
        RunState::Queued { .. } => topics.tell(&moved.id, bytes, || LogTold::Queued),
        RunState::Leased { .. } | RunState::Running { .. } | RunState::Cancelling { .. } => {}
        RunState::Completed(_) | RunState::Failed(_) | RunState::Cancelled { .. } | RunState::Dead(_) => {
            topics.tell(&moved.id, bytes, || LogTold::Ended(LogEnd::of(&moved.after.state, moved.attempts)));
        }
    }
}

impl LogEnd {
    fn of(state: &RunState, attempts: i64) -> Self {
        let end = state.end();
        Self {
            status: state.status(),
            attempt: (attempts > 0).then_some(attempts),
            exit_code: end.and_then(|end| end.exit_code),
            error_message: end.and_then(|end| end.error_message.clone()),
        }
    }
}

impl Runs {
    /// Follows a run's log until the run ends, or until the attempt does that alone is to be followed.
    pub async fn follow_log(
        &self,
        by: &TeamPrincipal,
        run: RunId,
        follow: FollowLog,
    ) -> Result<LogStream, Error> {
        let FollowLog { read, after } = follow;
        read.check()?;
        // Begun before the first read: what is committed after it is heard.
        let listener = self.0.memory.live.logs.listen(run);
        let team = by.team_id;
        let place = self.0.read_log(move |log| start(log, (team, run), read, after)).await?;
        Ok(LogStream {
            shared: Arc::clone(&self.0),
            run: (team, run),
            listener,
            heard: VecDeque::new(),
            place,
            only: read.attempt,
            stderr: read.stderr,
            next: Next::Read,
        })
    }
}

fn start(
    log: &Lines<'_>,
    (team, id): (TeamId, RunId),
    read: ReadLog,
    after: Option<LogPlace>,
) -> Result<LogPlace, Error> {
    let run = crate::runs::find(log.db, team, id)?;
    if let Some(after) = after {
        if after.attempt > run.attempts {
            return Err(Absent::Attempt { run: id, number: after.attempt }.into());
        }
        return Ok(after);
    }
    let number = read.attempt.unwrap_or(run.attempts);
    // Before the first attempt there is nothing to look at yet.
    let seq = match read.place(log, team, id)? {
        Some(place) => place.after_seq(),
        None => read.after_seq.unwrap_or(0),
    };
    Ok(LogPlace { attempt: number, seq })
}

impl LogStream {
    /// Which stream's lines to show; none: of both. What is told is of both.
    pub fn stderr(&self) -> Option<bool> {
        self.stderr
    }

    /// What comes next; none at the end, and when the server stops. Nothing is lost if it is dropped before it answers.
    pub async fn next(&mut self) -> Result<Option<LogHeard>, Error> {
        let stopping = self.shared.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => Ok(None),
            next = self.heard_next() => next,
        }
    }

    async fn heard_next(&mut self) -> Result<Option<LogHeard>, Error> {
        loop {
            match self.next {
                Next::Nothing => return Ok(None),
                Next::End(ref end) => {
                    let end = end.clone();
                    self.next = Next::Nothing;
                    return Ok(Some(LogHeard::Ended(end)));
                }
                Next::Attempt(number) => {
                    let had_none = self.place.attempt == 0;
                    let seq = if had_none { self.place.seq } else { 0 };
                    self.place = LogPlace { attempt: number, seq };
                    self.next = Next::Read;
                    // Nothing of another attempt was shown before the first one.
                    if !had_none {
                        return Ok(Some(LogHeard::Attempt(number)));
                    }
                }
                Next::Read => {
                    if let Some(heard) = self.read().await? {
                        return Ok(Some(heard));
                    }
                }
                Next::Listen => {
                    if let Some(heard) = self.listen().await {
                        return Ok(Some(heard));
                    }
                }
            }
        }
    }

    /// Reads a page of what is behind its place.
    async fn read(&mut self) -> Result<Option<LogHeard>, Error> {
        let (run, place, only, stderr) = (self.run, self.place, self.only, self.stderr);
        let page = self.shared.read_log(move |log| Page::read(log, run, place, (only, stderr))).await?;
        let Page { attempt, lines, next } = page;
        self.next = next;
        self.place.attempt = attempt;
        let Some(last) = lines.last() else { return Ok(None) };
        self.place.seq = last.seq;
        Ok(Some(LogHeard::Lines { attempt, lines }))
    }

    /// Takes what is told next.
    async fn listen(&mut self) -> Option<LogHeard> {
        let Some(piece) = self.heard.pop_front() else {
            match self.listener.hear().await {
                Heard::Pieces(pieces) => self.heard = pieces.into(),
                Heard::Missed => self.next = Next::Read,
            }
            return None;
        };
        let (attempt, lines) = match &piece.value {
            LogTold::Lines { attempt, lines } => (*attempt, lines),
            // That one alone is over: the database knows how.
            LogTold::Attempt(_) | LogTold::Queued | LogTold::Ended(_) if self.only.is_some() => {
                self.next = Next::Read;
                return None;
            }
            LogTold::Queued => return None,
            LogTold::Attempt(number) => {
                if *number > self.place.attempt {
                    self.next = Next::Attempt(*number);
                }
                return None;
            }
            LogTold::Ended(end) => {
                self.next = Next::End(end.clone());
                return None;
            }
        };
        let from = lines.partition_point(|line| line.seq <= self.place.seq);
        let last = lines.last().filter(|_| attempt == self.place.attempt && from < lines.len())?;
        self.place.seq = last.seq;
        Some(LogHeard::Told(piece, from))
    }
}

impl Page {
    fn read(
        log: &Lines<'_>,
        (team, id): (TeamId, RunId),
        place: LogPlace,
        (only, stderr): (Option<i64>, Option<bool>),
    ) -> Result<Self, Error> {
        let db = log.db;
        let run = crate::runs::find(db, team, id)?;
        // Who waited for the first attempt begins with the newest.
        let number = if place.attempt == 0 { run.attempts } else { place.attempt };
        let found = if number == 0 { None } else { attempts::by_number(db, id, number)? };
        let Some(attempt) = found else {
            return Ok(Self { attempt: number, lines: Vec::new(), next: after(&run, number, only) });
        };
        let (page, missing) = logs::behind(log, attempt, place.seq, stderr)?;
        let more = page.next_seq.is_some();
        let lines = missing.into_iter().chain(page.lines).collect();
        Ok(Self { attempt: number, lines, next: if more { Next::Read } else { after(&run, number, only) } })
    }
}

/// What comes behind the last line of an attempt.
fn after(run: &Run, attempt: i64, only: Option<i64>) -> Next {
    let is_over = run.status().is_terminal();
    let has_moved_on = attempt < run.attempts || !run.status().is_active();
    match only {
        Some(only) if is_over || has_moved_on => {
            let end = LogEnd::of(&run.progress.state, run.attempts);
            Next::End(LogEnd { attempt: Some(only), ..end })
        }
        None if attempt < run.attempts => Next::Attempt(attempt + 1),
        None if is_over => Next::End(LogEnd::of(&run.progress.state, run.attempts)),
        Some(_) | None => Next::Listen,
    }
}
