//! Every load counts what the server counts, so that the benchmark does not rot between two reports.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use minitower_benches::load::transfer::{download, large_archive, upload};
use minitower_benches::load::user_code::{CODE, user_code};
use minitower_benches::load::{
    Listening, Shape, Window, creates, creates_with_keys, dispatch, explains, leases, leases_with_secrets,
    lifecycles, live, lives, make, make_ended, reads, waiting,
};
use minitower_benches::server::{BOOTSTRAP_TOKEN, REGISTRATION_TOKEN};
use minitower_benches::{BenchError, Place, Server};

const SHORT: Window = Window { warm_up: Duration::from_millis(100), length: Duration::from_millis(400) };

/// A built program: in `MINITOWER_BIN_DIR`, else beside the running test.
fn program(name: &str) -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().to_owned()
    };
    let path = std::env::var_os("MINITOWER_BIN_DIR").map_or_else(beside, PathBuf::from).join(name);
    assert!(path.exists(), "{} is missing: make build", path.display());
    path
}

fn place() -> (Server, Place) {
    place_of("pass\n")
}

fn place_of(code: &str) -> (Server, Place) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let server = Server::start(&program("minitowerd"), folder, &[]).unwrap();
    let place = Place::prepare(server.address(), BOOTSTRAP_TOKEN, REGISTRATION_TOKEN, code).unwrap();
    (server, place)
}

