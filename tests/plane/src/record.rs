//! Which requests came by, and what is to happen to those to come.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use crate::Answer;

/// Most requests that are recorded; a test with more is a mistake.
const MAX_REQUESTS: usize = 100_000;
/// Most bytes of a body that are recorded.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// In front of the paths of all calls but the few at the root.
const PREFIX: &str = "/api/v1";

/// A request that came by.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path as it came, with `/api/v1`.
    pub path: String,
    /// What is behind its question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most the first 4 MiB.
    pub body: Bytes,
    /// Length of its whole body.
    pub body_bytes: usize,
    /// When it was there as a whole.
    pub at: Instant,
    /// The status it was answered with; none while it waits, and when it never was.
    pub answered: Option<u16>,
}

impl Request {
    pub(crate) fn new(head: &http::request::Parts, body: &Bytes) -> Self {
        Self {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers.clone(),
            body: Bytes::copy_from_slice(&body[..body.len().min(MAX_BODY_BYTES)]),
            body_bytes: body.len(),
            at: Instant::now(),
            answered: None,
        }
    }

    /// The body as JSON; `null` where it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as a type of the wire.
    ///
    /// # Panics
    /// When it is not one.
    #[track_caller]
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bearer token.
    pub fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// Which requests are meant: `POST /runs/*/heartbeat`.
///
/// `*` stands for any method, or for one component of the path; `**` at the end for any further components. The path is
/// below `/api/v1`, or at the root: `GET /metrics`.
#[derive(Clone)]
pub struct Call {
    text: String,
    condition: Option<Condition>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.condition.is_some() { " with a condition" } else { "" })
    }
}

impl From<&str> for Call {
    fn from(text: &str) -> Self {
        let (method, path) = text.split_once(' ').unwrap_or_default();
        assert!(!method.is_empty() && path.starts_with('/'), "{text:?} is not METHOD /path");
        Self { text: text.to_owned(), condition: None }
    }
}

impl From<&Call> for Call {
    fn from(call: &Call) -> Self {
        call.clone()
    }
}

impl Call {
    /// Every request.
    pub fn any() -> Self {
        Self::from("* /**")
    }

    /// Only those that satisfy this, too.
    #[must_use]
    pub fn when(self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        Self { condition: Some(Arc::new(condition)), ..self }
    }

    /// Only those that have been answered.
    pub(crate) fn when_answered(self) -> Self {
        let whichever = self.condition.clone();
        let answered = move |request: &Request| {
            request.answered.is_some() && whichever.as_ref().is_none_or(|condition| condition(request))
        };
        self.when(answered)
    }

    pub(crate) fn matches(&self, request: &Request) -> bool {
        let (method, pattern) = self.text.split_once(' ').unwrap_or_default();
        (method == "*" || request.method == method)
            && (fits(pattern, &request.path)
                || request.path.strip_prefix(PREFIX).is_some_and(|path| fits(pattern, path)))
            && self.condition.as_ref().is_none_or(|condition| condition(request))
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        match (wanted, parts.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// Names what was told to the proxy, so that it can be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule(u64);

struct Told {
    rule: Rule,
    call: Call,
    /// None: for ever.
    left: Option<usize>,
    /// Holds only where no other rule fits.
    is_last: bool,
    answer: Answer,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    told: Vec<Told>,
    rules: u64,
}

/// The record and the rules, shared by the test and the proxy.
pub(crate) struct Record {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn tell(&self, call: Call, left: Option<usize>, answer: Answer) -> Rule {
        self.add(call, left, false, answer)
    }

    /// A rule that holds where no other fits.
    pub(crate) fn tell_last(&self, call: Call, answer: Answer) -> Rule {
        self.add(call, None, true, answer)
    }

    fn add(&self, call: Call, left: Option<usize>, is_last: bool, answer: Answer) -> Rule {
        let mut state = self.state();
        state.rules += 1;
        let rule = Rule(state.rules);
        // Those that hold last stay behind all others.
        let first_last = state.told.iter().position(|told| told.is_last);
        let place = if is_last { None } else { first_last };
        let place = place.unwrap_or(state.told.len());
        state.told.insert(place, Told { rule, call, left, is_last, answer });
        rule
    }

    pub(crate) fn lift(&self, rule: Option<Rule>) {
        self.state().told.retain(|told| rule.is_some_and(|rule| rule != told.rule));
    }

    /// Notes a request; its number, and what is to happen to it.
    pub(crate) fn note(&self, request: Request) -> (usize, Answer) {
        let mut state = self.state();
        let answer = match state.told.iter_mut().position(|told| told.call.matches(&request)) {
            None => Answer::real(),
            Some(index) => {
                let told = &mut state.told[index];
                let answer = told.answer.clone();
                told.left = told.left.map(|left| left - 1);
                if told.left == Some(0) {
                    state.told.remove(index);
                }
                answer
            }
        };
        let number = state.requests.len();
        assert!(number < MAX_REQUESTS, "more than {MAX_REQUESTS} requests in one test");
        state.requests.push(request);
        drop(state);
        self.changed.send_replace(());
        (number, answer)
    }

    /// Notes with which status a request was answered.
    pub(crate) fn answered(&self, number: usize, status: u16) {
        self.state().requests[number].answered = Some(status);
        self.changed.send_replace(());
    }

    pub(crate) fn requests(&self, call: &Call) -> Vec<Request> {
        self.state().requests.iter().filter(|request| call.matches(request)).cloned().collect()
    }

    /// One line each.
    pub(crate) fn summary(&self) -> String {
        let line =
            |request: &Request| format!("{} {} {:?}\n", request.method, request.path, request.answered);
        self.state().requests.iter().map(line).collect()
    }
}
