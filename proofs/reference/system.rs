//! The program under test: a control plane on a SQLite file, with a clock that the test moves, asked as the HTTP layer asks it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use minitower_kernel::clock::Clock;
use minitower_runs::Retention;
use minitower_teams::secrets::Secret;
use minitower_vocabulary::ids::RegistrationTokenId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::time::Timestamp;
use minitowerd::{ControlPlane as App, Outside, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::database::{Reader, Tables};
use crate::model::Model;
use crate::resolve::Past;
use crate::vocabulary::{
    BEGIN_MS, FIRST, MOST_ACTIVE, Number, Op, PLATFORM, Shown, TEAM_REGISTRATION, TEAMS, TTL,
};

/// How long anything may take that should happen at once; generous, because two cores may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The platform's registration token.
const PLATFORM_TOKEN: &str = "platform-registration";

/// The runtime of every sequence.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// Who asks: knows the secrets that were answered. A cheap clone.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    pub(crate) database: PathBuf,
    pub(crate) known: Arc<Mutex<Known>>,
}

/// What was answered and is shown again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) secrets: HashMap<Number, String>,
    pub(crate) registration_ids: HashMap<Number, RegistrationTokenId>,
    /// The teams' admin tokens.
    pub(crate) teams: Vec<String>,
}

/// A control plane and its files.
pub(crate) struct System {
    pub(crate) client: Client,
    stopping: CancellationToken,
    reader: Reader,
    folder: TempDir,
    retention: Retention,
}

/// What every sequence begins with: made once, then copied.
struct Template {
    files: Vec<(PathBuf, Vec<u8>)>,
    known: Known,
}

/// The operations that every sequence begins with: two teams with an app each, three runners of the platform and one of each team.
fn first_operations() -> Vec<Op> {
    let app = |team| Op::CreateApp { team, slug: "jobs".to_owned() };
    let upload = |team, max_retries| Op::Upload { team, app: "jobs".to_owned(), max_retries };
    let runner = |of, name: &str, environment: &str| Op::Register {
        token: Shown::whole(of),
        name: name.to_owned(),
        environment: environment.to_owned(),
    };
    vec![
        app(0),
        upload(0, 1),
        app(1),
        upload(1, 0),
        runner(PLATFORM, "r0", "default"),
        runner(PLATFORM, "r1", "default"),
        runner(TEAM_REGISTRATION[0], "r2", "default"),
        runner(TEAM_REGISTRATION[1], "r3", "default"),
        runner(PLATFORM, "r4", "gpu"),
    ]
}

/// The state that every sequence begins with, what was answered by then, and the number of the next operation.
pub(crate) fn beginning() -> (Model, Past, Number) {
    let (mut model, mut past, mut number) = (Model::new(), Past::default(), FIRST);
    for op in first_operations() {
        let answer = model.carry_out(number, &op);
        past.note(number, &op, &answer);
        number += 1;
    }
    (model, past, number)
}

fn settings(folder: &Path, retention: Retention) -> Settings {
    Settings {
        db_path: folder.join("m.db"),
        teams: minitower_teams::Settings {
            bootstrap_token: Secret::new("bootstrap"),
            registration_token: Secret::new(PLATFORM_TOKEN),
            operator_token: Secret::new("operator"),
            signup_enabled: true,
            audit_keep: None,
            audit_keep_most: None,
            oidc: None,
            storage_bytes: None,
            secrets_key_file: folder.join("secrets.key"),
        },
        runs: minitower_runs::Settings {
            objects_dir: folder.join("objects"),
            objects_url: None,
            retention,
            lease_ttl: TTL,
            // In real time: whoever moves the clock does not wait for long.
            expiry_check_interval: Duration::from_millis(20),
            runner_prune_after: None,
            max_artifact_bytes: 1 << 20,
        },
        outside: Outside::default(),
    }
}

async fn open(folder: &Path, clock: &Clock, retention: Retention) -> (App, CancellationToken) {
    let stopping = CancellationToken::new();
    let opened = tokio::time::timeout(SOON, async {
        loop {
            let fatal = |why: &str| panic!("fatal: {why}");
            match App::open(settings(folder, retention), clock.clone(), stopping.clone(), fatal).await {
                Ok(app) => return app,
                // The last clone of the former one may live in a task that is just ending.
                Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
                Err(error) => panic!("cannot open: {error}"),
            }
        }
    });
    (opened.await.expect("the former server lets go of the database"), stopping)
}

