//! The words for where a run, an attempt and a result stand, for what is retried, and for what a token may do.
//!
//! Each word is written once, here. It is the same in the database, in metric labels and on the wire.

use serde::{Deserialize, Serialize};

/// Declares an enum whose variants are words. The words are matched as `tt`: the description's derive does not see through a `literal`.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $Name:ident {
            $($(#[$doc:meta])* $Variant:ident = $word:tt,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        pub enum $Name {
            $($(#[$doc])* #[serde(rename = $word)] $Variant,)+
        }

        impl $Name {
            /// All of them, in the order of their declaration.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$Variant),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $word,)+
                }
            }

            /// The variant of that word, if there is one.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$Variant),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// How a pool of runners stands, for whoever waits for one of them.
    pub enum PoolState {
        /// It is starting runners.
        Growing = "growing",
        /// More are wanted than it may have.
        AtMaximum = "at_maximum",
        /// It cannot have the runners that it should.
        Broken = "broken",
        /// Somebody holds its size.
        Paused = "paused",
        /// It has the runners that it should.
        Ready = "ready",
    }
}

words! {
    /// The state of a run.
    pub enum RunStatus {
        /// It waits for a runner.
        Queued = "queued",
        /// A runner holds it and has not started it yet.
        Leased = "leased",
        /// A runner has started it.
        Running = "running",
        /// A cancel was requested, and the runner has not confirmed it yet.
        Cancelling = "cancelling",
        /// It ended well.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its runners were lost more often than its retries allow.
        Dead = "dead",
    }
}

impl RunStatus {
    /// Whether a runner holds the run.
    pub const fn is_active(self) -> bool {
        match self {
            Self::Leased | Self::Running | Self::Cancelling => true,
            Self::Queued | Self::Completed | Self::Failed | Self::Cancelled | Self::Dead => false,
        }
    }

    /// Whether the run has ended for good.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled | Self::Dead => true,
            Self::Queued | Self::Leased | Self::Running | Self::Cancelling => false,
        }
    }
}

words! {
    /// The state of an attempt.
    pub enum AttemptStatus {
        /// A runner holds it and has not started it yet.
        Leased = "leased",
        /// The runner has started it.
        Running = "running",
        /// A cancel was requested.
        Cancelling = "cancelling",
        /// It ended well.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its lease expired, or its process is known to have ended.
        Expired = "expired",
        /// The runner gave the run back.
        Released = "released",
    }
}

impl AttemptStatus {
    /// Whether the runner still holds the run.
    pub const fn is_active(self) -> bool {
        match self {
            Self::Leased | Self::Running | Self::Cancelling => true,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired | Self::Released => false,
        }
    }
}

words! {
    /// How a job ended.
    pub enum ResultStatus {
        /// It ended well.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

impl ResultStatus {
    /// The status of an attempt that ended with this result.
    pub const fn attempt(self) -> AttemptStatus {
        match self {
            Self::Completed => AttemptStatus::Completed,
            Self::Failed => AttemptStatus::Failed,
            Self::Cancelled => AttemptStatus::Cancelled,
        }
    }
}

words! {
    /// What ended a job.
    pub enum ResultReason {
        /// The job exited.
        Exit = "exit",
        /// A signal ended it.
        Signal = "signal",
        /// It reached its timeout.
        Timeout = "timeout",
        /// It could not be set up.
        Setup = "setup",
    }
}

words! {
    /// What a run may be retried after.
    pub enum Failure {
        /// A failed result: the job failed, a signal ended it, or it could not be set up.
        Failed = "failed",
        /// The job was stopped at its timeout.
        Timeout = "timeout",
        /// The runner was lost: its lease ran out, or its process is known to have ended.
        Lost = "lost",
    }
}

words! {
    /// What a team token may do.
    pub enum Role {
        /// Everything of the team, including its tokens and runners.
        Admin = "admin",
        /// Apps, versions and runs.
        Member = "member",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every word is read back as what it stands for, from text as from JSON, and no other word is.
    macro_rules! round_trips {
        ($($Name:ident),+) => {
            $(for value in $Name::ALL {
                assert_eq!($Name::parse(value.as_str()), Some(value));
                let json = serde_json::to_string(&value).unwrap();
                assert_eq!(json, format!("{:?}", value.as_str()));
                assert_eq!(serde_json::from_str::<$Name>(&json).unwrap(), value);
                assert_eq!($Name::parse(&value.as_str().to_uppercase()), None);
            }
            assert_eq!($Name::parse(""), None);)+
        };
    }

    #[test]
    fn every_word_is_read_back_as_what_it_stands_for() {
        round_trips!(RunStatus, AttemptStatus, ResultStatus, ResultReason, Failure, Role);
    }

    #[test]
    fn a_run_waits_is_held_or_has_ended() {
        for status in RunStatus::ALL {
            let queued = status == RunStatus::Queued;
            assert_eq!(
                [queued, status.is_active(), status.is_terminal()].iter().filter(|is| **is).count(),
                1
            );
        }
        assert_eq!(RunStatus::ALL.into_iter().filter(|status| status.is_terminal()).count(), 4);
        assert_eq!(AttemptStatus::ALL.into_iter().filter(|status| status.is_active()).count(), 3);
    }
}
