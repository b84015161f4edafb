//! Many runs at once: cancelled, or run again.

use minitower_tests::{Runner, Server, Team, shape};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.python_app("second", "print()");
    (server, team)
}

fn cancel(team: &Team, which: Value) -> Value {
    team.post("/runs/cancel").json(which).send().expect_json(200)
}

fn retry(team: &Team, which: Value) -> Value {
    team.post("/runs/retry").json(which).send().expect_json(200)
}

fn labelled(team: &Team, app: &str, labels: &Value) -> i64 {
    shape::int(&team.run(app, json!({"labels": labels})), "run_id")
}

#[test]
fn those_runs_are_cancelled_that_are_all_of_what_is_asked_for() {
    let (server, team) = bed();
    let other = server.sign_up("other-team");
    other.python_app("hello", "print()");
    let running = labelled(&team, "hello", &json!({"a": "1"}));
    let lease = Runner::register(&server, "r1").lease_and_start();
    assert_eq!(lease.run, running);
    let theirs = labelled(&other, "hello", &json!({"a": "1"}));
    let plain = team.run_id("hello");
    let both = labelled(&team, "hello", &json!({"a": "1", "b": "2"}));
    let second = labelled(&team, "second", &json!({"a": "1", "b": "2"}));
    let staging = shape::int(&team.run("hello", json!({"environment": "staging"})), "run_id");

    for (which, found) in [
        (json!({"label": ["a=1", "b=2"]}), 2),
        (json!({"label": "a=1", "status": "queued"}), 2),
        (json!({"label": "a=1", "app": "hello"}), 2),
        (json!({"status": ["queued", "running"]}), 5),
        (json!({"environment": "staging", "status": "running"}), 0),
        (json!({"label": "no=such"}), 0),
    ] {
        let mut counted = which.clone();
        counted["dry_run"] = true.into();
        assert_eq!(cancel(&team, counted), json!({"cancelled": found}), "{which}");
    }
    assert_eq!(team.status(both), "queued", "they were counted only");
    assert_eq!(cancel(&team, json!({"app": "second", "label": "a=1"})), json!({"cancelled": 1}));
    assert_eq!(team.status(second), "cancelled");
    assert_eq!(cancel(&team, json!({"environment": "staging"})), json!({"cancelled": 1}));
    assert_eq!(team.status(staging), "cancelled");
    assert_eq!(cancel(&team, json!({"app": "hello", "before": both})), json!({"cancelled": 2}));
    assert_eq!([team.status(running), team.status(plain)], ["cancelling", "cancelled"]);
    assert_eq!(cancel(&team, json!({"app": "hello"})), json!({"cancelled": 1}));
    assert_eq!(cancel(&team, json!({"app": "hello"})), json!({"cancelled": 0}), "they are cancelled already");
    assert_eq!(other.status(theirs), "queued");
}

