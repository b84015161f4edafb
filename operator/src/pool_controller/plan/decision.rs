//! A decision about a pool's size, with its reason as a sentence for people.

use std::fmt;
use std::time::Duration;

/// A change of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The former size.
    pub from: u32,
    /// The new size.
    pub to: u32,
    /// Why it changes.
    pub reason: Reason,
}

/// Why a pool gets another size. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `spec.replicas` sets the size.
    Fixed,
    /// What the demand asks for.
    Demand {
        /// Runs that are queued and ready.
        pending: u64,
        /// Runners that hold a run.
        busy: u32,
        /// Runners kept free.
        min_idle: u32,
        /// Runners that somebody else has drained.
        withheld: u32,
        /// What all this adds up to, before the bounds.
        wanted: u32,
        /// The bound that limits it, if one does.
        bound: Option<Bound>,
        /// The stabilization window and the highest size wanted within it: the pool does not shrink below that size.
        window: Option<(Duration, u32)>,
        /// The numbers are old: the control plane does not answer.
        stale: bool,
    },
    /// The bounds have changed, and the demand is unknown.
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
    /// More runners are wanted than `maxRunners` allows.
    Max {
        /// How many are wanted.
        wanted: u32,
    },
    /// Fewer runners are wanted than `minRunners` demands.
    Min {
        /// How many are wanted.
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

/// A number with its noun, such as `1 run waits` or `2 runs wait`.
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
