//! One kept connection with at most one request on its way.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::BenchError;

/// Room for an answer; it grows for longer ones.
const ROOM: usize = 8 * 1024;
/// Headers an answer may have.
const HEADERS: usize = 32;

/// An answer, as long as nothing else is sent on its connection.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// When the request was sent.
    pub sent: Instant,
    /// From the request's last byte handed to the kernel until the answer's last byte was read.
    pub took: Duration,
}

impl Answer<'_> {
    /// The error that this answer is to this call.
    pub fn unexpected(&self, call: &str) -> BenchError {
        let body = String::from_utf8_lossy(self.body).into_owned();
        BenchError::Answer { call: call.to_owned(), status: self.status, body }
    }

    /// Fails unless the status is the expected one.
    pub fn expect(&self, call: &str, status: u16) -> Result<(), BenchError> {
        if self.status == status { Ok(()) } else { Err(self.unexpected(call)) }
    }
}

/// What a look at the socket found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// A whole answer.
    Answer {
        status: u16,
        /// Where its body begins and ends.
        from: usize,
        to: usize,
    },
    /// Nothing, or not all of it.
    Partial,
    /// The server has closed the idle connection.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    sent: Option<Instant>,
}

impl Connection {
    /// Connects; on loopback that is done at once.
    pub(super) fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let connect = || {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(TcpStream::from_std(stream))
        };
        let stream = connect().map_err(BenchError::io(format!("cannot connect to {address}")))?;
        Ok(Self { stream, buffer: vec![0; ROOM], filled: 0, sent: None })
    }

    /// Sends a whole request.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<(), BenchError> {
        self.filled = 0;
        let sent = Instant::now();
        // Requests are far smaller than the socket's buffer: a short write means that the server has stopped reading.
        match self.stream.write(request) {
            Ok(written) if written == request.len() => {
                self.sent = Some(sent);
                Ok(())
            }
            Ok(_) => Err(BenchError::Http("the server does not read its requests".to_owned())),
            Err(source) => Err(BenchError::Io { what: "cannot send a request".to_owned(), source }),
        }
    }

    /// Reads what has arrived.
    pub(super) fn look(&mut self) -> Result<Look, BenchError> {
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let space = self.buffer.len() - self.filled;
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) if self.sent.is_none() => return Ok(Look::Closed),
                Ok(0) => return Err(BenchError::Cut),
                Ok(read) => {
                    self.filled += read;
                    let look = self.parse()?;
                    // A read that does not fill its buffer has drained the socket: the next event says when there is
                    // more (epoll(7), questions and answers, 9).
                    if look != Look::Partial || read < space {
                        return Ok(look);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Look::Partial),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if self.sent.is_none() => return Ok(Look::Closed),
                Err(source) => {
                    return Err(BenchError::Io { what: "cannot read an answer".to_owned(), source });
                }
            }
        }
    }

    fn parse(&self) -> Result<Look, BenchError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response
            .parse(&self.buffer[..self.filled])
            .map_err(|error| BenchError::Http(error.to_string()))?;
        let httparse::Status::Complete(from) = parsed else { return Ok(Look::Partial) };
        let status = response.code.unwrap_or_default();
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        let length: usize = match (status, length) {
            (204, _) => 0,
            (_, Some(length)) => length,
            (_, None) => return Err(BenchError::Http(format!("a {status} without a length"))),
        };
        let to = from + length;
        Ok(if self.filled >= to { Look::Answer { status, from, to } } else { Look::Partial })
    }

    /// The answer that [`Self::look`] found.
    pub(super) fn answer(&mut self, status: u16, from: usize, to: usize) -> Result<Answer<'_>, BenchError> {
        let sent =
            self.sent.take().ok_or_else(|| BenchError::Http("an answer nobody asked for".to_owned()))?;
        Ok(Answer { status, body: &self.buffer[from..to], sent, took: sent.elapsed() })
    }
}
