//! Runs that wait: for their app, for a place under their key, for other runs; and what is said about it.

use std::time::Duration;

use minitower_tests::{Artifact, Runner, Server, Team, shape, wait};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

fn change(team: &Team, body: Value) -> minitower_tests::Response {
    team.request("PATCH", "/apps/hello").json(body).send()
}

fn explained(team: &Team, run: i64) -> Value {
    team.get(&format!("/runs/{run}/explain")).send().expect_json(200)
}

/// Waits until something is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    wait::until(what, Duration::from_secs(20), || holds().then_some(()));
}

fn becomes(team: &Team, run: i64, reason: &str) {
    until(&format!("run {run} waits for {reason}"), || explained(team, run)["reason"] == reason);
}

#[test]
fn an_app_is_changed_field_by_field_and_null_clears() {
    let (server, team) = bed();
    let all = json!({"description": "d", "disabled": true, "concurrency": {"key": "db", "max": 2},
        "log_limits": {"bytes_per_run": 4096}, "expect_seconds": 60, "expect_wait_seconds": 5});
    let changed = change(&team, all.clone()).expect_json(200);
    for (field, value) in all.as_object().unwrap() {
        assert_eq!(&changed[field], value, "{field}");
    }
    assert_eq!(team.get("/apps/hello").send().expect_json(200), changed);
    assert_eq!(change(&team, json!({})).expect_json(200), changed, "nothing is changed");
    let own = change(&team, json!({"concurrency": {"max": 1}, "disabled": false})).expect_json(200);
    assert_eq!(own["concurrency"], json!({"key": "hello", "max": 1}), "its slug is the key");
    let nulls = json!({"description": null, "disabled": null, "concurrency": null, "log_limits": null,
        "expect_seconds": null, "expect_wait_seconds": null});
    let cleared = change(&team, nulls).expect_json(200);
    shape::fields(
        &cleared,
        &["app_id", "slug", "disabled", "created_at", "updated_at"],
        &["description", "concurrency", "log_limits", "expect_seconds", "expect_wait_seconds"],
    );
    assert_eq!(cleared["disabled"], false);
    let member = team.member();
    assert_eq!(change(&member, json!({"description": "m"})).expect_json(200)["description"], "m");
    change(&server.sign_up("another"), json!({})).expect_error(404, "not_found");
}

#[test]
fn what_an_app_cannot_be_is_refused_by_name() {
    let (_server, team) = bed();
    for (body, named) in [
        (json!({"slug": "other"}), "slug"),
        (json!({"disabled": 1}), "disabled"),
        (json!({"concurrency": {"max": 0}}), "concurrency.max"),
        (json!({"concurrency": {"max": 1_000_001}}), "concurrency.max"),
        (json!({"concurrency": {"key": "", "max": 1}}), "concurrency.key"),
        (json!({"concurrency": {"key": "a\nb", "max": 1}}), "concurrency.key"),
        (json!({"concurrency": {"key": "db"}}), "max"),
        (json!({"concurrency": {"max": 1, "min": 0}}), "min"),
        (json!({"log_limits": {"bytes_per_run": 1023}}), "log_limits.bytes_per_run"),
        (json!({"log_limits": []}), "log_limits"),
        (json!({"expect_seconds": 0}), "expect_seconds"),
        (json!({"expect_seconds": 31_536_001}), "expect_seconds"),
        (json!({"expect_wait_seconds": -1}), "expect_wait_seconds"),
        (json!({"description": "x".repeat(4097)}), "description"),
    ] {
        let message = change(&team, body.clone()).expect_error(400, "invalid_request");
        assert!(message.contains(named), "{body}: {message}");
    }
    change(&team, json!({"concurrency": {"key": "k".repeat(200), "max": 1_000_000}})).expect(200);
}

#[test]
fn runs_of_a_disabled_app_wait_and_new_ones_are_refused_with_the_way_out() {
    let (server, team) = bed();
    let runner = Runner::register(&server, "r1");
    let run = team.run_id("hello");
    change(&team, json!({"disabled": true})).expect(200);
    runner.idle();
    let message = team.post("/apps/hello/runs").json(json!({})).send().expect_error(409, "conflict");
    assert!(message.contains("enable it first"), "{message}");
    until("the run is held", || team.read(run)["blocked_by"] == "disabled");
    let said = explained(&team, run);
    shape::fields(
        &said,
        &["run_id", "status", "reason", "message"],
        &["position", "until", "limit", "waits_for"],
    );
    assert_eq!((&said["reason"], &said["status"]), (&json!("disabled"), &json!("queued")));
    change(&team, json!({"disabled": false})).expect(200);
    assert_eq!(shape::int(&runner.poll_with(10, json!({})).expect_json(200), "run_id"), run);
}

