//! On every route of the table: what it does not know is refused by name, or named in the answer. A new route is tested by
//! being there.

use axum::body::Body;
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt as _;
use minitower_rest::{Access, Route, table};
use serde_json::{Value, json};

use crate::matrix::bed::{Answer, Template, Things};
use crate::matrix::callers::{Caller, Kind, known};
use crate::matrix::calls::Call;

/// A name that no call has.
const NOBODYS: &str = "nobodys";

/// Where an identity provider sends browsers back to.
const CALLBACK: &str = "/api/v1/auth/oidc/callback";
/// What takes a form of a page.
const CONFIRM: &str = "/api/v1/auth/oidc/confirm";

/// The fields that are named in an answer.
fn named(answer: &Answer) -> Option<&str> {
    answer.headers.get("x-ignored-fields").map(|value| value.to_str().unwrap())
}

/// A good call of a route by somebody who may make it.
pub(super) fn good(route: &Route, things: &Things) -> Request<Body> {
    let kind = match route.access {
        Access::Public
        | Access::Team
        | Access::Runs
        | Access::TeamAdmin
        | Access::OwnToken
        | Access::Admin => Kind::AcmeAdmin,
        Access::Bootstrap => Kind::Bootstrap,
        Access::Registration => Kind::AcmeRegistration,
        Access::Runner => Kind::AcmeRunner,
        Access::Lease => Kind::Holder,
        Access::Operator => Kind::Operator,
    };
    let is_the_one = |caller: &Caller| caller.kind == kind;
    let caller = known(things).into_iter().find(is_the_one).unwrap();
    Call::of(route).request(route, things, &caller)
}

#[tokio::test]
async fn no_route_takes_a_parameter_that_it_does_not_know_or_one_twice() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let before = bed.content();
    for route in table() {
        let what = format!("{} {}", route.method, route.path);
        // Probes, and identity providers, send parameters of their own.
        let returns = route.path == CALLBACK;
        let probe = returns || ["/health", "/ready", "/metrics"].contains(&route.path);
        for query in ["nobodys=1", "nobodys", "limit=1&nobodys=", "limit=1&limit=1", "wait=0&wait=0"] {
            let mut request = good(&route, &template.things);
            *request.uri_mut() = Uri::try_from(format!("{}?{query}", request.uri())).unwrap();
            let answer = bed.send(request).await;
            if probe {
                assert_eq!(answer.status, if returns { 404 } else { 200 }, "{what}?{query}: {answer:?}");
                assert!(named(&answer).is_some(), "{what}?{query}: {answer:?}");
            } else {
                assert_eq!(answer.status, 400, "{what}?{query}: {answer:?}");
                let name = if query.contains(NOBODYS) { "`" } else { query.split('=').next().unwrap() };
                assert!(answer.body.contains(name), "{what}?{query}: {answer:?}");
            }
        }
    }
    assert_eq!(bed.content(), before, "a refused call changed something");
}

#[tokio::test]
async fn no_route_ignores_a_field_without_saying_so() {
    let template = Template::make().await;
    let (mut strict, mut lenient) = (Vec::new(), Vec::new());
    for route in table() {
        let what = format!("{} {}", route.method, route.path);
        let request = good(&route, &template.things);
        // Forms have tests of their own, and what an artifact consists of is its own business.
        let form = request.headers().contains_key("content-type") || route.path == CONFIRM;
        if form || route.method == "PUT" || route.path == CALLBACK {
            continue;
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut body: Value =
            if body.is_empty() { json!({}) } else { serde_json::from_slice(&body).unwrap() };
        body[NOBODYS] = 1.into();
        let bed = template.copy().await;
        let before = bed.content();
        let answer = bed.send(Request::from_parts(parts, Body::from(body.to_string()))).await;
        if answer.status == 400 {
            assert!(answer.body.contains(NOBODYS) || answer.body.contains("no body"), "{what}: {answer:?}");
            assert_eq!(named(&answer), None, "{what}: {answer:?}");
            assert_eq!(bed.content(), before, "{what}: a refused call changed something");
            strict.push(what);
        } else {
            assert!(answer.status.is_success(), "{what}: {answer:?}");
            assert!(matches!(named(&answer), Some(NOBODYS | "body")), "{what}: {answer:?}");
            lenient.push(what);
        }
    }
    // The calls of the clients that were there first, as the contract lists them.
    for first in ["POST /api/v1/runs/lease", "POST /api/v1/teams/login", "POST /api/v1/apps/{app}/runs"] {
        assert!(lenient.iter().any(|what| what == first), "{first}: {lenient:#?}");
    }
    for ours in ["POST /api/v1/environments", "DELETE /api/v1/admin/runners/{name}/drain"] {
        assert!(strict.iter().any(|what| what == ours), "{ours}: {strict:#?}");
    }
}

#[tokio::test]
async fn lifting_a_fence_with_its_owner_in_the_query_lifts_none() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let fence = |method: &str, query: &str| {
        Request::builder()
            .method(method)
            .uri(format!("/api/v1/admin/runners/acme-runner/drain{query}"))
            .header("authorization", format!("Bearer {}", template.things.acme_admin))
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(bed.send(fence("POST", "")).await.status, 200);
    let before = bed.content();
    assert_eq!(bed.send(fence("DELETE", "?owner=x")).await.status, 400);
    assert_eq!(bed.content(), before);
}

#[tokio::test]
async fn a_log_is_given_as_text_to_whoever_asks_for_text() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let ask = |query: &str, accept: &'static str| {
        let run = template.things.run;
        let mut request = Request::get(format!("/api/v1/runs/{run}/logs{query}"))
            .header("authorization", format!("Bearer {}", template.things.acme_admin))
            .body(Body::empty())
            .unwrap();
        request.headers_mut().insert("accept", HeaderValue::from_static(accept));
        request
    };
    let text = bed.send(ask("", "text/plain")).await;
    assert_eq!((text.status.as_u16(), text.body.as_str()), (200, "acme-secret\n"));
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");
    let name = format!("attachment; filename=\"run-{}.log\"", template.things.run);
    assert_eq!(text.headers["content-disposition"], name.as_str());
    let none = bed.send(ask("?attempt=1", "text/plain")).await;
    assert_eq!((none.status.as_u16(), none.body.as_str()), (200, ""));
    for (query, accept, named) in [
        ("?limit=1", "text/plain", "limit"),
        ("?after_seq=-1", "text/plain", "after_seq"),
        ("?after_seq=-1", "*/*", "after_seq"),
        ("?stream=stdin", "*/*", "stream"),
        ("?limit=1", "text/event-stream", "limit"),
        ("?after_seq=-1", "text/event-stream", "after_seq"),
    ] {
        let refused = bed.send(ask(query, accept)).await;
        assert_eq!(refused.status, 400, "{query} {accept}: {refused:?}");
        assert!(refused.body.contains(named), "{query} {accept}: {refused:?}");
    }
}
