//! What is measured, how often and how long.

use std::time::Duration;

use crate::load::Window;

/// The numbers of a benchmark.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Runs of each measurement; the report tells their median.
    pub repeats: usize,
    /// Of lifecycles and creates.
    pub window: Window,
    /// Of each point of a curve.
    pub point: Window,
    /// Runners of each point of the curve over load.
    pub runners: Vec<usize>,
    /// Queued runs of each point of the curve over depth; the last is the deep queue of the targets.
    pub depths: Vec<u64>,
    /// Runs that have ended, in a full database.
    pub ended: u64,
    /// Pairs of lifecycles with retention and without.
    pub pairs: usize,
    /// Runs whose dispatch is timed.
    pub dispatches: usize,
    /// Leases that are timed one by one.
    pub leases: usize,
    /// Calls of each read.
    pub reads: usize,
    /// Runs whose first line is timed.
    pub first_lines: usize,
    /// Idle runners.
    pub waiting_runners: usize,
    /// Of the idle runners.
    pub waiting: Window,
    /// How long an idle server is left alone before its memory is read.
    pub settle: Duration,
    /// Bytes of the large archive.
    pub archive: usize,
}

const fn window(warm_up_ms: u64, length_ms: u64) -> Window {
    Window { warm_up: Duration::from_millis(warm_up_ms), length: Duration::from_millis(length_ms) }
}

impl Plan {
    /// For the report.
    pub fn full() -> Self {
        Self {
            repeats: 3,
            window: window(2000, 10_000),
            point: window(1000, 4000),
            runners: vec![1, 2, 4, 8, 16, 32, 64, 128],
            depths: vec![0, 1_000, 10_000, 100_000, 1_000_000],
            ended: 1_000_000,
            pairs: 6,
            dispatches: 500,
            leases: 1000,
            reads: 200,
            first_lines: 20,
            waiting_runners: 1000,
            waiting: window(2000, 60_000),
            settle: Duration::from_secs(10),
            archive: 100_000_000,
        }
    }

    /// A few minutes, once each, with a tenth of the depth: to see that all of it works, and roughly where it stands.
    pub fn quick() -> Self {
        Self {
            repeats: 1,
            window: window(500, 2000),
            point: window(300, 1000),
            runners: vec![1, 8, 32, 128],
            depths: vec![0, 1_000, 100_000],
            ended: 50_000,
            pairs: 2,
            dispatches: 100,
            leases: 200,
            reads: 50,
            first_lines: 5,
            waiting: window(1000, 31_000),
            settle: Duration::from_secs(2),
            ..Self::full()
        }
    }

    /// The deepest queue.
    pub(super) fn deepest(&self) -> u64 {
        self.depths.last().copied().unwrap_or_default()
    }
}
