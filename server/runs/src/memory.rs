//! What the subject keeps in memory, and how it follows the commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minitower_kernel::due::{Due, DueQueue};
use minitower_kernel::events::Subscribers;
use minitower_kernel::remembered::Remembered;
use minitower_teams::secrets::TokenHash;
use minitower_teams::{EnvironmentMade, LimitsChanged};
use minitower_vocabulary::time::Timestamp;

use crate::dispatch::Dispatch;
use crate::domain::runner::RunnerPrincipal;
use crate::endings::Endings;
use crate::gates::{Gates, Unsettled};
use crate::gauges::Gauges;
use crate::live::{self, Live};
use crate::log_sizes::LogSizes;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::positions::Positions;
use crate::presence::Presence;
use crate::queues::Queues;
use crate::runs::{RUNNABLE_KEPT, Runnable, Wanted};
use crate::store::events::{
    AppChanged, AppGone, AppHidden, AppRuled, LogGrew, RunGone, RunMoved, RunnerRegistered, RunnerRenamed,
    RunnersForgotten, RunsHidden, Stored, Unfenced,
};
use crate::store::{counts, usage};
use crate::usage::Usage;

/// Runner tokens in use whose principals are kept: tens of thousands of runners, in some megabytes.
const TOKENS_KEPT: usize = 32 * 1024;

/// What follows the commits. Made before the database is opened, so that it follows them from the first one on.
#[derive(Debug)]
pub struct Memory {
    /// Whom the runner tokens in use speak for.
    pub(crate) tokens: Remembered<TokenHash, RunnerPrincipal>,
    /// Apps that take runs, with the version asked for.
    pub(crate) runnable: Remembered<Wanted, Arc<Runnable>>,
    pub(crate) dispatch: Dispatch,
    pub(crate) queues: Queues,
    pub(crate) endings: Endings,
    pub(crate) positions: Positions,
    pub(crate) gates: Gates,
    pub(crate) unsettled: Unsettled,
    pub(crate) usage: Usage,
    pub(crate) logs: LogSizes,
    pub(crate) live: Live,
    pub(crate) gauges: Gauges,
    pub(crate) metrics: Metrics,
    pub(crate) presence: Presence,
    pub(crate) pools: Pools,
    /// Calls the reaper when the next lease runs out.
    pub(crate) leases_due: Due,
    /// Calls whoever ends backoffs when the next one has passed.
    pub(crate) backoffs_due: Due,
    /// Calls whoever looks at what runs wait for.
    pub(crate) settle_due: Due,
    /// Calls the upkeep of runners.
    pub(crate) upkeep_due: Due,
    /// Calls whoever removes what was deleted.
    pub(crate) deletions_due: Due,
    /// Calls whoever asks the object store how it stands.
    pub(crate) objects_due: Due,
    /// Calls whoever removes what is old.
    pub(crate) retention_due: Due,
    /// Calls whoever packs the logs of attempts that have ended.
    pub(crate) packing_due: Due,
    /// Calls whoever walks over all objects.
    pub(crate) sweep_due: Due,
    pub(crate) hidden: Hidden,
}

/// Whether runs that were deleted may not be gone yet.
#[derive(Debug)]
pub(crate) struct Hidden {
    /// How often any were deleted; the start counts as one time, because some may be left of before.
    made: AtomicU64,
    /// How many of these times nothing is left of.
    gone: AtomicU64,
}

impl Default for Hidden {
    fn default() -> Self {
        Self { made: AtomicU64::new(1), gone: AtomicU64::new(0) }
    }
}

impl Hidden {
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Nothing is left of what was deleted until then.
    pub(crate) fn gone(&self, made: u64) {
        self.gone.store(made, Ordering::SeqCst);
    }

    pub(crate) fn is_any(&self) -> bool {
        self.gone.load(Ordering::SeqCst) != self.made()
    }
}

impl Memory {
    /// An empty memory that follows the commits. Its metrics are registered with `registry`.
    pub fn new(
        registry: &prometheus::Registry,
        slugs: minitower_teams::Memory,
        due: &DueQueue,
        subscribers: &mut Subscribers,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let memory = Arc::new(Self {
            tokens: Remembered::new(TOKENS_KEPT),
            runnable: Remembered::new(RUNNABLE_KEPT),
            dispatch: Dispatch::default(),
            queues: Queues::default(),
            endings: Endings::default(),
            positions: Positions::default(),
            gates: Gates::default(),
            unsettled: Unsettled::default(),
            usage: Usage::default(),
            logs: LogSizes::default(),
            live: Live::default(),
            gauges: Gauges::default(),
            metrics: Metrics::new(registry, slugs)?,
            presence: Presence::default(),
            pools: Pools::default(),
            leases_due: due.place(),
            backoffs_due: due.place(),
            settle_due: due.place(),
            upkeep_due: due.place(),
            deletions_due: due.place(),
            objects_due: due.place(),
            retention_due: due.place(),
            packing_due: due.place(),
            sweep_due: due.place(),
            hidden: Hidden::default(),
        });
        memory.follow(subscribers);
        live::follow(&memory, subscribers);
        Ok(memory)
    }

