//! A small blocking HTTP client for raw requests, and answers with assertions.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request as HttpRequest, Uri};

/// Longest time a request may take: the longest poll is 60 s.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(90);
/// Connections that a client keeps, where it keeps any.
const KEPT: usize = 8;

/// A client of one server. Unless it is told to keep them, each request has its own connection, so that a killed server leaves no stale ones.
#[derive(Debug, Clone)]
pub struct Http {
    base: String,
    agent: ureq::Agent,
}

impl Http {
    /// A client of `http://127.0.0.1:port`.
    pub fn new(port: u16) -> Self {
        Self::at(&format!("http://127.0.0.1:{port}"))
    }

    /// A client of a server anywhere, `http://host:port`.
    pub fn at(base: &str) -> Self {
        Self::within(base, REQUEST_LIMIT)
    }

    /// The same with a limit of its own for how long a request may take.
    pub fn within(base: &str, limit: Duration) -> Self {
        Self::with(base, limit, 0)
    }

    /// The same with connections that are kept, as programs do. A Service of Kubernetes wants that of whoever asks often: where a pod went away
    /// while somebody connected, the kernel leads that port of the client to the dead pod for two minutes, and a client with a new
    /// port for each request comes back to it (`nf_conntrack_tcp_timeout_syn_sent`).
    pub fn keeping(base: &str, limit: Duration) -> Self {
        Self::with(base, limit, KEPT)
    }

    fn with(base: &str, limit: Duration, kept: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_idle_connections(kept)
            .max_idle_connections_per_host(kept)
            .timeout_global(Some(limit))
            .build();
        Self { base: base.to_owned(), agent: config.into() }
    }

    /// The server's address, `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request for any method and path.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request {
            http: self.clone(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A `GET`.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A `POST`.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// A `PUT`.
    pub fn put(&self, path: &str) -> Request {
        self.request("PUT", path)
    }

    /// A `DELETE`.
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }
}

/// A request being put together.
#[derive(Debug, Clone)]
#[must_use]
pub struct Request {
    http: Http,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Adds `X-Lease-Token`.
    pub fn lease(self, token: &str) -> Self {
        self.header("X-Lease-Token", token)
    }

    /// Sends a value as JSON.
    pub fn json(self, body: Value) -> Self {
        let text = body.to_string();
        self.header("Content-Type", "application/json").body(text.into_bytes())
    }

    /// Sends bytes as they are, without a content type.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends it; the error is one of the connection.
    pub fn try_send(&self) -> Result<Response, ureq::Error> {
        let asked = format!("{} {}", self.method, self.path);
        let mut answer = self.ask()?;
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(Response { asked, status: answer.status().as_u16(), headers: answer.headers().clone(), body })
    }

    /// Sends it, and reads a good answer as a stream of events.
    #[track_caller]
    pub fn stream(&self) -> Stream {
        let asked = format!("{} {}", self.method, self.path);
        let answer = self.ask().unwrap_or_else(|error| panic!("{asked}: no answer: {error}"));
        assert_eq!(answer.status().as_u16(), 200, "{asked}");
        let (parts, body) = answer.into_parts();
        assert_eq!(parts.headers["content-type"], "text/event-stream", "{asked}");
        Stream { headers: parts.headers, lines: BufReader::new(body.into_reader()) }
    }

    /// Sends it, and reads the answer's head.
    fn ask(&self) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let uri: Uri = format!("{}{}", self.http.base, self.path).parse().expect("a valid address");
        let agent = &self.http.agent;
        Ok(match (&self.body, self.method.as_str()) {
            // These methods usually carry no body; ureq wants to be told that it is meant.
            (Some(body), "GET") => fill(agent.get(uri), &self.headers).force_send_body().send(&body[..])?,
            (Some(body), "DELETE") => {
                fill(agent.delete(uri), &self.headers).force_send_body().send(&body[..])?
            }
            (body, method) => {
                let mut request = HttpRequest::builder().method(method).uri(uri);
                for (name, value) in &self.headers {
                    request = request.header(name, value);
                }
                match body {
                    Some(body) => agent.run(request.body(&body[..]).expect("a valid request"))?,
                    None => agent.run(request.body(()).expect("a valid request"))?,
                }
            }
        })
    }

    /// Sends it to a server that is expected to be there.
    pub fn send(&self) -> Response {
        self.try_send().unwrap_or_else(|error| panic!("{} {}: no answer: {error}", self.method, self.path))
    }
}

fn fill(
    mut builder: ureq::RequestBuilder<ureq::typestate::WithoutBody>,
    headers: &[(String, String)],
) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder
}

/// A stream of events, read one by one.
pub struct Stream {
    /// The headers.
    pub headers: HeaderMap,
    lines: BufReader<ureq::BodyReader<'static>>,
}

/// An event: what it is called, its id and its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamEvent {
    /// What it is called; none: it has no name.
    pub event: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// Its data.
    pub data: Value,
}

impl Stream {
    /// The next block of lines, up to an empty one; none: the stream has ended, or broke off.
    fn block(&mut self) -> Option<Vec<String>> {
        let mut block = Vec::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end_matches('\n') {
                "" => return Some(block),
                line => block.push(line.to_owned()),
            }
        }
    }

    /// What the stream begins with: it has no data.
    #[track_caller]
    pub fn greeting(&mut self) -> Vec<String> {
        let block = self.block().expect("the stream ended");
        assert!(!block.iter().any(|line| line.starts_with("data")), "{block:?}");
        block
    }
}

impl Iterator for Stream {
    type Item = StreamEvent;

    /// The next event with data.
    fn next(&mut self) -> Option<StreamEvent> {
        loop {
            let block = self.block()?;
            let field = |name: &str| block.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let Some(data) = field("data: ") else { continue };
            let data = serde_json::from_str(&data).expect("the data is JSON");
            return Some(StreamEvent { event: field("event: "), id: field("id: "), data });
        }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    asked: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{}: {} is no JSON: {error}: {}", self.asked, self.status, self.text())
        })
    }

    /// One header, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {}: {}", self.asked, self.status, self.text());
        self
    }

    /// Asserts a JSON answer with this status and yields it.
    #[track_caller]
    pub fn expect_json(self, status: u16) -> Value {
        let answer = self.expect(status);
        answer.assert_json_type();
        answer.json()
    }

    /// Asserts status and code of an error in the one shape errors have, and yields its message.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> String {
        let answer = self.expect(status);
        answer.assert_json_type();
        let body = answer.json();
        let root = body.as_object().unwrap_or_else(|| panic!("{}: no object: {body}", answer.asked));
        assert_eq!(root.keys().collect::<Vec<_>>(), ["error"], "{}: {body}", answer.asked);
        assert_eq!(body["error"]["code"], code, "{}: {body}", answer.asked);
        let message = body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(!message.is_empty(), "{}: an error without a message: {body}", answer.asked);
        message
    }

    #[track_caller]
    fn assert_json_type(&self) {
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/json"),
            "{}: content type {kind:?}: {}",
            self.asked,
            self.text()
        );
    }
}
