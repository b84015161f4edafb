//! Apps.

use minitower_tests::{Artifact, Server, shape};
use serde_json::json;

#[test]
fn an_app_is_created_read_and_listed() {
    let server = Server::start();
    let team = server.bootstrap();
    assert_eq!(team.get("/apps").send().expect_json(200), json!({"apps": []}));
    let body = json!({"slug": "hello", "description": "demo app"});
    let made = team.post("/apps").json(body).send().expect_json(201);
    shape::fields(&made, &["app_id", "slug", "description", "disabled", "created_at", "updated_at"], &[]);
    assert_eq!((&made["slug"], &made["disabled"]), (&json!("hello"), &json!(false)));
    shape::time(&made, "created_at");
    shape::time(&made, "updated_at");
    assert_eq!(team.get("/apps/hello").send().expect_json(200), made);

    let bare = team.app("bare");
    shape::fields(&bare, &["app_id", "slug", "disabled", "created_at", "updated_at"], &["description"]);
    let list = team.get("/apps").send().expect_json(200);
    assert_eq!(list["apps"].as_array().unwrap().len(), 2);
    assert!(list["apps"].as_array().unwrap().contains(&made));
}

#[test]
fn a_slug_is_checked_and_unique_within_the_team() {
    let server = Server::start();
    let team = server.bootstrap();
    let other = server.sign_up("other-team");
    for slug in ["", "ab", "Hello", "1hello", "hello_world", "api", "default"] {
        team.post("/apps").json(json!({"slug": slug})).send().expect_error(400, "invalid_slug");
    }
    team.app("hello");
    team.post("/apps").json(json!({"slug": "hello"})).send().expect_error(409, "slug_taken");
    other.app("hello");
}

#[test]
fn an_unknown_app_is_not_found() {
    let server = Server::start();
    let team = server.bootstrap();
    for path in ["/apps/nothing", "/apps/nothing/versions", "/apps/nothing/versions/1", "/apps/nothing/runs"]
    {
        team.get(path).send().expect_error(404, "not_found");
    }
    team.post("/apps/nothing/runs").json(json!({})).send().expect_error(404, "not_found");
    team.upload("nothing", Some(&Artifact::python("")), &[("entrypoint", "main.py")])
        .expect_error(404, "not_found");
}

#[test]
fn members_may_make_apps() {
    let server = Server::start();
    let member = server.bootstrap().member();
    member.python_app("hello", "print()");
    member.run_id("hello");
}
