//! The control plane, on a loopback port.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Extracted};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::objects::{NAMESPACE, POOL};
use super::{Fault, Shared, State, TOKEN};

/// Serves until the test's runtime ends. Returns its URL.
pub(super) async fn serve(shared: &Arc<Shared>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(shared));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn answer(Extracted(shared): Extracted<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (answer, fault) = {
        let mut state = shared.lock();
        let path = head.uri.path();
        let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        state.heard.extend(token.map(str::to_owned));
        if let Some(code) = state.plane_fails {
            (refusal(code, "unavailable"), None)
        } else if token != Some(&format!("Bearer {TOKEN}")) {
            (refusal(401, "unauthorized"), None)
        } else {
            let fault = name(head.method.as_str(), path).and_then(|call| state.note(&call));
            let answer = match fault {
                Some(Fault::Fail(code)) => refusal(code, "internal"),
                _ => act(&mut state, head.method.as_str(), path, &body),
            };
            state.check();
            (answer, fault)
        }
    };
    match fault {
        Some(Fault::Crash) => {
            shared.crashed.notify_one();
            std::future::pending().await
        }
        Some(Fault::Silence) => std::future::pending().await,
        _ => answer,
    }
}

/// The runner in a path, and what is done with it.
fn parts(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/api/v1/admin/runners/")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// The pool in a path about its registration token.
fn pool(path: &str) -> Option<&str> {
    path.strip_prefix("/api/v1/admin/pools/")?.strip_suffix("/token")
}

fn name(method: &str, path: &str) -> Option<String> {
    if let Some(pool) = pool(path) {
        return Some(format!("{} token of {pool}", if method == "POST" { "make" } else { "revoke" }));
    }
    let (runner, what) = parts(path)?;
    let verb = match (method, what) {
        ("POST", "drain") => "fence",
        ("DELETE", "drain") => "unfence",
        ("POST", "ended") => "ended",
        ("DELETE", "") => "forget",
        _ => "unknown call for",
    };
    Some(format!("{verb} {runner}"))
}

fn act(state: &mut State, method: &str, path: &str, body: &Value) -> Response {
    if path == "/api/v1/admin/demand" {
        let place =
            json!({ "team": "acme", "environment": "default", "pending": state.pending, "active": 0 });
        return json_answer(200, &json!({ "environments": [place] }));
    }
    if let Some(pool) = pool(path) {
        let key = format!("{NAMESPACE}/{POOL}");
        assert_eq!(pool, key);
        if method == "DELETE" {
            state.pool_tokens.clear();
            return StatusCode::NO_CONTENT.into_response();
        }
        let token = format!("mtg_{}", state.pool_tokens.len());
        state.pool_tokens.push((token.clone(), body.clone()));
        let environment = &body["environment"];
        let made = json!({ "pool": pool, "environment": environment, "scope": "platform", "token": token });
        return json_answer(201, &made);
    }
    if let Some(pool) = path.strip_prefix("/api/v1/admin/pools/") {
        assert_eq!(pool, format!("{NAMESPACE}/{POOL}"));
        state.reports.push(body.clone());
        let refused = state.refuses_reports.map(|code| refusal(code, "not_found"));
        return refused.unwrap_or_else(|| StatusCode::NO_CONTENT.into_response());
    }
    let Some((name, what)) = parts(path) else {
        let draining = |name: &str| state.fences.iter().any(|(runner, _)| runner == name);
        let runners: Vec<Value> = state
            .runners
            .iter()
            .map(|(name, runner)| {
                let mut shown = runner.clone();
                shown["draining"] = json!(draining(name));
                shown
            })
            .collect();
        return json_answer(200, &json!({ "runners": runners }));
    };
    let busy = state.runners.get(name).is_some_and(|runner| runner["busy"] == true);
    match (method, what) {
        (_, "drain") => {
            let fence = (name.to_owned(), body["owner"].as_str().unwrap().to_owned());
            if method == "POST" {
                state.fences.insert(fence);
            } else {
                state.fences.remove(&fence);
            }
            let draining = state.fences.iter().any(|(runner, _)| runner == name);
            json_answer(200, &json!({ "name": name, "busy": busy, "draining": draining }))
        }
        ("POST", "ended") => {
            let same =
                state.runners.get(name).is_some_and(|runner| runner["instance_id"] == body["instance_id"]);
            if !busy || !same {
                return refusal(409, "conflict");
            }
            state.finish(name);
            json_answer(200, &json!({ "status": "ok" }))
        }
        _ if busy => refusal(409, "conflict"),
        _ => {
            state.runners.remove(name);
            state.fences.retain(|(runner, _)| runner != name);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

fn refusal(code: u16, word: &str) -> Response {
    json_answer(code, &json!({ "error": { "code": word, "message": "told to refuse" } }))
}

fn json_answer(code: u16, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(code).unwrap(), headers, body.to_string()).into_response()
}
