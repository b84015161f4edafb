//! `minitower logs` and `minitower runs logs`

use std::borrow::Cow;
use std::collections::VecDeque;

use clap::Args;
use minitower_client::wire::runs::LogLine;
use minitower_client::{LogFilter, TeamClient};

use super::newest;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure, NOT_FOUND};
use crate::follow::{self, From, JsonLines};
use crate::watch::{no_such_run, patiently, run_id, unless_interrupted};

/// Flags of `logs` and `runs logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run's id; by default the newest run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: Option<i64>,
    /// Print the log of the newest run of this app
    #[arg(long, conflicts_with = "run_id")]
    app: Option<String>,
    /// Keep printing until the run ends
    #[arg(long, short)]
    follow: bool,
    /// Print only the last NUMBER lines
    #[arg(long, short = 'n', value_name = "NUMBER")]
    tail: Option<u32>,
    /// Print only lines after line NUMBER
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    after_seq: Option<i64>,
    /// The attempt whose log to print; by default the newest
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    attempt: Option<i64>,
}

/// The run has no such attempt.
#[derive(Debug, thiserror::Error)]
#[error("run {run_id} has no attempt {attempt}")]
struct NoAttempt {
    run_id: i64,
    attempt: i64,
}

impl Explained for NoAttempt {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(format!("`minitower runs attempts {}` shows its attempts", self.run_id).into())
    }

    fn code(&self) -> u8 {
        NOT_FOUND
    }
}

impl Logs {
    /// Carries the command out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let run_id = self.named_or_newest(context, &team).await?;
        if let Some(attempt) = self.attempt {
            let attempts = team.attempts(run_id).await.map_err(no_such_run)?.attempts;
            if !attempts.iter().any(|known| known.attempt_no == attempt) {
                return Err(NoAttempt { run_id, attempt }.into());
            }
        }
        let mut pages =
            Pages { context, team: &team, run_id, attempt: self.attempt, after_seq: self.after_seq };
        if !self.follow {
            self.all(&mut pages).await?;
            return Ok(Exit::Success);
        }
        let following = async {
            if let Some(most) = self.tail {
                follow::print(&context.out, &pages.last(most).await?)?;
            }
            let from = From { after_seq: pages.after_seq, attempt: self.attempt };
            let run = follow::to_the_end(context, &team, run_id, from).await?;
            follow::tell_end(&context.out, &run);
            Ok(Exit::Success)
        };
        unless_interrupted(context, run_id, following).await
    }

    /// The run whose log is meant. One that was not named is told.
    async fn named_or_newest(&self, context: &Context, team: &TeamClient) -> Result<i64, Failure> {
        if let Some(run_id) = self.run_id {
            return Ok(run_id);
        }
        let run = newest(context, team, self.app.as_deref()).await?;
        context.out.note(format_args!("run {} ({} #{})", run.run_id, run.app_slug, run.run_no));
        Ok(run.run_id)
    }

    /// Prints all that is there.
    async fn all(&self, pages: &mut Pages<'_>) -> Result<(), Failure> {
        let out = &pages.context.out;
        let mut json = out.is_json().then(JsonLines::begin).transpose()?;
        let mut print = |lines: &[LogLine]| match &mut json {
            Some(json) => json.add(lines),
            None => follow::print(out, lines),
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
}

/// A log, page by page: the server decides how many lines an answer has.
struct Pages<'a> {
    context: &'a Context,
    team: &'a TeamClient,
    run_id: i64,
    attempt: Option<i64>,
    after_seq: Option<i64>,
}

impl Pages<'_> {
    /// The next lines, or `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<LogLine>>, Failure> {
        self.page(None).await
    }

    async fn page(&mut self, tail: Option<u32>) -> Result<Option<Vec<LogLine>>, Failure> {
        let filter =
            LogFilter { after_seq: self.after_seq, attempt: self.attempt, tail, ..LogFilter::default() };
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

    /// The last lines, at most `most`. A server that knows no tail answers from the beginning, and all of it is read.
    async fn last(&mut self, most: u32) -> Result<Vec<LogLine>, Failure> {
        let mut last = VecDeque::new();
        let mut page = self.page(Some(most.max(1))).await?;
        while let Some(lines) = page {
            last.extend(lines);
            last.drain(..last.len().saturating_sub(most as usize));
            page = self.next().await?;
        }
        Ok(last.into())
    }
}
