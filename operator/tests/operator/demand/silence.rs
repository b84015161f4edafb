//! Whatever is not a whole answer of a control plane is an error that names its reason, never a zero.

use std::time::{Duration, Instant};

use minitower_client::wire::runner::{LeaseRequest, Register};
use minitower_operator::demand::ErrorKind;
use minitower_test_plane::{Answer, Plane, REGISTRATION_TOKEN};
use rstest::rstest;
use serde_json::json;

use super::support::{
    DEMAND, METRICS, RUNNERS, check, client, config, config_of, dripping, failure, older_plane, raw,
};

/// A whole answer to the call for demand.
const ANSWER: &str = r#"{"environments":[]}"#;

#[tokio::test]
async fn a_good_answer_is_read_with_its_runners() {
    let plane = Plane::start();
    let team = plane.team("acme");
    team.script("hello", "print('hello')");
    let run = team.run("hello").run_id;
    let pool = Some("ns/p".to_owned());
    let register = Register { name: "p-1".to_owned(), pool, ..Register::default() };
    let runner = plane.runner_with(REGISTRATION_TOKEN, register);
    runner.poll(LeaseRequest { instance_id: Some("i".to_owned()), ..LeaseRequest::default() }).unwrap();
    for _ in 0..3 {
        team.run("hello");
    }
    let snapshot = client(&plane).scrape().await.unwrap();
    assert_eq!(snapshot.pending_in("default", None), 3);
    assert_eq!(snapshot.pending_in("gpu", None), 0);
    let runner = &snapshot.runners[0];
    assert_eq!(
        (runner.name.as_str(), runner.online, runner.busy, runner.run_id),
        ("p-1", true, true, Some(run))
    );
    assert_eq!(runner.instance_id.as_deref(), Some("i"));
    assert_eq!(plane.count(METRICS), 0, "only older control planes are asked for their metrics");
}

#[tokio::test]
async fn a_whole_answer_without_an_environment_is_zero() {
    let plane = Plane::start();
    assert_eq!(client(&plane).scrape().await.unwrap().pending_in("default", None), 0);
}

#[tokio::test]
async fn all_pages_are_read() {
    let plane = Plane::start();
    let place = |name: &str| json!({ "team": "acme", "environment": name, "pending": 2, "active": 1 });
    let first = json!({ "environments": [place("a"), place("b")], "cursor": "acme/b" });
    plane.once(DEMAND, Answer::json(200, &first));
    plane.once(DEMAND, Answer::json(200, &json!({ "environments": [place("c")] })));
    let snapshot = client(&plane).scrape().await.unwrap();
    assert_eq!(["a", "b", "c"].map(|name| snapshot.pending_in(name, None)), [2, 2, 2]);
    let queries: Vec<_> = plane.requests(DEMAND).into_iter().map(|request| request.query).collect();
    assert_eq!(queries, [None, Some("after=acme%2Fb".to_owned())]);
}

#[tokio::test]
async fn a_demand_without_an_end_is_given_up() {
    let plane = Plane::start();
    plane.always(DEMAND, Answer::json(200, &json!({ "environments": [], "cursor": "again" })));
    check(&failure(&config(&plane)).await, ErrorKind::Incomplete, "more than 100 pages");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let error = failure(&config_of("http://127.0.0.1:1")).await;
    check(&error, ErrorKind::Unreachable, "connection refused");
}

#[rstest]
#[case("GET /api/v1/admin/demand", 500)]
#[case("GET /api/v1/admin/demand", 503)]
#[case("GET /metrics", 500)]
#[case("GET /metrics", 503)]
#[case("GET /api/v1/admin/runners", 500)]
#[case("GET /api/v1/admin/runners", 503)]
#[case("GET /api/v1/admin/runners", 429)]
#[tokio::test]
async fn trouble_of_the_server_is_the_servers(#[case] call: &str, #[case] status: u16) {
    let plane = if call == METRICS { older_plane() } else { Plane::start() };
    plane.always(call, Answer::refusal(status, "unavailable", "the disk is full"));
    let said = format!("{call}: the disk is full ({status} unavailable); see its log");
    check(&failure(&config(&plane)).await, ErrorKind::Server, &said);
}

#[tokio::test]
async fn a_refused_token_says_what_to_put_where() {
    let plane = Plane::start();
    let mut config = config(&plane);
    config.token = "mto_another".to_owned();
    check(&failure(&config).await, ErrorKind::Unauthorized, "operatorTokenSecretRef");
}

#[tokio::test]
async fn a_server_without_the_admin_calls_is_too_old() {
    let plane = older_plane();
    plane.always(RUNNERS, Answer::refusal(404, "not_found", "no such endpoint"));
    check(&failure(&config(&plane)).await, ErrorKind::NotFound, "older than this operator");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let plane = Plane::start();
    plane.always(DEMAND, Answer::text(302, "text/plain", "").header("location", "/metrics"));
    check(&failure(&config(&plane)).await, ErrorKind::Refused, "redirects to another address");
    assert_eq!(plane.count(METRICS), 0);
}

#[rstest]
#[case::empty("")]
#[case::a_page("<html>all is well</html>\n")]
#[case::other_json(r#"{"status":"ok"}"#)]
#[case::cut(r#"{"environments":[{"team":"acme","environment":"default","pending":3"#)]
#[case::not_a_number(r#"{"environments":[{"team":"a","environment":"b","pending":-1,"active":0}]}"#)]
#[tokio::test]
async fn a_200_that_is_not_a_control_planes_is_incomplete(#[case] body: &'static str) {
    let plane = Plane::start();
    plane.always(DEMAND, Answer::text(200, "application/json", body));
    check(
        &failure(&config(&plane)).await,
        ErrorKind::Incomplete,
        "GET /api/v1/admin/demand: an unexpected answer",
    );
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_no_answer() {
    let length = ANSWER.len() + 1;
    failure(&raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{ANSWER}")).await).await;
    // Cut off between its chunks.
    let length = ANSWER.len();
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{ANSWER}\r\n");
    failure(&raw(answer).await).await;
}

#[rstest]
#[case(DEMAND)]
#[case(RUNNERS)]
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer(#[case] call: &str) {
    let plane = Plane::start();
    plane.always(call, Answer::break_off());
    failure(&config(&plane)).await;
}

#[tokio::test]
async fn runners_that_cannot_be_read_leave_no_half_answer() {
    let plane = Plane::start();
    plane.always(RUNNERS, Answer::text(200, "application/json", r#"{"runners":[{"runner_id":1,"#));
    check(&failure(&config(&plane)).await, ErrorKind::Incomplete, "GET /api/v1/admin/runners");
}

#[rstest]
#[case::at_the_demand(DEMAND)]
#[case::at_the_metrics(METRICS)]
#[case::at_the_runners(RUNNERS)]
#[tokio::test]
async fn a_server_that_hangs_is_given_up_after_five_seconds(#[case] hanging: &str) {
    let plane = if hanging == METRICS { older_plane() } else { Plane::start() };
    plane.always(hanging, Answer::hang());
    let start = Instant::now();
    check(&failure(&config(&plane)).await, ErrorKind::Unreachable, "within 5s");
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_drips_is_given_up_after_five_seconds() {
    let config = dripping().await;
    let start = Instant::now();
    check(&failure(&config).await, ErrorKind::Unreachable, "within 5s");
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
}
