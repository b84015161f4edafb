//! Runs that come after others.

use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use crate::domain::run::{RunEnd, RunProgress, RunState};

/// Most runs that one may come after.
pub const MOST: usize = 32;

/// What the other run has to have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Until {
    /// It has completed.
    Completed,
    /// It has ended, however.
    Ended,
}

impl Until {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Ended => "ended",
        }
    }

    /// What the word means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Completed, Self::Ended].into_iter().find(|until| until.as_str() == word)
    }
}

/// A run that another one comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct After {
    /// The run.
    pub run: RunId,
    /// What it has to have come to.
    pub until: Until,
}

/// Whether it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It has.
    Met,
    /// It may still.
    Open,
    /// It never will.
    Never,
}

impl After {
    /// Judges by the status of the run that is waited for; none: it was deleted, and so it had ended.
    pub const fn judge(self, status: Option<RunStatus>) -> Verdict {
        use RunStatus::{Cancelled, Cancelling, Completed, Dead, Failed, Leased, Queued, Running};
        match (status, self.until) {
            (Some(Queued | Leased | Running | Cancelling), _) => Verdict::Open,
            (Some(Completed), _) | (Some(Failed | Cancelled | Dead) | None, Until::Ended) => Verdict::Met,
            (Some(Failed | Cancelled | Dead) | None, Until::Completed) => Verdict::Never,
        }
    }

    /// Why whoever waits for it never starts.
    pub fn never(self, status: Option<RunStatus>) -> String {
        let run = self.run;
        let came_to = match status {
            Some(status) => format!("it is {}", status.as_str()),
            None => "it was deleted".to_owned(),
        };
        format!(
            "run {run} had to complete first, and {came_to}: retry run {run}, and then this run `after` the new one"
        )
    }
}

/// A queued run that never starts, because a run that it comes after never comes to what it waits for. Any other run stays as it is.
#[must_use]
pub fn give_up(run: RunProgress, why: String, now: Timestamp) -> RunProgress {
    match run.state {
        RunState::Queued { first_started_at, .. } => {
            let end =
                RunEnd { first_started_at, finished_at: now, exit_code: None, error_message: Some(why) };
            run.into_state(RunState::Cancelled { requested: false, end })
        }
        RunState::Leased { .. }
        | RunState::Running { .. }
        | RunState::Cancelling { .. }
        | RunState::Completed(_)
        | RunState::Failed(_)
        | RunState::Cancelled { .. }
        | RunState::Dead(_) => run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::moves::run_in;

    #[test]
    fn what_has_ended_is_met_or_never_will_be_and_nothing_else_is_judged() {
        for status in RunStatus::ALL.into_iter().map(Some).chain([None]) {
            let judge = |until| After { run: RunId(7), until }.judge(status);
            let ended = status.is_none_or(RunStatus::is_terminal);
            assert_eq!(judge(Until::Ended), if ended { Verdict::Met } else { Verdict::Open }, "{status:?}");
            let expected = match status {
                Some(RunStatus::Completed) => Verdict::Met,
                _ if ended => Verdict::Never,
                _ => Verdict::Open,
            };
            assert_eq!(judge(Until::Completed), expected, "{status:?}");
        }
    }

    #[test]
    fn only_a_queued_run_is_given_up_and_it_says_for_whom_it_waited() {
        let after = After { run: RunId(7), until: Until::Completed };
        for status in RunStatus::ALL {
            let run = RunProgress::queued(0, Timestamp(1)).into_state(run_in(status));
            let given_up = give_up(run.clone(), after.never(Some(RunStatus::Failed)), Timestamp(9));
            if status == RunStatus::Queued {
                assert_eq!(given_up.status(), RunStatus::Cancelled);
                let end = given_up.state.end().unwrap();
                assert!(
                    end.error_message
                        .as_ref()
                        .unwrap()
                        .starts_with("run 7 had to complete first, and it is failed")
                );
                assert_eq!((end.finished_at, given_up.state.is_cancel_requested()), (Timestamp(9), false));
            } else {
                assert_eq!(given_up, run);
            }
        }
        assert!(after.never(None).contains("it was deleted"));
        assert_eq!(
            [Until::Completed, Until::Ended].map(|until| Until::parse(until.as_str())),
            [Some(Until::Completed), Some(Until::Ended)]
        );
        assert_eq!(Until::parse("failed"), None);
    }
}