async fn template() -> &'static Template {
    static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
    TEMPLATE.get_or_init(make_template).await
}

async fn make_template() -> Template {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp(BEGIN_MS));
    let (app, stopping) = open(folder.path(), &clock, Retention::default()).await;
    let made = [
        app.teams().bootstrap(TEAMS[0], "First", None).await.unwrap(),
        app.teams().signup(TEAMS[1], "Second", "a long enough password".to_owned(), None).await.unwrap(),
    ];
    for (slug, most) in TEAMS.into_iter().zip(MOST_ACTIVE) {
        let most = vec![(LimitName::ActiveRuns, Some(most as u64))];
        app.teams().allow_limits(slug, most).await.unwrap();
    }
    let mut known = Known::default();
    known.secrets.insert(PLATFORM, PLATFORM_TOKEN.to_owned());
    for (team, number) in made.into_iter().zip(TEAM_REGISTRATION) {
        known.teams.push(team.token);
        known.secrets.insert(number, team.registration_token);
    }
    let known = Arc::new(Mutex::new(known));
    let database = folder.path().join("m.db");
    let client = Client { app, clock, database, known: Arc::clone(&known) };
    for (op, number) in first_operations().into_iter().zip(FIRST..) {
        client.ask(number, &op).await;
    }
    stopping.cancel();
    client.app.close().await.unwrap();
    let known = known.lock().unwrap().clone();
    Template { files: files(folder.path()), known }
}

/// The files of a server, and what is in them.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for below in ["", "objects"] {
        for entry in std::fs::read_dir(folder.join(below)).unwrap() {
            let path = entry.unwrap().path();
            // The shared memory of the write-ahead log is made anew by whoever opens it.
            if path.is_file() && path.extension().is_none_or(|extension| extension != "db-shm") {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn write(files: &[(PathBuf, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("objects")).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

impl System {
    /// A control plane in the state of [`beginning`].
    pub(crate) async fn start() -> Self {
        Self::start_keeping(Retention::default()).await
    }

    /// The same, with another rule of how long what has ended is kept.
    pub(crate) async fn start_keeping(retention: Retention) -> Self {
        let template = template().await;
        let known = Arc::new(Mutex::new(template.known.clone()));
        Self::on(write(&template.files), Clock::manual(Timestamp(BEGIN_MS)), known, retention).await
    }

    async fn on(folder: TempDir, clock: Clock, known: Arc<Mutex<Known>>, retention: Retention) -> Self {
        let (app, stopping) = open(folder.path(), &clock, retention).await;
        let database = folder.path().join("m.db");
        let reader = Reader::open(&database);
        Self { client: Client { app, clock, database, known }, stopping, reader, folder, retention }
    }

    /// The next process on the same files; after a cut, on what they held at that moment.
    pub(crate) async fn restart(self, cut: bool) -> Self {
        let clock = self.client.clock.clone();
        let (known, retention) = (Arc::clone(&self.client.known), self.retention);
        let folder = if cut {
            let held = files(self.folder.path());
            self.stop().await;
            write(&held)
        } else {
            self.stop().await
        };
        Self::on(folder, clock, known, retention).await
    }

    /// Begins an orderly end: polls that wait are answered.
    pub(crate) fn begin_stop(&self) {
        self.stopping.cancel();
    }

    /// Ends in an orderly way, and answers the files.
    pub(crate) async fn stop(self) -> TempDir {
        let Self { client, stopping, reader, folder, .. } = self;
        stopping.cancel();
        client.app.close().await.unwrap();
        drop((client, reader));
        folder
    }

    /// What SQLite holds.
    pub(crate) fn tables(&self) -> Tables {
        self.reader.tables()
    }

    /// Waits for a write that changes nothing: all that was to be written before it is written then.
    pub(crate) async fn write_nothing(&self) {
        let token = self.client.known.lock().unwrap().teams[0].clone();
        let team = self.client.app.teams().authenticate_team(Some(&token)).await.unwrap();
        self.client.app.teams().create_environment(&team, "default".to_owned()).await.unwrap();
    }

    pub(crate) fn database(&self) -> &Path {
        &self.client.database
    }
}
