//! A runner that does what a test says, past the proxy.

use bytes::Bytes;
use minitower_client::wire::Timestamp;
use minitower_client::wire::runner::{
    Lease, LeaseRequest, LogBatch, Register, ResultReason, ResultStatus, RunResult,
};
use minitower_client::wire::runs::{LogLine, Stream};
use minitower_client::{AttemptClient, RunnerClient};
use serde_json::Value;

use crate::plane::Direct;

/// A registered runner.
pub struct Runner {
    /// Its name.
    pub name: String,
    /// Its token.
    pub token: String,
    direct: Direct,
    client: RunnerClient,
}

impl Runner {
    #[track_caller]
    pub(crate) fn register(direct: &Direct, registration_token: &str, register: Register) -> Self {
        let client = RunnerClient::new(&direct.config).unwrap();
        let registered = direct.run({
            let (client, token) = (client.clone(), registration_token.to_owned());
            async move { client.register(&token, &register).await.expect("a runner") }
        });
        Self { name: registered.name, token: registered.token, direct: direct.clone(), client }
    }

    /// Polls once, without waiting.
    #[track_caller]
    pub fn poll(&self, request: LeaseRequest) -> Option<Lease> {
        let (client, token) = (self.client.clone(), self.token.clone());
        let leased = self.direct.run(async move { client.lease(&token, 0, &request).await.expect("a poll") });
        leased.map(|leased| leased.lease)
    }

    /// The next run of the queue.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn lease(&self) -> Lease {
        self.poll(LeaseRequest::default()).expect("a run in the queue")
    }

    /// The calls under a lease.
    pub fn attempt(&self, lease: &Lease) -> AttemptClient {
        self.client.attempt(&self.token, lease)
    }

    /// Says that the job of a lease starts.
    #[track_caller]
    pub fn start(&self, lease: &Lease) {
        let attempt = self.attempt(lease);
        self.direct.run(async move { attempt.start().await.expect("a start") });
    }

    /// Delivers lines of standard output; the first has the number `first`.
    #[track_caller]
    pub fn log(&self, lease: &Lease, first: i64, lines: &[&str]) {
        let lines: Vec<_> = lines.iter().map(|line| (Stream::Stdout, (*line).to_owned())).collect();
        self.log_streams(lease, first, &lines);
    }

    /// Delivers lines of both streams; the first has the number `first`.
    #[track_caller]
    pub fn log_streams(&self, lease: &Lease, first: i64, lines: &[(Stream, String)]) {
        let logged_at = Timestamp::UNIX_EPOCH;
        let logs = (first..)
            .zip(lines)
            .map(|(seq, (stream, line))| LogLine { seq, stream: *stream, line: line.clone(), logged_at })
            .collect();
        let attempt = self.attempt(lease);
        self.direct.run(async move { attempt.logs(&LogBatch { logs }).await.expect("a log") });
    }

    /// Leaves a file behind.
    #[track_caller]
    pub fn artifact(&self, lease: &Lease, path: &str, content: &[u8]) {
        let (attempt, path, content) =
            (self.attempt(lease), path.to_owned(), Bytes::copy_from_slice(content));
        let bytes = content.len() as u64;
        let content = futures_util::stream::once(std::future::ready(Ok(content)));
        self.direct.run(async move { attempt.put_artifact(&path, bytes, content).await.expect("an upload") });
    }

    /// Reports an end.
    #[track_caller]
    pub fn end(&self, lease: &Lease, result: RunResult) {
        let attempt = self.attempt(lease);
        self.direct.run(async move { attempt.result(&result).await.expect("a result") });
    }

    /// Reports that the job exited with this code.
    #[track_caller]
    pub fn exit(&self, lease: &Lease, code: i64) {
        self.exit_with(lease, code, None);
    }

    /// Reports that the job exited with this code and left this output.
    #[track_caller]
    pub fn exit_with(&self, lease: &Lease, code: i64, output: Option<Value>) {
        let well = code == 0;
        let result = RunResult {
            status: if well { ResultStatus::Completed } else { ResultStatus::Failed },
            exit_code: Some(code),
            error_message: (!well).then(|| format!("exit status {code}")),
            reason: Some(ResultReason::Exit),
            output,
            logs: Vec::new(),
        };
        self.end(lease, result);
    }
}
