//! A control plane without HTTP on a real SQLite file, with a clock that the test moves.

use std::path::Path;
use std::time::Duration;

use minitower_kernel::clock::Clock;
use minitower_runs::CreateRun;
use minitower_runs::Error;
use minitower_runs::Grant;
use minitower_runs::Register;
use minitower_runs::UploadFields;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::lease::Outcome;
use minitower_runs::domain::run::Run;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_teams::RegistrationPrincipal;
use minitower_teams::secrets::Secret;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::statuses::{ResultReason, ResultStatus};
use minitower_vocabulary::time::Timestamp;
use minitowerd::{ControlPlane as App, Outside, Settings};
use tokio_util::sync::CancellationToken;

pub(crate) const TTL: Duration = Duration::from_secs(60);

/// A control plane with one team that has one app, `jobs`.
pub(crate) struct Plane {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    pub(crate) team: TeamPrincipal,
    pub(crate) registration: RegistrationPrincipal,
    pub(crate) stopping: CancellationToken,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        db_path: folder.join("m.db"),
        teams: minitower_teams::Settings {
            bootstrap_token: Secret::new("boot"),
            registration_token: Secret::new("platform"),
            operator_token: Secret::new("operator"),
            signup_enabled: true,
            audit_keep: None,
            audit_keep_most: None,
            storage_bytes: None,
            oidc: None,
            secrets_key_file: folder.join("secrets.key"),
        },
        runs: minitower_runs::Settings {
            objects_dir: folder.join("objects"),
            objects_url: None,
            retention: minitower_runs::Retention::default(),
            lease_ttl: TTL,
            expiry_check_interval: Duration::from_secs(10),
            runner_prune_after: None,
            max_artifact_bytes: 1 << 20,
        },
        outside: Outside::default(),
    }
}

pub(crate) async fn open(settings: Settings, clock: &Clock) -> (App, CancellationToken) {
    let stopping = CancellationToken::new();
    let app =
        App::open(settings, clock.clone(), stopping.clone(), |why| panic!("fatal: {why}")).await.unwrap();
    (app, stopping)
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp(1_000_000));
        let mut settings = settings(folder.path());
        change(&mut settings);
        let (app, stopping) = open(settings, &clock).await;
        let made = app.teams().bootstrap("acme", "Acme", None).await.unwrap();
        let team = app.teams().authenticate_team(Some(&made.token)).await.unwrap();
        let registration = app.teams().authenticate_registration(Some("platform")).await.unwrap();
        app.apps().create_app(&team, "jobs", None).await.unwrap();
        let plane = Self { app, clock, team, registration, stopping, folder };
        plane.upload("main.py").await.unwrap();
        plane
    }

    /// The same database, opened by the next process.
    pub(crate) async fn restart(self) -> Self {
        self.stopping.cancel();
        self.app.close().await.unwrap();
        let Self { app, clock, team, registration, folder, .. } = self;
        drop(app);
        // The last clone may live in a task that is just ending.
        let opened = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                let stopping = CancellationToken::new();
                match App::open(settings(folder.path()), clock.clone(), stopping.clone(), |why| {
                    panic!("{why}")
                })
                .await
                {
                    Ok(app) => return (app, stopping),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let (app, stopping) = opened.await.unwrap();
        Self { app, clock, team, registration, stopping, folder }
    }

    pub(crate) async fn upload(&self, entrypoint: &str) -> Result<(), Error> {
        self.upload_files(&self.team, &[("main.py", "pass\n")], entrypoint).await
    }

    /// A version whose runs get an API token.
    pub(crate) async fn upload_with_api(&self) {
        let towerfile = "[app]\nname = \"jobs\"\nscript = \"main.py\"\napi = true\n";
        let files = [("Towerfile", towerfile), ("main.py", "pass\n")];
        self.upload_files(&self.team, &files, "").await.unwrap();
    }

    pub(crate) async fn upload_files(
        &self,
        team: &TeamPrincipal,
        files: &[(&str, &str)],
        entrypoint: &str,
    ) -> Result<(), Error> {
        let mut tar =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        let archive = tar.into_inner().unwrap().finish().unwrap();
        let mut upload = self.app.apps().begin_upload(team).await?;
        upload.write(&archive).await?;
        let fields = UploadFields { entrypoint: Some(entrypoint.to_owned()), ..UploadFields::default() };
        self.app.apps().create_version(team, "jobs".to_owned(), upload, fields).await.map(|_| ())
    }

    /// Another team with an app of its own, `jobs`.
    pub(crate) async fn another_team(&self, slug: &str) -> TeamPrincipal {
        let made = self.app.teams().signup(slug, slug, "a long password".to_owned(), None).await.unwrap();
        let team = self.app.teams().authenticate_team(Some(&made.token)).await.unwrap();
        self.app.apps().create_app(&team, "jobs", None).await.unwrap();
        // Other bytes than those of the first team: the object store keeps the same ones once.
        self.upload_files(&team, &[("main.py", &format!("# {slug}\n"))], "main.py").await.unwrap();
        team
    }

    pub(crate) async fn run(&self, new: CreateRun) -> Run {
        self.run_of(&self.team, new).await
    }

    pub(crate) async fn run_of(&self, team: &TeamPrincipal, new: CreateRun) -> Run {
        self.app.runs().create_run(team, "jobs".to_owned(), new).await.unwrap()
    }

    pub(crate) async fn runner(&self, name: &str) -> RunnerPrincipal {
        self.runner_with(self.registration, name).await
    }

    /// A runner that serves only this team.
    pub(crate) async fn own_runner(&self, name: &str) -> RunnerPrincipal {
        let (_, token) = self.app.teams().create_registration_token(&self.team).await.unwrap();
        let registration = self.app.teams().authenticate_registration(Some(&token)).await.unwrap();
        self.runner_with(registration, name).await
    }

    async fn runner_with(&self, registration: RegistrationPrincipal, name: &str) -> RunnerPrincipal {
        let new = Register { name: name.to_owned(), ..Register::default() };
        let registered = self.app.runners().register_runner(registration, new).await.unwrap();
        self.app.leases().authenticate(Some(&registered.token)).await.unwrap()
    }

    /// Polls without waiting.
    pub(crate) async fn poll(&self, by: &RunnerPrincipal, poll: Poll) -> Result<Option<Box<Grant>>, Error> {
        Ok(self.app.leases().lease(by, poll, Duration::ZERO).await?.and_then(minitower_runs::Offer::deliver))
    }

    pub(crate) async fn lease(&self, by: &RunnerPrincipal) -> Box<Grant> {
        self.poll(by, named("i")).await.unwrap().expect("there is work")
    }

    pub(crate) async fn status(&self, run: &Run) -> Run {
        self.app.runs().run(&self.team, run.id).await.unwrap()
    }
}

/// A poll of that process.
pub(crate) fn named(instance: &str) -> Poll {
    Poll { instance_id: Some(instance.to_owned()), ..Poll::default() }
}

/// A result of that status.
pub(crate) fn outcome(status: ResultStatus) -> Outcome {
    Outcome { status, exit_code: Some(0), error_message: None, reason: Some(ResultReason::Exit) }
}

/// A run that may start again so often.
pub(crate) fn retries(n: i64) -> CreateRun {
    CreateRun { max_retries: Some(n), ..CreateRun::default() }
}
