//! Runners as administrators see them, and the fences that keep work from them.
//!
//! The operator sees and changes all; a team's admin sees platform runners and the team's own, and changes the team's own.

use std::sync::Arc;

use crate::domain::lease::{self, Command};
use crate::domain::runner::{FenceHolder, Runner, RunnerScope};
use crate::store::{attempts, fences, runners};
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::names;

use crate::leases::{held, load_run, save_held};
use crate::poll::MAX_ID_BYTES;
use crate::{Absent, Error, Field, Runners};
use minitower_teams::AdminPrincipal;

/// Most runners in one answer: the operator asks every second, and most platforms fit into one.
const MAX_RUNNERS: i64 = 10_000;
/// Most bytes of what runners say of themselves in one answer, however few they are: readers take 8 MiB, of which what JSON adds is a part.
const MAX_RUNNERS_BYTES: usize = 4 * 1024 * 1024;
/// What a runner adds to an answer besides its texts, about.
const RUNNER_BYTES: usize = 300;
/// Longest owner of a fence.
const MAX_OWNER_BYTES: usize = 253;
/// Longest reason of an end.
const MAX_REASON_BYTES: usize = 4096;

/// Which runners to list.
#[derive(Debug, Clone, Default)]
pub struct ListRunners {
    /// Only of this pool.
    pub pool: Option<String>,
    /// Only of this environment.
    pub environment: Option<String>,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// A runner, and whether it was heard of lately.
#[derive(Debug, Clone)]
pub struct ListedRunner {
    /// The runner.
    pub runner: Runner,
    /// The slug of its team; none: it is the platform's.
    pub team_slug: Option<Arc<str>>,
    /// Heard of lately, or polling now.
    pub online: bool,
    /// Whether the asker may know which run it holds.
    pub run_visible: bool,
}

/// Where a name stands after its fences changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// The runner's name.
    pub name: String,
    /// The run it holds.
    pub run_id: Option<RunId>,
    /// Whether any fence is left.
    pub draining: bool,
}

/// How many of the first runners fit into an answer; one does.
fn fitting(runners: &[Runner]) -> usize {
    let mut bytes = 0;
    let fit = runners.iter().take_while(|runner| {
        let Runner { name, environment, pool, labels, instance_id, .. } = runner;
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let labels: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        bytes +=
            RUNNER_BYTES + name.len() + environment.len() + optional(pool) + optional(instance_id) + labels;
        bytes <= MAX_RUNNERS_BYTES
    });
    fit.count().max(1)
}

impl Runners {
    /// Runners by name. A page may be shorter than its limit.
    pub async fn list_runners(
        &self,
        by: &AdminPrincipal,
        list: ListRunners,
    ) -> Result<Vec<ListedRunner>, Error> {
        let visible_to = match by {
            AdminPrincipal::Operator => None,
            AdminPrincipal::Team(team) => Some(team.team_id),
        };
        let filter = runners::Filter {
            visible_to,
            pool: list.pool,
            environment: list.environment,
            after: list.after,
            limit: match list.limit.unwrap_or(MAX_RUNNERS) {
                limit @ 1..=MAX_RUNNERS => limit,
                limit => {
                    return Err(Error::field(
                        "limit",
                        Field::NotBetween { least: 1, most: MAX_RUNNERS, found: Some(limit) },
                    ));
                }
            },
        };
        let mut found = self.0.store.read(move |db| Ok::<_, Error>(runners::list(db, &filter)?)).await?;
        found.truncate(fitting(&found));
        let (now, ttl) = (self.0.clock.now(), self.0.settings.lease_ttl);
        Ok(found
            .into_iter()
            .map(|mut runner| {
                let (last_seen, online) =
                    self.0.memory.presence.look(runner.id, runner.last_seen_at, ttl, now);
                runner.last_seen_at = last_seen;
                let run_visible = visible_to.is_none() || runner.scope != RunnerScope::Platform;
                let team_slug = match runner.scope {
                    RunnerScope::Platform => None,
                    RunnerScope::Team(team) => self.0.teams.slug(team),
                };
                ListedRunner { runner, team_slug, online, run_visible }
            })
            .collect())
    }

    /// Puts a fence on a runner's name. From the commit on no transaction leases to it while any fence is there; whether it holds a run is
    /// answered from the same transaction. The operator may fence a name that has not registered yet.
    pub async fn drain(
        &self,
        by: &AdminPrincipal,
        name: String,
        owner: Option<String>,
    ) -> Result<Drained, Error> {
        let clock = self.0.clock.clone();
        self.change_fence(by, name, owner, move |tx, name, holder, owner| {
            fences::raise(tx, name, holder, owner, clock.now())
        })
        .await
    }

    /// Takes the caller's fence down; one that is not held changes nothing.
    pub async fn undrain(
        &self,
        by: &AdminPrincipal,
        name: String,
        owner: Option<String>,
    ) -> Result<Drained, Error> {
        self.change_fence(by, name, owner, fences::lift).await
    }

