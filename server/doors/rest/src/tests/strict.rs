//! Nothing is accepted and ignored, under the fake routes of `plumbing`.

use http::{Method, StatusCode};
use rstest::rstest;

use super::plumbing::{Bed, bed, bed_with};
use super::{error, request, send};
use crate::HttpConfig;

#[rstest]
#[case(r#"{"name":"a"}"#, None)]
#[case(r#"{"nme":"a","name":"a"}"#, Some("nme"))]
#[case(
    r#"{"inner":{"colour":1},"x":{"y":1},"inners":[{},{"name":"b","z":1}]}"#,
    Some("inner.colour, x, inners.1.z")
)]
#[case(r#"{"a, b":1}"#, Some("a%2C%20b"))]
#[tokio::test]
async fn ignored_fields_are_named_in_the_answer(#[case] body: &'static str, #[case] named: Option<&str>) {
    let Bed { service, .. } = &bed_with(HttpConfig::default()).await;
    for path in ["/things", "/defaults"] {
        let response = send(service, request(Method::POST, path, body)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = response.headers().get("x-ignored-fields").map(|value| value.to_str().unwrap());
        assert_eq!(header, named);
    }
}

#[rstest]
#[case(r#"{"nme":"a"}"#, "`nme`; did you mean name?")]
#[case(r#"{"colour":1}"#, "`colour`; this call takes name, size, parts, inner, inners")]
#[case(r#"{"inners":[{"colour":1}]}"#, "`inners.0.colour`")]
#[case(r#"{"name":"a","name":"b"}"#, "`name` in the request body comes twice")]
#[tokio::test]
async fn a_strict_call_refuses_unknown_fields_by_name(#[case] body: &'static str, #[case] named: &str) {
    let Bed { service, .. } = &bed_with(HttpConfig::default()).await;
    let (status, code, message) = error(send(service, request(Method::POST, "/strict", body)).await).await;
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(message.contains(named), "{message}");
}

#[rstest]
#[case("gzip", 400)]
#[case("identity, br", 400)]
#[case("Identity", 200)]
#[case("", 200)]
#[tokio::test]
async fn a_body_that_is_said_to_be_compressed_is_refused_by_name(
    #[case] encoding: &str,
    #[case] expected: u16,
) {
    let Bed { service, .. } = &bed_with(HttpConfig::default()).await;
    let mut sent = request(Method::POST, "/things", r#"{"name":"a"}"#);
    sent.headers_mut().insert("content-encoding", encoding.parse().unwrap());
    let response = send(service, sent).await;
    assert_eq!(response.status(), expected);
    if expected == 400 {
        let (_, code, message) = error(response).await;
        let named = format!("`Content-Encoding: {encoding}`");
        assert!(code == "invalid_request" && message.contains(&named), "{message}");
    }
}

#[tokio::test]
async fn what_is_not_supported_yet_is_refused_by_name_where_unknown_fields_are_ignored() {
    let Bed { service, .. } = &bed_with(HttpConfig::default()).await;
    let (status, _, message) =
        error(send(service, request(Method::POST, "/things", r#"{"a":1,"later":{}}"#)).await).await;
    assert_eq!((status, message.as_str()), (400, "`later` is not supported yet; leave it out"));
}

#[rstest]
#[case("/things/1?wiat=1", "`wiat`; did you mean wait?")]
#[case("/things/1?colour=1&wait=1", "`colour`; it takes wait, label")]
#[case("/things/1?=1", "``")]
#[case("/things/1?wait=1&wait=1", "`wait` is given more than once")]
#[tokio::test]
async fn a_parameter_that_is_not_taken_is_refused_by_name(#[case] path: &str, #[case] named: &str) {
    let Bed { service, .. } = &bed().await;
    let (status, code, message) = error(send(service, request(Method::GET, path, "")).await).await;
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(message.contains(named), "{message}");
    let good = send(service, request(Method::GET, "/things/1?wait=1&label=a&label=b&", "")).await;
    assert_eq!(good.status(), StatusCode::OK);
}

/// Calls that take no body: of the first clients, of ours, and probes.
#[rstest]
#[case("", (200, None), 200, (200, None))]
#[case(" {} ", (200, None), 200, (200, Some("body")))]
#[case("null", (200, None), 200, (200, Some("body")))]
#[case(r#"{"owner":"a"}"#, (200, Some("owner")), 400, (200, Some("body")))]
#[case("[1]", (400, None), 400, (200, Some("body")))]
#[case("{ no json", (400, None), 400, (200, Some("body")))]
#[tokio::test]
async fn a_body_where_none_is_read_is_named_or_refused(
    #[case] body: &'static str,
    #[case] first: (u16, Option<&str>),
    #[case] ours: u16,
    #[case] probe: (u16, Option<&str>),
) {
    let Bed { service, .. } = &bed().await;
    for (method, path, expected) in [
        (Method::GET, "/things/1", first),
        (Method::PUT, "/strict", (ours, None)),
        (Method::GET, "/probe", probe),
    ] {
        let response = send(service, request(method, path, body)).await;
        let named = response.headers().get("x-ignored-fields").map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), named), expected, "{path}");
    }
}

#[tokio::test]
async fn a_probe_may_bring_parameters_of_its_own() {
    let Bed { service, .. } = &bed().await;
    let response = send(service, request(Method::GET, "/probe?cache=1&x=2", "")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-ignored-fields"]),
        (200, &"cache, x".parse().unwrap())
    );
}

#[tokio::test]
async fn an_idempotency_key_where_none_is_read_is_named_or_refused() {
    let Bed { service, .. } = &bed().await;
    for (path, expected) in [("/things", (200, Some("Idempotency-Key"))), ("/strict", (400, None))] {
        let mut request = request(Method::POST, path, "{}");
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        let response = send(service, request).await;
        let named = response.headers().get("x-ignored-fields").map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), named), expected, "{path}");
    }
}
