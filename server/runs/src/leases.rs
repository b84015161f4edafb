//! The calls under a lease: start, heartbeat, logs, result, release, artifact.

use std::sync::Arc;

use crate::domain::app::Version;
use crate::domain::attempt::Attempt;
use crate::domain::lease::{self, Command, Held, Outcome, Refusal};
use crate::domain::log;
use crate::domain::retry::Jitter;
use crate::domain::run::Run;
use crate::domain::runner::RunnerPrincipal;
use crate::store::logs::LogLine;
use crate::store::{attempts, runners, runs, usage, versions};
use minitower_kernel::objects::Content;
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::{AttemptId, RunId};
use minitower_vocabulary::limits::{LimitName, OUTPUT_BYTES};
use serde_json::Value;

use crate::gates::Gates;
use crate::{Error, Field, Leases};
use minitower_teams::secrets::{self, TokenHash};

/// Most lines in one batch.
pub const MAX_LOG_BATCH: usize = 100;
/// Most bytes of one line.
pub const MAX_LOG_LINE_BYTES: usize = 8 * 1024;
/// Most bytes that are kept of a result's message: it is in every answer about the run, and a page holds a hundred runs.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// A run and the attempt that was acted on, after it.
pub type RunAndAttempt = (Run, Attempt);

/// An archive to send, and what goes into its headers.
#[derive(Debug)]
pub struct Archive {
    /// The archive.
    pub content: Content,
    /// The version it belongs to, with the run's own timeout if it has one.
    pub version: Version,
}

/// What a runner reports of an attempt that ends.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What the job wrote for whoever started it.
    pub output: Option<Value>,
    /// The last lines of its log, stored in the same transaction.
    pub lines: Vec<LogLine>,
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, output: None, lines: Vec::new() }
    }
}

impl Leases {
    /// A runner token. Whoever shows one was heard of.
    pub async fn authenticate(&self, token: Option<&str>) -> Result<RunnerPrincipal, Error> {
        let token = token.ok_or(minitower_teams::Error::Unauthorized)?;
        let principal = self.runner_of(secrets::hash(token)).await?;
        self.0.memory.presence.seen(principal.runner_id, self.0.clock.now());
        Ok(principal)
    }

    /// The runner whose token has that hash now.
    pub(crate) async fn runner_of(&self, hash: TokenHash) -> Result<RunnerPrincipal, Error> {
        let read = self
            .0
            .store
            .read(move |db| Ok(runners::principal(db, hash)?.ok_or(minitower_teams::Error::Unauthorized)?));
        self.0.memory.tokens.or_read(hash, read).await
    }

    /// The runner begins the run.
    pub async fn start_run(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
    ) -> Result<RunAndAttempt, Error> {
        self.under_lease(by, run, lease_token, Command::Start).await
    }

    /// The runner is alive: its lease is extended.
    pub async fn heartbeat(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
    ) -> Result<RunAndAttempt, Error> {
        let ttl = self.0.settings.lease_ttl;
        self.under_lease(by, run, lease_token, Command::Heartbeat { ttl }).await
    }

    /// The runner reports the end, with the last lines of the log and what the job wrote for whoever started it.
    pub async fn finish_run(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
        report: Report,
    ) -> Result<(), Error> {
        let Report { mut outcome, output, lines } = report;
        check_lines(&lines)?;
        let output = output.map(|output| output.to_string());
        if let Some(found) = output.as_ref().map(String::len).filter(|bytes| *bytes > OUTPUT_BYTES) {
            let way_out = "leave larger results as artifacts";
            return Err(Error::field("output", Field::Json { found, most: OUTPUT_BYTES, way_out }));
        }
        // Cut, not refused: the runner has nothing better to say, and its result counts.
        if let Some(message) = &mut outcome.error_message
            && message.len() > MAX_MESSAGE_BYTES
        {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        }
        let command = Command::Result(outcome, jitter()?);
        let (by, hash, clock) = (by.clone(), secrets::hash(lease_token), self.0.clock.clone());
        let (teams, memory) = (self.0.teams.clone(), Arc::clone(&self.0.memory));
        let runner = by.runner_id;
        let finished = self
            .0
            .store
            .write_lease(move |tx| {
                let (run, attempt) = find(tx, &by, run, hash)?;
                let after = lease::decide(held(&run, &attempt), command, clock.now())?;
                // What is told of an attempt that has ended changes nothing.
                if attempt.status().is_active() {
                    // One batch at most, which tells how it ended: also of a team that may store no more.
                    let most = teams.limit(run.team_id, LimitName::LogBytesPerRun);
                    let most = memory.gates.log_bytes(run.app_id, most);
                    memory.logs.append(tx, (&run, &attempt), lines, most)?;
                }
                // Only of the attempt that ends the run, and only once.
                if let Some(output) = &output
                    && !run.status().is_terminal()
                    && after.run.status().is_terminal()
                {
                    runs::set_output(tx, run.id, output)?;
                    usage::stored(tx, run.team_id, i64::try_from(output.len()).unwrap_or(i64::MAX));
                }
                save_held(tx, &memory.gates, (run, attempt), after)?;
                Ok(())
            })
            .await;
        if finished.is_ok() {
            self.0.memory.presence.idle(runner);
        }
        finished
    }

