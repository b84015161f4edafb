//! Demand: how many runs wait and how many are held, by team and environment. It is read from memory: whoever scales runners asks every
//! second.

use std::collections::BTreeMap;

use minitower_teams::AdminPrincipal;

use crate::{Error, Field, Runners};

/// The most environments in one answer: whoever scales runners asks every second, and most platforms fit into one answer.
const MAX_ENVIRONMENTS: i64 = 10_000;

/// Which page of the demand to list.
#[derive(Debug, Clone, Default)]
pub struct ListDemand {
    /// The cursor of the page before.
    pub after: Option<String>,
    /// At most so many environments.
    pub limit: Option<i64>,
}

/// A page of the demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The environments in which runs wait or are held, by team and name.
    pub environments: Vec<EnvironmentDemand>,
    /// Where the next page begins, if there is one.
    pub cursor: Option<String>,
}

/// The runs of one environment of one team, over all apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentDemand {
    /// The team's slug.
    pub team: String,
    /// The environment's name.
    pub environment: String,
    /// Runs that are queued and ready, as many as their team may have active beside those that are.
    pub pending: u64,
    /// Runs that a runner holds.
    pub active: u64,
}

/// Runs that are queued and ready, and runs that are held, by team and environment.
type Places = BTreeMap<(String, String), (u64, u64)>;

impl Runners {
    /// The demand of all teams for the operator, of the own team for a team's admin.
    pub fn demand(&self, by: &AdminPrincipal, list: &ListDemand) -> Result<Demand, Error> {
        let visible_to = match by {
            AdminPrincipal::Operator => None,
            AdminPrincipal::Team(team) => Some(team.team_id),
        };
        let mut places = Places::new();
        let most_active = |team| self.0.most_active(team);
        for ((team, environment), counts) in self.0.memory.gauges.by_environment(visible_to, most_active) {
            // A team that is gone has no runs any more.
            if let Some(slug) = self.0.teams.slug(team) {
                places.insert((slug.to_string(), environment), counts);
            }
        }
        page(places, list)
    }
}

fn page(places: Places, list: &ListDemand) -> Result<Demand, Error> {
    let limit = list.limit.unwrap_or(MAX_ENVIRONMENTS);
    if !(1..=MAX_ENVIRONMENTS).contains(&limit) {
        let problem = Field::NotBetween { least: 1, most: MAX_ENVIRONMENTS, found: Some(limit) };
        return Err(Error::field("limit", problem));
    }
    // Neither slugs nor names of environments contain a slash.
    let after = match list.after.as_deref().map(|cursor| cursor.split_once('/')) {
        None => None,
        Some(Some((team, environment))) => Some((team.to_owned(), environment.to_owned())),
        Some(None) => return Err(Error::field("after", Field::NotACursor)),
    };
    let is_behind = |place: &(String, String)| after.as_ref().is_none_or(|after| place > after);
    let mut behind = places.into_iter().filter(|(place, counts)| *counts != (0, 0) && is_behind(place));
    let environments: Vec<EnvironmentDemand> = behind
        .by_ref()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|((team, environment), (pending, active))| EnvironmentDemand {
            team,
            environment,
            pending,
            active,
        })
        .collect();
    let cursor = match (behind.next(), environments.last()) {
        (Some(_), Some(last)) => Some(format!("{}/{}", last.team, last.environment)),
        _ => None,
    };
    Ok(Demand { environments, cursor })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn places() -> Places {
        let all = [
            ("acme", "default", (3, 1)),
            ("acme", "gpu", (0, 2)),
            ("acme", "unused", (0, 0)),
            ("acme-eu", "default", (1, 0)),
            ("zeta", "default", (5, 0)),
        ];
        all.map(|(team, name, counts)| ((team.to_owned(), name.to_owned()), counts)).into()
    }

    fn names(demand: &Demand) -> Vec<(&str, &str)> {
        demand.environments.iter().map(|of| (of.team.as_str(), of.environment.as_str())).collect()
    }

    #[test]
    fn environments_without_runs_are_left_out() {
        let demand = page(places(), &ListDemand::default()).unwrap();
        let expected = [("acme", "default"), ("acme", "gpu"), ("acme-eu", "default"), ("zeta", "default")];
        assert_eq!((names(&demand), &demand.cursor), (expected.to_vec(), &None));
        assert_eq!((demand.environments[0].pending, demand.environments[0].active), (3, 1));
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[case(3)]
    #[case(4)]
    fn pages_together_are_the_whole(#[case] limit: i64) {
        let whole = page(places(), &ListDemand::default()).unwrap().environments;
        let (mut after, mut read) = (None, Vec::new());
        loop {
            let demand = page(places(), &ListDemand { after, limit: Some(limit) }).unwrap();
            assert!((1..=limit).contains(&i64::try_from(demand.environments.len()).unwrap()));
            read.extend(demand.environments);
            after = demand.cursor;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(read, whole);
    }

    #[test]
    fn a_cursor_whose_environment_has_no_runs_any_more_still_leads_on() {
        let list = ListDemand { after: Some("acme/unused".to_owned()), limit: None };
        assert_eq!(names(&page(places(), &list).unwrap()), [("acme-eu", "default"), ("zeta", "default")]);
    }

    #[rstest]
    #[case(None, Some(0))]
    #[case(None, Some(-1))]
    #[case(None, Some(10_001))]
    #[case(Some("acme"), None)]
    fn a_bad_page_is_refused(#[case] after: Option<&str>, #[case] limit: Option<i64>) {
        let list = ListDemand { after: after.map(str::to_owned), limit };
        assert!(matches!(page(places(), &list), Err(Error::Field { .. })), "{list:?}");
    }
}
