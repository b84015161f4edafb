//! How many runs wait and how many are held, as whoever scales runners reads it.

use minitower_tests::server::{OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::{Response, Runner, Server};
use serde_json::{Value, json};

fn demand(server: &Server, query: &str) -> Response {
    server.http().get(&format!("/api/v1/admin/demand{query}")).bearer(OPERATOR_TOKEN).send()
}

fn place(environment: &str, pending: u64, active: u64) -> Value {
    json!({"team": "acme", "environment": environment, "pending": pending, "active": active})
}

#[test]
fn demand_is_counted_by_team_and_environment_over_all_apps() {
    let server = Server::start();
    let team = server.bootstrap();
    assert_eq!(demand(&server, "").expect_json(200), json!({"environments": []}));
    for app in ["hello", "bye"] {
        team.python_app(app, "print()");
        team.run(app, json!({}));
    }
    team.run("hello", json!({"environment": "staging"}));
    let waiting = demand(&server, "").expect_json(200);
    assert_eq!(waiting["environments"][0], place("default", 2, 0));
    let runner = Runner::register_with(&server, REGISTRATION_TOKEN, json!({"name": "r1"}));
    let lease = runner.lease();
    let leased = demand(&server, "").expect_json(200);
    assert_eq!(leased["environments"][0], place("default", 1, 1));
    lease.start().expect(200);
    lease.complete().expect(200);
    let ended = demand(&server, "").expect_json(200);
    assert_eq!(ended["environments"][0], place("default", 1, 0));
    assert!(ended.get("cursor").is_none());
}

#[test]
fn pages_lead_on_by_their_cursor_and_bad_ones_are_refused() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    for environment in ["staging", "default"] {
        team.run("hello", json!({ "environment": environment }));
    }
    let first = demand(&server, "?limit=1").expect_json(200);
    assert_eq!(first, json!({"environments": [place("default", 1, 0)], "cursor": "acme/default"}));
    let second = demand(&server, "?limit=1&after=acme%2Fdefault").expect_json(200);
    assert_eq!(second, json!({"environments": [place("staging", 1, 0)]}));
    for query in ["?limit=0", "?limit=10001", "?limit=many", "?after=acme"] {
        demand(&server, query).expect_error(400, "invalid_request");
    }
}
