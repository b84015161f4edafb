//! `minitower runs logs`

use std::borrow::Cow;
use std::collections::VecDeque;

use clap::Args;
use minitower_client::wire::runs::LogLine;
use minitower_client::{LogFilter, TeamClient};
use minitower_daemon::logs;

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::follow::{self, JsonLines};
use crate::output::Tone;
use crate::watch::{describe, no_such_run, patiently, run_id, unless_interrupted};

/// Flags of `runs logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: i64,
    /// Keep printing until the run ends
    #[arg(long, short)]
    follow: bool,
    /// Print only the last NUMBER lines
    #[arg(long, value_name = "NUMBER")]
    tail: Option<usize>,
    /// Print only lines after line NUMBER
    #[arg(long, value_name = "NUMBER")]
    after_seq: Option<i64>,
    /// The attempt whose log to print; a server shows only the newest attempt's
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow")]
    attempt: Option<i64>,
}

/// Why the log of an attempt cannot be shown.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("run {run_id} has no attempt {attempt}")]
    Unknown { run_id: i64, attempt: i64 },
    #[error("--attempt {attempt}: the server shows only the log of a run's newest attempt")]
    Older { attempt: i64, newest: i64 },
}

impl Explained for AttemptError {
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::Unknown { run_id, .. } => format!("`minitower runs attempts {run_id}` shows its attempts"),
            Self::Older { newest, .. } => format!("leave --attempt out to see the log of attempt {newest}"),
        };
        Some(help.into())
    }
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        if let Some(attempt) = self.attempt {
            check_newest(&team, self.run_id, attempt).await?;
        }
        if !self.follow {
            self.all(context, &team).await?;
            return Ok(Exit::Success);
        }
        let following = async {
            let after_seq = match self.tail {
                Some(_) => self.tail(context, &team).await?,
                None => self.after_seq,
            };
            let run = follow::to_the_end(context, &team, self.run_id, after_seq).await?;
            let end = format!("── run {} {} ──", run.run_id, describe(&run));
            logs::say(context.out.stderr_style().tone(end, Tone::from(run.status)));
            Ok(Exit::Success)
        };
        unless_interrupted(context, self.run_id, following).await
    }

    /// Prints all that is there.
    async fn all(&self, context: &Context, team: &TeamClient) -> Result<(), Failure> {
        let mut json = context.out.is_json().then(JsonLines::begin).transpose()?;
        let mut pages = Pages::new(context, team, self.run_id, self.after_seq);
        let mut print = |lines: &[LogLine]| match &mut json {
            Some(json) => json.add(lines),
            None => follow::print(&context.out, lines),
        };
        match self.tail {
            Some(most) => print(&pages.last(most).await?)?,
            None => {
                while let Some(lines) = pages.next().await? {
                    print(&lines)?;
                }
            }
        }
        json.map(JsonLines::end).transpose()?;
        Ok(())
    }

    /// Prints the last lines of what is there, and returns the number of the last.
    async fn tail(&self, context: &Context, team: &TeamClient) -> Result<Option<i64>, Failure> {
        let mut pages = Pages::new(context, team, self.run_id, self.after_seq);
        let last = pages.last(self.tail.unwrap_or_default()).await?;
        follow::print(&context.out, &last)?;
        Ok(pages.after_seq)
    }
}

/// A server shows the log of a run's newest attempt, whatever it is asked for. So another one is refused here.
async fn check_newest(team: &TeamClient, run_id: i64, attempt: i64) -> Result<(), Failure> {
    let attempts = team.attempts(run_id).await.map_err(no_such_run)?.attempts;
    let newest = attempts.iter().map(|attempt| attempt.attempt_no).max();
    if newest == Some(attempt) {
        return Ok(());
    }
    if !attempts.iter().any(|known| known.attempt_no == attempt) {
        return Err(AttemptError::Unknown { run_id, attempt }.into());
    }
    Err(AttemptError::Older { attempt, newest: newest.unwrap_or_default() }.into())
}

/// A log, page by page: the server decides how many lines an answer has.
struct Pages<'a> {
    context: &'a Context,
    team: &'a TeamClient,
    run_id: i64,
    after_seq: Option<i64>,
}

impl<'a> Pages<'a> {
    const fn new(context: &'a Context, team: &'a TeamClient, run_id: i64, after_seq: Option<i64>) -> Self {
        Self { context, team, run_id, after_seq }
    }

    /// The next lines, or `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<LogLine>>, Failure> {
        let filter = LogFilter { after_seq: self.after_seq, ..LogFilter::default() };
        let lines =
            patiently(self.context, || self.team.logs(self.run_id, &filter)).await.map_err(no_such_run)?.logs;
        let Some(last) = lines.last() else { return Ok(None) };
        // A server that begins again with each answer would be asked for ever.
        if self.after_seq.is_some_and(|before| last.seq <= before) {
            return Ok(None);
        }
        self.after_seq = Some(last.seq);
        Ok(Some(lines))
    }

    /// The last lines, at most `most`.
    async fn last(&mut self, most: usize) -> Result<Vec<LogLine>, Failure> {
        let mut last = VecDeque::new();
        while let Some(lines) = self.next().await? {
            last.extend(lines);
            last.drain(..last.len().saturating_sub(most));
        }
        Ok(last.into())
    }
}
