//! The plumbing under fake routes: what a request meets before and beside its handler.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::routing::MethodFilter;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http::{Method, StatusCode};
use rstest::rstest;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{error, json, request, send};
use crate::extract::{Json, OptionalJson, Path, Query};
use crate::routes::{Route, assemble, row};
use crate::strict::{Fields, Parameter, Takes};
use crate::{Access, ApiError, HttpConfig, HttpMetrics, HttpState, Limits};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Thing {
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: Option<i64>,
    #[serde(default)]
    parts: Vec<i64>,
    #[serde(default)]
    inner: Option<Inner>,
    #[serde(default)]
    inners: Vec<Inner>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Inner {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct ThingPath {
    thing: i64,
}

#[derive(Deserialize)]
struct ThingQuery {
    wait: Option<u8>,
}

async fn show(
    Path(ThingPath { thing }): Path<ThingPath>,
    Query(query): Query<ThingQuery>,
) -> Json<(i64, u8)> {
    Json((thing, query.wait.unwrap_or(0)))
}

async fn make(Json(thing): Json<Thing>) -> Json<Thing> {
    Json(thing)
}

async fn make_default(OptionalJson(thing): OptionalJson<Thing>) -> Json<Thing> {
    Json(thing)
}

async fn guarded(Path(_): Path<ThingPath>, Json(thing): Json<Thing>) -> Json<Thing> {
    Json(thing)
}

async fn empty() -> Json<()> {
    Json(())
}

async fn panics() -> Result<Json<()>, ApiError> {
    panic!("the test asked for it")
}

/// What the fake routes take: `wait` in the query, and bodies of posts.
fn takes(body: bool, fields: Fields) -> Arc<Takes> {
    let parameter = |name: &str, repeatable| Parameter { name: name.to_owned(), repeatable };
    let query = vec![parameter("wait", false), parameter("label", true)];
    Arc::new(Takes { query, body, idempotency_key: false, fields, not_yet: &["later"] })
}

fn get<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    row(Method::GET, MethodFilter::GET, path, (access, takes(false, Fields::Named)), handler)
}

fn post<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    row(Method::POST, MethodFilter::POST, path, (access, takes(true, Fields::Named)), handler)
}

pub(super) struct Bed {
    pub(super) service: Router,
    state: HttpState,
    _folder: TempDir,
}

pub(super) async fn bed() -> Bed {
    bed_with(HttpConfig { limits: Limits { request_body: 64, artifact: 1024 }, ..HttpConfig::default() })
        .await
}

pub(super) async fn bed_with(config: HttpConfig) -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let subjects = super::subjects(folder.path(), Some("let-me-in")).await;
    let state = HttpState::new(subjects, config, HttpMetrics::new("test").unwrap());
    let table = vec![
        get("/things/{thing}", Access::Public, show),
        post("/things", Access::Public, make),
        post("/defaults", Access::Public, make_default),
        post("/guarded/{thing}", Access::Bootstrap, guarded),
        get("/panics", Access::Public, panics),
        row(
            Method::POST,
            MethodFilter::POST,
            "/strict",
            (Access::Public, takes(true, Fields::Refused)),
            make_default,
        ),
        row(
            Method::PUT,
            MethodFilter::PUT,
            "/strict",
            (Access::Public, takes(false, Fields::Refused)),
            empty,
        ),
        row(
            Method::GET,
            MethodFilter::GET,
            "/probe",
            (Access::Public, takes(false, Fields::Anything)),
            empty,
        ),
    ];
    Bed { service: assemble(table, state.clone()), state, _folder: folder }
}

/// The statuses of these paths, in their order.
async fn statuses(service: &Router, paths: [&str; 4]) -> Vec<u16> {
    let mut found = Vec::new();
    for path in paths {
        found.push(send(service, request(Method::GET, path, "")).await.status().as_u16());
    }
    found
}

