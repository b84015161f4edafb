//! The runner protocol over a list of jobs, with trouble on demand.

mod routes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use minitower_client::wire::runner::{LeaseRequest, Register, RunResult};
use minitower_client::wire::runs::LogLine;
use serde_json::Value;
use tokio::sync::watch;

/// What a run is.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) archive: Vec<u8>,
    pub(crate) entrypoint: &'static str,
    pub(crate) input: Value,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) import_paths: Option<&'static str>,
    /// What the server says instead of the archive's real digest.
    pub(crate) sha256: Option<String>,
    /// Further fields of the lease.
    pub(crate) lease: Value,
    /// Whose run it is; an older server does not tell.
    pub(crate) team_id: Option<i64>,
    pub(crate) version_no: i64,
}

impl Job {
    /// A project of one file.
    pub(crate) fn script(entrypoint: &'static str, text: &str) -> Self {
        Self::project(entrypoint, &[(entrypoint, text)])
    }

    /// A project.
    pub(crate) fn project(entrypoint: &'static str, files: &[(&str, &str)]) -> Self {
        let archive = super::archive(files);
        Self {
            archive,
            entrypoint,
            input: Value::Null,
            timeout_seconds: None,
            import_paths: None,
            sha256: None,
            team_id: None,
            version_no: 1,
            lease: Value::Null,
        }
    }

    /// The same as a version of a team's.
    pub(crate) fn of(self, team_id: i64, version_no: i64) -> Self {
        Self { team_id: Some(team_id), version_no, ..self }
    }
}

/// What goes wrong with a download.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ArchiveTrouble {
    /// This status.
    Status(u16),
    /// Other bytes than the digest says.
    OtherBytes,
    /// No answer at all.
    Hangs,
}

/// Everything a test may look at or change.
#[expect(clippy::struct_excessive_bools, reason = "each is one kind of trouble, alone or with others")]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Job>,
    current: Option<Job>,
    attempts: i64,
    last_seq: i64,
    pub(crate) ttl: Duration,
    /// Answers 503 to everything.
    pub(crate) down: bool,
    /// Answers nothing useful to this many further polls, although a lease was given.
    pub(crate) lose_leases: usize,
    /// Attempt calls are answered 410.
    pub(crate) gone: bool,
    /// Heartbeats are answered 503.
    pub(crate) no_heartbeats: bool,
    /// Log batches are answered 503.
    pub(crate) no_logs: bool,
    /// What downloads of the archive are answered with, in this order; then they are served.
    pub(crate) artifact_trouble: VecDeque<ArchiveTrouble>,
    /// Uploads of artifacts are answered with this status instead.
    pub(crate) refuse_uploads: VecDeque<u16>,
    /// Artifacts by path.
    pub(crate) uploads: BTreeMap<String, Vec<u8>>,
    /// Downloads of the archive.
    pub(crate) downloads: usize,
    pub(crate) cancel_requested: bool,
    /// Results other than cancelled are answered 409.
    pub(crate) conflict: bool,
    /// Behaves like a server before long polls, `lease_ttl_ms`, sign-off and release.
    pub(crate) old: bool,
    /// Every lease is of one run, as when it was given back.
    pub(crate) same_run: bool,
    /// Sign-offs are never answered.
    pub(crate) silent: bool,
    /// Registrations are answered 409: another team holds the name.
    pub(crate) name_taken: bool,
    /// Whose runs a registered runner takes; older servers do not say.
    pub(crate) scope: Option<&'static str>,
    pub(crate) token: String,
    pub(crate) registrations: Vec<Register>,
    pub(crate) polls: Vec<LeaseRequest>,
    pub(crate) starts: usize,
    pub(crate) heartbeats: Vec<Instant>,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) results: Vec<RunResult>,
    pub(crate) releases: usize,
    pub(crate) sign_offs: usize,
    /// Attempt calls of any kind.
    pub(crate) calls: usize,
    last_lease: Option<(String, Value)>,
}

impl State {
    fn run_id(&self) -> i64 {
        if self.same_run { 100 } else { 100 + self.attempts }
    }

    /// The log's text, one line a line.
    pub(crate) fn log(&self) -> String {
        self.lines.iter().flat_map(|line| [line.line.as_str(), "\n"]).collect()
    }

    /// The number behind `name=` in the log.
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        let prefix = format!("{name}=");
        self.lines.iter().find_map(|line| line.line.strip_prefix(&prefix)?.trim().parse().ok())
    }
}

#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

/// A running control plane; ends with the test.
pub(crate) struct ControlPlane {
    shared: Shared,
    pub(crate) url: String,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let state = State {
            queue: VecDeque::new(),
            current: None,
            attempts: 0,
            last_seq: 0,
            ttl: Duration::from_secs(30),
            down: false,
            lose_leases: 0,
            gone: false,
            no_heartbeats: false,
            no_logs: false,
            artifact_trouble: VecDeque::new(),
            refuse_uploads: VecDeque::new(),
            uploads: BTreeMap::new(),
            downloads: 0,
            cancel_requested: false,
            conflict: false,
            old: false,
            same_run: false,
            silent: false,
            name_taken: false,
            scope: None,
            token: "mtr_first".to_owned(),
            registrations: Vec::new(),
            polls: Vec::new(),
            starts: 0,
            heartbeats: Vec::new(),
            lines: Vec::new(),
            results: Vec::new(),
            releases: 0,
            sign_offs: 0,
            calls: 0,
            last_lease: None,
        };
        let shared = Shared { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(()) };
        let router = routes::router(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, url }
    }

    /// Adds a run to the queue.
    pub(crate) fn submit(&self, job: Job) {
        self.change(|state| state.queue.push_back(job));
    }

    /// Changes something, or only looks.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    /// Waits for the event that makes the condition true.
    pub(crate) async fn wait_for(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        let waited = tokio::time::timeout(super::PATIENCE, async {
            while !condition(&self.shared.state.lock().unwrap()) {
                changes.changed().await.unwrap();
            }
        });
        if waited.await.is_err() {
            let state = self.shared.state.lock().unwrap();
            let log: String = state.log().chars().take(5000).collect();
            panic!("not within {:?}: {what}; results {:?}, log:\n{log}", super::PATIENCE, state.results);
        }
    }

    /// Waits for the only result, and returns it.
    pub(crate) async fn result(&self) -> RunResult {
        self.results(1).await.remove(0)
    }

    /// Waits until there are `count` results.
    pub(crate) async fn results(&self, count: usize) -> Vec<RunResult> {
        self.wait_for("results", |state| state.results.len() >= count).await;
        self.change(|state| state.results.clone())
    }

    /// Waits until the log has `name=` and a number, and returns it.
    pub(crate) async fn number(&self, name: &str) -> i32 {
        self.wait_for(name, |state| state.number(name).is_some()).await;
        self.change(|state| state.number(name)).unwrap()
    }
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock().unwrap());
        self.changed.send_replace(());
        changed
    }
}
