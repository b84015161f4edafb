//! Who waits for work, and who is woken when there is some.
//!
//! A long poll enters, tries to claim, and waits when there was nothing. Each run that becomes ready wakes exactly one waiting poll that may
//! take it. No wake-up is ever lost: a poll that was woken and cannot take the run (fenced, gone, out of time) passes the wake-up on; and a run that
//! became ready while all polls were busy trying makes those try once more before they wait.
//!
//! Runs of a team that has as many active runs as it may wake nobody: [`ready`] keeps them apart until one of those has ended.
//!
//! All of it is memory: after a restart every poll is a new one.

mod ready;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::active::ActiveRuns;
use crate::domain::runner::{RunnerPrincipal, RunnerScope};
use crate::queues::LimitByTeam;
use crate::store::counts::{Bucket, Count};
use crate::store::events::RunMoved;
use minitower_teams::LimitsChanged;
use minitower_vocabulary::ids::{EnvironmentId, RunnerId, TeamId};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::statuses::RunStatus;
use tokio::sync::Notify;

use self::ready::Ready;

/// A number of undelivered runs that there never is: a poll that has it looks once more before it waits.
const LOOK_AGAIN: u64 = u64::MAX;

/// The waiting polls.
#[derive(Debug, Default)]
pub(crate) struct Dispatch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, Queue>,
    /// How many active runs each team has and may have.
    active: ActiveRuns,
    /// The ready runs of each team.
    ready: HashMap<TeamId, Ready>,
    /// The number of each runner's newest poll; older ones may no longer claim.
    newest: HashMap<RunnerId, u64>,
    /// Numbers of polls and sign-offs, never used twice.
    last_number: u64,
}

/// One environment name.
#[derive(Debug, Default)]
struct Queue {
    /// Ready runs per team, of teams that may have more active ones.
    ready: HashMap<TeamId, i64>,
    /// Those of teams that may not.
    withheld: HashMap<TeamId, i64>,
    /// In the order they came.
    polls: Vec<Poll>,
    /// Counts the ready runs that found nobody waiting.
    undelivered: u64,
}

#[derive(Debug)]
struct Poll {
    number: u64,
    runner_id: RunnerId,
    runner_name: String,
    scope: RunnerScope,
    stage: Stage,
    /// The last fence was lifted while this poll tried: a fence that its claim met may be gone.
    unfenced: bool,
    wake: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Claims, or is about to; `undelivered` as it was when it began.
    Trying { undelivered: u64 },
    /// Waits for a wake-up.
    Waiting,
    /// Waits, but a fence keeps work from it.
    Fenced,
    /// A newer poll of its runner, or a sign-off, took its place.
    Replaced,
    /// It got a run.
    Served,
}

/// What a poll does after a claim that found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again at once.
    Try,
    /// Wait for the wake-up.
    Wait,
    /// Answer that there is nothing.
    GiveUp,
}

impl Dispatch {
    /// Takes over what the database knows at start.
    pub(crate) fn load(
        &self,
        counts: &[Count],
        environments: &HashMap<EnvironmentId, String>,
        limits: &LimitByTeam,
    ) {
        let mut state = self.lock();
        state.active = ActiveRuns::new(limits.0);
        for (team, most) in &limits.1 {
            state.limit(*team, *most);
        }
        for count in counts.iter().filter(|count| count.n != 0) {
            let team = count.key.team_id;
            match count.bucket {
                Bucket::Status(RunStatus::Queued) => {
                    // Its foreign key says that the environment is there.
                    let environment = environments.get(&count.key.environment_id).map_or("", String::as_str);
                    state.add_ready(team, environment, count.n);
                }
                Bucket::Status(status) if status.is_active() => state.add_active(team, count.n),
                Bucket::Status(_) | Bucket::Blocked(_) => {}
            }
        }
    }

    /// A run was made or moved.
    pub(crate) fn moved(&self, moved: &RunMoved) {
        let was = moved.before.as_ref();
        let [was_ready, was_active] =
            [was.is_some_and(|run| run.state.is_ready()), was.is_some_and(|run| run.status().is_active())];
        let [is_ready, is_active] = [moved.after.state.is_ready(), moved.after.status().is_active()];
        if (was_ready, was_active) == (is_ready, is_active) {
            return;
        }
        let (team, environment) = (moved.key.team_id, moved.names.environment.as_str());
        let mut state = self.lock();
        state.add_ready(team, environment, i64::from(is_ready) - i64::from(was_ready));
        state.add_active(team, i64::from(is_active) - i64::from(was_active));
        if was_active && !is_active && state.is_tight(team) {
            state.wake_for(team, 1);
        } else if is_ready
            && state.active.room(team) > 0
            && let Some(queue) = state.queues.get_mut(environment)
        {
            queue.deliver(|scope| scope.serves(team));
        }
    }

