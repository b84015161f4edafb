//! What becomes of a run whose attempt came to nothing.
//!
//! A run without a policy starts again when its runner is lost, as often as its budget allows. A policy names the [`Failure`]s that count, and
//! how long the run waits before it may be leased again. Whatever the policy, one budget bounds all retries.

use std::time::Duration;

use minitower_vocabulary::statuses::{Failure, ResultReason};

/// Most attempts that a policy may ask for.
pub const MAX_ATTEMPTS: i64 = 1000;
/// Longest backoff that a policy may ask for: a week, in milliseconds.
pub const MAX_BACKOFF_MS: i64 = 7 * 24 * 3600 * 1000;
/// Largest factor from one backoff to the next.
pub const MAX_MULTIPLIER: u8 = 100;
/// Backoff before the first retry, unless the policy says otherwise, in milliseconds.
pub const DEFAULT_INITIAL_MS: i64 = 1000;
/// Factor from one backoff to the next, unless the policy says otherwise.
pub const DEFAULT_MULTIPLIER: f64 = 2.0;
/// Longest backoff, unless the policy says otherwise, in milliseconds.
pub const DEFAULT_MAX_MS: i64 = 300_000;
/// A backoff is lengthened by at most one part in so many.
const JITTER_PART: u128 = 5;

/// How often a run may start again, and how often it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// Most retries; 0: the first failure is final.
    pub max: i64,
    /// Retries used.
    pub used: i64,
}

impl RetryBudget {
    /// A fresh budget of `max` retries.
    pub const fn new(max: i64) -> Self {
        Self { max, used: 0 }
    }

    /// The budget once one more retry is used; none: it is used up.
    const fn next(self) -> Option<Self> {
        if self.used < self.max { Some(Self { max: self.max, used: self.used + 1 }) } else { None }
    }
}

/// What a failed result stands for. A runner that gives no reason says that the job failed.
pub const fn failure_of(reason: Option<ResultReason>) -> Failure {
    match reason {
        Some(ResultReason::Timeout) => Failure::Timeout,
        Some(ResultReason::Exit | ResultReason::Signal | ResultReason::Setup) | None => Failure::Failed,
    }
}

/// What a caller asks for; not checked yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Most attempts, retries and losses included.
    pub max_attempts: i64,
    /// Which failures are retried; none: all.
    pub on: Option<Vec<Failure>>,
    /// Backoff before the first retry, in milliseconds.
    pub backoff_initial_ms: Option<i64>,
    /// Factor from one backoff to the next.
    pub backoff_multiplier: Option<f64>,
    /// Longest backoff before its jitter, in milliseconds.
    pub backoff_max_ms: Option<i64>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// Too few or too many attempts.
    #[error("retry.max_attempts must be between 1 and {MAX_ATTEMPTS}")]
    MaxAttempts,
    /// Nothing would ever be retried.
    #[error(
        "retry.on is empty: name at least one of failed, timeout and lost, or leave it out for all three"
    )]
    On,
    /// Negative or too long.
    #[error("retry.backoff_initial_ms must be between 0 and {MAX_BACKOFF_MS}")]
    InitialMs,
    /// Out of range, or too precise.
    #[error("retry.backoff_multiplier must be between 1 and {MAX_MULTIPLIER}, with at most three decimals")]
    Multiplier,
    /// Negative or too long.
    #[error("retry.backoff_max_ms must be between 0 and {MAX_BACKOFF_MS}")]
    MaxMs,
    /// The first backoff is longer than the longest.
    #[error(
        "retry.backoff_max_ms ({max}; {DEFAULT_MAX_MS} when left out) is less than retry.backoff_initial_ms ({initial}): \
         raise the one or lower the other"
    )]
    MaxBelowInitial {
        /// Backoff before the first retry.
        initial: i64,
        /// Longest backoff.
        max: i64,
    },
}

/// Which failures are retried, and after how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryPolicy {
    /// By the order of [`Failure::ALL`].
    on: [bool; 3],
    /// Milliseconds before the first retry.
    initial_ms: i64,
    /// Thousandths of the factor from one backoff to the next.
    multiplier_thousandths: i64,
    /// Most milliseconds before the jitter.
    max_ms: i64,
}

