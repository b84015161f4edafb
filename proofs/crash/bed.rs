//! A real control plane and several real runners that may be ended and started again at any time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use minitower_tests::invariants::Witness;
use minitower_tests::server::{BOOTSTRAP_TOKEN, OPERATOR_TOKEN, REGISTRATION_TOKEN, free_port};
use minitower_tests::shape::{int, text};
use minitower_tests::{Http, Program, Signal, Team, leftovers, programs, wait};
use serde_json::json;
use tempfile::TempDir;

use crate::history::Clocks;
use crate::ledger::{Client, Ledger, wall_less_boot};
use crate::plan::APPS;
use crate::witness::Witnesses;

/// How far the server's own two clocks, which it reads one after the other and cuts to milliseconds, may be apart from
/// ours, in microseconds.
const CLOCKS_APART: i64 = 20_000;

/// The folder of all runners.
const RUNNERS: &str = "runners";
/// The folder of the control plane.
const SERVER: &str = "server";
/// Size of the disks that can be filled, in MiB.
const RUNNERS_MIB: u32 = 64;
const SERVER_MIB: u32 = 128;

/// Whom a runner serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    /// All teams.
    Platform,
    /// The first team alone.
    Team,
}

/// What a program is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs.
    Up,
    /// It was stopped by SIGSTOP.
    Stopped,
    /// It was told to end by SIGTERM.
    Ending,
    /// It has ended.
    Down,
}

/// A program that is started more than once.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Its name: for a runner that under which it is registered.
    pub(crate) name: String,
    /// What it is doing.
    pub(crate) state: State,
    file: &'static str,
    env: Vec<(String, String)>,
    folder: PathBuf,
    program: Option<Program>,
}

impl Unit {
    fn new(name: &str, file: &'static str, folder: &Path, env: Vec<(&str, String)>) -> Self {
        let env = env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let folder = folder.to_owned();
        Self { name: name.to_owned(), state: State::Down, file, env, folder, program: None }
    }

    /// Starts it.
    pub(crate) fn start(&mut self) {
        assert_eq!(self.state, State::Down, "{}", self.name);
        let log = self.folder.join(format!("logs/{}.log", self.name));
        self.program = Some(Program::start(self.file, &[], &self.env, &self.folder, &log));
        self.state = State::Up;
    }

    /// The program.
    pub(crate) fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("it was started")
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.program().kill();
        self.state = State::Down;
    }

    /// Stops it, lets it go on, or tells it to end.
    pub(crate) fn signal(&mut self, signal: Signal, state: State) {
        self.program().signal(signal);
        self.state = state;
    }

    /// Whether it has ended after it was told to; that has to be with code 0.
    pub(crate) fn has_ended(&mut self, ledger: &Ledger) -> bool {
        let Some(status) = self.program().ended() else { return false };
        if !status.success() {
            ledger.complain(format!("{} was told to end and did so with {status}", self.name));
        }
        self.state = State::Down;
        true
    }

    /// Panics if it should run and has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        if self.state == State::Up
            && let Some(status) = self.program().ended()
        {
            panic!("{} ended by itself: {status}", self.name);
        }
    }
}

/// All of it. Dropping it leaves neither processes nor files.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The control plane.
    pub(crate) server: Unit,
    /// The runners.
    pub(crate) runners: Vec<Unit>,
    /// A client of each team.
    pub(crate) clients: Vec<Client>,
    /// Where they write.
    pub(crate) ledger: Arc<Ledger>,
    /// What the jobs say of themselves.
    pub(crate) witnesses: Witnesses,
    /// Requests without a team.
    pub(crate) http: Http,
    /// Where the control plane listens.
    pub(crate) port: u16,
    /// The length of leases.
    pub(crate) lease_ttl: Duration,
    invariants: Witness,
    /// The folders that are small disks of their own.
    disks: Vec<PathBuf>,
    folder: TempDir,
}

