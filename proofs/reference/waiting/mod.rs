//! Runs that wait for their app, for a place under a key and for other runs; that are cancelled together, run again, and go when they are old.
//!
//! Random operations one after another. After each one the server looks at what waits, and then SQLite holds what [`expected`] says: each run that waits has a reason to. Who gets a place first is left open where the server's own order decides it, so what
//! waits for a place is read from SQLite. And what the API says of each run, why it is not running, is compared with what the next poll gets.

mod expected;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use minitower_runs::domain::after::{After, Until};
use minitower_runs::domain::app::Change;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::{Changes, CreateRun, Created, Error, Retention, Which};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::config::{Tally, config_of_few};
use crate::rows::outcome;
use crate::system::{SOON, System, runtime};
use crate::vocabulary::{Ending, FIRST, Op, Shown, Status, TEAM_REGISTRATION, TTL_MS};
use expected::{Expected, Found, Known, Rows};
use steps::{Step, step};

static TALLY: Tally = Tally::new("what waits");
/// Operations of a sequence, and sequences of the short version.
const LENGTH: usize = 60;
const CASES: u32 = 15;
/// How long runs are kept, and how many of each app in any case.
const KEPT_MS: i64 = 10 * TTL_MS;
const KEPT: u32 = 2;

const APPS: [&str; 2] = ["jobs", "more"];
const PLACES: [&str; 2] = ["default", "gpu"];
const KEYS: [&str; 2] = ["db", "api"];
/// Runners, and where they are.
const RUNNERS: [(&str, &str); 3] = [("w0", "default"), ("w1", "default"), ("w2", "gpu")];
/// Reasons that no runner changes.
const BLOCKED: [&str; 3] = ["after", "disabled", "limit"];

const MET: &[(&str, &str)] = &[
    ("State", "after"),
    ("State", "disabled"),
    ("State", "limit"),
    ("State", "waits for a runner"),
    ("State", "granted"),
    ("State", "nothing to grant"),
    ("State", "given up"),
    ("State", "repeated"),
    ("State", "refused while disabled"),
    ("State", "several cancelled"),
    ("State", "old ones gone"),
];

/// A run that a runner holds, and its lease token.
type Held = (i64, String);

struct Bed {
    system: System,
    expected: Expected,
    /// By the place of the runner.
    held: BTreeMap<usize, Held>,
}

impl Bed {
    async fn start() -> Self {
        let keeps = Retention { runs_for: Some(Duration::from_millis(KEPT_MS.unsigned_abs())), last: KEPT };
        let system = System::start_keeping(keeps).await;
        let team = 0;
        let create = Op::CreateApp { team, slug: "more".to_owned() };
        let upload = Op::Upload { team, app: "more".to_owned(), max_retries: 0 };
        let mut ops = vec![create, upload];
        for (name, environment) in RUNNERS {
            let (name, environment) = (name.to_owned(), environment.to_owned());
            ops.push(Op::Register { token: Shown::whole(TEAM_REGISTRATION[0]), name, environment });
        }
        for (op, number) in ops.into_iter().zip(FIRST + 100..) {
            system.client.ask(number, &op).await;
        }
        let bed = Self { system, expected: Expected::default(), held: BTreeMap::new() };
        bed.live();
        bed
    }

    async fn team(&self) -> TeamPrincipal {
        self.system.client.team(0).await.unwrap()
    }

    async fn runner(&self, which: usize) -> RunnerPrincipal {
        let number = FIRST + 102 + u32::try_from(which).unwrap();
        self.system.client.runner(Shown::whole(number)).await.unwrap()
    }

    fn now(&self) -> i64 {
        self.system.client.clock.now().0
    }

    fn later(&self, ms: i64) {
        self.system.client.clock.advance(Duration::from_millis(ms.unsigned_abs()));
    }

    /// One of those that stay.
    fn pick(&self, which: u8) -> Option<i64> {
        let old = self.old();
        let stay: Vec<i64> = self.expected.runs.keys().filter(|id| !old.contains(id)).copied().collect();
        stay.get(usize::from(which) % stay.len().max(1)).copied()
    }

