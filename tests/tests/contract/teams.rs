//! Bootstrap, sign-up, login, and who the caller is.

use minitower_tests::server::BOOTSTRAP_TOKEN;
use minitower_tests::{Response, Runner, Server, Team, shape};
use serde_json::{Value, json};

fn bootstrap(server: &Server, body: Value) -> Response {
    server.http().post("/api/v1/bootstrap/team").bearer(BOOTSTRAP_TOKEN).json(body).send()
}

fn sign_up(server: &Server, body: Value) -> Response {
    server.http().post("/api/v1/teams/signup").json(body).send()
}

fn login(server: &Server, body: Value) -> Response {
    server.http().post("/api/v1/teams/login").json(body).send()
}

#[test]
fn bootstrap_makes_the_team_and_its_tokens() {
    let server = Server::start();
    let made = bootstrap(&server, json!({"slug": "acme", "name": "Acme"})).expect_json(201);
    shape::fields(&made, &["team_id", "slug", "token", "role", "registration_token"], &[]);
    assert_eq!((&made["slug"], &made["role"]), (&json!("acme"), &json!("admin")));
}

#[test]
fn bootstrap_again_answers_200_and_only_the_registration_token_is_replaced() {
    let server = Server::start();
    let body = json!({"slug": "acme", "name": "Acme", "password": "first password"});
    let first = bootstrap(&server, body).expect_json(201);
    let again = bootstrap(&server, json!({"slug": "acme", "name": "Acme"})).expect_json(200);
    shape::fields(&again, &["team_id", "slug", "token", "role", "registration_token"], &[]);
    assert_eq!(first["team_id"], again["team_id"]);
    assert_ne!(first["token"], again["token"]);
    for answer in [&first, &again] {
        let team = Team::new(server.http(), 0, "acme", &shape::text(answer, "token"));
        team.get("/me").send().expect(200);
    }
    let register = |answer: &Value, name: &str| {
        let token = shape::text(answer, "registration_token");
        server.http().post("/api/v1/runners/register").bearer(&token).json(json!({"name": name})).send()
    };
    register(&first, "r1").expect_error(401, "unauthorized");
    register(&again, "r2").expect(201);

    login(&server, json!({"slug": "acme", "password": "first password"})).expect(201);
    let body = json!({"slug": "acme", "name": "Acme", "password": "second password"});
    bootstrap(&server, body).expect(200);
    login(&server, json!({"slug": "acme", "password": "first password"})).expect_error(401, "unauthorized");
    login(&server, json!({"slug": "acme", "password": "second password"})).expect(201);
}

#[test]
fn bootstrap_refuses_a_second_team_and_bad_slugs() {
    let server = Server::start();
    let slugs =
        ["", "ab", "Acme", "1acme", "acme_x", "a cme", "api", "admin", "system", "internal", "default"];
    for slug in slugs {
        bootstrap(&server, json!({"slug": slug, "name": "Acme"})).expect_error(400, "invalid_slug");
    }
    let long = "a".repeat(33);
    bootstrap(&server, json!({"slug": long, "name": "Acme"})).expect_error(400, "invalid_slug");
    bootstrap(&server, json!({"slug": "a".repeat(32), "name": "Acme"})).expect(201);
    bootstrap(&server, json!({"slug": "other", "name": "Other"})).expect_error(409, "team_exists");
}

#[test]
fn bootstrap_answers_404_when_it_is_not_configured() {
    let server = Server::builder().without("MINITOWER_BOOTSTRAP_TOKEN").start();
    for token in [BOOTSTRAP_TOKEN, "", "x"] {
        let request = server.http().post("/api/v1/bootstrap/team").bearer(token);
        request.json(json!({"slug": "acme", "name": "Acme"})).send().expect_error(404, "not_found");
    }
}

#[test]
fn sign_up_makes_a_team_that_can_log_in() {
    let server = Server::start();
    let body = json!({"slug": "acme", "name": "Acme", "password": "correct horse"});
    let made = sign_up(&server, body.clone()).expect_json(201);
    shape::fields(&made, &["team_id", "slug", "token", "role", "registration_token"], &[]);
    sign_up(&server, body).expect_error(409, "slug_taken");
    let slug = json!({"slug": "admin", "name": "Acme", "password": "correct horse"});
    sign_up(&server, slug).expect_error(400, "invalid_slug");

    let answer = login(&server, json!({"slug": "acme", "password": "correct horse"})).expect_json(201);
    shape::fields(&answer, &["team_id", "token", "token_id", "role"], &[]);
    assert_eq!(answer["team_id"], made["team_id"]);
    let me = Team::new(server.http(), 0, "acme", &shape::text(&answer, "token")).get("/me").send();
    let me = me.expect_json(200);
    shape::fields(&me, &["team_id", "team_slug", "token_id", "role"], &[]);
    assert_eq!((&me["team_slug"], &me["token_id"]), (&json!("acme"), &answer["token_id"]));
}

#[test]
fn sign_up_needs_a_password_and_is_403_when_off() {
    let server = Server::start();
    for body in
        [json!({"slug": "acme", "name": "Acme"}), json!({"slug": "acme", "name": "Acme", "password": ""})]
    {
        sign_up(&server, body).expect_error(400, "invalid_request");
    }
    let server = Server::builder().env("MINITOWER_PUBLIC_SIGNUP_ENABLED", "false").start();
    let body = json!({"slug": "acme", "name": "Acme", "password": "correct horse"});
    sign_up(&server, body).expect_error(403, "forbidden");
}

#[test]
fn a_login_that_fails_never_says_why() {
    let server = Server::start();
    let without_password = server.bootstrap().slug;
    sign_up(&server, json!({"slug": "other", "name": "Other", "password": "correct horse"})).expect(201);
    for body in [
        json!({}),
        json!({"slug": "other"}),
        json!({"password": "x"}),
        json!({"slug": "", "password": "x"}),
        json!({"slug": "other", "password": ""}),
    ] {
        login(&server, body).expect_error(400, "invalid_request");
    }
    let messages: Vec<String> = ["other", "unknown", without_password.as_str(), "Not A Slug"]
        .into_iter()
        .map(|slug| {
            login(&server, json!({"slug": slug, "password": "wrong"})).expect_error(401, "unauthorized")
        })
        .collect();
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
}

#[test]
fn failed_logins_are_throttled_by_slug_and_good_ones_are_not_in_the_way() {
    let server = Server::start();
    for slug in ["acme", "other"] {
        sign_up(&server, json!({"slug": slug, "name": slug, "password": "correct horse"})).expect(201);
    }
    for _ in 0..25 {
        login(&server, json!({"slug": "other", "password": "correct horse"})).expect(201);
    }
    for _ in 0..20 {
        login(&server, json!({"slug": "acme", "password": "wrong"})).expect_error(401, "unauthorized");
    }
    let answer = login(&server, json!({"slug": "acme", "password": "wrong"}));
    let seconds: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    answer.expect_error(429, "rate_limited");
    login(&server, json!({"slug": "other", "password": "correct horse"})).expect(201);
}

#[test]
fn runners_of_a_bootstrapped_team_register_with_its_own_token() {
    let server = Server::start();
    let team = server.bootstrap();
    Runner::register_with(&server, &team.registration_token, json!({"name": "ours"}));
    assert_eq!(team.runner("ours").unwrap()["scope"], "team");
}
