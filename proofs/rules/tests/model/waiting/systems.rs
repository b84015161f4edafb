//! The systems that are checked, all of them exhaustively.

use std::time::Instant;

use minitower_rules::domain::after::Until::{Completed, Ended};
use stateright::{Checker, HasDiscoveries, Model};

use super::{Config, Event, PLAIN, Plan, Share, Waiting};

const CONFIG: Config =
    Config { name: "", runs: &[], limits: &[], disables: false, retries: 0, cancels: false };

/// Explores all states there are, asserts every promise in each, and that these events came to pass.
fn exhaust(config: Config, events: &[Event]) {
    let (name, start) = (config.name, Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Waiting::new(config)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "model: {name}: {} states, {} unique, depth {}, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
    checker.assert_properties();
    assert!(checker.is_done(), "{name}: states were left out");
    let missing: Vec<_> = events.iter().filter(|event| !checker.model().has_met(**event)).collect();
    assert!(missing.is_empty(), "{name}: the model is too narrow, it never came to {missing:?}");
}

const ONE_AT_A_TIME: Plan = Plan { share: Share::Own(1), ..PLAIN };
const TWO_AT_A_TIME: Plan = Plan { share: Share::Own(2), ..PLAIN };
const OF_APP: Plan = Plan { share: Share::App, ..PLAIN };
const THERE: Plan = Plan { environment: "there", ..ONE_AT_A_TIME };

#[test]
fn no_more_runs_of_a_key_are_active_than_may_be_and_none_waits_for_nothing() {
    exhaust(
        Config {
            name: "3 runs of a key in one place, of which the last is urgent",
            runs: &[ONE_AT_A_TIME, ONE_AT_A_TIME, Plan { priority: 1, ..ONE_AT_A_TIME }],
            retries: 1,
            cancels: true,
            ..CONFIG
        },
        &[Event::Held, Event::Filled],
    );
    exhaust(
        Config {
            name: "3 runs of a key in two places",
            runs: &[ONE_AT_A_TIME, THERE, THERE],
            retries: 1,
            cancels: true,
            ..CONFIG
        },
        &[Event::Held, Event::Filled, Event::SentBack],
    );
    exhaust(
        Config {
            name: "4 runs of a key, some of which allow two",
            runs: &[TWO_AT_A_TIME, ONE_AT_A_TIME, TWO_AT_A_TIME, TWO_AT_A_TIME],
            ..CONFIG
        },
        &[Event::Held, Event::Filled],
    );
}

#[test]
fn the_limit_of_an_app_and_whether_it_is_disabled_hold_from_the_answer_on() {
    exhaust(
        Config {
            name: "3 runs of an app whose limit is lowered and raised",
            runs: &[OF_APP, OF_APP, Plan { environment: "there", ..OF_APP }],
            limits: &[2, 1],
            retries: 1,
            ..CONFIG
        },
        &[Event::Held, Event::Filled, Event::SentBack],
    );
    exhaust(
        Config {
            name: "3 runs of an app that is disabled and enabled",
            runs: &[PLAIN, ONE_AT_A_TIME, ONE_AT_A_TIME],
            disables: true,
            retries: 1,
            ..CONFIG
        },
        &[Event::Held, Event::Filled, Event::SentBack, Event::Shut, Event::LetGo],
    );
}

#[test]
fn a_run_starts_after_those_that_it_comes_after_and_not_if_they_cannot_come_to_that() {
    exhaust(
        Config {
            name: "a chain of 3 runs, of which the last waits for any end",
            runs: &[
                PLAIN,
                Plan { after: &[(0, Completed)], ..PLAIN },
                Plan { after: &[(1, Ended)], ..PLAIN },
            ],
            disables: true,
            retries: 1,
            cancels: true,
            ..CONFIG
        },
        &[Event::Freed, Event::GivenUp, Event::GivenUpAtOnce, Event::Shut],
    );
    exhaust(
        Config {
            name: "a run after two others of its key",
            runs: &[
                ONE_AT_A_TIME,
                THERE,
                Plan { after: &[(0, Completed), (1, Ended)], ..ONE_AT_A_TIME },
                ONE_AT_A_TIME,
            ],
            cancels: true,
            ..CONFIG
        },
        &[Event::Held, Event::Filled, Event::SentBack, Event::Freed, Event::GivenUp],
    );
}
