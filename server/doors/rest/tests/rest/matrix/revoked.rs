//! A credential that is revoked while a body is on its way: whatever the call, it is 401 and changes nothing.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use minitower_rest::{Access, Route, table};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

use super::bed::{Bed, Template, Things};
use super::callers::{Caller, Kind};
use super::calls::Call;

/// How a credential ends: the call that does it, who makes it, and what it says.
struct End {
    method: Method,
    path: String,
    token: String,
    body: Value,
}

/// A credential that opens the routes of that access, of its own so that nothing else depends on it, and how it ends. None: it is a secret in
/// the settings of the server, or there is none.
async fn credential(bed: &Bed, access: Access, things: &Things) -> Option<(Caller, End)> {
    let end = |method, path: String, token: &str, body| End { method, path, token: token.to_owned(), body };
    let admin = &things.acme_admin;
    match access {
        Access::Public | Access::Bootstrap | Access::Operator => None,
        Access::Registration => {
            let made = bed.ask("/registration-tokens", admin, json!({})).await;
            let path = format!("/registration-tokens/{}", made["id"]);
            let caller = Caller::of(Kind::AcmeRegistration, made["token"].as_str().unwrap(), things);
            Some((caller, end(Method::DELETE, path, admin, Value::Null)))
        }
        Access::Team | Access::Runs | Access::TeamAdmin | Access::OwnToken | Access::Admin => {
            let made = bed.ask("/tokens", admin, json!({"role": "admin"})).await;
            let path = format!("/tokens/{}", made["token_id"]);
            let caller = Caller::of(Kind::AcmeAdmin, made["token"].as_str().unwrap(), things);
            Some((caller, end(Method::DELETE, path, admin, Value::Null)))
        }
        Access::Runner | Access::Lease => {
            let (kind, token, name) = match access {
                Access::Lease => (Kind::Holder, &things.holder, "acme-holder"),
                _ => (Kind::AcmeRunner, &things.acme_runner, "acme-runner"),
            };
            let again = "/runners/register".to_owned();
            let end = end(Method::POST, again, &things.acme_registration, json!({"name": name}));
            Some((Caller::of(kind, token, things), end))
        }
    }
}

/// Sends the first half of the call's body, has `between` done, and sends the rest.
async fn halves(
    bed: &Bed,
    route: &Route,
    caller: &Caller,
    things: &Things,
    between: impl AsyncFnOnce(),
) -> super::bed::Answer {
    let (parts, body) = Call::of(route).request(route, things, caller).into_parts();
    let mut bytes = body.collect().await.unwrap().to_bytes();
    if bytes.is_empty() {
        // What every call takes that needs no body.
        bytes = Bytes::from_static(b"{}");
    }
    let rest = bytes.split_off(bytes.len() / 2);
    let (sender, mut pieces) = mpsc::unbounded_channel::<Result<Bytes, Infallible>>();
    sender.send(Ok(bytes)).unwrap();
    let body = Body::from_stream(stream::poll_fn(move |cx| pieces.poll_recv(cx)));
    let answer = bed.send(Request::from_parts(parts, body));
    let then = async {
        // Until the head has been looked at and the first half is taken.
        sleep(Duration::from_millis(30)).await;
        between().await;
        // Broken off already, it may be read by nobody any more.
        let _ = sender.send(Ok(rest));
        drop(sender);
    };
    tokio::join!(answer, then).0
}

#[tokio::test]
async fn a_call_whose_credential_is_revoked_before_its_body_has_come_is_refused_and_changes_nothing() {
    let template = Template::make().await;
    let things = &template.things;
    let mut refused = 0;
    for route in table() {
        let what = format!("{} {}", route.method, route.path);
        let bed = template.copy().await;
        let Some((caller, end)) = credential(&bed, route.access, things).await else { continue };
        let (good, _) = Call::of(&route).expected(&route, caller.kind);
        let answer = halves(&bed, &route, &caller, things, async || ()).await;
        assert_eq!(answer.status, good, "{what}, in two halves: {answer:?}");

        let bed = template.copy().await;
        let (caller, _) = credential(&bed, route.access, things).await.unwrap();
        let mut before = None;
        let answer = halves(&bed, &route, &caller, things, async || {
            let mut request = Request::builder()
                .method(end.method.clone())
                .uri(format!("/api/v1{}", end.path))
                .header("authorization", format!("Bearer {}", end.token));
            request = request.header("content-type", "application/json");
            let body = if end.body.is_null() { Body::empty() } else { end.body.to_string().into() };
            let ended = bed.send(request.body(body).unwrap()).await;
            assert!(ended.status.is_success(), "{what}: {ended:?}");
            before = Some(bed.content().received());
        })
        .await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert!(Some(bed.content()) == before, "{what} changed something, or left something behind");
        refused += 1;
    }
    assert!(refused > 30, "{refused}");
}