#[tokio::test]
async fn metrics_with_an_address_of_their_own_are_served_there_alone() {
    let paths = ["/metrics", "/health", "/ready", "/api/v1/me"];
    for (metrics_elsewhere, expected) in [(false, 200), (true, 404)] {
        let Bed { state, .. } = bed_with(HttpConfig { metrics_elsewhere, ..HttpConfig::default() }).await;
        assert_eq!(statuses(&crate::router(state.clone()), paths).await, [expected, 200, 200, 401]);
        assert_eq!(statuses(&crate::watching_router(state), paths).await, [200, 200, 200, 404]);
    }
}

#[tokio::test]
async fn a_server_that_is_about_to_stop_is_not_ready_and_answers_all_the_same() {
    let Bed { state, .. } = bed().await;
    let service = crate::router(state.clone());
    state.announce_stop();
    let (status, code, message) = error(send(&service, request(Method::GET, "/ready", "")).await).await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (503, "unavailable", "the server is about to stop")
    );
    assert_eq!(
        statuses(&service, ["/health", "/version", "/metrics", "/api/v1/me"]).await,
        [200, 200, 200, 401]
    );
}

#[tokio::test]
async fn an_unknown_path_is_a_json_404() {
    let Bed { service, .. } = &bed().await;
    let (status, code, message) = error(send(service, request(Method::GET, "/nope", "")).await).await;
    assert_eq!((status, code.as_str()), (404, "not_found"));
    assert!(message.contains("/nope"));
}

#[tokio::test]
async fn an_unknown_method_is_a_json_405_with_allow() {
    let Bed { service, .. } = &bed().await;
    let response = send(service, request(Method::PUT, "/things", "")).await;
    assert_eq!(response.headers()[ALLOW], "POST");
    let (status, code, _) = error(response).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));

    let response = send(service, request(Method::POST, "/guarded/1/", "")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let response = send(service, request(Method::DELETE, "/guarded/1", "")).await;
    assert_eq!(
        response.status(),
        StatusCode::METHOD_NOT_ALLOWED,
        "a method no route takes needs no credential"
    );
}

#[rstest]
#[case("/things/abc", "thing")]
#[case("/things/1.5", "thing")]
#[case("/things/99999999999999999999", "thing")]
#[case("/things/%FF", "thing")]
#[case("/things/1?wait=x", "the parameter `wait` must be a whole number from 0 to 255, not \"x\"")]
#[case("/things/1?wait=", "`wait` must be a whole number from 0 to 255, not \"\"")]
#[case("/things/1?wait=-1", "`wait` must be a whole number from 0 to 255, not \"-1\"")]
#[case("/things/1?wait=1&wait=2", "wait")]
#[tokio::test]
async fn a_bad_id_or_query_is_400_and_named(#[case] path: &str, #[case] named: &str) {
    let Bed { service, .. } = &bed().await;
    let (status, code, message) = error(send(service, request(Method::GET, path, "")).await).await;
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(message.contains(named), "{message}");
}

#[rstest]
#[case("", "empty")]
#[case("{", "not valid JSON")]
#[case("{} x", "not valid JSON")]
#[case("\u{1}", "not valid JSON")]
#[case("[\"name\"]", "the request body must be an object, not a list")]
#[case("{\"a\": 1,}", "not valid JSON: character 9 follows a comma too many")]
#[case("null", "the request body must be an object, not null")]
#[case("7", "the request body must be an object, not a number or a truth value")]
#[case("\"name\"", "the request body must be an object, not a text")]
#[case("{\"size\":\"big\"}", "`size` in the request body must be a whole number, not the text \"big\"")]
#[case("{\"size\":1.5}", "`size` in the request body must be a whole number, not 1.5")]
#[case("{\"parts\":[1,\"x\"]}", "`parts.1` in the request body must be a whole number")]
#[case("{\"inner\":{\"name\":[]}}", "`inner.name` in the request body must be a text, not a list")]
#[case("{\"name\":\"a\",\"name\":\"b\"}", "`name` in the request body comes twice")]
#[tokio::test]
async fn an_undecodable_body_is_400_and_says_where(#[case] body: &'static str, #[case] named: &str) {
    let Bed { service, .. } = &bed().await;
    let (status, code, message) = error(send(service, request(Method::POST, "/things", body)).await).await;
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(message.contains(named), "{message}");
}

