//! What a run is given and what it may take: its archive, its time, its folders, its artifacts.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use minitower_client::wire::runner::{ResultReason, ResultStatus, RunResult};
use minitower_test_plane::Answer;
use rstest::rstest;
use serde_json::json;

use crate::support::{ControlPlane, Job, Runner};

/// Downloads of the archive.
const ARCHIVE: &str = "GET /runs/*/artifact";
/// Uploads of artifacts.
const UPLOAD: &str = "PUT /runs/*/artifacts/**";

/// Other bytes than the digest says.
fn other_bytes() -> Answer {
    Answer::change(|answer| answer.body.push(0))
}

struct Ran {
    server: ControlPlane,
    result: RunResult,
    log: String,
}

/// Runs one job to its end, after `prepare`.
async fn run(job: Job, prepare: impl FnOnce(&ControlPlane)) -> Ran {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    prepare(&server);
    server.submit(job);
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    let log = server.seen().log();
    Ran { server, result, log }
}

fn downloads(ran: &Ran) -> usize {
    ran.server.seen().downloads()
}

#[rstest]
#[case(404)]
#[case(500)]
#[tokio::test]
async fn an_archive_that_stays_away_ends_the_run_in_setup(#[case] status: u16) {
    let ran = run(Job::script("main.sh", "echo ran"), |server| {
        server.plane.times(20, ARCHIVE, Answer::status(status));
    })
    .await;
    assert_eq!((ran.result.status, ran.result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    assert_eq!(downloads(&ran), 6);
    let last = ran.log.lines().last().unwrap();
    let why = format!("setup failed: cannot download the artifact: the test answers {status}");
    assert!(last.contains(&why), "{}", ran.log);
    assert!(!ran.log.contains("ran\n"));
}

#[tokio::test]
async fn trouble_with_the_archive_that_passes_costs_nothing() {
    let trouble = [Answer::status(503), Answer::status(404), other_bytes()];
    let ran = run(Job::script("main.sh", "echo ran"), |server| {
        for answer in trouble {
            server.plane.once(ARCHIVE, answer);
        }
    })
    .await;
    assert_eq!(ran.result.status, ResultStatus::Completed);
    assert_eq!(downloads(&ran), 4);
    assert!(ran.log.contains("ran\n"));
}

#[tokio::test]
async fn a_damaged_archive_ends_the_run_after_a_second_download() {
    let ran = run(Job::script("main.sh", "echo ran"), |server| {
        server.plane.times(20, ARCHIVE, other_bytes());
    })
    .await;
    assert_eq!((ran.result.status, ran.result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    assert_eq!(downloads(&ran), 2);
    assert!(ran.log.lines().last().unwrap().contains("the checksum of the artifact is wrong"), "{}", ran.log);
}

#[tokio::test]
async fn the_timeout_covers_a_download_that_hangs() {
    let mut job = Job::script("main.sh", "echo ran");
    job.timeout_seconds = Some(2);
    let began = Instant::now();
    let ran = run(job, |server| {
        server.plane.once(ARCHIVE, Answer::hang());
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(ran.result.error_message.as_deref(), Some("timeout"));
    assert_eq!(ran.result.reason, Some(ResultReason::Timeout));
    let last = ran.log.lines().last().unwrap();
    assert_eq!(last, "minitower-runner: the setup took longer than the run's timeout of 2 s and was stopped");
}

#[tokio::test]
async fn setup_seconds_bound_the_setup_within_the_timeout() {
    // An index that takes connections and says nothing.
    let index = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let requirement =
        format!("nothing @ http://{}/nothing-1.0-py3-none-any.whl", index.local_addr().unwrap());
    let towerfile =
        "[app]\nname = \"slow\"\nscript = \"main.py\"\n[app.timeout]\nseconds = 200\nsetup_seconds = 3\n";
    let files =
        [("Towerfile", towerfile), ("main.py", "print('ran')"), ("requirements.txt", requirement.as_str())];
    let mut job = Job::project("main.py", &files);
    job.timeout_seconds = Some(200);
    let ran = run(job, |_| {}).await;
    assert_eq!((ran.result.status, ran.result.reason), (ResultStatus::Failed, Some(ResultReason::Timeout)));
    assert_eq!(ran.result.error_message.as_deref(), Some("timeout"));
    let last = ran.log.lines().last().unwrap();
    assert!(last.contains("the setup took longer than the 3 s that setup_seconds"), "{}", ran.log);
}

#[tokio::test]
async fn the_job_has_what_the_setup_left_of_the_timeout() {
    let mut job = Job::script("main.sh", "echo started; sleep 600");
    job.timeout_seconds = Some(3);
    let ran = run(job, |server| {
        server.plane.once(ARCHIVE, Answer::status(503));
    })
    .await;
    assert_eq!(ran.result.error_message.as_deref(), Some("timeout"));
    assert!(
        ran.log.ends_with("the job took longer than the run's timeout of 3 s and was stopped\n"),
        "{}",
        ran.log
    );
}

const LEAVES_ARTIFACTS: &str = r#"
cd "$MINITOWER_ARTIFACTS_DIR"
printf abc > a.txt; : > empty; mkdir -p x/y; printf deep > "x/y/deep file.csv"
ln -s /etc/passwd passwd; ln -s /etc x/etc; mkfifo pipe
exit ${1:-0}
"#;

fn uploads(ran: &Ran) -> Vec<(String, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    ran.server.seen().uploads().iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect()
}

#[tokio::test]
async fn artifacts_are_uploaded_before_the_result_and_links_are_refused_and_told() {
    let ran = run(Job::script("main.sh", LEAVES_ARTIFACTS), |_| {}).await;
    let expected = [("a.txt", "abc"), ("empty", ""), ("x/y/deep file.csv", "deep")];
    assert_eq!(uploads(&ran), expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    assert_eq!((ran.result.status, ran.result.exit_code), (ResultStatus::Completed, Some(0)));
    assert_eq!(ran.result.error_message.as_deref(), Some("artifacts not uploaded: 3; the log says why"));
    for line in ["\"passwd\": it is a link", "\"x/etc\": it is a link", "\"pipe\": it is not a plain file"] {
        assert!(ran.log.contains(line), "{line} in\n{}", ran.log);
    }
    assert!(ran.log.ends_with("artifacts uploaded: 3 (7 bytes)\n"), "{}", ran.log);
}

#[tokio::test]
async fn artifacts_of_a_failed_job_are_uploaded_within_the_leases_limits() {
    let mut job = Job::script("main.sh", &LEAVES_ARTIFACTS.replace("${1:-0}", "3"));
    job.lease = json!({"limits": {"artifact_bytes": 3, "artifacts": 2}});
    let ran = run(job, |server| {
        server.plane.once(UPLOAD, Answer::status(503));
    })
    .await;
    let paths: Vec<String> = uploads(&ran).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a.txt", "empty"], "a 503 is tried again");
    assert_eq!(ran.result.exit_code, Some(3));
    assert!(
        ran.result.error_message.as_deref().unwrap().starts_with("exit code 3; artifacts not uploaded: 4")
    );
    assert!(ran.log.contains("\"x/y/deep file.csv\" has 4 bytes; a file may have 3"), "{}", ran.log);
}

#[tokio::test]
async fn a_server_without_artifacts_is_named_once() {
    let ran = run(Job::script("main.sh", "cd $MINITOWER_ARTIFACTS_DIR; touch a b c"), |server| {
        server.plane.once(UPLOAD, Answer::status(404));
    })
    .await;
    assert_eq!(ran.result.status, ResultStatus::Completed);
    assert_eq!(ran.log.matches("older than artifacts").count(), 1, "{}", ran.log);
    assert_eq!(ran.result.error_message.as_deref(), Some("artifacts not uploaded: 3; the log says why"));
}

#[tokio::test]
async fn a_job_without_artifacts_says_nothing_of_them() {
    let ran = run(Job::script("main.sh", "test -d \"$MINITOWER_ARTIFACTS_DIR\""), |_| {}).await;
    assert_eq!((ran.result.status, ran.result.error_message), (ResultStatus::Completed, None));
    assert_eq!(ran.log, "");
}

#[tokio::test]
async fn the_cache_outlives_runs_and_is_the_teams_and_the_apps_own() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let script = "cd \"$MINITOWER_CACHE_DIR\"; echo \"$(ls | wc -l) $MINITOWER_ENVIRONMENT\"; touch file";
    for lease in [
        json!({"team_id": 1, "app_id": 1, "environment": "production"}),
        json!({"team_id": 1, "app_id": 1}),
        json!({"team_id": 1, "app_id": 2}),
        json!({"team_id": 2, "app_id": 3}),
        json!({"team_id": 1, "app_id": 1}),
    ] {
        let mut job = Job::script("main.sh", script);
        job.lease = lease;
        server.submit(job);
    }
    let _runner = Runner::start(&server, data.path());
    server.results(5).await;
    let expected = "0 production\n1 default\n0 default\n0 default\n1 default\n";
    assert_eq!(server.seen().log(), expected);
}

#[tokio::test]
async fn a_towerfile_declares_variables_that_an_input_may_replace() {
    let towerfile = "[app]\nname = \"world\"\nscript = \"main.sh\"\n[app.env]\nMODE = \"declared\"\nTZ = \"Asia/Tokyo\"\n\
                     OTHER = \"declared\"\n";
    let files = [("Towerfile", towerfile), ("main.sh", "echo $MODE $OTHER $TZ")];
    let mut job = Job::project("main.sh", &files);
    job.input = json!({"OTHER": "input"});
    let ran = run(job, |_| {}).await;
    assert_eq!(ran.log, "declared input Asia/Tokyo\n");
}

#[tokio::test]
async fn an_app_that_asks_for_the_api_needs_a_server_that_gives_a_token() {
    let towerfile = "[app]\nname = \"world\"\nscript = \"main.sh\"\napi = true\n";
    let files = [("Towerfile", towerfile), ("main.sh", "echo ran")];
    let mut job = Job::project("main.sh", &files);
    job.lease = json!({"api_token": null});
    let ran = run(job, |_| {}).await;
    assert_eq!((ran.result.status, ran.result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    assert!(ran.log.contains("`api = true`") && ran.log.contains("update minitowerd"), "{}", ran.log);
}

#[tokio::test]
async fn a_user_without_an_entry_has_a_name_and_any_locale_prints_unicode() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let main = "import getpass, os\nprint(getpass.getuser(), os.environ['LOGNAME'], 'é ☃ 😀')\n";
    server.submit(Job::script("main.py", main));
    let variables =
        [("LANG", "C"), ("LC_ALL", "POSIX"), ("HOME", "/nonexistent"), ("USER", ""), ("LOGNAME", "")];
    let runner = env!("CARGO_BIN_EXE_minitower-runner");
    let _runner = if nix::unistd::Uid::effective().is_root() {
        // The program must be one that this user may reach.
        let copy = tempfile::tempdir().unwrap();
        std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = copy.path().join("minitower-runner");
        std::fs::copy(runner, &program).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]).arg(&program);
        let started = Runner::by(command, &server, data.path(), &variables);
        server.result().await;
        drop(copy);
        started
    } else {
        Runner::with(&server, data.path(), &variables)
    };
    server.result().await;
    let log = server.seen().log();
    let mut words = log.split_whitespace();
    let (user, logname) = (words.next().unwrap(), words.next().unwrap());
    assert_eq!(user, logname, "{log}");
    if nix::unistd::Uid::effective().is_root() {
        assert_eq!(user, "minitower");
    }
    assert!(log.contains("é ☃ 😀"), "{log}");
}
