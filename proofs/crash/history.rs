//! What is known of one storm when it is over: what clients were told, what the jobs say of themselves, and what the
//! control plane says in the end. Data alone; `checker` judges it.

use std::collections::BTreeSet;

use serde_json::Value;

/// A moment on `CLOCK_BOOTTIME`, in microseconds.
pub(crate) type Moment = i64;

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// Every run that was asked for.
    pub(crate) asked: Vec<Asked>,
    /// Every answered cancel.
    pub(crate) cancels: Vec<Cancel>,
    /// The runs whose cancel was asked for, heard or not.
    pub(crate) cancels_sent: BTreeSet<i64>,
    /// Every run that was shown as ended, and how.
    pub(crate) ends_seen: Vec<(i64, String)>,
    /// Log lines that were shown to a reader.
    pub(crate) lines_seen: Vec<LinesSeen>,
    /// Every answered upload.
    pub(crate) deployed: Vec<Version>,
    /// Every fence that was certainly there for a while.
    pub(crate) fences: Vec<Fence>,
    /// Every job process or supervisor that was killed alone, leaving its runner to tell of it.
    pub(crate) kills: Vec<Kill>,
    /// Every process that a job's witness tells of.
    pub(crate) lives: Vec<Life>,
    /// Every run there is in the end.
    pub(crate) runs: Vec<Run>,
    /// Every version there is in the end.
    pub(crate) versions: Vec<Version>,
    /// How the server's times compare to the witnesses'.
    pub(crate) clocks: Clocks,
    /// What cannot be, seen by whoever drove the storm.
    pub(crate) complaints: Vec<String>,
}

/// A run as it was asked for. Its input is different from every other's.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its id; `None` when no answer came, so that it may exist or not.
    pub(crate) run: Option<i64>,
    /// Its input.
    pub(crate) input: Value,
    /// Its priority.
    pub(crate) priority: i64,
    /// Its retries.
    pub(crate) max_retries: i64,
}

/// An answered cancel.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    /// The run.
    pub(crate) run: i64,
    /// Its status in the answer.
    pub(crate) answered: String,
}

/// Lines of an attempt's log that a reader got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinesSeen {
    /// The run.
    pub(crate) run: i64,
    /// The attempt that wrote them, as they say themselves.
    pub(crate) attempt: i64,
    /// The last one's number.
    pub(crate) lines: i64,
}

/// An uploaded version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// The team's id.
    pub(crate) team: i64,
    /// The app's slug.
    pub(crate) app: String,
    /// The version's number.
    pub(crate) no: i64,
    /// Its archive.
    pub(crate) sha256: String,
}

/// A fence between the answer that it holds and the request to lift it.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    /// The runner's name.
    pub(crate) runner: String,
    /// When it was answered.
    pub(crate) from: Moment,
    /// When its end was asked for.
    pub(crate) until: Moment,
}

/// A process of a run that was killed although its runner went on.
#[derive(Debug, Clone)]
pub(crate) struct Kill {
    /// The runner's name.
    pub(crate) runner: String,
    /// When.
    pub(crate) at: Moment,
}

/// A process of a job, as its witness tells.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// The run.
    pub(crate) run: i64,
    /// The attempt.
    pub(crate) attempt: i64,
    /// Whether it is the job's first process and not one it has started.
    pub(crate) is_main: bool,
    /// A moment at which it lived, the earliest known.
    pub(crate) first: Moment,
    /// A moment at which it lived, the latest known.
    pub(crate) last: Moment,
    /// By how much the moments may be later than they say: what the job's clock cuts off.
    pub(crate) cut: i64,
    /// What it said when it was about to end by itself.
    pub(crate) ended: Option<Ended>,
}

/// A job's last words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i64,
    /// How many lines it has written to its log.
    pub(crate) lines: i64,
}

/// A run in the end.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its id.
    pub(crate) id: i64,
    /// Its status.
    pub(crate) status: String,
    /// Its input.
    pub(crate) input: Value,
    /// Its priority.
    pub(crate) priority: i64,
    /// Its retries.
    pub(crate) max_retries: i64,
    /// How many of them were used.
    pub(crate) retry_count: i64,
    /// Its attempts, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// The log of the newest attempt.
    pub(crate) log: Vec<Line>,
}

/// An attempt in the end. Times are the server's, in milliseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Its id.
    pub(crate) id: i64,
    /// Its number within the run.
    pub(crate) no: i64,
    /// Its status.
    pub(crate) status: String,
    /// Its runner's name.
    pub(crate) runner: String,
    /// What ended the job.
    pub(crate) reason: Option<String>,
    /// The job's exit code.
    pub(crate) exit_code: Option<i64>,
    /// When it was leased.
    pub(crate) leased_at: i64,
    /// When it ended.
    pub(crate) finished_at: Option<i64>,
}

/// A line of a log.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Its number.
    pub(crate) seq: i64,
    /// Its stream.
    pub(crate) stream: String,
    /// Its text.
    pub(crate) text: String,
}

/// The wall clock less `CLOCK_BOOTTIME` at each start of the server, which reads the wall clock then and counts on by
/// `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clocks {
    /// The least, in microseconds.
    pub(crate) least: i64,
    /// The most, in microseconds.
    pub(crate) most: i64,
}

impl Clocks {
    /// The latest moment that the server may have meant by a time of its own, given in milliseconds.
    pub(crate) fn latest(self, server_ms: i64) -> Moment {
        // The server cuts its times to milliseconds.
        (server_ms + 1) * 1000 - self.least
    }

    /// The earliest such moment.
    pub(crate) fn earliest(self, server_ms: i64) -> Moment {
        server_ms * 1000 - self.most
    }
}
