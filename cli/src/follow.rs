//! Following a run's log to its end, across retries.

use std::io::{self, Write};
use std::time::Duration;

use minitower_client::wire::runs::{LogLine, Run, Stream};
use minitower_client::{Error, LogEvent, LogFilter, LogStream, TeamClient};

use minitower_daemon::logs;
use tokio::time::timeout;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, OutputError, Tone, escaped_json};
use crate::waiting::Waiting;
use crate::watch::{Pace, describe, no_such_run, patiently};

/// How long a run may be silent until it is looked at again.
const QUIET_RUN: Duration = Duration::from_secs(10);
/// Most lines that are printed together.
const PRINTED_TOGETHER: usize = 1000;

/// Which part of a log is followed.
#[derive(Debug, Clone, Copy, Default)]
pub struct From {
    /// From behind this line.
    pub after_seq: Option<i64>,
    /// This attempt alone. Otherwise the newest is followed, also over retries.
    pub attempt: Option<i64>,
}

/// Prints the log as it grows, until the run, or the attempt that was asked for, has ended and all of its log is
/// printed.
pub async fn to_the_end(
    context: &Context,
    team: &TeamClient,
    run_id: i64,
    from: From,
) -> Result<Run, Failure> {
    let From { after_seq, attempt } = from;
    let mut follower = Follower { context, team, run_id, attempt, after_seq, waiting: Waiting::default() };
    match follower.stream().await? {
        Some(run) => Ok(run),
        None => follower.poll().await,
    }
}

/// Says how a run that was followed has ended.
pub fn tell_end(out: &Output, run: &Run) {
    let end = format!("── run {} {} ──", run.run_id, describe(run));
    logs::say(out.stderr_style().tone(end, Tone::from(run.status)));
}

struct Follower<'a> {
    context: &'a Context,
    team: &'a TeamClient,
    run_id: i64,
    attempt: Option<i64>,
    after_seq: Option<i64>,
    waiting: Waiting,
}