#[tokio::test]
async fn a_body_of_more_values_than_may_be_is_refused_and_text_is_not_taken_for_values() {
    let limits = Limits { request_body: 1024 * 1024, artifact: 1024 };
    let Bed { service, .. } = &bed_with(HttpConfig { limits, ..HttpConfig::default() }).await;
    let commas = format!("{{\"name\":\"{}\"}}", ",[{\\\"".repeat(180_000));
    assert_eq!(send(service, request(Method::POST, "/things", commas)).await.status(), StatusCode::OK);
    let numbers = format!("{{\"parts\":[{}0]}}", "0,".repeat(150_000));
    let objects = format!("{{\"unknown\":[{}0]}}", "{\"\":0},".repeat(60_000));
    for body in [numbers, objects] {
        let (status, _, message) = error(send(service, request(Method::POST, "/things", body)).await).await;
        assert_eq!((status, message.contains("more than 100000 values")), (400, true), "{message}");
    }
}

#[tokio::test]
async fn text_that_is_no_utf8_is_refused_in_fields_nobody_reads_too() {
    let Bed { service, .. } = &bed().await;
    for body in [&b"{\"name\":\"\xff\"}"[..], b"{\"unknown\":\"\xff\"}", b"{\"\xff\":1}", b"\xef\xbb\xbf{}"] {
        let (status, code, message) =
            error(send(service, request(Method::POST, "/things", body)).await).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"));
        assert!(message.contains("not valid JSON"), "{message}");
    }
}

#[tokio::test]
async fn a_body_is_read_as_json_whatever_its_content_type_and_unknown_fields_are_ignored() {
    let Bed { service, .. } = &bed().await;
    for content_type in [None, Some("application/x-www-form-urlencoded"), Some("text/plain")] {
        let mut request = request(Method::POST, "/things", r#"{"name":"a","new":1}"#);
        if let Some(value) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, value.parse().unwrap());
        }
        assert_eq!(json(send(service, request).await).await["name"], "a");
    }
}

