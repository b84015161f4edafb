//! The lease protocol over HTTP: each test is named by the promise it proves. The runners are played by hand.

mod cancel;
mod expiry;
mod fences;
mod instances;
mod lease;
mod polls;
mod queue;
mod restart;
mod results;
mod retries;

use minitower_tests::{Artifact, Runner, Server, Team};
use serde_json::Value;

/// The app every test runs.
const APP: &str = "job";

/// A control plane with the team `acme` and one app with one version.
struct Bed {
    team: Team,
    server: Server,
}

impl Bed {
    fn start() -> Self {
        Self::on(Server::start())
    }

    /// With leases as long as given, in Go's form.
    fn with_lease_ttl(ttl: &str) -> Self {
        Self::on(Server::with_lease_ttl(ttl))
    }

    fn on(server: Server) -> Self {
        let team = server.bootstrap();
        team.app(APP);
        team.version(APP, &Artifact::python("print('never run')"), "main.py");
        Self { team, server }
    }

    /// A runner of the platform.
    fn runner(&self, name: &str) -> Runner {
        Runner::register(&self.server, name)
    }

    /// A runner registered with the team's own token.
    fn team_runner(&self, name: &str) -> Runner {
        let body = serde_json::json!({"name": name});
        Runner::register_with(&self.server, &self.team.registration_token, body)
    }

    /// Queues a run and yields its id.
    fn run(&self) -> i64 {
        self.team.run_id(APP)
    }

    /// The statuses of a run's attempts, oldest first.
    fn attempt_statuses(&self, run: i64) -> Vec<String> {
        let text = |attempt: &Value| attempt["status"].as_str().unwrap_or_default().to_owned();
        self.team.attempts(run).iter().map(text).collect()
    }
}