impl Follower<'_> {
    /// Follows the stream of the log. `None`: the server has none, or no more of them for this team.
    async fn stream(&mut self) -> Result<Option<Run>, Failure> {
        let filter = LogFilter { after_seq: self.after_seq, attempt: self.attempt, ..LogFilter::default() };
        // A run that nobody is there to take is told at once.
        let run = self.run().await?;
        self.waiting.look(self.context, self.team, &run).await;
        let (mut last, mut pace) = (None::<String>, Pace::new());
        loop {
            let open = || self.team.follow_log(self.run_id, &filter, last.as_deref());
            let mut stream = match patiently(self.context, open).await {
                Ok(Some(stream)) => stream,
                Ok(None) => return Ok(None),
                Err(Error::Api { status: 429, .. }) if last.is_none() => return Ok(None),
                Err(error) => return Err(no_such_run(error)),
            };
            let ended = self.take(&mut stream).await?;
            if ended {
                return Ok(Some(self.run().await?));
            }
            // It goes on behind what was seen, when the server is back.
            let before = std::mem::replace(&mut last, stream.last_id().map(str::to_owned));
            pace.wait(last != before).await;
        }
    }

    /// Prints what the stream brings. False: it ended before the log did.
    async fn take(&mut self, stream: &mut LogStream) -> Result<bool, Failure> {
        let mut lines = Vec::new();
        loop {
            // What has come already is printed together.
            let come = tokio::select! {
                biased;
                next = stream.next() => Some(next),
                () = std::future::ready(()) => None,
            };
            if come.is_none() || lines.len() >= PRINTED_TOGETHER {
                print(&self.context.out, &std::mem::take(&mut lines))?;
            }
            let waited = if let Some(next) = come {
                Ok(next)
            } else {
                let quiet = self.waiting.due().map_or(QUIET_RUN, |due| due.min(QUIET_RUN));
                timeout(quiet, stream.next()).await
            };
            let Ok(next) = waited else {
                let run = self.run().await?;
                self.waiting.look(self.context, self.team, &run).await;
                continue;
            };
            match next {
                Ok(Some(LogEvent::Line(line))) => lines.push(line),
                Ok(Some(LogEvent::Attempt(attempt))) => {
                    print(&self.context.out, &std::mem::take(&mut lines))?;
                    let run = self.run().await?;
                    self.go_on_with(Some(attempt.attempt_no), &run);
                }
                Ok(Some(LogEvent::End(_))) => {
                    print(&self.context.out, &lines)?;
                    return Ok(true);
                }
                Ok(None) => {
                    print(&self.context.out, &lines)?;
                    return Ok(false);
                }
                Err(error) => {
                    print(&self.context.out, &lines)?;
                    return if error.is_retryable() { Ok(false) } else { Err(error.into()) };
                }
            }
        }
    }

    async fn run(&self) -> Result<Run, Failure> {
        patiently(self.context, || self.team.run(self.run_id)).await.map_err(no_such_run)
    }

    /// Follows the log by asking for it again and again, of a server that streams none.
    async fn poll(&mut self) -> Result<Run, Failure> {
        let only = self.attempt;
        let mut pace = Pace::new();
        let mut before: Option<Run> = None;
        loop {
            // The state is read before the lines, so that everything that was logged before the run ended is read.
            let run = self.run().await?;
            let changed = before.as_ref() != Some(&run);
            let newest =
                if changed || run.status.is_terminal() { self.newest_attempt().await? } else { None };
            if self.attempt.is_none() {
                self.attempt = newest;
            }
            let mut happened = self.drain().await?;
            if only.is_some() && newest > only {
                return Ok(run);
            }
            if newest > self.attempt {
                self.go_on_with(newest, &run);
                happened |= self.drain().await?;
            }
            if run.status.is_terminal() {
                return Ok(run);
            }
            self.waiting.look(self.context, self.team, &run).await;
            before = Some(run);
            pace.wait(happened || changed).await;
        }
    }

    /// Prints all lines that are there.
    async fn drain(&mut self) -> Result<bool, Failure> {
        let mut happened = false;
        loop {
            let filter =
                LogFilter { after_seq: self.after_seq, attempt: self.attempt, ..LogFilter::default() };
            let logs = patiently(self.context, || self.team.logs(self.run_id, &filter))
                .await
                .map_err(no_such_run)?;
            let Some(last) = logs.logs.last() else { return Ok(happened) };
            self.after_seq = Some(last.seq);
            print(&self.context.out, &logs.logs)?;
            happened = true;
        }
    }

    /// Older servers do not list attempts; they serve the lines of the newest, and those are followed.
    async fn newest_attempt(&self) -> Result<Option<i64>, Failure> {
        match patiently(self.context, || self.team.attempts(self.run_id)).await {
            Ok(attempts) => Ok(attempts.attempts.iter().map(|attempt| attempt.attempt_no).max()),
            Err(Error::Api { status: 404 | 405, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn go_on_with(&mut self, attempt: Option<i64>, run: &Run) {
        self.attempt = attempt;
        self.after_seq = None;
        self.waiting = Waiting::default();
        let number = attempt.unwrap_or_default();
        match &run.runner {
            Some(runner) => self.context.out.note(format_args!("── attempt {number} on {runner} ──")),
            None => self.context.out.note(format_args!("── attempt {number} ──")),
        }
    }
}

/// Prints log lines: the job's standard output to ours and its standard error to ours, or all as JSON, one on each line.
pub fn print(out: &Output, lines: &[LogLine]) -> Result<(), OutputError> {
    if out.is_json() {
        return lines.iter().try_for_each(|line| out.json_line(line));
    }
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    for LogLine { stream, line, .. } in lines {
        match stream {
            Stream::Stdout => writeln!(stdout, "{}", out.log_line(line))?,
            Stream::Stderr => {
                // On a terminal, which shows both, the order must be the job's.
                stdout.flush()?;
                writeln!(stderr, "{}", out.stderr_log_line(line))?;
            }
        }
    }
    stdout.flush()?;
    Ok(())
}

/// `{"logs":[…]}` with one log line on each line, written as they come: a log may be larger than memory.
pub struct JsonLines {
    any: bool,
}

impl JsonLines {
    /// Writes the beginning.
    pub fn begin() -> Result<Self, OutputError> {
        io::stdout().lock().write_all(b"{\"logs\":[")?;
        Ok(Self { any: false })
    }

    /// Writes some lines.
    pub fn add(&mut self, lines: &[LogLine]) -> Result<(), OutputError> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        for line in lines {
            stdout.write_all(if self.any { b",\n" } else { b"\n" })?;
            let line = serde_json::to_string(line).map_err(io::Error::from)?;
            stdout.write_all(escaped_json(&line).as_bytes())?;
            self.any = true;
        }
        Ok(stdout.flush()?)
    }

    /// Writes the end.
    pub fn end(self) -> Result<(), OutputError> {
        let end: &[u8] = if self.any { b"\n]}\n" } else { b"]}\n" };
        Ok(io::stdout().lock().write_all(end)?)
    }
}
