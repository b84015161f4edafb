//! Lists of runs and their summary.

use minitower_tests::{Runner, Server, Team, shape};
use serde_json::json;

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

fn ids(team: &Team, path: &str) -> Vec<i64> {
    let list = team.get(path).send().expect_json(200);
    list["runs"].as_array().unwrap().iter().map(|run| shape::int(run, "run_id")).collect()
}

#[test]
fn lists_are_newest_first_and_paged() {
    let (_server, team) = bed();
    let mut runs: Vec<i64> = (0..55).map(|_| team.run_id("hello")).collect();
    runs.reverse();
    for list in ["/runs", "/apps/hello/runs"] {
        assert_eq!(ids(&team, list), runs[..50]);
        assert_eq!(ids(&team, &format!("{list}?limit=3")), runs[..3]);
        assert_eq!(ids(&team, &format!("{list}?limit=100")), runs);
        assert_eq!(ids(&team, &format!("{list}?limit=2&offset=3")), runs[3..5]);
        assert_eq!(ids(&team, &format!("{list}?offset=54")), runs[54..]);
        assert!(ids(&team, &format!("{list}?offset=1000")).is_empty());
        for limit in ["0", "101", "-1", "many", ""] {
            assert_eq!(ids(&team, &format!("{list}?limit={limit}")), runs[..50], "limit={limit}");
        }
        for offset in ["-1", "far", ""] {
            assert_eq!(ids(&team, &format!("{list}?limit=1&offset={offset}")), runs[..1], "offset={offset}");
        }
    }
    let before = runs[10];
    assert_eq!(ids(&team, &format!("/runs?limit=5&before={before}")), runs[11..16]);
}

#[test]
fn team_wide_lists_are_filtered_by_status_app_and_environment() {
    let (server, team) = bed();
    team.python_app("second", "print()");
    let done = team.run_id("hello");
    Runner::register(&server, "r1").lease_and_start().complete().expect(200);
    let waiting = team.run_id("hello");
    let other = team.run_id("second");
    let staging = shape::int(&team.run("hello", json!({"environment": "staging"})), "run_id");
    assert_eq!(ids(&team, "/runs?status=completed"), [done]);
    assert_eq!(ids(&team, "/runs?status=queued"), [staging, other, waiting]);
    assert_eq!(ids(&team, "/runs?app=second"), [other]);
    assert_eq!(ids(&team, "/runs?app=hello&status=queued"), [staging, waiting]);
    assert_eq!(ids(&team, "/runs?environment=staging"), [staging]);
    assert!(ids(&team, "/runs?app=nothing").is_empty());
    assert!(ids(&team, "/runs?status=dead").is_empty());
    team.get("/runs?status=sleeping").send().expect_error(400, "invalid_request");
}

#[test]
fn the_summary_counts_every_run_once() {
    let (server, team) = bed();
    let zero = json!({"total_runs": 0, "active_runs": 0, "queued_runs": 0, "terminal_runs": 0});
    let summary = || team.get("/runs/summary").send().expect_json(200);
    assert_eq!(summary(), zero);
    let first = team.run_id("hello");
    team.run_id("hello");
    let cancelled = team.run_id("hello");
    team.cancel(cancelled);
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease();
    assert_eq!(lease.run, first);
    for call in ["leased", "running", "cancelling"] {
        let expected = json!({"total_runs": 3, "active_runs": 1, "queued_runs": 1, "terminal_runs": 1});
        assert_eq!(summary(), expected, "{call}");
        if call == "leased" {
            lease.start().expect(200);
        } else {
            team.cancel(first);
        }
    }
    lease.result(json!({"status": "cancelled"})).expect(200);
    let expected = json!({"total_runs": 3, "active_runs": 0, "queued_runs": 1, "terminal_runs": 2});
    assert_eq!(summary(), expected);
}