    /// The limits of a team changed: it may have more active runs, or fewer.
    pub(crate) fn limits_changed(&self, changed: &LimitsChanged) {
        let mut state = self.lock();
        let team = changed.team;
        let before = state.active.room(team);
        state.limit(team, changed.after.count(LimitName::ActiveRuns));
        let more = state.active.room(team) - before;
        if more > 0 && state.is_tight(team) {
            state.wake_for(team, more);
        }
    }

    /// The last fence on that name was lifted: its poll may try again.
    pub(crate) fn unfenced(&self, runner_name: &str) {
        let mut state = self.lock();
        for queue in state.queues.values_mut() {
            let undelivered = queue.undelivered;
            for poll in &mut queue.polls {
                if poll.runner_name != runner_name {
                    continue;
                }
                match poll.stage {
                    Stage::Fenced => {
                        poll.stage = Stage::Trying { undelivered };
                        poll.wake.notify_one();
                    }
                    Stage::Trying { .. } => poll.unfenced = true,
                    Stage::Waiting | Stage::Replaced | Stage::Served => {}
                }
            }
        }
    }

    /// A poll arrives. It takes the place of its runner's former poll, which gives up: the newest is the one whose answer will be heard.
    pub(crate) fn enter(&self, by: &RunnerPrincipal) -> Ticket {
        let mut state = self.lock();
        let number = state.supersede(by.runner_id);
        let wake = Arc::new(Notify::new());
        let queue = state.queues.entry(by.environment.clone()).or_default();
        let stage = Stage::Trying { undelivered: queue.undelivered };
        queue.polls.push(Poll {
            number,
            runner_id: by.runner_id,
            runner_name: by.name.clone(),
            scope: by.scope,
            stage,
            unfenced: false,
            wake: Arc::clone(&wake),
        });
        Ticket {
            dispatch: Arc::clone(&self.0),
            environment: by.environment.clone(),
            runner_id: by.runner_id,
            number,
            wake,
        }
    }

    /// Polls of that runner that have arrived may no longer claim, not even those whose claim is on its way: it signed off, or its token died.
    pub(crate) fn sign_off(&self, runner: RunnerId) {
        self.lock().supersede(runner);
    }

    /// A runner that is no more: its polls give up.
    pub(crate) fn forget(&self, runner: RunnerId) {
        let mut state = self.lock();
        state.supersede(runner);
        state.newest.remove(&runner);
    }

    /// Polls that wait or try now.
    #[cfg(test)]
    fn open(&self) -> usize {
        self.lock().queues.values().map(|q| q.polls.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Ends the right of a runner's polls to claim, and answers the number for the next.
    fn supersede(&mut self, runner: RunnerId) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        if self.newest.insert(runner, number).is_some() {
            for queue in self.queues.values_mut() {
                queue.replace(runner);
            }
        }
        number
    }
}

impl Queue {
    /// Wakes the first waiting poll whose scope fits; without one the next to stop trying tries again.
    /// Says whether there was one.
    fn deliver(&mut self, fits: impl Fn(RunnerScope) -> bool) -> bool {
        let undelivered = self.undelivered;
        let found = self.polls.iter_mut().find(|p| p.stage == Stage::Waiting && fits(p.scope));
        let Some(poll) = found else {
            self.undelivered += 1;
            return false;
        };
        poll.stage = Stage::Trying { undelivered };
        poll.wake.notify_one();
        true
    }

    /// A poll that tried cannot take what it was woken for: somebody else may.
    fn pass_on(&mut self) {
        let teams: Vec<TeamId> = self.ready.iter().filter(|(_, n)| **n > 0).map(|(t, _)| *t).collect();
        if !teams.is_empty() {
            self.deliver(|scope| teams.iter().any(|team| scope.serves(*team)));
        }
    }

