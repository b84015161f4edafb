//! How long what has ended is kept: what the server, a team and an app say of it.

use minitower_tests::{Response, Server, Team, shape};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

fn set(team: &Team, body: Value) -> Response {
    team.request("PUT", "/retention").json(body).send()
}

fn change(team: &Team, retention: &Value) -> Response {
    team.request("PATCH", "/apps/hello").json(json!({"retention": retention})).send()
}

#[test]
fn a_team_says_how_long_it_keeps_what_has_ended_field_by_field() {
    let server = Server::start();
    let team = server.bootstrap();
    let default = json!({"keep_seconds": 90 * DAY, "keep_last": 100});
    let member = team.member();
    let unset = member.get("/retention").send().expect_json(200);
    assert_eq!(unset, json!({"keep_seconds": 90 * DAY, "keep_last": 100, "default": default}));
    let all = set(&team, json!({"keep_seconds": 0, "keep_last": 5})).expect_json(200);
    assert_eq!(all, json!({"keep_seconds": 0, "keep_last": 5, "default": default}));
    let one = set(&team, json!({"keep_seconds": null})).expect_json(200);
    assert_eq!((&one["keep_seconds"], &one["keep_last"]), (&json!(90 * DAY), &json!(5)));
    assert_eq!(set(&team, json!({})).expect_json(200), one, "nothing is changed");
    assert_eq!(team.get("/retention").send().expect_json(200), one);
    assert_eq!(server.sign_up("another").get("/retention").send().expect_json(200), unset);
    set(&member, json!({"keep_last": 1})).expect_error(403, "forbidden");
    let events = team.get("/audit?limit=2").send().expect_json(200)["events"].clone();
    assert_eq!(
        (&events[0]["action"], &events[0]["object"]),
        (&json!("retention.update"), &json!("retention"))
    );
    assert_eq!(events[1]["action"], "retention.create");
}

#[test]
fn an_app_says_otherwise_for_itself_and_only_an_admin_changes_it() {
    let server = Server::start();
    let team = server.bootstrap();
    let member = team.member();
    let made = team.app("hello");
    shape::fields(&made, &["app_id", "slug", "disabled", "created_at", "updated_at"], &["retention"]);
    let changed = change(&team, &json!({"keep_seconds": DAY})).expect_json(200);
    assert_eq!(changed["retention"], json!({"keep_seconds": DAY}));
    let both = change(&team, &json!({"keep_last": 0})).expect_json(200);
    assert_eq!(both["retention"], json!({"keep_seconds": DAY, "keep_last": 0}), "what is left out stays");
    assert_eq!(team.get("/apps/hello").send().expect_json(200), both);
    let one = change(&team, &json!({"keep_seconds": null})).expect_json(200);
    assert_eq!(one["retention"], json!({"keep_last": 0}));
    let refused = change(&member, &json!({"keep_last": 1})).expect_error(403, "forbidden");
    assert!(refused.contains("retention"), "{refused}");
    change(&member, &Value::Null).expect_error(403, "forbidden");
    let event = team.get("/audit?limit=1").send().expect_json(200)["events"][0].clone();
    assert_eq!(event["object"], "apps/hello/retention");
    shape::fields(&change(&team, &Value::Null).expect_json(200), &["slug"], &["retention"]);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    for (body, named) in [
        (
            json!({"keep_seconds": 1}),
            "keep_seconds must be between 3600 and 3153600000, or 0 for ever, not 1",
        ),
        (json!({"keep_seconds": 3599}), "keep_seconds"),
        (json!({"keep_seconds": 3_153_600_001_i64}), "keep_seconds"),
        (json!({"keep_seconds": -1}), "keep_seconds"),
        (json!({"keep_seconds": 1.5}), "keep_seconds"),
        (json!({"keep_last": -1}), "keep_last"),
        (json!({"keep_last": 1_000_001}), "keep_last"),
        (json!({"keep_days": 30}), "keep_days"),
    ] {
        let refused = set(&team, body.clone()).expect_error(400, "invalid_request");
        assert!(refused.contains(named), "{body}: {refused}");
        let refused = change(&team, &body).expect_error(400, "invalid_request");
        assert!(refused.contains(named), "{body}: {refused}");
    }
    for (good, last) in [(3600, 0), (3_153_600_000_i64, 1_000_000)] {
        let body = json!({"keep_seconds": good, "keep_last": last});
        assert_eq!(set(&team, body.clone()).expect_json(200)["keep_seconds"], good);
        assert_eq!(change(&team, &body).expect_json(200)["retention"], body);
    }
}
