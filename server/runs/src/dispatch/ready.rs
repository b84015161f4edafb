//! Ready runs: those that a poll may take, and those of teams that have as many active runs as they may.

use std::collections::BTreeSet;

use minitower_vocabulary::ids::TeamId;

use super::{Queue, State};

/// The ready runs of one team, over all environments.
#[derive(Debug, Default)]
pub(super) struct Ready {
    runs: i64,
    /// Where they are.
    places: BTreeSet<String>,
    /// The team was at its limit of active runs: there may be ready runs for which no poll was woken.
    tight: bool,
}

impl State {
    /// A team has so many more ready runs in an environment.
    pub(super) fn add_ready(&mut self, team: TeamId, environment: &str, runs: i64) {
        if runs == 0 {
            return;
        }
        if !self.queues.contains_key(environment) {
            self.queues.insert(environment.to_owned(), Queue::default());
        }
        let Some(queue) = self.queues.get_mut(environment) else { return };
        let has_room = self.active.room(team) > 0;
        let of_teams = if has_room { &mut queue.ready } else { &mut queue.withheld };
        let here = of_teams.entry(team).or_default();
        *here += runs;
        let left = *here;
        let ready = self.ready.entry(team).or_default();
        ready.runs += runs;
        ready.tight |= !has_room;
        // Only teams with something ready are looked at for each wake-up.
        if left == 0 {
            of_teams.remove(&team);
            ready.places.remove(environment);
        } else if left == runs {
            ready.places.insert(environment.to_owned());
        }
        if ready.runs == 0 {
            self.ready.remove(&team);
        }
    }

    /// A team has so many more active runs.
    pub(super) fn add_active(&mut self, team: TeamId, runs: i64) {
        if runs != 0
            && let Some(has_room) = self.active.add(team, runs)
        {
            self.hold(team, !has_room);
        }
    }

    /// So many active runs that a team may have.
    pub(super) fn limit(&mut self, team: TeamId, most: i64) {
        if let Some(has_room) = self.active.limit(team, most) {
            self.hold(team, !has_room);
        }
    }

    /// The team's ready runs are for no poll any more, or are again.
    fn hold(&mut self, team: TeamId, held: bool) {
        let Some(ready) = self.ready.get_mut(&team) else { return };
        ready.tight |= held;
        for place in &ready.places {
            let Some(queue) = self.queues.get_mut(place) else { continue };
            let (from, to) = if held {
                (&mut queue.ready, &mut queue.withheld)
            } else {
                (&mut queue.withheld, &mut queue.ready)
            };
            if let Some(runs) = from.remove(&team) {
                to.insert(team, runs);
            }
        }
    }

    pub(super) fn is_tight(&self, team: TeamId) -> bool {
        self.ready.get(&team).is_some_and(|ready| ready.tight)
    }

    /// A team may have so many more active runs: as many polls are woken in each environment where it has ready ones.
    pub(super) fn wake_for(&mut self, team: TeamId, more: i64) {
        let room = self.active.room(team);
        let Some(ready) = self.ready.get_mut(&team) else { return };
        if room == 0 {
            return;
        }
        for place in &ready.places {
            let Some(queue) = self.queues.get_mut(place) else { continue };
            let here = queue.ready.get(&team).copied().unwrap_or(0);
            for _ in 0..more.min(here) {
                if !queue.deliver(|scope| scope.serves(team)) {
                    break;
                }
            }
        }
        // From here on a ready run finds room, and wakes its poll by itself.
        ready.tight = room < ready.runs;
    }
}
