//! The real control plane, told by a test what to make of the runner's calls.

mod job;
mod seen;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use minitower_client::Upload;
use minitower_client::wire::runner::{Register, RunResult};
use minitower_client::wire::runs::CreateRun;
use minitower_test_plane::{Answer, Call, Plane, REGISTRATION_TOKEN, Rule, Team, Whole};
use serde_json::Value;

pub(crate) use job::Job;
use job::{APP, Served};
pub(crate) use seen::Seen;

/// The name of the runner under test.
pub(crate) const RUNNER: &str = "tested";

/// Whether the answer to a poll says that the attempt has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starts {
    /// As the server does.
    AsTheServer,
    /// It does: the server takes the last lines with the result.
    InThePoll,
    /// It does not: the server is older than that.
    ByACall,
}

/// What every answer of the runner protocol is changed by.
#[derive(Default)]
struct Told {
    /// The length of every lease, instead of the server's own.
    ttl: Option<Duration>,
    starts: Option<bool>,
    /// Further fields of a run's lease.
    leases: HashMap<i64, Value>,
    /// Attempts that their poll has started.
    started: Vec<i64>,
}

/// A running control plane; ends with the test.
pub(crate) struct ControlPlane {
    pub(crate) plane: Plane,
    pub(crate) url: String,
    told: Arc<Mutex<Told>>,
    teams: Mutex<HashMap<i64, Team>>,
    /// Versions that were uploaded, with the jobs they are of.
    versions: Mutex<Vec<(Job, i64)>>,
    runs: Mutex<Vec<(Team, i64)>>,
    has_work: Arc<AtomicBool>,
}

impl ControlPlane {
    /// With leases that no test waits for.
    pub(crate) fn start() -> Self {
        Self::of(Plane::start())
    }

    /// The runner is told that its leases last so long. The server itself keeps them for longer, as one does that was away and has
    /// granted them anew.
    pub(crate) fn with_leases_of(ttl: Duration) -> Self {
        let server = Self::start();
        server.told.lock().unwrap().ttl = Some(ttl);
        server
    }

    /// A server before long polls, `lease_ttl_ms`, sign-off and release, with leases of this length.
    pub(crate) fn old(ttl: Duration) -> Self {
        let server = Self::of(Plane::start_with(|config| config.lease_ttl = ttl));
        let has_work = Arc::clone(&server.has_work);
        let idle = Call::from("POST /runs/lease").when(move |_| !has_work.load(Ordering::Relaxed));
        server.plane.always(idle, Answer::text(204, "text/plain", ""));
        let plus = &["lease_ttl_ms", "status", "team_id", "team_slug", "environment", "api_token", "limits"];
        server.plane.always("POST /runs/lease", Answer::without(plus));
        for call in ["POST /runs/*/start", "POST /runs/*/heartbeat"] {
            server.plane.always(call, Answer::without(&["lease_ttl_ms"]));
        }
        for call in ["POST /runs/*/release", "POST /runners/sign-off"] {
            server.plane.always(call, Answer::status(404));
        }
        server
    }

