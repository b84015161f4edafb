//! The systems that are checked.
//!
//! Without optimisation (`cargo test`) the small ones, exhaustively; with it (`make model`) the large ones too.

use std::time::Duration;

use crate::config::{Config, Event, Faults};
use crate::report::{exhaust, explore_within, finds};
use minitower_vocabulary::statuses::Failure;

/// Whether there is time for the large systems.
const LARGE: bool = !cfg!(debug_assertions);
/// How many states are generated of a system that is too large to be exhausted, repetitions included. What is still to be explored takes most of
/// the memory: 66 million needed 3.0 GiB.
const MOST_STATES: usize = 75_000_000;
/// How long that may take at most.
const LIMIT: Duration = Duration::from_secs(240);

/// A team's turn passed to another.
const GAVE_WAY: &str = Event::GaveWay.text();

/// A team at its limit is passed over.
const WITHHELD: &str = Event::Withheld.text();

/// A lease of three ticks: one for the margin, which covers the one tick that clocks may differ by.
const ONE_BY_ONE: Config = Config {
    name: "1 run x 1 runner",
    priorities: &[0],
    teams: &[1],
    most_active: 100,
    runners: 1,
    max_retries: 1,
    retry: Some((&[Failure::Failed, Failure::Lost], 2)),
    ttl: 3,
    margin: 1,
    drift: 1,
    fast_clocks: true,
    in_flight: 2,
    attempts: None,
    fence_owners: 2,
    failures: true,
    starts: &[false, true],
    faults: Faults::Any,
};

const ONE_BY_TWO: Config = Config {
    name: "1 run x 2 runners",
    runners: 2,
    fence_owners: 1,
    fast_clocks: false,
    retry: None,
    failures: false,
    ..ONE_BY_ONE
};

/// Two runs of equal priority: what counts is who came first. Clocks are exact here, so that the shortest lease will do.
const TWO_BY_ONE: Config = Config {
    name: "2 runs x 1 runner",
    priorities: &[0, 0],
    teams: &[1, 1],
    ttl: 2,
    drift: 0,
    in_flight: 1,
    attempts: Some(2),
    fence_owners: 0,
    fast_clocks: false,
    retry: None,
    failures: false,
    starts: &[true],
    ..ONE_BY_ONE
};

/// Six ticks, a heartbeat every second one, a margin of one: outages may last for three.
const OUTAGES: Config = Config {
    name: "1 run x 2 runners, outages",
    runners: 2,
    ttl: 6,
    drift: 0,
    fence_owners: 0,
    retry: None,
    faults: Faults::Outages { longest: 3, heartbeat: 2 },
    ..ONE_BY_ONE
};

#[test]
fn one_run_on_one_runner_keeps_every_promise() {
    let missing = exhaust(ONE_BY_ONE);
    // One run has nothing to give way to; see below for several teams.
    assert_eq!(missing, [GAVE_WAY, WITHHELD], "the model is too narrow, it never came to these");
}

#[test]
fn only_what_a_policy_names_is_retried() {
    let narrow = Config { drift: 0, fast_clocks: false, in_flight: 1, fence_owners: 0, ..ONE_BY_ONE };
    exhaust(Config { name: "1 run x 1 runner without a policy", retry: None, ..narrow.clone() });
    let retry = Some((&[Failure::Failed] as &[Failure], 2));
    exhaust(Config { name: "1 run x 1 runner, losses not retried", retry, ..narrow.clone() });
    let retry = Some((&[Failure::Lost] as &[Failure], 2));
    exhaust(Config { name: "1 run x 1 runner, failures not retried", retry, ..narrow });
}

#[test]
fn two_runs_of_which_one_waits_for_its_retry_keep_the_order_of_the_queue() {
    let retry = Some((&[Failure::Failed] as &[Failure], 2));
    exhaust(Config { name: "2 runs x 1 runner, failures retried", retry, failures: true, ..TWO_BY_ONE });
}

#[test]
fn one_run_on_two_runners_keeps_every_promise() {
    exhaust(Config {
        name: "1 run x 2 runners, 1 in flight",
        ttl: 2,
        drift: 0,
        in_flight: 1,
        fence_owners: 2,
        ..ONE_BY_TWO
    });
    if LARGE {
        exhaust(ONE_BY_TWO);
    }
}

#[test]
fn two_runs_keep_every_promise_and_the_order_of_the_queue() {
    exhaust(TWO_BY_ONE);
    exhaust(Config { name: "2 runs x 1 runner, the second first", priorities: &[0, 1], ..TWO_BY_ONE });
    if LARGE {
        exhaust(Config {
            name: "2 runs x 2 runners, 1 in flight, 1 attempt",
            runners: 2,
            max_retries: 0,
            attempts: Some(1),
            ..TWO_BY_ONE
        });
        let large = Config { name: "2 runs x 2 runners", runners: 2, in_flight: 2, ..TWO_BY_ONE };
        explore_within(MOST_STATES, LIMIT, large);
    }
}

/// Two runs of one team ahead of one of another: with one runner, the other team's comes second.
#[test]
fn no_team_keeps_another_from_the_runners() {
    exhaust(Config { name: "2 teams x 1 run x 1 runner", teams: &[1, 2], ..TWO_BY_ONE });
    exhaust(Config {
        name: "2 teams, 3 runs x 1 runner",
        runners: 1,
        priorities: &[1, 1, 0],
        teams: &[1, 1, 2],
        max_retries: 1,
        faults: Faults::Outages { longest: 1, heartbeat: 2 },
        ttl: 4,
        ..OUTAGES
    });
    let missing = exhaust(Config {
        name: "2 teams, 3 runs x 2 runners",
        priorities: &[1, 1, 0],
        teams: &[1, 1, 2],
        max_retries: 0,
        faults: Faults::Outages { longest: 1, heartbeat: 2 },
        ttl: 4,
        ..OUTAGES
    });
    assert!(!missing.contains(&GAVE_WAY), "no run ever gave way");
}

/// The first team has two runs ready, of which one may be active.
#[test]
fn no_team_has_more_active_runs_than_it_may() {
    exhaust(Config { name: "2 runs of which 1 may be active", most_active: 1, ..TWO_BY_ONE });
    let missing = exhaust(Config {
        name: "2 teams with 1 active run each, 3 runs x 2 runners",
        priorities: &[1, 1, 0],
        teams: &[1, 1, 2],
        most_active: 1,
        max_retries: 0,
        faults: Faults::Outages { longest: 1, heartbeat: 2 },
        ttl: 4,
        ..OUTAGES
    });
    assert!(!missing.contains(&WITHHELD), "no run was ever held back");
}

#[test]
fn an_outage_shorter_than_a_lease_less_heartbeat_and_margin_costs_no_run() {
    exhaust(OUTAGES);
}

#[test]
fn a_longer_outage_is_seen_to_cost_a_run() {
    let faults = Faults::Outages { longest: 4, heartbeat: 2 };
    assert!(finds("an outage costs no run", Config { name: "longer outages", faults, ..OUTAGES }));
}

#[test]
fn clocks_that_differ_by_more_than_the_margin_are_seen_to_let_a_run_execute_twice() {
    let config =
        Config { name: "worse clocks", ttl: 2, drift: 2, fence_owners: 0, in_flight: 1, ..ONE_BY_TWO };
    assert!(finds("a run executes at most once at a time", config));
}
