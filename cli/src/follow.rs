//! Following a run's log to its end, over retries.

use std::io::{self, Write};

use minitower_client::wire::runs::{LogLine, Run, RunStatus, Stream};
use minitower_client::{Error, LogFilter, TeamClient};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::watch::{Pace, no_runner, no_such_run, patiently};

/// Prints the log as it grows until the run has ended and everything of it was printed. A run that is tried again is
/// followed to its newest attempt.
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
        // First the state, then the lines: what was logged before the run ended is then surely read.
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
    /// Prints what is there, until nothing more is.
    async fn drain(&mut self) -> Result<bool, Failure> {
        let mut happened = false;
        loop {
            let filter = LogFilter { after_seq: self.after_seq, attempt: self.attempt, limit: None };
            let logs = patiently(self.context, || self.team.logs(self.run_id, &filter))
                .await
                .map_err(no_such_run)?;
            let Some(last) = logs.logs.last() else { return Ok(happened) };
            self.after_seq = Some(last.seq);
            print(&self.context.out, &logs.logs)?;
            happened = true;
        }
    }

    /// Servers that do not tell attempts apart serve the newest one's lines; that is all there is to follow then.
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

    /// Silence is worrying: a run that waits says so once.
    async fn tell_queued(&mut self, run: &Run) {
        if run.status == RunStatus::Queued && !self.told_queued {
            let reason = no_runner(self.team, run.environment.as_deref()).await;
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            self.context
                .out
                .note(format_args!("run {} is queued and waits for a runner{reason}", run.run_id));
            self.told_queued = true;
        }
    }
}

/// Prints log lines: the job's standard output to ours, its standard error to ours; or all as JSON, a line each.
pub fn print(out: &Output, lines: &[LogLine]) -> Result<(), Failure> {
    if out.is_json() {
        lines.iter().try_for_each(|line| out.json_line(line))?;
        return Ok(());
    }
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    for LogLine { stream, line, .. } in lines {
        match stream {
            Stream::Stdout => writeln!(stdout, "{}", out.log_line(line))?,
            Stream::Stderr => {
                // On a terminal, where both meet, the order is the job's.
                stdout.flush()?;
                writeln!(stderr, "{}", out.stderr_log_line(line))?;
            }
        }
    }
    stdout.flush()?;
    Ok(())
}

/// `{"logs":[…]}`, a line of the log on each line, written as the lines come: a log may be larger than memory.
pub struct JsonLines {
    any: bool,
}

impl JsonLines {
    /// Writes the beginning.
    pub fn begin() -> io::Result<Self> {
        io::stdout().lock().write_all(b"{\"logs\":[")?;
        Ok(Self { any: false })
    }

    /// Writes some lines.
    pub fn add(&mut self, lines: &[LogLine]) -> io::Result<()> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        for line in lines {
            stdout.write_all(if self.any { b",\n" } else { b"\n" })?;
            serde_json::to_writer(&mut stdout, line)?;
            self.any = true;
        }
        stdout.flush()
    }

    /// Writes the end.
    pub fn end(self) -> io::Result<()> {
        let end: &[u8] = if self.any { b"\n]}\n" } else { b"]}\n" };
        io::stdout().lock().write_all(end)
    }
}
