//! A runner played by hand: registration, polls, and the calls under a lease.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::http::Request;
use crate::server::REGISTRATION_TOKEN;
use crate::shape::{int, text};
use crate::{Http, Response, Server};

/// A time for log lines; the server keeps what the runner says.
pub const LOGGED_AT: &str = "2026-01-02T03:04:05Z";

/// A registered runner.
#[derive(Debug, Clone)]
pub struct Runner {
    http: Http,
    port: u16,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: i64,
    /// Its token.
    pub token: String,
}

impl Runner {
    /// Registers with the platform's token in the environment `default`.
    pub fn register(server: &Server, name: &str) -> Self {
        Self::register_with(server, REGISTRATION_TOKEN, json!({"name": name}))
    }

    /// Registers with any token and body; a name may be registered again.
    pub fn register_with(server: &Server, token: &str, body: Value) -> Self {
        let answer = server.http().post("/api/v1/runners/register").bearer(token).json(body).send();
        assert!([200, 201].contains(&answer.status), "registration: {}: {}", answer.status, answer.text());
        let answer = answer.json();
        Self {
            http: server.http().clone(),
            port: server.port(),
            name: text(&answer, "name"),
            id: int(&answer, "runner_id"),
            token: text(&answer, "token"),
        }
    }

    /// A request with the runner's token, below `/api/v1`.
    pub fn post(&self, path: &str) -> Request {
        self.http.post(&format!("/api/v1{path}")).bearer(&self.token)
    }

    /// A poll that does not wait, with an empty body.
    pub fn poll(&self) -> Response {
        self.post("/runs/lease").send()
    }

    /// A poll with a body, waiting for so many seconds.
    pub fn poll_with(&self, wait: u32, body: Value) -> Response {
        self.post(&format!("/runs/lease?wait={wait}")).json(body).send()
    }

    /// Leases the next run.
    #[track_caller]
    pub fn lease(&self) -> Lease {
        self.leased(&self.poll())
    }

    /// Leases and starts the next run.
    #[track_caller]
    pub fn lease_and_start(&self) -> Lease {
        let lease = self.lease();
        lease.start().expect(200);
        lease
    }

    /// Asserts that there is nothing to lease.
    #[track_caller]
    pub fn idle(&self) {
        let answer = self.poll().expect(204);
        assert!(answer.body.is_empty(), "a 204 has no body");
    }

    /// The lease in an answer.
    #[track_caller]
    pub fn leased(&self, answer: &Response) -> Lease {
        let body = answer.clone().expect_json(200);
        Lease {
            http: self.http.clone(),
            runner_token: self.token.clone(),
            token: text(&body, "lease_token"),
            run: int(&body, "run_id"),
            body,
        }
    }

    /// Says that nothing is to be leased to this runner until it polls again.
    pub fn sign_off(&self) -> Response {
        self.post("/runners/sign-off").send()
    }

    /// Opens a poll that waits, without reading its answer. Dropping the stream is the waiter vanishing.
    pub fn open_poll(&self, wait: u32, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /api/v1/runs/lease?wait={wait} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }
}

/// One attempt at a run under its lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The server.
    pub http: Http,
    /// The token of the runner that acts.
    pub runner_token: String,
    /// The lease token.
    pub token: String,
    /// The run.
    pub run: i64,
    /// The whole answer of the lease call.
    pub body: Value,
}

impl Lease {
    /// Every call that needs a valid lease.
    pub const CALLS: [&str; 7] =
        ["start", "heartbeat", "logs", "artifact", "artifacts/left.txt", "result", "release"];

    /// The method of a call.
    pub fn method(call: &str) -> &'static str {
        match call {
            "artifact" => "GET",
            put if put.starts_with("artifacts/") => "PUT",
            _ => "POST",
        }
    }

    /// A request under this lease.
    pub fn request(&self, call: &str) -> Request {
        let path = format!("/api/v1/runs/{}/{call}", self.run);
        self.http.request(Self::method(call), &path).bearer(&self.runner_token).lease(&self.token)
    }

    /// One of [`Self::CALLS`] with a sensible body.
    pub fn call(&self, call: &str) -> Response {
        match call {
            "logs" => self.logs(&[(1, "a line")]),
            "result" => self.complete(),
            other => self.request(other).send(),
        }
    }

    /// `start`.
    pub fn start(&self) -> Response {
        self.request("start").send()
    }

    /// `heartbeat`.
    pub fn heartbeat(&self) -> Response {
        self.request("heartbeat").send()
    }

    /// `logs` with lines on standard output.
    pub fn logs(&self, lines: &[(i64, &str)]) -> Response {
        let lines: Vec<Value> = lines
            .iter()
            .map(|(seq, line)| json!({"seq": seq, "stream": "stdout", "line": line, "logged_at": LOGGED_AT}))
            .collect();
        self.request("logs").json(json!({"logs": lines})).send()
    }

    /// `result` with any body.
    pub fn result(&self, body: Value) -> Response {
        self.request("result").json(body).send()
    }

    /// `result` of a job that went well.
    pub fn complete(&self) -> Response {
        self.result(json!({"status": "completed", "exit_code": 0}))
    }

    /// Stores a file that the job left behind.
    pub fn put_artifact(&self, path: &str, content: impl Into<Vec<u8>>) -> Response {
        self.request(&format!("artifacts/{path}")).body(content).send()
    }

    /// `release`.
    pub fn release(&self) -> Response {
        self.request("release").send()
    }

    /// The attempt's id.
    pub fn attempt(&self) -> i64 {
        int(&self.body, "attempt_id")
    }
}
