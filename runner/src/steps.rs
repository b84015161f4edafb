//! Running programs for a run: under the supervisor, into the run's log, and only as long as the run may go on.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use minitower_client::wire::runs::Stream;
use minitower_daemon::signals::Shutdown;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{BootTime, sleep_until};
use crate::lease::{Keeper, Standing};
use crate::logs::{Lines, Loss, RunLog};
use crate::supervisor::{Confinement, Ended, Limits, Sandbox, Supervised, SupervisorError, Task};

/// How long the last lines of an ended program may take to reach the log.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);

/// What a stopping runner says to the run it is carrying out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// No further run is taken.
    pub(crate) stop: CancellationToken,
    /// When that was first asked for.
    stop_seen: Arc<OnceLock<Instant>>,
    /// The shutdown grace is over: stop the job, give the run back.
    pub(crate) grace_over: CancellationToken,
    /// Give the run back at once.
    pub(crate) at_once: CancellationToken,
}

impl Stopping {
    /// Follows `shutdown`. The caller ends the grace.
    pub(crate) fn by(shutdown: &Shutdown) -> Self {
        Self { stop: shutdown.stop.clone(), at_once: shutdown.at_once.clone(), ..Self::default() }
    }

    /// Waits until the runner is asked to stop. Every call returns the same moment: that of the first answer.
    pub(crate) async fn seen(&self) -> Instant {
        self.stop.cancelled().await;
        *self.stop_seen.get_or_init(Instant::now)
    }
}

/// Why a run cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was cancelled.
    Cancelled,
    /// The lease could not be extended.
    Lapsed,
    /// The server has ended the attempt.
    Gone,
    /// It reached its time limit; [`Steps::allowed`] says which one.
    OutOfTime,
    /// The runner stops.
    ShuttingDown,
    /// The runner stops at once.
    AtOnce,
}

impl Stop {
    /// Whether the job gets the kill grace period.
    fn is_gentle(self) -> bool {
        matches!(self, Self::Cancelled | Self::ShuttingDown | Self::OutOfTime)
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepEnd {
    /// By itself.
    Ended(Ended),
    /// It took too long and was stopped.
    TimedOut,
    /// It was stopped with the run.
    Stopped(Stop),
}

/// A program of a run.
pub(crate) struct Step {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    pub(crate) sandbox: Sandbox,
    /// The stream under which its standard output is logged. The output of setup steps is logged as standard error.
    pub(crate) out: Stream,
    /// Longest time it may take.
    pub(crate) limit: Duration,
    /// What happens to the lines it writes.
    pub(crate) lines: Lines,
}

impl std::fmt::Debug for Step {
    /// Without its environment, which holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("program", &self.program).finish_non_exhaustive()
    }
}

/// Until when a run may go on, and why.
#[derive(Debug, Clone)]
pub(crate) struct Allowed {
    /// Until then.
    pub(crate) until: BootTime,
    /// What sets this limit, in words for the run's log: "its timeout of 3 s".
    pub(crate) by: String,
}

/// What the programs of one run have in common.
pub(crate) struct Steps {
    pub(crate) log: RunLog,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) stopping: Stopping,
    pub(crate) cgroup: String,
    pub(crate) kill_grace: Duration,
    /// How long the run may go on, as far as is known yet.
    pub(crate) allowed: watch::Sender<Allowed>,
    pub(crate) confinement: Confinement,
    pub(crate) limits: Limits,
}

