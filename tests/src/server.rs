//! A real control plane on a free loopback port and a temporary folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::invariants::Witness;
use crate::shape::{int, text};
use crate::{Http, Program, Team, programs, wait};

/// The bootstrap token of every test server.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-of-the-tests";
/// The platform's registration token of every test server.
pub const REGISTRATION_TOKEN: &str = "registration-of-the-tests";
/// The operator token of every test server.
pub const OPERATOR_TOKEN: &str = "operator-of-the-tests";

/// A running control plane. Dropping it checks the database's invariants, unless the test has failed already.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    env: Vec<(String, String)>,
    program: Option<Program>,
    http: Http,
    witness: Witness,
}

/// A control plane before its start.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    env: Vec<(String, String)>,
    without: Vec<String>,
}

impl Builder {
    /// Sets a variable of the program's environment. `{port}` in the value is the server's.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Leaves one of the harness's own variables unset.
    pub fn without(mut self, key: &str) -> Self {
        self.without.push(key.to_owned());
        self
    }

    /// Starts it, waits until it has given up, and answers what it said.
    pub fn refused(self) -> String {
        let mut server = self.prepared();
        let log = server.folder.path().join("logs/minitowerd.log");
        let mut program = Program::start(programs::SERVER, &[], &server.env, server.folder.path(), &log);
        let status = program.wait_end(wait::SOON);
        assert!(!status.success(), "it started");
        server.program = None;
        program.log()
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Server {
        let mut server = self.prepared();
        server.start_again();
        server
    }

    fn prepared(self) -> Server {
        let folder = tempfile::Builder::new().prefix("minitower-test-").tempdir().unwrap();
        let port = free_port();
        let defaults = [
            ("MINITOWER_LISTEN_ADDR", format!("127.0.0.1:{port}")),
            ("MINITOWER_DB_PATH", folder.path().join("minitower.db").display().to_string()),
            ("MINITOWER_OBJECTS_DIR", folder.path().join("objects").display().to_string()),
            ("MINITOWER_BOOTSTRAP_TOKEN", BOOTSTRAP_TOKEN.to_owned()),
            ("MINITOWER_RUNNER_REGISTRATION_TOKEN", REGISTRATION_TOKEN.to_owned()),
            ("MINITOWER_OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
        ];
        let mut env: Vec<(String, String)> =
            defaults.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        env.retain(|(key, _)| !self.without.contains(key));
        let port_named = |value: String| value.replace("{port}", &port.to_string());
        env.extend(self.env.into_iter().map(|(key, value)| (key, port_named(value))));
        Server { folder, port, env, program: None, http: Http::new(port), witness: Witness::default() }
    }
}

impl Server {
    /// A control plane with the defaults.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A control plane whose leases last as long as given, in Go's form.
    pub fn with_lease_ttl(ttl: &str) -> Self {
        Self::builder()
            .env("MINITOWER_LEASE_TTL", ttl)
            .env("MINITOWER_EXPIRY_CHECK_INTERVAL", "200ms")
            .start()
    }

    /// A control plane to be configured.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts the program on the same port and folder, and waits until it is ready.
    pub fn start_again(&mut self) {
        assert!(self.program.is_none(), "the server runs already");
        let log = self.folder.path().join("logs/minitowerd.log");
        let mut program = Program::start(programs::SERVER, &[], &self.env, self.folder.path(), &log);
        wait::until("minitowerd answers /ready", wait::SOON, || {
            if let Some(status) = program.ended() {
                panic!("minitowerd ended at its start ({status}): {}", program.log());
            }
            // A bucket that is away does not keep it from starting.
            self.http.get("/ready?full_is_ready=true").try_send().ok().filter(|answer| answer.status == 200)
        });
        self.program = Some(program);
    }

    /// The same with other values of variables of its environment.
    pub fn start_again_with(&mut self, changed: &[(&str, &str)]) {
        for (key, value) in changed {
            self.env.retain(|(known, _)| known != key);
            self.env.push(((*key).to_owned(), (*value).to_owned()));
        }
        self.start_again();
    }

    /// Asserts the invariants of the database; done at each end of the program too.
    pub fn check(&mut self) {
        let database = self.database();
        self.witness.look(&database);
    }

    /// From here on the database is another one: what was seen of the former one counts no more.
    pub fn forget(&mut self) {
        assert!(self.program.is_none(), "the server runs");
        self.witness = Witness::default();
    }

    /// Ends the program with SIGKILL.
    pub fn kill(&mut self) {
        self.check();
        self.program.take().expect("the server runs").kill();
    }

    /// Ends the program with SIGTERM and asserts that it exits with 0.
    pub fn terminate(&mut self) {
        self.check();
        let code = self.program.take().expect("the server runs").terminate(wait::SOON);
        assert_eq!(code, 0, "minitowerd should exit with 0 on SIGTERM");
    }

    /// Sets a variable of the program's environment, from its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.env.push((key.to_owned(), value.to_owned()));
    }

    /// The running program.
    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("the server runs")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Raw requests.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The temporary folder of this test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("minitower.db")
    }

    /// Changes the database behind the server's back, as no call can.
    pub fn alter(&self, statements: &str) {
        let db = rusqlite::Connection::open(self.database()).unwrap();
        db.busy_timeout(wait::SOON).unwrap();
        db.execute_batch(statements).unwrap();
    }

    /// The artifacts.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// Makes the first team, `acme`.
    pub fn bootstrap(&self) -> Team {
        let answer = self
            .http
            .post("/api/v1/bootstrap/team")
            .bearer(BOOTSTRAP_TOKEN)
            .json(json!({"slug": "acme", "name": "Acme"}))
            .send()
            .expect_json(201);
        Team::new(&self.http, int(&answer, "team_id"), "acme", &text(&answer, "token"))
            .with_registration_token(&text(&answer, "registration_token"))
    }

    /// Makes another team by sign-up.
    pub fn sign_up(&self, slug: &str) -> Team {
        let answer = self
            .http
            .post("/api/v1/teams/signup")
            .json(json!({"slug": slug, "name": slug, "password": "correct horse battery staple"}))
            .send()
            .expect_json(201);
        Team::new(&self.http, int(&answer, "team_id"), slug, &text(&answer, "token"))
            .with_registration_token(&text(&answer, "registration_token"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::env::var_os("MINITOWER_TEST_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            println!("kept: {}", self.folder.path().display());
        }
        if self.program.is_some() && !thread::panicking() {
            self.check();
        }
    }
}

/// A loopback port nobody listens on, below the range the kernel gives to outgoing connections, so that it is not
/// taken between this look and the program's start. Starts at another place in each process.
pub fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % COUNT * 97;
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