#[tokio::test]
async fn an_optional_body_may_be_empty_but_not_wrong() {
    let Bed { service, .. } = &bed().await;
    for body in ["", " \n", "{}"] {
        let response = send(service, request(Method::POST, "/defaults", body)).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    let (status, _, _) = error(send(service, request(Method::POST, "/defaults", "{")).await).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let Bed { service, .. } = &bed().await;
    let body = "x".repeat(65);
    let mut announced = request(Method::POST, "/things", body.clone());
    announced.headers_mut().insert(CONTENT_LENGTH, 65.into());
    let chunks = body.as_bytes().chunks(10).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
    let chunks: Vec<_> = chunks.collect();
    let chunked = request(Method::POST, "/things", Body::from_stream(futures_util::stream::iter(chunks)));
    for request in [announced, chunked] {
        let (status, code, message) = error(send(service, request).await).await;
        assert_eq!((status, code.as_str()), (413, "payload_too_large"));
        assert!(message.contains("64"));
    }
}

#[tokio::test]
async fn a_body_in_many_pieces_is_put_together() {
    let Bed { service, .. } = &bed().await;
    let pieces: Vec<_> =
        br#"{"name":"abcdef"}"#.chunks(3).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    assert_eq!(json(send(service, request(Method::POST, "/things", body)).await).await["name"], "abcdef");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_refused_after_its_deadline() {
    let Bed { service, .. } = &bed().await;
    let body = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let (status, code, message) = error(send(service, request(Method::POST, "/things", body)).await).await;
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(message.contains("30 s"), "{message}");
}

#[tokio::test]
async fn authentication_comes_before_path_and_body() {
    let Bed { service, .. } = &bed().await;
    for credential in [None, Some("Bearer wrong"), Some("Basic let-me-in"), Some("let-me-in")] {
        let mut request = request(Method::POST, "/guarded/no-number", "{ no json");
        if let Some(value) = credential {
            request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
        }
        let (status, code, _) = error(send(service, request).await).await;
        assert_eq!((status, code.as_str()), (401, "unauthorized"), "{credential:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let mut request = request(Method::POST, "/guarded/1", "{}");
        request.headers_mut().insert(AUTHORIZATION, format!("{scheme} let-me-in").parse().unwrap());
        assert_eq!(send(service, request).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn without_a_bootstrap_token_its_route_is_404() {
    let folder = tempfile::tempdir().unwrap();
    let subjects = super::subjects(folder.path(), None).await;
    let state = HttpState::new(subjects, HttpConfig::default(), HttpMetrics::new("test").unwrap());
    let service = &assemble(vec![post("/guarded/{thing}", Access::Bootstrap, guarded)], state);
    let mut request = request(Method::POST, "/guarded/1", "{}");
    request.headers_mut().insert(AUTHORIZATION, "Bearer let-me-in".parse().unwrap());
    assert_eq!(error(send(service, request).await).await.0, 404);
}

#[tokio::test]
async fn a_panic_is_a_json_500_and_the_next_request_is_served() {
    let Bed { service, .. } = &bed().await;
    let (status, code, message) = error(send(service, request(Method::GET, "/panics", "")).await).await;
    assert_eq!((status, code.as_str()), (500, "internal"));
    assert!(!message.contains("asked for it"), "the cause belongs in the log: {message}");
    assert_eq!(send(service, request(Method::GET, "/things/1", "")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn every_answer_carries_the_request_id() {
    let Bed { service, .. } = &bed().await;
    for path in ["/things/1", "/nope", "/panics", "/guarded/1"] {
        let mut request = request(Method::GET, path, "");
        request.headers_mut().insert("x-request-id", "req-7".parse().unwrap());
        assert_eq!(send(service, request).await.headers()["x-request-id"], "req-7", "{path}");
    }
    let fresh = send(service, request(Method::GET, "/nope", "")).await;
    assert_eq!(fresh.headers()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn requests_are_counted_by_template_and_unknown_paths_and_methods_share_a_label() {
    let Bed { service, state, .. } = &bed().await;
    for path in ["/things/1", "/things/2", "/things/x", "/a", "/b"] {
        send(service, request(Method::GET, path, "")).await;
    }
    send(service, request(Method::from_bytes(b"BREW").unwrap(), "/c", "")).await;
    send(service, request(Method::PUT, "/things", "")).await;
    let mut text = String::new();
    state.metrics().encode(&[], &mut text).unwrap();
    for line in [
        r#"minitower_http_requests_total{method="GET",path="/things/{thing}",status="200"} 2"#,
        r#"minitower_http_requests_total{method="GET",path="/things/{thing}",status="400"} 1"#,
        r#"minitower_http_requests_total{method="GET",path="unmatched",status="404"} 2"#,
        r#"minitower_http_requests_total{method="OTHER",path="unmatched",status="404"} 1"#,
        r#"minitower_http_requests_total{method="PUT",path="/things",status="405"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn only_configured_origins_get_cors_headers() {
    let origin = "https://tower.example.com";
    let Bed { service, .. } =
        &bed_with(HttpConfig { cors_origins: vec![origin.parse().unwrap()], ..HttpConfig::default() }).await;
    for (from, allowed) in [(origin, true), ("https://evil.example.com", false)] {
        let mut request = request(Method::OPTIONS, "/things", "");
        request.headers_mut().insert(ORIGIN, from.parse().unwrap());
        request.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
        request.headers_mut().insert("access-control-request-headers", "authorization".parse().unwrap());
        let response = send(service, request).await;
        let answered =
            response.headers().get("access-control-allow-origin").is_some_and(|value| value == from);
        assert_eq!(answered, allowed);
        let may_send = response.headers()["access-control-allow-headers"].to_str().unwrap();
        for header in
            ["authorization", "idempotency-key", "last-event-id", "if-none-match", "if-range", "range"]
        {
            assert!(may_send.split(',').any(|one| one == header), "a page may not send {header}: {may_send}");
        }
    }
    let mut request = request(Method::GET, "/things/1", "");
    request.headers_mut().insert(ORIGIN, origin.parse().unwrap());
    let response = send(service, request).await;
    let readable = response.headers()["access-control-expose-headers"].to_str().unwrap();
    for header in ["x-ignored-fields", "retry-after", "x-request-id", "etag", "content-range"] {
        assert!(readable.contains(header), "a page may not read {header}: {readable}");
    }
}
