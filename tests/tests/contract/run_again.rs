//! Runs that repeat others: one by one, and many at once.

use minitower_tests::server::REGISTRATION_TOKEN;
use minitower_tests::{Artifact, Response, Runner, Server, Team, shape};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

fn retry(team: &Team, run: i64, body: &Value) -> Response {
    team.post(&format!("/runs/{run}/retry")).json(body.clone()).send()
}

/// Makes a run, and cancels it.
fn cancelled(team: &Team, app: &str, body: Value) -> i64 {
    let run = shape::int(&team.run(app, body), "run_id");
    team.cancel(run);
    run
}

#[test]
fn a_run_that_has_ended_runs_again_as_it_was() {
    let (server, team) = bed();
    let asked = json!({"input": {"city": "Rome"}, "priority": 7, "environment": "staging", "labels": {"a": "b"},
        "timeout_seconds": 77, "retry": {"max_attempts": 3, "on": ["lost"]}});
    let first = shape::int(&team.run("hello", asked), "run_id");
    shape::fields(&team.read(first), &["status"], &["retry_of"]);
    let message = retry(&team, first, &json!({})).expect_error(409, "conflict");
    assert!(
        message.contains(&format!("run {first} has not ended")) && message.contains("cancel"),
        "{message}"
    );
    team.cancel(first);
    // The newest version is another one by now, and the first run keeps its own.
    team.upload("hello", Some(&Artifact::new().file("main.py", "2").gzip()), &[("entrypoint", "main.py")])
        .expect(201);
    let again = team.post(&format!("/runs/{first}/retry")).send().expect_json(201);
    let was = team.read(first);
    for field in
        ["app_id", "app_slug", "version_no", "input", "priority", "environment", "labels", "max_retries"]
    {
        assert_eq!(again[field], was[field], "{field}");
    }
    assert_eq!((&again["status"], &again["retry_of"]), (&json!("queued"), &json!(first)));
    assert_eq!((&again["retry_count"], &again["cancel_requested"]), (&json!(0), &json!(false)));
    assert_eq!(shape::int(&again, "run_no"), shape::int(&was, "run_no") + 1);
    assert_eq!(was["status"], "cancelled");
    let id = shape::int(&again, "run_id");
    assert_eq!(team.read(id), again);
    assert_eq!(team.get("/runs?limit=1").send().expect_json(200)["runs"][0], again);
    let lease =
        Runner::register_with(&server, REGISTRATION_TOKEN, json!({"name": "r1", "environment": "staging"}))
            .lease_and_start();
    assert_eq!(lease.body["timeout_seconds"], 77);
    // On its policy, too: a failure is not retried.
    lease.result(json!({"status": "failed", "exit_code": 1, "reason": "exit"})).expect(200);
    assert_eq!(team.read(id)["status"], "failed");
    let third = retry(&team, id, &json!({})).expect_json(201);
    assert_eq!(third["retry_of"], json!(id));
}

#[test]
fn what_is_changed_is_checked_like_that_of_a_new_run() {
    let (_server, team) = bed();
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"},"m":{"default":5}}}"#;
    let archive = Artifact::new().file("main.py", "").gzip();
    let fields = [("entrypoint", "main.py"), ("params_schema_json", schema)];
    team.upload("hello", Some(&archive), &fields).expect(201);
    let first = cancelled(&team, "hello", json!({"input": {"n": 1}}));
    let changed = retry(
        &team,
        first,
        &json!({"input": {"n": 2}, "priority": -3, "environment": "prod", "version_no": 2}),
    )
    .expect_json(201);
    assert_eq!(changed["input"], json!({"n": 2, "m": 5}));
    assert_eq!((&changed["priority"], &changed["environment"]), (&json!(-3), &json!("prod")));
    let empty = retry(&team, first, &json!({"input": null, "version_no": 1})).expect_json(201);
    shape::fields(&empty, &["retry_of"], &["input"]);
    let unchanged = retry(&team, first, &json!({"priority": null, "version_no": null})).expect_json(201);
    assert_eq!((&unchanged["version_no"], &unchanged["priority"]), (&json!(2), &json!(0)));

    for (body, told) in [
        (json!({"input": {"n": "x"}}), "n"),
        (json!({"input": [1]}), "input"),
        (json!({"priority": "high"}), "priority"),
        (json!({"environment": "No Such"}), "environment"),
        (json!({"max_retries": 1}), "max_retries"),
        (json!({"labels": {}}), "labels"),
    ] {
        let message = retry(&team, first, &body).expect_error(400, "invalid_request");
        assert!(message.contains(told), "{body}: {message}");
    }
    let message = retry(&team, first, &json!({"version_no": 9})).expect_error(404, "not_found");
    assert!(message.contains("version 9"), "{message}");
    team.post(&format!("/runs/{first}/retry?force=true")).send().expect_error(400, "invalid_request");
}

#[test]
fn a_retry_is_repeatable_under_a_key() {
    let (server, team) = bed();
    let first = cancelled(&team, "hello", json!({}));
    let once = |run: i64, body: &str| {
        team.post(&format!("/runs/{run}/retry")).header("idempotency-key", "k").body(body).send()
    };
    let made = once(first, "").expect_json(201);
    assert_eq!(once(first, "{}").expect_json(200), made);
    once(first, r#"{"priority":1}"#).expect_error(409, "conflict");
    let other = cancelled(&team, "hello", json!({}));
    once(other, "").expect_error(409, "conflict");
    let theirs = server.sign_up("other-team");
    retry(&theirs, first, &json!({})).expect_error(404, "not_found");
}

#[test]
fn a_hidden_value_comes_along_unseen_and_no_version_shows_it() {
    let (server, team) = bed();
    let hidden = |words: &str| {
        let towerfile = format!(
            "[app]\nname = \"hello\"\nscript = \"main.py\"\n[[parameters]]\nname = \"password\"\n{words}\
             [[parameters]]\nname = \"city\"\n"
        );
        let archive = Artifact::new().file("Towerfile", &towerfile).file("main.py", "").gzip();
        team.upload("hello", Some(&archive), &[]).expect(201);
    };
    hidden("hidden = true\n");
    let input = json!({"password": "hunter2", "city": "Rome"});
    let first = cancelled(&team, "hello", json!({"input": input}));
    let given = json!({"password": "********", "city": "Bonn"});
    let again = retry(&team, first, &json!({"input": given})).expect(201);
    assert!(!again.text().contains("hunter2"), "{}", again.text());
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    assert_eq!(lease.body["input"], json!({"password": "hunter2", "city": "Bonn"}));
    lease.complete().expect(200);

    hidden("");
    for body in [json!({"version_no": 3}), json!({"version_no": 3, "input": given})] {
        let message = retry(&team, first, &body).expect_error(400, "invalid_request");
        assert!(message.contains("password") && message.contains("version 3"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let new = json!({"version_no": 3, "input": {"password": "new", "city": "Bonn"}});
    retry(&team, first, &new).expect(201);
}

#[test]
fn what_was_deleted_runs_no_more() {
    let (_server, team) = bed();
    let first = cancelled(&team, "hello", json!({}));
    team.delete("/apps/hello/versions/1").send().expect(204);
    let message = retry(&team, first, &json!({})).expect_error(404, "not_found");
    assert!(message.contains(&format!("run {first}")), "{message}");
}
