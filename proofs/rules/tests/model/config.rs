//! How large a model is, and what may go wrong in it.

use minitower_vocabulary::statuses::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A model's size. All durations are ticks.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Printed in the report.
    pub(crate) name: &'static str,
    /// The priority of each run there may be.
    pub(crate) priorities: &'static [i64],
    /// The team of each. Runners serve them all.
    pub(crate) teams: &'static [i64],
    /// How many active runs a team may have.
    pub(crate) most_active: i64,
    /// How many runner names there are: 1 or 2.
    pub(crate) runners: u8,
    /// Retries of each run.
    pub(crate) max_retries: u8,
    /// What is retried, and after how many ticks; none: losses, at once.
    pub(crate) retry: Option<(&'static [Failure], u8)>,
    /// A lease's length.
    pub(crate) ttl: u8,
    /// By how much the runner stops earlier.
    pub(crate) margin: u8,
    /// How many ticks a runner's clock may fall behind the server's while one lease is counted.
    pub(crate) drift: u8,
    /// Whether a runner's clock may also run twice as fast.
    pub(crate) fast_clocks: bool,
    /// Most messages in flight.
    pub(crate) in_flight: usize,
    /// Most attempts at one run; none: as many as there may be.
    pub(crate) attempts: Option<u8>,
    /// Owners who may hold a fence on each runner's name.
    pub(crate) fence_owners: u8,
    /// Whether a job may end badly too.
    pub(crate) failures: bool,
    /// Whether polls ask to start what they lease: both, where some do and some do not.
    pub(crate) starts: &'static [bool],
    /// What may go wrong.
    pub(crate) faults: Faults,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Messages are lost, repeated, late and out of order; processes and the server crash at any moment; waiters vanish.
    Any,
    /// Only the server goes down, for at most so many ticks at a time, and its wall clock may have jumped meanwhile. Everybody else does
    /// what is due in time: a heartbeat every `heartbeat` ticks.
    Outages { longest: u8, heartbeat: u8 },
}

impl Config {
    /// Whether a run is to start again after such a failure, while its budget lasts.
    pub(crate) fn retries(&self, failure: Failure) -> bool {
        self.retry.map_or(failure == Failure::Lost, |(on, _)| on.contains(&failure))
    }

    /// For how long after a heartbeat was sent its job may run.
    pub(crate) fn usable(&self) -> u8 {
        self.ttl - self.margin
    }
}

macro_rules! named {
    ($(#[doc = $doc:literal])+ $enum:ident { $($name:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $enum { $($name,)+ }

        impl $enum {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

named! {
    /// What happens in a step that no state tells afterwards. Each has to be met, or the model is too narrow to prove anything.
    Event {
        Requeued = "a lost run queued again",
        Retried = "a failed run queued again for later",
        Woken = "a run made ready at the end of its backoff",
        CancelBackingOff = "a run cancelled during its backoff",
        Died = "a run dead at the end of its budget",
        Expired = "a lease reaped",
        ExpiredAtPoll = "a lease past its end ended by its own runner's poll",
        Superseded = "an attempt ended by a successor process",
        ReportedEnd = "an attempt ended by a report of its process's end",
        ReportRefused = "a report of another process's end refused",
        Repeated = "a lost lease answer found again",
        UnheardReleased = "a vanished waiter's lease released",
        SignedOff = "an attempt released by a sign-off",
        StartedByPoll = "an attempt started by its poll",
        RepeatedStarted = "a lost answer of a poll that started its attempt found again",
        StartTakenBack = "an unheard start taken back",
        SignedOffStarted = "an unheard start given back by a sign-off",
        SignOffIgnored = "a sign-off that leaves a started attempt alone",
        Released = "a run given back",
        MetFence = "a poll kept waiting by a fence",
        FenceEnded = "an attempt ended at a fence, and nothing leased",
        RefusedBusy = "a poll of a busy runner refused",
        RefusedLate = "a call under a dead lease refused",
        RefusedVoid = "a call with a replaced token refused",
        RepeatedResult = "a result answered again",
        RefusedOther = "another result refused",
        RefusedCancelling = "a result refused because a cancel came first",
        CancelHeld = "a held run cancelled",
        CancelQueued = "a queued run cancelled",
        CancelUnheard = "the cancel of a lost lease confirmed by the poll that asks for it again",
        CancelledByLoss = "a cancel confirmed by the loss of its runner",
        KilledByDeadline = "a job killed by its supervisor's deadline",
        Orphaned = "a job killed after its agent's death",
        Prolonged = "a lease prolonged by a restart",
        ValidAgain = "a lease that was over, and refused, valid again after a restart",
        GaveWay = "a run passed over because its team had more active ones",
        Withheld = "a run passed over because its team had as many active ones as it may",
    }
}

/// What kept the model finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Messages in flight.
    Messages,
    /// Attempts per run.
    Attempts,
}

/// What was met while states were explored. Shared by the checker's threads.
#[derive(Debug)]
pub(crate) struct Met {
    events: Vec<AtomicBool>,
    bounds: [AtomicU64; 2],
}

impl Met {
    pub(crate) fn new() -> Self {
        Self {
            events: Event::ALL.iter().map(|_| AtomicBool::new(false)).collect(),
            bounds: [const { AtomicU64::new(0) }; 2],
        }
    }

    pub(crate) fn event(&self, event: Event) {
        let met = &self.events[event as usize];
        // Reads scale over threads, writes do not.
        if !met.load(Ordering::Relaxed) {
            met.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn bound(&self, bound: Bound) {
        self.bounds[bound as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Events that were never met.
    pub(crate) fn missing(&self) -> Vec<Event> {
        let met = |event: &Event| self.events[*event as usize].load(Ordering::Relaxed);
        Event::ALL.iter().copied().filter(|event| !met(event)).collect()
    }

    /// How often a step was cut off by the bound on messages, and by that on attempts.
    pub(crate) fn cut_off(&self) -> [u64; 2] {
        [Bound::Messages, Bound::Attempts].map(|bound| self.bounds[bound as usize].load(Ordering::Relaxed))
    }
}
