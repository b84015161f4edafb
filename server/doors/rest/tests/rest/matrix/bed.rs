//! Two teams and their things, made once and copied for every test that changes them; and what the database holds.

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use minitower_kernel::clock::Clock;
use minitower_rest::{HttpConfig, HttpMetrics, HttpState, router};
use minitower_teams::secrets::Secret;
use minitowerd::{ControlPlane as App, Outside, Settings};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) const BOOTSTRAP: &str = "bootstrap-token";
pub(crate) const REGISTRATION: &str = "registration-token";
pub(crate) const OPERATOR: &str = "operator-token";
/// The password of both teams.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// The boundary of uploads.
pub(crate) const BOUNDARY: &str = "XX";
/// What acme's run has left behind.
pub(crate) const ARTIFACT: &str = "acme/report.txt";
/// The process that holds acme's run.
pub(crate) const INSTANCE: &str = "acme-instance";

/// Ids start here, so that none of them is found in an answer by chance, and so that there are none below it.
const FIRST_ID: i64 = 7_000_000;

/// Columns that may change with every look at a credential.
const LAST_SEEN: [&str; 2] = ["last_used_at", "last_seen_at"];

/// The tokens and ids of the teams' things.
#[derive(Debug, Clone, Default)]
pub(crate) struct Things {
    pub(crate) acme_admin: String,
    pub(crate) acme_member: String,
    /// The API token of the attempt at `run`.
    pub(crate) acme_attempt: String,
    /// That of a former attempt, which was given back.
    pub(crate) void_attempt: String,
    pub(crate) acme_registration: String,
    /// One that bootstrap has replaced.
    pub(crate) void_registration: String,
    pub(crate) other_admin: String,
    pub(crate) other_member: String,
    pub(crate) other_registration: String,
    pub(crate) platform_runner: String,
    /// Holds `run`.
    pub(crate) holder: String,
    pub(crate) acme_runner: String,
    pub(crate) other_runner: String,
    /// One that a new registration has replaced.
    pub(crate) void_runner: String,
    pub(crate) lease_token: String,
    /// Of acme's; running.
    pub(crate) run: i64,
    /// The id of one of acme's tokens, which nobody shows.
    pub(crate) token_id: i64,
    /// The id of one of acme's registration tokens.
    pub(crate) registration_id: i64,
    pub(crate) notification_id: i64,
    pub(crate) delivery_id: i64,
}

/// The teams and their things on disk, with no service running.
pub(crate) struct Template {
    folder: TempDir,
    pub(crate) things: Things,
}

/// A service on a copy of the template.
pub(crate) struct Bed {
    folder: TempDir,
    service: Router,
    /// Looks at the database from beside.
    witness: Connection,
    /// What it saw last, and the database's version then.
    last: RefCell<Option<(i64, Rc<Vec<String>>)>>,
}

/// What there is.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    rows: Rc<Vec<String>>,
    archives: Vec<String>,
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Content {
    /// The same without what is still being received.
    pub(crate) fn received(mut self) -> Self {
        self.archives.retain(|name| !name.starts_with("upload-"));
        self
    }
}

impl Template {
    /// Makes the teams.
    pub(crate) async fn make() -> Self {
        Self::make_with(async |_, _| {}).await
    }

