//! Runners as administrators see and change them. Fences and ended processes are in the protocol tests.

use minitower_tests::server::{OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::{Response, Runner, Server, Team, shape};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

fn operator(server: &Server, method: &str, path: &str) -> Response {
    server.http().request(method, &format!("/api/v1/admin/runners{path}")).bearer(OPERATOR_TOKEN).send()
}

fn names(list: &Value) -> Vec<String> {
    list["runners"].as_array().unwrap().iter().map(|runner| shape::text(runner, "name")).collect()
}

#[test]
fn a_runner_is_told_with_its_state() {
    let (server, team) = bed();
    let body = json!({"name": "r1", "environment": "staging", "pool": "small"});
    let runner = Runner::register_with(&server, &team.registration_token, body);
    runner.poll_with(0, json!({"instance_id": "i1"})).expect(204);
    let idle = team.runner("r1").unwrap();
    shape::fields(
        &idle,
        &[
            "runner_id",
            "name",
            "environment",
            "status",
            "last_seen_at",
            "scope",
            "team",
            "pool",
            "instance_id",
            "busy",
            "idle_since",
            "draining",
        ],
        &["run_id", "attempt_started_at", "token"],
    );
    assert_eq!((&idle["runner_id"], &idle["environment"]), (&json!(runner.id), &json!("staging")));
    assert_eq!((&idle["status"], &idle["scope"]), (&json!("online"), &json!("team")));
    assert_eq!(idle["team"], team.slug);
    assert_eq!((&idle["pool"], &idle["instance_id"]), (&json!("small"), &json!("i1")));
    assert_eq!((&idle["busy"], &idle["draining"]), (&json!(false), &json!(false)));

    let run = shape::int(&team.run("hello", json!({"environment": "staging"})), "run_id");
    let lease = runner.leased(&runner.poll_with(0, json!({"instance_id": "i1"})));
    lease.start().expect(200);
    let busy = team.runner("r1").unwrap();
    shape::fields(&busy, &["run_id", "attempt_started_at"], &["idle_since"]);
    assert_eq!((&busy["busy"], &busy["run_id"]), (&json!(true), &json!(run)));
    lease.complete().expect(200);
    shape::fields(&team.runner("r1").unwrap(), &["idle_since"], &["run_id", "attempt_started_at"]);
}

#[test]
fn a_team_sees_platform_runners_without_their_runs_and_no_other_teams_runners() {
    let (server, team) = bed();
    let other = server.sign_up("other-team");
    Runner::register_with(&server, &other.registration_token, json!({"name": "theirs"}));
    let platform = Runner::register(&server, "platform");
    let run = team.run_id("hello");
    platform.lease_and_start();
    let seen = team.runner("platform").expect("a team sees the platform's runners");
    assert_eq!((&seen["scope"], &seen["busy"]), (&json!("platform"), &json!(true)));
    shape::fields(&seen, &["name"], &["team", "run_id", "attempt_started_at"]);
    assert!(team.runner("theirs").is_none());

    let list = operator(&server, "GET", "").expect_json(200);
    let mut all = names(&list);
    all.sort();
    assert_eq!(all, ["platform", "theirs"]);
    let seen =
        |name: &str| list["runners"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(seen("platform")["run_id"], run);
    shape::fields(seen("platform"), &["attempt_started_at"], &["team"]);
    assert_eq!(seen("theirs")["team"], "other-team");
}

#[test]
fn labels_of_a_runner_are_those_of_its_newest_registration() {
    let (server, team) = bed();
    let longest = "x".repeat(253);
    let pythons = json!({"python": "3.13.1,3.12.9", "python-downloads": "true"});
    let with_quotes = json!({"a \"b\"": "ü"});
    let too_long: serde_json::Map<_, _> =
        (0..4).map(|number| (format!("l{number}"), json!(longest))).collect();
    for (labels, shown) in [
        (None, None),
        (Some(pythons.clone()), Some(pythons)),
        (Some(with_quotes.clone()), Some(with_quotes)),
        (Some(json!({"python": longest})), Some(json!({"python": longest}))),
        (Some(json!({})), None),
    ] {
        let body = json!({"name": "platform", "labels": labels.unwrap_or_else(|| json!({}))});
        Runner::register_with(&server, REGISTRATION_TOKEN, body);
        let list = operator(&server, "GET", "").expect_json(200);
        // They say nothing secret: a team sees those of the platform's runners, too.
        for seen in [&team.runner("platform").unwrap(), &list["runners"][0]] {
            assert_eq!(seen.get("labels"), shown.as_ref());
        }
    }
    let register = server.http().post("/api/v1/runners/register").bearer(REGISTRATION_TOKEN);
    let body = json!({"name": "platform", "labels": too_long});
    let refused = register.json(body).send().expect_error(400, "invalid_request");
    assert!(refused.contains("labels") && refused.contains("512"), "{refused}");
}

#[test]
fn runners_are_filtered_by_pool_and_environment() {
    let (server, team) = bed();
    for (name, environment, pool) in
        [("a1", "prod", "small"), ("a2", "prod", "large"), ("a3", "test", "small")]
    {
        let body = json!({"name": name, "environment": environment, "pool": pool});
        Runner::register_with(&server, &team.registration_token, body);
    }
    for (query, expected) in [
        ("", vec!["a1", "a2", "a3"]),
        ("?pool=small", vec!["a1", "a3"]),
        ("?environment=prod", vec!["a1", "a2"]),
        ("?environment=prod&pool=small", vec!["a1"]),
        ("?pool=none", vec![]),
    ] {
        assert_eq!(names(&operator(&server, "GET", query).expect_json(200)), expected, "{query}");
        let list = team.get(&format!("/admin/runners{query}")).send().expect_json(200);
        assert_eq!(names(&list), expected, "{query}");
    }
}

#[test]
fn a_forgotten_runner_is_gone_with_its_fences() {
    let (server, team) = bed();
    let first = Runner::register_with(&server, &team.registration_token, json!({"name": "r1"}));
    let run = team.run_id("hello");
    let lease = first.lease_and_start();
    let path = "/admin/runners/r1";
    team.delete(path).send().expect_error(409, "conflict");
    lease.complete().expect(200);
    team.post("/admin/runners/r1/drain").send().expect(200);
    let gone = team.delete(path).send();
    assert!([200, 204].contains(&gone.status), "{}: {}", gone.status, gone.text());
    team.delete(path).send().expect_error(404, "not_found");
    assert!(team.runner("r1").is_none());
    first.poll().expect_error(401, "unauthorized");
    assert_eq!(team.read(run)["runner"], "r1", "a past attempt keeps its runner's name");
    assert_eq!(team.attempts(run)[0]["runner"], "r1");

    let again = Runner::register_with(&server, &team.registration_token, json!({"name": "r1"}));
    team.run_id("hello");
    again.lease();
}

#[test]
fn a_team_changes_only_its_own_runners() {
    let (server, team) = bed();
    let other = server.sign_up("other-team");
    Runner::register(&server, "platform");
    Runner::register_with(&server, &other.registration_token, json!({"name": "theirs"}));
    for name in ["platform", "theirs", "nobody"] {
        team.delete(&format!("/admin/runners/{name}")).send().expect_error(404, "not_found");
        let body = json!({"instance_id": "i1"});
        let ended = team.post(&format!("/admin/runners/{name}/ended")).json(body).send();
        ended.expect_error(404, "not_found");
    }
    let gone = operator(&server, "DELETE", "/theirs");
    assert!([200, 204].contains(&gone.status));
    assert!(other.runner("theirs").is_none());
}