impl RetryPolicy {
    /// Checks what a caller asks for; answers the policy with the retries that its attempts leave.
    pub fn checked(wanted: &Wanted) -> Result<(i64, Self), BadPolicy> {
        if !(1..=MAX_ATTEMPTS).contains(&wanted.max_attempts) {
            return Err(BadPolicy::MaxAttempts);
        }
        let on = wanted.on.as_deref().unwrap_or(&Failure::ALL);
        if on.is_empty() {
            return Err(BadPolicy::On);
        }
        let initial = wanted.backoff_initial_ms.unwrap_or(DEFAULT_INITIAL_MS);
        if !(0..=MAX_BACKOFF_MS).contains(&initial) {
            return Err(BadPolicy::InitialMs);
        }
        let multiplier = thousandths(wanted.backoff_multiplier.unwrap_or(DEFAULT_MULTIPLIER));
        let multiplier = multiplier.ok_or(BadPolicy::Multiplier)?;
        let max = wanted.backoff_max_ms.unwrap_or(DEFAULT_MAX_MS);
        if !(0..=MAX_BACKOFF_MS).contains(&max) {
            return Err(BadPolicy::MaxMs);
        }
        if max < initial {
            return Err(BadPolicy::MaxBelowInitial { initial, max });
        }
        Ok((wanted.max_attempts - 1, Self::new(on, initial, multiplier, max)))
    }

    /// A policy as it was kept; [`RetryPolicy::checked`] makes those that callers ask for.
    pub fn new(on: &[Failure], initial_ms: i64, multiplier_thousandths: i64, max_ms: i64) -> Self {
        let on = Failure::ALL.map(|failure| on.contains(&failure));
        Self { on, initial_ms, multiplier_thousandths, max_ms }
    }

    /// Which failures are retried.
    pub fn on(&self) -> impl Iterator<Item = Failure> + use<> {
        Failure::ALL.into_iter().zip(self.on).filter(|(_, on)| *on).map(|(failure, _)| failure)
    }

    /// Milliseconds before the first retry.
    pub const fn initial_ms(&self) -> i64 {
        self.initial_ms
    }

    /// Thousandths of the factor from one backoff to the next.
    pub const fn multiplier_thousandths(&self) -> i64 {
        self.multiplier_thousandths
    }

    /// Most milliseconds of a backoff before its jitter.
    pub const fn max_ms(&self) -> i64 {
        self.max_ms
    }

    /// How long a run waits before its retry of that number: 1, 2, 3 …
    pub fn backoff(&self, retry: i64, jitter: Jitter) -> Duration {
        /// Parts of a millisecond that are counted, so that a small factor on a small backoff is not lost.
        const PARTS: u128 = 1_000_000;
        let [initial, multiplier, max] = [self.initial_ms, self.multiplier_thousandths, self.max_ms]
            .map(|n| u128::try_from(n).unwrap_or(0));
        let (mut backoff, max) = (initial * PARTS, max * PARTS);
        // A budget is small, and most backoffs meet their maximum after a few steps.
        for _ in 1..retry {
            if backoff >= max || multiplier == 1000 {
                break;
            }
            backoff = backoff * multiplier / 1000;
        }
        let backoff = backoff.min(max) / PARTS;
        Duration::from_millis(u64::try_from(jitter.lengthen(backoff)).unwrap_or(u64::MAX))
    }

    /// The longest that a run ever waits.
    pub fn longest_backoff(&self) -> Duration {
        let max = u128::try_from(self.max_ms).unwrap_or(0);
        Duration::from_millis(u64::try_from(Jitter::MOST.lengthen(max)).unwrap_or(u64::MAX))
    }
}

/// Thousandths of a factor; none: it is out of range, or has more than three decimals.
fn thousandths(factor: f64) -> Option<i64> {
    let scaled = factor * 1000.0;
    // Written so that what is no number is refused too.
    if !((1000.0..=f64::from(MAX_MULTIPLIER) * 1000.0).contains(&scaled)
        && (scaled - scaled.round()).abs() < 1e-6)
    {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number up to a hundred thousand")]
    Some(scaled.round() as i64)
}

/// By how much a backoff is lengthened, so that runs that failed together do not come back together. Drawn outside; the rules only use it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Jitter(pub u16);

impl Jitter {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// By a fifth.
    pub const MOST: Self = Self(u16::MAX);

    fn lengthen(self, ms: u128) -> u128 {
        ms + ms * u128::from(self.0) / (JITTER_PART * u128::from(u16::MAX))
    }
}

/// What becomes of a run after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It starts again, and this is its budget then.
    Again {
        /// The budget, this retry counted.
        retries: RetryBudget,
        /// How long it waits first.
        backoff: Duration,
    },
    /// It has ended.
    Final,
}

/// Decides on a failure.
///
/// A lost run is queued again at once: the loss was not the job's, and the lease that had to run out was a wait already.
pub fn decide(budget: RetryBudget, policy: Option<&RetryPolicy>, failure: Failure, jitter: Jitter) -> After {
    let asked = match policy {
        Some(policy) => policy.on().any(|on| on == failure),
        None => failure == Failure::Lost,
    };
    match (asked, budget.next(), failure, policy) {
        (true, Some(retries), Failure::Failed | Failure::Timeout, Some(policy)) => {
            After::Again { retries, backoff: policy.backoff(retries.used, jitter) }
        }
        (true, Some(retries), ..) => After::Again { retries, backoff: Duration::ZERO },
        (false, ..) | (true, None, ..) => After::Final,
    }
}

#[cfg(test)]
mod tests;
