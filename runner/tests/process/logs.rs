//! What a job writes, and how it stands in its run's log.

use std::path::Path;
use std::process::Command;

use minitower_client::wire::runner::{ResultReason, ResultStatus, RunResult};
use minitower_client::wire::runs::Stream;
use serde_json::json;

use crate::support::{ControlPlane, Job, Runner, until};

/// How often the order of a failing job's lines is looked at.
const RUNS: usize = 50;

/// Runs one job to its end.
async fn run(job: Job) -> (RunResult, Vec<(Stream, String)>) {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(job);
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    (result, lines(&server))
}

fn lines(server: &ControlPlane) -> Vec<(Stream, String)> {
    server.seen().lines().into_iter().map(|line| (line.stream, line.line)).collect()
}

#[tokio::test]
async fn what_was_printed_before_a_traceback_stands_before_it() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    for _ in 0..RUNS {
        server.submit(Job::script("main.py", "print('step 1')\nprint('step 2')\nraise ValueError('boom')\n"));
    }
    let _runner = Runner::start(&server, data.path());
    let results = server.results(RUNS).await;
    assert!(results.iter().all(|result| result.exit_code == Some(1)));
    let texts: Vec<String> = lines(&server).into_iter().map(|(_, text)| text).collect();
    let runs: Vec<&[String]> = texts.split(|line| line == "ValueError: boom").collect();
    assert_eq!(runs.len(), RUNS + 1, "{texts:?}");
    for run in &runs[..RUNS] {
        assert_eq!(run[..2], ["step 1", "step 2"], "{run:?}");
    }
}

#[tokio::test]
async fn the_exact_order_is_that_of_writing_and_all_of_it_is_standard_output() {
    let towerfile = "[app]\nname = \"exact\"\nscript = \"main.py\"\n[app.logs]\norder = \"exact\"\n";
    let main = "import sys\nfor n in range(200):\n    print(n, file=sys.stdout if n % 3 else sys.stderr, flush=True)\n";
    let (result, lines) = run(Job::project("main.py", &[("Towerfile", towerfile), ("main.py", main)])).await;
    assert_eq!(result.status, ResultStatus::Completed);
    let expected: Vec<(Stream, String)> = (0..200).map(|n| (Stream::Stdout, n.to_string())).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn progress_shows_while_it_moves_and_its_last_state_stays() {
    let main = r#"
import sys, time
for i in range(150):
    sys.stdout.write("\r%3d/150 done" % i); sys.stdout.flush(); time.sleep(0.02)
sys.stdout.write("\rall done\nnext\r\n")
"#;
    let (_, lines) = run(Job::script("main.py", main)).await;
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    let states = &texts[..texts.len() - 2];
    assert!(
        (2..=6).contains(&states.len()) && states.iter().all(|state| state.ends_with("/150 done")),
        "{texts:?}"
    );
    assert_eq!(texts[texts.len() - 2..], ["all done", "next"]);
}

#[tokio::test]
async fn a_line_that_is_cut_says_how_long_it_was() {
    let (_, lines) = run(Job::script("main.py", "print('{' + 'x' * 21000)\nprint('after')")).await;
    assert!(lines[0].1.len() <= 8192 && lines[0].1.ends_with("x… [cut: 21001 bytes]"), "{}", lines[0].1);
    assert_eq!(lines[1].1, "after");
}

#[tokio::test]
async fn python_below_a_shell_shows_its_lines_before_it_is_stopped() {
    let files =
        [("main.sh", "python3 job.py"), ("job.py", "import time\nprint('started')\ntime.sleep(600)\n")];
    let mut job = Job::project("main.sh", &files);
    job.timeout_seconds = Some(2);
    let (result, lines) = run(job).await;
    assert_eq!(result.reason, Some(ResultReason::Timeout));
    assert_eq!(lines[0].1, "started");
}

#[tokio::test]
async fn a_log_over_its_limit_keeps_its_beginning_and_its_end() {
    let mut job = Job::script("main.sh", "seq 100000; echo the end");
    job.lease = json!({"limits": {"log_bytes": 100_000}});
    let (result, lines) = run(job).await;
    assert_eq!((result.status, result.error_message), (ResultStatus::Completed, None));
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!((texts[0], *texts.last().unwrap()), ("1", "the end"));
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= 100_000);
    let left_out = texts.iter().find(|text| text.contains("are left out here")).unwrap();
    let count: usize = left_out.split(' ').nth(1).unwrap().parse().unwrap();
    let notices = texts.iter().filter(|text| text.starts_with("minitower-runner: ")).count();
    assert_eq!(count + texts.len() - notices, 100_001, "{left_out}");
}

