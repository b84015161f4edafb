//! A scripted server on a loopback port, and the program run against it in a folder of its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use assert_cmd::cargo::cargo_bin;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) const TOKEN: &str = "mtk_good";

/// What the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) token: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Script {
    /// Answers by `METHOD /path`; the last of a list is given for ever.
    answers: HashMap<String, Vec<(u16, String)>>,
    asked: Vec<(String, Asked)>,
}

/// The server; it and its connections end with it.
pub(crate) struct Fake {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    _runtime: Runtime,
    pub(crate) home: tempfile::TempDir,
}

impl Fake {
    /// A server that knows nothing: every answer is 404.
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, script, _runtime: runtime, home: tempfile::tempdir().unwrap() }
    }

    /// Adds an answer; several for the same call are given in turn.
    pub(crate) fn on(self, call: &str, status: u16, body: impl Into<String>) -> Self {
        let answer = (status, body.into());
        self.script.lock().unwrap().answers.entry(call.to_owned()).or_default().push(answer);
        self
    }

    /// What was asked under `METHOD /path`, in order.
    pub(crate) fn asked(&self, call: &str) -> Vec<Asked> {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|(name, _)| name == call).map(|(_, asked)| asked.clone()).collect()
    }

    /// The program with server and token in its environment.
    pub(crate) fn cli(&self, line: &[&str]) -> std::process::Command {
        let mut command = program(self.home.path(), line);
        command.env("MINITOWER_SERVER_URL", &self.url).env("MINITOWER_API_TOKEN", TOKEN);
        command
    }

    /// Runs the program with server and token in its environment.
    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        run(&mut self.cli(line), "")
    }

    /// The profiles file.
    pub(crate) fn config(&self) -> std::path::PathBuf {
        self.home.path().join(".config/minitower-cli/config.json")
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let call = format!("{} {}", parts.method, parts.uri.path().trim_start_matches("/api/v1"));
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let token = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let mut script = script.lock().unwrap();
    script.asked.push((call.clone(), Asked { token, query: parts.uri.query().map(str::to_owned), body }));
    let (status, body) = match script.answers.get_mut(&call) {
        Some(answers) if answers.len() > 1 => answers.remove(0),
        Some(answers) => answers[0].clone(),
        None => (404, error("not_found", &format!("nothing at {call}"))),
    };
    (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, "application/json")], body).into_response()
}

pub(crate) fn error(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message}}).to_string()
}

/// The program alone, with nothing of our own environment.
pub(crate) fn program(home: &Path, line: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(cargo_bin!("minitower"));
    command
        .args(line)
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(home);
    command
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Ended well, without a colour.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self.plain()
    }

    #[track_caller]
    pub(crate) fn plain(self) -> Self {
        assert!(!self.stdout.contains('\u{1b}') && !self.stderr.contains('\u{1b}'), "colours: {self:?}");
        self
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut std::process::Command, stdin: &str) -> Ran {
    let output =
        assert_cmd::Command::from_std(std::mem::replace(command, std::process::Command::new("true")))
            .write_stdin(stdin)
            .timeout(std::time::Duration::from_secs(30))
            .output()
            .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) const APP: &str = r#"{"app_id":1,"slug":"hello","description":"says hello","disabled":false,
    "created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z"}"#;

pub(crate) const VERSION: &str = r#"{"version_id":5,"version_no":3,"entrypoint":"main.py","timeout_seconds":60,
    "params_schema":{"type":"object","properties":{"name":{"type":"string"},"count":{"type":"integer"}}},
    "artifact_sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "created_at":"2026-01-02T03:04:05Z"}"#;

/// A run with `fields` beside what every run has.
pub(crate) fn a_run(status: &str, fields: &str) -> String {
    format!(
        r#"{{"run_id":7,"app_id":1,"app_slug":"hello","run_no":2,"version_no":3,"status":"{status}","priority":0,
        "max_retries":1,"retry_count":0,"cancel_requested":false,"queued_at":"2026-01-02T03:04:05Z"{fields}}}"#
    )
}
