//! Clients of the control plane that write down what they ask for and what they are told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minitower_tests::artifact::sha256;
use minitower_tests::http::Request;
use minitower_tests::{Team, artifact};
use nix::time::ClockId;
use serde_json::{Value, json};

use crate::history::{Asked, Cancel, History, LinesSeen, Moment, Version};
use crate::plan::{self, Plan};

/// Now.
pub(crate) fn now() -> Moment {
    micros(ClockId::CLOCK_BOOTTIME)
}

/// The wall clock less `CLOCK_BOOTTIME`, in microseconds.
pub(crate) fn wall_less_boot() -> i64 {
    micros(ClockId::CLOCK_REALTIME) - micros(ClockId::CLOCK_BOOTTIME)
}

fn micros(clock: ClockId) -> i64 {
    let time = clock.now().unwrap();
    time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000
}

/// What is written down. Shared by all clients of one storm.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    history: Mutex<History>,
    nonce: AtomicU64,
}

impl Ledger {
    /// Reads or writes it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something was seen that cannot be.
    pub(crate) fn complain(&self, text: impl Into<String>) {
        let text = text.into();
        println!("complaint: {text}");
        self.with(|history| history.complaints.push(text));
    }

    /// Sends a request: the answer, when it is the expected one; nothing, when none came or the server was not able to.
    /// Any other answer cannot be.
    pub(crate) fn send(&self, request: &Request, expected: u16) -> Option<Value> {
        let answer = match request.try_send() {
            Ok(answer) => answer,
            Err(ureq::Error::Timeout(_)) => {
                self.complain(format!("no answer in time: {request:?}"));
                return None;
            }
            // The server is gone, or was before it had answered to the end.
            Err(_) => return None,
        };
        match answer.status {
            503 => None,
            status if status == expected => Some(answer.json()),
            status => {
                self.complain(format!("{status} instead of {expected}: {request:?}: {}", answer.text()));
                None
            }
        }
    }
}

/// One team's client. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The team.
    pub(crate) team: Team,
    /// Where it writes.
    pub(crate) ledger: Arc<Ledger>,
    /// Where its jobs' witnesses are.
    pub(crate) witnesses: PathBuf,
}

impl Client {
    /// Asks for a run, and yields its id when that was acknowledged. No runner serves the environment `nowhere`.
    pub(crate) fn create(&self, app: &str, environment: &str, plan: Plan, terms: Terms) -> Option<i64> {
        let input = plan.input(self.ledger.nonce.fetch_add(1, Ordering::Relaxed), &self.witnesses);
        let Terms { priority, max_retries } = terms;
        // Written down before it is sent: it may be done although no answer comes.
        let asked = Asked { run: None, input: input.clone(), priority, max_retries };
        let place = self.ledger.with(|history| {
            history.asked.push(asked);
            history.asked.len() - 1
        });
        let body = json!({
            "input": input, "priority": priority, "max_retries": max_retries, "environment": environment,
        });
        let answer = self.ledger.send(&self.team.post(&format!("/apps/{app}/runs")).json(body), 201)?;
        let run = answer["run_id"].as_i64().unwrap();
        self.ledger.with(|history| history.asked[place].run = Some(run));
        Some(run)
    }

    /// Cancels a run, and says whether that was acknowledged.
    pub(crate) fn cancel(&self, run: i64) -> bool {
        self.ledger.with(|history| history.cancels_sent.insert(run));
        let Some(answer) = self.ledger.send(&self.team.post(&format!("/runs/{run}/cancel")), 200) else {
            return false;
        };
        let answered = answer["status"].as_str().unwrap().to_owned();
        self.ledger.with(|history| history.cancels.push(Cancel { run, answered }));
        true
    }

    /// Reads a run.
    pub(crate) fn read(&self, run: i64) -> Option<Value> {
        let answer = self.ledger.send(&self.team.get(&format!("/runs/{run}")), 200)?;
        self.note_end(&answer);
        Some(answer)
    }

    /// Reads the newest runs.
    pub(crate) fn list(&self) {
        let Some(answer) = self.ledger.send(&self.team.get("/runs?limit=30"), 200) else { return };
        answer["runs"].as_array().unwrap().iter().for_each(|run| self.note_end(run));
    }

    fn note_end(&self, run: &Value) {
        let status = run["status"].as_str().unwrap();
        if minitower_tests::team::TERMINAL.contains(&status) {
            let seen = (run["run_id"].as_i64().unwrap(), status.to_owned());
            self.ledger.with(|history| history.ends_seen.push(seen));
        }
    }

    /// Reads a run's log.
    pub(crate) fn read_log(&self, run: i64) {
        let Some(answer) = self.ledger.send(&self.team.get(&format!("/runs/{run}/logs")), 200) else {
            return;
        };
        let lines = answer["logs"].as_array().unwrap();
        let last = lines.iter().rev().find(|line| line["stream"] == "stdout");
        if let Some(seen) = last.and_then(|line| line_seen(line["line"].as_str().unwrap())) {
            self.ledger.with(|history| history.lines_seen.push(seen));
        }
    }

    /// Uploads a new version of an app; says whether that was acknowledged.
    pub(crate) fn deploy(&self, app: &str) -> bool {
        let mark = self.ledger.nonce.fetch_add(1, Ordering::Relaxed);
        let (archive, entrypoint) = plan::archive(app, &format!("version {mark} of team {}", self.team.slug));
        let (kind, body) = artifact::multipart(Some(&archive), &[("entrypoint", entrypoint)]);
        let request =
            self.team.post(&format!("/apps/{app}/versions")).header("Content-Type", &kind).body(body);
        let Some(answer) = self.ledger.send(&request, 201) else { return false };
        let version = Version {
            team: self.team.id,
            app: app.to_owned(),
            no: answer["version_no"].as_i64().unwrap(),
            sha256: sha256(&archive),
        };
        self.ledger.with(|history| history.deployed.push(version));
        true
    }
}

/// What else is asked for with a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// Its priority.
    pub(crate) priority: i64,
    /// Its retries.
    pub(crate) max_retries: i64,
}

/// Reads `line RUN ATTEMPT NUMBER`.
fn line_seen(text: &str) -> Option<LinesSeen> {
    let mut numbers = text.strip_prefix("line ")?.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(LinesSeen { run: next()?, attempt: next()?, lines: next()? })
}
