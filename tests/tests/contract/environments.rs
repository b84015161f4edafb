//! Environments.

use minitower_tests::{Runner, Server, shape};
use serde_json::json;

fn names(team: &minitower_tests::Team) -> Vec<String> {
    let list = team.get("/environments").send().expect_json(200);
    let list = list["environments"].as_array().unwrap().clone();
    for environment in &list {
        shape::fields(environment, &["name", "created_at"], &[]);
        shape::time(environment, "created_at");
    }
    list.iter().map(|environment| shape::text(environment, "name")).collect()
}

#[test]
fn environments_are_made_by_hand_and_on_first_use() {
    let server = Server::start();
    let team = server.bootstrap();
    let made = team.post("/environments").json(json!({"name": "staging"})).send().expect_json(201);
    assert_eq!(made["name"], "staging");
    team.python_app("hello", "print()");
    let run = team.run("hello", json!({"environment": "by-run"}));
    assert_eq!(run["environment"], "by-run");
    let body = json!({"name": "r1", "environment": "by-runner"});
    Runner::register_with(&server, &team.registration_token, body);
    let names = names(&team);
    for name in ["staging", "by-run", "by-runner"] {
        assert!(names.iter().any(|seen| seen == name), "{name} is missing: {names:?}");
    }
}

#[test]
fn environment_names_follow_their_rule() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let long = "a".repeat(63);
    for name in ["a", "0", "eu-west.1_b", long.as_str()] {
        team.post("/environments").json(json!({"name": name})).send().expect(201);
    }
    let too_long = "a".repeat(64);
    for name in ["", "-a", ".a", "A", "a b", "a/b", "ä", too_long.as_str()] {
        team.post("/environments").json(json!({"name": name})).send().expect_error(400, "invalid_request");
        if !name.is_empty() {
            let body = json!({"environment": name});
            team.post("/apps/hello/runs").json(body).send().expect_error(400, "invalid_request");
        }
    }
}

#[test]
fn environments_belong_to_their_team() {
    let server = Server::start();
    let team = server.bootstrap();
    let other = server.sign_up("other-team");
    team.post("/environments").json(json!({"name": "staging"})).send().expect(201);
    assert!(!names(&other).contains(&"staging".to_owned()));
    other.post("/environments").json(json!({"name": "staging"})).send().expect(201);
}