    /// The runner gives the run back.
    pub async fn release_run(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
    ) -> Result<(), Error> {
        self.under_lease(by, run, lease_token, Command::Release).await?;
        self.0.memory.presence.idle(by.runner_id);
        Ok(())
    }

    /// The runner stores log lines; those it stored before are ignored.
    pub async fn append_logs(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
        lines: Vec<LogLine>,
    ) -> Result<(), Error> {
        check_lines(&lines)?;
        // The runner keeps them and sends them again. What is left of the room is for results.
        self.0.store.volumes().room_for_logs()?;
        let bytes = lines.iter().map(|line| log::measured(line.line.len() as u64)).sum::<u64>();
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let (by, hash, clock) = (by.clone(), secrets::hash(lease_token), self.0.clock.clone());
        let (teams, memory) = (self.0.teams.clone(), Arc::clone(&self.0.memory));
        self.0
            .store
            .write_lease(move |tx| {
                let (run, attempt) = find(tx, &by, run, hash)?;
                let after = lease::decide(held(&run, &attempt), Command::Logs, clock.now())?;
                let (run, attempt) = save_held(tx, &memory.gates, (run, attempt), after)?;
                let limits = teams.limits(run.team_id);
                memory.usage.admits_bytes((run.team_id, &limits), bytes)?;
                let most = memory.gates.log_bytes(run.app_id, limits.of(LimitName::LogBytesPerRun));
                Ok(memory.logs.append(tx, (&run, &attempt), lines, most)?)
            })
            .await
    }

    /// The runner fetches the archive.
    pub async fn archive(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
    ) -> Result<Archive, Error> {
        let (by, hash, now) = (by.clone(), secrets::hash(lease_token), self.0.clock.now());
        let teams = self.0.teams.clone();
        let version = self
            .0
            .store
            .read(move |db| {
                let (run, attempt) = find(db, &by, run, hash)?;
                lease::decide(held(&run, &attempt), Command::Artifact, now)?;
                let version = version_of(db, &run)?;
                let most = teams.limits(run.team_id).count(LimitName::TimeoutSeconds);
                let timeout_seconds = timeout_seconds(&run, &version, most);
                Ok::<_, Error>(Version { timeout_seconds, ..version })
            })
            .await?;
        let what = || format!("the archive of version {}", version.number);
        let (sha256, bytes) = (&version.artifact_sha256, version.artifact_bytes);
        let content = self.0.open_object(sha256, bytes, what, "upload the version again").await?;
        Ok(Archive { content, version })
    }

    async fn under_lease(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
        command: Command,
    ) -> Result<RunAndAttempt, Error> {
        let (by, hash, clock) = (by.clone(), secrets::hash(lease_token), self.0.clock.clone());
        let memory = Arc::clone(&self.0.memory);
        let done = self
            .0
            .store
            .write_lease(move |tx| {
                let (run, attempt) = find(tx, &by, run, hash)?;
                let after = lease::decide(held(&run, &attempt), command, clock.now())?;
                Ok::<_, Error>(save_held(tx, &memory.gates, (run, attempt), after)?)
            })
            .await?;
        self.0.memory.leases_due.at(done.1.lease.expires_at);
        Ok(done)
    }

