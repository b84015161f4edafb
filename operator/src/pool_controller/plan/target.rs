//! How many runners there shall be.

use std::fmt;
use std::time::Duration;

use super::{Damping, Demand, Elapsed, Memory, Observed, Policy};

/// The outcome for one tick.
pub(super) struct Sizing {
    pub(super) target: u32,
    pub(super) decision: Option<Decision>,
    pub(super) limit: Option<Limit>,
}

/// A change of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The size before.
    pub from: u32,
    /// The size from now on.
    pub to: u32,
    /// Why.
    pub reason: Reason,
}

/// Why a pool gets another size; as text a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `spec.replicas` says so.
    Fixed,
    /// What the demand asks for.
    Demand {
        /// Runs that wait.
        pending: u64,
        /// Runners that hold a run.
        busy: u32,
        /// Runners kept free.
        min_idle: u32,
        /// Runners that somebody else has drained.
        withheld: u32,
        /// What it comes to, before the bounds.
        wanted: u32,
        /// The bound that held it, when one did.
        bound: Option<Bound>,
        /// The size comes down to the most that was wanted within that window, not lower.
        window: Option<(Duration, u32)>,
        /// The numbers are not of now: the control plane does not answer.
        stale: bool,
    },
    /// The bounds have changed; nothing is known of the demand.
    Bounds(Bound),
}

/// A bound of the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `minRunners`.
    Min(u32),
    /// `maxRunners`.
    Max(u32),
}

/// What keeps a pool from the size that the demand asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// More runners are wanted than there may be.
    Max {
        /// How many.
        wanted: u32,
    },
    /// Fewer runners are wanted than there must be.
    Min {
        /// How many.
        wanted: u32,
    },
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min(n) => write!(f, "minRunners {n}"),
            Self::Max(n) => write!(f, "maxRunners {n}"),
        }
    }
}

/// Such as `1 run waits`, `2 runs wait`.
pub(crate) fn counted(n: u64, one: &str, more: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {more}") }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed => f.write_str("spec.replicas sets the size"),
            Self::Bounds(bound) => write!(f, "the demand is unknown; held by {bound}"),
            Self::Demand { pending, busy, min_idle, withheld, wanted, bound, window, stale } => {
                let waiting = counted(pending, "run waits", "runs wait");
                let working = counted(busy.into(), "runner is busy", "runners are busy");
                write!(f, "{waiting}, {working}")?;
                if min_idle > 0 {
                    write!(f, ", {min_idle} kept idle")?;
                }
                if withheld > 0 {
                    write!(f, ", {withheld} drained by somebody")?;
                }
                write!(f, ": {wanted} wanted")?;
                if let Some(bound) = bound {
                    write!(f, ", held by {bound}")?;
                }
                if let Some(window) = window {
                    write!(f, "; at most {} in the last {} s", window.1, window.0.as_secs())?;
                }
                if stale {
                    f.write_str(" (last known; the control plane does not answer)")?;
                }
                Ok(())
            }
        }
    }
}

/// Sizes the pool, and notes in `memory` what the next decision needs.
pub(super) fn decide(observed: &Observed, policy: &Policy, memory: &mut Memory, now: Elapsed) -> Sizing {
    // A new leader begins with what is there, as if that had been wanted so far: it shrinks nothing before a whole window has passed.
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
    // A runner that a person has drained is there and takes nothing: another has to do its work.
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

/// At most `max_step` from `from` towards `to`, and no further step within one tick.
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

/// Notes what is wanted. Of equal wishes in a row the first and the last are kept: the memory grows with changes, not with ticks.
fn wish(memory: &mut Memory, policy: &Policy, now: Elapsed, wanted: u32) {
    let wishes = &mut memory.wishes;
    let last = wishes.len();
    if last >= 2 && wishes[last - 1].1 == wanted && wishes[last - 2].1 == wanted {
        wishes[last - 1].0 = now;
    } else {
        wishes.push_back((now, wanted));
    }
    let longest = policy.up.stabilization.max(policy.down.stabilization);
    // The newest wish from before the window held until the next one came.
    while wishes.len() >= 2 && wishes[1].0 + longest < now {
        wishes.pop_front();
    }
}

/// What was wanted at any moment of the last `window`; without a window what is wanted now.
fn within(memory: &Memory, now: Elapsed, window: Duration) -> impl Iterator<Item = u32> {
    let newest = memory.wishes.len().saturating_sub(1);
    let begin = now.saturating_sub(window);
    // A wish holds until the next: the one before the window reaches into it.
    let reaching = memory.wishes.iter().rposition(|(at, _)| *at < begin).unwrap_or(0);
    let from = if window.is_zero() { newest } else { reaching };
    memory.wishes.range(from..).map(|(_, wanted)| *wanted)
}
