//! Creating, reading and cancelling runs.

use minitower_tests::{Artifact, Runner, Server, Team, shape};
use serde_json::{Value, json};

const ALWAYS: [&str; 13] = [
    "run_id",
    "app_id",
    "app_slug",
    "run_no",
    "version_no",
    "status",
    "priority",
    "max_retries",
    "retry_count",
    "cancel_requested",
    "queued_at",
    "environment",
    "input",
];

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

#[test]
fn a_new_run_says_all_there_is_and_nothing_else() {
    let (_server, team) = bed();
    let run = team.run("hello", json!({"input": {"name": "world"}, "priority": -3, "max_retries": 2}));
    let absent = ["started_at", "finished_at", "exit_code", "error_message", "runner"];
    shape::fields(&run, &ALWAYS, &absent);
    assert_eq!(run["app_id"], team.get("/apps/hello").send().expect_json(200)["app_id"]);
    assert_eq!(
        (&run["app_slug"], &run["run_no"], &run["version_no"]),
        (&json!("hello"), &json!(1), &json!(1))
    );
    assert_eq!((&run["status"], &run["environment"]), (&json!("queued"), &json!("default")));
    assert_eq!((&run["input"], &run["priority"]), (&json!({"name": "world"}), &json!(-3)));
    assert_eq!((&run["max_retries"], &run["retry_count"]), (&json!(2), &json!(0)));
    assert_eq!(run["cancel_requested"], false);
    shape::time(&run, "queued_at");
    assert_eq!(team.read(shape::int(&run, "run_id")), run);
}

#[test]
fn a_run_can_be_created_with_nothing() {
    let (_server, team) = bed();
    for request in [team.post("/apps/hello/runs"), team.post("/apps/hello/runs").json(json!({}))] {
        let run = request.send().expect_json(201);
        shape::fields(&run, &["run_id"], &["input"]);
        assert_eq!((&run["priority"], &run["max_retries"]), (&json!(0), &json!(0)));
    }
    let run = team.run("hello", json!({"input": null}));
    shape::fields(&run, &["run_id"], &["input"]);
    let run = team.run("hello", json!({"input": {}}));
    assert_eq!(run["input"], json!({}));
}

#[test]
fn an_ended_run_says_how_it_ended_in_every_answer() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    let running = team.read(run);
    shape::fields(&running, &["started_at", "runner"], &["finished_at", "exit_code", "error_message"]);
    let body = json!({"status": "failed", "exit_code": 3, "error_message": "exit code 3", "reason": "exit"});
    lease.result(body).expect(200);
    let ended = team.read(run);
    shape::fields(&ended, &["started_at", "finished_at", "exit_code", "error_message", "runner"], &["input"]);
    assert_eq!(ended["runner"], "r1");
    assert!(shape::time(&ended, "finished_at") >= shape::time(&ended, "started_at"));
    for path in ["/runs", "/apps/hello/runs"] {
        assert_eq!(team.get(path).send().expect_json(200), json!({"runs": [ended]}));
    }
    assert_eq!(team.cancel(run), ended);
}

#[test]
fn wrong_values_of_a_run_are_400() {
    let (_server, team) = bed();
    for body in [
        json!({"input": []}),
        json!({"input": "text"}),
        json!({"input": 1}),
        json!({"max_retries": -1}),
        json!({"max_retries": "many"}),
        json!({"priority": "high"}),
        json!({"version_no": "one"}),
    ] {
        team.post("/apps/hello/runs").json(body).send().expect_error(400, "invalid_request");
    }
    assert_eq!(team.get("/runs").send().expect_json(200), json!({"runs": []}));
}

