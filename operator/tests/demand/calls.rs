//! The calls that keep work from a pod, and report its end.

use axum::Router;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::{any, delete, post};
use minitower_operator::demand::{Drained, Ended, ErrorKind, Forgotten};
use rstest::rstest;

use crate::support::{TOKEN, json, plane, refusal, serve};

#[tokio::test]
async fn fences_are_raised_and_lifted_in_the_pools_name() {
    async fn fence(method: Method, headers: HeaderMap, body: String) -> Response {
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(body, r#"{"owner":"pool:ns/p"}"#);
        match method {
            Method::POST => json(200, r#"{"name":"p-1","busy":true,"run_id":7,"draining":true}"#),
            Method::DELETE => json(200, r#"{"name":"p-1","busy":false,"draining":false}"#),
            other => panic!("{other}"),
        }
    }
    let plane = plane(&serve(Router::new().route("/api/v1/admin/runners/p-1/drain", any(fence))).await);
    let drained = plane.drain("p-1", "pool:ns/p").await.unwrap();
    assert_eq!(drained, Drained { busy: true, run_id: Some(7), draining: true });
    let drained = plane.undrain("p-1", "pool:ns/p").await.unwrap();
    assert_eq!(drained, Drained { busy: false, run_id: None, draining: false });
}

#[rstest]
#[case(401, ErrorKind::Unauthorized)]
#[case(404, ErrorKind::NotFound)]
#[case(503, ErrorKind::Server)]
#[case(302, ErrorKind::Refused)]
#[tokio::test]
async fn a_fence_that_was_not_confirmed_is_an_error(#[case] status: u16, #[case] kind: ErrorKind) {
    let refused = any(move || async move { refusal(status, "word", "no") });
    let plane = plane(&serve(Router::new().route("/api/v1/admin/runners/p-1/drain", refused)).await);
    let error = plane.drain("p-1", "pool:ns/p").await.unwrap_err();
    assert_eq!(error.kind(), kind);
    assert!(error.to_string().contains("draining runner p-1: no"), "{error}");
    assert_eq!(plane.undrain("p-1", "pool:ns/p").await.unwrap_err().kind(), kind);
}

#[rstest]
#[case(200, "", Some(Ended::Expired))]
#[case(409, "conflict", Some(Ended::HeldNothing))]
#[case(404, "not_found", Some(Ended::HeldNothing))]
#[case::a_proxys_404(404, "", None)]
#[case(503, "unavailable", None)]
#[tokio::test]
async fn an_end_is_reported_with_the_process_it_was_of(
    #[case] status: u16,
    #[case] code: &'static str,
    #[case] expected: Option<Ended>,
) {
    let ended = move |body: String| async move {
        assert_eq!(body, r#"{"instance_id":"i","reason":"OOMKilled"}"#);
        if code.is_empty() { json(status, r#"{"status":"ok"}"#) } else { refusal(status, code, "no") }
    };
    let plane = plane(&serve(Router::new().route("/api/v1/admin/runners/p-1/ended", post(ended))).await);
    assert_eq!(plane.ended("p-1", "i", "OOMKilled").await.ok(), expected);
}

#[rstest]
#[case(204, "", Some(Forgotten::Gone))]
#[case(404, "not_found", Some(Forgotten::Gone))]
#[case(409, "conflict", Some(Forgotten::Busy))]
#[case::a_proxys_404(404, "", None)]
#[case(500, "internal", None)]
#[tokio::test]
async fn a_runner_is_forgotten_unless_it_holds_a_run(
    #[case] status: u16,
    #[case] code: &'static str,
    #[case] expected: Option<Forgotten>,
) {
    let forget =
        move || async move { if code.is_empty() { json(status, "") } else { refusal(status, code, "no") } };
    let plane = plane(&serve(Router::new().route("/api/v1/admin/runners/p-1", delete(forget))).await);
    assert_eq!(plane.forget("p-1").await.ok(), expected);
}