impl Bed {
    /// The same as [`Bed::start`], with the runners on a disk of 64 MiB; `None` where none can be mounted.
    pub(crate) fn start_on_a_small_disk(lease_ttl: Duration, runners: &[Serves]) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("minitower-test-").tempdir().unwrap();
        let disk = mount(folder.path().join(RUNNERS), RUNNERS_MIB)?;
        Some(Self::start_in(folder, vec![disk], lease_ttl, runners))
    }

    /// The same as [`Bed::start`], with the control plane on a disk of 128 MiB where one can be mounted.
    pub(crate) fn start_with_a_disk_to_fill(lease_ttl: Duration, runners: &[Serves]) -> Self {
        let folder = tempfile::Builder::new().prefix("minitower-test-").tempdir().unwrap();
        let disks = mount(folder.path().join(SERVER), SERVER_MIB).into_iter().collect();
        Self::start_in(folder, disks, lease_ttl, runners)
    }

    /// Three teams with an app each in Python and shell (nobody serves the third's runs), and a runner for each entry of `runners`.
    pub(crate) fn start(lease_ttl: Duration, runners: &[Serves]) -> Self {
        let folder = tempfile::Builder::new().prefix("minitower-test-").tempdir().unwrap();
        Self::start_in(folder, Vec::new(), lease_ttl, runners)
    }

    fn start_in(folder: TempDir, disks: Vec<PathBuf>, lease_ttl: Duration, runners: &[Serves]) -> Self {
        let (port, root) = (free_port(), folder.path());
        let own = root.join(SERVER);
        let server_env = vec![
            ("MINITOWER_LISTEN_ADDR", format!("127.0.0.1:{port}")),
            ("MINITOWER_DB_PATH", own.join("minitower.db").display().to_string()),
            ("MINITOWER_OBJECTS_DIR", own.join("objects").display().to_string()),
            ("MINITOWER_BOOTSTRAP_TOKEN", BOOTSTRAP_TOKEN.to_owned()),
            ("MINITOWER_RUNNER_REGISTRATION_TOKEN", REGISTRATION_TOKEN.to_owned()),
            ("MINITOWER_OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
            // Not every request: a storm has many.
            ("MINITOWER_LOG", "info,minitower_rest=warn".to_owned()),
            ("MINITOWER_LEASE_TTL", format!("{}ms", lease_ttl.as_millis())),
        ];
        let server = Unit::new("minitowerd", programs::SERVER, root, server_env);
        let ledger = Arc::new(Ledger::default());
        ledger.with(|history| history.clocks = Clocks { least: i64::MAX, most: i64::MIN });
        let mut bed = Self {
            server,
            runners: Vec::new(),
            clients: Vec::new(),
            ledger,
            witnesses: Witnesses::new(),
            http: Http::new(port),
            port,
            lease_ttl,
            invariants: Witness::default(),
            disks,
            folder,
        };
        bed.start_server();
        bed.make_teams();
        for (index, serves) in runners.iter().enumerate() {
            bed.add_runner(index, *serves);
        }
        wait::until("the runners are online", wait::SOON, || {
            bed.runners.iter_mut().for_each(Unit::assert_alive);
            let online = |unit: &Unit| {
                bed.clients[0]
                    .team
                    .runner(&unit.name)
                    .is_some_and(|runner| runner["status"] == "online" && runner["last_seen_at"].is_string())
            };
            bed.runners.iter().all(online).then_some(())
        });
        bed
    }

    fn make_teams(&mut self) {
        let first = self.http.post("/api/v1/bootstrap/team").bearer(BOOTSTRAP_TOKEN);
        let first = first.json(json!({"slug": "acme", "name": "Acme"})).send().expect_json(201);
        let sign_up = |slug: &str| {
            let other = json!({"slug": slug, "name": slug, "password": "correct horse battery staple"});
            self.http.post("/api/v1/teams/signup").json(other).send().expect_json(201)
        };
        for (made, slug) in [(first, "acme"), (sign_up("other"), "other"), (sign_up("vain"), "vain")] {
            let team = Team::new(&self.http, int(&made, "team_id"), slug, &text(&made, "token"))
                .with_registration_token(&text(&made, "registration_token"));
            let (ledger, witnesses) = (Arc::clone(&self.ledger), self.witnesses.path().to_owned());
            let client = Client { team, ledger, witnesses };
            // What was answered is not always there at once when that is the planted bug; the storm is to tell, not this.
            let visible = |path: &str| {
                wait::until("what was made is there", wait::SOON, || {
                    (client.team.get(path).send().status == 200).then_some(())
                });
            };
            visible("/me");
            for app in APPS {
                client.team.app(app);
                visible(&format!("/apps/{app}"));
                assert!(client.deploy(app));
                visible(&format!("/apps/{app}/versions/1"));
            }
            self.clients.push(client);
        }
    }

    fn add_runner(&mut self, index: usize, serves: Serves) {
        let name = format!("{serves:?}-{index}").to_lowercase();
        let token = match serves {
            Serves::Platform => REGISTRATION_TOKEN.to_owned(),
            Serves::Team => self.clients[0].team.registration_token.clone(),
        };
        let env = vec![
            ("MINITOWER_SERVER_URL", self.http.base().to_owned()),
            ("MINITOWER_RUNNER_NAME", name.clone()),
            ("MINITOWER_REGISTRATION_TOKEN", token),
            ("MINITOWER_DATA_DIR", self.data_dir().display().to_string()),
            ("MINITOWER_KILL_GRACE_PERIOD", "300ms".to_owned()),
            ("MINITOWER_SHUTDOWN_GRACE", "1s".to_owned()),
            ("MINITOWER_POLL_INTERVAL", "100ms".to_owned()),
            ("MINITOWER_JOB_WRITABLE", self.witnesses.path().display().to_string()),
        ];
        let mut unit = Unit::new(&name, programs::RUNNER, self.folder.path(), env);
        unit.start();
        self.runners.push(unit);
    }

    /// Starts the control plane without waiting for it.
    pub(crate) fn start_server_unready(&mut self) {
        let apart = wall_less_boot();
        self.ledger.with(|history| {
            history.clocks.least = history.clocks.least.min(apart - CLOCKS_APART);
            history.clocks.most = history.clocks.most.max(apart + CLOCKS_APART);
        });
        self.server.start();
    }

    /// Whether the control plane answers.
    pub(crate) fn is_ready(&self) -> bool {
        self.http.get("/ready?full_is_ready=true").try_send().is_ok_and(|answer| answer.status == 200)
    }

    /// Starts the control plane, and looks at the database when it answers.
    pub(crate) fn start_server(&mut self) {
        self.start_server_unready();
        wait::until("minitowerd answers", wait::SOON, || {
            self.server.assert_alive();
            self.is_ready().then_some(())
        });
        self.look();
    }

    /// The disk of the control plane, if it has one of its own.
    pub(crate) fn servers_disk(&self) -> Option<PathBuf> {
        let own = self.folder.path().join(SERVER);
        self.disks.contains(&own).then_some(own)
    }

    /// Asserts the invariants of the database.
    pub(crate) fn look(&mut self) {
        self.invariants.look(&self.database());
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join(SERVER).join("minitower.db")
    }

    /// The archives.
    pub(crate) fn objects(&self) -> PathBuf {
        self.folder.path().join(SERVER).join("objects")
    }

    /// The runners' folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join(RUNNERS)
    }

    /// What is left of runs in the runners' folders.
    pub(crate) fn left_on_disk(&self) -> Vec<PathBuf> {
        let folders = self.runners.iter().flat_map(|unit| {
            let own = self.data_dir().join(&unit.name);
            [own.join("work"), own.join("spool")]
        });
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|it| it.unwrap().path())).collect()
    }
}

/// Makes the folder, with a disk of its own; `None` where none can be mounted.
fn mount(folder: PathBuf, mib: u32) -> Option<PathBuf> {
    fs::create_dir(&folder).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=700"), "tmpfs"]).arg(&folder);
    mount.status().is_ok_and(|status| status.success()).then_some(folder)
}

impl Drop for Bed {
    fn drop(&mut self) {
        for unit in &mut self.runners {
            unit.program = None;
        }
        self.server.program = None;
        // Supervisors notice the ends of their runners by themselves; a planted bug may leave more.
        leftovers::kill_below(self.folder.path());
        if std::env::var_os("MINITOWER_TEST_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            println!("kept: {}", self.folder.path().display());
            return;
        }
        for disk in &self.disks {
            // Lazily, as what was just killed may still hold it.
            let _gone_with_the_machine = Command::new("umount").arg("--lazy").arg(disk).status();
        }
    }
}
