//! One call after the other, for what comes before a load and for calls that are timed one by one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::request;
use super::{Engine, Key, scan};
use crate::BenchError;

/// An answer that is kept.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// From sending until all of it was read.
    pub took: Duration,
}

impl Reply {
    /// A text of the answer's JSON.
    pub fn text(&self, name: &str) -> Result<String, BenchError> {
        let text = scan::text(&self.body, name).ok_or_else(|| self.lacks(name))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// A number of the answer's JSON.
    pub fn number(&self, name: &str) -> Result<u64, BenchError> {
        scan::number(&self.body, name).ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> BenchError {
        BenchError::Http(format!("no {name} in {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    engine: Engine,
    key: Key,
    ready: Vec<Key>,
}

impl Client {
    /// Connects.
    pub fn new(address: SocketAddr) -> Result<Self, BenchError> {
        let mut engine = Engine::new(address)?;
        let key = engine.connect()?;
        Ok(Self { engine, key, ready: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    pub fn send(&mut self, request: &[u8]) -> Result<Reply, BenchError> {
        // A connection that the server has closed meanwhile is noticed here, and opened again.
        self.engine.wait(Instant::now(), &mut self.ready)?;
        self.engine.answer(self.key)?;
        self.engine.send(self.key, request)?;
        let answer = self.engine.await_answer(self.key)?;
        Ok(Reply { status: answer.status, body: answer.body.to_vec(), took: answer.took })
    }

    /// A call whose answer has to have one of these statuses.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &[u8],
        expected: &[u16],
    ) -> Result<Reply, BenchError> {
        let reply = self.send(&request::json(method, path, token, body))?;
        if expected.contains(&reply.status) {
            return Ok(reply);
        }
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        Err(BenchError::Answer { call: format!("{method} {path}"), status: reply.status, body })
    }
}
