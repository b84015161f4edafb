//! What a job's secrets reach: its variables, and nothing that anybody reads afterwards.

use std::path::{Path, PathBuf};

use minitower_client::wire::runner::{ResultReason, ResultStatus, RunResult};
use minitower_client::wire::secrets::SetSecret;
use serde_json::json;

use crate::support::{ControlPlane, Job, PATIENCE, Runner, until};

const TOWERFILE: &str =
    "[app]\nname = \"secretive\"\nscript = \"main.py\"\n[app.secrets]\nnames = [\"API_KEY\", \"PEM\"]\n";
const API_KEY: &str = "hunter2/ä+\"x\"";
const PEM: &str = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEAt0\nhunter2hunter2\n-----END KEY-----\n";

/// A job that names both secrets.
fn job(main: &str) -> Job {
    Job::project("main.py", &[("Towerfile", TOWERFILE), ("main.py", main)])
}

/// A control plane whose team has set both.
fn server() -> ControlPlane {
    let server = ControlPlane::start();
    for (name, value) in [("API_KEY", API_KEY), ("PEM", PEM)] {
        let (client, value) = (server.team(1).client().clone(), SetSecret { value: value.to_owned() });
        let set = async move { client.set_secret("default", name, &value).await };
        server.plane.run(set).unwrap();
    }
    server
}

/// Runs one job to its end: its result, and its log.
async fn run(job: Job) -> (RunResult, String) {
    let (server, data) = (server(), tempfile::tempdir().unwrap());
    server.submit(job);
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    (result, server.seen().lines().into_iter().map(|line| line.line + "\n").collect())
}

#[tokio::test]
async fn secrets_are_variables_and_are_masked_in_every_form() {
    let main = r#"
import base64, json, os, sys, urllib.parse
key, pem = os.environ["API_KEY"], os.environ["PEM"]
print("lengths", len(key), len(pem))
print("key", key)
print("quoted", urllib.parse.quote(key), urllib.parse.quote(key, safe=""), urllib.parse.quote_plus(key))
print("json", json.dumps({"k": key}), json.dumps({"k": key}, ensure_ascii=False))
for before in ["", "a", "ab"]:
    print("basic", base64.b64encode((before + key).encode()).decode())
print(pem, end="", file=sys.stderr)
print("json", json.dumps(pem))
print(base64.encodebytes(pem.encode()).decode())
with open("/proc/self/cmdline") as f:
    print("arguments", "hunter" in f.read())
raise SystemExit("cannot log in with " + key)
"#;
    let (result, log) = run(job(main)).await;
    assert_eq!((result.status, result.exit_code), (ResultStatus::Failed, Some(1)));
    for part in [
        "lengths 13 72\n",
        "key [secret]\n",
        "quoted [secret] [secret] [secret]\n",
        "json {\"k\": \"[secret]\"} {\"k\": \"[secret]\"}\n",
        "arguments False\n",
        "cannot log in with [secret]\n",
    ] {
        assert!(log.contains(part), "{part:?} in\n{log}");
    }
    assert_eq!(log.matches("basic ").count(), 3, "{log}");
    // `hunter2` at the three places of Base64.
    for shown in ["hunter2", "MIIE", "aHVudGVyM", "h1bnRlcj", "odW50ZXIy", "TUlJR"] {
        assert!(!log.contains(shown), "{shown} in\n{log}");
    }
    let text = serde_json::to_string(&result).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_secret_wins_over_an_input_of_its_name_and_the_log_says_so() {
    let main = "import os\nprint('length', len(os.environ['API_KEY']), os.environ['other'])\n";
    let mut job = job(main);
    job.input = json!({"API_KEY": "input", "other": "o"});
    let (result, log) = run(job).await;
    assert_eq!(result.status, ResultStatus::Completed, "{log}");
    assert!(log.contains("length 13 o\n"), "{log}");
    assert!(
        log.contains("input key \"API_KEY\" is not passed as a variable: a secret of the run has this name"),
        "{log}"
    );
}

#[tokio::test]
async fn a_run_without_its_secrets_is_not_started() {
    // As of a server that is older than that.
    let mut job = job("print('it runs')\n");
    job.lease = json!({"secrets": {"API_KEY": API_KEY}});
    let (result, log) = run(job).await;
    assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    let message = result.error_message.unwrap();
    assert!(
        message.contains("the Towerfile names the secret PEM, but the control plane gave none"),
        "{message}"
    );
    assert!(!log.contains("it runs"), "{log}");
}

/// The files below a folder that hold this text.
fn holding(folder: &Path, text: &[u8]) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        // What goes while this looks holds nothing.
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if std::fs::read(&path)
                .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text))
            {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn only_the_job_writes_a_secret_down_and_that_goes_with_its_workspace() {
    let main = "import os, time\nopen('own', 'w').write(os.environ['API_KEY'])\nprint('written')\nwhile not os.path.exists('go'): time.sleep(0.01)\n";
    let data = tempfile::tempdir().unwrap();
    let server = server();
    server.submit(job(main));
    let _runner = Runner::start(&server, data.path());
    until(PATIENCE, "the job has written its secret down", || !holding(data.path(), b"hunter2/").is_empty())
        .await;
    let held = holding(data.path(), b"hunter2");
    assert_eq!(held.len(), 1, "{held:?}");
    std::fs::write(held[0].with_file_name("go"), "").unwrap();
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    until(PATIENCE, "it is gone", || holding(data.path(), b"hunter2").is_empty()).await;
}
