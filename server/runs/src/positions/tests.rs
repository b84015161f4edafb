use minitower_vocabulary::ids::{AppId, EnvironmentId, RunId};
use minitower_vocabulary::statuses::RunStatus;
use proptest::prelude::*;

use super::*;
use crate::domain::moves::run_in;
use crate::store::events::{CountKey, CountNames};

const TEAM: TeamId = TeamId(1);

fn places(runs: &[(i64, i64)]) -> Vec<Place> {
    let place = |(id, (priority, at)): (i64, &(i64, i64))| Place::new(*priority, Timestamp(*at), RunId(id));
    (0..).zip(runs).map(place).collect()
}

proptest! {
    /// Whatever of a line is counted so far, and whatever leaves and comes meanwhile, a place is that of the whole queue.
    #[test]
    fn what_is_counted_and_what_is_behind_it_make_the_whole(
        runs in proptest::collection::vec((-2..3_i64, 0..9_000_000_i64), 2..80),
        first in 0..80_usize,
        at_once in 1..40_usize,
        slices in 0..5_usize,
        asked in (-2..3_i64, 0..9_000_000_i64),
    ) {
        let positions = Positions::default();
        let all = places(&runs);
        let (there, mut moves) = all.split_at(first.min(all.len()));
        let mut table: Vec<Place> = there.to_vec();
        prop_assert!(positions.begin(TEAM, "here") && !positions.begin(TEAM, "here"));
        for _ in 0..slices {
            table.sort_unstable();
            if let Some(Counted::To(last)) = positions.counted(TEAM, "here") {
                let next: Vec<_> =
                    table.iter().copied().filter(|place| last.is_none_or(|last| *place > last)).take(at_once).collect();
                positions.count(TEAM, "here", &next, next.len() < at_once);
            }
            // One comes, and the first one leaves.
            let mut lines = positions.lock();
            let line = lines.get_mut(&TEAM).unwrap().get_mut("here").unwrap();
            let came = moves.split_first().map(|(came, rest)| { moves = rest; *came });
            let left = (!table.is_empty()).then(|| table.remove(0));
            table.extend(came);
            for (place, more) in [(left, false), (came, true)] {
                if let Some(place) = place.filter(|place| line.covers(*place)) {
                    line.add(place, more);
                }
            }
        }
        let asked = Place::new(asked.0, Timestamp(asked.1), RunId(40));
        let (counted, rest) = positions.before(TEAM, "here", asked);
        let of_table = table.iter().filter(|place| **place < asked && match rest {
            Rest::From(at) => place.priority() == asked.priority() && place.queued_at() >= at,
            Rest::Behind(last) => last.is_none_or(|last| **place > last),
        });
        prop_assert_eq!(counted + of_table.count() as u64, table.iter().filter(|place| **place < asked).count() as u64);
        prop_assert_eq!(positions.before(TEAM, "there", asked), (0, Rest::Behind(None)));
    }
}

#[test]
fn what_could_not_be_counted_is_counted_anew() {
    let positions = Positions::default();
    assert!(positions.begin(TEAM, "here"));
    positions.count(TEAM, "here", &places(&[(0, 1)]), false);
    positions.forget(TEAM, "here");
    assert_eq!(positions.counted(TEAM, "here"), None);
    positions.count(TEAM, "here", &places(&[(0, 1)]), true);
    assert!(positions.begin(TEAM, "here"), "what came too late is not kept");
}

fn leased(run: i64) -> RunMoved {
    let progress = |status| RunProgress::queued(0, Timestamp(5)).into_state(run_in(status));
    RunMoved {
        id: RunId(run),
        key: CountKey { team_id: TEAM, app_id: AppId(1), environment_id: EnvironmentId(1) },
        names: CountNames { app: "a".to_owned(), environment: "here".to_owned() },
        number: 1,
        version: 1,
        runner: None,
        attempts: 0,
        labels: None,
        priority: 0,
        stored: 0,
        created_at: Timestamp(0),
        concurrency: None,
        awaited: false,
        attempt_started_at: None,
        before: Some(progress(RunStatus::Queued)),
        after: progress(RunStatus::Leased),
    }
}

#[test]
fn what_a_batch_took_back_counts_as_before_also_if_it_was_counted_in_between() {
    let positions = Positions::default();
    let [first, second] = [1, 2].map(|run| Place::new(0, Timestamp(5), RunId(run)));
    let last = Place::new(0, Timestamp(5000), RunId(3));
    positions.begin(TEAM, "here");
    // It leaves before the line is counted up to it, so it is not counted, and comes back afterwards.
    positions.moved(&leased(1), Turn::Done);
    positions.count(TEAM, "here", &[second], true);
    assert_eq!(positions.before(TEAM, "here", last).0, 1);
    positions.moved(&leased(1), Turn::Undone);
    assert_eq!(positions.before(TEAM, "here", last).0, 2, "{first:?} is there again");
    positions.moved(&leased(2), Turn::Done);
    assert_eq!(positions.before(TEAM, "here", last).0, 1);
}
