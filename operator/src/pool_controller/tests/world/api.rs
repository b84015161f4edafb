//! The API server: objects by path, versions, `/scale`, merge patches, status by server-side apply.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::objects::{NAMESPACE, merged};
use super::{Fault, Shared, State};

/// A client of this API server.
pub(super) fn client(shared: &Arc<Shared>) -> Client {
    let shared = Arc::clone(shared);
    let service = tower::service_fn(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    Client::new(service, NAMESPACE)
}

type Answer = (u16, Value);

async fn answer(shared: &Shared, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let bytes = body.collect_bytes().await.unwrap();
    let body: Value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    let path = head.uri.path().to_owned();
    let (answer, fault) = {
        let mut state = shared.lock();
        let fault = name(&head.method, &path, &body).and_then(|call| state.note(&call));
        let answer = match fault {
            Some(Fault::Fail(code)) => refusal(code, "told to fail"),
            Some(Fault::Forbid) => refusal(403, "it is forbidden: User \"operator\" cannot do this"),
            _ => act(&mut state, &head.method, &path, &body),
        };
        state.check();
        (answer, fault)
    };
    match fault {
        Some(Fault::Crash) => {
            shared.crashed.notify_one();
            std::future::pending::<()>().await;
        }
        Some(Fault::Silence) => std::future::pending::<()>().await,
        _ => {}
    }
    let (code, body) = answer;
    let text = serde_json::to_vec(&body).unwrap();
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(Body::from(text)).unwrap()
}

/// The text under which a call is recorded. Calls that only read, and Events, are not recorded.
fn name(method: &Method, path: &str, body: &Value) -> Option<String> {
    let mut parts = path.rsplit('/');
    let (last, kind) = (parts.next()?, parts.next()?);
    let replicas = &body["spec"]["replicas"];
    Some(match (method.as_str(), kind, last) {
        ("GET", "secrets", name) => format!("read Secret {name}"),
        ("GET", ..) | (_, _, "events") => return None,
        ("POST", _, "secrets") => format!("create Secret {}", body["metadata"]["name"].as_str()?),
        ("PATCH", "secrets", name) => format!("write Secret {name}"),
        ("POST", _, "poddisruptionbudgets") => "budget".to_owned(),
        ("POST", _, "deployments") => format!("create {replicas}"),
        ("PUT", deployment, "scale") => format!("scale {deployment} {replicas}"),
        ("PUT", "deployments", name) => format!("restore {name} {replicas}"),
        ("DELETE", "deployments", name) => format!("delete {name}"),
        ("PATCH", "pods", pod) => {
            let annotations = &body["metadata"]["annotations"];
            if let Some(shielded) = body["metadata"]["labels"].get("minitower.dev/shielded") {
                return Some(format!("{} {pod}", if shielded.is_null() { "unshield" } else { "shield" }));
            }
            let verb = if annotations["controller.kubernetes.io/pod-deletion-cost"].is_null() {
                "unmark"
            } else {
                "mark"
            };
            format!("{verb} {pod}")
        }
        ("PATCH", _, "status") => "status".to_owned(),
        ("POST" | "PUT", ..) if path.contains("/leases") => {
            format!("lease {}", body["spec"]["holderIdentity"])
        }
        (method, ..) => format!("{method} {path}"),
    })
}

fn scale_of(object: &Value) -> Value {
    json!({ "metadata": object["metadata"], "spec": { "replicas": object["spec"]["replicas"] } })
}

fn act(state: &mut State, method: &Method, path: &str, body: &Value) -> Answer {
    let given = body["metadata"]["resourceVersion"].as_str();
    match (method.as_str(), path) {
        ("POST", _) if path.ends_with("/events") => {
            let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
            state.events.push((text("reason"), text("note")));
            (201, body.clone())
        }
        ("GET", _) if path.ends_with("/events") => {
            let items: Vec<Value> =
                state.paths("events").iter().map(|path| state.objects[path].clone()).collect();
            (200, json!({ "metadata": {}, "items": items }))
        }
        ("GET", _) if path.ends_with("/scale") => {
            let path = path.trim_end_matches("/scale");
            state.objects.get(path).map_or_else(|| missing(path), |object| (200, scale_of(object)))
        }
        ("GET", _) => state.objects.get(path).map_or_else(|| missing(path), |object| (200, object.clone())),
        ("POST", _) => {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if state.objects.contains_key(&path) {
                return refusal(409, "already exists");
            }
            (201, state.put(&path, body.clone()))
        }
        ("PUT", _) if path.ends_with("/scale") => {
            let path = path.trim_end_matches("/scale");
            let Some(mut object) = state.objects.get(path).cloned() else { return missing(path) };
            if stale(&object, given) {
                return refusal(409, "the object has been modified");
            }
            object["spec"]["replicas"] = body["spec"]["replicas"].clone();
            (200, scale_of(&state.put(path, object)))
        }
        ("PUT", _) => {
            let Some(old) = state.objects.get(path).cloned() else { return missing(path) };
            if stale(&old, given) {
                return refusal(409, "the object has been modified");
            }
            let mut new = body.clone();
            // As the API server does: a replaced object belongs to whoever replaced it.
            new["metadata"].as_object_mut().unwrap().remove("managedFields");
            new["metadata"]["uid"] = old["metadata"]["uid"].clone();
            (200, state.put(path, new))
        }
        ("PATCH", _) if path.ends_with("/status") => {
            let path = path.trim_end_matches("/status");
            let Some(mut object) = state.objects.get(path).cloned() else { return missing(path) };
            if object["metadata"]["uid"] != body["metadata"]["uid"] {
                return refusal(409, "Precondition failed: UID in precondition");
            }
            object["status"] = body["status"].clone();
            (200, state.put(path, object))
        }
        ("PATCH", _) => {
            let Some(object) = state.objects.get(path).cloned() else { return missing(path) };
            if stale(&object, given) {
                return refusal(409, "the object has been modified");
            }
            (200, state.put(path, merged(object, body)))
        }
        ("DELETE", _) => {
            let Some(object) = state.objects.get(path).cloned() else { return missing(path) };
            if stale(&object, body["preconditions"]["resourceVersion"].as_str()) {
                return refusal(409, "the object has been modified");
            }
            state.objects.remove(path);
            (200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
        }
        _ => refusal(405, "no such call"),
    }
}

/// Whether a write carries another version than the object has. A write without a version is never refused.
fn stale(object: &Value, given: Option<&str>) -> bool {
    given.is_some_and(|given| object["metadata"]["resourceVersion"] != given)
}

fn missing(path: &str) -> Answer {
    refusal(404, &format!("{path} not found"))
}

fn refusal(code: u16, message: &str) -> Answer {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        403 => "Forbidden",
        422 => "Invalid",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    (code, status)
}
