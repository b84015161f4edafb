//! Why a run waits, said once: to whoever waits for it, silence says nothing.

use std::time::{Duration, Instant};

use minitower_client::wire::admin::RunnerStatus;
use minitower_client::wire::runs::{Run, RunStatus};
use minitower_client::{RunnerFilter, TeamClient};

use crate::context::Context;
use crate::output::clean;

/// How long a run with a runner waits in the queue before that is told.
const QUIET_QUEUE: Duration = Duration::from_secs(5);

/// What is known of a run that waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Queued {
    #[default]
    NotSeen,
    /// Since then, and there are runners that may take it.
    Since(Instant),
    Told,
}

/// Tells why a run waits: at once if nobody is there to take it, otherwise after five seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    queued: Queued,
}

impl Waiting {
    /// How long until there may be something to tell; none: nothing.
    pub(crate) fn due(self) -> Option<Duration> {
        match self.queued {
            Queued::Since(since) => Some(QUIET_QUEUE.saturating_sub(since.elapsed())),
            Queued::NotSeen | Queued::Told => None,
        }
    }

    /// Looks at the run as it is now, and tells what there is to tell.
    pub(crate) async fn look(&mut self, context: &Context, team: &TeamClient, run: &Run) {
        if run.status != RunStatus::Queued {
            // What is queued again waits anew.
            self.queued = Queued::NotSeen;
            return;
        }
        let run_id = run.run_id;
        let reason = match self.queued {
            Queued::Told => return,
            Queued::Since(since) if since.elapsed() < QUIET_QUEUE => return,
            Queued::Since(_) => match why(team, run_id).await {
                Some(why) => format!("run {run_id} is queued: {why}"),
                None => format!("run {run_id} is queued and waiting for a runner"),
            },
            Queued::NotSeen => {
                let Some(reason) = no_runner(team, run.environment.as_deref()).await else {
                    self.queued = Queued::Since(Instant::now());
                    return;
                };
                format!("run {run_id} is queued and waiting for a runner: {reason}")
            }
        };
        context.out.aside(reason);
        self.queued = Queued::Told;
    }
}

/// Why a queued run of the environment may wait for a long time: no runner is there to take it. `None` also if that cannot
/// be known, for example because the server does not show runners.
pub(crate) async fn no_runner(team: &TeamClient, environment: Option<&str>) -> Option<String> {
    let environment = environment.unwrap_or("default");
    let filter = RunnerFilter { environment: Some(environment.to_owned()), ..RunnerFilter::default() };
    let runners = team.runners(&filter).await.ok()?.runners;
    let mut online = runners
        .iter()
        .filter(|runner| runner.environment == environment && runner.status == RunnerStatus::Online)
        .peekable();
    if online.peek().is_none() {
        return Some(format!("no runner of environment {environment} is online"));
    }
    online
        .all(|runner| runner.draining)
        .then(|| format!("every runner of environment {environment} is drained"))
}

/// Why a run waits, in the server's words. `None` also if that cannot be known: an older server does not say it.
async fn why(team: &TeamClient, run_id: i64) -> Option<String> {
    let said = team.explain_run(run_id).await.ok()?;
    (said.status == RunStatus::Queued).then(|| clean(&said.message))
}