    async fn change_fence<F>(
        &self,
        by: &AdminPrincipal,
        name: String,
        owner: Option<String>,
        change: F,
    ) -> Result<Drained, Error>
    where
        F: FnOnce(&Tx<'_>, &str, FenceHolder, &str) -> Result<(), StoreError> + Send + 'static,
    {
        let (by, owner) = (by.clone(), checked_owner(by, owner)?);
        names::check_runner(&name)?;
        self.0
            .store
            .write_upkeep(move |tx| {
                own_runner(tx, &by, &name)?;
                change(tx, &name, holder(&by), &owner)?;
                drained(tx, name)
            })
            .await
    }

    /// That process of the runner has ended for certain: its attempt expires now. Anything else held or nothing: conflict, and nothing changes.
    pub async fn process_ended(
        &self,
        by: &AdminPrincipal,
        name: String,
        instance_id: Option<String>,
        reason: Option<String>,
    ) -> Result<(), Error> {
        let Some(instance_id) = instance_id.filter(|i| !i.is_empty()) else {
            return Err(Error::field("instance_id", Field::Missing));
        };
        names::check_line(&instance_id, MAX_ID_BYTES)
            .map_err(|problem| Error::field("instance_id", Field::Text(problem)))?;
        let mut reason =
            reason.filter(|r| !r.is_empty()).unwrap_or_else(|| "the runner's process ended".to_owned());
        // It may repeat what a program wrote. To refuse it would leave the attempt to the end of its lease.
        if names::check_lines(&reason, MAX_REASON_BYTES).is_err() {
            reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
            reason = reason.chars().map(|c| if names::is_of_lines(c) { c } else { '\u{fffd}' }).collect();
        }
        let (by, clock) = (by.clone(), self.0.clock.clone());
        let memory = std::sync::Arc::clone(&self.0.memory);
        self.0
            .store
            .write_upkeep(move |tx| {
                let runner = own_runner(tx, &by, &name)?.ok_or_else(|| unknown(&name))?;
                let Some(attempt) = attempts::active_of_runner(tx, runner.id)? else {
                    return Err(Error::RunnerIdle(name));
                };
                let run = load_run(tx, attempt.run_id)?;
                let command = Command::End { instance_id, reason };
                let after = lease::decide(held(&run, &attempt), command, clock.now())?;
                save_held(tx, &memory.gates, (run, attempt), after)?;
                Ok(())
            })
            .await
    }

    /// Forgets a runner and its fences, a team only its own ones; not while it holds a run. Of a name that never registered the operator forgets the
    /// fences, so that nothing is left of a pod that went before its runner came.
    pub async fn forget_runner(&self, by: &AdminPrincipal, name: String) -> Result<(), Error> {
        let by = by.clone();
        self.0
            .store
            .write_upkeep(move |tx| {
                let Some(runner) = own_runner(tx, &by, &name)? else {
                    return if fences::lift_all(tx, &name)? > 0 { Ok(()) } else { Err(unknown(&name)) };
                };
                if runner.run_id.is_some() {
                    return Err(Error::RunnerBusy(name));
                }
                // A team that could take the operator's fence away would have a drained runner back by registering it again.
                let holder = match by {
                    AdminPrincipal::Operator => None,
                    AdminPrincipal::Team(_) => Some(holder(&by)),
                };
                runners::delete(tx, &[runner.id], holder)?;
                Ok(())
            })
            .await
    }
}

/// The caller, as the holder of fences.
fn holder(by: &AdminPrincipal) -> FenceHolder {
    match by {
        AdminPrincipal::Operator => FenceHolder::Operator,
        AdminPrincipal::Team(team) => FenceHolder::Team(team.team_id),
    }
}

/// The runner of that name, if the caller may change it. To a team others' runners are not there; the operator may speak of names that are not there yet.
fn own_runner(db: &Db, by: &AdminPrincipal, name: &str) -> Result<Option<Runner>, Error> {
    let runner = runners::by_name(db, name)?;
    match (by, runner) {
        (AdminPrincipal::Operator, runner) => Ok(runner),
        (AdminPrincipal::Team(team), Some(runner)) if runner.scope == RunnerScope::Team(team.team_id) => {
            Ok(Some(runner))
        }
        (AdminPrincipal::Team(_), _) => Err(unknown(name)),
    }
}

fn drained(db: &Db, name: String) -> Result<Drained, Error> {
    let run_id = runners::by_name(db, &name)?.and_then(|r| r.run_id);
    let draining = fences::any(db, &name)?;
    Ok(Drained { name, run_id, draining })
}

fn checked_owner(by: &AdminPrincipal, owner: Option<String>) -> Result<String, Error> {
    let owner = owner.filter(|o| !o.is_empty()).unwrap_or_else(|| match by {
        AdminPrincipal::Operator => "operator".to_owned(),
        AdminPrincipal::Team(team) => team.team_slug.clone(),
    });
    names::check_line(&owner, MAX_OWNER_BYTES)
        .map_err(|problem| Error::field("owner", Field::Text(problem)))?;
    Ok(owner)
}

fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    Absent::Runner(shown).into()
}

#[cfg(test)]
mod tests {
    use minitower_vocabulary::ids::RunnerId;
    use minitower_vocabulary::time::Timestamp;

    use super::*;

    #[test]
    fn an_answer_about_runners_ends_before_it_is_too_long_for_its_readers() {
        let of = |bytes: usize| Runner {
            id: RunnerId(1),
            name: "n".repeat(bytes),
            scope: RunnerScope::Platform,
            environment: String::new(),
            pool: None,
            labels: [].into(),
            instance_id: None,
            last_seen_at: Timestamp(0),
            idle_since: None,
            run_id: None,
            attempt_started_at: None,
            draining: false,
        };
        assert_eq!(fitting(&vec![of(100); 10_000]), 10_000, "ordinary ones fit");
        let long = fitting(&vec![of(1_300); 10_000]);
        assert!((2_000..10_000).contains(&long), "{long}");
        assert_eq!(fitting(&[of(MAX_RUNNERS_BYTES + 1), of(1)]), 1, "the list goes on");
    }
}
