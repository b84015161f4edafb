//! The poll: a runner asks for work, and waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::app::Version;
use crate::domain::attempt::Attempt;
use crate::domain::claim::{self, Decision, Poll};
use crate::domain::input::Input;
use crate::domain::lease::{self, Command};
use crate::domain::run::Run;
use crate::domain::runner::RunnerPrincipal;
use crate::store::attempts::TokenHashes;
use crate::store::{attempts, fences, runners, runs};
use minitower_kernel::volumes::NoRoom;
use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names;
use minitower_vocabulary::statuses::AttemptStatus;
use minitower_vocabulary::time::Timestamp;
use tokio::sync::oneshot;

use crate::dispatch::{Next, Pass};
use crate::gates::Gates;
use crate::leases::{RunAndAttempt, held, load_run, save_held, timeout_seconds, version_of};
use crate::queues::Queues;
use crate::{Error, Field, Leases, deletion, granted, inputs};
use minitower_teams::secrets::{self, Kind, TokenHash};
use minitower_teams::{SecretValue, Teams};

/// Longest time a poll may wait.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// Runs that one claim takes out of the queue, because they were deleted or may not start now: bounds how long it takes.
const MOST_PASSED_OVER: usize = 50;
/// Longest name of a poll or process.
pub(crate) const MAX_ID_BYTES: usize = 200;

/// What a runner gets.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The run.
    pub run: Run,
    /// The slug of its team.
    pub team_slug: String,
    /// The attempt.
    pub attempt: Attempt,
    /// What to run.
    pub version: Version,
    /// Goes with every call of this attempt; shown once.
    pub lease_token: String,
    /// Starts and reads runs of the team as long as the attempt lasts, for a version that asks for one; shown once.
    pub api_token: Option<String>,
    /// The secrets that the version names, with their values.
    pub secrets: Vec<(String, SecretValue)>,
    /// Most bytes of its log.
    pub log_bytes: u64,
    /// Most bytes of all its artifacts.
    pub artifacts_bytes: u64,
    hash: TokenHash,
}

/// A grant on its way to the runner. Dropped before it was [delivered](Offer::deliver), the lease is given back at once: nobody will ever
/// start that run.
#[derive(Debug)]
pub struct Offer {
    leases: Leases,
    grant: Option<Box<Grant>>,
}

impl Offer {
    /// The answer is about to be written.
    pub fn deliver(mut self) -> Option<Box<Grant>> {
        self.grant.take()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let leases = self.leases.clone();
            runtime.spawn(async move {
                leases.release_unheard(grant.attempt.id, grant.run.id, grant.hash).await;
            });
        }
    }
}

/// What a claim came to.
enum Claimed {
    Granted(Box<Grant>),
    Nothing,
    Fenced,
    Busy,
    /// A newer poll, or a sign-off, came first.
    Stale,
    /// There may be work behind what was taken out of the queue, or has failed before it began.
    Again,
}

impl Leases {
    /// Leases the first ready run to the runner, waiting up to `wait` for one. None: there was no work.
    pub async fn lease(
        &self,
        by: &RunnerPrincipal,
        poll: Poll,
        wait: Duration,
    ) -> Result<Option<Offer>, Error> {
        check_poll(&poll)?;
        let deadline = tokio::time::Instant::now() + wait.min(MAX_WAIT);
        let _open = self.0.memory.presence.poll(by, &self.0.clock);
        let ticket = self.0.memory.dispatch.enter(by);
        // Once more, now that a re-registration would end this poll's right to claim: the token that was good a moment ago may have
        // been replaced before the poll entered.
        self.runner_of(by.token_hash).await?;
        loop {
            let next = match self.claim(by, &poll, ticket.pass()).await? {
                Claimed::Granted(grant) => {
                    ticket.served();
                    self.0.memory.presence.served(by.runner_id);
                    self.0.memory.leases_due.at(grant.attempt.lease.expires_at);
                    return Ok(Some(Offer { leases: self.clone(), grant: Some(grant) }));
                }
                Claimed::Busy => {
                    self.0.memory.presence.served(by.runner_id);
                    return Err(Error::PollerBusy);
                }
                Claimed::Stale => return self.overtaken(by).await,
                Claimed::Again => Next::Try,
                Claimed::Nothing => ticket.found_nothing(),
                Claimed::Fenced => ticket.fenced(),
            };
            match next {
                Next::Try => {}
                Next::GiveUp => return self.overtaken(by).await,
                Next::Wait => {
                    tokio::select! {
                        // A wake-up that comes together with the deadline is used.
                        biased;
                        newest = ticket.woken() => if !newest { return self.overtaken(by).await },
                        () = self.0.stopping.cancelled() => return Ok(None),
                        () = tokio::time::sleep_until(deadline) => return Ok(None),
                    }
                }
            }
        }
    }