#[test]
fn a_key_is_shared_by_runs_towerfiles_and_apps() {
    let (server, team) = bed();
    team.app("other");
    let towerfile =
        "[app]\nname = \"other\"\nscript = \"main.py\"\n[app.concurrency]\nkey = \"db\"\nmax = 1\n";
    let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "print()").gzip();
    team.upload("other", Some(&archive), &[]).expect(201);
    let runner = Runner::register(&server, "r1");
    let first = team.run("hello", json!({"concurrency": {"key": "db", "max": 1}}));
    assert_eq!(first["concurrency_key"], "db");
    shape::fields(&first, &["status"], &["blocked_by"]);
    let second = team.run("other", json!({}));
    assert_eq!((&second["concurrency_key"], &second["blocked_by"]), (&json!("db"), &json!("limit")));
    let second = shape::int(&second, "run_id");
    let lease = runner.lease();
    let said = explained(&team, second);
    let limit = json!({"key": "db", "max": 1, "active": 1, "runs": [first["run_id"]]});
    assert_eq!((&said["reason"], &said["limit"]), (&json!("limit"), &limit));
    assert!(said["message"].as_str().unwrap().contains("raise the limit"), "{said}");
    lease.start().expect(200);
    lease.complete().expect(200);
    assert_eq!(shape::int(&runner.poll_with(10, json!({})).expect_json(200), "run_id"), second);
}

#[test]
fn a_run_comes_after_others_of_its_team() {
    let (server, team) = bed();
    let runner = Runner::register(&server, "r1");
    let first = team.run_id("hello");
    let next = team.run("hello", json!({"after": [{"run_id": first, "on": "completed"}]}));
    assert_eq!(next["blocked_by"], "after");
    let next = shape::int(&next, "run_id");
    let last = shape::int(
        &team.run("hello", json!({"after": [{"run_id": next}, {"run_id": first, "on": "ended"}]})),
        "run_id",
    );
    let said = explained(&team, next);
    let waits = json!([{"run_id": first, "on": "completed", "status": "queued"}]);
    assert_eq!((&said["reason"], &said["waits_for"]), (&json!("after"), &waits));
    // Every answer says what a run comes after, as long as there is anything.
    let after = [
        (first, json!(null)),
        (next, json!([{"run_id": first, "on": "completed"}])),
        (last, json!([{"run_id": next, "on": "completed"}, {"run_id": first, "on": "ended"}])),
    ];
    let says = || {
        let list = team.get("/runs").send().expect_json(200);
        let listed = list["runs"].as_array().unwrap();
        for (run, after) in &after {
            let of_list = listed.iter().find(|listed| listed["run_id"] == *run).unwrap();
            assert_eq!((&team.read(*run)["after"], &of_list["after"]), (after, after), "{run}");
        }
    };
    says();
    let lease = runner.lease_and_start();
    lease.result(json!({"status": "failed", "exit_code": 3, "reason": "exit"})).expect(200);
    until("the chain has fallen", || team.status(last) == "cancelled");
    let fallen = team.read(next);
    assert_eq!((&fallen["status"], &fallen["cancel_requested"]), (&json!("cancelled"), &json!(false)));
    let message = fallen["error_message"].as_str().unwrap();
    assert!(message.contains(&format!("run {first} had to complete first, and it is failed")), "{message}");
    assert_eq!(explained(&team, next)["reason"], "cancelled");
    runner.idle();
    says();
    let again = team.post(&format!("/runs/{next}/retry")).send().expect_json(201);
    shape::fields(&again, &["retry_of"], &["after"]);
}

#[test]
fn what_a_run_cannot_come_after_is_refused_by_name() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    let other = server.sign_up("another");
    other.python_app("hello", "print()");
    let create =
        |team: &Team, after: Value| team.post("/apps/hello/runs").json(json!({"after": after})).send();
    create(&other, json!([{"run_id": run}])).expect_error(404, "not_found");
    create(&team, json!([{"run_id": run + 100}])).expect_error(404, "not_found");
    let many: Vec<_> = (0..33).map(|n| json!({"run_id": n})).collect();
    for (after, named) in [
        (json!([{"run_id": run}, {"run_id": run, "on": "ended"}]), format!("names run {run} twice")),
        (json!(many), "at most 32".to_owned()),
        (json!([{"run_id": run, "on": "started"}]), "on".to_owned()),
        (json!([{"on": "ended"}]), "run_id".to_owned()),
        (json!({"run_id": run}), "after".to_owned()),
    ] {
        let message = create(&team, after.clone()).expect_error(400, "invalid_request");
        assert!(message.contains(&named), "{after}: {message}");
    }
    other.get(&format!("/runs/{run}/explain")).send().expect_error(404, "not_found");
}

#[test]
fn a_run_in_the_queue_has_a_place_and_a_reason() {
    let (server, team) = bed();
    let (first, second) = (team.run_id("hello"), team.run_id("hello"));
    let said = explained(&team, second);
    assert_eq!((&said["reason"], &said["position"]), (&json!("no_runner"), &json!(2)));
    let runner = Runner::register(&server, "r1");
    becomes(&team, first, "queue");
    let lease = runner.lease();
    assert_eq!(explained(&team, first)["reason"], "leased");
    let said = explained(&team, second);
    assert_eq!((&said["reason"], &said["position"]), (&json!("busy"), &json!(1)));
    lease.release().expect(200);
    becomes(&team, second, "queue");
    assert_eq!(explained(&team, second)["position"], 2);
}
