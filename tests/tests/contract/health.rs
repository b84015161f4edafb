//! Health, version and metrics.

use minitower_tests::{Artifact, Runner, Server, shape, wait};
use serde_json::json;

#[test]
fn health_and_readiness_are_public() {
    let server = Server::start();
    assert_eq!(server.http().get("/health").send().expect_json(200), json!({"status": "ok"}));
    server.http().get("/ready").send().expect_json(200);
}

#[test]
fn the_version_is_public() {
    let server = Server::start();
    let version = server.http().get("/version").send().expect_json(200);
    shape::fields(&version, &["version", "commit", "sqlite_version"], &[]);
}

#[test]
fn auth_options_say_what_is_on() {
    let server = Server::start();
    let options = server.http().get("/api/v1/auth/options").send().expect_json(200);
    assert_eq!(options, json!({"signup_enabled": true, "bootstrap_enabled": true}));

    let server = Server::builder().without("MINITOWER_BOOTSTRAP_TOKEN").start();
    let options = server.http().get("/api/v1/auth/options").send().expect_json(200);
    assert_eq!(options, json!({"signup_enabled": true, "bootstrap_enabled": false}));

    let server = Server::builder().env("MINITOWER_PUBLIC_SIGNUP_ENABLED", "false").start();
    let options = server.http().get("/api/v1/auth/options").send().expect_json(200);
    assert_eq!(options, json!({"signup_enabled": false, "bootstrap_enabled": true}));
}

/// The samples of a metric, without their comments.
fn samples(server: &Server, name: &str) -> Vec<String> {
    let text = server.http().get("/metrics").send().expect(200).text();
    let own = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    text.lines().filter(own).map(str::to_owned).collect()
}

/// Whether a metric has a sample with all these labels and this value.
fn has(server: &Server, name: &str, labels: &[(&str, &str)], value: &str) -> bool {
    samples(server, name).iter().any(|sample| {
        labels.iter().all(|(key, text)| sample.contains(&format!("{key}=\"{text}\"")))
            && sample.ends_with(&format!(" {value}"))
    })
}

#[test]
fn http_metrics_are_told_by_route_template() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    team.get("/apps/hello").send().expect(200);
    server.http().get("/no/such/path").send();
    let text = server.http().get("/metrics").send().expect(200);
    assert!(text.header("content-type").unwrap_or_default().starts_with("text/plain"));
    for name in [
        "minitower_http_requests_total",
        "minitower_http_request_duration_seconds_count",
        "minitower_http_request_size_bytes_count",
        "minitower_http_response_size_bytes_count",
    ] {
        let samples = samples(&server, name);
        assert!(!samples.is_empty(), "{name} is missing");
        assert!(!samples.iter().any(|sample| sample.contains("/apps/hello")), "raw paths in {name}");
        assert!(!samples.iter().any(|sample| sample.contains("/no/such")), "raw paths in {name}");
    }
}

#[test]
fn run_metrics_follow_a_run() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    team.version("hello", &Artifact::python("print()"), "main.py");
    let labels = [("team", "acme"), ("app", "hello")];
    let queued = [("team", "acme"), ("app", "hello"), ("environment", "default")];
    team.run_id("hello");
    team.run_id("hello");
    let eventually = |name: &str, labels: &[(&str, &str)], value: &str| {
        wait::find(wait::SOON, || has(&server, name, labels, value).then_some(()))
            .unwrap_or_else(|| panic!("{name} {labels:?} is not {value}: {:?}", samples(&server, name)));
    };
    eventually("minitower_runs_created_total", &labels, "2");
    eventually("minitower_runs_pending", &queued, "2");

    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    eventually("minitower_runners_registered_total", &[("environment", "default")], "1");
    eventually("minitower_runs_leased_total", &[("environment", "default")], "1");
    eventually("minitower_runs_pending", &queued, "1");
    eventually("minitower_runs_active", &queued, "1");
    eventually("minitower_runners_online", &[("environment", "default")], "1");
    eventually("minitower_runners_busy", &[("environment", "default")], "1");
    eventually("minitower_run_queue_wait_seconds_count", &labels, "1");

    lease.complete().expect(200);
    let completed = [("team", "acme"), ("app", "hello"), ("status", "completed")];
    eventually("minitower_runs_completed_total", &completed, "1");
    eventually("minitower_run_execution_seconds_count", &completed, "1");
    eventually("minitower_run_total_seconds_count", &completed, "1");
    eventually("minitower_runs_active", &queued, "0");

    let second = shape::int(&team.get("/runs?status=queued").send().expect_json(200)["runs"][0], "run_id");
    team.cancel(second);
    let cancelled = [("team", "acme"), ("app", "hello"), ("status", "cancelled")];
    eventually("minitower_runs_completed_total", &cancelled, "1");
    eventually("minitower_runs_pending", &queued, "0");
    for name in ["minitower_build_info", "minitower_db_size_bytes", "minitower_db_write_batch_size_count"] {
        assert!(!samples(&server, name).is_empty(), "{name} is missing");
    }
}
