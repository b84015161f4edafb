//! What a team may use.

use minitower_tests::server::OPERATOR_TOKEN;
use minitower_tests::{Http, Runner, Server, Team, shape};
use serde_json::{Value, json};

const NAMES: [&str; 15] = [
    "requests_per_second",
    "runs_per_day",
    "queued_runs",
    "active_runs",
    "priority_max",
    "timeout_seconds",
    "tokens",
    "environments",
    "apps",
    "runners",
    "log_bytes_per_run",
    "artifact_bytes",
    "storage_bytes",
    "long_polls",
    "streams",
];

fn allow(http: &Http, team: &Team, limits: Value) -> Value {
    let path = format!("/api/v1/admin/teams/{}/limits", team.slug);
    http.request("PUT", &path).bearer(OPERATOR_TOKEN).json(limits).send().expect_json(200)
}

#[test]
fn each_limit_says_what_applies_what_is_used_and_what_may_be_chosen() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let limits = team.member().get("/limits").send().expect_json(200);
    shape::fields(&limits, &NAMES, &[]);
    for name in NAMES {
        for number in ["limit", "allowed", "default"] {
            assert!(limits[name][number].is_u64(), "{name}: {limits}");
        }
    }
    let used = |name: &str| limits[name]["used"].as_u64();
    assert_eq!((used("queued_runs"), used("runs_per_day"), used("apps")), (Some(1), Some(1), Some(1)));
    assert_eq!((used("tokens"), used("environments")), (Some(2), Some(1)));
    assert!(used("storage_bytes") > Some(0) && used("requests_per_second").is_some(), "{limits}");
    assert_eq!(used("priority_max"), None, "each run is bounded on its own");
    assert_eq!(limits["timeout_seconds"]["limit"], 7 * 24 * 3600);
}

#[test]
fn the_operator_allows_and_admins_choose_within_it() {
    let server = Server::start();
    let (team, http) = (server.bootstrap(), server.http());
    let set = |limits: Value| team.request("PUT", "/limits").json(limits).send();
    assert_eq!(set(json!({"apps": 5})).expect_json(200)["apps"]["limit"], 5);
    let too_much = set(json!({"apps": 1001, "tokens": 5})).expect_error(400, "invalid_request");
    assert!(
        too_much.contains("apps") && too_much.contains("1001") && too_much.contains("1000"),
        "{too_much}"
    );
    assert_eq!(team.get("/limits").send().expect_json(200)["tokens"]["limit"], 1000, "all or nothing");
    let allowed = allow(http, &team, json!({"apps": 2000}));
    assert_eq!((&allowed["apps"]["limit"], &allowed["apps"]["allowed"]), (&json!(5), &json!(2000)));
    assert_eq!(set(json!({"apps": null})).expect_json(200)["apps"]["limit"], 2000);

    for wrong in
        [json!({"app": 5}), json!({"apps": -1}), json!({"apps": "5"}), json!({"tokens": 0}), json!([])]
    {
        let refused = set(wrong.clone()).expect_error(400, "invalid_request");
        let named = wrong.as_object().into_iter().flat_map(|object| object.keys()).next();
        assert!(named.is_none_or(|name| refused.contains(name.as_str())), "{refused}");
    }
    team.member().request("PUT", "/limits").json(json!({"apps": 1})).send().expect_error(403, "forbidden");
    let path = format!("/admin/teams/{}/limits", team.slug);
    team.get(&path).send().expect_error(401, "unauthorized");
    let nobody = http.get("/api/v1/admin/teams/nobody/limits").bearer(OPERATOR_TOKEN).send();
    nobody.expect_error(404, "not_found");
}

#[test]
fn past_a_count_is_409_and_past_a_rate_429_and_both_name_the_limit() {
    let server = Server::start();
    let (team, http) = (server.bootstrap(), server.http());
    team.python_app("hello", "print()");
    allow(http, &team, json!({"queued_runs": 1, "apps": 1, "priority_max": 3, "timeout_seconds": 60}));
    team.run_id("hello");
    let create = |body: Value| team.post("/apps/hello/runs").json(body).send();
    let full = create(json!({})).expect_error(409, "conflict");
    assert!(full.contains("queued_runs of 1"), "{full}");
    let apps = team.post("/apps").json(json!({"slug": "second"})).send().expect_error(409, "conflict");
    assert!(apps.contains("apps of 1"), "{apps}");
    for (body, name) in
        [(json!({"priority": -4}), "priority_max"), (json!({"timeout_seconds": 61}), "timeout_seconds")]
    {
        let refused = create(body).expect_error(400, "invalid_request");
        assert!(refused.contains(name), "{refused}");
    }
    allow(http, &team, json!({"queued_runs": 10, "runs_per_day": 1}));
    let day = create(json!({}));
    let wait: u64 = day.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=24 * 3600).contains(&wait), "{wait}");
    assert!(day.expect_error(429, "rate_limited").contains("runs_per_day of 1"));

    allow(http, &team, json!({"requests_per_second": 1}));
    let answers: Vec<_> = (0..5).map(|_| team.get("/me").send()).collect();
    let refused: Vec<_> = answers.into_iter().filter(|answer| answer.status == 429).collect();
    assert!(refused.len() >= 3, "{}", refused.len());
    assert_eq!(refused[0].header("Retry-After"), Some("1"));
    // Whoever else calls is not held up.
    server.sign_up("other-team").get("/me").send().expect(200);
}

#[test]
fn a_lease_tells_the_runner_the_limits_of_its_run() {
    let server = Server::start();
    let (team, http) = (server.bootstrap(), server.http());
    team.python_app("hello", "print()");
    allow(http, &team, json!({"log_bytes_per_run": 100_000, "artifact_bytes": 10, "long_polls": 0}));
    team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease();
    assert_eq!(lease.body["limits"]["log_bytes"], 100_000);
    assert_eq!(lease.body["limits"]["artifacts_bytes"], 10);
    let own = Runner::register_with(&server, &team.registration_token, json!({"name": "own"}));
    let answer = own.poll_with(1, json!({}));
    assert_eq!(answer.status, 429, "it may not wait");
    assert_eq!(own.poll().status, 204);
}
