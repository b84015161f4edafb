//! All connections of a load on one thread, by `epoll`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::connection::{Answer, Connection, Look};
use crate::BenchError;

/// How long an answer may take that is waited for alone: the longest poll is 60 s.
const LIMIT: Duration = Duration::from_secs(90);
/// Most events taken at once.
const EVENTS: usize = 1024;

/// Names a connection of an [`Engine`]; the first is 0, each further one counts up.
pub type Key = usize;

/// The connections to one server.
#[derive(Debug)]
pub struct Engine {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    /// `None`: the server has closed it; the next request opens another.
    connections: Vec<Option<Connection>>,
    requests: u64,
}

impl Engine {
    /// Without a connection yet.
    pub fn new(address: SocketAddr) -> Result<Self, BenchError> {
        let poll = Poll::new().map_err(BenchError::io("epoll"))?;
        Ok(Self {
            address,
            poll,
            events: Events::with_capacity(EVENTS),
            connections: Vec::new(),
            requests: 0,
        })
    }

    /// Another connection.
    pub fn connect(&mut self) -> Result<Key, BenchError> {
        let key = self.connections.len();
        let connection = self.open(key)?;
        self.connections.push(Some(connection));
        Ok(key)
    }

    fn open(&self, key: Key) -> Result<Connection, BenchError> {
        let mut connection = Connection::open(self.address)?;
        self.poll
            .registry()
            .register(&mut connection.stream, Token(key), Interest::READABLE)
            .map_err(BenchError::io("epoll"))?;
        Ok(connection)
    }

    /// Sends a whole request on a connection that owes no answer.
    pub fn send(&mut self, key: Key, request: &[u8]) -> Result<(), BenchError> {
        if self.connections[key].is_none() {
            self.connections[key] = Some(self.open(key)?);
        }
        self.requests += 1;
        let connection = self.connections[key].as_mut().ok_or(BenchError::Cut)?;
        connection.send(request)
    }

    /// Waits until something arrives, at most until the deadline, and puts where into `ready`.
    pub fn wait(&mut self, until: Instant, ready: &mut Vec<Key>) -> Result<(), BenchError> {
        ready.clear();
        let timeout = until.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            Err(source) => return Err(BenchError::Io { what: "epoll".to_owned(), source }),
        }
        ready.extend(self.events.iter().map(|event| event.token().0));
        Ok(())
    }

    /// The answer that has arrived on this connection, if it has arrived whole.
    pub fn answer(&mut self, key: Key) -> Result<Option<Answer<'_>>, BenchError> {
        let Some(connection) = self.connections[key].as_mut() else { return Ok(None) };
        match connection.look()? {
            Look::Partial => Ok(None),
            Look::Closed => {
                self.connections[key] = None;
                Ok(None)
            }
            Look::Answer { status, from, to } => self.given(key, status, from, to).map(Some),
        }
    }

    /// Waits for the answer of this connection alone.
    pub fn await_answer(&mut self, key: Key) -> Result<Answer<'_>, BenchError> {
        let deadline = Instant::now() + LIMIT;
        let mut ready = Vec::new();
        loop {
            if Instant::now() > deadline {
                return Err(BenchError::Late { what: "an answer".to_owned(), seconds: LIMIT.as_secs() });
            }
            self.wait(deadline, &mut ready)?;
            let Some(connection) = self.connections[key].as_mut() else { return Err(BenchError::Cut) };
            if let Look::Answer { status, from, to } = connection.look()? {
                break self.given(key, status, from, to);
            }
        }
    }

    fn given(&mut self, key: Key, status: u16, from: usize, to: usize) -> Result<Answer<'_>, BenchError> {
        self.connections[key].as_mut().ok_or(BenchError::Cut)?.answer(status, from, to)
    }

    /// How many requests were sent.
    pub fn requests(&self) -> u64 {
        self.requests
    }
}
