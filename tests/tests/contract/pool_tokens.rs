//! Registration tokens that are each one pool's.

use minitower_tests::server::{OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::{Response, Runner, Server, shape};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/admin/pools/team-a/cpu/token";

fn create(server: &Server, body: Value) -> Response {
    server.http().post(PATH).bearer(OPERATOR_TOKEN).json(body).send()
}

fn register(server: &Server, token: &str, body: Value) -> Response {
    server.http().post("/api/v1/runners/register").bearer(token).json(body).send()
}

fn runner() -> Value {
    json!({"name": "cpu-1", "environment": "gpu", "pool": "team-a/cpu"})
}

fn with(more: &Value) -> Value {
    let mut body = runner();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn it_registers_runners_of_its_pool_environment_and_team_and_no_others() {
    let server = Server::start();
    let team = server.bootstrap();
    let made = create(&server, json!({"environment": "gpu", "team": team.slug})).expect_json(201);
    shape::fields(&made, &["pool", "environment", "scope", "team", "token"], &[]);
    assert_eq!((&made["pool"], &made["environment"]), (&json!("team-a/cpu"), &json!("gpu")));
    assert_eq!((&made["scope"], &made["team"]), (&json!("team"), &json!(team.slug)));
    let token = shape::text(&made, "token");
    for (wrong, word) in [
        (json!({"pool": "team-b/cpu"}), "pool must be"),
        (json!({"pool": null}), "pool must be"),
        (json!({"environment": "default"}), "environment must be"),
        (json!({"environment": null}), "environment must be"),
        (json!({"name": "another-1"}), "name must begin with"),
    ] {
        let said = register(&server, &token, with(&wrong)).expect_error(403, "forbidden");
        assert!(said.contains(word) && said.contains("team-a/cpu"), "{said}");
    }
    let registered = register(&server, &token, runner()).expect_json(201);
    assert_eq!(registered["scope"], "team", "the scope is the token's");
    register(&server, &token, runner()).expect(200);
    // It is a registration token and nothing else.
    server.http().get("/api/v1/me").bearer(&token).send().expect_error(401, "unauthorized");
}

#[test]
fn without_a_team_it_is_the_platforms_and_takes_no_name_from_another_pool() {
    let server = Server::start();
    server.bootstrap();
    let made = create(&server, json!({"environment": "gpu"})).expect_json(201);
    shape::fields(&made, &["pool", "environment", "scope", "token"], &["team"]);
    let token = shape::text(&made, "token");
    let of_another = with(&json!({"pool": "team-b/cpu"}));
    register(&server, REGISTRATION_TOKEN, of_another).expect(201);
    register(&server, &token, runner()).expect_error(409, "conflict");
    let own = register(&server, &token, with(&json!({"name": "cpu-2"}))).expect_json(201);
    assert_eq!(own["scope"], "platform");
}

#[test]
fn a_lost_answer_loses_nothing_and_a_used_token_outlives_those_that_were_not() {
    let server = Server::start();
    let token = |body: &Value| shape::text(&create(&server, body.clone()).expect_json(201), "token");
    let body = json!({"environment": "gpu"});
    let used = token(&body);
    register(&server, &used, runner()).expect(201);
    let made: Vec<String> = (0..9).map(|_| token(&body)).collect();
    register(&server, &used, runner()).expect(200);
    register(&server, &made[0], runner()).expect_error(401, "unauthorized");
    register(&server, &made[8], runner()).expect(200);
    // The kubelets have not renewed every pod's file yet.
    register(&server, &used, runner()).expect(200);
}

#[test]
fn revoking_ends_all_of_the_pools_and_no_runner() {
    let server = Server::start();
    let body = json!({"environment": "gpu"});
    let [first, second] =
        [(); 2].map(|()| shape::text(&create(&server, body.clone()).expect_json(201), "token"));
    let running = Runner::register_with(&server, &first, runner());
    let delete = |path: &str| server.http().request("DELETE", path).bearer(OPERATOR_TOKEN).send();
    delete("/api/v1/admin/pools/team-b/cpu/token").expect_error(404, "not_found");
    assert!(delete(PATH).expect(204).text().is_empty());
    for token in [&first, &second] {
        register(&server, token, runner()).expect_error(401, "unauthorized");
    }
    running.idle();
    delete(PATH).expect_error(404, "not_found");
}

#[test]
fn what_cannot_be_bound_is_refused_by_name() {
    let server = Server::start();
    server.bootstrap();
    for (body, word) in [
        (json!({"environment": "GPU"}), "environment"),
        (json!({"team": "nobody"}), "team is \"nobody\": it may be the slug of a team"),
        (json!({"team": ""}), "team"),
        (json!({"scope": "platform"}), "scope"),
    ] {
        let said = create(&server, body).expect_error(400, "invalid_request");
        assert!(said.contains(word), "{said}");
    }
    for (path, word) in
        [("team-a/Cpu", "pool must be"), ("a%2Fb/cpu", "namespace must be"), ("-/cpu", "namespace must be")]
    {
        let path = format!("/api/v1/admin/pools/{path}/token");
        let said = server.http().post(&path).bearer(OPERATOR_TOKEN).json(json!({})).send();
        let said = said.expect_error(400, "invalid_request");
        assert!(said.contains(word), "{said}");
    }
    // An empty body is a pool of the platform in `default`.
    let made = server.http().post(PATH).bearer(OPERATOR_TOKEN).send().expect_json(201);
    assert_eq!((&made["environment"], &made["scope"]), (&json!("default"), &json!("platform")));
}
