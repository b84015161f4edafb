//! What the proxy does with a request instead of plainly forwarding it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

/// An answer as a whole: what [`Answer::change`] works on.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The status.
    pub status: StatusCode,
    /// The headers. The length is set to fit the body afterwards.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Whole {
    fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    fn text(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status: StatusCode::from_u16(status).expect("an HTTP status"), headers, body: body.into() }
    }

    /// Gives the headers the body's length.
    pub(crate) fn with_length(mut self) -> Self {
        self.headers.insert(CONTENT_LENGTH, self.body.len().into());
        self
    }
}

type Change = Arc<dyn Fn(&mut Whole) + Send + Sync>;

/// What the client gets.
#[derive(Clone)]
pub(crate) enum Reply {
    /// The server's answer.
    Pass,
    /// The server's answer, changed.
    Change(Change),
    /// The head and the first half of the server's answer, then the end of the connection.
    BreakOff,
    /// This.
    Instead(Whole),
    /// The end of the connection.
    Cut,
    /// Nothing, ever.
    Hang,
}

/// What happens to one request. Made by the functions named after it, refined by the methods.
///
/// A request does not reach the server if it is answered with [`Answer::status`], [`Answer::refusal`],
/// [`Answer::json`], [`Answer::text`], [`Answer::cut`] or [`Answer::hang`], unless [`Answer::after_effect`] follows.
#[derive(Clone)]
#[must_use]
pub struct Answer {
    pub(crate) reply: Reply,
    pub(crate) effect: bool,
    pub(crate) delay: Duration,
    pub(crate) gate: Option<Gate>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reply = match &self.reply {
            Reply::Pass => "pass".to_owned(),
            Reply::Change(_) => "change".to_owned(),
            Reply::BreakOff => "break off".to_owned(),
            Reply::Instead(answer) => answer.status.to_string(),
            Reply::Cut => "cut".to_owned(),
            Reply::Hang => "hang".to_owned(),
        };
        f.debug_struct("Answer").field("reply", &reply).field("effect", &self.effect).finish_non_exhaustive()
    }
}

impl Answer {
    fn new(reply: Reply, effect: bool) -> Self {
        Self { reply, effect, delay: Duration::ZERO, gate: None }
    }

    /// The server's own answer; useful with [`Answer::delayed`] and [`Answer::held_by`].
    pub fn real() -> Self {
        Self::new(Reply::Pass, true)
    }

    /// The server's own answer after a change.
    pub fn change(change: impl Fn(&mut Whole) + Send + Sync + 'static) -> Self {
        Self::new(Reply::Change(Arc::new(change)), true)
    }

    /// The server's own answer with its JSON changed. Answers that are not JSON, such as 204, pass as they are.
    pub fn change_json(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::change(move |answer| {
            if let Ok(mut body) = serde_json::from_slice(&answer.body) {
                change(&mut body);
                answer.body = body.to_string().into();
            }
        })
    }

    /// The server's own answer without these fields of its JSON object: the answer of an older server.
    pub fn without(fields: &'static [&'static str]) -> Self {
        Self::change_json(move |body| {
            if let Some(body) = body.as_object_mut() {
                body.retain(|name, _| !fields.contains(&name.as_str()));
            }
        })
    }

    /// The server's own answer, whose body breaks off in its middle.
    pub fn break_off() -> Self {
        Self::new(Reply::BreakOff, true)
    }

    /// An error in the API's form, with a code that no client knows.
    pub fn status(status: u16) -> Self {
        Self::refusal(status, "test", &format!("the test answers {status}"))
    }

    /// An error in the API's form.
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": {"code": code, "message": message}}))
    }

    /// This JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(Reply::Instead(Whole::json(status, body)), false)
    }

    /// This text.
    pub fn text(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Reply::Instead(Whole::text(status, content_type, body)), false)
    }

    /// The connection is closed without an answer.
    pub fn cut() -> Self {
        Self::new(Reply::Cut, false)
    }

    /// No answer ever comes, and the connection stays open.
    pub fn hang() -> Self {
        Self::new(Reply::Hang, false)
    }

    /// The request still reaches the server and takes effect; only the server's answer is lost.
    pub fn after_effect(self) -> Self {
        Self { effect: true, ..self }
    }

    /// Adds a header to an answer that is not the server's.
    ///
    /// # Panics
    /// If the answer is the server's own. Use [`Answer::change`] for that.
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        let Reply::Instead(answer) = &mut self.reply else { panic!("the answer is the server's own") };
        answer.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Waits first.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Waits first, until the gate is open.
    pub fn held_by(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }
}

/// Holds requests back until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets all waiting requests pass, and all that come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        let mut state = self.0.subscribe();
        // Cannot fail: the sender is here.
        let _open = state.wait_for(|open| *open).await;
    }
}

/// The first half of a body.
pub(crate) fn half(body: &Bytes) -> Bytes {
    body.slice(..body.len() / 2)
}
