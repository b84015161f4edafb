//! Getting registered, or saying why not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use minitower_test_plane::REGISTRATION_TOKEN;
use nix::sys::signal::Signal;

use crate::support::{ControlPlane, Runner};

const SOON: Duration = Duration::from_secs(10);

/// The lines of a termination log.
fn last_words(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_runner_registers_with_its_pool_and_again_when_that_changes() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    for (pool, registrations) in
        [(None, 1), (Some("ns/a"), 2), (Some("ns/a"), 2), (Some("ns/b"), 3), (None, 4)]
    {
        let polls = server.seen().polls().len();
        // Without Pythons, so that nothing else changes.
        let variables = [("PATH", "/nowhere"), ("MINITOWER_RUNNER_POOL", pool.unwrap_or_default())];
        let mut runner = Runner::with(&server, data.path(), &variables);
        server.wait_for("a poll", |seen| seen.polls().len() > polls).await;
        let seen = server.seen();
        assert_eq!(seen.registrations().len(), registrations, "pool {pool:?}");
        assert_eq!(seen.registrations().last().unwrap().pool.as_deref(), pool);
        runner.signal(Signal::SIGTERM);
        runner.ends(SOON).await;
    }
}

/// A program that answers as a Python of that version does, or not at all.
fn write_python(path: &Path, version: Option<&str>) {
    let script = match version {
        Some(version) => format!(
            "#!/bin/sh\necho '{{\"executable\":\"/bin/sh\",\"prefix\":\"/usr\",\"version\":\"{version}\",\"identity\":\"\",\
             \"purelib\":\"lib\",\"platlib\":\"lib\",\"pip\":null,\"pip_home\":null,\"ensurepip\":true}}'\n"
        ),
        None => "#!/bin/sh\nexec /bin/sleep 3600\n".to_owned(),
    };
    let plain = path.with_extension("txt");
    fs::write(&plain, script).unwrap();
    // By another process: what this one holds open for writing, another test's child may hold too, and then it cannot be executed.
    let install = std::process::Command::new("install").args(["-m", "755"]).args([&plain, path]).status();
    assert!(install.unwrap().success());
}

#[tokio::test]
async fn a_runner_tells_its_pythons_and_again_when_they_have_changed() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let bin = data.path().join("bin");
    fs::create_dir(&bin).unwrap();
    write_python(&bin.join("python3.9"), Some("3.9.2"));
    let start = |token: &str, downloads: &str| {
        let variables = [
            ("PATH", bin.to_str().unwrap()),
            ("MINITOWER_PYTHON_BIN", "python3.9"),
            ("MINITOWER_PYTHON_DOWNLOADS", downloads),
            ("MINITOWER_UV", "auto"),
            ("MINITOWER_REGISTRATION_TOKEN", token),
        ];
        Runner::with(&server, data.path(), &variables)
    };
    let told = async |mut runner: Runner| {
        let polls = server.seen().polls().len();
        server.wait_for("a poll", |seen| seen.polls().len() > polls).await;
        runner.signal(Signal::SIGTERM);
        assert!(runner.ends(SOON).await.success());
        let registrations = server.seen().registrations();
        let labels = registrations.last().unwrap().labels.clone();
        (registrations.len(), labels.into_iter().collect::<Vec<_>>())
    };
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let first = (1, vec![label("python", "3.9.2")]);
    assert_eq!(told(start(REGISTRATION_TOKEN, "false")).await, first);
    assert_eq!(told(start(REGISTRATION_TOKEN, "false")).await, first, "nothing has changed");

    write_python(&bin.join("python3.12"), Some("3.12.9"));
    assert_eq!(told(start("refused by now", "false")).await, first, "the kept token is good enough");
    let second = (2, vec![label("python", "3.12.9,3.9.2")]);
    assert_eq!(told(start(REGISTRATION_TOKEN, "false")).await, second);
    let third = (3, vec![label("python", "3.12.9,3.9.2"), label("python-downloads", "true")]);
    assert_eq!(told(start(REGISTRATION_TOKEN, "true")).await, third);

    write_python(&bin.join("python3.12"), None);
    assert_eq!(told(start(REGISTRATION_TOKEN, "true")).await, third, "one does not answer in time");
    fs::remove_dir_all(&bin).unwrap();
    assert_eq!(told(start(REGISTRATION_TOKEN, "true")).await, third, "no Python answers");
    fs::remove_file(data.path().join("tested/token")).unwrap();
    assert_eq!(told(start(REGISTRATION_TOKEN, "true")).await, (4, vec![label("python-downloads", "true")]));
}

#[tokio::test]
async fn the_termination_log_begins_with_the_id_that_polls_carry() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("termination-log");
    fs::write(&log, "of-a-former-process\nit broke\n").unwrap();
    let variables = [("MINITOWER_TERMINATION_LOG", log.to_str().unwrap())];
    let mut runner = Runner::with(&server, data.path(), &variables);
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    let instance = server.seen().polls()[0].instance_id.clone().unwrap();
    assert_eq!(last_words(&log), [instance.as_str()]);
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(SOON).await.success());
    assert_eq!(last_words(&log), [instance.as_str()], "an ordinary end is no error");
}

#[tokio::test]
async fn a_termination_log_that_cannot_be_written_ends_no_runner() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let variables = [("MINITOWER_TERMINATION_LOG", "/does/not/exist")];
    let runner = Runner::with(&server, data.path(), &variables);
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    assert!(runner.log().contains("MINITOWER_TERMINATION_LOG: cannot write to /does/not/exist"));
}

#[tokio::test]
async fn a_refused_registration_token_ends_the_runner_with_the_reason_where_it_is_seen() {
    let server = ControlPlane::start();
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
        "the control plane refuses to register this runner: the token is missing, unknown, no longer valid, or not of the kind this \
         call needs (401 unauthorized); \
         MINITOWER_RUNNER_REGISTRATION_TOKEN (or the file that MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE names) must hold the \
         platform's registration token, its team's or its pool's"
    );
    assert!(runner.log().contains(&format!("minitower-runner: {}", words[1])), "{}", runner.log());
    assert!(!runner.log().contains("a-secret-that-is-wrong"));
}

#[tokio::test]
async fn a_name_that_another_holds_ends_the_runner() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("termination-log");
    server.take_the_name();
    let variables = [("MINITOWER_TERMINATION_LOG", log.to_str().unwrap())];
    let mut runner = Runner::with(&server, data.path(), &variables);
    assert_eq!(runner.ends(SOON).await.code(), Some(1));
    let words = last_words(&log);
    assert_eq!(
        words[1],
        "the control plane refuses to register this runner: the runner name \"tested\" is held by a runner of another team: \
         choose another name (409 conflict); set another MINITOWER_RUNNER_NAME; or, if the other runner is gone for good, have whoever \
         it belongs to forget it (`DELETE /api/v1/admin/runners/NAME`), and start this one again"
    );
}

#[tokio::test]
async fn a_wrong_configuration_is_the_second_line_behind_an_empty_one() {
    let server = ControlPlane::start();
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
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let down = server.down();
    let mut runner = Runner::start(&server, data.path());
    crate::support::until(SOON, "two attempts", || runner.log().matches("cannot register yet").count() > 1)
        .await;
    server.plane.lift(down);
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(SOON).await.success());
}
