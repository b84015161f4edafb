//! When a load is measured, and what it cost.

use std::time::{Duration, Instant};

use crate::stats::micros_each;
use crate::{BenchError, process};

/// When a load is measured.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// How long the load goes on before.
    pub warm_up: Duration,
    /// How long it is measured.
    pub length: Duration,
}

/// What a window has cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Costs {
    /// How long it was.
    pub length: Duration,
    /// Processor time of the server, when its process is known.
    pub server_cpu: Option<Duration>,
    /// Processor time of the load generator.
    pub own_cpu: Duration,
    /// Requests that were sent in it.
    pub requests: u64,
    /// Bytes the server caused to be written to storage, when its process is known.
    pub written: Option<u64>,
}

impl Costs {
    /// Microseconds of the server's processor time for each of `count`.
    pub fn server_each(&self, count: u64) -> Option<f64> {
        self.server_cpu.map(|spent| micros_each(spent, count))
    }

    /// Microseconds of the load generator's processor time for each request.
    pub fn own_each_request(&self) -> f64 {
        micros_each(self.own_cpu, self.requests)
    }
}

/// Where a load stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not measured yet.
    WarmUp,
    /// Measured.
    Measured,
    /// No longer measured; what has begun is ended.
    Over,
}

/// Follows a window and takes what it costs.
#[derive(Debug)]
pub(super) struct Meter {
    server: Option<u32>,
    from: Instant,
    to: Instant,
    phase: Phase,
    before: Costs,
    costs: Costs,
}

impl Meter {
    /// The load begins now.
    pub(super) fn start(window: Window, server: Option<u32>) -> Self {
        let from = Instant::now() + window.warm_up;
        let to = from + window.length;
        Self { server, from, to, phase: Phase::WarmUp, before: Costs::default(), costs: Costs::default() }
    }

    /// Where the load stands now, after that many requests.
    pub(super) fn phase(&mut self, requests: u64) -> Result<Phase, BenchError> {
        let now = Instant::now();
        if self.phase == Phase::WarmUp && now >= self.from {
            self.from = now;
            self.before = self.taken(requests)?;
            self.phase = Phase::Measured;
        }
        if self.phase == Phase::Measured && now >= self.to {
            let after = self.taken(requests)?;
            self.costs = Costs {
                length: now - self.from,
                server_cpu: after
                    .server_cpu
                    .zip(self.before.server_cpu)
                    .map(|(after, before)| after.saturating_sub(before)),
                own_cpu: after.own_cpu.saturating_sub(self.before.own_cpu),
                requests: after.requests - self.before.requests,
                written: after
                    .written
                    .zip(self.before.written)
                    .map(|(after, before)| after.saturating_sub(before)),
            };
            self.phase = Phase::Over;
        }
        Ok(self.phase)
    }

    fn taken(&self, requests: u64) -> Result<Costs, BenchError> {
        Ok(Costs {
            length: Duration::ZERO,
            server_cpu: self.server.map(process::cpu).transpose()?,
            own_cpu: process::own_cpu()?,
            requests,
            written: self.server.map(process::written).transpose()?,
        })
    }

    /// What the window has cost, once it is over.
    pub(super) fn costs(&self) -> Costs {
        self.costs
    }

    /// When the present phase ends.
    pub(super) fn next_change(&self) -> Instant {
        match self.phase {
            Phase::WarmUp => self.from,
            Phase::Measured => self.to,
            Phase::Over => Instant::now() + Duration::from_secs(1),
        }
    }
}
