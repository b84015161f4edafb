//! `minitowerd healthcheck`: the probe of orchestrators that can only run a program inside the container. An image of nothing but this
//! program has neither a shell nor curl.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::ListenAddr;

/// For each step: connecting, writing, reading.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most of an answer that is read: a status line, headers, and a line of JSON.
const MOST_BYTES: u64 = 64 * 1024;

/// The server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Nobody answers.
    #[error("no answer from {addr}: {source}; is the server running, with the same MINITOWER_LISTEN_ADDR?")]
    Unreachable {
        /// Where it was asked.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// It answers that it is not ready, or something else answers.
    #[error("{addr} answers /ready with \"{status}\": {body}")]
    NotReady {
        /// Where it was asked.
        addr: String,
        /// The status line.
        status: String,
        /// What it said.
        body: String,
    },
}

/// Asks the server that listens on `listen` whether it is ready, and says where it was asked.
///
/// # Errors
/// It is not, or there is none.
pub fn healthcheck(listen: &ListenAddr) -> Result<String, Unhealthy> {
    let target = listen.reached_at();
    let addr = target.to_string();
    let (status, body) =
        ask(&target).map_err(|source| Unhealthy::Unreachable { addr: addr.clone(), source })?;
    if status.split(' ').nth(1) == Some("200") {
        Ok(addr)
    } else {
        Err(Unhealthy::NotReady { addr, status, body })
    }
}

/// The status line and the last line of the answer.
fn ask(target: &ListenAddr) -> io::Result<(String, String)> {
    let mut stream = connect(target)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // The older protocol: the answer ends where the connection does.
    write!(stream, "GET /ready HTTP/1.0\r\nHost: {target}\r\n\r\n")?;
    let mut answer = BufReader::new(stream.take(MOST_BYTES));
    let mut status = String::new();
    if answer.read_line(&mut status)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut rest = String::new();
    answer.read_to_string(&mut rest)?;
    Ok((status.trim_end().to_owned(), rest.trim_end().lines().last().unwrap_or_default().to_owned()))
}

fn connect(target: &ListenAddr) -> io::Result<TcpStream> {
    let host = target.host.as_deref().unwrap_or_default();
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for addr in (host, target.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(refused) => error = refused,
        }
    }
    Err(error)
}