    /// A poll that was served may have taken another run than the one it was woken for, one of a team that others do not serve. What it was
    /// woken for is still there then: those that look right now look once more before they wait, and where nobody looks one that waits is woken.
    fn wake_for_the_rest(&mut self) {
        let ready: Vec<TeamId> = self.ready.iter().filter(|(_, n)| **n > 0).map(|(t, _)| *t).collect();
        if ready.is_empty() {
            return;
        }
        let mut looking: Vec<RunnerScope> = Vec::new();
        for poll in &mut self.polls {
            if let Stage::Trying { undelivered } = &mut poll.stage
                && ready.iter().any(|team| poll.scope.serves(*team))
            {
                *undelivered = LOOK_AGAIN;
                looking.push(poll.scope);
            }
        }
        let undelivered = self.undelivered;
        for poll in self.polls.iter_mut().filter(|p| p.stage == Stage::Waiting) {
            let left = |team: &&TeamId| !looking.iter().any(|scope| scope.serves(**team));
            if ready.iter().filter(left).any(|team| poll.scope.serves(*team)) {
                poll.stage = Stage::Trying { undelivered };
                poll.wake.notify_one();
                looking.push(poll.scope);
            }
        }
    }

    fn replace(&mut self, runner: RunnerId) {
        let mut tried = false;
        for poll in self.polls.iter_mut().filter(|p| p.runner_id == runner) {
            tried |= matches!(poll.stage, Stage::Trying { .. });
            poll.stage = Stage::Replaced;
            poll.wake.notify_one();
        }
        if tried {
            self.pass_on();
        }
    }
}

/// A poll's place; given up when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    dispatch: Arc<Mutex<State>>,
    environment: String,
    runner_id: RunnerId,
    number: u64,
    wake: Arc<Notify>,
}

impl Ticket {
    /// What the claim has to show, so that one that comes late is refused.
    pub(crate) fn pass(&self) -> Pass {
        Pass { dispatch: Arc::clone(&self.dispatch), runner_id: self.runner_id, number: self.number }
    }

    /// The claim found nothing ready.
    pub(crate) fn found_nothing(&self) -> Next {
        self.update(|queue, at| match queue.polls[at].stage {
            Stage::Replaced => Next::GiveUp,
            Stage::Trying { undelivered } if undelivered == queue.undelivered => {
                queue.polls[at].stage = Stage::Waiting;
                Next::Wait
            }
            // Something became ready meanwhile and nobody was waiting for it.
            _ => {
                queue.polls[at].stage = Stage::Trying { undelivered: queue.undelivered };
                Next::Try
            }
        })
    }

    /// The claim met a fence: waits until it is lifted, and lets another take what this was woken for.
    pub(crate) fn fenced(&self) -> Next {
        self.update(|queue, at| {
            if queue.polls[at].stage == Stage::Replaced {
                return Next::GiveUp;
            }
            if std::mem::take(&mut queue.polls[at].unfenced) {
                queue.polls[at].stage = Stage::Trying { undelivered: queue.undelivered };
                return Next::Try;
            }
            queue.polls[at].stage = Stage::Fenced;
            queue.pass_on();
            Next::Wait
        })
    }

    /// Waits for a wake-up; true: try to claim, false: a newer poll took this one's place.
    pub(crate) async fn woken(&self) -> bool {
        self.wake.notified().await;
        self.update(
            |queue, at| {
                if queue.polls[at].stage == Stage::Replaced { Next::GiveUp } else { Next::Try }
            },
        ) == Next::Try
    }

    /// The claim got a run; not necessarily the one that it was woken for.
    pub(crate) fn served(&self) {
        self.update(|queue, at| {
            if queue.polls[at].stage != Stage::Replaced {
                queue.polls[at].stage = Stage::Served;
            }
            queue.wake_for_the_rest();
            Next::GiveUp
        });
    }

    fn update(&self, f: impl FnOnce(&mut Queue, usize) -> Next) -> Next {
        let mut state = lock(&self.dispatch);
        let Some(queue) = state.queues.get_mut(&self.environment) else { return Next::GiveUp };
        let Some(at) = queue.polls.iter().position(|p| p.number == self.number) else { return Next::GiveUp };
        f(queue, at)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.dispatch);
        if let Some(queue) = state.queues.get_mut(&self.environment)
            && let Some(at) = queue.polls.iter().position(|p| p.number == self.number)
        {
            let poll = queue.polls.remove(at);
            if matches!(poll.stage, Stage::Trying { .. }) {
                queue.pass_on();
            }
        }
        // The number is left while it is the newest: the claim of this poll may still be on its way.
    }
}

/// A poll's right to claim, checked inside the claim's transaction.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    dispatch: Arc<Mutex<State>>,
    runner_id: RunnerId,
    number: u64,
}

impl Pass {
    /// Whether no newer poll and no sign-off of this runner came since.
    pub(crate) fn is_valid(&self) -> bool {
        lock(&self.dispatch).newest.get(&self.runner_id) == Some(&self.number)
    }
}

#[cfg(test)]
#[path = "dispatch/tests.rs"]
mod tests;
