//! A team's registration tokens.

use minitower_tests::{Response, Runner, Server, shape};
use serde_json::{Value, json};

fn register(server: &Server, token: &str, name: &str) -> Response {
    server.http().post("/api/v1/runners/register").bearer(token).json(json!({"name": name})).send()
}

#[test]
fn they_are_made_listed_used_and_removed() {
    let server = Server::start();
    let team = server.bootstrap();
    let made = team.post("/registration-tokens").send().expect_json(201);
    shape::fields(&made, &["id", "token"], &[]);
    let token = shape::text(&made, "token");
    let find = || {
        let list = team.get("/registration-tokens").send().expect(200);
        assert!(!list.text().contains(&token), "a list never shows a secret");
        let list = list.json();
        let tokens = list["registration_tokens"].as_array().unwrap().clone();
        tokens.into_iter().find(|one: &Value| one["id"] == made["id"])
    };
    let listed = find().expect("the new token is listed");
    shape::fields(&listed, &["id", "created_at"], &["last_used_at", "token"]);

    register(&server, &token, "r1").expect(201);
    let used = find().unwrap();
    shape::time(&used, "last_used_at");

    let path = format!("/registration-tokens/{}", made["id"]);
    let gone = team.delete(&path).send();
    assert!([200, 204].contains(&gone.status), "{}", gone.status);
    register(&server, &token, "r2").expect_error(401, "unauthorized");
    assert!(find().is_none());
    team.delete(&path).send().expect_error(404, "not_found");
}

#[test]
fn a_runner_registered_with_a_removed_token_goes_on() {
    let server = Server::start();
    let team = server.bootstrap();
    let made = team.post("/registration-tokens").send().expect_json(201);
    let runner = Runner::register_with(&server, &shape::text(&made, "token"), json!({"name": "r1"}));
    team.delete(&format!("/registration-tokens/{}", made["id"])).send();
    runner.idle();
}

#[test]
fn another_teams_registration_token_is_not_found() {
    let server = Server::start();
    let team = server.bootstrap();
    let other = server.sign_up("other-team");
    let made = team.post("/registration-tokens").send().expect_json(201);
    let path = format!("/registration-tokens/{}", made["id"]);
    other.delete(&path).send().expect_error(404, "not_found");
    register(&server, &shape::text(&made, "token"), "r1").expect(201);
}
