//! `minitower runs logs`

use std::collections::VecDeque;

use clap::Args;
use minitower_client::wire::runs::LogLine;
use minitower_client::{LogFilter, TeamClient};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::follow::{self, JsonLines};
use crate::output::Tone;
use crate::watch::{describe, no_such_run, patiently, unless_interrupted};

/// Flags of `runs logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
    /// Go on until the run has ended
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines of what there is
    #[arg(long, value_name = "NUMBER")]
    tail: Option<usize>,
    /// Only lines after this one
    #[arg(long, value_name = "NUMBER")]
    after_seq: Option<i64>,
    /// The attempt whose lines are meant; servers keep those of the newest
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow")]
    attempt: Option<i64>,
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
            let said = format!("── run {} {} ──", run.run_id, describe(&run));
            let style = context.out.stderr_style();
            eprintln!("{}", style.tone(said, Tone::from(run.status)));
            Ok(Exit::Success)
        };
        unless_interrupted(context, self.run_id, following).await
    }

    /// Prints all that is there.
    async fn all(&self, context: &Context, team: &TeamClient) -> Result<(), Failure> {
        let mut json = context.out.is_json().then(JsonLines::begin).transpose()?;
        let mut pages = Pages::new(context, team, self.run_id, self.after_seq);
        let mut print = |lines: &[LogLine]| match &mut json {
            Some(json) => Ok(json.add(lines)?),
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

    /// Prints the last lines of what is there, and tells where they end.
    async fn tail(&self, context: &Context, team: &TeamClient) -> Result<Option<i64>, Failure> {
        let mut pages = Pages::new(context, team, self.run_id, self.after_seq);
        let last = pages.last(self.tail.unwrap_or_default()).await?;
        follow::print(&context.out, &last)?;
        Ok(pages.after_seq)
    }
}

/// Servers show the log of a run's newest attempt, whatever they are asked for.
async fn check_newest(team: &TeamClient, run_id: i64, attempt: i64) -> Result<(), Failure> {
    let attempts = team.attempts(run_id).await.map_err(no_such_run)?.attempts;
    let newest = attempts.iter().map(|attempt| attempt.attempt_no).max();
    if newest == Some(attempt) {
        return Ok(());
    }
    if !attempts.iter().any(|known| known.attempt_no == attempt) {
        return Err(Failure::new(format!("run {run_id} has no attempt {attempt}"))
            .help(format_args!("`minitower runs attempts {run_id}` shows those it has")));
    }
    Err(Failure::new(format!(
        "--attempt {attempt}: the server shows the log of a run's newest attempt alone"
    ))
    .help(format_args!("leave --attempt out to see that of attempt {}", newest.unwrap_or_default())))
}

/// A log, page by page: a server answers with as many lines as it likes.
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

    /// The next lines, or `None` behind the last.
    async fn next(&mut self) -> Result<Option<Vec<LogLine>>, Failure> {
        let filter = LogFilter { after_seq: self.after_seq, ..LogFilter::default() };
        let lines =
            patiently(self.context, || self.team.logs(self.run_id, &filter)).await.map_err(no_such_run)?.logs;
        let Some(last) = lines.last() else { return Ok(None) };
        // A server that does not count on would be asked for ever.
        if self.after_seq.is_some_and(|before| last.seq <= before) {
            return Ok(None);
        }
        self.after_seq = Some(last.seq);
        Ok(Some(lines))
    }

    /// The last lines, at most so many.
    async fn last(&mut self, most: usize) -> Result<Vec<LogLine>, Failure> {
        let mut last = VecDeque::new();
        while let Some(lines) = self.next().await? {
            last.extend(lines);
            last.drain(..last.len().saturating_sub(most));
        }
        Ok(last.into())
    }
}
