//! A runner played by hand, one call after the other. As the product's runner does, it asks the poll to start the run and sends the logs
//! with the result; of a server that does not know that it asks the same in two calls more.

use std::fmt::Write as _;
use std::time::Instant;

use crate::BenchError;
use crate::http::request::{AttemptCall, Poll};
use crate::http::{Answer, Engine, Key, scan};

/// How long a poll waits: as long as the product's runner lets it.
pub(super) const WAIT_SECONDS: u32 = 30;
const LOG_LINES: u32 = 10;
const RESULT: &str = r#""status":"completed","exit_code":0,"reason":"exit""#;

/// The call a runner waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Idle,
    Lease,
    Start,
    Logs,
    Result,
}

/// A runner; its connection has the same key in the engine as it has in its load.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) step: Step,
    /// When the poll that brought the run was sent.
    pub(super) began: Instant,
    poll: Poll,
    start: AttemptCall,
    logs: AttemptCall,
    result: AttemptCall,
    /// The result with the logs in it.
    all_in_one: AttemptCall,
    /// Whether the last poll's answer said that the run is started: such a server takes the logs with the result.
    started: bool,
    run: Vec<u8>,
    lease_token: Vec<u8>,
    out: Vec<u8>,
}

impl Runner {
    /// A runner for each token, each on a connection of its own, where its poll waits. The keys of the connections are the runners' places.
    pub(super) fn all_polling(engine: &mut Engine, tokens: &[String]) -> Result<Vec<Self>, BenchError> {
        let mut runners = Vec::new();
        for (number, token) in tokens.iter().enumerate() {
            let key = engine.connect()?;
            let mut runner = Self::new(number, token);
            runner.poll(engine, key)?;
            runners.push(runner);
        }
        Ok(runners)
    }

    pub(super) fn new(number: usize, token: &str) -> Self {
        Self {
            step: Step::Idle,
            began: Instant::now(),
            poll: Poll::new(number, token, WAIT_SECONDS),
            start: AttemptCall::new("start", token, b""),
            logs: AttemptCall::new("logs", token, format!("{{{}}}", log_batch()).as_bytes()),
            result: AttemptCall::new("result", token, format!("{{{RESULT}}}").as_bytes()),
            all_in_one: AttemptCall::new("result", token, format!("{{{RESULT},{}}}", log_batch()).as_bytes()),
            started: false,
            run: Vec::new(),
            lease_token: Vec::new(),
            out: Vec::new(),
        }
    }

    /// The run that it holds, and the lease's token.
    pub(super) fn held(&self) -> (&[u8], &[u8]) {
        (&self.run, &self.lease_token)
    }

    /// Sends a poll.
    pub(super) fn poll(&mut self, engine: &mut Engine, key: Key) -> Result<(), BenchError> {
        self.step = Step::Lease;
        engine.send(key, self.poll.write_next())
    }

    /// Sends the call that follows the last one; after a result that is a poll.
    pub(super) fn advance(&mut self, engine: &mut Engine, key: Key) -> Result<(), BenchError> {
        let (step, call) = match self.step {
            Step::Idle | Step::Result => return self.poll(engine, key),
            Step::Lease if self.started => (Step::Result, &self.all_in_one),
            Step::Lease => (Step::Start, &self.start),
            Step::Start => (Step::Logs, &self.logs),
            Step::Logs => (Step::Result, &self.result),
        };
        self.step = step;
        call.write(&self.run, &self.lease_token, &mut self.out);
        engine.send(key, &self.out)
    }

    /// Takes the answer to its last call. A poll that brought nothing is not for it.
    pub(super) fn take(&mut self, answer: &Answer<'_>) -> Result<(), BenchError> {
        if self.step != Step::Lease {
            return answer.expect("a call under a lease", 200);
        }
        answer.expect("a poll", 200)?;
        let run = scan::digits(answer.body, "run_id");
        let (Some(run), Some(token)) = (run, scan::text(answer.body, "lease_token")) else {
            return Err(answer.unexpected("a poll"));
        };
        self.started = scan::text(answer.body, "status") == Some(b"running");
        self.run.clear();
        self.run.extend_from_slice(run);
        self.lease_token.clear();
        self.lease_token.extend_from_slice(token);
        self.began = answer.sent;
        Ok(())
    }
}

/// Ten lines as a job prints them, as a field of an object.
fn log_batch() -> String {
    let mut logs = String::from(r#""logs":["#);
    for seq in 1..=LOG_LINES {
        let comma = if seq == 1 { "" } else { "," };
        // Writing into memory does not fail.
        let _ = write!(
            logs,
            r#"{comma}{{"seq":{seq},"stream":"stdout","line":"step {seq} of {LOG_LINES}: fetched 1250 rows in 0.3 s, 12 retries","logged_at":"2026-01-02T03:04:05.{seq:03}Z"}}"#
        );
    }
    logs.push(']');
    logs
}
