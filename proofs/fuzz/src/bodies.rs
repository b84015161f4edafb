//! JSON bodies from strangers, through the whole HTTP service on a database of its own: routes, credentials, extractors, rules and SQL are
//! the real ones, only the socket is not there.

use std::cell::RefCell;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use minitower_kernel::clock::Clock;
use minitower_rest::{HttpConfig, HttpMetrics, HttpState, router};
use minitower_teams::secrets::Secret;
use minitowerd::{ControlPlane as App, Outside, Settings};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const BOOTSTRAP: &str = "bootstrap";
const REGISTRATION: &str = "registration";

/// After so many bodies the service starts again on an empty database, so that a long run does not fill the disk.
const BODIES_PER_SERVICE: u32 = 20_000;

/// Most bytes of an error's answer: a message quotes little of what it is about.
const ERROR_BYTES: usize = 4096;

/// Where a body goes; the first byte of the input says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Poll,
    Start,
    Heartbeat,
    Logs,
    Result,
    Release,
    Register,
    CreateRun,
}

const CALLS: [Call; 8] = [
    Call::Poll,
    Call::Start,
    Call::Heartbeat,
    Call::Logs,
    Call::Result,
    Call::Release,
    Call::Register,
    Call::CreateRun,
];

/// Sends what follows the first byte to the call that the first byte names.
pub fn run(data: &[u8]) {
    thread_local! {
        static BED: RefCell<Option<Bed>> = const { RefCell::new(None) };
    }
    let Some((call, body)) = data.split_first() else { return };
    BED.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|bed| bed.bodies == BODIES_PER_SERVICE) {
            *slot = None;
        }
        let bed = slot.get_or_insert_with(Bed::new);
        bed.bodies += 1;
        bed.take(CALLS[usize::from(*call) % CALLS.len()], body);
    });
}