#[tokio::test]
async fn the_token_of_the_api_is_masked_in_every_form() {
    let main = r#"
import base64, os, urllib.parse
token = os.environ["MINITOWER_API_TOKEN"]
print("token", token)
print("basic", base64.b64encode(("me:" + token).encode()).decode())
print("url", "https://h/?t=" + urllib.parse.quote(token, safe=""))
print(os.environ["MINITOWER_SERVER_URL"].startswith("http://"), len(token))
raise SystemExit("bad token " + token)
"#;
    let mut job = Job::script("main.py", main);
    job.lease = json!({"api_token": "mta_0123456789/abcdef+x"});
    let (result, lines) = run(job).await;
    assert_eq!(result.exit_code, Some(1));
    let log: String = lines.into_iter().map(|(_, text)| text + "\n").collect();
    for part in ["token [secret]\n", "url https://h/?t=[secret]\n", "True 23\n", "bad token [secret]\n"] {
        assert!(log.contains(part), "{part:?} in\n{log}");
    }
    assert!(log.contains("basic ") && log.matches("[secret]").count() == 4, "{log}");
    assert!(!log.contains("0123456789"), "{log}");
}

#[tokio::test]
async fn hidden_parameters_are_masked_and_others_are_not() {
    let towerfile = "[app]\nname = \"logs\"\nscript = \"main.py\"\n[[parameters]]\nname = \"password\"\nhidden = true\n\
                     [[parameters]]\nname = \"pin\"\ntype = \"integer\"\nhidden = true\n[[parameters]]\nname = \"user\"\n";
    let main = r#"
import base64, os, sys
password, pin = os.environ["password"], os.environ["pin"]
print("password", password, "pin", pin, "user", os.environ["user"])
print("input", os.environ["MINITOWER_INPUT"])
print("basic", base64.b64encode(password.encode()).decode())
print(len(password), file=sys.stderr)
raise SystemExit("cannot log in with " + password)
"#;
    let mut job = Job::project("main.py", &[("Towerfile", towerfile), ("main.py", main)]);
    job.input = json!({"password": "hunter \"2\"", "pin": 4711, "user": "ann-user"});
    let (result, lines) = run(job).await;
    assert_eq!(result.exit_code, Some(1));
    let log: String = lines.into_iter().map(|(_, text)| text + "\n").collect();
    for part in [
        "password [secret] pin [secret] user ann-user\n",
        r#""password":"[secret]""#,
        "\n10\n",
        "cannot log in with [secret]\n",
    ] {
        assert!(log.contains(part), "{part:?} in\n{log}");
    }
    assert!(log.contains("basic ") && !log.contains("aHVudGVy"), "{log}");
    assert!(!log.contains("hunter") && !log.contains("4711"), "{log}");
}

/// A small file system of its own; only root can have one.
struct SmallDisk<'f>(&'f Path);

impl<'f> SmallDisk<'f> {
    fn mount(folder: &'f Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(folder);
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_cuts_no_log_while_the_server_answers() {
    let data = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(data.path()) else {
        eprintln!("skipped: no file system of its own can be mounted here");
        return;
    };
    let server = ControlPlane::start();
    server.submit(Job::script("main.sh", "cat /dev/zero > big 2>/dev/null; seq 200000; echo END"));
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    assert_eq!((result.status, result.error_message), (ResultStatus::Completed, None));
    let lines = lines(&server);
    let numbers = lines.iter().filter(|(stream, _)| *stream == Stream::Stdout).map(|(_, text)| text.as_str());
    let expected: Vec<String> = (1..=200_000).map(|n| n.to_string()).chain(["END".to_owned()]).collect();
    assert!(numbers.eq(expected.iter().map(String::as_str)), "{} lines", lines.len());
}

#[tokio::test]
async fn what_a_full_disk_loses_while_the_server_is_away_is_told_in_log_and_result() {
    let data = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(data.path()) else {
        eprintln!("skipped: no file system of its own can be mounted here");
        return;
    };
    let server = ControlPlane::start();
    let script = "cat /dev/zero > big 2>/dev/null; echo full; while [ ! -e go ]; do sleep 0.05; done; \
                  seq 400000; touch said; while [ ! -e on ]; do sleep 0.05; done; echo END";
    server.submit(Job::script("main.sh", script));
    let runner = Runner::start(&server, data.path());
    server.wait_for("the disk is full", |seen| seen.log().contains("full\n")).await;
    let no_logs = server.refuse("logs");
    let source = runner.data().join("work/1/source");
    // The job frees the block that these names take; the log's own file finds none.
    std::fs::File::create(source.join("go")).unwrap();
    until(crate::support::PATIENCE, "the job has written all", || source.join("said").exists()).await;
    server.plane.lift(no_logs);
    server.wait_for("the log goes on", |seen| seen.lines().len() > 1000).await;
    std::fs::File::create(source.join("on")).unwrap();
    let result = server.result().await;
    assert_eq!(result.status, ResultStatus::Completed);
    let lines = lines(&server);
    let told: Vec<&str> = lines
        .iter()
        .map(|(_, text)| text.as_str())
        .filter(|text| text.contains("of the log were lost"))
        .collect();
    assert!(!told.is_empty(), "the log says so");
    let message = result.error_message.unwrap();
    let lost: usize = message.split(' ').next().unwrap().parse().unwrap();
    let numbers = lines.iter().filter(|(_, text)| text.parse::<u32>().is_ok()).count();
    assert_eq!(numbers + lost, 400_000, "{message}");
    assert!(message.contains("was away"), "{message}");
    assert_eq!(lines.last().unwrap().1, "END");
}
