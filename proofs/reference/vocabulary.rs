//! What can be asked of a control plane and what it answers, in words that the program and the reference share.

use std::time::Duration;

/// Length of a lease.
pub(crate) const TTL: Duration = Duration::from_secs(60);
/// The same in milliseconds.
pub(crate) const TTL_MS: i64 = 60_000;
/// When every sequence begins, in milliseconds.
pub(crate) const BEGIN_MS: i64 = 1_000_000;

/// A team, by its place in the list of both: its id less one.
pub(crate) type Team = usize;
/// The teams' slugs.
pub(crate) const TEAMS: [&str; 2] = ["acme", "beta"];
/// How many active runs each team may have.
pub(crate) const MOST_ACTIVE: [usize; 2] = [100, 2];
/// The environments.
pub(crate) const ENVIRONMENTS: [&str; 2] = ["default", "gpu"];

/// Numbers an operation; it also names the one secret that the operation may have been answered.
pub(crate) type Number = u32;

/// The platform's registration token.
pub(crate) const PLATFORM: Number = 0;
/// The registration tokens that the teams were made with.
pub(crate) const TEAM_REGISTRATION: [Number; 2] = [1, 2];
/// The first operation.
pub(crate) const FIRST: Number = 10;

/// A secret as it is shown to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shown {
    /// The operation that answered it.
    pub(crate) of: Number,
    pub(crate) how: How,
}

/// What of a secret is shown. All but the first are wrong, and have all but the last character in common with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum How {
    Whole,
    WithoutItsEnd,
    WithMoreBehind,
    WithAnotherEnd,
}

impl Shown {
    pub(crate) fn whole(of: Number) -> Self {
        Self { of, how: How::Whole }
    }
}

/// Who makes an admin call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Admin {
    Operator,
    Team(Team),
}

/// What a poll says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Poll {
    pub(crate) request: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) supersedes: Option<String>,
    pub(crate) start: bool,
}

/// How a poll's caller waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Patience {
    /// It takes what there is now.
    None,
    /// It waits until there is work.
    Long,
    /// It takes what there is now, and has gone by the time it is answered.
    Vanishes,
}

/// A call under a lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Start,
    Heartbeat,
    /// The lines from one number to another, the second not included, each with this text.
    Logs(i64, i64, u8),
    Result(Ending),
    Release,
    Artifact,
}

/// The longest backoff, in milliseconds.
pub(crate) const LONGEST_BACKOFF_MS: i64 = 4;

/// How a run is retried: so many attempts at most, after these endings, by a backoff in milliseconds that doubles up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Retry {
    pub(crate) max_attempts: i64,
    pub(crate) failed: bool,
    pub(crate) timeout: bool,
    pub(crate) lost: bool,
    pub(crate) backoff: i64,
}

/// What a runner reports at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    pub(crate) exit_code: i64,
    pub(crate) message: Option<String>,
    /// Whether it was the timeout that ended the job.
    pub(crate) timeout: bool,
}

/// Status of a run or of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    Queued,
    Leased,
    Running,
    Cancelling,
    Completed,
    Failed,
    Cancelled,
    Dead,
    Expired,
    Released,
}

impl Status {
    pub(crate) const ALL: [Self; 10] = [
        Self::Queued,
        Self::Leased,
        Self::Running,
        Self::Cancelling,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Dead,
        Self::Expired,
        Self::Released,
    ];