    /// Makes the teams, and more of their things.
    pub(crate) async fn make_with(more: impl AsyncFnOnce(&Bed, &Things)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), Some(BOOTSTRAP)).await.close().await.unwrap();
        raise_ids(folder.path());
        let app = open(folder.path(), Some(BOOTSTRAP)).await;
        let bed = Bed::of(folder, service(&app));
        let things = furnish(&bed).await;
        more(&bed, &things).await;
        let Bed { folder, .. } = bed;
        app.close().await.unwrap();
        Self { folder, things }
    }

    /// A service of its own on a copy.
    pub(crate) async fn copy(&self) -> Bed {
        let folder = tempfile::tempdir().unwrap();
        for (from, to) in [("", ""), ("objects", "objects")] {
            fs::create_dir_all(folder.path().join(to)).unwrap();
            for entry in fs::read_dir(self.folder.path().join(from)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::copy(&path, folder.path().join(to).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        let service = service(&open(folder.path(), Some(BOOTSTRAP)).await);
        Bed::of(folder, service)
    }
}

/// The beginning of a stream, which ends when nobody reads it any more.
async fn first_frame(mut body: Body) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

impl Bed {
    /// A service that keeps its things in `folder`.
    pub(crate) fn of(folder: TempDir, service: Router) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let witness = Connection::open_with_flags(folder.path().join("minitower.db"), flags).unwrap();
        Self { folder, service, witness, last: RefCell::default() }
    }

    pub(crate) fn router(&self) -> &Router {
        &self.service
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let is_stream = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if is_stream { first_frame(body).await } else { body.collect().await.unwrap().to_bytes() };
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub(crate) async fn ask(&self, path: &str, token: &str, body: Value) -> Value {
        let request =
            Request::post(format!("/api/v1{path}")).header(AUTHORIZATION, format!("Bearer {token}"));
        let answer = self.send(request.body(body.to_string().into()).unwrap()).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The tables of the schema.
    pub(crate) fn tables(&self) -> Vec<String> {
        let mut tables = tables(&self.witness);
        tables.retain(|table| !table.starts_with("sqlite_"));
        tables
    }

    /// Every value that is kept as a hash or encrypted, as SQL writes bytes in a text.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let mut hidden = Vec::new();
        for table in tables(&self.witness) {
            let mut rows = self.witness.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query(()).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).map(|at| row.get::<_, Sql>(at).unwrap());
                hidden.extend(values.filter_map(|value| match value {
                    Sql::Blob(bytes) if bytes.len() >= 16 => {
                        let text = String::with_capacity(2 * bytes.len());
                        Some(bytes.iter().fold(text, |text, byte| text + &format!("{byte:02X}")))
                    }
                    Sql::Text(text) if text.starts_with("$argon2") => Some(text),
                    _ => None,
                }));
            }
        }
        hidden
    }

    /// Every row of every table but what is only about having been seen, and the names of all archives.
    pub(crate) fn content(&self) -> Content {
        let version: i64 = self.witness.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap();
        let mut last = self.last.borrow_mut();
        // Nothing was committed since the last look: https://www.sqlite.org/pragma.html#pragma_data_version
        if last.as_ref().is_none_or(|(seen, _)| *seen != version) {
            *last = Some((version, Rc::new(rows(&self.witness))));
        }
        let archives = fs::read_dir(self.folder.path().join("objects")).unwrap();
        let mut archives: Vec<_> =
            archives.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        archives.sort();
        Content { rows: Rc::clone(&last.as_ref().unwrap().1), archives }
    }
}

/// The names of all tables, SQLite's own included.
fn tables(db: &Connection) -> Vec<String> {
    let mut tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").unwrap();
    tables.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn rows(db: &Connection) -> Vec<String> {
    let tables = tables(db);
    assert!(tables.iter().any(|table| table == "runs"), "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let mut rows = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names: Vec<String> = rows.column_names().into_iter().map(str::to_owned).collect();
        let lines = rows.query_map([], |row| {
            let mut line = format!("{table}:");
            for (at, name) in names.iter().enumerate() {
                if !LAST_SEEN.contains(&name.as_str()) {
                    let value: Sql = row.get(at)?;
                    line = format!("{line} {name}={value:?}");
                }
            }
            Ok(line)
        });
        found.extend(lines.unwrap().map(Result::unwrap));
    }
    found.sort();
    found
}

fn service(app: &App) -> Router {
    router(HttpState::new(app.subjects(), HttpConfig::default(), HttpMetrics::new("test").unwrap()))
}

/// An app whose database and objects lie in `folder`.
pub(crate) async fn open(folder: &Path, bootstrap: Option<&str>) -> App {
    let settings = Settings {
        db_path: folder.join("minitower.db"),
        teams: minitower_teams::Settings {
            bootstrap_token: bootstrap.and_then(Secret::new),
            registration_token: Secret::new(REGISTRATION),
            operator_token: Secret::new(OPERATOR),
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
            retention: minitower_runs::Retention::default(),
            lease_ttl: Duration::from_hours(1),
            expiry_check_interval: Duration::from_secs(10),
            runner_prune_after: None,
            max_artifact_bytes: 64 * 1024,
        },
        outside: Outside::default(),
    };
    App::open(settings, Clock::start(), CancellationToken::new(), |reason| panic!("{reason}")).await.unwrap()
}

fn raise_ids(folder: &Path) {
    let db = Connection::open(folder.join("minitower.db")).unwrap();
    for table in [
        "teams",
        "team_tokens",
        "registration_tokens",
        "apps",
        "runners",
        "runs",
        "run_attempts",
        "notifications",
        "notification_deliveries",
    ] {
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table]).unwrap();
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, FIRST_ID)).unwrap();
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

