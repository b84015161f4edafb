//! The calls of the runner protocol.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use minitower_client::wire::runner::{LeaseRequest, LogBatch, Register, RunResult};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ArchiveTrouble, Shared, State};

/// All of them.
pub(super) fn router(shared: Shared) -> axum::Router {
    axum::Router::new()
        .route("/api/v1/runners/register", post(register))
        .route("/api/v1/runners/sign-off", post(sign_off))
        .route("/api/v1/runs/lease", post(lease))
        .route("/api/v1/runs/{run}/artifact", get(artifact))
        .route("/api/v1/runs/{run}/artifacts/{*path}", put(upload))
        .route("/api/v1/runs/{run}/{verb}", post(attempt_call))
        .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(shared)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn as_json(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refusal(status: StatusCode) -> Response {
    let body = json!({"error": {"code": "test", "message": format!("the test says {status}")}});
    (status, as_json(&body)).into_response()
}

fn ok() -> Response {
    as_json(&json!({"status": "ok"}))
}

/// The refusal of a call, if it is to be refused.
fn refused(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let state = shared.state.lock().unwrap();
    if state.down {
        return Some(refusal(StatusCode::SERVICE_UNAVAILABLE));
    }
    let expected = format!("Bearer {}", state.token);
    if headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes()) {
        return None;
    }
    Some(refusal(StatusCode::UNAUTHORIZED))
}

async fn register(Extract(shared): Extract<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if headers[header::AUTHORIZATION] != "Bearer registration" {
        return refusal(StatusCode::UNAUTHORIZED);
    }
    let register: Register = serde_json::from_slice(&body).unwrap();
    shared.change(|state| {
        if state.down {
            return refusal(StatusCode::SERVICE_UNAVAILABLE);
        }
        if state.name_taken {
            return refusal(StatusCode::CONFLICT);
        }
        let name = register.name.clone();
        state.registrations.push(register);
        state.token = format!("mtr_{}", state.registrations.len());
        let mut answer = json!({"runner_id": 1, "name": name, "token": state.token});
        if let Some(scope) = state.scope {
            answer["scope"] = scope.into();
        }
        (StatusCode::CREATED, as_json(&answer)).into_response()
    })
}

async fn sign_off(Extract(shared): Extract<Shared>, headers: HeaderMap) -> Response {
    if shared.state.lock().unwrap().silent {
        std::future::pending::<()>().await;
    }
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    shared.change(|state| {
        state.sign_offs += 1;
        if state.old { refusal(StatusCode::NOT_FOUND) } else { ok() }
    })
}

async fn lease(Extract(shared): Extract<Shared>, headers: HeaderMap, uri: Uri, body: Bytes) -> Response {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    let request: LeaseRequest = serde_json::from_slice(&body).unwrap();
    shared.change(|state| state.polls.push(request.clone()));
    let wait: u64 = uri.query().and_then(|query| query.strip_prefix("wait=")).unwrap().parse().unwrap();
    let mut changes = shared.changed.subscribe();
    let until = tokio::time::Instant::now() + Duration::from_secs(wait);
    loop {
        if let Some(answer) = shared.change_if_work(&request) {
            return answer;
        }
        let old = shared.state.lock().unwrap().old;
        if old || tokio::time::timeout_at(until, changes.changed()).await.is_err() {
            return StatusCode::NO_CONTENT.into_response();
        }
    }
}

impl Shared {
    fn change_if_work(&self, request: &LeaseRequest) -> Option<Response> {
        let mut state = self.state.lock().unwrap();
        let id = request.request_id.clone().unwrap();
        let again =
            state.last_lease.as_ref().filter(|(former, _)| *former == id).map(|(_, lease)| lease.clone());
        let lease = if let Some(lease) = again {
            lease
        } else {
            let job = state.queue.pop_front()?;
            state.attempts += 1;
            state.last_seq = 0;
            let mut lease = json!({
                "run_id": state.run_id(), "run_no": 1, "app_id": 1, "app_slug": "tested", "version_no": job.version_no,
                "entrypoint": job.entrypoint, "attempt_id": state.attempts, "attempt_no": 1,
                "lease_token": "lease", "lease_expires_at": expires(&state), "input": job.input,
            });
            if let Some(seconds) = job.timeout_seconds {
                lease["timeout_seconds"] = seconds.into();
            }
            if let Some(team) = job.team_id {
                lease["team_id"] = team.into();
            }
            if !state.old {
                lease["lease_ttl_ms"] = ttl(&state).into();
            }
            for (name, value) in job.lease.as_object().into_iter().flatten() {
                lease[name] = value.clone();
            }
            state.current = Some(job);
            state.last_lease = Some((id, lease.clone()));
            lease
        };
        if state.lose_leases > 0 {
            state.lose_leases -= 1;
            // An answer that breaks off in its body.
            let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("lost"))];
            return Some(Body::from_stream(Pieces(pieces.into())).into_response());
        }
        Some(as_json(&lease))
    }
}