    /// Gives back a lease that nobody will hear of: its poll was gone by the time it was to be answered.
    pub(crate) async fn release_unheard(&self, attempt: AttemptId, run: RunId, hash: TokenHash) {
        let clock = self.0.clock.clone();
        let memory = Arc::clone(&self.0.memory);
        let released = self
            .0
            .store
            .write_lease(move |tx| {
                let Some(found) = attempts::active_of_run(tx, run)?.filter(|a| a.id == attempt) else {
                    return Ok(());
                };
                // Asked again meanwhile: the answer to that poll carries another token.
                if !attempts::has_token(tx, attempt, hash)? {
                    return Ok(());
                }
                let run = load_run(tx, run)?;
                let after = lease::decide(held(&run, &found), Command::TakeBack, clock.now())?;
                save_held(tx, &memory.gates, (run, found), after)?;
                Ok::<_, Error>(())
            })
            .await;
        match released {
            // Gone: its lease ran out first. Either way the run is in the queue again.
            Ok(()) | Err(Error::Refused(Refusal::Gone)) => {
                tracing::debug!(%attempt, "released a lease that nobody waited for");
            }
            Err(error) => {
                tracing::warn!(%error, %attempt, "a lease that nobody waited for runs out by itself");
            }
        }
    }
}

/// The attempt of that lease token, and its run; anything that does not fit is gone, never not found.
pub(crate) fn find(
    db: &Db,
    by: &RunnerPrincipal,
    run: RunId,
    hash: TokenHash,
) -> Result<RunAndAttempt, Error> {
    let attempt = attempts::by_lease(db, run, by.runner_id, hash)?.ok_or(Refusal::Gone)?;
    Ok((load_run(db, run)?, attempt))
}

pub(crate) fn load_run(db: &Db, id: RunId) -> Result<Run, StoreError> {
    runs::by_id(db, id)?.ok_or_else(|| StoreError::Inconsistent(format!("no run {id}")))
}

pub(crate) fn version_of(db: &Db, run: &Run) -> Result<Version, StoreError> {
    versions::by_id(db, run.version_id)?
        .ok_or_else(|| StoreError::Inconsistent(format!("no version {}", run.version_id)))
}

/// How long a run may take, of which its team may ask at most that much now: a version may be older than the limit.
pub(crate) fn timeout_seconds(run: &Run, version: &Version, most: i64) -> Option<i64> {
    run.timeout_seconds.or(version.timeout_seconds).map(|seconds| seconds.min(most))
}

/// By how much this result's backoff is lengthened, should it have one.
pub(crate) fn jitter() -> Result<Jitter, Error> {
    let drawn = getrandom::u32().map_err(Error::Random)?;
    let [low, high, ..] = drawn.to_le_bytes();
    Ok(Jitter(u16::from_le_bytes([low, high])))
}

/// What the domain decides on.
pub(crate) fn held(run: &Run, attempt: &Attempt) -> Held {
    Held { run: run.progress.clone(), lease: attempt.lease.clone(), attempt: attempt.state.clone() }
}

/// Saves what the domain decided; a run that is queued again waits there as others of its app and its key do.
pub(crate) fn save_held(
    tx: &Tx<'_>,
    gates: &Gates,
    (run, attempt): RunAndAttempt,
    after: Held,
) -> Result<RunAndAttempt, StoreError> {
    let entering = gates.entering(&run, after.run);
    save_both(tx, (run, attempt), Held { run: entering, ..after })
}

/// Saves a run and its attempt.
pub(crate) fn save_both(
    tx: &Tx<'_>,
    (run, attempt): RunAndAttempt,
    after: Held,
) -> Result<RunAndAttempt, StoreError> {
    // The attempt first: a run that is queued again must not have an active one.
    let before = attempt.state.counted();
    let attempt = attempts::save(tx, attempt, after.lease, after.attempt)?;
    usage::stored(tx, run.team_id, attempt.state.counted() - before);
    let run = runs::save(tx, run, after.run, attempt.state.started_at())?;
    Ok((run, attempt))
}

fn check_lines(lines: &[LogLine]) -> Result<(), Error> {
    if lines.len() > MAX_LOG_BATCH {
        return Err(Error::field("logs", Field::Lines { found: lines.len(), most: MAX_LOG_BATCH }));
    }
    for line in lines {
        if line.seq < 1 {
            return Err(Error::field("logs", Field::Seq(line.seq)));
        }
        if line.line.len() > MAX_LOG_LINE_BYTES {
            let (seq, found, most) = (line.seq, line.line.len(), MAX_LOG_LINE_BYTES);
            return Err(Error::field("logs", Field::Line { seq, found, most }));
        }
    }
    Ok(())
}
