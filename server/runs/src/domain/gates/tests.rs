//! Whatever enters, starts and ends: under a key never more runs are active than the run that starts allows, and who is first waits for
//! nobody behind it.

use proptest::prelude::*;

use super::*;

const TEAM: TeamId = TeamId(1);
const APP: AppId = AppId(1);
const HERE: &str = "here";
const THERE: &str = "there";

fn shared(max: Option<i64>) -> Concurrency {
    Concurrency { key: "db".to_owned(), max }
}

fn asking<'a>(environment: &'a str, concurrency: Option<&'a Concurrency>) -> Asking<'a> {
    Asking { team: TEAM, app: APP, environment, concurrency, leaves: false }
}

fn add(gates: &mut Gates, environment: &str, standing: Standing, runs: i64) {
    gates.add(TEAM, "db", environment, standing, runs);
}

#[test]
fn whatever_may_let_another_run_start_is_looked_at() {
    use Standing::{Active, Aside, Held, Ready};
    let all = [Ready, Active, Held, Aside];
    let looked_at = |before| all.into_iter().filter(|after| unsettles(before, *after)).collect::<Vec<_>>();
    assert_eq!(looked_at(None), [Held]);
    assert_eq!(looked_at(Some(Ready)), [Held, Aside], "one that starts had its place already");
    assert_eq!(looked_at(Some(Active)), [Ready, Held, Aside], "its place is free elsewhere too");
    assert_eq!([looked_at(Some(Held)), looked_at(Some(Aside))], [[Held], [Held]]);
}

#[test]
fn a_run_without_a_key_waits_for_nothing_but_its_app() {
    let mut gates = Gates::default();
    let free = asking(HERE, None);
    assert_eq!((gates.enter(free), gates.start(free), gates.limit(free)), (Wait::Nothing, None, None));
    gates.rule(APP, AppRules { disabled: true, ..AppRules::default() });
    assert_eq!((gates.enter(free), gates.start(free)), (Wait::Disabled, Some(Wait::Disabled)));
    assert_eq!(gates.next(free), Wait::Disabled);
    let other = Asking { app: AppId(2), ..free };
    assert_eq!(gates.enter(other), Wait::Nothing, "each app for itself");
    gates.rule(APP, AppRules::default());
    assert_eq!(gates, Gates::default(), "nothing is left of it");
}

#[test]
fn in_each_environment_as_many_are_ready_as_places_are_free() {
    let mut gates = Gates::default();
    let two = shared(Some(2));
    for _ in 0..2 {
        assert_eq!(gates.enter(asking(HERE, Some(&two))), Wait::Nothing);
        add(&mut gates, HERE, Standing::Ready, 1);
    }
    assert_eq!(gates.enter(asking(HERE, Some(&two))), Wait::Limit);
    assert_eq!(gates.enter(asking(THERE, Some(&two))), Wait::Nothing, "nobody may be here to take them");
    let other = Asking { team: TeamId(2), ..asking(HERE, Some(&two)) };
    assert_eq!(gates.enter(other), Wait::Nothing, "each team for itself");
    add(&mut gates, HERE, Standing::Ready, -2);
    add(&mut gates, HERE, Standing::Active, 2);
    assert_eq!(gates.start(asking(THERE, Some(&two))), Some(Wait::Limit), "the places are gone");
    assert_eq!(gates.start(asking(THERE, Some(&shared(Some(3))))), None, "each run's own limit");
}

#[test]
fn a_run_that_is_given_back_takes_its_own_place_again_unless_others_wait_for_it() {
    let mut gates = Gates::default();
    let one = shared(Some(1));
    add(&mut gates, HERE, Standing::Active, 1);
    let back = Asking { leaves: true, ..asking(HERE, Some(&one)) };
    assert_eq!(gates.enter(back), Wait::Nothing);
    add(&mut gates, HERE, Standing::Held, 1);
    assert_eq!(gates.enter(back), Wait::Limit, "the order of the queue decides");
}

#[test]
fn whoever_comes_new_comes_behind_those_that_wait() {
    let mut gates = Gates::default();
    let one = shared(Some(1));
    add(&mut gates, HERE, Standing::Held, 1);
    assert_eq!(gates.enter(asking(HERE, Some(&one))), Wait::Limit);
    assert_eq!(gates.next(asking(HERE, Some(&one))), Wait::Nothing, "the first of them may");
    assert_eq!(gates.waiting(TEAM, "db"), [HERE]);
    assert_eq!(gates.waiting_keys(TEAM), ["db"]);
    add(&mut gates, HERE, Standing::Held, -1);
    assert_eq!(gates, Gates::default());
}

