//! A team and what it does with its token.

use std::time::Duration;

use serde_json::{Value, json};

use crate::artifact::multipart;
use crate::http::Request;
use crate::shape::{int, text};
use crate::{Artifact, Http, Response, wait};

/// The states a run never leaves.
pub const TERMINAL: [&str; 4] = ["completed", "failed", "cancelled", "dead"];

/// A team, seen through one of its tokens.
#[derive(Debug, Clone)]
pub struct Team {
    http: Http,
    /// The team's id.
    pub id: i64,
    /// Its slug.
    pub slug: String,
    /// The token in use.
    pub token: String,
    /// The team's own registration token, where known.
    pub registration_token: String,
}

impl Team {
    /// A team whose token is known.
    pub fn new(http: &Http, id: i64, slug: &str, token: &str) -> Self {
        Self {
            http: http.clone(),
            id,
            slug: slug.to_owned(),
            token: token.to_owned(),
            registration_token: String::new(),
        }
    }

    /// The same with its registration token.
    #[must_use]
    pub fn with_registration_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.registration_token);
        self
    }

    /// The same team through a new token of the role `member`.
    #[must_use]
    pub fn member(&self) -> Self {
        let made = self.post("/tokens").json(json!({"role": "member"})).send().expect_json(201);
        Self { token: text(&made, "token"), ..self.clone() }
    }

    /// A request with the team's token, below `/api/v1`.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.http.request(method, &format!("/api/v1{path}")).bearer(&self.token)
    }

    /// A `GET` with the team's token.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A `POST` with the team's token.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// A `DELETE` with the team's token.
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    /// Makes an app without a version.
    pub fn app(&self, slug: &str) -> Value {
        self.post("/apps").json(json!({"slug": slug})).send().expect_json(201)
    }

    /// Sends an upload.
    pub fn upload(&self, app: &str, file: Option<&[u8]>, fields: &[(&str, &str)]) -> Response {
        let (kind, body) = multipart(file, fields);
        self.post(&format!("/apps/{app}/versions")).header("Content-Type", &kind).body(body).send()
    }

    /// Uploads an archive with an entrypoint and yields the version.
    pub fn version(&self, app: &str, file: &[u8], entrypoint: &str) -> Value {
        self.upload(app, Some(file), &[("entrypoint", entrypoint)]).expect_json(201)
    }

    /// Makes an app with one Python version.
    pub fn python_app(&self, slug: &str, code: &str) {
        self.app(slug);
        self.version(slug, &Artifact::python(code), "main.py");
    }

    /// Creates a run.
    pub fn run(&self, app: &str, body: Value) -> Value {
        self.post(&format!("/apps/{app}/runs")).json(body).send().expect_json(201)
    }

    /// Creates a run with nothing asked for, and yields its id.
    pub fn run_id(&self, app: &str) -> i64 {
        int(&self.run(app, json!({})), "run_id")
    }

    /// Reads a run.
    pub fn read(&self, run: i64) -> Value {
        self.get(&format!("/runs/{run}")).send().expect_json(200)
    }

    /// A run's status.
    pub fn status(&self, run: i64) -> String {
        text(&self.read(run), "status")
    }

    /// Waits until a run has a status.
    #[track_caller]
    pub fn wait_status(&self, run: i64, status: &str) -> Value {
        self.wait_for(run, &format!("is {status}"), wait::SOON, |run| run["status"] == status)
    }

    /// Waits until a run has ended.
    #[track_caller]
    pub fn wait_end(&self, run: i64) -> Value {
        self.wait_for(run, "ends", Duration::from_mins(1), |run| {
            TERMINAL.contains(&run["status"].as_str().unwrap_or_default())
        })
    }

    /// Waits until a run is as wanted, and says how it was last when that does not happen.
    #[track_caller]
    pub fn wait_for(&self, run: i64, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait::find(limit, || {
            last = self.read(run);
            wanted(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| {
            panic!("waited {limit:?} until run {run} {what}; it is {last}; its log:\n{}", self.log_text(run))
        })
    }

    /// The log lines of a run's newest attempt, all pages.
    pub fn logs(&self, run: i64) -> Vec<Value> {
        let mut lines: Vec<Value> = Vec::new();
        loop {
            let after = lines.last().map_or(0, |line| int(line, "seq"));
            let page = self.get(&format!("/runs/{run}/logs?after_seq={after}")).send().expect_json(200);
            let page = page["logs"].as_array().expect("a list of lines").clone();
            if page.is_empty() {
                return lines;
            }
            lines.extend(page);
        }
    }

    /// The lines of one stream.
    pub fn stream(&self, run: i64, stream: &str) -> Vec<String> {
        let lines = self.logs(run);
        lines.iter().filter(|line| line["stream"] == stream).map(|line| text(line, "line")).collect()
    }

    /// The whole log for a person.
    pub fn log_text(&self, run: i64) -> String {
        let lines = self.logs(run);
        let lines: Vec<String> =
            lines.iter().map(|line| format!("{} {}", text(line, "stream"), text(line, "line"))).collect();
        lines.join("\n")
    }

    /// Waits until a run's log has a line on standard output.
    #[track_caller]
    pub fn wait_line(&self, run: i64, line: &str) {
        wait::until(&format!("the line {line:?} of run {run}"), wait::SOON, || {
            // Looked at first: the last lines of a log come together with the end.
            let ended = TERMINAL.contains(&self.status(run).as_str());
            let found = self.stream(run, "stdout").iter().any(|seen| seen == line);
            assert!(found || !ended, "run {run} ended without {line:?}:\n{}", self.log_text(run));
            found.then_some(())
        });
    }

    /// Cancels a run.
    pub fn cancel(&self, run: i64) -> Value {
        self.post(&format!("/runs/{run}/cancel")).send().expect_json(200)
    }

    /// A run's attempts, oldest first.
    pub fn attempts(&self, run: i64) -> Vec<Value> {
        let answer = self.get(&format!("/runs/{run}/attempts")).send().expect_json(200);
        answer["attempts"].as_array().expect("a list of attempts").clone()
    }

    /// How a runner looks to this team's administrators.
    pub fn runner(&self, name: &str) -> Option<Value> {
        let answer = self.get("/admin/runners").send().expect_json(200);
        answer["runners"].as_array().expect("a list of runners").iter().find(|it| it["name"] == name).cloned()
    }
}
