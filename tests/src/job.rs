//! A control plane with a team and a real runner, for tests that run real jobs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Signal;
use crate::server::Builder;
use crate::shape::int;
use crate::{Artifact, Program, Server, Team, leftovers, programs, wait};

/// The name of the real runner.
pub const RUNNER_NAME: &str = "real-runner";

/// Server, team and runner. Dropping it asserts that no process of the runner is left, unless the test has failed.
#[derive(Debug)]
pub struct JobBed {
    // The order of the fields is the order of their ends: the runner first.
    runner: Option<Program>,
    runner_env: Vec<(String, String)>,
    /// The team, `acme`.
    pub team: Team,
    /// The control plane.
    pub server: Server,
}

impl JobBed {
    /// Server and runner with the defaults, but for a kill grace of one second.
    pub fn start() -> Self {
        Self::start_with(Server::builder(), &[])
    }

    /// Server and runner with leases as long as given, in Go's form.
    pub fn with_lease_ttl(ttl: &str) -> Self {
        let server =
            Server::builder().env("MINITOWER_LEASE_TTL", ttl).env("MINITOWER_EXPIRY_CHECK_INTERVAL", "200ms");
        Self::start_with(server, &[])
    }

    /// Server and runner with further variables for the runner.
    pub fn start_with(server: Builder, runner_env: &[(&str, &str)]) -> Self {
        let server = server.start();
        let team = server.bootstrap();
        let mut env: Vec<(String, String)> = [
            ("MINITOWER_SERVER_URL", server.http().base().to_owned()),
            ("MINITOWER_RUNNER_NAME", RUNNER_NAME.to_owned()),
            ("MINITOWER_REGISTRATION_TOKEN", team.registration_token.clone()),
            ("MINITOWER_DATA_DIR", server.folder().join("runner").display().to_string()),
            ("MINITOWER_KILL_GRACE_PERIOD", "1s".to_owned()),
            ("MINITOWER_POLL_INTERVAL", "200ms".to_owned()),
            // No test asks the public index for uv.
            ("MINITOWER_UV", "off".to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        env.extend(runner_env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let mut bed = Self { runner: None, runner_env: env, team, server };
        bed.start_runner();
        bed
    }

    /// Starts the runner (again) and waits until it is online.
    pub fn start_runner(&mut self) {
        assert!(self.runner.is_none(), "the runner runs already");
        let folder = self.server.folder();
        let log = folder.join("logs/minitower-runner.log");
        let mut program = Program::start(programs::RUNNER, &[], &self.runner_env, folder, &log);
        wait::until("the runner is online", wait::SOON, || {
            if let Some(status) = program.ended() {
                panic!("minitower-runner ended at its start ({status}): {}", program.log());
            }
            let seen = self.team.runner(RUNNER_NAME)?;
            (seen["status"] == "online" && seen["last_seen_at"].is_string()).then_some(())
        });
        self.runner = Some(program);
    }

    /// The running runner.
    pub fn runner(&mut self) -> &mut Program {
        self.runner.as_mut().expect("the runner runs")
    }

    /// Takes the runner out, to end it as the test wants.
    pub fn take_runner(&mut self) -> Program {
        self.runner.take().expect("the runner runs")
    }

    /// Kills the runner's process alone with SIGKILL, not its supervisor or job.
    pub fn kill_runner_alone(&mut self) {
        let mut runner = self.take_runner();
        runner.signal(Signal::SIGKILL);
        runner.wait_end(wait::SOON);
    }

    /// The runner's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.server.folder().join("runner")
    }

    /// The processes that belong to this bed's jobs: all below its folder but server, runner and their like.
    pub fn job_processes(&self) -> Vec<leftovers::Found> {
        let mut found = leftovers::below(&self.data_dir());
        let program = programs::path(programs::RUNNER);
        let program = program.display().to_string();
        found.retain(|process| !process.command.starts_with(&program));
        found
    }

    /// Whether any process of a Python job runs.
    pub fn job_runs(&self) -> bool {
        self.job_processes().iter().any(|process| process.command.contains("main.py"))
    }

    /// Asserts that nothing is left of any run below the runner's data directory.
    pub fn wait_no_job_process(&self, limit: Duration) {
        wait::until("every process of the job is gone", limit, || {
            self.job_processes().is_empty().then_some(())
        });
    }

    /// Makes an app of one Python file and starts a run of it.
    pub fn python(&self, slug: &str, code: &str) -> i64 {
        self.team.python_app(slug, code);
        self.team.run_id(slug)
    }

    /// The same with a budget of retries.
    pub fn python_with_retries(&self, slug: &str, code: &str, max_retries: u32) -> i64 {
        self.team.python_app(slug, code);
        int(&self.team.run(slug, json!({"max_retries": max_retries})), "run_id")
    }

    /// Makes an app of an archive and starts a run of it.
    pub fn archive(&self, slug: &str, archive: Artifact, entrypoint: &str, input: Value) -> i64 {
        self.team.app(slug);
        self.team.version(slug, &archive.gzip(), entrypoint);
        int(&self.team.run(slug, json!({"input": input})), "run_id")
    }

    /// Every file and folder below the runner's data directory whose name is `name`.
    pub fn files_named(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.data_dir(), name, &mut found);
        found
    }
}

fn collect(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            found.push(path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, name, found);
        }
    }
}

impl Drop for JobBed {
    fn drop(&mut self) {
        drop(self.runner.take());
        // The supervisor notices the runner's death by itself and needs a moment for it.
        let gone = wait::find(wait::SOON, || leftovers::below(&self.data_dir()).is_empty().then_some(()));
        if gone.is_none() {
            let rest = leftovers::kill_below(&self.data_dir());
            assert!(std::thread::panicking(), "processes left behind: {rest:?}");
            println!("processes left behind: {rest:?}");
        }
    }
}
