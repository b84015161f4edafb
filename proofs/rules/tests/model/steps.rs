//! Which steps the worst of worlds may take from a state: messages are lost, repeated, late and out of order, everything may crash at any
//! moment, people do what they like, and nobody has to do anything.

use crate::checker::Action;
use crate::config::Config;
use crate::state::{Body, Phase, State};
use minitower_vocabulary::statuses::ResultStatus;

/// Every step that the worst of worlds may take.
pub(crate) fn anything(config: &Config, state: &State, actions: &mut Vec<Action>) {
    for (id, run) in (0_u8..).zip(&state.runs) {
        actions.push(if run.status.is_none() { Action::Create(id) } else { Action::Cancel(id) });
    }
    for (id, run) in (0_u8..).zip(&state.runs) {
        if run.waits.is_some() {
            actions.push(Action::Wake(id));
        }
    }
    ticks(config, state, actions);
    for (at, attempt) in (0_u8..).zip(&state.attempts) {
        if attempt.status.is_active() {
            actions.push(Action::Reap(at));
        }
        if attempt.unheard {
            actions.push(Action::ReleaseUnheard(at));
        }
    }
    if state.attempts.iter().any(|a| a.unheard || a.status.is_active() && a.expires < config.ttl) {
        actions.push(Action::Restart(0));
    }
    for message in &state.messages {
        let deliver = |keeps, vanishes| Action::Deliver { message: message.clone(), keeps, vanishes };
        actions.push(deliver(false, false));
        actions.push(Action::Lose(message.clone()));
        if message.body.is_request() {
            actions.push(deliver(true, false));
        }
        if let Body::Poll { awaited: true, .. } = message.body {
            actions.push(deliver(false, true));
        }
    }
    for name in 0..config.runners {
        of_runner(config, state, name, actions);
    }
}

fn ticks(config: &Config, state: &State, actions: &mut Vec<Action>) {
    let paces = |runner: u8| -> &'static [u8] {
        let counts = runner < config.runners && counts(state, runner);
        match (counts, config.drift > 0, config.fast_clocks) {
            (true, true, true) => &[1, 0, 2],
            (true, true, false) => &[1, 0],
            (true, false, true) => &[1, 2],
            _ => &[1],
        }
    };
    for first in paces(0) {
        for second in paces(1) {
            actions.push(Action::Tick([*first, *second]));
        }
    }
}

fn of_runner(config: &Config, state: &State, name: u8, actions: &mut Vec<Action>) {
    let runner = &state.runners[usize::from(name)];
    if runner.fences < config.fence_owners {
        actions.push(Action::Fence(name));
    }
    if runner.fences > 0 {
        actions.push(Action::Unfence(name));
    }
    if let Some(at) = state.active_of_runner(name) {
        let alive = state.is_holder_alive(&state.attempts[at]);
        let orphan = runner.process.is_none() && runner.job.is_some();
        // Nobody reports an end that has not come; what is said of others must not matter.
        if alive || !orphan {
            actions.push(Action::ReportEnd { runner: name, holder: !alive });
        }
    }
    let Some(process) = &runner.process else {
        actions.push(Action::Begin(name));
        if runner.job.is_some() {
            actions.push(Action::KillOrphan(name));
        }
        return;
    };
    actions.push(Action::Crash(name));
    match process.phase {
        // A sign-off during a run is one from before it that the network delays.
        Phase::Idle => {
            actions.extend(config.starts.iter().map(|start| Action::Ask(name, *start)));
            actions.push(Action::SignOff(name, false));
            if config.starts.contains(&true) {
                actions.push(Action::SignOff(name, true));
            }
        }
        Phase::Leased { .. } | Phase::Started { .. } => {
            actions.extend([Action::Call(name), Action::GiveBack(name)]);
        }
        Phase::Executing { cancel, .. } => {
            actions.extend([Action::Call(name), Action::GiveBack(name)]);
            actions.push(Action::JobEnds(name, ResultStatus::Completed));
            if config.failures && !cancel {
                actions.push(Action::JobEnds(name, ResultStatus::Failed));
            }
        }
        Phase::Concluding { .. } => actions.push(Action::Call(name)),
    }
}

/// Whether anything on this runner is being counted, so that the pace of its clock matters.
fn counts(state: &State, runner: u8) -> bool {
    state.runners[usize::from(runner)].job.is_some()
        || state.messages.iter().any(|m| {
            m.runner == runner
                && matches!(m.body, Body::Heartbeat { awaited: Some(_), .. } | Body::Extended { .. })
        })
}