    fn pick_held(&self, which: u8) -> Option<(usize, Held)> {
        let (runner, held) = self.held.iter().nth(usize::from(which) % self.held.len().max(1))?;
        Some((*runner, held.clone()))
    }

    fn rows(&self) -> Rows {
        let db = Connection::open(self.system.database()).unwrap();
        db.busy_timeout(SOON).unwrap();
        let sql = "SELECT id, status, blocked_by, queued_at, finished_at, retry_of FROM runs WHERE deleted_at IS NULL";
        let mut statement = db.prepare(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            let found = Found {
                status: Status::of_word(&row.get::<_, String>(1)?),
                blocked_by: row.get(2)?,
                queued_at: row.get(3)?,
                finished_at: row.get(4)?,
                retry_of: row.get(5)?,
            };
            Ok((row.get(0)?, found))
        };
        statement.query_map((), read).unwrap().map(Result::unwrap).collect()
    }

    /// The server does what it does by itself until it ends.
    fn live(&self) {
        let app = self.system.client.app.clone();
        tokio::spawn(async move { app.run_background().await });
    }

    /// Waits until all is as it has to be.
    async fn settled(&mut self, after: &Step) -> Rows {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let rows = self.rows();
            // Whatever is old by now may go at any moment.
            let old = self.old();
            self.expected.runs.retain(|id, _| rows.contains_key(id) || !old.contains(id));
            let Some(problem) = self.expected.problem(&rows) else { return rows };
            assert!(tokio::time::Instant::now() < deadline, "after {after:?}: {problem}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn old(&self) -> BTreeSet<i64> {
        self.expected.old(self.now() - KEPT_MS, KEPT as usize)
    }

    /// Time passes: no runner holds anything any more, and what is old goes.
    async fn wait(&mut self, ms: i64) {
        self.later(ms);
        self.held.clear();
        let old = self.old();
        TALLY.state("old ones gone", !old.is_empty());
        let went = async {
            // One that the server has not looked at yet, for those that waited for it, stays until then.
            while self.rows().keys().any(|id| old.contains(id)) {
                self.system.client.app.engine().prune_old().await.unwrap();
            }
        };
        tokio::time::timeout(SOON, went).await.unwrap_or_else(|_| panic!("of {old:?} some stay"));
        self.expected.runs.retain(|id, _| !old.contains(id));
        self.expected.lose_all(self.now());
    }

    /// Compares what the API says of each queued run, why it is not running, with what has to be said. Answers the words.
    async fn explained(&self, rows: &Rows) -> BTreeMap<i64, &'static str> {
        let (team, mut words) = (self.team().await, BTreeMap::new());
        for (id, row) in rows.iter().filter(|(_, row)| row.status == Status::Queued) {
            let said = self.system.client.app.runs().explain(&team, RunId(*id)).await.unwrap().explanation;
            let (word, expected) = (said.reason.as_str(), self.expected.reason(*id, rows));
            let blocked = BLOCKED.contains(&word).then_some(word);
            assert_eq!(blocked, expected, "run {id}, {row:?}: {said:?}");
            assert_eq!(said.position, self.expected.position(*id, rows), "run {id}, {row:?}: {said:?}");
            TALLY.state(expected.unwrap_or("waits for a runner"), true);
            words.insert(*id, word);
        }
        words
    }