#[test]
fn lifecycles_are_runs_that_the_server_has_completed() {
    let (server, mut place) = place();
    let found = lifecycles(&mut place, Some(server.pid()), Shape::of(4), SHORT).unwrap();
    assert!(found.measured > 0 && found.measured <= found.total, "{found:?}");
    assert_eq!(found.by_second.iter().sum::<u64>(), found.measured);
    assert_eq!(found.calls.life.len() as u64, found.measured);
    // Each run that begins within the window is asked for and ended within it; those before are one for each runner.
    assert!(found.costs.requests >= 2 * found.measured.saturating_sub(4), "{found:?}");
    let summary = place.summary().unwrap();
    assert_eq!((summary.total, summary.queued, summary.ended), (found.total, 0, found.total));
    let completed = place.get("/api/v1/runs?status=completed&limit=1").unwrap();
    assert_eq!(completed.number("run_no").unwrap(), found.total, "the newest run is completed too");
    let logs = place.get("/api/v1/runs/1/logs").unwrap();
    assert_eq!(String::from_utf8_lossy(&logs.body).matches(r#""seq":"#).count(), 10);
}

#[test]
fn a_deep_queue_stays_as_deep_and_its_runs_are_counted() {
    let (_server, mut place) = place();
    make(&mut place, 8, 200).unwrap();
    let shape = Shape { deep: true, ..Shape::of(4) };
    let found = lifecycles(&mut place, None, shape, SHORT).unwrap();
    let summary = place.summary().unwrap();
    assert_eq!(summary.ended, found.total);
    assert_eq!(summary.queued + summary.ended, summary.total, "no run is left half done");
    assert!((200..=200 + shape.backlog + 4).contains(&summary.queued), "{summary:?}");
}

#[test]
fn creates_are_runs_that_the_server_has_queued() {
    let (_server, mut place) = place();
    let found = creates(&mut place, None, 4, SHORT).unwrap();
    assert!(found.measured > 0 && found.create.len() as u64 == found.measured, "{found:?}");
    make(&mut place, 3, 10).unwrap();
    let summary = place.summary().unwrap();
    assert_eq!((summary.total, summary.queued), (found.total + 10, found.total + 10));
}

#[test]
fn creates_with_keys_are_runs_of_their_own() {
    let (_server, mut place) = place();
    let found = creates_with_keys(&mut place, None, 4, SHORT).unwrap();
    assert!(found.measured > 0, "{found:?}");
    assert_eq!(place.summary().unwrap().total, found.total, "no key was used twice");
}

#[test]
fn leases_with_and_without_secrets_come_in_turn() {
    let (_server, mut place) = place();
    let (without, with) = leases_with_secrets(&mut place, 5, 10).unwrap();
    assert_eq!((without.len(), with.len(), place.summary().unwrap().ended), (5, 5, 10));
}

#[test]
fn the_place_of_the_last_run_is_asked_for_after_a_start() {
    let (mut server, mut place) = place();
    make(&mut place, 4, 300).unwrap();
    server.restart().unwrap();
    let found = explains(&mut place, 5, Duration::from_millis(100)).unwrap();
    assert!(found.explain.len() == 5 && found.first > Duration::ZERO, "{found:?}");
    // It has to be the last one's.
    leases(&mut place, 1).unwrap();
    assert_eq!(explains(&mut place, 1, Duration::ZERO).unwrap().explain.len(), 1);
}

#[test]
fn a_run_reaches_a_waiting_runner_and_a_polling_one() {
    let (_server, mut place) = place();
    let found = dispatch(&mut place, 3, 20).unwrap();
    assert_eq!((found.from_request.len(), found.from_answer.len(), found.create.len()), (20, 20, 20));
    assert!(found.from_request.figures().max < 5000.0, "nobody waited for a poll to end");
    assert_eq!(leases(&mut place, 15).unwrap().len(), 15);
    let summary = place.summary().unwrap();
    // Twenty runs warm the dispatch up.
    assert_eq!((summary.total, summary.ended), (55, 55));
    assert_eq!(reads(&mut place, "/metrics", 5).unwrap().len(), 5);
}

#[test]
fn idle_runners_are_seen_waiting() {
    let (server, mut place) = place();
    let found = waiting(&mut place, &server, 20, SHORT).unwrap();
    assert_eq!(found.polls, 0, "a poll waits longer than this window");
    assert!(found.resident > 0);
}

#[test]
fn an_archive_goes_up_and_down_whole() {
    let (server, mut place) = place();
    let archive = large_archive(300_000).unwrap();
    assert!(archive.len() > 300_000, "it cannot be compressed");
    upload(&place, server.pid(), &archive).unwrap();
    download(&mut place, server.pid(), archive.len() as u64).unwrap();
    let wrong = download(&mut place, server.pid(), archive.len() as u64 - 1);
    assert!(matches!(wrong, Err(BenchError::Answer { status: 409, .. } | BenchError::Http(_))), "{wrong:?}");
}

#[test]
fn user_code_says_when_its_first_line_ran() {
    if Command::new("python3").args(["-c", "import venv"]).output().is_err() {
        // Not println!: that is shown for failed tests only.
        let _ = writeln!(std::io::stderr(), "SKIPPED user_code: python3 is not installed");
        return;
    }
    let (server, mut place) = place_of(CODE);
    let found = user_code(&mut place, &server, &program("minitower-runner"), 2).unwrap();
    assert_eq!((found.first_line.len(), found.python.len()), (2, 2));
    assert!(found.first_line.figures().p50 > 0.0, "a line runs after the create was sent");
    let summary = place.summary().unwrap();
    // Three runs make the environment.
    assert_eq!((summary.total, summary.ended), (5, 5));
}

#[test]
fn a_restarted_server_has_kept_its_runs() {
    let (mut server, mut place) = place();
    make(&mut place, 1, 3).unwrap();
    assert!(server.restart().unwrap() > Duration::ZERO);
    assert_eq!(place.summary().unwrap().total, 3);
}

#[test]
fn every_listener_has_every_line_once() {
    let (server, mut place) = place();
    let shape = Listening { listeners: 6, runs: 2, lines: 200, every: Duration::from_millis(10) };
    let found = live(&mut place, Some(server.pid()), shape, SHORT).unwrap();
    assert!(found.delivered >= found.lines.len() as u64 && !found.lines.is_empty(), "{found:?}");
    let logs = place.get("/api/v1/runs/1/logs?limit=10000").unwrap();
    let stored = String::from_utf8_lossy(&logs.body).matches(r#""seq":"#).count();
    assert_eq!(found.delivered, 6 * stored as u64);
    assert_eq!(place.summary().unwrap().ended, 2);
}

#[test]
fn a_database_is_filled_with_ended_runs_and_runs_live_beside_them_one_by_one() {
    let (_server, mut place) = place();
    let ended = make_ended(&mut place, 200).unwrap();
    assert!(ended >= 200 && ended == place.summary().unwrap().ended, "{ended}");
    let found = lives(&mut place, 5).unwrap();
    assert!(found.named().into_iter().all(|(_, samples)| samples.figures().count == 5), "{found:?}");
    assert_eq!(place.summary().unwrap().ended, ended + 5);
}

#[test]
fn lifecycles_are_counted_while_retention_removes_them() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let env = [("MINITOWER_RUNS_KEEP", "1s"), ("MINITOWER_RUNS_KEEP_LAST", "0")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = Server::start(&program("minitowerd"), folder, &env).unwrap();
    let mut place = Place::prepare(server.address(), BOOTSTRAP_TOKEN, REGISTRATION_TOKEN, "pass\n").unwrap();
    let window = Window { warm_up: Duration::from_secs(2), length: Duration::from_secs(2) };
    let found = lifecycles(&mut place, None, Shape { forgets: true, ..Shape::of(4) }, window).unwrap();
    assert!(found.measured > 0 && place.metric("minitower_db_runs_pruned_total").unwrap() > 0, "{found:?}");
}
