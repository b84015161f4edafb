//! Which teams and apps have series of their own in the metrics: as many as a monitoring system can bear, however many there are.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use minitower_vocabulary::ids::{AppId, TeamId};

/// Most pairs of team and app with series of their own, and most teams whose other apps are told apart from those of other teams.
const MOST: usize = 2_000;

/// The label of whoever has no series of its own.
pub(crate) const OTHER: &str = "other";

/// Those that came first, by the order of their ids at start.
#[derive(Debug)]
pub(crate) struct Series {
    most: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    apps: HashSet<(TeamId, AppId)>,
    /// Teams with apps beyond those.
    teams: HashSet<TeamId>,
}

impl Default for Series {
    fn default() -> Self {
        Self { most: MOST, known: Mutex::default() }
    }
}

impl Series {
    /// The labels of a counter or a histogram: the team's and the app's, or `other` for both.
    pub(crate) fn of_count<'l>(
        &self,
        (team, app): (TeamId, AppId),
        (slug, name): (&'l str, &'l str),
    ) -> [&'l str; 2] {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.has_app(team, app, self.most) { [slug, name] } else { [OTHER, OTHER] }
    }

    /// The labels of a gauge of a place. Runners are scaled by these, and a pool for one team looks for that team: as long as there are not too
    /// many of them a team keeps its name, and only its apps become `other`.
    pub(crate) fn of_place<'l>(
        &self,
        (team, app): (TeamId, AppId),
        (slug, name): (&'l str, &'l str),
    ) -> [&'l str; 2] {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.has_app(team, app, self.most) {
            [slug, name]
        } else if known.has_team(team, self.most) {
            [slug, OTHER]
        } else {
            [OTHER, OTHER]
        }
    }

    /// The label of a team where no app is named.
    pub(crate) fn of_team<'l>(&self, team: TeamId, slug: &'l str) -> &'l str {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.has_team(team, self.most) { slug } else { OTHER }
    }
}

impl Known {
    fn has_app(&mut self, team: TeamId, app: AppId, most: usize) -> bool {
        self.apps.contains(&(team, app)) || (self.apps.len() < most && self.apps.insert((team, app)))
    }

    fn has_team(&mut self, team: TeamId, most: usize) -> bool {
        self.teams.contains(&team) || (self.teams.len() < most && self.teams.insert(team))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_come_first_keep_their_series_and_a_team_keeps_its_name_longer_than_its_apps() {
        let series = Series { most: 2, known: Mutex::default() };
        let count = |team, app| series.of_count((TeamId(team), AppId(app)), ("team", "app"));
        let place = |team, app| series.of_place((TeamId(team), AppId(app)), ("team", "app"));
        assert_eq!((count(1, 1), place(1, 2)), (["team", "app"], ["team", "app"]));
        assert_eq!((count(1, 3), place(1, 3)), (["other", "other"], ["team", "other"]));
        assert_eq!((place(2, 4), place(3, 5)), (["team", "other"], ["other", "other"]));
        assert_eq!((count(1, 1), place(1, 1)), (["team", "app"], ["team", "app"]), "as before");
    }
}
