//! The main loop: register, poll, run the job, poll again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use minitower_client::wire::runner::{LeaseRequest, RunnerScope};
use minitower_client::{Error, Leased};
use minitower_daemon::backoff::jittered;
use minitower_daemon::signals::Shutdown;
use nix::sys::prctl;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::clock::BootTime;
use crate::config::{Config, SandboxMode};
use crate::data_dir::DataDir;
use crate::environment::Environments;
use crate::error::RunnerError;
use crate::health::Health;
use crate::instance::Instance;
use crate::job::{Runs, carry_out, give_back};
use crate::labels::Labels;
use crate::session::Session;
use crate::shared_memory::SharedMemory;
use crate::steps::Stopping;
use crate::supervisor::{Confinement, Controllers, Marker, kill_marked, remove_leftover_cgroups};

/// How long the server may hold a poll: well below the time for which proxies keep a silent connection open.
const WAIT_SECONDS: u64 = 30;
/// If a poll is answered this much earlier than its wait, the server did not hold it.
const EARLY: Duration = Duration::from_secs(1);
/// How many rounds of killing the leftovers of a former process may take.
const KILL_ROUNDS: usize = 10_000;
/// How often to try to sign off, and how long one try may take.
const SIGN_OFF_ATTEMPTS: u32 = 3;
const SIGN_OFF_WITHIN: Duration = Duration::from_secs(3);
/// How long after the stop signal the sign-off may delay a runner that has nothing else to do. A server that does not answer notices
/// by itself that the runner is gone.
const SIGN_OFF_AT_THE_END: Duration = Duration::from_secs(2);

/// How long a stopping runner goes on removing the leftovers of its runs.
const REMOVAL_AT_THE_END: Duration = Duration::from_secs(1);

/// Runs the agent until it is told to stop.
///
/// The first line of the program's `main` must be [`supervise_if_asked`](crate::supervise_if_asked).
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunnerError> {
    // Other processes of this user, including jobs, must not read this process's memory and environment.
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "jobs of the same user may look into the runner's memory");
    }
    // The children of a lost supervisor become children of this process.
    prctl::set_child_subreaper(true).map_err(RunnerError::system("look after processes"))?;
    let data_dir = Arc::new(DataDir::open(&config.data_dir, &config.runner_name)?);
    let cgroup_prefix = cgroup_prefix(&data_dir);
    clean_up(Arc::clone(&data_dir), cgroup_prefix.clone()).await?;
    let confinement = match config.sandbox {
        Some(SandboxMode::Off) => {
            tracing::warn!("MINITOWER_SANDBOX=off: jobs can do whatever the runner's user can");
            Confinement::NONE
        }
        _ => Confinement::of_this_machine()
            .await
            .map_err(RunnerError::system("find out how jobs can be confined"))?,
    };
    tracing::info!(%confinement, "jobs are confined by");
    for (variable, what) in
        config.limits.unkept(Controllers::of_this_machine(&cgroup_prefix), confinement.own_users)
    {
        tracing::warn!("{variable} {what}");
    }
    let health = Health::new(Arc::clone(&data_dir));
    // If the disk is full, wait, as between runs: leftovers of former runs may be all that fills it.
    health.well(&shutdown.stop).await;
    if shutdown.stop.is_cancelled() {
        return Ok(());
    }
    let instance = Instance::begin(&data_dir)
        .map_err(|source| RunnerError::DataDir { path: config.data_dir.clone(), source })?;
    if let Some(last_words) = &config.termination_log {
        last_words.tell_instance(instance.id());
    }
    let environments = Environments::new(&data_dir, &config, confinement.closes_files());
    let labels = tokio::select! {
        biased;
        () = shutdown.stop.cancelled() => return Ok(()),
        labels = labels(&environments, &config) => labels,
    };
    let session = Arc::new(Session::open(&config, labels, Arc::clone(&data_dir))?);
    tracing::info!(
        name = config.runner_name,
        environment = config.environment,
        server = config.server_url,
        instance = instance.id(),
        "runner started"
    );

    let stopping = Stopping::by(&shutdown);
    let grace = tokio::spawn({
        let (shutdown, grace_over, grace) =
            (shutdown.clone(), stopping.grace_over.clone(), config.shutdown_grace);
        async move {
            shutdown.stop.cancelled().await;
            tokio::time::sleep(grace).await;
            grace_over.cancel();
        }
    });
    let signed_off = CancellationToken::new();
    let signing_off = tokio::spawn({
        let over = signed_off.clone().drop_guard();
        let (session, shutdown) = (Arc::clone(&session), shutdown.clone());
        async move {
            let _over = over;
            sign_off_when_stopped(session, shutdown).await;
        }
    });
    let kept = config.job_writable.iter().cloned().chain([config.data_dir.clone()]);
    let shared_memory = SharedMemory::of_this_machine(confinement.own_files(), kept);
    let runs = Runs {
        config,
        data_dir,
        session,
        environments,
        health,
        stopping,
        cgroup_prefix,
        confinement,
        shared_memory,
    };
    // Both at once: the first poll does not wait for uv, and stopping does not wait for its answer.
    let mut polling = pin!(poll_and_run(&runs, instance, &shutdown, &signed_off));
    let ended = tokio::select! {
        biased;
        ended = &mut polling => ended,
        () = runs.environments.get_ready() => polling.await,
    };
    grace.abort();
    match &ended {
        Ok(()) => match tokio::time::timeout_at(sign_off_by(&runs.stopping).await, signing_off).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::error!(%fault, "signing off failed"),
            Err(_) => tracing::warn!("not signed off: the control plane does not answer"),
        },
        Err(_) => signing_off.abort(),
    }
    // The next start removes what is left then.
    let _still_removing =
        tokio::time::timeout(REMOVAL_AT_THE_END, runs.data_dir.janitor().caught_up(0)).await;
    tracing::info!("runner stopped");
    ended
}