    fn follow(self: &Arc<Self>, subscribers: &mut Subscribers) {
        subscribers.fold(counts::flush);
        subscribers.fold(counts::forget);
        subscribers.fold(usage::fold_runs);
        subscribers.fold(usage::fold_bytes);
        let memory = Arc::clone(self);
        subscribers.mirror(move |moved: &RunMoved, turn| {
            memory.queues.moved(moved, turn);
            memory.usage.moved(moved, turn);
            memory.gates.moved(moved, turn);
            memory.positions.moved(moved, turn);
        });
        let memory = Arc::clone(self);
        subscribers.mirror(move |stored: &Stored, turn| memory.usage.stored(stored, turn));
        let memory = Arc::clone(self);
        subscribers.mirror(move |grew: &LogGrew, turn| memory.logs.grew(grew, turn));
        let memory = Arc::clone(self);
        subscribers.mirror(move |ruled: &AppRuled, turn| memory.gates.ruled(ruled, turn));
        let memory = Arc::clone(self);
        subscribers.on(move |ruled: &AppRuled| {
            memory.unsettled.ruled(ruled);
            memory.settle_due.at(Timestamp(0));
        });
        let memory = Arc::clone(self);
        subscribers.mirror(move |changed: &LimitsChanged, turn| memory.queues.limits_changed(changed, turn));
        let memory = Arc::clone(self);
        subscribers.on(move |changed: &LimitsChanged| memory.dispatch.limits_changed(changed));
        let memory = Arc::clone(self);
        subscribers.on(move |moved: &RunMoved| memory.run_moved(moved));
        let memory = Arc::clone(self);
        subscribers.on(move |gone: &RunGone| memory.gauges.run_gone(gone));
        let memory = Arc::clone(self);
        subscribers.on(move |hidden: &AppHidden| memory.gauges.app_hidden(*hidden));
        let memory = Arc::clone(self);
        subscribers.on(move |_: &RunsHidden| {
            memory.hidden.made.fetch_add(1, Ordering::SeqCst);
        });
        let memory = Arc::clone(self);
        subscribers.on(move |gone: &AppGone| {
            memory.gauges.app_gone(*gone);
            memory.gates.gone(*gone);
        });
        let memory = Arc::clone(self);
        subscribers.on(move |made: &EnvironmentMade| memory.gauges.environment_made(made));
        let memory = Arc::clone(self);
        subscribers.on(move |changed: &AppChanged| {
            memory.runnable.forget_if(|_, runnable| runnable.is_of(changed.id));
        });
        let memory = Arc::clone(self);
        subscribers.on(move |registered: &RunnerRegistered| memory.registered(registered));
        let memory = Arc::clone(self);
        subscribers.on(move |forgotten: &RunnersForgotten| {
            for (id, token) in &forgotten.0 {
                memory.tokens.forget(token);
                memory.presence.forget(*id);
                memory.dispatch.forget(*id);
            }
        });
        let memory = Arc::clone(self);
        subscribers.on(move |renamed: &RunnerRenamed| memory.tokens.forget(&renamed.token));
        let memory = Arc::clone(self);
        subscribers.on(move |unfenced: &Unfenced| memory.dispatch.unfenced(&unfenced.runner_name));
    }

    fn run_moved(&self, moved: &RunMoved) {
        self.gauges.moved(moved);
        self.metrics.moved(moved);
        self.dispatch.moved(moved);
        if moved.after.state.end().is_some() {
            self.endings.ended(moved.id);
        }
        self.logs.moved(moved);
        if self.unsettled.moved(moved) {
            self.settle_due.at(Timestamp(0));
        }
        if let Some(at) = moved.after.state.not_before() {
            self.backoffs_due.at(at);
        }
    }

    fn registered(&self, registered: &RunnerRegistered) {
        // First the token, then the polls under it: see `Leases::lease`.
        if let Some(former) = &registered.former_token {
            self.tokens.forget(former);
        }
        self.presence.registered(registered.id, (registered.scope, &registered.environment), registered.at);
        // The former token is dead, and so are the polls that wait under it.
        self.dispatch.sign_off(registered.id);
        self.metrics.registered(&registered.environment);
    }
}
