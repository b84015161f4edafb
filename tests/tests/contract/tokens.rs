//! Team tokens.

use minitower_tests::{Server, Team, shape};
use serde_json::json;

#[test]
fn an_admin_makes_tokens_of_either_role() {
    let server = Server::start();
    let team = server.bootstrap();
    let made = team.post("/tokens").send().expect_json(201);
    shape::fields(&made, &["token_id", "token", "role"], &["name"]);

    let body = json!({"name": "ci", "role": "admin"});
    let made = team.post("/tokens").json(body).send().expect_json(201);
    assert_eq!((&made["name"], &made["role"]), (&json!("ci"), &json!("admin")));
    let me = Team::new(server.http(), 0, "", &shape::text(&made, "token")).get("/me").send().expect_json(200);
    let expected = json!({
        "team_id": team.id, "team_slug": "acme", "token_id": made["token_id"], "role": "admin",
        "max_artifact_bytes": me["max_artifact_bytes"],
    });
    assert_eq!(me, expected);

    let made = team.post("/tokens").json(json!({"role": "member"})).send().expect_json(201);
    assert_eq!(made["role"], "member");
    team.post("/tokens").json(json!({"role": "owner"})).send().expect_error(400, "invalid_request");
}

#[test]
fn a_members_request_always_yields_member() {
    let server = Server::start();
    let member = server.bootstrap().member();
    for body in [json!({}), json!({"role": "admin"}), json!({"role": "member", "name": "mine"})] {
        let made = member.post("/tokens").json(body).send().expect_json(201);
        assert_eq!(made["role"], "member");
        let me = Team::new(server.http(), 0, "", &shape::text(&made, "token")).get("/me").send();
        assert_eq!(me.expect_json(200)["role"], "member");
    }
}