#[test]
fn a_bad_retry_policy_or_timeout_is_400_and_names_its_field() {
    let (_server, team) = bed();
    let retry = |field: &str, value: Value| {
        let mut retry = json!({"max_attempts": 2});
        retry[field] = value;
        json!({"retry": retry})
    };
    for (body, named) in [
        (json!({"retry": {}}), "max_attempts"),
        (json!({"retry": 3}), "retry"),
        (json!({"retry": {"max_attempts": 2}, "max_retries": 1}), "max_retries"),
        (retry("max_attempts", json!(0)), "retry.max_attempts"),
        (retry("max_attempts", json!(-1)), "retry.max_attempts"),
        (retry("max_attempts", json!(1001)), "retry.max_attempts"),
        (retry("max_attempts", json!("three")), "retry.max_attempts"),
        (retry("max_attempts", json!(1.5)), "retry.max_attempts"),
        (retry("on", json!([])), "retry.on"),
        (retry("on", json!("failed")), "retry.on"),
        (retry("on", json!(["failed", "dead"])), "retry.on"),
        (retry("backoff_initial_ms", json!(-1)), "retry.backoff_initial_ms"),
        (retry("backoff_initial_ms", json!(604_800_001)), "retry.backoff_initial_ms"),
        (retry("backoff_initial_ms", json!("1s")), "retry.backoff_initial_ms"),
        (retry("backoff_multiplier", json!(0.9)), "retry.backoff_multiplier"),
        (retry("backoff_multiplier", json!(101)), "retry.backoff_multiplier"),
        (retry("backoff_multiplier", json!(1.0001)), "retry.backoff_multiplier"),
        (retry("backoff_max_ms", json!(-1)), "retry.backoff_max_ms"),
        (retry("backoff_max_ms", json!(604_800_001)), "retry.backoff_max_ms"),
        (retry("backoff_max_ms", json!(999)), "retry.backoff_max_ms"),
        (retry("backoff_factor", json!(2)), "backoff_factor"),
        (json!({"timeout_seconds": 0}), "timeout_seconds"),
        (json!({"timeout_seconds": -5}), "timeout_seconds"),
        (json!({"timeout_seconds": 1.5}), "timeout_seconds"),
        (json!({"timeout_seconds": "60"}), "timeout_seconds"),
    ] {
        let message =
            team.post("/apps/hello/runs").json(body.clone()).send().expect_error(400, "invalid_request");
        assert!(message.contains(named), "{body}: {message:?} does not name {named}");
    }
    assert_eq!(team.get("/runs").send().expect_json(200), json!({"runs": []}));
}

#[test]
fn a_retry_policy_shows_as_its_retries_and_nothing_else() {
    let (_server, team) = bed();
    for (retry, max_retries) in [
        (json!({"max_attempts": 1}), 0),
        (json!({"max_attempts": 4, "on": ["timeout", "timeout", "lost"]}), 3),
        (
            json!({"max_attempts": 1000, "backoff_initial_ms": 0, "backoff_multiplier": 1, "backoff_max_ms": 0}),
            999,
        ),
    ] {
        let run = team.run("hello", json!({"retry": retry, "timeout_seconds": 5}));
        shape::fields(&run, &["max_retries"], &["retry", "timeout_seconds", "not_before"]);
        assert_eq!((&run["max_retries"], &run["retry_count"]), (&json!(max_retries), &json!(0)));
    }
    assert_eq!(team.run("hello", json!({"retry": null, "timeout_seconds": null}))["max_retries"], 0);
}

#[test]
fn a_run_needs_a_version() {
    let (_server, team) = bed();
    team.app("empty");
    team.post("/apps/empty/runs").send().expect_error(400, "no_version");
    team.post("/apps/hello/runs").json(json!({"version_no": 2})).send().expect_error(404, "not_found");
}

#[test]
fn a_run_takes_the_newest_version_or_the_one_it_names() {
    let (_server, team) = bed();
    team.version("hello", &Artifact::python("print(2)"), "main.py");
    assert_eq!(team.run("hello", json!({}))["version_no"], 2);
    assert_eq!(team.run("hello", json!({"version_no": 1}))["version_no"], 1);
}

