//! The runner protocol over a list of jobs, with trouble on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use minitower_client::wire::runner::{LeaseRequest, LogBatch, RunResult};
use minitower_client::wire::runs::LogLine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// What a run is.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) archive: Vec<u8>,
    pub(crate) entrypoint: &'static str,
    pub(crate) input: Value,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) import_paths: Option<&'static str>,
    /// What the server says instead of the archive's real digest.
    pub(crate) sha256: Option<String>,
}

impl Job {
    /// A project of one file.
    pub(crate) fn script(entrypoint: &'static str, text: &str) -> Self {
        Self::project(entrypoint, &[(entrypoint, text)])
    }

    /// A project.
    pub(crate) fn project(entrypoint: &'static str, files: &[(&str, &str)]) -> Self {
        let archive = super::archive(files);
        let import_paths = None;
        Self { archive, entrypoint, input: Value::Null, timeout_seconds: None, import_paths, sha256: None }
    }
}

/// Everything a test may look at or change.
#[expect(clippy::struct_excessive_bools, reason = "each is one kind of trouble, alone or with others")]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Job>,
    current: Option<Job>,
    attempts: i64,
    last_seq: i64,
    pub(crate) ttl: Duration,
    /// Answers 503 to everything.
    pub(crate) down: bool,
    /// Answers nothing useful to this many further polls, although a lease was given.
    pub(crate) lose_leases: usize,
    /// Attempt calls are answered 410.
    pub(crate) gone: bool,
    /// Heartbeats are answered 503.
    pub(crate) no_heartbeats: bool,
    /// Log batches are answered 503.
    pub(crate) no_logs: bool,
    pub(crate) cancel_requested: bool,
    /// Results other than cancelled are answered 409.
    pub(crate) conflict: bool,
    /// Behaves like a server before long polls, `lease_ttl_ms`, sign-off and release.
    pub(crate) old: bool,
    pub(crate) token: String,
    pub(crate) registrations: usize,
    pub(crate) polls: Vec<LeaseRequest>,
    pub(crate) starts: usize,
    pub(crate) heartbeats: Vec<Instant>,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) results: Vec<RunResult>,
    pub(crate) releases: usize,
    pub(crate) sign_offs: usize,
    /// Attempt calls of any kind.
    pub(crate) calls: usize,
    last_lease: Option<(String, Value)>,
}

impl State {
    /// The log's text, one line a line.
    pub(crate) fn log(&self) -> String {
        self.lines.iter().flat_map(|line| [line.line.as_str(), "\n"]).collect()
    }

    /// The number behind `name=` in the log.
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        let prefix = format!("{name}=");
        self.lines.iter().find_map(|line| line.line.strip_prefix(&prefix)?.trim().parse().ok())
    }
}

#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

/// A running control plane; ends with the test.
pub(crate) struct ControlPlane {
    shared: Shared,
    pub(crate) url: String,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let state = State {
            queue: VecDeque::new(),
            current: None,
            attempts: 0,
            last_seq: 0,
            ttl: Duration::from_secs(30),
            down: false,
            lose_leases: 0,
            gone: false,
            no_heartbeats: false,
            no_logs: false,
            cancel_requested: false,
            conflict: false,
            old: false,
            token: "mtr_first".to_owned(),
            registrations: 0,
            polls: Vec::new(),
            starts: 0,
            heartbeats: Vec::new(),
            lines: Vec::new(),
            results: Vec::new(),
            releases: 0,
            sign_offs: 0,
            calls: 0,
            last_lease: None,
        };
        let shared = Shared { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(()) };
        let router = axum::Router::new()
            .route("/api/v1/runners/register", post(register))
            .route("/api/v1/runners/sign-off", post(sign_off))
            .route("/api/v1/runs/lease", post(lease))
            .route("/api/v1/runs/{run}/artifact", get(artifact))
            .route("/api/v1/runs/{run}/{verb}", post(attempt_call))
            .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, url }
    }

    /// Adds a run to the queue.
    pub(crate) fn submit(&self, job: Job) {
        self.change(|state| state.queue.push_back(job));
    }

    /// Changes something, or only looks.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    /// Waits for the event that makes the condition true.
    pub(crate) async fn wait_for(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        let waited = tokio::time::timeout(super::PATIENCE, async {
            while !condition(&self.shared.state.lock().unwrap()) {
                changes.changed().await.unwrap();
            }
        });
        if waited.await.is_err() {
            let state = self.shared.state.lock().unwrap();
            panic!(
                "not within {:?}: {what}; results {:?}, log:\n{}",
                super::PATIENCE,
                state.results,
                state.log()
            );
        }
    }

    /// Waits for the only result, and returns it.
    pub(crate) async fn result(&self) -> RunResult {
        self.results(1).await.remove(0)
    }

    /// Waits until there are `count` results.
    pub(crate) async fn results(&self, count: usize) -> Vec<RunResult> {
        self.wait_for("results", |state| state.results.len() >= count).await;
        self.change(|state| state.results.clone())
    }

    /// Waits until the log has `name=` and a number, and returns it.
    pub(crate) async fn number(&self, name: &str) -> i32 {
        self.wait_for(name, |state| state.number(name).is_some()).await;
        self.change(|state| state.number(name)).unwrap()
    }
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock().unwrap());
        self.changed.send_replace(());
        changed
    }
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
    let body: Value = serde_json::from_slice(&body).unwrap();
    shared.change(|state| {
        if state.down {
            return refusal(StatusCode::SERVICE_UNAVAILABLE);
        }
        state.registrations += 1;
        state.token = format!("mtr_{}", state.registrations);
        let answer = json!({"runner_id": 1, "name": body["name"], "token": state.token});
        (StatusCode::CREATED, as_json(&answer)).into_response()
    })
}

async fn sign_off(Extract(shared): Extract<Shared>, headers: HeaderMap) -> Response {
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
                "run_id": 100 + state.attempts, "run_no": 1, "app_id": 1, "app_slug": "tested", "version_no": 1,
                "entrypoint": job.entrypoint, "attempt_id": state.attempts, "attempt_no": 1,
                "lease_token": "lease", "lease_expires_at": expires(&state), "input": job.input,
            });
            if let Some(seconds) = job.timeout_seconds {
                lease["timeout_seconds"] = seconds.into();
            }
            if !state.old {
                lease["lease_ttl_ms"] = ttl(&state).into();
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
    let state = shared.state.lock().unwrap();
    if state.gone {
        return refusal(StatusCode::GONE);
    }
    let job = state.current.clone().unwrap();
    let digest = || hex(&Sha256::digest(&job.archive));
    let mut answer = Response::builder()
        .header("content-type", "application/gzip")
        .header("x-artifact-sha256", job.sha256.clone().unwrap_or_else(digest))
        .header("x-entrypoint", job.entrypoint);
    if let Some(paths) = job.import_paths {
        answer = answer.header("x-import-paths", paths);
    }
    answer.body(Body::from(job.archive)).unwrap()
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
        assert_eq!(run, 100 + state.attempts);
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
