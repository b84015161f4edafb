//! Following a run's log to its end, across retries.

use std::io::{self, Write};

use minitower_client::wire::runs::{LogLine, Run, RunStatus, Stream};
use minitower_client::{Error, LogFilter, TeamClient};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, OutputError};
use crate::watch::{Pace, no_runner, no_such_run, patiently};

/// Prints the log as it grows, until the run has ended and all of its log is printed. If the run is retried, the newest
/// attempt is followed.
pub async fn to_the_end(
    context: &Context,
    team: &TeamClient,
    run_id: i64,
    after_seq: Option<i64>,
) -> Result<Run, Failure> {
    let mut follower = Follower { context, team, run_id, attempt: None, after_seq, told_queued: false };
    let mut pace = Pace::new();
    let mut before: Option<Run> = None;
    loop {
        // The state is read before the lines, so that everything that was logged before the run ended is read.
        let run = patiently(context, || team.run(run_id)).await.map_err(no_such_run)?;
        let changed = before.as_ref() != Some(&run);
        let newest =
            if changed || run.status.is_terminal() { follower.newest_attempt().await? } else { None };
        if follower.attempt.is_none() {
            follower.attempt = newest;
        }
        let mut happened = follower.drain().await?;
        if newest > follower.attempt {
            follower.go_on_with(newest, &run);
            happened |= follower.drain().await?;
        }
        if run.status.is_terminal() {
            return Ok(run);
        }
        follower.tell_queued(&run).await;
        before = Some(run);
        pace.wait(happened || changed).await;
    }
}

struct Follower<'a> {
    context: &'a Context,
    team: &'a TeamClient,
    run_id: i64,
    attempt: Option<i64>,
    after_seq: Option<i64>,
    told_queued: bool,
}

impl Follower<'_> {
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
        self.told_queued = false;
        let number = attempt.unwrap_or_default();
        match &run.runner {
            Some(runner) => self.context.out.note(format_args!("── attempt {number} on {runner} ──")),
            None => self.context.out.note(format_args!("── attempt {number} ──")),
        }
    }

    /// A person would wonder about silence, so a waiting run says once that it waits.
    async fn tell_queued(&mut self, run: &Run) {
        if run.status == RunStatus::Queued && !self.told_queued {
            let reason = no_runner(self.team, run.environment.as_deref()).await;
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            self.context
                .out
                .note(format_args!("run {} is queued and waiting for a runner{reason}", run.run_id));
            self.told_queued = true;
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
            serde_json::to_writer(&mut stdout, line).map_err(io::Error::from)?;
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
