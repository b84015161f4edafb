//! One run, from its lease to its result.
//!
//! `fetch` gets and unpacks the archive, `entry` tells what its entrypoint starts, `script` prepares and starts the job's program,
//! `own` tells the runner's faults from the run's. `outcome` turns the job's end into a result, `artifacts` uploads the files
//! `found` in its folder, and `conclude` brings the result to the control plane. [`carry_out`] puts them in order. What a lease is
//! and how processes are killed is known elsewhere.

mod artifacts;
mod cache;
mod conclude;
mod entry;
mod error;
mod fetch;
mod found;
mod outcome;
mod own;
mod patience;
mod project;
mod runner_secrets;
mod runs;
mod script;
mod shebang;
mod variables;

use std::sync::Arc;
use std::time::Duration;

use minitower_client::Leased;
use minitower_client::wire::runner::Lease;
use minitower_client::wire::runs::{AttemptStatus, LogLine};
use minitower_daemon::backoff::Backoff;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::calls::AttemptCalls;
use crate::clock::{self, BootTime};
use crate::fault::OwnFault;
use crate::lease::{self, Keeper, Standing};
use crate::logs::{Delivered, Progress, RunLog, deliver};
use crate::steps::{Steps, Stopping};
use crate::workspace::Workspace;
use cache::{AppCache, AppCaches};
use conclude::conclude;
use outcome::Verdict;
use patience::given_up;
pub(crate) use runs::Runs;

/// How long the start call may take.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of a run waits to hear that its workspace cannot be removed.
const REMOVAL_SHOWS_WITHIN: Duration = Duration::from_millis(100);

/// Carries out the run of a lease whose poll was sent at `sent`. Nothing of the run is left on this machine afterwards.
pub(crate) async fn carry_out(runs: &Runs, leased: Leased, sent: BootTime) {
    let Leased { lease, server_date } = leased;
    let length = lease::length(lease.lease_ttl_ms, lease.lease_expires_at.into(), server_date, clock::wall());
    let lease = Arc::new(lease);
    tracing::info!(run = lease.run_id, attempt = lease.attempt_id, app = lease.app_slug, "leased");
    let calls = AttemptCalls::new(Arc::clone(&runs.session), Arc::clone(&lease));
    let started = BootTime::now();

    // A poll may be answered long after it was sent, so its lease may seem to be over on arrival. Nothing runs before a heartbeat
    // has confirmed the lease. Until then the calls get this much time, and the server decides.
    let first_calls = lease::heartbeat_interval(length).clamp(Duration::from_millis(500), START_TIMEOUT);
    let polled = lease::deadline(sent, length);
    let confirm_by = BootTime::now().plus(first_calls);
    let confirm_by = if polled > confirm_by { polled } else { confirm_by };

    let started_in_poll = lease.status == Some(AttemptStatus::Running);
    let start = async {
        if started_in_poll {
            return Started::Running { cancelled: false };
        }
        start(&calls, confirm_by, &runs.stopping).await
    };
    let verdict = match start.await {
        Started::Running { cancelled } => {
            let keeper = Arc::new(Keeper::start(calls.clone(), length, confirm_by, cancelled));
            let verdict = attended(runs, &lease, &calls, &keeper, length, started).await;
            conclude(&calls, verdict, length, &runs.stopping).await;
            return;
        }
        Started::Gone => Verdict::Silence,
        Started::Unheard => Verdict::Release,
    };
    conclude(&calls, verdict, length, &runs.stopping).await;
}

/// Gives back a lease that arrived when the runner was already stopping.
pub(crate) async fn give_back(runs: &Runs, leased: Leased) {
    let Leased { lease, server_date } = leased;
    let length = lease::length(lease.lease_ttl_ms, lease.lease_expires_at.into(), server_date, clock::wall());
    tracing::info!(run = lease.run_id, attempt = lease.attempt_id, "leased while stopping");
    let calls = AttemptCalls::new(Arc::clone(&runs.session), Arc::new(lease));
    conclude(&calls, Verdict::Release, length, &runs.stopping).await;
}

enum Started {
    Running { cancelled: bool },
    Gone,
    Unheard,
}

async fn start(calls: &AttemptCalls, confirm_by: BootTime, stopping: &Stopping) -> Started {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match calls.call(START_TIMEOUT, |attempt| async move { attempt.start().await }).await {
            Ok(state) => return Started::Running { cancelled: state.cancel_requested },
            // The attempt is neither leased nor running: it is over.
            Err(error) if matches!(error.status(), Some(404 | 409 | 410)) => {
                tracing::info!(%error, "the attempt was over before it started");
                return Started::Gone;
            }
            Err(error) => tracing::warn!(%error, "cannot start the run yet"),
        }
        if confirm_by.has_passed() || stopping.at_once.is_cancelled() {
            return Started::Unheard;
        }
        backoff.pause().await;
    }
}

