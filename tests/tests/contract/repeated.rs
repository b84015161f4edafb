//! Creating a run under an `Idempotency-Key`, and finding it by its labels.

use minitower_tests::{Response, Server, Team, shape};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.python_app("second", "print()");
    (server, team)
}

fn create(team: &Team, app: &str, key: &str, body: &str) -> Response {
    team.post(&format!("/apps/{app}/runs")).header("idempotency-key", key).body(body).send()
}

#[test]
fn the_same_key_and_the_same_request_give_the_first_run_again_also_after_a_crash() {
    let (mut server, team) = bed();
    let made = create(&team, "hello", "k", r#"{"priority":1,"input":{"a":1,"b":2}}"#).expect_json(201);
    for same in [
        r#"{"priority":1,"input":{"a":1,"b":2}}"#,
        r#" { "input" : { "b" : 2, "a" : 1 }, "priority" : 1 } "#,
        r#"{"priority":1,"input":{"a":1,"b":2},"unknown":1}"#,
    ] {
        assert_eq!(create(&team, "hello", "k", same).expect_json(200), made);
    }
    server.kill();
    server.start_again();
    assert_eq!(create(&team, "hello", "k", r#"{"priority":1,"input":{"a":1,"b":2}}"#).expect_json(200), made);
    for (app, other) in [("hello", "{}"), ("second", r#"{"priority":1,"input":{"a":1,"b":2}}"#)] {
        let message = create(&team, app, "k", other).expect_error(409, "conflict");
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    let cancelled = team.cancel(shape::int(&made, "run_id"));
    let again = create(&team, "hello", "k", r#"{"priority":1,"input":{"a":1,"b":2}}"#).expect_json(200);
    assert_eq!(again, cancelled, "it is shown as it is now");
}

#[test]
fn keys_belong_to_their_team_and_a_refused_request_leaves_none() {
    let (server, team) = bed();
    let other = server.sign_up("other-team");
    other.python_app("hello", "print()");
    let made = [&team, &other].map(|team| create(team, "hello", "k", "{}").expect_json(201));
    for (team, made) in [&team, &other].into_iter().zip(made) {
        assert_eq!(create(team, "hello", "k", "{}").expect_json(200), made, "each finds its own");
    }
    create(&team, "hello", "new", r#"{"version_no":9}"#).expect_error(404, "not_found");
    create(&team, "hello", "new", "{}").expect(201);
    for key in ["", "a b", &"k".repeat(256)] {
        let message = create(&team, "hello", key, "{}").expect_error(400, "invalid_request");
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
}

#[test]
fn runs_are_found_by_their_labels() {
    let (server, team) = bed();
    let labelled = |labels: Value| shape::int(&team.run("hello", json!({"labels": labels})), "run_id");
    let blue = labelled(json!({"team": "blue", "stage": "test"}));
    let red = labelled(json!({"team": "red", "stage": "a=b & c"}));
    let plain = team.run_id("hello");
    assert_eq!(team.read(blue)["labels"], json!({"team": "blue", "stage": "test"}));
    shape::fields(&team.read(plain), &["status"], &["labels"]);

    let found = |query: &str| -> Vec<i64> {
        let list = team.get(&format!("/runs?{query}")).send().expect_json(200);
        list["runs"].as_array().unwrap().iter().map(|run| shape::int(run, "run_id")).collect()
    };
    assert_eq!(found("label=team=blue"), [blue]);
    assert_eq!(found("label=team%3Dred&label=stage=a=b+%26+c"), [red]);
    assert!(found("label=team=blue&label=team=red").is_empty());
    assert_eq!(found("label=team=blue&status=queued&app=hello&environment=default"), [blue]);
    let other = server.sign_up("other-team");
    let theirs = other.get("/runs?label=team=blue").send().expect_json(200);
    assert_eq!(theirs["runs"], json!([]));
    for bad in ["label=team", "label==x", "label="] {
        let message = team.get(&format!("/runs?{bad}")).send().expect_error(400, "invalid_request");
        assert!(message.contains("label"), "{bad}: {message}");
    }
    for bad in [json!({"no key": ""}), json!({"a": 1}), json!(["a"]), json!({"a": "x\ny"})] {
        let refused = team.post("/apps/hello/runs").json(json!({"labels": bad})).send();
        let message = refused.expect_error(400, "invalid_request");
        assert!(message.contains("labels"), "{message}");
    }
    let twice = team.post("/apps/hello/runs").body(r#"{"labels":{"a":"1","a":"2"}}"#).send();
    twice.expect_error(400, "invalid_request");
}
