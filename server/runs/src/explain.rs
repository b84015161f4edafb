//! Why a run is not running.

use minitower_kernel::Db;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::statuses::RunStatus;

use crate::domain::after::After;
use crate::domain::explain::{Explanation, Facts, Places, Shared, explain};
use crate::domain::run::{Concurrency, Run};
use crate::domain::turns::Place;
use crate::positions::Rest;
use crate::store::{dependencies, fences, gates, queue};
use crate::{Error, Runs, runs};

/// Runs that are named of those that have the places of a key.
const HOLDERS: i64 = 5;

/// Fenced runners that are looked at: as many as the pods of a large cluster that leaves.
const FENCED: i64 = 10_000;

/// Why a run is not running, with the run.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The run.
    pub run: Run,
    /// Why.
    pub explanation: Explanation,
    /// What it comes after and is not so yet, with the status of those runs.
    pub waits_for: Vec<(After, Option<RunStatus>)>,
}

impl Runs {
    /// Says why the team's run is not running, as of now.
    pub async fn explain(&self, by: &TeamPrincipal, id: RunId) -> Result<Explained, Error> {
        let team = by.team_id;
        let memory = std::sync::Arc::clone(&self.0.memory);
        let read = move |db: &Db| {
            let run = runs::find(db, team, id)?;
            let waits_for = dependencies::unmet(db, id)?;
            let holders = match &run.concurrency {
                Some(Concurrency { key, .. }) => gates::holders(db, team, key, HOLDERS)?,
                None => Vec::new(),
            };
            let position = if run.progress.state.is_ready() {
                let place = Place::new(run.priority, run.progress.queued_at, run.id);
                let (before, rest) = memory.positions.before(team, &run.environment, place);
                let rest = match rest {
                    Rest::From(slot) => queue::before_in_slot(db, &run, slot)?,
                    Rest::Behind(last) => queue::between(db, last, &run)?,
                };
                Some(before + rest + 1)
            } else {
                None
            };
            let fenced = fences::fenced_runners(db, FENCED)?.into_iter().collect();
            Ok::<_, Error>((run, waits_for, holders, position, fenced))
        };
        let (run, waits_for, holders, position, fenced) = self.0.store.read(read).await?;
        if position.is_some() {
            self.count_line(team, &run.environment);
        }
        let memory = &self.0.memory;
        let shared = run.concurrency.as_ref().zip(memory.gates.limit(&run)).map(|(shared, (max, active))| {
            Shared { key: shared.key.clone(), places: Places { active, max }, holders }
        });
        let runners = memory.presence.serving(
            team,
            &run.environment,
            (self.0.settings.lease_ttl, self.0.clock.now()),
            &fenced,
        );
        let slug = self.0.teams.slug(team);
        let pools = memory.pools.serving(slug.as_deref(), &run.environment, self.0.clock.now());
        let facts = Facts {
            state: run.progress.state.clone(),
            app: run.app_slug.clone(),
            environment: run.environment.clone(),
            runner: run.runner.clone(),
            position,
            disabled: memory.gates.rules(run.app_id).disabled,
            shared,
            waits_for,
            team: Places {
                active: memory.gauges.summary(team).active,
                max: self.0.teams.limits(team).count(LimitName::ActiveRuns),
            },
            no_room: self.0.store.volumes().room_for_state().err().map(|short| short.to_string()),
            runners,
            pools,
        };
        let explanation = explain(&facts);
        Ok(Explained { run, explanation, waits_for: facts.waits_for })
    }
}