fn ttl(state: &State) -> u64 {
    u64::try_from(state.ttl.as_millis()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a server's clock")]
fn expires(state: &State) -> String {
    (jiff::Timestamp::now() + state.ttl).to_string()
}

/// A body in pieces.
struct Pieces(VecDeque<Result<Bytes, std::io::Error>>);

impl futures_util::Stream for Pieces {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

async fn artifact(Extract(shared): Extract<Shared>, headers: HeaderMap) -> Response {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    assert_eq!(headers["x-lease-token"], "lease");
    let (trouble, job) = shared.change(|state| {
        state.downloads += 1;
        let gone = state.gone.then_some(ArchiveTrouble::Status(410));
        (gone.or_else(|| state.artifact_trouble.pop_front()), state.current.clone().unwrap())
    });
    let mut archive = job.archive.clone();
    match trouble {
        Some(ArchiveTrouble::Status(status)) => return refusal(StatusCode::from_u16(status).unwrap()),
        Some(ArchiveTrouble::OtherBytes) => archive.push(0),
        Some(ArchiveTrouble::Hangs) => std::future::pending::<()>().await,
        None => {}
    }
    let digest = || hex(&Sha256::digest(&job.archive));
    let mut answer = Response::builder()
        .header("content-type", "application/gzip")
        .header("x-artifact-sha256", job.sha256.clone().unwrap_or_else(digest))
        .header("x-entrypoint", job.entrypoint);
    if let Some(paths) = job.import_paths {
        answer = answer.header("x-import-paths", paths);
    }
    answer.body(Body::from(archive)).unwrap()
}

async fn upload(
    Extract(shared): Extract<Shared>,
    Path((_run, path)): Path<(i64, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    assert_eq!(headers["x-lease-token"], "lease");
    assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
    shared.change(|state| {
        if let Some(status) = state.refuse_uploads.pop_front() {
            return refusal(StatusCode::from_u16(status).unwrap());
        }
        assert!(state.results.is_empty(), "artifacts come before the result");
        state.uploads.insert(path, body.to_vec());
        ok()
    })
}

async fn attempt_call(
    Extract(shared): Extract<Shared>,
    Path((run, verb)): Path<(i64, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    assert_eq!(headers["x-lease-token"], "lease");
    shared.change(|state| {
        assert_eq!(run, state.run_id());
        state.calls += 1;
        if state.gone {
            return refusal(StatusCode::GONE);
        }
        match verb.as_str() {
            "start" => {
                state.starts += 1;
                attempt_state(state)
            }
            "heartbeat" if state.no_heartbeats => refusal(StatusCode::SERVICE_UNAVAILABLE),
            "heartbeat" => {
                state.heartbeats.push(Instant::now());
                attempt_state(state)
            }
            "logs" if state.no_logs => refusal(StatusCode::SERVICE_UNAVAILABLE),
            "logs" => {
                let batch: LogBatch = serde_json::from_slice(&body).unwrap();
                assert!(!batch.logs.is_empty() && batch.logs.len() <= LogBatch::MAX_LINES);
                for line in batch.logs {
                    state.last_seq += 1;
                    assert_eq!(line.seq, state.last_seq, "lines come in order, without gaps");
                    assert!(line.line.len() <= LogBatch::MAX_LINE_BYTES);
                    state.lines.push(line);
                }
                ok()
            }
            "result" => {
                let result: RunResult = serde_json::from_slice(&body).unwrap();
                let cancelled = json!(result.status) == "cancelled";
                state.results.push(result);
                if state.conflict && !cancelled { refusal(StatusCode::CONFLICT) } else { ended(state) }
            }
            "release" if state.old => refusal(StatusCode::NOT_FOUND),
            "release" => {
                state.releases += 1;
                ended(state)
            }
            _ => refusal(StatusCode::NOT_FOUND),
        }
    })
}

fn ended(state: &mut State) -> Response {
    state.cancel_requested = false;
    state.last_lease = None;
    ok()
}

fn attempt_state(state: &State) -> Response {
    let status = if state.cancel_requested { "cancelling" } else { "running" };
    let mut answer = json!({
        "attempt_id": state.attempts, "attempt_no": 1, "status": status, "run_status": status,
        "lease_expires_at": expires(state), "cancel_requested": state.cancel_requested,
    });
    if !state.old {
        answer["lease_ttl_ms"] = ttl(state).into();
    }
    as_json(&answer)
}
