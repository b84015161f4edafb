//! The runner protocol: bodies, fields, limits. What it promises is in the protocol tests.

use minitower_tests::runner::LOGGED_AT;
use minitower_tests::server::REGISTRATION_TOKEN;
use minitower_tests::{Artifact, Lease, Response, Runner, Server, Team, shape};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

fn register(server: &Server, token: &str, body: Value) -> Response {
    server.http().post("/api/v1/runners/register").bearer(token).json(body).send()
}

#[test]
fn registration_is_201_then_200_with_a_new_token() {
    let (server, _team) = bed();
    let first = register(&server, REGISTRATION_TOKEN, json!({"name": "r1"})).expect_json(201);
    shape::fields(&first, &["runner_id", "name", "token"], &[]);
    assert_eq!(first["scope"], "platform");
    let body = json!({"name": "r1", "environment": "staging", "pool": "p", "labels": {"zone": "a"}});
    let again = register(&server, REGISTRATION_TOKEN, body).expect_json(200);
    assert_eq!((&again["runner_id"], &again["name"]), (&first["runner_id"], &json!("r1")));
    assert_ne!(again["token"], first["token"]);
}

#[test]
fn registration_checks_its_body() {
    let (server, _team) = bed();
    for body in
        [json!({}), json!({"name": ""}), json!({"name": 7}), json!({"name": "r", "environment": "A B"})]
    {
        register(&server, REGISTRATION_TOKEN, body).expect_error(400, "invalid_request");
    }
}

#[test]
fn a_name_held_by_another_scope_is_a_conflict() {
    let (server, team) = bed();
    let other = server.sign_up("other-team");
    let name = || json!({"name": "r1"});
    let made = register(&server, &team.registration_token, name()).expect_json(201);
    assert_eq!(made["scope"], "team");
    register(&server, REGISTRATION_TOKEN, name()).expect_error(409, "conflict");
    register(&server, &other.registration_token, name()).expect_error(409, "conflict");
    register(&server, &team.registration_token, name()).expect(200);
}

#[test]
fn a_lease_says_all_there_is_to_run() {
    let (server, team) = bed();
    let runner = Runner::register(&server, "r1");
    runner.idle();
    let run = team.run("hello", json!({"input": {"name": "world"}}));
    let lease = runner.lease();
    shape::fields(
        &lease.body,
        &[
            "run_id",
            "run_no",
            "app_id",
            "app_slug",
            "version_no",
            "entrypoint",
            "input",
            "attempt_id",
            "attempt_no",
            "lease_token",
            "lease_expires_at",
            "lease_ttl_ms",
            "team_id",
            "team_slug",
            "environment",
            "limits",
        ],
        &["timeout_seconds", "api_token"],
    );
    assert_eq!((&lease.body["team_id"], &lease.body["team_slug"]), (&json!(team.id), &json!(team.slug)));
    assert_eq!(lease.body["environment"], "default");
    let (mib, gib) = (1_u64 << 20, 1_u64 << 30);
    let limits = json!({
        "log_bytes": 128 * mib, "artifact_bytes": 100 * mib, "artifacts_bytes": gib, "artifacts": 1000,
    });
    assert_eq!(lease.body["limits"], limits);
    for field in ["run_id", "run_no", "app_id", "app_slug", "version_no", "input"] {
        assert_eq!(lease.body[field], run[field]);
    }
    assert_eq!((&lease.body["entrypoint"], &lease.body["attempt_no"]), (&json!("main.py"), &json!(1)));
    lease.complete().expect(200);

    let fields = [("entrypoint", "main.py"), ("timeout_seconds", "30")];
    team.upload("hello", Some(&Artifact::python("1")), &fields).expect(201);
    team.run_id("hello");
    let lease = runner.lease();
    shape::fields(&lease.body, &["timeout_seconds"], &["input"]);
    assert_eq!(lease.body["timeout_seconds"], 30);
    lease.complete().expect(200);

    // A run's own timeout comes before its version's, wherever the runner reads it.
    team.run("hello", json!({"timeout_seconds": 7}));
    let lease = runner.lease();
    assert_eq!(lease.body["timeout_seconds"], 7);
    let archive = lease.request("artifact").send().expect(200);
    assert_eq!(archive.header("x-timeout-seconds"), Some("7"));
}