/// Makes all things. Everything of acme's has a name with `acme` in it, so that it is found where it does not belong.
async fn furnish(bed: &Bed) -> Things {
    let mut things = Things::default();
    let slug = json!({"slug": "acme", "name": "acme", "password": PASSWORD});
    things.void_registration =
        text(&bed.ask("/bootstrap/team", BOOTSTRAP, slug.clone()).await, "registration_token");
    let made = bed.ask("/bootstrap/team", BOOTSTRAP, slug).await;
    (things.acme_admin, things.acme_registration) = (text(&made, "token"), text(&made, "registration_token"));
    let other = json!({"slug": "umbrella", "name": "Umbrella", "password": PASSWORD});
    let made = bed.ask("/teams/signup", "", other).await;
    (things.other_admin, things.other_registration) =
        (text(&made, "token"), text(&made, "registration_token"));
    let member = json!({"role": "member"});
    things.acme_member = text(&bed.ask("/tokens", &things.acme_admin, member.clone()).await, "token");
    things.other_member = text(&bed.ask("/tokens", &things.other_admin, member).await, "token");
    let made = bed.ask("/tokens", &things.acme_admin, json!({"name": "acme-spare"})).await;
    things.token_id = made["token_id"].as_i64().unwrap();
    let made = bed.ask("/registration-tokens", &things.acme_admin, json!({})).await;
    things.registration_id = made["id"].as_i64().unwrap();
    let target = json!({"kind": "webhook", "url": "https://1.1.1.1/acme"});
    let notification = json!({"name": "acme-notification", "on": ["failed"], "target": target});
    let made = bed.ask("/notifications", &things.acme_admin, notification).await;
    things.notification_id = made["id"].as_i64().unwrap();
    let test = format!("/notifications/{}/test", things.notification_id);
    things.delivery_id = bed.ask(&test, &things.acme_admin, json!({})).await["id"].as_i64().unwrap();
    bed.ask("/admin/pools/acme/acme-pool/token", OPERATOR, json!({"team": "acme"})).await;

    let register = async |token: &str, name: &str| {
        text(&bed.ask("/runners/register", token, json!({"name": name})).await, "token")
    };
    things.platform_runner = register(REGISTRATION, "platform-runner").await;
    things.holder = register(&things.acme_registration, "acme-holder").await;
    things.void_runner = register(&things.acme_registration, "acme-runner").await;
    things.acme_runner = register(&things.acme_registration, "acme-runner").await;
    things.other_runner = register(&things.other_registration, "umbrella-runner").await;

    bed.ask("/apps", &things.acme_admin, json!({"slug": "acme-app", "description": "acme-secret"})).await;
    let upload = Request::post("/api/v1/apps/acme-app/versions")
        .header(AUTHORIZATION, format!("Bearer {}", things.acme_admin))
        .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(upload().into());
    let answer = bed.send(upload.unwrap()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let run = json!({"input": {"acme": "acme-secret"}});
    things.run =
        bed.ask("/apps/acme-app/runs", &things.acme_admin, run.clone()).await["run_id"].as_i64().unwrap();
    let poll = json!({"instance_id": INSTANCE});
    let lease = bed.ask("/runs/lease", &things.holder, poll.clone()).await;
    things.void_attempt = text(&lease, "api_token");
    bed.ask("/runners/sign-off", &things.holder, json!({})).await;
    let lease = bed.ask("/runs/lease", &things.holder, poll).await;
    assert_eq!(lease["run_id"], things.run);
    things.lease_token = text(&lease, "lease_token");
    things.acme_attempt = text(&lease, "api_token");
    let artifact = Request::put(format!("/api/v1/runs/{}/artifacts/{ARTIFACT}", things.run))
        .header(AUTHORIZATION, format!("Bearer {}", things.holder))
        .header("x-lease-token", &things.lease_token);
    let answer = bed.send(artifact.body("acme-secret".into()).unwrap()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    for (call, body) in [
        ("start", json!({})),
        (
            "logs",
            json!({"logs": [{"seq": 1, "stream": "stdout", "line": "acme-secret", "logged_at": "2026-01-02T03:04:05Z"}]}),
        ),
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/runs/{}/{call}", things.run))
            .header(AUTHORIZATION, format!("Bearer {}", things.holder))
            .header("x-lease-token", &things.lease_token);
        let answer = bed.send(request.body(body.to_string().into()).unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let secret = Request::put("/api/v1/environments/acme-zone/secrets/ACME_KEY")
        .header(AUTHORIZATION, format!("Bearer {}", things.acme_admin))
        .body(json!({"value": "acme-secret"}).to_string().into());
    let answer = bed.send(secret.unwrap()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    // Another one waits in the queue.
    bed.ask("/apps/acme-app/runs", &things.acme_admin, run).await;
    things
}

/// A small archive whose runs get an API token, as a form.
pub(crate) fn upload() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let towerfile = "[app]\nname = \"acme-app\"\nscript = \"main.py\"\napi = true\n";
    for (path, content) in [("Towerfile", towerfile), ("main.py", "print('acme-secret')\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let mut form = Vec::new();
    write!(form, "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"artifact\"; filename=\"a\"\r\n\r\n")
        .unwrap();
    form.extend_from_slice(&archive);
    write!(form, "\r\n--{BOUNDARY}--\r\n").unwrap();
    form
}