    /// The word in the database and on the wire.
    pub(crate) fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn of_word(word: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|status| status.word() == word)
            .unwrap_or_else(|| panic!("status {word:?}"))
    }

    /// Whether a runner holds the run.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Leased | Self::Running | Self::Cancelling)
    }

    /// Whether a run has ended.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Dead)
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    CreateApp {
        team: Team,
        slug: String,
    },
    /// An archive whose Towerfile asks for so many retries.
    Upload {
        team: Team,
        app: String,
        max_retries: i64,
    },
    CreateRun {
        team: Team,
        app: String,
        version: Option<i64>,
        priority: Option<i64>,
        max_retries: Option<i64>,
        retry: Option<Retry>,
        environment: String,
        input: Option<u8>,
    },
    Cancel {
        team: Team,
        run: i64,
    },

    NewRegistrationToken {
        team: Team,
    },
    DeleteRegistrationToken {
        team: Team,
        token: Number,
    },
    /// Once more for the first team: its former registration token of this kind is void.
    Bootstrap,

    Register {
        token: Shown,
        name: String,
        environment: String,
    },
    Poll {
        runner: Shown,
        poll: Poll,
        patience: Patience,
    },
    Call {
        runner: Shown,
        run: i64,
        lease: Shown,
        call: Call,
    },
    SignOff {
        runner: Shown,
        given_up: Option<String>,
    },

    Drain {
        by: Admin,
        name: String,
        owner: String,
    },
    Undrain {
        by: Admin,
        name: String,
        owner: String,
    },
    Ended {
        by: Admin,
        name: String,
        instance: String,
    },
    Forget {
        by: Admin,
        name: String,
    },

    ListRuns {
        team: Team,
        app: Option<String>,
        status: Option<Status>,
        environment: Option<String>,
        before: Option<i64>,
        limit: i64,
        offset: i64,
    },
    ShowRun {
        team: Team,
        run: i64,
    },
    Attempts {
        team: Team,
        run: i64,
    },
    Logs {
        team: Team,
        run: i64,
        after: i64,
    },
    ListRunners {
        by: Admin,
    },
    Summary {
        team: Team,
    },
    /// What `/metrics` says of runs and runners.
    Gauges,

    /// Time passes, in milliseconds.
    Advance(i64),
    /// The reaper looks once, and backoffs that have passed end.
    Reap,
    /// The server ends and starts again; a cut leaves of it what its files held at that moment.
    Restart {
        cut: bool,
    },
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum No {
    Unauthorized,
    NotFound,
    Conflict,
    Gone,
    SlugTaken,
    Unversioned,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Done,
    Refused(No),
    /// Something that the reference does not know.
    Unexpected(String),
    /// A poll's answer without work.
    Nothing,
    Granted {
        run: i64,
        attempt: i64,
        number: i64,
        version: i64,
        retry_count: i64,
        queued_at: i64,
        expires: i64,
        started: bool,
    },
    Run(Box<RunRow>),
    /// Where a run stands for the runner that holds it, and when its lease runs out.
    Held {
        status: Status,
        cancel_requested: bool,
        expires: i64,
    },
    Version(i64),
    Registered {
        id: i64,
        created: bool,
    },
    Drained {
        run: Option<i64>,
        draining: bool,
    },
    Runs(Vec<RunRow>),
    Attempts(Vec<AttemptRow>),
    Lines(Vec<(i64, String)>),
    /// Name, draining, and the run it holds if the asker may know.
    Runners(Vec<(String, bool, Option<i64>)>),
    /// Total, active, queued, ended.
    Summary([i64; 4]),
    /// By the gauge's name and labels; zeros are left out.
    Gauges(Vec<(String, i64)>),
}

/// A run, as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RunRow {
    pub(crate) id: i64,
    pub(crate) team: Team,
    pub(crate) app: String,
    pub(crate) number: i64,
    pub(crate) version: i64,
    pub(crate) environment: String,
    pub(crate) input: Option<String>,
    pub(crate) priority: i64,
    pub(crate) max_retries: i64,
    pub(crate) retry: Option<Retry>,
    /// When its backoff ends; none: it waits for none.
    pub(crate) not_before: Option<i64>,
    pub(crate) retry_count: i64,
    pub(crate) status: Status,
    pub(crate) cancel_requested: bool,
    pub(crate) runner: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) message: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) queued_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
}

/// An attempt, as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AttemptRow {
    pub(crate) id: i64,
    pub(crate) run: i64,
    pub(crate) number: i64,
    /// None once its runner was forgotten.
    pub(crate) runner: Option<i64>,
    pub(crate) runner_name: String,
    pub(crate) status: Status,
    pub(crate) expires: i64,
    pub(crate) instance: Option<String>,
    pub(crate) request: Option<String>,
    pub(crate) leased_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) ended_by: Option<EndedBy>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) message: Option<String>,
}

/// What ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EndedBy {
    Result,
    Expiry,
    Release,
    ProcessEnd,
}

impl EndedBy {
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "result" => Self::Result,
            "expiry" => Self::Expiry,
            "release" => Self::Release,
            "process_end" => Self::ProcessEnd,
            other => panic!("ended by {other:?}"),
        }
    }
}