#[test]
fn a_run_without_a_number_of_its_own_follows_its_app() {
    let mut gates = Gates::default();
    let of_app = shared(None);
    add(&mut gates, HERE, Standing::Active, 5);
    let run = asking(HERE, Some(&of_app));
    assert_eq!(
        (gates.start(run), gates.limit(run)),
        (None, Some((i64::MAX, 5))),
        "its app has no limit any more"
    );
    gates.rule(APP, AppRules { concurrency: Some(shared(Some(5))), ..AppRules::default() });
    assert_eq!((gates.start(run), gates.limit(run)), (Some(Wait::Limit), Some((5, 5))));
    gates.rule(APP, AppRules { concurrency: Some(shared(Some(6))), ..AppRules::default() });
    assert_eq!(gates.start(run), None);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter { there: bool, max: i64 },
    Claim { there: bool },
    End { n: usize },
    Disable(bool),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<bool>(), 1..4_i64).prop_map(|(there, max)| Step::Enter { there, max }),
        3 => any::<bool>().prop_map(|there| Step::Claim { there }),
        3 => (0..8_usize).prop_map(|n| Step::End { n }),
        1 => any::<bool>().prop_map(Step::Disable),
    ]
}

/// Runs of one key: where, how many may be active, what it counts as.
type Row = (&'static str, i64, Standing);

/// What whoever settles a key does.
fn settle(gates: &mut Gates, rows: &mut [Row]) {
    for place in gates.waiting(TEAM, "db") {
        while let Some(row) = rows.iter_mut().find(|row| row.0 == place && row.2 == Standing::Held) {
            let own = shared(Some(row.1));
            let after = match gates.next(asking(row.0, Some(&own))) {
                Wait::Nothing => Standing::Ready,
                Wait::Disabled => Standing::Aside,
                _ => break,
            };
            move_to(gates, row, after);
        }
    }
}

fn move_to(gates: &mut Gates, row: &mut Row, after: Standing) {
    add(gates, row.0, row.2, -1);
    add(gates, row.0, after, 1);
    row.2 = after;
}

proptest! {
    #[test]
    fn no_key_is_ever_over_its_limit_and_no_first_one_waits_for_a_place_that_is_free(
        steps in proptest::collection::vec(steps(), 1..60)
    ) {
        let (mut gates, mut rows) = (Gates::default(), Vec::<Row>::new());
        let mut ended = 0;
        for step in steps {
            let active = rows.iter().filter(|row| row.2 == Standing::Active).count();
            let active = i64::try_from(active).unwrap();
            match step {
                Step::Enter { there, max } => {
                    let (place, own) = (if there { THERE } else { HERE }, shared(Some(max)));
                    let standing = match gates.enter(asking(place, Some(&own))) {
                        Wait::Nothing => Standing::Ready,
                        Wait::Limit => Standing::Held,
                        _ => Standing::Aside,
                    };
                    add(&mut gates, place, standing, 1);
                    rows.push((place, max, standing));
                }
                Step::Claim { there } => {
                    let place = if there { THERE } else { HERE };
                    // As a poll does: what may not start goes aside, and the next one is looked at.
                    while let Some(row) = rows.iter_mut().find(|row| row.0 == place && row.2 == Standing::Ready) {
                        let own = shared(Some(row.1));
                        let after = match gates.start(asking(place, Some(&own))) {
                            None => Standing::Active,
                            Some(Wait::Limit) => Standing::Held,
                            Some(_) => Standing::Aside,
                        };
                        prop_assert!(after != Standing::Active || active < row.1, "{active} of {}", row.1);
                        move_to(&mut gates, row, after);
                        if after == Standing::Active {
                            break;
                        }
                    }
                }
                Step::End { n } => {
                    if let Some(row) = rows.iter_mut().filter(|row| row.2 == Standing::Active).nth(n) {
                        move_to(&mut gates, row, Standing::Aside);
                        ended += 1;
                    }
                }
                Step::Disable(disabled) => gates.rule(APP, AppRules { disabled, ..AppRules::default() }),
            }
            settle(&mut gates, &mut rows);
            let disabled = gates.rules(APP).is_some();
            for place in [HERE, THERE] {
                let here = |standing| rows.iter().filter(move |row| row.0 == place && row.2 == standing);
                let active = rows.iter().filter(|row| row.2 == Standing::Active).count();
                if let Some(first) = here(Standing::Held).next() {
                    let taken = i64::try_from(active + here(Standing::Ready).count()).unwrap();
                    prop_assert!(!disabled && taken >= first.1, "{ended}: {first:?} waits for nobody");
                }
            }
        }
    }
}
