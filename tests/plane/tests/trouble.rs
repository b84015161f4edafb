//! The proxy does what it is told, and nothing else.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use minitower_client::wire::runner::LeaseRequest;
use minitower_client::wire::runs::{CreateRun, RunStatus};
use minitower_client::{ClientConfig, RunnerClient, TeamClient};
use minitower_test_plane::{Answer, Call, Gate, Plane, Team};
use serde_json::json;

/// A plane, its team with the app `hello`, and that team's calls by way of the proxy.
fn plane() -> (Plane, Team, TeamClient) {
    let plane = Plane::start();
    let team = plane.team("acme");
    team.script("hello", "print('hello')");
    let client = TeamClient::new(&plane.config(), &team.token).unwrap();
    (plane, team, client)
}

#[test]
fn plain_tests_prepare_and_see_a_whole_run() {
    let (plane, team, _) = plane();
    let run = team.run("hello").run_id;
    let runner = plane.runner("r-1");
    let lease = runner.lease();
    assert_eq!(lease.run_id, run);
    runner.start(&lease);
    runner.log(&lease, 1, &["one", "two"]);
    runner.exit_with(&lease, 0, Some(json!({"n": 1})));
    assert_eq!(team.read(run).status, RunStatus::Completed);
    assert_eq!(team.log(run), "one\ntwo\n");
    assert_eq!(plane.count(Call::any()), 0, "the proxy has nothing to do with it");
}

#[tokio::test]
async fn requests_pass_and_are_recorded() {
    let (plane, team, client) = plane();
    let run = CreateRun { input: Some(json!({"name": "x"})), ..CreateRun::default() };
    let made = client.create_run("hello", &run).await.unwrap();
    assert_eq!(team.read(made.run_id), made);
    let request = plane.answered("POST /apps/hello/runs", 1).await.remove(0);
    assert_eq!((request.token(), request.answered), (Some(team.token.as_str()), Some(201)));
    assert_eq!((request.json(), request.decode::<CreateRun>()), (json!({"input": {"name": "x"}}), run));
    assert_eq!(plane.count("GET /runs/*"), 0);
}

#[tokio::test]
async fn an_answer_in_the_servers_place_has_no_effect_unless_told() {
    let (plane, team, client) = plane();
    let call = "POST /apps/*/runs";
    plane.once(call, Answer::refusal(429, "rate_limited", "slower").header("retry-after", "7"));
    plane.once(call, Answer::status(503).after_effect());
    plane.once(call, Answer::cut());
    plane.once(call, Answer::cut().after_effect());
    let create = async || client.create_run("hello", &CreateRun::default()).await;
    let error = create().await.unwrap_err();
    assert_eq!((error.status(), error.retry_after()), (Some(429), Some(Duration::from_secs(7))));
    assert_eq!(create().await.unwrap_err().status(), Some(503));
    assert!(create().await.unwrap_err().is_transport());
    assert!(create().await.unwrap_err().is_transport());
    assert_eq!(create().await.unwrap().run_no, 3);
    let ids: Vec<_> = plane.requests(call).iter().map(|request| request.answered).collect();
    assert_eq!(ids, [Some(429), Some(503), None, None, Some(201)]);
    assert_eq!(team.read(1).run_no, 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_and_no_answer_at_all_are_seen_by_the_client() {
    let (plane, _, client) = plane();
    plane.once("GET /me", Answer::break_off());
    assert!(client.me().await.unwrap_err().is_transport());
    let config = ClientConfig { request_timeout: Duration::from_millis(50), ..plane.config() };
    let hasty = TeamClient::new(&config, "t").unwrap();
    let rule = plane.always("GET /me", Answer::hang());
    assert!(hasty.me().await.unwrap_err().is_transport());
    plane.lift(rule);
    assert_eq!(client.me().await.unwrap().team_slug, "acme");
}

#[tokio::test]
async fn an_older_servers_answers_lack_what_it_did_not_know() {
    let (plane, team, _) = plane();
    let runner = plane.runner("r");
    plane.always("POST /runs/lease", Answer::without(&["lease_ttl_ms", "team_id"]));
    let client = RunnerClient::new(&plane.config()).unwrap();
    let poll = async || client.lease(&runner.token, 0, &LeaseRequest::default()).await.unwrap();
    assert!(poll().await.is_none(), "a 204 passes");
    team.run("hello");
    let leased = poll().await.unwrap();
    assert_eq!((leased.lease.lease_ttl_ms, leased.lease.team_id), (None, None));
    assert!(leased.server_date.is_some(), "the headers are the server's");
}

#[tokio::test]
async fn a_gate_holds_what_a_delay_only_slows() {
    let (plane, _, client) = plane();
    let gate = Gate::closed();
    plane.once("GET /me", Answer::real().held_by(&gate));
    let held = tokio::spawn(async move { client.me().await.map(|me| me.team_slug) });
    let request = plane.seen("GET /me", 1).await.remove(0);
    assert_eq!(request.answered, None);
    gate.open();
    assert_eq!(held.await.unwrap().unwrap(), "acme");
    let client = TeamClient::new(&plane.config(), plane.team("acme").token).unwrap();
    plane.once(Call::any(), Answer::real().delayed(Duration::from_millis(20)));
    let began = Instant::now();
    client.me().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn a_client_that_goes_away_goes_away_from_the_server_too() {
    let (plane, _, _) = plane();
    let runner = plane.runner("r");
    let client = RunnerClient::new(&plane.config()).unwrap();
    let token = runner.token.clone();
    let poll = tokio::spawn(async move { client.lease(&token, 60, &LeaseRequest::default()).await });
    plane.seen("POST /runs/lease", 1).await;
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    // A held poll of a client that is gone must not take the run.
    plane.team("acme").run("hello");
    assert!(runner.poll(LeaseRequest::default()).is_some());
}

#[tokio::test]
async fn a_condition_narrows_a_call() {
    let (plane, _, client) = plane();
    let second = Call::from("POST /apps/*/runs").when(|request| request.json()["priority"] == 2);
    plane.always(&second, Answer::status(503));
    let with = |priority| CreateRun { priority: Some(priority), ..CreateRun::default() };
    assert!(client.create_run("hello", &with(1)).await.is_ok());
    assert!(client.create_run("hello", &with(2)).await.is_err());
    assert_eq!((plane.count(&second), plane.count("POST /apps/**")), (1, 2));
}