/// The service, a team with an app, an idle runner, and a busy one.
struct Bed {
    bodies: u32,
    team: String,
    idle: String,
    busy: String,
    lease_token: String,
    run: i64,
    service: Router,
    runtime: Runtime,
    _folder: TempDir,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let settings = Settings {
            db_path: folder.path().join("minitower.db"),
            teams: minitower_teams::Settings {
                bootstrap_token: Secret::new(BOOTSTRAP),
                registration_token: Secret::new(REGISTRATION),
                operator_token: None,
                signup_enabled: false,
                audit_keep: None,
                audit_keep_most: None,
                oidc: None,
                storage_bytes: None,
                secrets_key_file: folder.path().join("secrets.key"),
            },
            runs: minitower_runs::Settings {
                objects_dir: folder.path().join("objects"),
                objects_url: None,
                retention: minitower_runs::Retention::default(),
                lease_ttl: Duration::from_hours(24),
                expiry_check_interval: Duration::from_secs(10),
                runner_prune_after: None,
                max_artifact_bytes: 64 << 10,
            },
            outside: Outside::default(),
        };
        let fatal = |reason: &str| panic!("{reason}");
        let open = App::open(settings, Clock::start(), CancellationToken::new(), fatal);
        let app = runtime.block_on(open).expect("an app");
        let metrics = HttpMetrics::new("fuzz").expect("metrics");
        let service = router(HttpState::new(app.subjects(), HttpConfig::default(), metrics));
        let mut bed = Self {
            bodies: 0,
            team: String::new(),
            idle: String::new(),
            busy: String::new(),
            lease_token: String::new(),
            run: 0,
            service,
            runtime,
            _folder: folder,
        };
        let team = bed.ask("/bootstrap/team", BOOTSTRAP, &json!({"slug": "acme", "name": "Acme"}));
        team["token"].as_str().expect("a token").clone_into(&mut bed.team);
        let team = bed.team.clone();
        bed.ask("/apps", &team, &json!({"slug": "hello"}));
        bed.upload();
        bed.idle = bed.register(&json!({"name": "idle", "environment": "none"}));
        bed.busy = bed.register(&json!({"name": "busy"}));
        bed.lease();
        bed
    }

    /// A version with a schema that looks at numbers, texts and depth.
    fn upload(&self) {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "number", "multipleOf": 0.01, "default": 1},
            "s": {"type": "string", "pattern": "^(a+)+$", "maxLength": 50, "format": "date-time"},
            "deep": {"$ref": "#/$defs/deep"},
        }, "$defs": {"deep": {"type": ["object", "array", "null"], "additionalProperties": {"$ref": "#/$defs/deep"},
            "items": {"$ref": "#/$defs/deep"}, "uniqueItems": true}}});
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        tar.append_data(&mut header, "main.py", &b""[..]).expect("an entry");
        let archive = tar.into_inner().and_then(GzEncoder::finish).expect("an archive");
        let mut body =
            b"--X\r\nContent-Disposition: form-data; name=\"artifact\"; filename=\"a\"\r\n\r\n".to_vec();
        body.extend_from_slice(&archive);
        for (name, value) in [("entrypoint", "main.py"), ("params_schema_json", &schema.to_string())] {
            let part = format!("\r\n--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
            body.extend_from_slice(part.as_bytes());
        }
        body.extend_from_slice(b"\r\n--X--\r\n");
        let request = request(Method::POST, "/apps/hello/versions", &self.team)
            .header("content-type", "multipart/form-data; boundary=X");
        let (status, answer) = self.send(request.body(Body::from(body)).expect("a request"));
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
    }

    /// A run, leased and started by the busy runner.
    fn lease(&mut self) {
        let (team, busy) = (self.team.clone(), self.busy.clone());
        self.ask("/apps/hello/runs", &team, &json!({}));
        let lease = self.ask("/runs/lease", &busy, &json!({}));
        self.run = lease["run_id"].as_i64().expect("a run");
        lease["lease_token"].as_str().expect("a lease token").clone_into(&mut self.lease_token);
        let start = request(Method::POST, &format!("/runs/{}/start", self.run), &busy)
            .header("x-lease-token", &self.lease_token);
        let (status, answer) = self.send(start.body(Body::empty()).expect("a request"));
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }

    fn take(&mut self, call: Call, body: &[u8]) {
        let run = self.run;
        let (path, token) = match call {
            Call::Poll => ("/runs/lease".to_owned(), &self.idle),
            Call::Register => ("/runners/register".to_owned(), &REGISTRATION.to_owned()),
            Call::CreateRun => ("/apps/hello/runs".to_owned(), &self.team),
            Call::Start => (format!("/runs/{run}/start"), &self.busy),
            Call::Heartbeat => (format!("/runs/{run}/heartbeat"), &self.busy),
            Call::Logs => (format!("/runs/{run}/logs"), &self.busy),
            Call::Result => (format!("/runs/{run}/result"), &self.busy),
            Call::Release => (format!("/runs/{run}/release"), &self.busy),
        };
        let call_it = request(Method::POST, &path, token).header("x-lease-token", &self.lease_token);
        let (status, answer) = self.send(call_it.body(Body::from(body.to_vec())).expect("a request"));
        let shown = String::from_utf8_lossy(&answer);
        match status.as_u16() {
            204 => assert!(answer.is_empty() && call == Call::Poll, "{call:?}: 204 {shown}"),
            200 | 201 => self.accepted(call, body, &answer),
            400 | 409 | 413 => refused(call, &answer),
            // A version that there is not.
            404 if call == Call::CreateRun => refused(call, &answer),
            other => panic!("{call:?}: {other} {shown}"),
        }
    }

    /// What was accepted was JSON, and is there to be read.
    fn accepted(&mut self, call: Call, body: &[u8], answer: &[u8]) {
        let answer: Value = serde_json::from_slice(answer).expect("a JSON answer");
        if !body.trim_ascii().is_empty() {
            // What is ignored may be odd, but it is JSON.
            sent::<IgnoredAny>(body);
        }
        match call {
            Call::Poll => panic!("nothing is queued for the idle runner: {answer}"),
            // These calls have no body; what comes in one is ignored and named.
            Call::Start | Call::Heartbeat => assert_eq!(answer["status"], "running"),
            Call::Release => self.next_run("queued"),
            Call::Logs => {
                let logs = self.get(&format!("/runs/{}/logs?limit=1", self.run));
                assert!(logs["logs"].is_array(), "{logs}");
            }
            Call::Result => {
                let Ended { status, exit_code } = sent(body);
                let run = self.get(&format!("/runs/{}", self.run));
                assert_eq!(run.get("exit_code").and_then(Value::as_i64), exit_code);
                self.next_run(&status);
            }
            Call::Register => {
                assert_eq!(answer["name"], sent::<Named>(body).name);
                // The runners of the bed may have got new tokens.
                if answer["name"] == "idle" {
                    self.idle = self.register(&json!({"name": "idle", "environment": "none"}));
                }
                if answer["name"] == "busy" {
                    self.busy = self.register(&json!({"name": "busy"}));
                }
            }
            Call::CreateRun => {
                let run = answer["run_id"].as_i64().expect("a run");
                assert_eq!(self.get(&format!("/runs/{run}")), answer, "read as it was answered");
                self.cancel(run);
            }
        }
    }

    /// After the end of the busy runner's run, which is now in `status`: it gets the next.
    fn next_run(&mut self, status: &str) {
        let run = self.run;
        assert_eq!(self.get(&format!("/runs/{run}"))["status"], status);
        if status == "queued" {
            self.cancel(run);
        }
        self.lease();
    }

    /// Registers a runner, or gives it a new token.
    fn register(&self, body: &Value) -> String {
        self.ask("/runners/register", REGISTRATION, body)["token"].as_str().expect("a token").to_owned()
    }

    fn cancel(&self, run: i64) {
        self.ask(&format!("/runs/{run}/cancel"), &self.team, &json!({}));
    }

    fn ask(&self, path: &str, token: &str, body: &Value) -> Value {
        let request = request(Method::POST, path, token).body(Body::from(body.to_string()));
        self.json(request.expect("a request"))
    }

    fn get(&self, path: &str) -> Value {
        self.json(request(Method::GET, path, &self.team).body(Body::empty()).expect("a request"))
    }

    fn json(&self, request: Request<Body>) -> Value {
        let asked = request.uri().to_string();
        let (status, answer) = self.send(request);
        assert!(status.is_success(), "{asked}: {status} {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("a JSON answer")
    }

    fn send(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        self.runtime.block_on(async {
            let Ok(response) = self.service.clone().oneshot(request).await;
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body");
            (status, body.to_bytes().to_vec())
        })
    }
}

fn request(method: Method, path: &str, token: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {token}"))
}

/// Of a registration.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Of a result.
#[derive(Deserialize)]
struct Ended {
    status: String,
    exit_code: Option<i64>,
}

/// What was sent and accepted, read by other means.
fn sent<'a, T: Deserialize<'a>>(body: &'a [u8]) -> T {
    let text = std::str::from_utf8(body).expect("an accepted body was UTF-8");
    serde_json::from_str(text).expect("an accepted body was JSON")
}

/// An error in the one shape errors have.
fn refused(call: Call, answer: &[u8]) {
    assert!(answer.len() < ERROR_BYTES, "{call:?}: {} bytes of error", answer.len());
    let answer: Value = serde_json::from_slice(answer).expect("a JSON error");
    let (code, message) = (&answer["error"]["code"], &answer["error"]["message"]);
    assert!(code.is_string() && message.as_str().is_some_and(|text| !text.is_empty()), "{call:?}: {answer}");
}
