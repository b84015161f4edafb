//! How many runs of a team may be active at the same time, over all environments.

use std::collections::HashMap;

use minitower_vocabulary::ids::TeamId;

/// The active runs of all teams, and how many they may have.
#[derive(Debug, Clone)]
pub struct ActiveRuns {
    most: i64,
    teams: HashMap<TeamId, Team>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Team {
    active: i64,
    /// None: as many as any other team.
    most: Option<i64>,
}

impl Default for ActiveRuns {
    fn default() -> Self {
        Self::new(i64::MAX)
    }
}

impl ActiveRuns {
    /// No active runs; a team may have so many.
    pub fn new(most: i64) -> Self {
        Self { most, teams: HashMap::new() }
    }

    /// So many that a team may have. Says whether it may have more, if that has changed.
    pub fn limit(&mut self, team: TeamId, most: i64) -> Option<bool> {
        self.change(team, |entry| entry.most = Some(most))
    }

    /// A team has so many more active runs. Says whether it may have more, if that has changed.
    pub fn add(&mut self, team: TeamId, runs: i64) -> Option<bool> {
        self.change(team, |entry| entry.active += runs)
    }

    /// How many more active runs a team may have.
    pub fn room(&self, team: TeamId) -> i64 {
        let Team { active, most } = self.teams.get(&team).copied().unwrap_or_default();
        most.unwrap_or(self.most).saturating_sub(active).max(0)
    }

    fn change(&mut self, team: TeamId, change: impl FnOnce(&mut Team)) -> Option<bool> {
        let had = self.room(team) > 0;
        let entry = self.teams.entry(team).or_default();
        change(entry);
        if entry.active == 0 && entry.most.is_none() {
            self.teams.remove(&team);
        }
        let has = self.room(team) > 0;
        (had != has).then_some(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_at_its_limit_has_no_room_until_a_run_ends_or_it_may_have_more() {
        let mut active = ActiveRuns::new(2);
        let (team, other) = (TeamId(1), TeamId(2));
        assert_eq!((active.add(team, 1), active.room(team)), (None, 1));
        assert_eq!((active.add(team, 1), active.room(team)), (Some(false), 0));
        assert_eq!(active.room(other), 2, "each team for itself");
        assert_eq!((active.add(team, -1), active.room(team)), (Some(true), 1));
        assert_eq!((active.limit(team, 1), active.room(team)), (Some(false), 0));
        assert_eq!((active.limit(team, 0), active.room(team)), (None, 0), "below what it has");
        assert_eq!((active.limit(team, 5), active.room(team)), (Some(true), 4));
    }
}
