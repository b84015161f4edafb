//! Parameters whose values are shown to nobody but the runner.

use minitower_tests::{Artifact, Runner, Server, Team};
use serde_json::json;

const SECRET: &str = "hunter2-of-the-test";

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let towerfile = r#"
[app]
name = "hello"
script = "main.py"

[[parameters]]
name = "password"
hidden = true
default = "hunter2-of-the-file"

[[parameters]]
name = "city"
default = "Berlin"
"#;
    let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip();
    let version = team.upload("hello", Some(&archive), &[]).expect(201);
    assert!(!version.text().contains("hunter2"), "{}", version.text());
    let properties = &version.json()["params_schema"]["properties"];
    assert_eq!(properties["password"], json!({"type": "string", "writeOnly": true}));
    assert_eq!(properties["city"], json!({"type": "string", "default": "Berlin"}));
    assert!(version.json()["towerfile_toml"].as_str().unwrap().contains("default = \"********\""));
    (server, team)
}

#[test]
fn a_hidden_value_is_in_the_lease_and_in_no_answer_to_the_team() {
    let (server, team) = bed();
    let body = json!({"input": {"password": SECRET, "city": "Rome", "more": "shown"}});
    let made = team.post("/apps/hello/runs").json(body).send().expect(201);
    let input = json!({"password": "********", "city": "Rome", "more": "shown"});
    assert_eq!(made.json()["input"], input);
    let run = made.json()["run_id"].as_i64().unwrap();
    let lease = Runner::register(&server, "r1").lease_and_start();
    assert_eq!(lease.body["input"], json!({"password": SECRET, "city": "Rome", "more": "shown"}));
    lease.complete().expect(200);
    for path in [
        format!("/runs/{run}"),
        format!("/runs/{run}/attempts"),
        "/runs".to_owned(),
        "/apps/hello/runs".to_owned(),
        "/apps/hello/versions".to_owned(),
        "/apps/hello/versions/1".to_owned(),
    ] {
        let answer = team.get(&path).send().expect(200);
        assert!(!answer.text().contains("hunter2"), "{path}: {}", answer.text());
    }
    assert_eq!(team.cancel(run)["input"], input);
}

#[test]
fn a_hidden_default_is_filled_in_and_not_shown() {
    let (server, team) = bed();
    let run = team.run("hello", json!({}));
    assert_eq!(run["input"], json!({"password": "********", "city": "Berlin"}));
    let lease = Runner::register(&server, "r1").lease();
    assert_eq!(lease.body["input"], json!({"password": "hunter2-of-the-file", "city": "Berlin"}));
}

#[test]
fn a_refused_hidden_value_is_not_quoted() {
    let (_server, team) = bed();
    for input in [json!({"password": [SECRET]}), json!({"password": SECRET, "city": 7})] {
        let answer = team.post("/apps/hello/runs").json(json!({"input": input})).send();
        let message = answer.expect_error(400, "invalid_request");
        assert!(message.contains("input/") && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_schema_that_came_as_a_field_hides_its_write_only_values_too() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let schema =
        json!({"properties": {"login": {"properties": {"key": {"writeOnly": true, "default": SECRET}}}}});
    let text = schema.to_string();
    let fields = [("entrypoint", "main.py"), ("params_schema_json", &*text)];
    let version = team.upload("hello", Some(&Artifact::python("")), &fields).expect(201);
    assert!(!version.text().contains(SECRET), "{}", version.text());
    let run = team.run("hello", json!({"input": {"login": {"key": SECRET}, "n": 1}}));
    assert_eq!(run["input"], json!({"login": "********", "n": 1}));
}
