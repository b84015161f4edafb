//! A team and what it prepares for a test, past the proxy.

use std::io::{Seek as _, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use minitower_client::wire::apps::{App, CreateApp, Version};
use minitower_client::wire::auth::{CreateToken, TeamCreated};
use minitower_client::wire::runs::{CreateRun, Run};
use minitower_client::{Client, Error, LogFilter, TeamClient, Upload};
use serde_json::Value;

use crate::plane::Direct;

/// What a version is made from: its files, and what its archive's Towerfile does not say.
#[derive(Debug, Clone)]
pub struct Project {
    /// The `.tar.gz`.
    pub archive: Vec<u8>,
    /// What is started; none: the Towerfile in the archive says it.
    pub entrypoint: Option<String>,
    /// Seconds a run may take.
    pub timeout_seconds: Option<i64>,
    /// JSON Schema of the input.
    pub params_schema: Option<Value>,
}

impl Project {
    /// Files without a Towerfile.
    pub fn new(entrypoint: &str, files: &[(&str, &str)]) -> Self {
        Self { entrypoint: Some(entrypoint.to_owned()), ..Self::with_towerfile(files) }
    }

    /// Files with a Towerfile among them.
    pub fn with_towerfile(files: &[(&str, &str)]) -> Self {
        Self { archive: archive(files), entrypoint: None, timeout_seconds: None, params_schema: None }
    }
}

/// A `.tar.gz` with these files, mode 0644.
pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A team, seen through one of its tokens.
#[derive(Clone)]
pub struct Team {
    /// Its id.
    pub id: i64,
    /// Its slug.
    pub slug: String,
    /// The token.
    pub token: String,
    /// For runners of its own.
    pub registration_token: String,
    direct: Direct,
    client: TeamClient,
}

impl Team {
    pub(crate) fn new(direct: &Direct, made: TeamCreated) -> Self {
        Self {
            client: Client::new(&direct.config).unwrap().team(&made.token),
            direct: direct.clone(),
            id: made.team_id,
            slug: made.slug,
            token: made.token,
            registration_token: made.registration_token.expect("a server of today says it"),
        }
    }

    /// The team's calls, past the proxy.
    pub fn client(&self) -> &TeamClient {
        &self.client
    }

    #[track_caller]
    fn call<T, F>(&self, call: impl FnOnce(TeamClient) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.direct.run(call(self.client.clone())).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The server's JSON below `/api/v1`, to the letter.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.direct.get(path, &self.token)
    }

    /// Another token of the team, of the role `member`.
    #[track_caller]
    pub fn member_token(&self) -> String {
        let member = CreateToken { name: None, role: Some("member".to_owned()), ..CreateToken::default() };
        self.call(async move |client: TeamClient| client.create_token(&member).await).token
    }

    /// Creates an app without a version.
    #[track_caller]
    pub fn app(&self, slug: &str) -> App {
        let app = CreateApp { slug: slug.to_owned(), description: None };
        self.call(async move |client: TeamClient| client.create_app(&app).await)
    }

    /// Uploads a version.
    #[track_caller]
    pub fn version(&self, app: &str, project: Project) -> Version {
        let mut archive = tempfile::tempfile().unwrap();
        archive.write_all(&project.archive).unwrap();
        archive.rewind().unwrap();
        let upload = Upload {
            entrypoint: project.entrypoint,
            timeout_seconds: project.timeout_seconds,
            params_schema: project.params_schema,
            ..Upload::new(archive, "artifact.tar.gz")
        };
        let app = app.to_owned();
        self.call(async move |client: TeamClient| client.upload_version(&app, upload, |_| {}).await)
    }

    /// Creates an app with a version of one `main.py`.
    #[track_caller]
    pub fn script(&self, app: &str, code: &str) -> Version {
        self.app(app);
        self.version(app, Project::new("main.py", &[("main.py", code)]))
    }

    /// Creates a run of the newest version.
    #[track_caller]
    pub fn run(&self, app: &str) -> Run {
        self.run_with(app, CreateRun::default())
    }

    /// Creates a run.
    #[track_caller]
    pub fn run_with(&self, app: &str, run: CreateRun) -> Run {
        let app = app.to_owned();
        self.call(async move |client: TeamClient| client.create_run(&app, &run).await)
    }

    /// Asks for a run's cancel.
    #[track_caller]
    pub fn cancel(&self, run: i64) -> Run {
        self.call(async move |client: TeamClient| client.cancel_run(run).await)
    }

    /// Reads a run.
    #[track_caller]
    pub fn read(&self, run: i64) -> Run {
        self.call(async move |client: TeamClient| client.run(run).await)
    }

    /// The log of a run's newest attempt, one line a line.
    #[track_caller]
    pub fn log(&self, run: i64) -> String {
        self.call(async move |client: TeamClient| {
            let (mut text, mut after) = (String::new(), 0);
            loop {
                let filter = LogFilter { after_seq: Some(after), ..LogFilter::default() };
                let page = client.logs(run, &filter).await?.logs;
                let Some(last) = page.last() else { return Ok(text) };
                after = last.seq;
                text.extend(page.iter().flat_map(|line| [line.line.as_str(), "\n"]));
            }
        })
    }
}
