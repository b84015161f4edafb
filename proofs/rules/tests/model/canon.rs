//! One form for all states that behave alike: what nothing can notice any more is dropped, what only has to differ is numbered anew, and
//! of two states that differ by the names of the runners one stands for both.

use std::cmp::Ordering;

use crate::config::Config;
use crate::runner::{FORGOTTEN, NO_FORMER};
use crate::state::{Body, FORMER, Message, NOBODY, Phase, Run, Runner, State, Timer, VOID};
use minitower_vocabulary::statuses::RunStatus;

/// The form that stands for all states like this one.
pub(crate) fn canonical(state: State, config: &Config) -> State {
    let [first, second] = &state.runners[..] else { return same_runners(state, config) };
    match sketch(first).cmp(&sketch(second)) {
        Ordering::Less => same_runners(state, config),
        Ordering::Greater => same_runners(mirrored(state), config),
        // Most pairs of runners differ already in that; for the others both forms are compared.
        Ordering::Equal => {
            let mirrored = same_runners(mirrored(state.clone()), config);
            same_runners(state, config).min(mirrored)
        }
    }
}

/// What can be said of a runner without its name and without numbers that depend on it.
fn sketch(runner: &Runner) -> impl Ord + use<> {
    let phase = runner.process.as_ref().map(|process| match process.phase {
        Phase::Idle => (0, false, None),
        Phase::Leased { token } => (1, token == VOID, None),
        Phase::Started { token } => (2, token == VOID, None),
        Phase::Executing { cancel, .. } => (3, cancel, None),
        Phase::Concluding { token, verdict } => (4, token == VOID, Some(verdict)),
    });
    (phase, runner.job.as_ref().map(|job| (job.run, job.timer)), runner.fences)
}

fn mirrored(mut state: State) -> State {
    state.runners.reverse();
    for attempt in &mut state.attempts {
        attempt.runner = 1 - attempt.runner;
    }
    for message in &mut state.messages {
        message.runner = 1 - message.runner;
    }
    state
}

fn same_runners(mut state: State, config: &Config) -> State {
    forget_messages(&mut state, config);
    forget_attempts(&mut state);
    forget_former(&mut state);
    forget_turns(&mut state, config);
    number_ids(&mut state);
    state.messages.sort_unstable();
    state.messages.dedup();
    rank(&mut state);
    state
}

/// Answers that nobody waits for are lost, and nobody waits for what was asked in another phase.
fn forget_messages(state: &mut State, config: &Config) {
    let State { runners, messages, .. } = state;
    messages.retain_mut(|Message { runner, body }| {
        let process = runners[usize::from(*runner)].process.as_ref();
        let phase = process.map(|p| p.phase);
        let token = phase.and_then(Phase::token);
        let keeps = matches!(phase, Some(Phase::Started { .. } | Phase::Executing { .. }));
        let useful = |timer: &Timer| timer.age < config.usable();
        match body {
            Body::Poll { instance, request, awaited, .. } => {
                *awaited &= process.is_some_and(|p| {
                    p.instance == *instance && p.request == *request && p.phase == Phase::Idle
                });
                true
            }
            Body::Heartbeat { token: of, awaited } => {
                *awaited = awaited.filter(|sent| keeps && token == Some(*of) && useful(sent));
                true
            }
            Body::SignOff { .. } | Body::Start { .. } | Body::Conclude { .. } => true,
            Body::Lease { .. } | Body::Nothing | Body::Busy => phase == Some(Phase::Idle),
            Body::Started { token, .. } => phase == Some(Phase::Leased { token: *token }),
            Body::Extended { token: of, sent, .. } => keeps && token == Some(*of) && useful(sent),
            Body::Concluded { token: of } | Body::Conflict { token: of } => {
                matches!(phase, Some(Phase::Concluding { token, .. }) if token == *of)
            }
            Body::Gone { token: of } => token == Some(*of),
        }
    });
}

/// Attempts that have ended and that nothing refers to are no more; the others in one order.
fn forget_attempts(state: &mut State) {
    let mut referred = 0_u16;
    state.each_token(|token| {
        if *token != VOID {
            referred |= 1 << *token;
        }
    });
    for (at, attempt) in state.attempts.iter_mut().enumerate() {
        if attempt.status.is_active() {
            referred |= 1 << at;
        } else {
            // Only how it ended is asked for any more.
            (attempt.expires, attempt.unheard) = (0, false);
            (attempt.instance, attempt.request) = (NOBODY, NOBODY);
        }
    }
    let mut order: Vec<u8> = (0..).take(state.attempts.len()).filter(|at| referred & 1 << at != 0).collect();
    order.sort_by(|a, b| state.attempts[usize::from(*a)].cmp(&state.attempts[usize::from(*b)]));
    let unchanged = order.len() == state.attempts.len() && order.iter().zip(0..).all(|(a, b)| *a == b);
    if unchanged {
        return;
    }
    let mut place = [VOID; 16];
    for (to, from) in (0..).zip(&order) {
        place[usize::from(*from)] = to;
    }
    state.each_token(|token| {
        if *token != VOID {
            *token = place[usize::from(*token)];
        }
    });
    state.attempts = order.iter().map(|at| state.attempts[usize::from(*at)].clone()).collect();
}

