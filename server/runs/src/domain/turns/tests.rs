//! Whatever moves, is taken back and is learnt: the next run is the one that a look at all runs would find.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const AT: Timestamp = Timestamp(1_000);

fn ready(priority: i64, queued_at: i64, run: i64) -> Standing {
    Standing::Ready(Place::new(priority, Timestamp(queued_at), RunId(run)))
}

/// All runs, by team and id.
type Runs = BTreeMap<(TeamId, RunId), Standing>;

fn places(runs: &Runs, of: TeamId) -> impl Iterator<Item = Place> + '_ {
    runs.iter().filter(move |((team, _), _)| *team == of).filter_map(|(_, standing)| match standing {
        Standing::Ready(place) => Some(*place),
        Standing::Active | Standing::Aside => None,
    })
}

/// Who comes next, found by looking at everything; with the teams of all leases, the last one last.
fn expected(runs: &Runs, leases: &[TeamId]) -> Option<RunId> {
    let last = |of: TeamId| leases.iter().rposition(|team| *team == of);
    let active = |of: TeamId| {
        runs.iter().filter(|((team, _), standing)| *team == of && **standing == Standing::Active).count()
    };
    let teams = runs.keys().map(|(team, _)| *team);
    teams
        .filter_map(|team| Some((active(team), last(team), places(runs, team).min()?)))
        .min()
        .map(|(.., place)| place.run())
}

/// Who comes next, with the answers that are asked for.
fn next(turns: &mut Turns, runs: &Runs) -> Option<RunId> {
    loop {
        match turns.next() {
            Next::Nobody => return None,
            Next::Run(run) => return Some(run),
            Next::Ask(team) => turns.learn(team, places(runs, team).min().expect("it has a ready run")),
        }
    }
}

#[rstest]
#[case::priority(ready(1, 9, 9), ready(0, 1, 1))]
#[case::time(ready(0, 1, 9), ready(0, 2, 1))]
#[case::id(ready(0, 1, 1), ready(0, 1, 2))]
fn teams_that_had_no_lease_and_have_as_many_active_runs_take_turns_in_the_order_of_their_runs(
    #[case] first: Standing,
    #[case] second: Standing,
) {
    let Standing::Ready(place) = first else { unreachable!("it is ready") };
    for (ahead, behind) in [(TeamId(1), TeamId(2)), (TeamId(2), TeamId(1))] {
        let mut turns = Turns::default();
        turns.moved(behind, Standing::Aside, second);
        turns.moved(ahead, Standing::Aside, first);
        assert_eq!(turns.next(), Next::Run(place.run()));
    }
}

#[test]
fn neither_many_runs_nor_a_high_priority_put_a_team_before_one_with_fewer_active_runs() {
    let (loud, quiet) = (TeamId(1), TeamId(2));
    let mut turns = Turns::default();
    for run in 0..1000 {
        turns.moved(loud, Standing::Aside, ready(100, 0, run));
    }
    turns.moved(loud, ready(100, 0, 0), Standing::Active);
    turns.moved(quiet, Standing::Aside, ready(-100, 999, 1000));
    assert_eq!(turns.next(), Next::Run(RunId(1000)));
}

/// One run, from the queue to its end.
fn serve(turns: &mut Turns, team: TeamId, run: i64) {
    turns.moved(team, Standing::Aside, ready(0, 0, run));
    turns.moved(team, ready(0, 0, run), Standing::Active);
    turns.moved(team, Standing::Active, Standing::Aside);
}

#[test]
fn of_teams_with_as_many_active_runs_the_one_whose_last_lease_is_longest_ago_comes_first() {
    let [never, early, late] = [1, 2, 3].map(TeamId);
    let mut turns = Turns::default();
    serve(&mut turns, early, 1);
    serve(&mut turns, late, 2);
    turns.moved(late, Standing::Aside, ready(1_000_000, 0, 3));
    turns.moved(early, Standing::Aside, ready(0, 9, 4));
    assert_eq!(turns.next(), Next::Run(RunId(4)));
    turns.moved(never, Standing::Aside, ready(-1, 99, 5));
    assert_eq!(turns.next(), Next::Run(RunId(5)));
    turns.moved(never, ready(-1, 99, 5), Standing::Active);
    turns.moved(never, Standing::Active, ready(-1, 99, 5));
    assert_eq!(turns.next(), Next::Run(RunId(4)), "it had its turn, although it gave the run back");
}

#[test]
fn a_lease_that_is_taken_back_was_no_turn() {
    let (first, second) = (TeamId(1), TeamId(2));
    let mut turns = Turns::default();
    serve(&mut turns, first, 1);
    serve(&mut turns, second, 2);
    turns.moved(first, Standing::Aside, ready(0, 0, 3));
    turns.moved(second, Standing::Aside, ready(9, 0, 4));
    for _ in 0..3 {
        turns.moved(first, ready(0, 0, 3), Standing::Active);
        turns.taken_back(first, ready(0, 0, 3), Standing::Active);
        assert_eq!(turns.next(), Next::Ask(first));
    }
}

