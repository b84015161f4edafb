//! Getting registered, or saying why not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{ControlPlane, Runner};

const SOON: Duration = Duration::from_secs(10);

/// The lines of a termination log.
fn last_words(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_runner_registers_with_its_pool_and_again_when_that_changes() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    for (pool, registrations) in
        [(None, 1), (Some("ns/a"), 2), (Some("ns/a"), 2), (Some("ns/b"), 3), (None, 4)]
    {
        let polls = server.change(|state| state.polls.len());
        let variables = pool.map(|pool| ("MINITOWER_RUNNER_POOL", pool));
        let mut runner = Runner::with(&server, data.path(), variables.as_slice());
        server.wait_for("a poll", |state| state.polls.len() > polls).await;
        server.change(|state| {
            assert_eq!(state.registrations.len(), registrations, "pool {pool:?}");
            assert_eq!(state.registrations.last().unwrap().pool.as_deref(), pool);
        });
        runner.signal(Signal::SIGTERM);
        runner.ends(SOON).await;
    }
}

#[tokio::test]
async fn the_termination_log_begins_with_the_id_that_polls_carry() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("termination-log");
    fs::write(&log, "of-a-former-process\nit broke\n").unwrap();
    let variables = [("MINITOWER_TERMINATION_LOG", log.to_str().unwrap())];
    let mut runner = Runner::with(&server, data.path(), &variables);
    server.wait_for("a poll", |state| !state.polls.is_empty()).await;
    let instance = server.change(|state| state.polls[0].instance_id.clone()).unwrap();
    assert_eq!(last_words(&log), [instance.as_str()]);
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(SOON).await.success());
    assert_eq!(last_words(&log), [instance.as_str()], "an ordinary end is no error");
}

#[tokio::test]
async fn a_termination_log_that_cannot_be_written_ends_no_runner() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    let variables = [("MINITOWER_TERMINATION_LOG", "/does/not/exist")];
    let runner = Runner::with(&server, data.path(), &variables);
    server.wait_for("a poll", |state| !state.polls.is_empty()).await;
    assert!(runner.log().contains("MINITOWER_TERMINATION_LOG: cannot write to /does/not/exist"));
}

#[tokio::test]
async fn a_refused_registration_token_ends_the_runner_with_the_reason_where_it_is_seen() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("termination-log");
    let variables = [
        ("MINITOWER_TERMINATION_LOG", log.to_str().unwrap()),
        ("MINITOWER_REGISTRATION_TOKEN", "a-secret-that-is-wrong"),
    ];
    let mut runner = Runner::with(&server, data.path(), &variables);
    assert_eq!(runner.ends(SOON).await.code(), Some(1));
    let words = last_words(&log);
    assert_eq!(words.len(), 2, "{words:?}");
    assert_eq!(
        words[1],
        "the control plane does not register this runner: the test says 401 Unauthorized (401 test); \
         MINITOWER_RUNNER_REGISTRATION_TOKEN (or the file that MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE names) must hold the \
         platform's registration token or a team's"
    );
    assert!(runner.log().contains(&format!("minitower-runner: {}", words[1])), "{}", runner.log());
    assert!(!runner.log().contains("a-secret-that-is-wrong"));
}

#[tokio::test]
async fn a_name_that_another_holds_ends_the_runner() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("termination-log");
    server.change(|state| state.name_taken = true);
    let variables = [("MINITOWER_TERMINATION_LOG", log.to_str().unwrap())];
    let mut runner = Runner::with(&server, data.path(), &variables);
    assert_eq!(runner.ends(SOON).await.code(), Some(1));
    let words = last_words(&log);
    assert!(words[1].ends_with("the test says 409 Conflict (409 test)"), "{words:?}");
}

#[tokio::test]
async fn a_wrong_configuration_is_the_second_line_behind_an_empty_one() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("termination-log");
    let variables =
        [("MINITOWER_TERMINATION_LOG", log.to_str().unwrap()), ("MINITOWER_POLL_INTERVAL", "soon")];
    let mut runner = Runner::with(&server, data.path(), &variables);
    assert_eq!(runner.ends(SOON).await.code(), Some(1));
    let words = last_words(&log);
    assert!(words[0].is_empty() && words[1].starts_with("MINITOWER_POLL_INTERVAL: "), "{words:?}");
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_until_it_is_back() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    server.change(|state| state.down = true);
    let mut runner = Runner::start(&server, data.path());
    crate::support::until(SOON, "two attempts", || runner.log().matches("cannot register yet").count() > 1)
        .await;
    server.change(|state| state.down = false);
    server.wait_for("a poll", |state| !state.polls.is_empty()).await;
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(SOON).await.success());
}
