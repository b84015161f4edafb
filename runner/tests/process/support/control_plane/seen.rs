//! What the proxy has seen of the runner.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use minitower_client::wire::runner::{LeaseRequest, LogBatch, Register, RunResult};
use minitower_client::wire::runs::LogLine;
use minitower_test_plane::{Plane, Request};
use percent_encoding::percent_decode_str;

/// The calls so far. Each method looks at them afresh.
pub(crate) struct Seen<'p> {
    pub(super) plane: &'p Plane,
    pub(super) started: Vec<i64>,
}

impl Seen<'_> {
    /// Calls that have been heard: not those that were answered as if the server were away.
    fn heard(&self, call: &str) -> Vec<Request> {
        let mut requests = self.plane.requests(call);
        requests.retain(|request| !matches!(request.answered, Some(401 | 503)));
        requests
    }

    fn answered(&self, call: &str, statuses: &[u16]) -> Vec<Request> {
        let mut requests = self.plane.requests(call);
        requests.retain(|request| request.answered.is_some_and(|status| statuses.contains(&status)));
        requests
    }

    pub(crate) fn polls(&self) -> Vec<LeaseRequest> {
        self.heard("POST /runs/lease").iter().map(Request::decode).collect()
    }

    /// The tokens that polls have carried.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let polls = self.heard("POST /runs/lease");
        polls.iter().filter_map(|poll| poll.token().map(str::to_owned)).collect()
    }

    /// How many attempts were started, by their polls or by calls.
    pub(crate) fn starts(&self) -> usize {
        self.started.len() + self.start_calls()
    }

    pub(crate) fn start_calls(&self) -> usize {
        self.answered("POST /runs/*/start", &[200]).len()
    }

    /// When the lease was extended.
    pub(crate) fn heartbeats(&self) -> Vec<Instant> {
        self.answered("POST /runs/*/heartbeat", &[200]).iter().map(|request| request.at).collect()
    }

    /// Batches of lines that were accepted by themselves.
    pub(crate) fn batches(&self) -> usize {
        self.answered("POST /runs/*/logs", &[200]).len()
    }

    /// The lines that the server has accepted, by themselves and with results. Those of each attempt came in order, without gaps.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        let mut last: HashMap<String, i64> = HashMap::new();
        let mut lines = Vec::new();
        for request in self.answered("POST /runs/*/*", &[200]) {
            let batch = if request.path.ends_with("/logs") {
                let batch: LogBatch = request.decode();
                assert!(!batch.logs.is_empty(), "{request:?}");
                batch.logs
            } else if request.path.ends_with("/result") {
                request.decode::<RunResult>().logs
            } else {
                continue;
            };
            assert!(batch.len() <= LogBatch::MAX_LINES, "{} lines", batch.len());
            let last = last.entry(request.header("x-lease-token").unwrap().to_owned()).or_default();
            for line in batch {
                *last += 1;
                assert_eq!(line.seq, *last, "lines come in order, without gaps");
                assert!(line.line.len() <= LogBatch::MAX_LINE_BYTES);
                lines.push(line);
            }
        }
        lines
    }

    /// The log's text, one line a line.
    pub(crate) fn log(&self) -> String {
        self.lines().iter().flat_map(|line| [line.line.as_str(), "\n"]).collect()
    }

    /// The number behind `name=` in the log.
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        let prefix = format!("{name}=");
        self.lines().iter().find_map(|line| line.line.strip_prefix(&prefix)?.trim().parse().ok())
    }

    fn result_calls(&self) -> Vec<Request> {
        let mut calls = self.heard("POST /runs/*/result");
        calls.retain(|request| request.answered.is_some());
        calls
    }

    /// How many results the server has answered, whatever it made of them.
    pub(crate) fn result_count(&self) -> usize {
        self.result_calls().len()
    }

    /// The results that the server has answered, whatever it made of them.
    pub(crate) fn results(&self) -> Vec<RunResult> {
        self.result_calls().iter().map(Request::decode).collect()
    }

    pub(crate) fn releases(&self) -> usize {
        let mut calls = self.heard("POST /runs/*/release");
        calls.retain(|request| request.answered.is_some());
        calls.len()
    }

    pub(crate) fn sign_offs(&self) -> usize {
        self.plane.requests("POST /runners/sign-off").iter().filter(|it| it.answered.is_some()).count()
    }

    pub(crate) fn registrations(&self) -> Vec<Register> {
        self.answered("POST /runners/register", &[200, 201]).iter().map(Request::decode).collect()
    }

    /// Downloads of archives, answered or not.
    pub(crate) fn downloads(&self) -> usize {
        self.plane.count("GET /runs/*/artifact")
    }

    /// Artifacts that were accepted, by path.
    pub(crate) fn uploads(&self) -> BTreeMap<String, Vec<u8>> {
        let uploads = self.answered("PUT /runs/*/artifacts/**", &[200, 201, 204]);
        uploads
            .iter()
            .map(|request| {
                let path = request.path.split_once("/artifacts/").unwrap().1;
                let path = percent_decode_str(path).decode_utf8().unwrap().into_owned();
                (path, request.body.to_vec())
            })
            .collect()
    }
}