/// Runs the job and delivers its log while the lease is kept.
async fn attended(
    runs: &Runs,
    lease: &Arc<Lease>,
    calls: &AttemptCalls,
    keeper: &Arc<Keeper>,
    length: Duration,
    started: BootTime,
) -> Verdict {
    let limit = lease.limits.and_then(|limits| limits.log_bytes);
    let log = RunLog::new(&runs.data_dir.spool().join(lease.attempt_id.to_string()), limit);
    log.hide(lease.api_token.iter().chain(lease.secrets.values()).map(String::as_str));
    let (progress, progresses) = watch::channel(Progress::Growing);
    let delivery = {
        let (log, calls, keeper) = (log.clone(), calls.clone(), Arc::clone(keeper));
        tokio::spawn(async move {
            match deliver(log, calls, length, progresses).await {
                Delivered::AllBut(last) => last,
                Delivered::Gone => {
                    keeper.advance(Standing::Gone);
                    Vec::new()
                }
            }
        })
    };
    let steps = Steps {
        log: log.clone(),
        keeper: Arc::clone(keeper),
        stopping: runs.stopping.clone(),
        cgroup: format!("{}-{}", runs.cgroup_prefix, lease.attempt_id),
        kill_grace: runs.config.kill_grace,
        allowed: watch::Sender::new(script::timeout(lease, None, started)),
        confinement: runs.confinement,
        limits: runs.config.limits,
    };
    let mut verdict = in_workspace(runs, lease, calls, &steps, started, &progress).await;
    log.finish().await;
    // A server that starts attempts in the poll also takes lines with the result; another one would lose them.
    let with_result = matches!(verdict, Verdict::Result(_)) && lease.status == Some(AttemptStatus::Running);
    progress.send_replace(if with_result { Progress::LastWithResult } else { Progress::Complete });
    let over = async {
        let standing = keeper.reaches(Standing::Lapsed).await;
        if standing == Standing::Lapsed && matches!(verdict, Verdict::Result(_)) {
            extend_all_the_same(calls, length).await;
        }
    };
    let last = tokio::select! {
        last = finish_delivery(delivery, over) => last,
        () = given_up(calls, length, &steps.stopping) => log_undelivered(),
    };
    if let Verdict::Result(result) = &mut verdict {
        result.logs = last;
    }
    if let Some(lost) = log.lost().await {
        verdict.mention(&lost);
    }
    if keeper.is_gone() { Verdict::Silence } else { verdict }
}

/// Carries out the job in a workspace of its own, which is removed afterwards.
async fn in_workspace(
    runs: &Runs,
    lease: &Lease,
    calls: &AttemptCalls,
    steps: &Steps,
    started: BootTime,
    progress: &watch::Sender<Progress>,
) -> Verdict {
    let before = runs.data_dir.room().ok();
    let caches = AppCaches::new(Arc::clone(&runs.data_dir), &runs.config.server_url);
    let made = caches.open(lease).map_err(|source| OwnFault::new("make the app's cache", source)).and_then(
        |cache| {
            Workspace::create(&runs.data_dir, lease.attempt_id)
                .map(|workspace| (Arc::new(workspace), cache))
                .map_err(|source| OwnFault::new("make the workspace", source))
        },
    );
    let (workspace, cache) = match made {
        Ok(made) => made,
        Err(fault) => {
            let told = own::told(runs, lease.run_id, fault.into());
            return outcome::verdict(Err(told), lease, calls, steps).await;
        }
    };
    // A former process of this runner may have left something.
    runs.shared_memory.clear().await;
    let ran = script::run(runs, lease, calls, steps, &workspace, &cache.path, started).await;
    progress.send_replace(Progress::Ending);
    let ran = match ran {
        Ok(ran) => {
            runs.health.went_well();
            Ok(ran)
        }
        Err(error) => Err(own::judge(runs, lease.run_id, before, &workspace, error).await),
    };
    let verdict = outcome::verdict(ran, lease, calls, steps).await;
    runs.shared_memory.clear().await;
    remove(&workspace, steps).await;
    settle(caches, cache).await;
    verdict
}

async fn settle(caches: AppCaches, used: AppCache) {
    match tokio::task::spawn_blocking(move || caches.settle(&used)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot limit the apps' caches"),
        Err(fault) => tracing::error!(%fault, "limiting the apps' caches failed"),
    }
}

/// Throws the workspace away. If something cannot be removed, the runner's log says so, and if that shows soon enough the run's, too.
async fn remove(workspace: &Workspace, steps: &Steps) {
    let error = match workspace.remove() {
        Ok(outcome) => match tokio::time::timeout(REMOVAL_SHOWS_WITHIN, outcome).await {
            Ok(Ok(Err(error))) => error,
            _ => return,
        },
        // It was removed already, to make room.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::error!(%error, path = %workspace.root().display(), "cannot move the workspace away; the next start tries again");
            error
        }
    };
    let note = format!(
        "minitower-runner: something that this run left cannot be removed ({error}); it is set aside on the runner"
    );
    steps.log.note(note).await;
}

/// Waits until the log is delivered, or the attempt is over for the control plane. Yields what is left for the result to carry.
async fn finish_delivery(delivery: JoinHandle<Vec<LogLine>>, over: impl Future<Output = ()>) -> Vec<LogLine> {
    let mut delivery = AbortOnDropHandle::new(delivery);
    tokio::select! {
        delivered = &mut delivery => delivered.unwrap_or_else(|fault| {
            tracing::error!(%fault, "delivering the log failed");
            Vec::new()
        }),
        () = over => log_undelivered(),
    }
}

fn log_undelivered() -> Vec<LogLine> {
    tracing::warn!("the rest of the run's log could not be delivered");
    Vec::new()
}

/// Sends heartbeats although the lease seems to be over, until dropped. The job has ended, so nothing can run twice. A server that was
/// away has extended every lease when it started again; without these heartbeats the log would be cut short.
async fn extend_all_the_same(calls: &AttemptCalls, length: Duration) {
    let interval = lease::heartbeat_interval(length);
    let timeout = interval.clamp(Duration::from_millis(500), START_TIMEOUT);
    loop {
        if let Err(error) = calls.call(timeout, |attempt| async move { attempt.heartbeat().await }).await {
            // If the attempt is over, the log's delivery hears it, too.
            tracing::debug!(%error, "the lease of the ended job could not be extended");
        }
        tokio::time::sleep(interval).await;
    }
}
