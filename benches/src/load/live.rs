//! Listeners who follow the logs of runs as streams of events, while the runs print.
//!
//! Each line carries the moment when its batch was sent, so a sample is everything from there until a listener has read it: the request, the
//! commit and its sync, and the stream. Each listener counts its lines: one that is missing, or comes twice, fails the load.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::creates::BODY;
use super::measure::{Costs, Meter, Phase, Window};
use super::runner::Runner;
use crate::http::request::{AttemptCall, json};
use crate::http::{Client, Engine};
use crate::place::APP;
use crate::stats::Samples;
use crate::{BenchError, Place};

/// Fewer than the server allows connections of one token.
const PER_TOKEN: usize = 400;
/// Most lines of a batch.
const BATCH: u64 = 100;
/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);
/// How long the end may take after the last line.
const LIMIT: Duration = Duration::from_secs(60);

/// Who follows what.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// How many follow.
    pub listeners: usize,
    /// How many runs they follow, each as many listeners.
    pub runs: usize,
    /// Lines that each run prints a second.
    pub lines: u64,
    /// Between two batches of a run.
    pub every: Duration,
}

/// What came out of it.
#[derive(Debug)]
pub struct Live {
    /// What the window cost.
    pub costs: Costs,
    /// From a line's sending until a listener had it, of lines that arrived within the window.
    pub lines: Samples,
    /// Lines that all listeners together had, in all.
    pub delivered: u64,
}

/// A run that prints.
struct Printing {
    client: Client,
    logs: Vec<u8>,
    heartbeat: Vec<u8>,
    result: Vec<u8>,
    seq: u64,
}

/// One who follows.
struct Listener {
    stream: TcpStream,
    chunks: Chunks,
    /// What has come of the line that is not whole yet.
    line: Vec<u8>,
    seen: u64,
    ended: bool,
}

/// Takes a chunked body apart.
#[derive(Default)]
struct Chunks {
    headed: bool,
    head: Vec<u8>,
    left: usize,
}

/// Lets the runs print, and the listeners follow.
pub fn live(
    place: &mut Place,
    pid: Option<u32>,
    shape: Listening,
    window: Window,
) -> Result<Live, BenchError> {
    let began = Instant::now();
    let (mut printing, runs) = begin_runs(place, shape.runs)?;
    let mut poll = Poll::new().map_err(BenchError::io("epoll"))?;
    let mut listeners = follow_all(place, &poll, shape.listeners, &runs)?;
    let until = Instant::now() + window.warm_up + window.length;
    let printed = std::thread::scope(|scope| {
        let printer = scope.spawn(move || print_all(&mut printing, shape, began, until));
        let heard = hear_all(&mut poll, &mut listeners, began, (pid, window));
        let printed = printer.join().map_err(|_| BenchError::Usage("the printer panicked".to_owned()))?;
        Ok::<_, BenchError>((heard?, printed?))
    });
    let ((costs, lines), printed) = printed?;
    for listener in &listeners {
        if listener.seen != printed {
            return Err(BenchError::Miscounted { what: "lines", here: listener.seen, there: printed });
        }
    }
    Ok(Live { costs, lines, delivered: printed * listeners.len() as u64 })
}

