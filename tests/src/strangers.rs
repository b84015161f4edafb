//! Strangers: connections that ask for nothing, or for ever.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections that are kept. Dropping them hangs up.
#[derive(Debug)]
pub struct Strangers(Vec<TcpStream>);

impl Strangers {
    /// So many connect, and all that can have been answered a little, or cut.
    pub fn come(port: u16, count: usize) -> Self {
        raise_file_limit();
        let connect = |number| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            // It may have made room for another already.
            let _ = stream.write_all(&opening(number));
            Some(stream)
        };
        Self((0..count).filter_map(connect).collect())
    }

    /// How many could connect.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Lets this process, and what it starts from now on, open as many files as it may.
pub fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// What a stranger sends, and nothing after it.
fn opening(number: usize) -> Vec<u8> {
    let head = "POST /api/v1/teams/login HTTP/1.1\r\nHost: a\r\n";
    match number % 5 {
        0 => Vec::new(),
        1 => head.into(),
        2 => format!("{head}x: {}", "y".repeat(15_000)).into(),
        3 => format!("{head}Content-Length: 65000\r\n\r\n{}", "y".repeat(60_000)).into(),
        // Answered, and never read.
        _ => "GET /api/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50).into(),
    }
}