    fn of(plane: Plane) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let team = plane.team("team-1");
        team.app(APP);
        plane.otherwise("POST /runs/lease", lease_answer(&told));
        for call in ["POST /runs/*/start", "POST /runs/*/heartbeat"] {
            let told = Arc::clone(&told);
            let state = Answer::change_json(move |state| told.lock().unwrap().change_ttl(state));
            plane.otherwise(call, state);
        }
        Self {
            url: plane.url().to_owned(),
            plane,
            told,
            teams: Mutex::new(HashMap::from([(1, team)])),
            versions: Mutex::default(),
            runs: Mutex::default(),
            has_work: Arc::default(),
        }
    }

    /// Decides whether attempts are started with their lease.
    pub(crate) fn starts(self, starts: Starts) -> Self {
        self.told.lock().unwrap().starts = match starts {
            Starts::AsTheServer => None,
            Starts::InThePoll => Some(true),
            Starts::ByACall => Some(false),
        };
        self
    }

    /// The answer to a poll, as every one is answered unless a test tells another.
    pub(crate) fn lease_answer(&self) -> Answer {
        lease_answer(&self.told)
    }

    /// A team by its number. The first is there from the beginning.
    pub(crate) fn team(&self, number: i64) -> Team {
        let mut teams = self.teams.lock().unwrap();
        let team = teams.entry(number).or_insert_with(|| {
            let team = self.plane.sign_up(&format!("team-{number}"));
            team.app(APP);
            team
        });
        team.clone()
    }

    /// Adds a run to the queue; its id.
    pub(crate) fn submit(&self, job: Job) -> i64 {
        let team = self.team(job.team);
        let run = CreateRun {
            input: Some(job.input.clone()).filter(|input| !input.is_null()),
            version_no: Some(self.version(&team, &job)),
            timeout_seconds: job.timeout_seconds,
            ..CreateRun::default()
        };
        // No runner may have it before it is known what it is told of it.
        let mut told = self.told.lock().unwrap();
        let run_id = team.run_with(APP, run).run_id;
        if let Some(served) = job.served() {
            let call = format!("GET /runs/{run_id}/artifact");
            self.plane.otherwise(&*call, Answer::change(move |answer| served.replace(answer)));
        }
        told.leases.insert(run_id, job.into_lease());
        drop(told);
        self.runs.lock().unwrap().push((team, run_id));
        self.has_work.store(true, Ordering::Relaxed);
        run_id
    }

    /// The version that a job is of; uploaded, if it is the first.
    fn version(&self, team: &Team, job: &Job) -> i64 {
        let mut versions = self.versions.lock().unwrap();
        if let Some((_, version_no)) = versions.iter().find(|(of, _)| of.is_same_version(job)) {
            return *version_no;
        }
        let version_no = self.upload(team, job);
        versions.push((job.clone(), version_no));
        version_no
    }

    fn upload(&self, team: &Team, job: &Job) -> i64 {
        let mut archive = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut archive, &job.uploaded()).unwrap();
        std::io::Seek::rewind(&mut archive).unwrap();
        let upload = Upload { entrypoint: job.named_entrypoint(), ..Upload::new(archive, "artifact.tar.gz") };
        let client = team.client().clone();
        let uploaded = self.plane.run(async move { client.upload_version(APP, upload, |_| {}).await });
        uploaded.unwrap_or_else(|error| panic!("{}: {error}", job.entrypoint)).version_no
    }

    /// Asks for the cancel of the newest run.
    pub(crate) fn cancel(&self) {
        let (team, run) = self.runs.lock().unwrap().last().cloned().unwrap();
        team.cancel(run);
    }

    /// From now on nothing is leased to the runner: a run that it gives back stays in the queue.
    pub(crate) fn fence(&self) {
        let operator = self.plane.operator();
        self.plane.run(async move { operator.drain_runner(RUNNER, None).await }).unwrap();
    }

    /// The runner's token is void: somebody else has registered under its name. Yields theirs.
    pub(crate) fn register_another(&self) -> String {
        self.plane.runner(RUNNER).token
    }

    /// Another team holds the runner's name.
    pub(crate) fn take_the_name(&self) {
        let token = self.team(1).registration_token;
        self.plane.runner_with(&token, Register { name: RUNNER.to_owned(), ..Register::default() });
    }

    /// The registration token of a scope.
    pub(crate) fn registration_token(&self, scope: Option<&str>) -> String {
        match scope {
            Some("team") => self.team(1).registration_token,
            _ => REGISTRATION_TOKEN.to_owned(),
        }
    }

    /// Answers 503 to everything, until the rule is lifted.
    pub(crate) fn down(&self) -> Rule {
        self.plane.always(Call::any(), Answer::status(503))
    }

    /// Answers 503 to these calls of attempts, until the rule is lifted.
    pub(crate) fn refuse(&self, verb: &str) -> Rule {
        self.plane.always(&*format!("POST /runs/*/{verb}"), Answer::status(503))
    }

    /// Answers 410 to every call of an attempt.
    pub(crate) fn gone(&self) {
        self.plane.always("* /runs/*/*", Answer::status(410));
    }

    /// What of the runner was seen so far.
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen { plane: &self.plane, started: self.told.lock().unwrap().started.clone() }
    }

    /// Waits until the calls so far make the condition true.
    pub(crate) async fn wait_for(&self, what: &str, condition: impl Fn(&Seen<'_>) -> bool) {
        self.plane.wait(what, |_| condition(&self.seen()).then_some(())).await;
    }

    /// Waits for the only result, and returns it.
    pub(crate) async fn result(&self) -> RunResult {
        self.results(1).await.remove(0)
    }

    /// Waits until there are `count` results.
    pub(crate) async fn results(&self, count: usize) -> Vec<RunResult> {
        self.wait_for("results", |seen| seen.result_count() >= count).await;
        self.seen().results()
    }

    /// Waits until the log has `name=` and a number, and returns it.
    pub(crate) async fn number(&self, name: &str) -> i32 {
        self.wait_for(name, |seen| seen.number(name).is_some()).await;
        self.seen().number(name).unwrap()
    }
}

fn lease_answer(told: &Arc<Mutex<Told>>) -> Answer {
    let told = Arc::clone(told);
    Answer::change_json(move |lease| told.lock().unwrap().change_lease(lease))
}

impl Told {
    fn change_lease(&mut self, lease: &mut Value) {
        let Some(attempt) = lease["attempt_id"].as_i64() else {
            // A refusal.
            return;
        };
        self.change_ttl(lease);
        match self.starts {
            Some(true) => lease["status"] = "running".into(),
            Some(false) => {
                lease.as_object_mut().unwrap().remove("status");
            }
            None => {}
        }
        if lease["status"] == "running" && !self.started.contains(&attempt) {
            self.started.push(attempt);
        }
        let more = lease["run_id"].as_i64().and_then(|run| self.leases.get(&run)).cloned();
        for (name, value) in more.as_ref().and_then(Value::as_object).into_iter().flatten() {
            lease[name] = value.clone();
        }
    }

    fn change_ttl(&self, answer: &mut Value) {
        if let Some(ttl) = self.ttl {
            answer["lease_ttl_ms"] = u64::try_from(ttl.as_millis()).unwrap().into();
        }
    }
}

impl Served {
    fn replace(&self, answer: &mut Whole) {
        let mut set = |name: &'static str, value: &str| {
            answer.headers.insert(name, value.parse().unwrap());
        };
        if let Some(sha256) = &self.sha256 {
            set("x-artifact-sha256", sha256);
        }
        if let Some(paths) = self.import_paths {
            set("x-import-paths", paths);
        }
        if let Some(archive) = &self.archive {
            answer.body.clone_from(archive);
        }
    }
}
