//! What an operator tells of its pools, and what people hear of it whose runs wait.

use minitower_tests::server::OPERATOR_TOKEN;
use minitower_tests::{Response, Server, Team, shape};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/admin/pools/team-a/cpu";

fn report(server: &Server, path: &str, changes: &Value) -> Response {
    let mut body = json!({"environment": "default", "state": "broken", "min": 0, "max": 3, "desired": 2, "ready": 0,
        "message": "pod cpu-1: the image does not exist"});
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    server.http().put(path).bearer(OPERATOR_TOKEN).json(body).send()
}

fn listed(server: &Server) -> Value {
    server.http().get("/api/v1/admin/pools").bearer(OPERATOR_TOKEN).send().expect_json(200)
}

/// Why a run of the team waits: the reason and the message.
fn why(team: &Team, run: i64) -> (String, String) {
    let said = team.get(&format!("/runs/{run}/explain")).send().expect_json(200);
    (shape::text(&said, "reason"), shape::text(&said, "message"))
}

fn bed() -> (Server, Team, i64) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    (server, team, run)
}

#[test]
fn a_run_is_explained_by_the_pool_that_serves_it_until_the_pool_is_no_more() {
    let (server, team, run) = bed();
    assert_eq!(why(&team, run).0, "no_runner");
    report(&server, PATH, &json!({})).expect(204);
    let (reason, message) = why(&team, run);
    assert_eq!(reason, "pool_broken");
    for part in
        ["team-a/cpu", "pod cpu-1: the image does not exist", "kubectl -n team-a describe runnerpool cpu"]
    {
        assert!(message.contains(part), "{message}");
    }
    report(&server, PATH, &json!({"state": "growing"})).expect(204);
    assert_eq!(why(&team, run).0, "pool_growing");
    server.http().delete(PATH).bearer(OPERATOR_TOKEN).send().expect(204);
    server.http().delete(PATH).bearer(OPERATOR_TOKEN).send().expect(204);
    assert_eq!(why(&team, run).0, "no_runner");
    assert_eq!(listed(&server), json!({"pools": []}));
}

#[test]
fn a_team_hears_of_the_pools_that_serve_it_and_of_no_other() {
    let (server, team, run) = bed();
    let other = server.sign_up("another");
    report(&server, PATH, &json!({"team": other.slug})).expect(204);
    report(&server, "/api/v1/admin/pools/team-a/gpu", &json!({"environment": "gpu"})).expect(204);
    assert_eq!(why(&team, run).0, "no_runner");
    report(&server, PATH, &json!({"team": team.slug})).expect(204);
    assert_eq!(why(&team, run).0, "pool_broken");
}

#[test]
fn what_was_reported_is_listed_by_name() {
    let server = Server::start();
    let team = server.bootstrap();
    report(&server, "/api/v1/admin/pools/b/p", &json!({"environment": null})).expect(204);
    report(&server, "/api/v1/admin/pools/a/p", &json!({"team": team.slug, "environment": "gpu"})).expect(204);
    let pools = listed(&server);
    let fields = ["pool", "environment", "state", "min", "max", "desired", "ready", "message", "reported_at"];
    shape::fields(&pools["pools"][1], &fields, &["team"]);
    let names = |n: usize| (pools["pools"][n]["pool"].clone(), pools["pools"][n]["environment"].clone());
    assert_eq!(names(0), (json!("a/p"), json!("gpu")));
    assert_eq!(names(1), (json!("b/p"), json!("default")));
    assert_eq!(pools["pools"][0]["team"], json!(team.slug));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let server = Server::start();
    server.bootstrap();
    for (changes, named) in [
        (json!({"state": "tired"}), "state"),
        (json!({"state": null}), "state"),
        (json!({"min": -1}), "min"),
        (json!({"ready": 4_294_967_296_u64}), "ready"),
        (json!({"message": ""}), "message"),
        (json!({"message": "x".repeat(2001)}), "message"),
        (json!({"message": "a\nb"}), "message"),
        (json!({"environment": "No"}), "environment"),
        (json!({"team": "nobody"}), "team"),
        (json!({"extra": 1}), "extra"),
    ] {
        let message = report(&server, PATH, &changes).expect_error(400, "invalid_request");
        assert!(message.contains(named), "{changes}: {message}");
    }
    for (path, named) in [("/api/v1/admin/pools/A/p", "namespace"), ("/api/v1/admin/pools/a/p_1", "pool")] {
        let message = report(&server, path, &json!({})).expect_error(400, "invalid_request");
        assert!(message.contains(named), "{message}");
    }
    report(&server, PATH, &json!({"message": "x".repeat(2000)})).expect(204);
}
