//! Requests that stay open count for their team until they end.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::matrix::bed::{Bed, Template, Things};

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
    let none = json!({"long_polls": 0, "streams": 0}).to_string();
    assert_eq!(call(&bed, things, Method::PUT, "/limits", "*/*", none).await, 200);
    assert_eq!((get(waits, "*/*").await, get(log.clone(), "text/plain").await), (429, 429));
    let at_once = format!("/runs/{}?wait=0", things.run);
    assert_eq!((get(at_once, "*/*").await, get(log, "application/json").await), (200, 200));
}
