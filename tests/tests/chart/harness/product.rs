//! The control plane of a release, as clients inside the cluster see it.

use std::time::Duration;

use minitower_tests::shape::{int, text};
use minitower_tests::team::TERMINAL;
use minitower_tests::{Http, Team, wait};
use serde_json::{Value, json};

use super::forward::reach;
use super::{CLAIM, Release, kubectl};

const JOB: &str = include_str!("../../e2e/harness/job.py");
/// The team's slug; `helm test` takes the same.
const SLUG: &str = "main";
/// Pause between two questions about many runs.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The control plane of a release.
#[derive(Debug)]
pub(crate) struct Product {
    /// A client of its Service.
    pub(crate) http: Http,
    /// The team.
    pub(crate) team: Team,
}

impl Product {
    /// Waits until it is ready, and makes the team or takes it over.
    pub(crate) fn find(release: &Release) -> Self {
        let http = reach(&release.namespace, CLAIM, 8080);
        wait_ready(&http);
        let path = "go-template={{index .data \"bootstrap-token\" | base64decode}}";
        let bootstrap = release.kubectl(&["get", "secret", CLAIM, "-o", path]);
        let request = http.post("/api/v1/bootstrap/team").bearer(&bootstrap);
        let made = request.json(json!({"slug": SLUG, "name": SLUG})).send();
        assert!([200, 201].contains(&made.status), "bootstrap: {}", made.text());
        let made = made.json();
        let team = Team::new(&http, int(&made, "team_id"), SLUG, &text(&made, "token"));
        Self { team: team.with_registration_token(&text(&made, "registration_token")), http }
    }

    /// The address of its Service in the cluster.
    pub(crate) fn address(release: &Release) -> String {
        kubectl::json(&["get", "service", CLAIM, "-n", &release.namespace])["spec"]["clusterIP"]
            .as_str()
            .expect("a Service has an address")
            .to_owned()
    }

    /// Makes the app whose runs the witness sees.
    pub(crate) fn witnessed_app(&self, app: &str) {
        self.team.python_app(app, JOB);
    }

    /// Runs code in an environment to its end, and yields the lines of its standard output.
    #[track_caller]
    pub(crate) fn python(&self, app: &str, environment: &str, code: &str, limit: Duration) -> Vec<String> {
        self.team.python_app(app, code);
        self.complete(app, environment, limit)
    }

    /// Runs an app to its end, and yields the lines of its standard output.
    #[track_caller]
    pub(crate) fn complete(&self, app: &str, environment: &str, limit: Duration) -> Vec<String> {
        let run = int(&self.team.run(app, json!({"environment": environment})), "run_id");
        let ended = |run: &Value| TERMINAL.contains(&run["status"].as_str().unwrap_or_default());
        let run_end = self.team.wait_for(run, "ends", limit, ended);
        assert_eq!(run_end["status"], "completed", "{run_end}\n{}", self.team.log_text(run));
        self.team.stream(run, "stdout")
    }

    /// Every run of an app, newest first.
    pub(crate) fn runs(&self, app: &str) -> Vec<Value> {
        let mut runs: Vec<Value> = Vec::new();
        loop {
            let before =
                runs.last().map_or_else(String::new, |run| format!("&before={}", int(run, "run_id")));
            let path = format!("/runs?app={app}&limit=100{before}");
            let page = self.team.get(&path).send().expect_json(200);
            let page = page["runs"].as_array().expect("a list of runs").clone();
            if page.is_empty() {
                return runs;
            }
            runs.extend(page);
        }
    }

    /// How many of its runs have completed.
    pub(crate) fn completed(&self, app: &str) -> usize {
        self.runs(app).iter().filter(|run| run["status"] == "completed").count()
    }

    /// Waits until all its runs have ended.
    #[track_caller]
    pub(crate) fn wait_all_ended(&self, app: &str, limit: Duration) {
        let deadline = std::time::Instant::now() + limit;
        loop {
            let mut open = self.runs(app);
            open.retain(|run| !TERMINAL.contains(&run["status"].as_str().unwrap_or_default()));
            if open.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "waited {limit:?} for the end of {open:#?}");
            std::thread::sleep(ASK_EVERY);
        }
    }
}

/// Waits until the control plane answers that it is ready.
#[track_caller]
pub(crate) fn wait_ready(http: &Http) {
    wait::until("the control plane is ready", Duration::from_secs(90), || {
        http.get("/ready").try_send().is_ok_and(|answer| answer.status == 200).then_some(())
    });
}
