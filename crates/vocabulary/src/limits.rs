//! How much a team may use, and how much one run may leave behind.

/// Calls the macro `$with` with every limit of a team: its variant, its name and what it bounds.
macro_rules! each_limit {
    ($with:ident) => {
        $with! {
            RequestsPerSecond requests_per_second "Calls per second with the team's tokens. Calls of runners do not count.";
            RunsPerDay runs_per_day "Runs created per day, counted from 0:00 UTC.";
            QueuedRuns queued_runs "Runs that wait in the queue.";
            ActiveRuns active_runs "Runs that runners hold at the same time. Others wait in the queue.";
            PriorityMax priority_max "The highest priority of a run. The lowest is its negative.";
            TimeoutSeconds timeout_seconds "The longest timeout of a run, in seconds.";
            Tokens tokens "Team tokens.";
            Environments environments "Environments.";
            Apps apps "Apps.";
            Runners runners "Runners of the team.";
            LogBytesPerRun log_bytes_per_run "Bytes of the log of one attempt at a run. A longer log keeps its beginning and its end.";
            ArtifactBytes artifact_bytes "Bytes of all artifacts of one run.";
            StorageBytes storage_bytes "Bytes that the team stores: archives, artifacts, logs, and what the database holds of its versions and runs.";
            LongPolls long_polls "Requests of the team and its own runners that wait for something.";
            Streams streams "Streams that the team follows.";
        }
    };
}
pub(crate) use each_limit;

macro_rules! names {
    ($($variant:ident $name:ident $doc:tt;)*) => {
        /// The limits of a team.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum LimitName {
            $(#[doc = $doc] $variant,)*
        }

        impl LimitName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in the API and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// The limit of that name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|name| name.as_str() == text)
            }
        }
    };
}
each_limit!(names);

impl std::fmt::Display for LimitName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Most bytes of one artifact: 100 MiB, as of an uploaded version. Checked.
pub const ARTIFACT_BYTES: u64 = 100 << 20;
/// Most artifacts of a run. Checked.
pub const ARTIFACTS: u64 = 1000;
/// Most bytes of a run's output, as JSON text: 256 KiB. It is in every answer about the run, and a page holds a hundred runs. Checked.
pub const OUTPUT_BYTES: usize = 256 << 10;
/// What a line of a log counts beside its text, in bytes: about what its row takes in the database. Without it a log of empty lines would
/// have no bound. Runner and server count alike.
pub const LOG_LINE_OVERHEAD: u64 = 32;
/// Fewest bytes of a secret: a shorter one would be hidden in every line of a log that happens to hold it. Checked.
pub const SECRET_BYTES_LEAST: usize = 4;
/// Most bytes of a secret. Checked.
pub const SECRET_BYTES: usize = 32 << 10;
/// Most bytes of all secrets of one run: whoever hides them in its log keeps many times as much in memory. Checked.
pub const RUN_SECRET_BYTES: usize = 64 << 10;
/// Most secrets of an environment, and of an app. Checked.
pub const SECRETS: usize = 100;
/// Most secrets of a team, in all its environments. Checked.
pub const TEAM_SECRETS: usize = 1000;