#[test]
fn input_is_checked_with_the_versions_schema_and_the_message_names_path_and_rule() {
    let (_server, team) = bed();
    let schema = r#"{"type":"object","properties":{"name":{"type":"string"},
        "deep":{"type":"object","properties":{"count":{"type":"integer","minimum":1}}}},"required":["name"]}"#;
    let fields = [("entrypoint", "main.py"), ("params_schema_json", schema)];
    team.upload("hello", Some(&Artifact::python("1")), &fields).expect(201);
    team.run("hello", json!({"input": {"name": "world", "deep": {"count": 2}, "more": true}}));
    let refused = |body| team.post("/apps/hello/runs").json(body).send().expect_error(400, "invalid_request");
    let message = refused(json!({"input": {"name": 7}}));
    assert!(message.contains("name"), "{message}");
    let message = refused(json!({"input": {"name": "x", "deep": {"count": 0}}}));
    assert!(message.contains("deep") && message.contains("count") && message.contains('1'), "{message}");
    let message = refused(json!({"input": {}}));
    assert!(message.contains("name"), "{message}");
    refused(json!({}));
    // The first version has no schema.
    team.run("hello", json!({"version_no": 1, "input": {"name": 7}}));
}

#[test]
fn retries_default_to_those_of_the_version() {
    let (_server, team) = bed();
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.py\"\nmax_retries = 4\n";
    let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip();
    team.upload("hello", Some(&archive), &[]).expect(201);
    assert_eq!(team.run("hello", json!({}))["max_retries"], 4);
    assert_eq!(team.run("hello", json!({"max_retries": 0}))["max_retries"], 0);
}

#[test]
fn an_unknown_run_is_not_found() {
    let (_server, team) = bed();
    for path in ["/runs/4711", "/runs/4711/logs", "/runs/4711/attempts", "/runs/0", "/runs/-1"] {
        team.get(path).send().expect_error(404, "not_found");
    }
    team.post("/runs/4711/cancel").send().expect_error(404, "not_found");
}

#[test]
fn logs_are_read_from_a_place_on() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    let path = format!("/runs/{run}/logs");
    assert_eq!(team.get(&path).send().expect_json(200), json!({"logs": []}));
    let lease = Runner::register(&server, "r1").lease_and_start();
    lease.logs(&[(1, "one"), (2, "zwei ü"), (3, "")]).expect(200);
    let all = team.get(&path).send().expect_json(200);
    let first = &all["logs"][0];
    shape::fields(first, &["seq", "stream", "line", "logged_at"], &[]);
    assert_eq!((&first["stream"], &first["line"]), (&json!("stdout"), &json!("one")));
    assert_eq!(all["logs"].as_array().unwrap().len(), 3);
    let rest = team.get(&format!("{path}?after_seq=2")).send().expect_json(200);
    assert_eq!(rest["logs"].as_array().unwrap().len(), 1);
    assert_eq!(rest["logs"][0]["line"], "");
    let some = team.get(&format!("{path}?limit=2")).send().expect_json(200);
    assert_eq!(some["logs"].as_array().unwrap().len(), 2);
    assert_eq!(some["logs"][1]["line"], "zwei ü");
}

#[test]
fn logs_are_those_of_the_newest_attempt() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    lease.logs(&[(1, "first attempt")]).expect(200);
    lease.release().expect(200);
    let lease = runner.lease_and_start();
    lease.logs(&[(1, "second attempt")]).expect(200);
    assert_eq!(team.stream(run, "stdout"), ["second attempt"]);
}

#[test]
fn attempts_are_told_oldest_first() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    assert!(team.attempts(run).is_empty());
    let runner = Runner::register(&server, "r1");
    runner.lease().release().expect(200);
    let lease = runner.lease();
    let attempts = team.attempts(run);
    let numbers: Vec<_> = attempts.iter().map(|attempt| shape::int(attempt, "attempt_no")).collect();
    assert_eq!(numbers, [1, 2]);
    shape::fields(
        &attempts[0],
        &["attempt_id", "status", "runner", "leased_at", "finished_at"],
        &["started_at"],
    );
    shape::fields(
        &attempts[1],
        &["attempt_id", "status", "runner", "leased_at"],
        &["started_at", "finished_at", "exit_code", "error_message", "reason"],
    );
    assert_eq!(attempts[1]["attempt_id"], lease.attempt());
}