    async fn step(mut self, step: Step, words: &BTreeMap<i64, &'static str>) -> Self {
        if let Step::Restart(cut) = step {
            self.system = self.system.restart(cut).await;
            self.live();
            return self;
        }
        let (app, team, now) = (self.system.client.app.clone(), self.team().await, self.now());
        match step {
            Step::Create { .. } => self.create(&step).await,
            Step::Poll(runner) => self.poll(runner, words).await,
            Step::End(which, status) => {
                let Some((runner, (run, token))) = self.pick_held(which) else { return self };
                let cancelling = self.expected.runs[&run].status == Status::Cancelling;
                let status = if cancelling { Status::Cancelled } else { status };
                let by = self.runner(runner).await;
                let ending = Ending { status, exit_code: 0, message: None, timeout: false };
                app.leases().finish_run(&by, RunId(run), &token, outcome(&ending).into()).await.unwrap();
                self.held.remove(&runner);
                self.expected.moves(run, status, now);
            }
            Step::Release(which) => {
                let Some((runner, (run, token))) = self.pick_held(which) else { return self };
                let cancelling = self.expected.runs[&run].status == Status::Cancelling;
                app.leases().release_run(&self.runner(runner).await, RunId(run), &token).await.unwrap();
                self.held.remove(&runner);
                self.expected.moves(run, if cancelling { Status::Cancelled } else { Status::Queued }, now);
            }
            Step::Cancel(which) => {
                let Some(run) = self.pick(which) else { return self };
                app.runs().cancel_run(&team, RunId(run)).await.unwrap();
                self.expected.cancel(run, now);
            }
            Step::CancelMany { .. } => self.cancel_many(&step).await,
            Step::Retry(which) => self.retry(which).await,
            Step::Disable(which, shut) => {
                let change = Change { disabled: Some(Some(shut)), ..Change::default() };
                app.apps().change_app(&team, APPS[which].to_owned(), change).await.unwrap();
                if shut {
                    self.expected.disabled.insert(APPS[which]);
                } else {
                    self.expected.disabled.remove(APPS[which]);
                }
            }
            Step::Later(ms) => self.wait(ms).await,
            Step::Restart(_) => unreachable!("it is done"),
        }
        self
    }

    async fn create(&mut self, step: &Step) {
        let Step::Create { app, place, priority, shares, after, retries } = step else {
            unreachable!("{step:?}")
        };
        let (app, environment) = (APPS[*app], PLACES[*place]);
        let picked = after.iter().filter_map(|(which, any)| Some((self.pick(*which)?, *any)));
        let after: Vec<(i64, bool)> = picked.collect::<BTreeMap<_, _>>().into_iter().collect();
        let shares = shares.map(|(key, most)| (KEYS[key], most));
        let until = |any| if any { Until::Ended } else { Until::Completed };
        let new = CreateRun {
            environment: Some(environment.to_owned()),
            priority: Some(*priority),
            max_retries: Some(*retries),
            concurrency: shares.map(|(key, most)| (Some(key.to_owned()), most)),
            after: after.iter().map(|(run, any)| After { run: RunId(*run), until: until(*any) }).collect(),
            ..CreateRun::default()
        };
        let made = self.system.client.app.runs().create_run(&self.team().await, app.to_owned(), new).await;
        if self.expected.disabled.contains(app) {
            assert!(matches!(&made, Err(Error::AppDisabled(of)) if of == app), "{made:?}");
            TALLY.state("refused while disabled", true);
            return;
        }
        let run = Known {
            app,
            environment,
            priority: *priority,
            shares,
            after,
            free: false,
            status: Status::Queued,
            retries: *retries,
            queued_at: self.now(),
            finished_at: None,
            retry_of: None,
        };
        let id = made.unwrap().id.0;
        self.expected.make(id, run, self.now());
        TALLY.state("given up", self.expected.runs[&id].status == Status::Cancelled);
    }

    /// What was said before the poll is what the poll meets.
    async fn poll(&mut self, runner: usize, words: &BTreeMap<i64, &'static str>) {
        if self.held.contains_key(&runner) {
            return;
        }
        let environment = RUNNERS[runner].1;
        let expected = self.expected.next(environment, &self.rows());
        let may = words.iter().filter(|(id, word)| {
            self.expected.runs[*id].environment == environment && !BLOCKED.contains(*word)
        });
        assert_eq!(expected.is_some(), may.count() > 0, "{environment}: {words:?}");
        let leases = self.system.client.app.leases();
        let offer = leases.lease(&self.runner(runner).await, Poll::default(), Duration::ZERO).await.unwrap();
        let grant = offer.and_then(minitower_runs::Offer::deliver);
        assert_eq!(grant.as_ref().map(|grant| grant.run.id.0), expected, "{environment}: {words:?}");
        TALLY.state(if grant.is_some() { "granted" } else { "nothing to grant" }, true);
        if let Some(grant) = grant {
            let id = grant.run.id.0;
            self.expected.moves(id, Status::Leased, self.now());
            self.held.insert(runner, (id, grant.lease_token));
        }
    }

