//! Whatever is not a whole answer of a control plane is an error that names its reason, never a zero.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use minitower_operator::demand::{ControlPlaneConfig, ControlPlaneError, ErrorKind};
use rstest::rstest;

use crate::support::{METRICS, RUNNERS, TOKEN, config, healthy, json, plane, raw, refusal, runners, serve};

async fn failure(config: &ControlPlaneConfig) -> ControlPlaneError {
    let error = plane(config).scrape().await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("control plane {}: ", config.url)), "{text}");
    assert!(!text.contains('\n') && !text.contains(TOKEN) && !format!("{error:?}").contains(TOKEN), "{text}");
    error
}

#[track_caller]
fn check(error: &ControlPlaneError, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_good_answer_is_read_with_its_runners() {
    let snapshot = plane(&serve(healthy(&Arc::default())).await).scrape().await.unwrap();
    assert_eq!(snapshot.pending_in("default", None), 3);
    assert_eq!(snapshot.pending_in("gpu", None), 0);
    let runner = snapshot.runners_of("ns/p").next().unwrap();
    assert_eq!(
        (runner.name.as_str(), runner.online, runner.busy, runner.run_id),
        ("p-1", true, true, Some(7))
    );
    assert_eq!(runner.instance_id.as_deref(), Some("i"));
}

#[tokio::test]
async fn a_whole_answer_without_a_series_is_zero() {
    let router = Router::new()
        .route("/metrics", get(|| async { "minitower_build_info 1\n" }))
        .route("/api/v1/admin/runners", get(runners));
    let snapshot = plane(&serve(router).await).scrape().await.unwrap();
    assert_eq!(snapshot.pending_in("default", None), 0);
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    check(
        &failure(&config("http://127.0.0.1:1".to_owned())).await,
        ErrorKind::Unreachable,
        "connection refused",
    );
}

#[rstest]
#[case("/metrics", 500)]
#[case("/metrics", 503)]
#[case("/api/v1/admin/runners", 500)]
#[case("/api/v1/admin/runners", 503)]
#[case("/api/v1/admin/runners", 429)]
#[tokio::test]
async fn trouble_of_the_server_is_the_servers(#[case] path: &str, #[case] status: u16) {
    let trouble = get(move || async move { refusal(status, "unavailable", "the disk is full") });
    let router = if path == "/metrics" {
        Router::new().route(path, trouble).route("/api/v1/admin/runners", get(runners))
    } else {
        Router::new().route("/metrics", get(|| async { METRICS })).route(path, trouble)
    };
    let error = failure(&serve(router).await).await;
    check(
        &error,
        ErrorKind::Server,
        &format!("GET {path}: the disk is full ({status} unavailable); see its log"),
    );
}

#[tokio::test]
async fn a_refused_token_says_what_to_put_where() {
    let mut config = serve(healthy(&Arc::default())).await;
    config.token = "mto_another".to_owned();
    let error = failure(&config).await;
    check(&error, ErrorKind::Unauthorized, "operatorTokenSecretRef");
    assert!(!error.to_string().contains("mto_another"));
}

#[tokio::test]
async fn a_server_without_the_admin_calls_is_too_old() {
    let router = Router::new().route("/metrics", get(|| async { METRICS }));
    check(&failure(&serve(router).await).await, ErrorKind::NotFound, "older than this operator");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = serve(healthy(&Arc::new(AtomicUsize::new(0)))).await.url;
    let redirect = move || async move { (StatusCode::FOUND, [("location", format!("{elsewhere}/metrics"))]) };
    let router = Router::new().route("/metrics", get(redirect)).route("/api/v1/admin/runners", get(runners));
    check(&failure(&serve(router).await).await, ErrorKind::Refused, "sends its callers elsewhere");
}

#[rstest]
#[case::empty("", "lack minitower_build_info")]
#[case::a_page("<html>all is well</html>\n", "lack minitower_build_info")]
#[case::another_exporter(
    "up 1\nminitower_runs_pending{team=\"a\",environment=\"default\"} 0\n",
    "lack minitower_build_info"
)]
#[case::cut_in_a_line("minitower_build_info 1\nminitower_runs_pend", "end within a line")]
#[case::garbled("minitower_build_info 1\nminitower_runs_pending{team=\"a\"} x\n", "cannot read a line")]
#[tokio::test]
async fn a_200_that_is_no_control_planes_is_incomplete(#[case] body: &'static str, #[case] words: &str) {
    let router = Router::new()
        .route("/metrics", get(move || async move { body }))
        .route("/api/v1/admin/runners", get(runners));
    check(&failure(&serve(router).await).await, ErrorKind::Incomplete, words);
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_no_answer() {
    let length = METRICS.len() + 1;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{METRICS}");
    failure(&raw(answer).await).await;
    // Cut off between its chunks, after a line's end.
    let length = METRICS.len();
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{METRICS}\r\n");
    failure(&raw(answer).await).await;
}

#[tokio::test]
async fn an_answer_whose_end_is_the_connections_is_no_answer() {
    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{METRICS}");
    check(&failure(&raw(answer).await).await, ErrorKind::Incomplete, "how long the metrics are");
}

#[tokio::test]
async fn runners_that_cannot_be_read_leave_no_half_answer() {
    let cut = &RUNNERS[..RUNNERS.len() / 2];
    let router = Router::new()
        .route("/metrics", get(|| async { METRICS }))
        .route("/api/v1/admin/runners", get(move || async move { json(200, cut) }));
    check(&failure(&serve(router).await).await, ErrorKind::Incomplete, "GET /api/v1/admin/runners");
}

#[rstest]
#[case::at_the_metrics("/metrics")]
#[case::at_the_runners("/api/v1/admin/runners")]
#[tokio::test]
async fn a_server_that_hangs_is_given_up_after_five_seconds(#[case] hanging: &str) {
    let silent = get(std::future::pending::<&'static str>);
    let router = if hanging == "/metrics" {
        Router::new().route("/metrics", silent)
    } else {
        Router::new().route("/metrics", get(|| async { METRICS })).route(hanging, silent)
    };
    let config = serve(router).await;
    let start = Instant::now();
    check(&failure(&config).await, ErrorKind::Unreachable, "within 5s");
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_drips_is_given_up_after_five_seconds() {
    let drip = || async {
        let lines = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, std::convert::Infallible>("minitower_build_info 1\n"), ()))
        });
        axum::body::Body::from_stream(lines)
    };
    let config = serve(Router::new().route("/metrics", get(drip))).await;
    let start = Instant::now();
    check(&failure(&config).await, ErrorKind::Unreachable, "no whole answer within 5s");
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
}
