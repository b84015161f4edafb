//! How many runners there should be.

use std::time::Duration;

use super::decision::{Bound, Decision, Limit, Reason};
use super::model::{Damping, Demand, Elapsed, Memory, Observed, Policy};

/// The outcome for one tick.
pub(super) struct Sizing {
    pub(super) target: u32,
    pub(super) decision: Option<Decision>,
    pub(super) limit: Option<Limit>,
}

/// Decides the size of the pool, and keeps in `memory` what the next decision needs.
pub(super) fn decide(observed: &Observed, policy: &Policy, memory: &mut Memory, now: Elapsed) -> Sizing {
    // A new leader starts from what exists, as if that had been wanted so far: it shrinks nothing before a whole window has passed.
    let from = *memory.target.get_or_insert_with(|| observed.size());
    if memory.wishes.is_empty() {
        memory.wishes.push_back((now, from));
    }
    if policy.paused {
        return Sizing { target: from, decision: None, limit: None };
    }
    let (to, reason, limit) = match policy.replicas {
        Some(replicas) => {
            wish(memory, policy, now, replicas);
            (replicas, Reason::Fixed, None)
        }
        None => by_demand(observed, policy, memory, from, now),
    };
    if to > from {
        memory.grown = Some(now);
    } else if to < from {
        memory.shrunk = Some(now);
    }
    memory.target = Some(to);
    let decision = (to != from).then_some(Decision { from, to, reason });
    Sizing { target: to, decision, limit }
}

fn by_demand(
    observed: &Observed,
    policy: &Policy,
    memory: &mut Memory,
    from: u32,
    now: Elapsed,
) -> (u32, Reason, Option<Limit>) {
    let (pending, stale) = match observed.demand {
        Demand::Known { pending } => (pending, false),
        Demand::Stale { pending } => (pending, true),
        Demand::Unknown => {
            let (to, bound) = bounded(policy, from);
            return (to, Reason::Bounds(bound.unwrap_or(Bound::Max(policy.max))), None);
        }
    };
    let busy = observed.busy();
    let waiting = pending.div_ceil(u64::from(policy.runs_per_runner.max(1)));
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    // A runner that a person has drained exists but takes no run: another one has to do its work.
    let withheld = observed.withheld(memory, now);
    let wanted = busy.saturating_add(waiting).saturating_add(policy.min_idle).saturating_add(withheld);
    let (wish_now, bound) = bounded(policy, wanted);
    // Old numbers are no evidence that less is wanted now.
    wish(memory, policy, now, if stale { wish_now.max(from) } else { wish_now });

    // The bounds hold at once, whatever the windows say.
    let from_bounded = bounded(policy, from).0;
    let highest = within(memory, now, policy.down.stabilization).max().unwrap_or(wish_now);
    let lowest = within(memory, now, policy.up.stabilization).min().unwrap_or(wish_now);
    let (highest, lowest) = (bounded(policy, highest).0, bounded(policy, lowest).0);
    let up = lowest.max(from_bounded);
    let down = highest.min(from_bounded);
    let to = if wish_now > from_bounded {
        step(from_bounded, up, policy.up, memory.grown, policy.poll, now)
    } else if wish_now < from_bounded && !stale {
        step(from_bounded, down, policy.down, memory.shrunk, policy.poll, now)
    } else {
        from_bounded
    };
    let damped = to < from && !policy.down.stabilization.is_zero();
    let window = damped.then_some((policy.down.stabilization, highest));
    let limit = match bound {
        Some(Bound::Max(_)) => Some(Limit::Max { wanted }),
        Some(Bound::Min(_)) => Some(Limit::Min { wanted }),
        None => None,
    };
    let min_idle = policy.min_idle;
    let reason = Reason::Demand { pending, busy, min_idle, withheld, wanted, bound, window, stale };
    (to, reason, limit)
}

/// Moves at most `max_step` from `from` towards `to`, and makes no further step within one tick.
fn step(from: u32, to: u32, damping: Damping, last: Option<Elapsed>, poll: Duration, now: Elapsed) -> u32 {
    let Some(most) = damping.max_step else { return to };
    if last.is_some_and(|last| now < last + poll) {
        return from;
    }
    let most = most.max(1);
    to.clamp(from.saturating_sub(most), from.saturating_add(most))
}

fn bounded(policy: &Policy, wanted: u32) -> (u32, Option<Bound>) {
    if wanted > policy.max {
        (policy.max, Some(Bound::Max(policy.max)))
    } else if wanted < policy.min {
        (policy.min, Some(Bound::Min(policy.min)))
    } else {
        (wanted, None)
    }
}

/// Remembers what is wanted. Of equal wishes in a row only the first and the last are kept: the memory grows with changes, not with ticks.
fn wish(memory: &mut Memory, policy: &Policy, now: Elapsed, wanted: u32) {
    let wishes = &mut memory.wishes;
    let last = wishes.len();
    if last >= 2 && wishes[last - 1].1 == wanted && wishes[last - 2].1 == wanted {
        wishes[last - 1].0 = now;
    } else {
        wishes.push_back((now, wanted));
    }
    let longest = policy.up.stabilization.max(policy.down.stabilization);
    // The newest wish from before the window was valid until the next one came.
    while wishes.len() >= 2 && wishes[1].0 + longest < now {
        wishes.pop_front();
    }
}

/// Everything that was wanted at some moment of the last `window`; without a window, what is wanted now.
fn within(memory: &Memory, now: Elapsed, window: Duration) -> impl Iterator<Item = u32> {
    let newest = memory.wishes.len().saturating_sub(1);
    let begin = now.saturating_sub(window);
    // A wish is valid until the next one: the one before the window reaches into it.
    let reaching = memory.wishes.iter().rposition(|(at, _)| *at < begin).unwrap_or(0);
    let from = if window.is_zero() { newest } else { reaching };
    memory.wishes.range(from..).map(|(_, wanted)| *wanted)
}