    /// A newer poll of the runner, or its sign-off, took the place of this one: refused like any poll of a busy runner while it holds a run.
    async fn overtaken(&self, by: &RunnerPrincipal) -> Result<Option<Offer>, Error> {
        let runner = by.runner_id;
        let held = self.0.store.read(move |db| attempts::active_of_runner(db, runner)).await?;
        if held.is_some() { Err(Error::PollerBusy) } else { Ok(None) }
    }

    /// Carries the claim out in a task of its own, so that it is given back when its poll has gone by the time it is answered.
    async fn claim(&self, by: &RunnerPrincipal, poll: &Poll, pass: Pass) -> Result<Claimed, Error> {
        let (leases, by, poll) = (self.clone(), by.clone(), poll.clone());
        let (reply, answer) = oneshot::channel();
        tokio::spawn(async move {
            let (token, hash) = match secrets::generate(Kind::Lease) {
                Ok(generated) => generated,
                Err(error) => {
                    let _ = reply.send(Err(error.into()));
                    return;
                }
            };
            let (clock, ttl) = (leases.0.clock.clone(), leases.0.settings.lease_ttl);
            let (teams, memory) = (leases.0.teams.clone(), Arc::clone(&leases.0.memory));
            let volumes = leases.0.store.volumes().clone();
            let claimed = leases
                .0
                .store
                .write_lease(move |tx| {
                    if !pass.is_valid() {
                        return Ok(Claimed::Stale);
                    }
                    let (teams, queues, gates) = (&teams, &memory.queues, &memory.gates);
                    let (now, room) = (clock.now(), volumes.room_for_state());
                    Claim { teams, queues, gates, by: &by, poll: &poll, token, hash, ttl, now, room }
                        .carry_out(tx)
                })
                .await;
            let claimed = match claimed {
                Ok(Claimed::Granted(grant)) => leases.with_input(grant).await,
                other => other,
            };
            if let Err(Ok(Claimed::Granted(grant))) = reply.send(claimed) {
                leases.release_unheard(grant.attempt.id, grant.run.id, grant.hash).await;
            }
        });
        answer.await.map_err(|_| Error::TaskEnded("a claim"))?
    }

    /// The grant with the run's input, however large it is. It is read when the lease is committed, so that nobody waits for it.
    async fn with_input(&self, mut grant: Box<Grant>) -> Result<Claimed, Error> {
        if let Some(Input::Apart { .. }) = grant.run.input {
            match inputs::whole(&self.0.store, grant.run.clone()).await {
                Ok(run) => grant.run = run,
                Err(error) => {
                    self.release_unheard(grant.attempt.id, grant.run.id, grant.hash).await;
                    return Err(error);
                }
            }
        }
        Ok(Claimed::Granted(grant))
    }

    /// The runner stops polling: nothing is leased to it until it polls again, and an attempt it has not started is released; also one
    /// that the poll `given_up` has started, as long as nobody has heard of it.
    pub async fn sign_off(&self, by: &RunnerPrincipal, given_up: Option<String>) -> Result<(), Error> {
        check_name("request_id", given_up.as_ref())?;
        // First, so that a claim on its way is refused or comes before the release below. No commit is foretold: the runner said it.
        self.0.memory.dispatch.sign_off(by.runner_id);
        let (runner, clock) = (by.runner_id, self.0.clock.clone());
        let memory = Arc::clone(&self.0.memory);
        let released = self
            .0
            .store
            .write_lease(move |tx| {
                let Some(attempt) = attempts::active_of_runner(tx, runner)? else { return Ok(()) };
                let run = load_run(tx, attempt.run_id)?;
                let after = lease::decide(held(&run, &attempt), Command::SignOff { given_up }, clock.now())?;
                save_held(tx, &memory.gates, (run, attempt), after)?;
                Ok(())
            })
            .await;
        self.0.memory.presence.signed_off(runner);
        released
    }
}

/// A claim inside its transaction.
struct Claim<'a> {
    teams: &'a Teams,
    queues: &'a Queues,
    gates: &'a Gates,
    by: &'a RunnerPrincipal,
    poll: &'a Poll,
    token: String,
    hash: TokenHash,
    ttl: Duration,
    now: Timestamp,
    /// Whether there is room for a run more that is under way.
    room: Result<(), NoRoom>,
}

