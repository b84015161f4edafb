//! Tells of runs that are late or have waited too long.

use std::collections::HashMap;
use std::time::Duration;

use minitower_kernel::{StoreError, Tx};
use minitower_runs::followed;
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::Occasion;

use crate::domain::expectation::{Expected, Standing};
use crate::domain::filter::Happening;
use crate::outbox::Batch;
use crate::store::events::{DeliveryDue, OutboxMoved};
use crate::watch::Moment;
use crate::{Memory, Notifications};

/// Runs that are read at a time.
const READ_AT_ONCE: i64 = 1000;
/// Runs that are told of in one transaction.
const TOLD_AT_ONCE: usize = 100;
/// When to look again after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

const UNFINISHED: [RunStatus; 4] =
    [RunStatus::Queued, RunStatus::Leased, RunStatus::Running, RunStatus::Cancelling];

impl Notifications {
    /// Looks at what is due, and answers when the next is.
    pub(crate) async fn watch_due(self) -> Option<Timestamp> {
        match self.look().await {
            Ok(()) => self.0.memory.watch.next(self.0.clock.now()),
            Err(error) => {
                tracing::warn!(%error, "could not look for runs that are late");
                Some(self.0.clock.now().plus(AFTER_FAILURE))
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let (memory, store) = (&self.0.memory, &self.0.store);
        for app in memory.watch.take_changed() {
            if let Some(found) = store.read(move |db| followed::expectation(db, app)).await? {
                let expected = Expected::of_seconds(found.seconds, found.wait_seconds);
                memory.watch.expects(found.team, app, expected);
            }
        }
        while let Some(team) = memory.watch.take_team() {
            if let Err(error) = self.scan(team).await {
                memory.watch.wanted(team, true);
                return Err(error);
            }
        }
        loop {
            let due = memory.watch.take_due(self.0.clock.now(), TOLD_AT_ONCE);
            if due.is_empty() {
                return Ok(());
            }
            let told = self.tell(due.clone()).await;
            if let Err(error) = told {
                memory.watch.put_back(due);
                return Err(error);
            }
        }
    }

    /// Finds the runs of a team that have to be watched. They move meanwhile, so the apps are known first.
    async fn scan(&self, team: TeamId) -> Result<(), StoreError> {
        let (watch, store) = (&self.0.memory.watch, &self.0.store);
        let apps = store.read(move |db| followed::expectations(db, team)).await?;
        let expected = |one: &followed::Expectation| Expected::of_seconds(one.seconds, one.wait_seconds);
        let apps: HashMap<_, _> = apps.iter().map(|one| (one.app, expected(one))).collect();
        let any = !apps.is_empty();
        watch.set_apps(team, apps);
        if !any {
            return Ok(());
        }
        for status in UNFINISHED {
            let mut after = RunId(0);
            loop {
                let page =
                    store.read(move |db| followed::of_status(db, team, status, after, READ_AT_ONCE)).await?;
                let Some(last) = page.last() else { break };
                after = last.id;
                for run in page {
                    let (queued_at, started_at) = (run.queued_at, run.started_at);
                    watch.stands(team, run.app, run.id, Standing { status, queued_at, started_at });
                }
            }
        }
        Ok(())
    }

    async fn tell(&self, due: Vec<Moment>) -> Result<(), StoreError> {
        let (memory, now) = (std::sync::Arc::clone(&self.0.memory), self.0.clock.now());
        self.0
            .store
            .write_upkeep(move |tx| {
                let mut batch = Batch::new(tx, &memory);
                for (_, run, occasion) in due {
                    tell_one(tx, &memory, &mut batch, (run, occasion), now)?;
                }
                let written = batch.finish()?;
                for (notification, (_, at)) in &written.queued {
                    tx.emit(DeliveryDue { notification: *notification, at: *at });
                }
                let queued = written.queued.values().map(|(n, _)| n).sum();
                tx.emit(OutboxMoved::written(queued, written.dropped));
                Ok(())
            })
            .await
    }
}

/// Tells of one run, if it still is what it was expected to become.
fn tell_one(
    tx: &Tx<'_>,
    memory: &Memory,
    batch: &mut Batch<'_>,
    (id, occasion): (RunId, Occasion),
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(run) = followed::run(tx, id)? else { return Ok(()) };
    let Some(found) = followed::expectation(tx, run.app_id)? else { return Ok(()) };
    let expected = Expected::of_seconds(found.seconds, found.wait_seconds);
    let standing = standing(run.status(), run.progress.queued_at, run.progress.state.first_started_at());
    let at = match occasion {
        Occasion::Waiting => expected.waited_at(standing),
        Occasion::Late | Occasion::Failed | Occasion::Dead | Occasion::Completed => {
            expected.late_at(standing)
        }
    };
    // What moved or was changed in the meantime is watched anew by whoever heard of it.
    if at.is_none_or(|at| at > now) {
        return Ok(());
    }
    let Some(subscriptions) = memory.of_team(run.team_id) else { return Ok(()) };
    let what = Happening { occasion, app: &run.app_slug, environment: &run.environment };
    batch.tell(id, what, &subscriptions, now)
}

/// Where a run stands.
pub(crate) fn standing(status: RunStatus, queued_at: Timestamp, started_at: Option<Timestamp>) -> Standing {
    Standing { status, queued_at, started_at }
}