/// What the registration says about this machine.
async fn labels(environments: &Environments, config: &Config) -> Labels {
    match config.registration_token {
        Some(_) => environments.labels().await,
        None => Labels::default(),
    }
}

/// Kills and removes the leftovers of a former process of this folder. The caller holds the folder's lock.
async fn clean_up(data_dir: Arc<DataDir>, cgroup_prefix: String) -> Result<(), RunnerError> {
    let work = move || {
        remove_leftover_cgroups(&cgroup_prefix);
        let killed = kill_marked(&Marker { work: data_dir.work() }, KILL_ROUNDS)
            .map_err(RunnerError::system("look for processes of an earlier run"))?;
        // The first time, processes may still have been in them.
        remove_leftover_cgroups(&cgroup_prefix);
        if killed > 0 {
            tracing::warn!(killed, "killed processes of an earlier run");
        }
        data_dir.discard_leftovers();
        Ok(())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(fault) => Err(fault.into()),
    }
}

/// The names of control groups say which runner of the machine made them.
fn cgroup_prefix(data_dir: &DataDir) -> String {
    let digest = Sha256::digest(data_dir.work().as_os_str().as_encoded_bytes());
    format!("minitower-{}", HEXLOWER.encode(&digest[..4]))
}

async fn sign_off_when_stopped(session: Arc<Session>, shutdown: Shutdown) {
    shutdown.stop.cancelled().await;
    for _ in 0..SIGN_OFF_ATTEMPTS {
        match tokio::time::timeout(SIGN_OFF_WITHIN, session.sign_off()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) if !error.is_retryable() => {
                tracing::warn!(%error, "cannot sign off");
                return;
            }
            Ok(Err(error)) => tracing::debug!(%error, "cannot sign off yet"),
            Err(_) => tracing::debug!("no answer to the sign-off yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(Duration::from_millis(300))) => {}
            () = shutdown.at_once.cancelled() => return,
        }
    }
}

/// Until when a stopping runner waits for its sign-off.
async fn sign_off_by(stopping: &Stopping) -> tokio::time::Instant {
    tokio::time::Instant::from_std(stopping.seen().await) + SIGN_OFF_AT_THE_END
}

/// How long to pause after a poll that brought no work.
enum Pause {
    None,
    PollInterval,
    For(Duration),
}

