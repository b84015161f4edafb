//! Who is told: a receiver of requests, and a mail server.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::programs::source_root;
use crate::server::free_port;
use crate::{Program, skip, wait};

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its first line.
    pub line: String,
    /// Its headers; the names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Received {
    /// A header.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        &found.unwrap_or_else(|| panic!("there is no header {name} in {:?}", self.headers)).1
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    /// What the next requests are answered with; none: 200. 0: with nothing at all, for ever.
    answers: VecDeque<u16>,
    always: Option<u16>,
}

/// A receiver on a loopback port.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Starts one that answers 200.
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Starts one at another address of this machine: another host to whoever calls it.
    pub fn elsewhere() -> Self {
        Self::on(TcpListener::bind("127.0.0.2:0").unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        let receiver = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let of_thread = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let receiver = of_thread.clone();
                thread::spawn(move || receiver.serve(stream));
            }
        });
        receiver
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What the next requests are answered with; 0: with nothing.
    pub fn answer(&self, statuses: &[u16]) {
        self.state.lock().unwrap().answers.extend(statuses);
    }

    /// What all requests are answered with from now on; 0: with nothing.
    pub fn always(&self, status: u16) {
        self.state.lock().unwrap().always = Some(status);
    }

    /// What was received so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// Waits until so many were received.
    #[track_caller]
    pub fn wait(&self, n: usize) -> Vec<Received> {
        wait::until(&format!("{n} requests"), wait::SOON, || {
            Some(self.received()).filter(|all| all.len() >= n)
        })
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(received) = read(&mut stream) else { return };
        let status = {
            let mut state = self.state.lock().unwrap();
            state.received.push(received);
            let always = state.always;
            state.answers.pop_front().or(always).unwrap_or(200)
        };
        if status == 0 {
            thread::sleep(Duration::from_secs(3600));
        }
        let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    }
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.lines();
            let line = lines.next()?.to_owned();
            let pairs = lines.filter_map(|line| line.split_once(": "));
            let headers: Vec<_> =
                pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(Received { line, headers, body: bytes[end + 4..end + 4 + length].to_vec() });
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// A real mail server (tests/smtp).
#[derive(Debug)]
pub struct MailServer {
    program: Program,
    port: u16,
    _folder: TempDir,
}

impl MailServer {
    /// Starts one, with variables of `tests/smtp/server.py`. None: it cannot be had here, and the test is skipped.
    pub fn start(more: &[(&str, &str)]) -> Option<Self> {
        let output = Command::new(source_root().join("scripts/smtp-server.sh")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.code() {
            Some(0) => {}
            Some(3) => {
                skip::skip(&said);
                return None;
            }
            _ => panic!("smtp-server.sh failed: {said}{}", String::from_utf8_lossy(&output.stderr)),
        }
        let folder = tempfile::Builder::new().prefix("minitower-smtp-").tempdir().unwrap();
        let port = free_port();
        let mut env = vec![("PORT".to_owned(), port.to_string())];
        env.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let script = source_root().join("tests/smtp/server.py").display().to_string();
        let log = folder.path().join("smtp.log");
        let mut program = Program::start_any(Path::new(&said), &[&script], &env, folder.path(), &log);
        wait::until("the mail server listens", wait::SOON, || {
            assert!(program.ended().is_none(), "the mail server ended: {}", program.log());
            program.log().contains("ready").then_some(())
        });
        Some(Self { program, port, _folder: folder })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it has taken so many mails.
    #[track_caller]
    pub fn wait(&self, n: usize) -> Vec<Value> {
        let mails = || -> Vec<Value> {
            let log = self.program.log();
            let lines = log.lines().filter_map(|line| line.strip_prefix("mail: "));
            lines.map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        wait::until(&format!("{n} mails"), wait::SOON, || Some(mails()).filter(|all| all.len() >= n))
    }
}