#[test]
fn the_last_leases_of_so_many_teams_are_remembered_and_no_more() {
    let team = |n: usize| TeamId(i64::try_from(n).unwrap());
    let mut turns = Turns::default();
    for n in 0..=IDLE_KEPT {
        serve(&mut turns, team(n), 1);
    }
    assert_eq!((turns.teams.len(), turns.idle.len()), (IDLE_KEPT, IDLE_KEPT));
    assert_eq!([0, 1, IDLE_KEPT].map(|n| turns.last(team(n)) > 0), [false, true, true]);
    assert_eq!(turns.before.len(), LEASES_KEPT);
}

#[test]
fn a_team_that_has_nothing_left_and_had_no_lease_is_forgotten() {
    let mut turns = Turns::default();
    turns.moved(TeamId(1), Standing::Aside, ready(0, 1, 1));
    turns.moved(TeamId(1), ready(0, 1, 1), Standing::Aside);
    assert!(turns.is_quiet() && turns.is_empty());
    turns.moved(TeamId(1), Standing::Aside, ready(0, 1, 1));
    turns.moved(TeamId(1), ready(0, 1, 1), Standing::Active);
    assert_eq!((turns.next(), turns.is_quiet(), turns.knows(TeamId(1))), (Next::Nobody, false, true));
    turns.moved(TeamId(1), Standing::Active, Standing::Aside);
    assert_eq!((turns.is_quiet(), turns.is_empty(), turns.knows(TeamId(1))), (true, false, false));
}

#[test]
fn what_a_run_counts_as_follows_from_its_state() {
    use crate::domain::moves::run_in;
    use crate::domain::run::{RunState, Wait};
    use minitower_vocabulary::statuses::RunStatus;

    for status in RunStatus::ALL {
        let run = RunProgress::queued(0, AT).into_state(run_in(status));
        let expected = match status {
            RunStatus::Queued => ready(3, AT.0, 7),
            RunStatus::Leased | RunStatus::Running | RunStatus::Cancelling => Standing::Active,
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled | RunStatus::Dead => {
                Standing::Aside
            }
        };
        assert_eq!(Standing::of(3, RunId(7), &run), expected, "{status:?}");
    }
    let waits = RunState::Queued { wait: Wait::Until(AT), first_started_at: None };
    let waits = RunProgress::queued(0, AT).into_state(waits);
    assert_eq!(Standing::of(3, RunId(7), &waits), Standing::Aside, "not before it was woken");
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        3 => (-1_i64..2, 0_i64..3).prop_map(|(priority, at)| ready(priority, at, 0)),
        2 => Just(Standing::Active),
        1 => Just(Standing::Aside),
    ]
}

/// The same for a run.
fn of_run(standing: Standing, run: RunId) -> Standing {
    match standing {
        Standing::Ready(place) => Standing::Ready(Place { run, ..place }),
        Standing::Active | Standing::Aside => standing,
    }
}

proptest! {
    #[test]
    fn the_next_run_is_the_one_that_a_look_at_all_runs_finds(
        loaded in proptest::collection::vec((0_i64..4, standing()), 0..12),
        moves in proptest::collection::vec((0_i64..4, 0_i64..4, standing(), 0_u8..4), 1..60),
    ) {
        let (mut runs, mut turns) = (Runs::new(), Turns::default());
        for (id, (team, standing)) in (100..).zip(loaded) {
            let (team, run) = (TeamId(team), RunId(id));
            let standing = of_run(standing, run);
            let counted = |counts: bool| i64::from(counts);
            turns.load(
                team,
                counted(matches!(standing, Standing::Ready(_))),
                counted(standing == Standing::Active),
            );
            runs.insert((team, run), standing);
        }
        let mut leases = Vec::new();
        // Those that may yet be taken back.
        let mut done: Vec<((TeamId, RunId), Standing, Standing)> = Vec::new();
        for (team, run, after, step) in moves {
            // A quarter of the steps takes everything back that was done since the last commit, an eighth or so commits.
            if step == 0 {
                for (key, before, after) in done.drain(..).rev() {
                    turns.taken_back(key.0, before, after);
                    runs.insert(key, before);
                    if is_lease(before, after) {
                        leases.pop();
                    }
                }
            } else {
                if step == 1 {
                    done.clear();
                }
                let key = (TeamId(team), RunId(team * 10 + run));
                let after = of_run(after, key.1);
                let before = runs.insert(key, after).unwrap_or(Standing::Aside);
                turns.moved(key.0, before, after);
                done.push((key, before, after));
                if is_lease(before, after) {
                    leases.push(key.0);
                }
                prop_assert_eq!(next(&mut turns, &runs), expected(&runs, &leases));
            }
            prop_assert_eq!(next(&mut turns, &runs), expected(&runs, &leases));
        }
    }
}