/// Runs that are leased and started, one for each of so many runners.
fn begin_runs(place: &mut Place, count: usize) -> Result<(Vec<Printing>, Vec<String>), BenchError> {
    let tokens = place.runners(count)?;
    let (mut printing, mut runs) = (Vec::new(), Vec::new());
    let mut engine = Engine::new(place.address)?;
    for (number, token) in tokens.iter().enumerate() {
        place.post(&format!("/api/v1/apps/{APP}/runs"), BODY, &[201])?;
        let key = engine.connect()?;
        let mut runner = Runner::new(number, token);
        runner.poll(&mut engine, key)?;
        runner.take(&engine.await_answer(key)?)?;
        let (run, lease) = runner.held();
        let call = |name: &str, body: &[u8]| {
            let mut out = Vec::new();
            AttemptCall::new(name, token, body).write(run, lease, &mut out);
            out
        };
        printing.push(Printing {
            client: Client::new(place.address)?,
            // The body follows for each batch.
            logs: format!("POST /api/v1/runs/{}/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nX-Lease-Token: {}\r\nContent-Type: application/json\r\n", text(run), text(lease)).into_bytes(),
            heartbeat: call("heartbeat", b""),
            result: call("result", br#"{"status":"completed","exit_code":0,"reason":"exit"}"#),
            seq: 0,
        });
        runs.push(text(run).into_owned());
    }
    Ok((printing, runs))
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Prints until the window is over, and ends the runs; how many lines each has.
fn print_all(
    printing: &mut [Printing],
    shape: Listening,
    began: Instant,
    until: Instant,
) -> Result<u64, BenchError> {
    let (start, mut printed, mut beat) = (Instant::now(), 0, Instant::now());
    while Instant::now() < until {
        let due = start.elapsed().as_micros() * u128::from(shape.lines) / 1_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let beats = beat.elapsed() > BEAT;
        if beats {
            beat = Instant::now();
        }
        for run in &mut *printing {
            if beats {
                run.send(&run.heartbeat.clone())?;
            }
            while run.seq < due {
                run.print((due - run.seq).min(BATCH), began)?;
            }
        }
        printed = due.max(printed);
        std::thread::sleep(shape.every);
    }
    for run in printing {
        run.send(&run.result.clone())?;
    }
    Ok(printed)
}

impl Printing {
    fn print(&mut self, lines: u64, began: Instant) -> Result<(), BenchError> {
        let at = began.elapsed().as_nanos();
        let mut body = String::from(r#"{"logs":["#);
        for line in 1..=lines {
            let (comma, seq) = (if line == 1 { "" } else { "," }, self.seq + line);
            // Writing into memory does not fail.
            let _ = write!(
                body,
                r#"{comma}{{"seq":{seq},"stream":"stdout","line":"t={at}; step {seq}: fetched 1250 rows in 0.3 s, 12 retries","logged_at":"2026-01-02T03:04:05.000Z"}}"#
            );
        }
        body.push_str("]}");
        let request =
            [&self.logs[..], format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()].concat();
        self.seq += lines;
        self.send(&request)
    }

    fn send(&mut self, request: &[u8]) -> Result<(), BenchError> {
        let reply = self.client.send(request)?;
        if reply.status == 200 {
            return Ok(());
        }
        let (call, body) = ("a call under a lease".to_owned(), text(&reply.body).into_owned());
        Err(BenchError::Answer { call, status: reply.status, body })
    }
}

/// So many listeners, spread over the runs.
fn follow_all(
    place: &mut Place,
    poll: &Poll,
    count: usize,
    runs: &[String],
) -> Result<Vec<Listener>, BenchError> {
    let mut tokens = Vec::new();
    for _ in 0..count.div_ceil(PER_TOKEN) {
        tokens.push(place.post("/api/v1/tokens", b"{}", &[201])?.text("token")?);
    }
    (0..count)
        .map(|number| {
            let path = format!("/api/v1/runs/{}/logs", runs[number % runs.len()]);
            let mut request = json("GET", &path, &tokens[number / PER_TOKEN], b"");
            // Before the empty line at the end.
            request.truncate(request.len() - 2);
            request.extend_from_slice(b"Accept: text/event-stream\r\n\r\n");
            let connect = || {
                let mut stream = std::net::TcpStream::connect(place.address)?;
                stream.write_all(&request)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
                Ok(stream)
            };
            let stream = connect().map_err(BenchError::io("cannot follow a log"))?;
            Ok(Listener { stream, chunks: Chunks::default(), line: Vec::new(), seen: 0, ended: false })
        })
        .collect()
}

/// Reads until all streams have ended.
fn hear_all(
    poll: &mut Poll,
    listeners: &mut [Listener],
    began: Instant,
    (pid, window): (Option<u32>, Window),
) -> Result<(Costs, Samples), BenchError> {
    let (mut events, mut samples) = (Events::with_capacity(1024), Samples::default());
    let mut meter = Meter::start(window, pid);
    let deadline = Instant::now() + window.warm_up + window.length + LIMIT;
    let mut left = listeners.len();
    let mut phase = Phase::WarmUp;
    while left > 0 || phase != Phase::Over {
        if Instant::now() > deadline {
            return Err(BenchError::Late {
                what: "the end of all streams".to_owned(),
                seconds: LIMIT.as_secs(),
            });
        }
        poll.poll(&mut events, Some(Duration::from_millis(20))).map_err(BenchError::io("epoll"))?;
        phase = meter.phase(samples.len() as u64)?;
        for event in &events {
            let listener = &mut listeners[event.token().0];
            if listener.ended {
                continue;
            }
            listener.read(&mut |sent| {
                if phase == Phase::Measured {
                    samples.push(began.elapsed().saturating_sub(Duration::from_nanos(sent)));
                }
            })?;
            left -= usize::from(listener.ended);
        }
    }
    Ok((meter.costs(), samples))
}

impl Listener {
    /// Reads what has arrived, and says of each line when it was sent.
    fn read(&mut self, arrived: &mut impl FnMut(u64)) -> Result<(), BenchError> {
        let mut buffer = [0; 16 * 1024];
        while !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(BenchError::Cut),
                Ok(read) => {
                    let mut body = Vec::with_capacity(read);
                    self.chunks.take(&buffer[..read], &mut body)?;
                    self.body(&body, arrived)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(BenchError::Io { what: "cannot read a stream".to_owned(), source });
                }
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &[u8], arrived: &mut impl FnMut(u64)) -> Result<(), BenchError> {
        for piece in body.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                break;
            }
            let line = std::mem::take(&mut self.line);
            if line == b"event: end\n" {
                self.ended = true;
            } else if let Some(id) = line.strip_prefix(b"id: ") {
                let there = number(id);
                if there != self.seen + 1 {
                    return Err(BenchError::Miscounted { what: "the next line", here: self.seen + 1, there });
                }
                self.seen = there;
            } else if let Some(at) = find(&line, b"\"line\":\"t=") {
                arrived(number(&line[at..]));
            }
        }
        Ok(())
    }
}

/// Where something ends in a text.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what).map(|at| at + what.len())
}

