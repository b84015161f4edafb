//! Whatever moves, is taken back and is allowed: no team has more active runs than it may, and nobody else waits for it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::time::Timestamp;

fn ready(priority: i64, run: i64) -> Standing {
    Standing::Ready(Place::new(priority, Timestamp(0), RunId(run)))
}

const HERE: &str = "here";
const THERE: &str = "there";

#[test]
fn a_team_at_its_limit_is_passed_over_in_every_environment_until_one_of_its_runs_ends() {
    let (limited, other) = (TeamId(1), TeamId(2));
    let mut queues = Queues::new(1);
    queues.limit(other, 10);
    queues.moved(HERE, limited, Standing::Aside, ready(9, 1));
    queues.moved(THERE, limited, Standing::Aside, ready(9, 2));
    queues.moved(THERE, other, Standing::Aside, ready(0, 3));
    assert_eq!((queues.next(HERE), queues.next(THERE)), (Next::Run(RunId(1)), Next::Run(RunId(2))));

    queues.moved(HERE, limited, ready(9, 1), Standing::Active);
    assert!(!queues.has_room(limited));
    queues.moved(HERE, limited, Standing::Aside, ready(9, 4));
    assert_eq!((queues.next(HERE), queues.next(THERE)), (Next::Nobody, Next::Run(RunId(3))));

    queues.moved(HERE, limited, Standing::Active, Standing::Aside);
    assert_eq!((queues.next(HERE), queues.next(THERE)), (Next::Run(RunId(4)), Next::Run(RunId(2))));
    queues.limit(limited, 0);
    assert_eq!((queues.next(HERE), queues.next(THERE)), (Next::Nobody, Next::Run(RunId(3))));
}

#[test]
fn the_turns_of_so_many_environments_that_are_quiet_are_remembered_and_no_more() {
    let (first, second) = (TeamId(1), TeamId(2));
    let mut queues = Queues::new(9);
    let serve = |queues: &mut Queues, environment: &str, team| {
        queues.moved(environment, team, Standing::Aside, ready(0, 1));
        queues.moved(environment, team, ready(0, 1), Standing::Active);
        queues.moved(environment, team, Standing::Active, Standing::Aside);
    };
    for environment in [HERE, THERE] {
        serve(&mut queues, environment, first);
    }
    let ask = |queues: &mut Queues, environment: &str| {
        queues.moved(environment, first, Standing::Aside, ready(9, 2));
        queues.moved(environment, second, Standing::Aside, ready(0, 3));
        queues.next(environment)
    };
    assert_eq!(ask(&mut queues, HERE), Next::Run(RunId(3)), "the first team had its turn");
    for n in 0..=QUIET_KEPT {
        serve(&mut queues, &n.to_string(), second);
    }
    assert_eq!((queues.quiet.len(), queues.numbers.len()), (QUIET_KEPT, QUIET_KEPT));
    assert_eq!(queues.environments.len(), QUIET_KEPT + 1, "and the one where somebody waits");
    assert_eq!(ask(&mut queues, THERE), Next::Run(RunId(2)), "forgotten, so priority decides");
}

/// All runs, by team and id, with the environment and the standing.
type Runs = BTreeMap<(TeamId, RunId), (&'static str, Standing)>;

/// Who comes next in an environment, found by looking at everything; with the teams of all leases there, the last one last.
fn expected(
    runs: &Runs,
    most: &BTreeMap<TeamId, i64>,
    (environment, leases): (&str, &[TeamId]),
) -> Option<RunId> {
    let last = |of: TeamId| leases.iter().rposition(|team| *team == of);
    let active = |of: TeamId, place: Option<&str>| {
        let counts = |((team, _), (at, standing)): &(&(TeamId, RunId), &(&str, Standing))| {
            *team == of && place.is_none_or(|place| place == *at) && *standing == Standing::Active
        };
        runs.iter().filter(counts).count()
    };
    let ready = runs.iter().filter_map(|((team, _), (at, standing))| match standing {
        Standing::Ready(place) if *at == environment => Some((*team, *place)),
        _ => None,
    });
    ready
        .filter(|(team, _)| i64::try_from(active(*team, None)).unwrap() < most[team])
        .map(|(team, place)| (active(team, Some(environment)), last(team), place))
        .min()
        .map(|(.., place)| place.run())
}

/// Who comes next, with the answers that are asked for.
fn next(queues: &mut Queues, runs: &Runs, environment: &str) -> Option<RunId> {
    loop {
        match queues.next(environment) {
            Next::Nobody => return None,
            Next::Run(run) => return Some(run),
            Next::Ask(team) => {
                let places = runs.iter().filter_map(|((of, _), (at, standing))| match standing {
                    Standing::Ready(place) if *of == team && *at == environment => Some(*place),
                    _ => None,
                });
                queues.learn(environment, team, places.min().expect("it has a ready run"));
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Move { team: i64, run: i64, priority: i64, after: Standing, commits: bool },
    Limit { team: i64, most: i64 },
    TakeBack,
}

fn step() -> impl Strategy<Value = Step> {
    let standing = prop_oneof![
        3 => Just(ready(0, 0)),
        3 => Just(Standing::Active),
        1 => Just(Standing::Aside),
    ];
    prop_oneof![
        8 => (0_i64..3, 0_i64..6, -1_i64..2, standing, any::<bool>()).prop_map(
            |(team, run, priority, after, commits)| Step::Move { team, run, priority, after, commits },
        ),
        1 => (0_i64..3, 0_i64..4).prop_map(|(team, most)| Step::Limit { team, most }),
        1 => Just(Step::TakeBack),
    ]
}

proptest! {
    #[test]
    fn the_next_run_is_the_one_that_a_look_at_all_runs_and_limits_finds(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut most: BTreeMap<TeamId, i64> = (0..3).map(|team| (TeamId(team), 2)).collect();
        let (mut runs, mut queues) = (Runs::new(), Queues::new(2));
        let mut leases = BTreeMap::from([(HERE, Vec::new()), (THERE, Vec::new())]);
        let mut done: Vec<((TeamId, RunId), Standing, Standing)> = Vec::new();
        let is_lease = |before, after| matches!((before, after), (Standing::Ready(_), Standing::Active));
        for step in steps {
            match step {
                Step::Move { team, run, priority, after, commits } => {
                    if commits {
                        done.clear();
                    }
                    let key = (TeamId(team), RunId(team * 10 + run));
                    let after = match after {
                        Standing::Ready(_) => ready(priority, key.1.0),
                        Standing::Active | Standing::Aside => after,
                    };
                    let environment = if run % 2 == 0 { HERE } else { THERE };
                    let before = runs.insert(key, (environment, after)).map_or(Standing::Aside, |run| run.1);
                    queues.moved(environment, key.0, before, after);
                    done.push((key, before, after));
                    if is_lease(before, after) {
                        leases.entry(environment).or_default().push(key.0);
                    }
                }
                Step::Limit { team, most: limit } => {
                    most.insert(TeamId(team), limit);
                    queues.limit(TeamId(team), limit);
                }
                Step::TakeBack => {
                    for (key, before, after) in done.drain(..).rev() {
                        let environment = runs[&key].0;
                        queues.taken_back(environment, key.0, before, after);
                        runs.insert(key, (environment, before));
                        if is_lease(before, after) {
                            leases.entry(environment).or_default().pop();
                        }
                    }
                }
            }
            for environment in [HERE, THERE] {
                let expected = expected(&runs, &most, (environment, &leases[environment]));
                prop_assert_eq!(next(&mut queues, &runs, environment), expected);
            }
        }
    }
}
