//! Secrets of the runner's own, in a folder as a pool mounts it: every job gets them as variables, and sees neither the folder nor the former
//! values.

use std::fs;
use std::path::Path;

use minitower_client::wire::runner::{ResultReason, ResultStatus, RunResult};
use minitower_client::wire::secrets::SetSecret;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{ControlPlane, Index, Job, Runner};

const DIRECTORY: &str = "MINITOWER_RUN_SECRETS_DIR";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in files {
        fs::write(folder.path().join(name), value).unwrap();
    }
    folder
}

fn job(towerfile: &str, main: &str) -> Job {
    let towerfile = format!("[app]\nname = \"secretive\"\nscript = \"main.py\"\n{towerfile}");
    Job::project("main.py", &[("Towerfile", &towerfile), ("main.py", main)])
}

fn start(server: &ControlPlane, data: &Path, secrets: &Path) -> Runner {
    Runner::with(server, data, &[(DIRECTORY, secrets.to_str().unwrap())])
}

/// Runs one job on a runner with these secrets: its result, and its log.
async fn run(job: Job, secrets: &Path) -> (RunResult, String) {
    let (server, data) = (ControlPlane::start(), tempfile::tempdir().unwrap());
    server.submit(job);
    let _runner = start(&server, data.path(), secrets);
    let result = server.result().await;
    (result, log(&server))
}

fn log(server: &ControlPlane) -> String {
    server.seen().lines().into_iter().map(|line| line.line + "\n").collect()
}

#[tokio::test]
async fn jobs_get_them_as_variables_hidden_in_logs_and_cannot_read_the_folder() {
    let secrets = folder(&[("WAREHOUSE", "hunter2-warehouse\n"), ("PIN", "4711")]);
    let main = format!(
        r#"
import os
print("lengths", len(os.environ["WAREHOUSE"]), len(os.environ["PIN"]))
print("shown", os.environ["WAREHOUSE"], os.environ["PIN"])
print("told", "MINITOWER_RUN_SECRETS_DIR" in os.environ)
for what in (lambda: os.listdir({folder:?}), lambda: open({file:?}).read()):
    try:
        print("read", what())
    except OSError as error:
        print("kept from it", type(error).__name__)
raise SystemExit("cannot log in with " + os.environ["WAREHOUSE"])
"#,
        folder = secrets.path().display().to_string(),
        file = secrets.path().join("PIN").display().to_string(),
    );
    let (result, log) = run(job("", &main), secrets.path()).await;
    assert_eq!((result.status, result.exit_code), (ResultStatus::Failed, Some(1)), "{log}");
    assert!(log.contains("lengths 17 4\nshown [secret] [secret]\ntold False\n"), "{log}");
    assert_eq!(log.matches("kept from it").count(), 2, "{log}");
    let told = format!("{log}{}", serde_json::to_string(&result).unwrap());
    assert!(!told.contains("hunter2") && !told.contains("4711"), "{told}");
}

#[tokio::test]
async fn each_run_gets_what_is_there_when_it_starts() {
    let (server, data) = (ControlPlane::start(), tempfile::tempdir().unwrap());
    let secrets = folder(&[("KEY", "first one")]);
    let _runner = start(&server, data.path(), secrets.path());
    for value in ["first one", "the second"] {
        fs::write(secrets.path().join("KEY"), value).unwrap();
        let main = format!("import os\nassert os.environ['KEY'] == {value:?}\n");
        server.submit(job("", &main));
        assert_eq!(server.result().await.status, ResultStatus::Completed, "{}", log(&server));
    }
}

#[tokio::test]
async fn the_teams_secret_wins_over_it_and_it_wins_over_the_apps_variables_and_inputs() {
    let server = ControlPlane::start();
    let (client, value) = (server.team(1).client().clone(), SetSecret { value: "the team's".to_owned() });
    server.plane.run(async move { client.set_secret("default", "BOTH", &value).await }).unwrap();
    let secrets =
        folder(&[("BOTH", "the runner's"), ("DECLARED", "the runner's"), ("GIVEN", "the runner's")]);
    let towerfile =
        "[app.env]\nDECLARED = \"the app's\"\nOTHER = \"the app's\"\n[app.secrets]\nnames = [\"BOTH\"]\n";
    let main = "import os\nvalues = [os.environ[name] for name in ['BOTH', 'DECLARED', 'GIVEN', 'OTHER']]\n\
                assert values == [\"the team's\", \"the runner's\", \"the runner's\", \"the app's\"], len(values)\n";
    let mut job = job(towerfile, main);
    job.input = json!({"GIVEN": "the caller's"});
    server.submit(job);
    let data = tempfile::tempdir().unwrap();
    let _runner = start(&server, data.path(), secrets.path());
    let result = server.result().await;
    let log = log(&server);
    assert_eq!(result.status, ResultStatus::Completed, "{log}");
    assert!(log.contains("DECLARED of app.env is not set: the runner has a secret of this name"), "{log}");
    assert!(log.contains("input key \"GIVEN\" is not passed as a variable"), "{log}");
}

#[tokio::test]
async fn what_cannot_be_a_secret_fails_the_run_by_name_before_the_job() {
    let secrets = folder(&[("KEY", "a good one"), ("tls.crt", "-----BEGIN")]);
    let (result, log) = run(job("", "print('it runs')\n"), secrets.path()).await;
    assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    let message = result.error_message.unwrap();
    assert!(message.contains("the runner's secret \"tls.crt\" cannot be a variable"), "{message}");
    assert!(!log.contains("it runs"), "{log}");
}

#[tokio::test]
async fn the_programs_that_install_packages_do_not_get_them_nor_read_the_folder() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let (secrets, data) = (folder(&[("KEY", "hunter2-key")]), tempfile::tempdir().unwrap());
    // It runs while the package is built, and what it raises ends the installation.
    let looks = format!(
        "\nassert 'KEY' not in os.environ, 'a variable'\ntry: open({:?})\nexcept OSError: pass\nelse: raise SystemExit('a file')\n",
        secrets.path().join("KEY").display().to_string()
    );
    index.source("tinypkg", "1.0", &looks);
    let main = "import os, tinypkg\nprint('length', len(os.environ['KEY']))\n";
    server.submit(Job::project("main.py", &[("main.py", main), ("requirements.txt", "tinypkg==1.0\n")]));
    let (url, path) = (index.url(""), secrets.path().to_str().unwrap().to_owned());
    let variables = [("PIP_INDEX_URL", url.as_str()), ("PIP_FIND_LINKS", ""), (DIRECTORY, &path)];
    let _runner = Runner::with(&server, data.path(), &variables);
    let result = server.result().await;
    assert_eq!(result.status, ResultStatus::Completed, "{}", log(&server));
    assert!(log(&server).contains("length 11\n"), "{}", log(&server));
}
