//! Requests that stay open count for their team until they end.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::matrix::bed::{Bed, Template, Things};

const STREAM: &str = "text/event-stream";

async fn call(bed: &Bed, things: &Things, method: Method, path: &str, accept: &str, body: String) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {}", things.acme_admin))
        .header("accept", accept);
    bed.send(request.body(Body::from(body)).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn a_team_at_its_limit_waits_for_no_run_and_streams_no_log_but_reads_both() {
    let template = Template::make().await;
    let (bed, things) = (template.copy().await, &template.things);
    let get =
        async |path: String, accept| call(&bed, things, Method::GET, &path, accept, String::new()).await;
    let (waits, log) = (format!("/runs/{}?wait=1", things.run), format!("/runs/{}/logs", things.run));
    assert_eq!(get(waits.clone(), "*/*").await, 200);
    assert_eq!(get(log.clone(), "text/plain").await, 200, "what has ended is no longer open");
    for path in [log.clone(), "/runs/events".to_owned()] {
        assert_eq!(get(path, STREAM).await, 200, "what was left is no longer open");
    }
    let none = json!({"long_polls": 0, "streams": 0}).to_string();
    assert_eq!(call(&bed, things, Method::PUT, "/limits", "*/*", none).await, 200);
    assert_eq!((get(waits, "*/*").await, get(log.clone(), "text/plain").await), (429, 429));
    let streams = (get(log.clone(), STREAM).await, get("/runs/events".to_owned(), STREAM).await);
    assert_eq!(streams, (429, 429));
    let at_once = format!("/runs/{}?wait=0", things.run);
    assert_eq!((get(at_once, "*/*").await, get(log, "application/json").await), (200, 200));
}

#[tokio::test]
async fn a_token_that_is_revoked_while_it_waits_hears_nothing() {
    let template = Template::make().await;
    let (bed, things) = (template.copy().await, &template.things);
    let path = format!("/runs/{}?wait=2", things.run);
    let me =
        Request::builder().uri("/api/v1/me").header("authorization", format!("Bearer {}", things.acme_admin));
    let me = bed.send(me.body(Body::empty()).unwrap()).await;
    let id = serde_json::from_str::<serde_json::Value>(&me.body).unwrap()["token_id"].clone();
    let revoke = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        call(&bed, things, Method::DELETE, &format!("/tokens/{id}"), "*/*", String::new()).await
    };
    let waits = call(&bed, things, Method::GET, &path, "*/*", String::new());
    assert_eq!(tokio::join!(waits, revoke), (401, 204));
}
