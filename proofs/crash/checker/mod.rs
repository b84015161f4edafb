//! Judges a history: what was promised and did not hold. Pure; it starts nothing and reads nothing.
//!
//! `acknowledged`: what clients were told stays true. `execution`: what the jobs' own witnesses say agrees with what the
//! control plane says. `lifecycle`: each run's attempts tell one possible story.

mod acknowledged;
mod execution;
mod lifecycle;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::History;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Whoever drove the storm saw nothing that cannot be.
    Sane,
    /// An acknowledged run exists as it was asked for.
    RunKept,
    /// No run exists that nobody asked for, and none twice.
    RunAsked,
    /// An acknowledged cancel ends the run, unless it had ended before; nothing is cancelled unasked.
    CancelKept,
    /// A run that was shown as ended has ended so.
    EndKept,
    /// A log line that was shown stays.
    LinesKept,
    /// An acknowledged upload exists.
    VersionKept,
    /// No lease goes to a runner while it is fenced.
    FenceHolds,
    /// At no moment do processes of two attempts of a run live.
    OnceAtATime,
    /// No process of an attempt lives after the attempt's end.
    NoneOutlives,
    /// No job runs without an attempt of its run.
    NoneUnleased,
    /// A run ended as its job ended.
    TrueEnd,
    /// The log of a job that ended by itself is complete and in order.
    WholeLog,
    /// Every run ends.
    NoneStuck,
    /// The attempts of a run follow each other as they may, within the budget of retries.
    Attempts,
    /// A run is dead exactly when it was lost once more often than it may be retried.
    Budget,
}

/// Something that did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Breach {
    /// What should have.
    pub(crate) rule: Rule,
    /// What was seen.
    pub(crate) text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// Collects breaches.
#[derive(Debug, Default)]
struct Breaches(Vec<Breach>);

impl Breaches {
    fn add(&mut self, rule: Rule, text: impl Into<String>) {
        self.0.push(Breach { rule, text: text.into() });
    }
}

/// Everything in a history that should not be.
pub(crate) fn check(history: &History) -> Vec<Breach> {
    let mut breaches = Breaches::default();
    for complaint in &history.complaints {
        breaches.add(Rule::Sane, complaint.clone());
    }
    acknowledged::check(history, &mut breaches);
    execution::check(history, &mut breaches);
    lifecycle::check(history, &mut breaches);
    breaches.0
}

/// Whether a status is one that is never left.
fn is_terminal(status: &str) -> bool {
    minitower_tests::team::TERMINAL.contains(&status)
}
