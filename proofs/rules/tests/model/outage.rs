//! A narrower world: everybody is punctual, and only the server goes down, not for long, with a wall clock that may have jumped meanwhile.
//!
//! A runner cannot lose more than the time since its last heartbeat and the outage, so an outage shorter than a lease less the heartbeat's
//! interval and the margin must not cost a run.

use crate::checker::Action;
use crate::config::Config;
use crate::state::{Phase, Runner, State};
use minitower_vocabulary::statuses::ResultStatus;

/// The steps of that world.
pub(crate) fn actions(
    config: &Config,
    (longest, heartbeat): (u8, u8),
    state: &State,
    actions: &mut Vec<Action>,
) {
    let up = state.outage == 0;
    let overdue = |runner: &Runner| runner.job.as_ref().is_some_and(|job| job.timer.age >= heartbeat);
    for (name, runner) in (0_u8..).zip(&state.runners) {
        let Some(process) = &runner.process else { continue };
        if let Phase::Executing { .. } = process.phase {
            actions.push(Action::JobEnds(name, ResultStatus::Completed));
        }
        if up && state.messages.is_empty() {
            match process.phase {
                Phase::Idle => actions.extend(config.starts.iter().map(|start| Action::Ask(name, *start))),
                _ => actions.push(Action::Call(name)),
            }
        }
    }
    if !up {
        if state.outage <= longest {
            actions.push(Action::Tick([1, 1]));
        }
        // An outage is no shorter for a clock that was set.
        let far = i8::try_from(config.ttl * 3).expect("a lease is short");
        actions.extend([0, far, -far].map(Action::Restart));
        return;
    }
    for (id, run) in (0_u8..).zip(&state.runs) {
        if run.status.is_none() {
            actions.push(Action::Create(id));
        }
    }
    actions.extend((0_u8..).zip(&state.attempts).map(|(at, _)| Action::Reap(at)));
    for message in &state.messages {
        actions.push(Action::Deliver { message: message.clone(), keeps: false, vanishes: false });
    }
    let waits = |(name, runner): (u8, &Runner)| {
        let phase = runner.process.as_ref().map(|p| p.phase);
        match phase {
            // An idle agent always has a poll open, and asks at once again when that has failed.
            Some(Phase::Idle) => state.active_of_runner(name).is_some(),
            Some(Phase::Executing { .. }) => overdue(runner),
            _ => true,
        }
    };
    if state.messages.is_empty() && !(0..).zip(&state.runners).any(waits) {
        actions.push(Action::Tick([1, 1]));
    }
    if !state.runners.iter().any(overdue) {
        actions.push(Action::GoDown);
    }
}