impl Steps {
    /// Waits until the run has to stop.
    pub(crate) async fn stopped(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.stopping.at_once.cancelled() => Stop::AtOnce,
            standing = self.keeper.reaches(Standing::CancelRequested) => stop_at(standing),
            () = self.stopping.grace_over.cancelled() => Stop::ShuttingDown,
            () = self.out_of_time() => Stop::OutOfTime,
        }
    }

    async fn out_of_time(&self) {
        let mut allowed = self.allowed.subscribe();
        loop {
            let until = allowed.borrow_and_update().until;
            tokio::select! {
                () = sleep_until(until) => return,
                // It cannot fail: this value owns the sender.
                Ok(()) = allowed.changed() => {}
            }
        }
    }

    /// Waits until the run has to stop without any grace.
    async fn stopped_harshly(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.stopping.at_once.cancelled() => Stop::AtOnce,
            standing = self.keeper.reaches(Standing::Lapsed) => stop_at(standing),
        }
    }

    /// Waits until nobody needs the last lines of a program that ended like this. If it ended by itself, they belong to its result,
    /// which is reported even if the lease seems to be over: the server decides.
    async fn nobody_takes_lines(&self, end: &Result<StepEnd, SupervisorError>) {
        let least = match end {
            Ok(StepEnd::Ended(_)) => Standing::Gone,
            _ => Standing::Lapsed,
        };
        tokio::select! {
            () = self.stopping.at_once.cancelled() => {}
            _ = self.keeper.reaches(least) => {}
        }
    }

    /// Waits for `work`, or until the run has to stop; then `work` is dropped.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            stop = self.stopped() => Err(stop),
            done = work => Ok(done),
        }
    }

    /// Runs a program to its end, or until it has to be stopped. Nothing of it is left when this returns.
    pub(crate) async fn run(&self, step: Step) -> Result<StepEnd, SupervisorError> {
        self.run_logged(step, false).await
    }

    /// The same for a program whose two streams are one, in the order of writing.
    pub(crate) async fn run_merged(&self, step: Step) -> Result<StepEnd, SupervisorError> {
        self.run_logged(step, true).await
    }

    async fn run_logged(&self, step: Step, merged: bool) -> Result<StepEnd, SupervisorError> {
        let limit = BootTime::now().plus(step.limit);
        let (out, lines) = (step.out, step.lines);
        let task = Task {
            program: step.program,
            arguments: step.arguments,
            environment: step.environment,
            directory: step.directory,
            sandbox: step.sandbox,
            merged,
            cgroup: self.cgroup.clone(),
            confinement: self.confinement,
            limits: self.limits,
        };
        let mut supervised = Supervised::start(task, self.keeper.deadline()).await?;
        let pump = match (supervised.stdout.take(), supervised.stderr.take()) {
            (Some(stdout), Some(stderr)) => {
                let log = self.log.clone();
                let streams = stdout.into_owned_fd().and_then(|out| Ok((out, stderr.into_owned_fd()?)));
                let (stdout, stderr) = streams.map_err(SupervisorError::Start)?;
                tokio::spawn(async move { log.pump(out, &lines, stdout, stderr).await })
            }
            _ => return Err(SupervisorError::Start(std::io::Error::other("it has no streams"))),
        };
        let end = self.attend(&mut supervised, limit).await;
        let drain = pump.abort_handle();
        let drained = tokio::select! {
            drained = tokio::time::timeout(DRAIN_WITHIN, pump) => drained,
            () = self.nobody_takes_lines(&end) => { drain.abort(); return end }
        };
        match drained {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                self.log.lose(&Loss::uncounted(format!("they could not be read: {error}"))).await;
                self.log.note(format!("minitower-runner: cannot read the log: {error}")).await;
            }
            Ok(Err(fault)) => tracing::error!(%fault, "reading the log failed"),
            Err(_) => {
                drain.abort();
                self.log.lose(&Loss::uncounted("its end could not be read in time")).await;
                self.log.note("minitower-runner: the end of the log could not be read in time").await;
            }
        }
        end
    }

    async fn attend(&self, supervised: &mut Supervised, limit: BootTime) -> Result<StepEnd, SupervisorError> {
        let orders = supervised.orders();
        let mut end = std::pin::pin!(supervised.wait());
        let stopped = tokio::select! {
            biased;
            ended = &mut end => return ended.map(by_itself),
            stop = self.stopped() => StepEnd::Stopped(stop),
            () = sleep_until(limit) => StepEnd::TimedOut,
        };
        let since = match stopped {
            // A runner that was itself frozen sees the time limit first, and only then that the program had ended in time.
            StepEnd::TimedOut => limit,
            _ => BootTime::now(),
        };
        let gentle = match stopped {
            StepEnd::Stopped(stop) => stop.is_gentle(),
            _ => true,
        };
        if gentle {
            orders.terminate();
            tokio::select! {
                biased;
                ended = &mut end => return judged(stopped, since, ended),
                _ = self.stopped_harshly() => {}
                () = tokio::time::sleep(self.kill_grace) => {}
            }
        }
        orders.kill();
        judged(stopped, since, end.await)
    }
}

/// How a program ended that was to be stopped from `since` on.
fn judged(
    stopped: StepEnd,
    since: BootTime,
    ended: Result<Ended, SupervisorError>,
) -> Result<StepEnd, SupervisorError> {
    match (stopped, ended) {
        // The server's decision stands.
        (StepEnd::Stopped(Stop::Cancelled | Stop::Gone), Ok(_)) => Ok(stopped),
        (_, Ok(ended)) if ended.at < since && !ended.by_deadline => Ok(by_itself(ended)),
        // All of it has been killed, whoever did it.
        (_, Ok(_) | Err(SupervisorError::Lost(_))) => Ok(stopped),
        (_, Err(error)) => Err(error),
    }
}

/// Why a run stops whose attempt stands like this. It may stand further than what the caller waited for.
fn stop_at(standing: Standing) -> Stop {
    match standing {
        Standing::Gone => Stop::Gone,
        Standing::CancelRequested => Stop::Cancelled,
        Standing::Lapsed | Standing::Held | Standing::Unconfirmed => Stop::Lapsed,
    }
}

fn by_itself(ended: Ended) -> StepEnd {
    if ended.stuck > 0 {
        tracing::error!(processes = ended.stuck, "processes of the job are stuck inside the kernel");
    }
    if ended.by_deadline { StepEnd::Stopped(Stop::Lapsed) } else { StepEnd::Ended(ended) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::supervisor::Ending;

    fn ended(at: BootTime, by_deadline: bool) -> Ended {
        Ended { ending: Ending::Code(0), at, by_deadline, out_of_memory: false, stuck: 0 }
    }

    #[rstest]
    #[case(StepEnd::TimedOut, true)]
    #[case(StepEnd::Stopped(Stop::Lapsed), true)]
    #[case(StepEnd::Stopped(Stop::ShuttingDown), true)]
    #[case(StepEnd::Stopped(Stop::Cancelled), false)]
    #[case(StepEnd::Stopped(Stop::Gone), false)]
    fn a_program_that_had_ended_before_it_was_stopped_has_ended_by_itself(
        #[case] stopped: StepEnd,
        #[case] by_itself: bool,
    ) {
        let before = BootTime::from_boot(Duration::from_secs(1));
        let since = BootTime::from_boot(Duration::from_secs(2));
        let end = judged(stopped, since, Ok(ended(before, false))).unwrap();
        assert_eq!(matches!(end, StepEnd::Ended(_)), by_itself, "{end:?}");
        for killed in [ended(since, false), ended(before, true)] {
            assert_eq!(judged(stopped, since, Ok(killed)).unwrap(), stopped);
        }
    }
}