async fn poll_and_run(
    runs: &Runs,
    mut instance: Instance,
    shutdown: &Shutdown,
    signed_off: &CancellationToken,
) -> Result<(), RunnerError> {
    // If the answer to a poll is lost, the next poll uses the same id: the lost answer may have been a lease.
    let mut request_id = new_request_id();
    // Whether a poll of this id was not answered.
    let mut unanswered = false;
    let mut refused = false;
    let mut warned = false;
    tokio::select! {
        biased;
        () = shutdown.stop.cancelled() => return Ok(()),
        () = runs.session.tell_labels() => {}
    }
    loop {
        runs.health.well(&shutdown.stop).await;
        let token = tokio::select! {
            biased;
            () = shutdown.stop.cancelled() => return Ok(()),
            token = runs.session.ensure_token() => token?,
        };
        if let Some(lacks) = runs.confinement.lacks() {
            confined_enough(runs.config.sandbox, runs.session.scope(), lacks, &mut warned)?;
        }
        let request = LeaseRequest {
            request_id: Some(request_id.clone()),
            instance_id: Some(instance.id().to_owned()),
            supersedes: instance.supersedes().map(str::to_owned),
            start: Some(true),
        };
        let sent = BootTime::now();
        runs.session.polls(Some(request_id.clone()));
        let mut poll = pin!(runs.session.client().lease(&token, WAIT_SECONDS, &request));
        let answer = tokio::select! {
            biased;
            () = shutdown.stop.cancelled() => {
                if let Some(leased) = late_answer(poll, runs, signed_off).await {
                    Box::pin(give_back(runs, leased)).await;
                }
                return Ok(());
            }
            answer = &mut poll => answer,
        };
        // Its job begins no sooner than a heartbeat says that no sign-off came first. After an error the same poll is asked again.
        if answer.is_ok() {
            runs.session.polls(None);
            unanswered = false;
        }
        let was_refused = std::mem::replace(&mut refused, false);
        if answer.is_ok()
            && let Err(error) = instance.settle(&runs.data_dir)
        {
            tracing::warn!(%error, "cannot forget former processes");
        }
        let pause = match answer {
            // Both came while this task was not looked at.
            Ok(Some(leased)) if shutdown.stop.is_cancelled() => {
                Box::pin(give_back(runs, leased)).await;
                return Ok(());
            }
            Ok(Some(leased)) => {
                request_id = new_request_id();
                Box::pin(carry_out(runs, leased, sent)).await;
                Pause::None
            }
            Ok(None) => {
                request_id = new_request_id();
                let held = sent.elapsed() + EARLY >= Duration::from_secs(WAIT_SECONDS);
                if held { Pause::None } else { Pause::PollInterval }
            }
            Err(error) if error.status() == Some(401) => {
                runs.session.drop_token(&token).await;
                refused = true;
                // The first refusal means a lost registration. A second one in a row must not become a loop.
                if was_refused { Pause::PollInterval } else { Pause::None }
            }
            Err(error) if error.status() == Some(409) => {
                tracing::info!(%error, "the previous run of this runner is still open");
                if std::mem::take(&mut unanswered) {
                    give_lost_poll_up(runs, shutdown).await;
                }
                request_id = new_request_id();
                instance.try_next();
                Pause::PollInterval
            }
            Err(error) => {
                tracing::warn!(%error, "the poll failed");
                unanswered = true;
                pause_after(&error)
            }
        };
        let pause = match pause {
            Pause::None => continue,
            Pause::PollInterval => jittered(runs.config.poll_interval),
            Pause::For(duration) => jittered(duration),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.stop.cancelled() => return Ok(()),
        }
    }
}

/// Signs off from a poll whose lost answer was a lease. Its run was cancelled since: nobody else would end it before its lease runs out.
async fn give_lost_poll_up(runs: &Runs, shutdown: &Shutdown) {
    tokio::select! {
        biased;
        // Then the runner signs off anyway.
        () = shutdown.stop.cancelled() => {}
        answer = runs.session.sign_off() => if let Err(error) = answer {
            tracing::warn!(%error, "cannot give the lost poll up");
        },
    }
}

/// Checks whether this runner may take runs on a machine that `lacks` a means of confinement. It may not take runs of teams that do
/// not trust each other, unless the operator allows it.
fn confined_enough(
    mode: Option<SandboxMode>,
    scope: Option<RunnerScope>,
    lacks: &'static str,
    warned: &mut bool,
) -> Result<(), RunnerError> {
    let mode = mode.unwrap_or(match scope {
        Some(RunnerScope::Team) => SandboxMode::BestEffort,
        Some(RunnerScope::Platform) | None => SandboxMode::Required,
    });
    match mode {
        SandboxMode::Required => return Err(RunnerError::Unconfined { lacks }),
        SandboxMode::BestEffort if !*warned => {
            *warned = true;
            tracing::warn!(
                "this machine lacks {lacks}: jobs can reach much of what the runner's user can; run it as a user of its own"
            );
        }
        SandboxMode::BestEffort | SandboxMode::Off => {}
    }
    Ok(())
}

/// Waits for a lease that the poll may still bring although the runner is stopping, to give it back by itself. Once the sign-off is
/// answered, the server has taken back what this poll has started, and grants no lease.
async fn late_answer(
    poll: impl Future<Output = Result<Option<Leased>, Error>>,
    runs: &Runs,
    signed_off: &CancellationToken,
) -> Option<Leased> {
    tokio::select! {
        biased;
        answer = poll => answer.ok().flatten(),
        () = signed_off.cancelled() => None,
        () = runs.stopping.at_once.cancelled() => None,
        () = tokio::time::sleep_until(sign_off_by(&runs.stopping).await) => None,
    }
}

fn pause_after(error: &Error) -> Pause {
    error.retry_after().map_or(Pause::PollInterval, Pause::For)
}

fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, Some(RunnerScope::Platform), false)]
    #[case(None, None, false)]
    #[case(None, Some(RunnerScope::Team), true)]
    #[case(Some(SandboxMode::Required), Some(RunnerScope::Team), false)]
    #[case(Some(SandboxMode::BestEffort), Some(RunnerScope::Platform), true)]
    #[case(Some(SandboxMode::Off), Some(RunnerScope::Platform), true)]
    fn runs_of_every_team_need_confinement(
        #[case] mode: Option<SandboxMode>,
        #[case] scope: Option<RunnerScope>,
        #[case] taken: bool,
    ) {
        let judged = confined_enough(mode, scope, "Landlock", &mut false);
        assert_eq!(judged.is_ok(), taken, "{judged:?}");
        if let Err(error) = judged {
            assert!(error.to_string().contains("MINITOWER_SANDBOX=best-effort"), "{error}");
        }
    }
}
