//! Which runs a notification is about.

use std::collections::BTreeSet;

use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::wire::notifications::Occasion;

/// Of what a notification tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What has to happen.
    pub on: BTreeSet<Occasion>,
    /// To runs of this app; none: of every app.
    pub app: Option<String>,
    /// In this environment; none: in every one.
    pub environment: Option<String>,
    /// With this label, a key and a value; none: with any labels.
    pub label: Option<(String, String)>,
}

/// Something that happened to a run, as far as every notification of its team asks.
#[derive(Debug, Clone, Copy)]
pub struct Happening<'a> {
    /// What happened.
    pub occasion: Occasion,
    /// The slug of the run's app.
    pub app: &'a str,
    /// Its environment.
    pub environment: &'a str,
}

/// A notification that is in use, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The notification.
    pub id: NotificationId,
    /// Its team.
    pub team: TeamId,
    /// Of what it tells.
    pub filter: Filter,
}

/// What the end of a run is to notifications; none: nobody is told of it.
pub const fn occasion_of_end(status: RunStatus) -> Option<Occasion> {
    match status {
        RunStatus::Completed => Some(Occasion::Completed),
        RunStatus::Failed => Some(Occasion::Failed),
        RunStatus::Dead => Some(Occasion::Dead),
        // Whoever cancels a run knows it.
        RunStatus::Cancelled
        | RunStatus::Queued
        | RunStatus::Leased
        | RunStatus::Running
        | RunStatus::Cancelling => None,
    }
}

impl Filter {
    /// Whether it tells of this, as far as that can be said without the run's labels.
    pub fn may_match(&self, what: Happening<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|name| name == found);
        self.on.contains(&what.occasion)
            && fits(&self.app, what.app)
            && fits(&self.environment, what.environment)
    }

    /// Whether a run's labels are what it asks for. `labels` looks one up by its key.
    pub fn matches_labels<'a>(&self, labels: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.label.as_ref().is_none_or(|(key, value)| labels(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn filter() -> Filter {
        Filter {
            on: [Occasion::Failed, Occasion::Late].into(),
            app: Some("etl".to_owned()),
            environment: Some("production".to_owned()),
            label: Some(("tier".to_owned(), "1".to_owned())),
        }
    }

    #[rstest]
    #[case(Occasion::Failed, "etl", "production", true)]
    #[case(Occasion::Late, "etl", "production", true)]
    #[case(Occasion::Dead, "etl", "production", false)]
    #[case(Occasion::Failed, "etl2", "production", false)]
    #[case(Occasion::Failed, "etl", "default", false)]
    fn everything_that_is_asked_for_has_to_fit(
        #[case] occasion: Occasion,
        #[case] app: &str,
        #[case] environment: &str,
        #[case] fits: bool,
    ) {
        assert_eq!(filter().may_match(Happening { occasion, app, environment }), fits);
    }

    #[test]
    fn what_is_not_asked_for_does_not_matter() {
        let all = Filter { app: None, environment: None, label: None, ..filter() };
        assert!(all.may_match(Happening { occasion: Occasion::Failed, app: "x", environment: "y" }));
        assert!(all.matches_labels(|_| None));
    }

    #[test]
    fn a_label_has_to_have_that_value() {
        assert!(filter().matches_labels(|key| (key == "tier").then_some("1")));
        assert!(!filter().matches_labels(|key| (key == "tier").then_some("2")));
        assert!(!filter().matches_labels(|_| None));
    }

    #[test]
    fn only_ends_that_nobody_asked_for_are_told() {
        for status in RunStatus::ALL {
            let told = matches!(status, RunStatus::Completed | RunStatus::Failed | RunStatus::Dead);
            assert_eq!(occasion_of_end(status).is_some(), told, "{status:?}");
        }
    }
}
