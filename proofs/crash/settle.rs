//! The end of a storm: everything is healed, everything has to come to its end, and what is there then is written down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use minitower_tests::shape::{int, text};
use minitower_tests::{Signal, leftovers, wait};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::bed::{Bed, State};
use crate::checker::{Breach, check};
use crate::history::{Attempt, History, Line, Run, Version};
use crate::ledger::Client;

/// The longest a job lasts, with its preparation, the grace of its end and a busy machine.
const LONGEST_JOB: Duration = Duration::from_millis(4500);
/// How long a runner may take to remove what a run that has ended left on its disk.
const CLEANED_WITHIN: Duration = Duration::from_secs(8);
/// How long a runner may take to end when it is told to: its grace, and a last call.
const RUNNER_ENDS: Duration = Duration::from_secs(30);

impl Bed {
    /// Starts and continues whatever does not run.
    pub(crate) fn heal(&mut self) {
        if self.server.state == State::Ending {
            wait::until("the server ends", wait::SOON, || self.server.has_ended(&self.ledger).then_some(()));
        }
        if self.server.state == State::Down {
            self.start_server();
        }
        for unit in &mut self.runners {
            match unit.state {
                State::Up => {}
                State::Stopped => unit.signal(Signal::SIGCONT, State::Up),
                State::Ending => {
                    wait::until("the runner ends", RUNNER_ENDS, || {
                        unit.has_ended(&self.ledger).then_some(())
                    });
                    unit.start();
                }
                State::Down => unit.start(),
            }
        }
    }

    /// Heals everything, waits until all runs have ended (`patience` more than they need by themselves), ends everything,
    /// and judges.
    pub(crate) fn settle(mut self, patience: Duration) -> (History, Vec<Breach>) {
        self.heal();
        self.end_what_waits_for_nobody();
        self.wait_for_ends(patience);
        let clean = wait::find(CLEANED_WITHIN, || self.left_on_disk().is_empty().then_some(()));
        if clean.is_none() {
            self.ledger.complain(format!("left on disk: {:?}", self.left_on_disk()));
        }
        let mut runs = Vec::new();
        let mut versions = Vec::new();
        for client in &self.clients {
            runs.extend(runs_of(client));
            versions.extend(versions_of(client));
        }
        self.end_everything();
        self.look_at_files(&versions);
        let lives = self.witnesses.lives();
        let history =
            self.ledger.with(|history| History { lives, runs, versions, ..std::mem::take(history) });
        let breaches = check(&history);
        (history, breaches)
    }

    /// No runner serves some of the runs: they end by a cancel.
    fn end_what_waits_for_nobody(&self) {
        for client in &self.clients {
            let waiting = client.team.get("/runs?status=queued&environment=nowhere&limit=100");
            wait::until("every run that waits for nobody is cancelled", Duration::from_mins(2), || {
                let page = waiting.send().expect_json(200);
                let runs = page["runs"].as_array().unwrap();
                for run in runs {
                    client.cancel(int(run, "run_id"));
                }
                runs.is_empty().then_some(())
            });
        }
    }

    fn wait_for_ends(&mut self, patience: Duration) {
        let open = |bed: &Self| -> u32 {
            let open = bed.clients.iter().map(|client| {
                let summary = client.team.get("/runs/summary").send().expect_json(200);
                int(&summary, "active_runs") + int(&summary, "queued_runs")
            });
            u32::try_from(open.sum::<i64>()).unwrap()
        };
        // Half of the runners may serve some of the runs alone; and a lease may have to run out before each of them begins.
        let able = u32::try_from(self.runners.len().div_ceil(2).max(1)).unwrap();
        let limit = LONGEST_JOB * open(self).div_ceil(able) + self.lease_ttl * 2 + patience;
        let start = Instant::now();
        let ended = wait::find(limit, || {
            self.server.assert_alive();
            self.runners.iter_mut().for_each(crate::bed::Unit::assert_alive);
            (open(self) == 0).then_some(())
        });
        let took = start.elapsed();
        println!(
            "healed: {} runs open after {took:.1?} of {limit:.1?}",
            if ended.is_some() { 0 } else { open(self) }
        );
    }