#[test]
fn lease_requests_are_checked() {
    let (server, _team) = bed();
    let runner = Runner::register(&server, "r1");
    for body in ["{", "[]", r#"{"request_id": 7}"#] {
        runner.post("/runs/lease").body(body).send().expect_error(400, "invalid_request");
    }
    runner.post("/runs/lease").body("").send().expect(204);
    runner.post("/runs/lease").json(json!({})).send().expect(204);
    runner.post("/runs/lease?wait=0").send().expect(204);
    for wait in ["61", "-1", "long"] {
        let answer = runner.post(&format!("/runs/lease?wait={wait}")).send();
        answer.expect_error(400, "invalid_request");
    }
}

#[test]
fn start_and_heartbeat_say_how_the_attempt_stands() {
    let (server, team) = bed();
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease();
    let fields = [
        "attempt_id",
        "attempt_no",
        "status",
        "lease_expires_at",
        "cancel_requested",
        "run_status",
        "lease_ttl_ms",
    ];
    let beat = lease.heartbeat().expect_json(200);
    assert_eq!((&beat["status"], &beat["run_status"]), (&json!("leased"), &json!("leased")));
    for answer in [lease.start().expect_json(200), lease.heartbeat().expect_json(200)] {
        shape::fields(&answer, &fields, &[]);
        assert_eq!(answer["attempt_id"], lease.attempt());
        assert_eq!((&answer["status"], &answer["run_status"]), (&json!("running"), &json!("running")));
        assert_eq!(answer["cancel_requested"], false);
    }
}

fn lines(count: usize, text: &str) -> Value {
    let lines: Vec<Value> = (1..=count)
        .map(|seq| json!({"seq": seq, "stream": "stderr", "line": text, "logged_at": LOGGED_AT}))
        .collect();
    json!({"logs": lines})
}

#[test]
fn log_batches_are_bounded_and_checked() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    let send = |body: Value| lease.request("logs").json(body).send();
    send(lines(100, "a line")).expect(200);
    send(lines(1, &"x".repeat(8 * 1024))).expect(200);
    send(lines(101, "a line")).expect_error(400, "invalid_request");
    send(lines(1, &"x".repeat(8 * 1024 + 1))).expect_error(400, "invalid_request");
    for line in [
        json!({"seq": 0, "stream": "stdout", "line": "", "logged_at": LOGGED_AT}),
        json!({"seq": 500, "stream": "stdin", "line": "", "logged_at": LOGGED_AT}),
        json!({"seq": 500, "stream": "stdout", "logged_at": LOGGED_AT}),
        json!({"seq": 500, "stream": "stdout", "line": "", "logged_at": "yesterday"}),
        json!({"seq": "one", "stream": "stdout", "line": "", "logged_at": LOGGED_AT}),
    ] {
        send(json!({"logs": [line]})).expect_error(400, "invalid_request");
    }
    send(json!({})).expect_error(400, "invalid_request");
    send(json!({"logs": []})).expect(200);
    assert_eq!(team.logs(run).len(), 100);
    assert_eq!(team.logs(run)[0]["logged_at"], LOGGED_AT.replace('Z', ".000Z"));
}

#[test]
fn results_are_checked() {
    let (server, team) = bed();
    let run = team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    for body in [
        json!({}),
        json!({"status": "running"}),
        json!({"status": "dead"}),
        json!({"status": "failed", "reason": "bad luck"}),
        json!({"status": "failed", "exit_code": "three"}),
    ] {
        lease.result(body).expect_error(400, "invalid_request");
    }
    assert_eq!(team.status(run), "running");
    lease.result(json!({"status": "failed", "exit_code": 1, "reason": "timeout"})).expect(200);
}

#[test]
fn ids_of_attempt_calls_are_checked_behind_the_credentials() {
    let (server, team) = bed();
    team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease();
    for call in Lease::CALLS {
        let path = format!("/api/v1/runs/abc/{call}");
        let request =
            server.http().request(Lease::method(call), &path).bearer(&runner.token).lease(&lease.token);
        request.send().expect_error(400, "invalid_request");
    }
}