    async fn cancel_many(&mut self, step: &Step) {
        let Step::CancelMany { app, place, status, before } = step else { unreachable!("{step:?}") };
        let before = before.and_then(|which| self.pick(which));
        let which = Which {
            app: app.map(|app| APPS[app].to_owned()),
            environment: place.map(|place| PLACES[place].to_owned()),
            statuses: status.iter().copied().collect(),
            before: before.map(RunId),
            ..Which::default()
        };
        let cancelled = self.system.client.app.runs().cancel_runs(&self.team().await, which).await;
        let fits = |id: i64, run: &Known| {
            app.is_none_or(|app| APPS[app] == run.app)
                && place.is_none_or(|place| PLACES[place] == run.environment)
                && status.is_none_or(|status| Status::of_word(status.as_str()) == run.status)
                && before.is_none_or(|before| id < before)
                && matches!(run.status, Status::Queued | Status::Leased)
        };
        match cancelled {
            Err(Error::AllRuns) => assert!(app.is_none() && place.is_none() && status.is_none()),
            // Nobody was ever there.
            Err(Error::Absent(_)) => {
                assert!(self.expected.runs.iter().all(|(id, run)| !fits(*id, run)), "it leaves some");
            }
            cancelled => {
                let all = self.expected.runs.iter().filter(|(id, run)| fits(**id, run));
                let all: Vec<i64> = all.map(|(id, _)| *id).collect();
                assert_eq!(cancelled.unwrap().runs, all.len() as u64, "{step:?}");
                TALLY.state("several cancelled", all.len() > 1);
                let now = self.now();
                // Newest first, so that nobody is given up before it is cancelled.
                all.into_iter().rev().for_each(|id| self.expected.cancel(id, now));
            }
        }
    }

    async fn retry(&mut self, which: u8) {
        let Some(first) = self.pick(which) else { return };
        let (known, now) = (self.expected.runs[&first].clone(), self.now());
        let (runs, team) = (self.system.client.app.runs(), self.team().await);
        let made = runs.retry_run(&team, RunId(first), Changes::default(), None).await;
        if !known.status.is_terminal() {
            assert!(matches!(made, Err(Error::NotEnded(of)) if of.0 == first), "{made:?}");
            return;
        }
        if self.expected.disabled.contains(known.app) {
            assert!(matches!(made, Err(Error::AppDisabled(_))), "{made:?}");
            return;
        }
        let Created::New(run) = made.unwrap() else { panic!("nobody named a key") };
        let (max, used) = (run.progress.retries.max, run.progress.retries.used);
        assert_eq!((run.version_number, used, run.input), (1, 0, None));
        TALLY.state("repeated", true);
        let again = Known {
            after: Vec::new(),
            free: false,
            status: Status::Queued,
            retries: max,
            queued_at: now,
            finished_at: None,
            retry_of: Some(first),
            ..known
        };
        self.expected.make(run.id.0, again, now);
    }
}

async fn sequence(steps: Vec<Step>) {
    TALLY.sequence();
    let (mut bed, mut words) = (Bed::start().await, BTreeMap::new());
    for step in steps {
        bed = bed.step(step.clone(), &words).await;
        let rows = bed.settled(&step).await;
        words = bed.explained(&rows).await;
    }
    bed.system.stop().await;
}

proptest! {
    #![proptest_config(config_of_few(CASES))]

    fn sequences(steps in prop::collection::vec(step(), LENGTH / 2..LENGTH)) {
        runtime().block_on(sequence(steps));
    }
}

#[test]
fn whoever_waits_has_a_reason_to_which_the_api_says_and_the_next_poll_meets() {
    sequences();
    TALLY.tell(MET);
}
