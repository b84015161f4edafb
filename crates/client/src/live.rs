//! What the server tells as it happens: streams of server-sent events.
//!
//! A stream that breaks off is an error, and one that ends says nothing more. Either way the caller may open another with the id of the last
//! event, which goes on behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use minitower_vocabulary::wire::live::{AttemptEvent, EndEvent, RunEvent, log_event, run_event};
use minitower_vocabulary::wire::runs::LogLine;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use sse_stream::{Sse, SseByteStream};

use crate::transport::{Answer, Request};
use crate::{Error, LogFilter, TeamClient};

/// A server that says nothing for so long is gone: it says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(50);
/// What is asked for. A server that knows no streams answers JSON.
const ACCEPT: &str = "text/event-stream, application/json;q=0.5";

/// An event of a log's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A line.
    Line(LogLine),
    /// The run goes on with another attempt, whose lines follow.
    Attempt(AttemptEvent),
    /// There is nothing more.
    End(EndEvent),
}

/// An event of the stream of a team's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveEvent {
    /// A run was made, or its state changed.
    Run(Box<RunEvent>),
    /// Events are missing here: what is known of the team's runs may be old.
    Reset,
}

/// A log that is followed.
#[derive(Debug)]
pub struct LogStream(Events);

/// A team's runs that are followed.
#[derive(Debug)]
pub struct MoveStream(Events);

impl TeamClient {
    /// Follows the log of a run until it ends, from behind the event of the id `after` if there is one. The filter may have no limit.
    /// `None`: the server knows no streams.
    pub async fn follow_log(
        &self,
        run_id: i64,
        filter: &LogFilter,
        after: Option<&str>,
    ) -> Result<Option<LogStream>, Error> {
        let call = self.call(Method::GET, &["runs", &run_id.to_string(), "logs"]).query(filter);
        Ok(Events::open(call, after).await?.map(LogStream))
    }

    /// Follows the team's runs, from behind the event of the id `after` if there is one. `None`: the server knows no streams.
    pub async fn follow_runs(&self, after: Option<&str>) -> Result<Option<MoveStream>, Error> {
        match Events::open(self.call(Method::GET, &["runs", "events"]), after).await {
            Ok(events) => Ok(events.map(MoveStream)),
            // To an older server it is the path of a run whose number is none.
            Err(Error::Api { status: 400 | 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl LogStream {
    /// The next event; `None` when the stream ends, which without [`LogEvent::End`] before it is not the end of the log. An event of a kind
    /// that this client does not know is left out.
    pub async fn next(&mut self) -> Result<Option<LogEvent>, Error> {
        while let Some(Told { event, data }) = self.0.next().await? {
            return Ok(Some(match event.as_deref() {
                None => LogEvent::Line(self.0.decode(&data)?),
                Some(log_event::ATTEMPT) => LogEvent::Attempt(self.0.decode(&data)?),
                Some(log_event::END) => LogEvent::End(self.0.decode(&data)?),
                Some(_) => continue,
            }));
        }
        Ok(None)
    }

    /// The id of the last event that had one.
    pub fn last_id(&self) -> Option<&str> {
        self.0.last_id.as_deref()
    }
}

impl MoveStream {
    /// The next event; `None` when the stream ends. An event of a kind that this client does not know is left out.
    pub async fn next(&mut self) -> Result<Option<MoveEvent>, Error> {
        while let Some(Told { event, data }) = self.0.next().await? {
            return Ok(Some(match event.as_deref() {
                None => MoveEvent::Run(Box::new(self.0.decode(&data)?)),
                Some(run_event::RESET) => MoveEvent::Reset,
                Some(_) => continue,
            }));
        }
        Ok(None)
    }

    /// The id of the last event that had one. The server gives the first with the beginning of the stream.
    pub fn last_id(&self) -> Option<&str> {
        self.0.last_id.as_deref()
    }
}

/// An event with data.
struct Told {
    event: Option<String>,
    data: String,
}

/// A stream of events.
struct Events {
    blocks: SseByteStream<BoxStream<'static, Result<Bytes, Error>>>,
    /// Bytes that came since the last event.
    pending: Arc<AtomicUsize>,
    last_id: Option<String>,
    origin: String,
}

impl Events {
    async fn open(call: Request<'_>, after: Option<&str>) -> Result<Option<Self>, Error> {
        let mut call = call.header("accept", ACCEPT);
        if let Some(id) = after {
            call = call.header("last-event-id", id);
        }
        let answer = call.head().await?;
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Ok(None);
        }
        let (pending, origin) = (Arc::new(AtomicUsize::new(0)), answer.origin().to_owned());
        let pieces = pieces(answer.with_timeout(SILENCE), Arc::clone(&pending));
        Ok(Some(Self {
            blocks: SseByteStream::new(pieces),
            pending,
            last_id: after.map(str::to_owned),
            origin,
        }))
    }

    async fn next(&mut self) -> Result<Option<Told>, Error> {
        while let Some(block) = self.blocks.next().await {
            let Sse { event, data, id, .. } = block.map_err(|error| self.broken(error))?;
            self.pending.store(0, Ordering::Relaxed);
            if id.is_some() {
                self.last_id = id;
            }
            if let Some(data) = data {
                return Ok(Some(Told { event, data }));
            }
        }
        Ok(None)
    }

    fn broken(&self, error: sse_stream::Error) -> Error {
        let error = match error {
            sse_stream::Error::Body(error) => match error.downcast() {
                Ok(error) => return *error,
                Err(error) => error.to_string(),
            },
            error => error.to_string(),
        };
        Error::Decode { origin: self.origin.clone(), reason: error }
    }

    fn decode<T: DeserializeOwned>(&self, data: &str) -> Result<T, Error> {
        serde_json::from_str(data)
            .map_err(|error| Error::Decode { origin: self.origin.clone(), reason: error.to_string() })
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("last_id", &self.last_id).finish_non_exhaustive()
    }
}

/// The pieces of an answer, given up when an event is longer than any answer may be.
fn pieces(answer: Answer, pending: Arc<AtomicUsize>) -> BoxStream<'static, Result<Bytes, Error>> {
    let most = answer.max_bytes();
    try_unfold(answer, move |mut answer| {
        let pending = Arc::clone(&pending);
        async move {
            let Some(piece) = answer.chunk().await? else { return Ok(None) };
            if pending.fetch_add(piece.len(), Ordering::Relaxed) > most {
                return Err(answer.unexpected(format!("an event of more than {most} bytes")));
            }
            Ok(Some((piece, answer)))
        }
    })
    .boxed()
}