impl Claim<'_> {
    fn carry_out(self, tx: &Tx<'_>) -> Result<Claimed, Error> {
        // A registration in the same batch may have replaced the token; memory hears of it only after the commit.
        let Some(instance) = runners::instance_under(tx, self.by.runner_id, self.by.token_hash)? else {
            return Ok(Claimed::Stale);
        };
        let active = match attempts::active_of_runner(tx, self.by.runner_id)? {
            Some(attempt) => Some((load_run(tx, attempt.run_id)?, attempt)),
            None => None,
        };
        let fenced = fences::any(tx, &self.by.name)?;
        let held = active.as_ref().map(|(run, attempt)| held(run, attempt));
        match (claim::decide(held, self.poll, fenced, self.ttl, self.now), active) {
            (Decision::Busy, _) => Ok(Claimed::Busy),
            (Decision::Fenced, _) => Ok(Claimed::Fenced),
            (Decision::Claim, _) => self.take_first(tx, instance.as_deref()),
            (Decision::EndThenClaim(after), Some((run, attempt))) => {
                save_held(tx, self.gates, (run, attempt), after)?;
                // The end is kept, whatever comes of the claim.
                if fenced || self.room.is_err() {
                    Ok(Claimed::Fenced)
                } else {
                    self.take_first(tx, instance.as_deref())
                }
            }
            (Decision::Again(lease), Some((run, attempt))) => {
                let attempt = attempts::save_lease(tx, attempt, lease)?;
                let version = version_of(tx, &run)?;
                let (api_token, hashes) = self.tokens(&version)?;
                attempts::replace_tokens(tx, attempt.id, hashes)?;
                self.grant(tx, (run, attempt), version, api_token)
            }
            (Decision::EndThenClaim(_) | Decision::Again(_), None) => {
                Err(StoreError::Inconsistent("a decision about an attempt that is not there".to_owned())
                    .into())
            }
        }
    }

    fn take_first(self, tx: &Tx<'_>, known_instance: Option<&str>) -> Result<Claimed, Error> {
        if let Some(instance) = &self.poll.instance_id
            && known_instance != Some(instance.as_str())
        {
            runners::set_instance(tx, self.by.runner_id, instance)?;
        }
        let mut passed_over = 0;
        let run = loop {
            let Some(run) = self.queues.first(tx, self.by.scope, &self.by.environment)? else {
                return Ok(Claimed::Nothing);
            };
            if run.deleted {
                // Whoever removes it has not come to it yet.
                deletion::cancel(tx, run, self.now)?;
            } else if !self.gates.send_back(tx, &run)? {
                break run;
            }
            passed_over += 1;
            if passed_over == MOST_PASSED_OVER {
                return Ok(Claimed::Again);
            }
        };
        self.room?;
        let leased =
            claim::lease(run.progress.clone(), self.poll, self.ttl, self.now).map_err(|illegal| {
                StoreError::Inconsistent(format!("run {} is in the queue: {illegal}", run.id))
            })?;
        let (run, number) = runs::lease(tx, run, leased.run, &self.by.name, leased.attempt.started_at())?;
        let runner = (self.by.runner_id, self.by.name.as_str());
        let version = version_of(tx, &run)?;
        let (api_token, hashes) = self.tokens(&version)?;
        let attempt =
            attempts::insert(tx, (run.id, number), runner, hashes, (leased.lease, leased.attempt), self.now)?;
        self.grant(tx, (run, attempt), version, api_token)
    }

    /// The API token of a version that asks for one, and the hashes of the attempt's tokens.
    fn tokens(&self, version: &Version) -> Result<(Option<String>, TokenHashes), Error> {
        let (token, api) = if version.api { Some(secrets::generate(Kind::Attempt)?) } else { None }.unzip();
        Ok((token, TokenHashes { lease: self.hash, api }))
    }

    fn grant(
        self,
        tx: &Tx<'_>,
        (run, attempt): RunAndAttempt,
        version: Version,
        api_token: Option<String>,
    ) -> Result<Claimed, Error> {
        let secrets = match granted::open(self.teams, tx, &run, &version)? {
            Ok(secrets) => secrets,
            // It ends anyway, and its runner has to hear that.
            Err(_) if attempt.status() == AttemptStatus::Cancelling => Vec::new(),
            Err(withheld) => {
                granted::fail(tx, self.gates, (run, attempt), &withheld, self.now)?;
                return Ok(Claimed::Again);
            }
        };
        // Its foreign key says that the team is there.
        let team_slug = self.teams.slug(run.team_id).map(|slug| slug.to_string()).unwrap_or_default();
        let (lease_token, hash) = (self.token, self.hash);
        let limits = self.teams.limits(run.team_id);
        let app = run.app_id;
        let timeout_seconds = timeout_seconds(&run, &version, limits.count(LimitName::TimeoutSeconds));
        let (version, run) = (Version { timeout_seconds, ..version }, Run { timeout_seconds, ..run });
        Ok(Claimed::Granted(Box::new(Grant {
            run,
            team_slug,
            attempt,
            version,
            lease_token,
            api_token,
            secrets,
            log_bytes: self.gates.log_bytes(app, limits.of(LimitName::LogBytesPerRun)),
            artifacts_bytes: limits.of(LimitName::ArtifactBytes),
            hash,
        })))
    }
}

fn check_poll(poll: &Poll) -> Result<(), Error> {
    for (field, value) in [
        ("request_id", &poll.request_id),
        ("instance_id", &poll.instance_id),
        ("supersedes", &poll.supersedes),
    ] {
        check_name(field, value.as_ref())?;
    }
    Ok(())
}

fn check_name(field: &'static str, name: Option<&String>) -> Result<(), Error> {
    let checked = name.map_or(Ok(()), |name| names::check_line(name, MAX_ID_BYTES));
    checked.map_err(|problem| Error::field(field, Field::Text(problem)))
}