/// Whose turn it was counts only between teams that may both have a run leased.
fn forget_turns(state: &mut State, config: &Config) {
    let open = |run: &Run| run.status.is_none_or(|status| !status.is_terminal());
    let mut teams = state.runs.iter().zip(config.teams).filter(|(run, _)| open(run)).map(|(_, team)| team);
    let first = teams.next();
    if teams.all(|team| Some(team) == first) {
        state.served = 0;
    }
}

/// Whether a process could still be found to hold something: in an attempt, or by a poll that is under way.
fn is_remembered(state: &State, runner: u8, instance: u8) -> bool {
    state.attempts.iter().any(|a| a.runner == runner && a.instance == instance)
        || state.messages.iter().any(|m| {
            m.runner == runner && matches!(m.body, Body::Poll { instance: of, .. } if of == instance)
        })
}

fn forget_former(state: &mut State) {
    for runner in 0..state.runners.len() {
        let name = u8::try_from(runner).expect("there are two runners");
        let mut kept = [NO_FORMER; FORMER];
        let mut count = 0;
        for id in state.runners[runner].former {
            let id = if id == NO_FORMER || is_remembered(state, name, id) { id } else { FORGOTTEN };
            if id != NO_FORMER && !kept[..count].contains(&id) {
                kept[count] = id;
                count += 1;
            }
        }
        state.runners[runner].former = kept;
    }
    for at in 0..state.messages.len() {
        let Message { runner, body } = &state.messages[at];
        if let Body::Poll { supersedes: Some(id), .. } = body
            && *id != NOBODY
            && !is_remembered(state, *runner, *id)
            && let Body::Poll { supersedes, .. } = &mut state.messages[at].body
        {
            *supersedes = Some(NOBODY);
        }
    }
}

/// Numbers processes and polls of each runner in the order in which they are met. What only an attempt knows becomes [`NOBODY`].
fn number_ids(state: &mut State) {
    let State { runners, attempts, messages, .. } = state;
    for (name, runner) in (0_u8..).zip(runners.iter_mut()) {
        let mut instances = Numbers::default();
        let mut requests = Numbers::default();
        if let Some(process) = &mut runner.process {
            instances.number(&mut process.instance);
            requests.number(&mut process.request);
        }
        for former in runner.former.iter_mut().filter(|id| **id < FORGOTTEN) {
            instances.number(former);
        }
        for message in messages.iter_mut().filter(|m| m.runner == name) {
            match &mut message.body {
                Body::Poll { instance, request, supersedes, .. } => {
                    instances.number(instance);
                    requests.number(request);
                    if let Some(former) = supersedes.as_mut().filter(|id| **id != NOBODY) {
                        instances.number(former);
                    }
                }
                Body::SignOff { given_up: Some(request) } => requests.number(request),
                _ => {}
            }
        }
        for attempt in attempts.iter_mut().filter(|a| a.runner == name) {
            attempt.instance = instances.known(attempt.instance);
            attempt.request = requests.known(attempt.request);
        }
    }
}

/// New numbers for old ones.
#[derive(Default)]
struct Numbers {
    old: [u8; 8],
    count: u8,
}

impl Numbers {
    fn known(&self, old: u8) -> u8 {
        let met = self.old[..usize::from(self.count)].iter().position(|id| *id == old);
        met.map_or(NOBODY, |at| u8::try_from(at).expect("at most eight"))
    }

    fn number(&mut self, id: &mut u8) {
        if self.known(*id) == NOBODY {
            self.old[usize::from(self.count)] = *id;
            self.count += 1;
        }
        *id = self.known(*id);
    }
}

/// Places in the queue count only against each other and against whoever comes now.
fn rank(state: &mut State) {
    let alone = state.runs.len() == 1;
    for run in &mut state.runs {
        let waits = run.status.is_some_and(|status| !status.is_terminal());
        if !waits {
            (run.queued_at, run.place) = (0, 0);
        } else if alone {
            (run.queued_at, run.place) = (-1, -1);
        }
        if run.status.is_some_and(RunStatus::is_terminal) {
            run.used = 0;
        }
    }
    if alone {
        return;
    }
    let mut times: Vec<i8> =
        state.runs.iter().flat_map(|run| [run.queued_at, run.place]).filter(|t| *t < 0).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.dedup();
    let ranked = |time: i8| {
        if time > 0 {
            return time;
        }
        let rank = times.iter().position(|t| *t == time).map_or(0, |at| at + 1);
        -i8::try_from(rank).expect("few runs")
    };
    for run in &mut state.runs {
        (run.queued_at, run.place) = (ranked(run.queued_at), ranked(run.place));
    }
}