#[test]
fn those_that_failed_run_again_once() {
    let (server, team) = bed();
    let runner = Runner::register(&server, "r1");
    let mut failed = Vec::new();
    for n in 0..3 {
        failed.push(shape::int(&team.run("hello", json!({"input": {"n": n}, "priority": n})), "run_id"));
    }
    for _ in 0..3 {
        runner.lease_and_start().result(json!({"status": "failed", "exit_code": 1})).expect(200);
    }
    let completed = team.run_id("hello");
    runner.lease_and_start().complete().expect(200);
    let cancelled = team.run_id("second");
    team.cancel(cancelled);

    assert_eq!(retry(&team, json!({"app": "hello", "dry_run": true}))["retried"], 3);
    let made = retry(&team, json!({"app": "hello"}));
    assert_eq!((&made["retried"], &made["skipped"], made.get("next_before")), (&json!(3), &json!(0), None));
    let ids: Vec<i64> = made["run_ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
    for (id, first) in ids.iter().zip(failed.iter().rev()) {
        let (run, was) = (team.read(*id), team.read(*first));
        assert_eq!((&run["retry_of"], &run["status"]), (&json!(first), &json!("queued")));
        assert_eq!((&run["input"], &run["priority"]), (&was["input"], &was["priority"]));
    }
    assert_eq!(retry(&team, json!({"app": "hello"}))["retried"], 0, "they were repeated already");
    // When the new run fails as well, it is the one to repeat.
    runner.lease_and_start().result(json!({"status": "failed", "exit_code": 1})).expect(200);
    let made = retry(&team, json!({"app": "hello"}));
    assert_eq!(team.read(made["run_ids"][0].as_i64().unwrap())["retry_of"], json!(ids[0]));
    // What ended well, or was cancelled, runs again only when it is named.
    for (status, run) in [("completed", completed), ("cancelled", cancelled)] {
        let made = retry(&team, json!({"status": status}));
        assert_eq!(made["retried"], 1, "{status}");
        assert_eq!(team.read(made["run_ids"][0].as_i64().unwrap())["retry_of"], json!(run));
    }
}

#[test]
fn a_call_that_names_nothing_or_nonsense_is_refused_by_name() {
    let (_server, team) = bed();
    let run = team.run_id("hello");
    for path in ["/runs/cancel", "/runs/retry"] {
        for (body, told) in [
            (json!({}), "status, app, environment and label"),
            (json!({"before": 7}), "status, app, environment and label"),
            (json!({"dry_run": true}), "status, app, environment and label"),
            (json!({"status": "sleeping"}), "sleeping"),
            (json!({"status": []}), "status"),
            (json!({"status": 7}), "status"),
            (json!({"label": "a"}), "label"),
            (json!({"label": []}), "label"),
            (json!({"label": [1]}), "label"),
            (json!({"environment": "No Such"}), "No Such"),
            (json!({"app": "hello", "before": "x"}), "before"),
            (json!({"app": "hello", "dry_run": "x"}), "dry_run"),
            (json!({"app": "hello", "labels": "a=1"}), "labels"),
        ] {
            let message = team.post(path).json(body.clone()).send().expect_error(400, "invalid_request");
            assert!(message.contains(told), "{path} {body}: {message}");
        }
        for (body, told) in [(json!({"app": "nothing"}), "nothing"), (json!({"environment": "prod"}), "prod")]
        {
            let message = team.post(path).json(body).send().expect_error(404, "not_found");
            assert!(message.contains(told), "{message}");
        }
        team.post(path).send().expect_error(400, "invalid_request");
    }
    let cancel = |status: &str| team.post("/runs/cancel").json(json!({"status": status})).send();
    assert!(cancel("failed").expect_error(400, "invalid_request").contains("queued, leased, running"));
    let retry = |status: &str| team.post("/runs/retry").json(json!({"status": status})).send();
    assert!(
        retry("queued").expect_error(400, "invalid_request").contains("completed, failed, cancelled, dead")
    );
    assert_eq!(team.status(run), "queued");
}

#[test]
fn a_team_at_its_limit_keeps_what_came_first() {
    let (_server, team) = bed();
    for _ in 0..3 {
        let run = team.run_id("hello");
        team.cancel(run);
    }
    team.request("PUT", "/limits").json(json!({"queued_runs": 2})).send().expect(200);
    let made = retry(&team, json!({"status": "cancelled"}));
    assert_eq!(made["retried"], 2);
    let rest = json!({"status": "cancelled", "before": made["next_before"]});
    let message = team.post("/runs/retry").json(rest.clone()).send().expect_error(409, "conflict");
    assert!(message.contains("queued_runs"), "{message}");
    cancel(&team, json!({"status": "queued"}));
    assert_eq!(retry(&team, rest)["retried"], 1);
}

#[test]
fn what_may_not_run_any_more_is_left_out_and_counted() {
    let (_server, team) = bed();
    for priority in [0, 5] {
        let run = shape::int(&team.run("hello", json!({"priority": priority})), "run_id");
        team.cancel(run);
    }
    let second = team.run_id("second");
    team.cancel(second);
    team.request("PUT", "/limits").json(json!({"priority_max": 3})).send().expect(200);
    team.request("PATCH", "/apps/second").json(json!({"disabled": true})).send().expect(200);
    let made = retry(&team, json!({"status": "cancelled"}));
    assert_eq!((&made["retried"], &made["skipped"]), (&json!(1), &json!(2)));
}