/// The number at the beginning of a text.
fn number(text: &[u8]) -> u64 {
    text.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |n, byte| n * 10 + u64::from(byte - b'0'))
}

impl Chunks {
    /// Appends what is content to `body`.
    fn take(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> Result<(), BenchError> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let content = self.left.min(bytes.len());
                body.extend_from_slice(&bytes[..content]);
                (self.left, bytes) = (self.left - content, &bytes[content..]);
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            if !self.headed {
                if self.head.ends_with(b"\r\n\r\n") {
                    if !self.head.starts_with(b"HTTP/1.1 200") {
                        return Err(BenchError::Http(text(&self.head).into_owned()));
                    }
                    self.headed = true;
                    self.head.clear();
                }
                continue;
            }
            // A chunk's size stands on a line of its own, behind the end of the chunk before it.
            if self.head.ends_with(b"\n") {
                let size = text(&self.head).trim().to_owned();
                self.head.clear();
                if !size.is_empty() {
                    self.left = usize::from_str_radix(&size, 16).map_err(|_| BenchError::Http(size))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_put_together_wherever_it_is_cut() {
        let sent =
            b"HTTP/1.1 200 OK\r\na: b\r\n\r\n5\r\nid: 1\r\n1\r\n\n\r\nC\r\nevent: end\n\n\r\n0\r\n\r\n";
        for cut in 0..sent.len() {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            chunks.take(&sent[..cut], &mut body).unwrap();
            chunks.take(&sent[cut..], &mut body).unwrap();
            assert_eq!(text(&body), "id: 1\nevent: end\n\n");
        }
        assert!(Chunks::default().take(b"HTTP/1.1 429 Too\r\n\r\n", &mut Vec::new()).is_err());
    }

    #[test]
    fn what_a_line_says_is_found() {
        let line = br#"data: {"seq":7,"stream":"stdout","line":"t=123; step"}"#;
        assert_eq!(find(line, b"\"line\":\"t=").map(|at| number(&line[at..])), Some(123));
    }
}