    fn end_everything(&mut self) {
        for unit in &mut self.runners {
            unit.signal(Signal::SIGTERM, State::Ending);
        }
        for unit in &mut self.runners {
            wait::until("the runner ends", RUNNER_ENDS, || unit.has_ended(&self.ledger).then_some(()));
        }
        // What supervisors leave behind was left behind by the storm as well.
        let left = leftovers::below(&self.data_dir());
        if !left.is_empty() {
            self.ledger.complain(format!("processes left behind: {left:?}"));
        }
        self.look();
        // Once through a start, which removes archives that no version has.
        self.end_server();
        self.start_server();
        self.end_server();
    }

    fn end_server(&mut self) {
        self.server.signal(Signal::SIGTERM, State::Ending);
        wait::until("the server ends", wait::SOON, || self.server.has_ended(&self.ledger).then_some(()));
    }

    fn look_at_files(&self, versions: &[Version]) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(self.database(), flags).unwrap();
        let integrity: String = db.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
        if integrity != "ok" {
            self.ledger.complain(format!("the database is damaged: {integrity}"));
        }
        let mut kept = BTreeSet::new();
        files(&self.objects(), &mut kept);
        let mut wanted: BTreeSet<String> = versions.iter().map(|version| version.sha256.clone()).collect();
        // Logs of attempts that ended a while ago lie beside the archives.
        let mut segments = db.prepare("SELECT sha256 FROM log_segments").unwrap();
        wanted.extend(segments.query_map((), |row| row.get(0)).unwrap().map(Result::<String, _>::unwrap));
        if kept != wanted {
            self.ledger.complain(format!("objects kept: {kept:?}, of versions and logs: {wanted:?}"));
        }
    }
}

/// The SHA-256 of every file below a folder.
fn files(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(minitower_tests::artifact::sha256(&fs::read(path).unwrap()));
        }
    }
}

fn runs_of(client: &Client) -> Vec<Run> {
    let mut runs = Vec::new();
    loop {
        let offset = runs.len();
        let page = client.team.get(&format!("/runs?limit=100&offset={offset}")).send().expect_json(200);
        let page = page["runs"].as_array().unwrap();
        if page.is_empty() {
            return runs;
        }
        runs.extend(page.iter().map(|run| read_run(client, run)));
    }
}

fn read_run(client: &Client, run: &Value) -> Run {
    let id = int(run, "run_id");
    // A run that never left the queue has neither.
    let was_leased = run["environment"] != "nowhere";
    let attempts = if was_leased { client.team.attempts(id) } else { Vec::new() };
    let log = if attempts.is_empty() { Vec::new() } else { client.team.logs(id) };
    Run {
        id,
        status: text(run, "status"),
        input: run["input"].clone(),
        priority: int(run, "priority"),
        max_retries: int(run, "max_retries"),
        retry_count: int(run, "retry_count"),
        attempts: attempts.iter().map(read_attempt).collect(),
        log: log
            .iter()
            .map(|line| Line {
                seq: int(line, "seq"),
                stream: text(line, "stream"),
                text: text(line, "line"),
            })
            .collect(),
    }
}

fn read_attempt(attempt: &Value) -> Attempt {
    let time =
        |key: &str| attempt[key].as_str().map(|text| text.parse::<Timestamp>().unwrap().as_millisecond());
    Attempt {
        id: int(attempt, "attempt_id"),
        no: int(attempt, "attempt_no"),
        status: text(attempt, "status"),
        runner: text(attempt, "runner"),
        reason: attempt["reason"].as_str().map(str::to_owned),
        exit_code: attempt["exit_code"].as_i64(),
        leased_at: time("leased_at").unwrap(),
        finished_at: time("finished_at"),
    }
}

fn versions_of(client: &Client) -> Vec<Version> {
    let mut versions = Vec::new();
    for app in crate::plan::APPS {
        let listed = client.team.get(&format!("/apps/{app}/versions?limit=100")).send().expect_json(200);
        let newest = listed["versions"].as_array().unwrap().first().map_or(0, |it| int(it, "version_no"));
        for no in 1..=newest {
            let version = client.team.get(&format!("/apps/{app}/versions/{no}")).send().expect_json(200);
            let sha256 = text(&version, "artifact_sha256");
            versions.push(Version { team: client.team.id, app: app.to_owned(), no, sha256 });
        }
    }
    versions
}
