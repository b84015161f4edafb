//! Runs: created, waited for, watched, followed.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Fake, VERSION, a_run, error, run};

fn with_versions(fake: Fake) -> Fake {
    fake.on("GET /apps/hello/versions", 200, format!(r#"{{"versions":[{VERSION}]}}"#))
}

fn created(fake: &Fake) -> Value {
    fake.asked("POST /apps/hello/runs")[0].json()
}

#[test]
fn a_run_is_created_with_everything_asked_for() {
    let fake = with_versions(Fake::start()).on("POST /apps/hello/runs", 201, a_run("queued", ""));
    let line = [
        "runs",
        "create",
        "--app",
        "hello",
        "--input",
        r#"{"name":"old","k":1}"#,
        "-p",
        "name=new",
        "-p",
        "count=3",
        "--version",
        "3",
        "--priority",
        "-5",
        "--max-retries",
        "2",
        "--environment",
        "gpu",
    ];
    let ran = fake.run(&line).good();
    assert!(ran.stdout.starts_with("run      7 (hello #2)\nstatus   queued\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("minitower runs logs 7 --follow"), "{}", ran.stderr);
    assert_eq!(
        created(&fake),
        json!({"input": {"name": "new", "k": 1, "count": 3}, "version_no": 3, "priority": -5, "max_retries": 2,
            "environment": "gpu"})
    );
    let asked = fake.asked("GET /apps/hello/versions");
    assert_eq!(
        (asked.len(), asked[0].query.as_deref()),
        (1, Some("limit=1&before=4")),
        "one version is read"
    );
}

#[test]
fn a_run_without_flags_sends_none() {
    let fake = Fake::start().on("POST /apps/hello/runs", 201, a_run("queued", ""));
    let ran = fake.run(&["runs", "create", "hello", "--json"]).good();
    assert_eq!((ran.json()["run_id"].as_i64(), ran.stderr.as_str()), (Some(7), ""));
    assert_eq!(created(&fake), json!({}));
}

#[test]
fn the_input_comes_from_a_file_or_standard_input() {
    let fake = Fake::start().on("POST /apps/hello/runs", 201, a_run("queued", ""));
    std::fs::write(fake.home.path().join("in.json"), r#"{"a":1}"#).unwrap();
    fake.run(&["runs", "create", "hello", "--input", "@in.json"]).good();
    assert_eq!(created(&fake), json!({"input": {"a": 1}}));
    run(&mut fake.cli(&["runs", "create", "hello", "--input", "-"]), r#"{"b":2}"#).good();
    assert_eq!(fake.asked("POST /apps/hello/runs")[1].json(), json!({"input": {"b": 2}}));
}

#[rstest]
#[case(&["-p", "count=three"], "`three` is not of type integer")]
#[case(&["-p", "count"], "key=value")]
#[case(&["--input", "[1]"], "must be a JSON object")]
#[case(&["--input", "{"], "not valid JSON")]
#[case(&["--input", "@nope.json"], "nope.json")]
fn an_input_that_does_not_fit_is_told_before_anything_is_created(
    #[case] more: &[&str],
    #[case] reason: &str,
) {
    let fake = with_versions(Fake::start());
    let ran = fake.run(&[&["runs", "create", "hello"], more].concat());
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    assert!(fake.asked("POST /apps/hello/runs").is_empty());
}

#[test]
fn a_parameter_the_version_does_not_have_is_pointed_at() {
    let fake = with_versions(Fake::start()).on("POST /apps/hello/runs", 201, a_run("queued", ""));
    let ran = fake.run(&["runs", "create", "hello", "-p", "nam=x"]).good();
    assert!(ran.stderr.contains("no parameter `nam`; it has count, name"), "{}", ran.stderr);
}

#[test]
fn an_app_without_version_leads_to_deploy() {
    let fake = Fake::start().on("POST /apps/hello/runs", 400, error("no_version", "hello has no version"));
    let ran = fake.run(&["runs", "create", "hello"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("minitower deploy"), "{}", ran.stderr);
}

#[rstest]
#[case("completed", 0)]
#[case("failed", 1)]
#[case("dead", 1)]
#[case("cancelled", 2)]
fn waiting_and_watching_end_as_the_run_does(#[case] status: &str, #[case] code: i32) {
    let fake = Fake::start()
        .on("POST /apps/hello/runs", 201, a_run("queued", ""))
        .on("GET /apps/hello/runs", 200, format!(r#"{{"runs":[{}]}}"#, a_run("queued", "")))
        .on("GET /runs/7", 200, a_run("running", r#","runner":"r-1""#))
        .on("GET /runs/7", 200, a_run(status, r#","error_message":"why""#));
    let ran = fake.run(&["runs", "create", "hello", "--wait"]).plain();
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.stderr.contains("run 7 running on r-1"), "{}", ran.stderr);
    assert!(ran.stdout.contains(&format!("status   {status}\n")), "{}", ran.stdout);
    assert!(ran.stderr.contains("minitower runs logs 7"), "{}", ran.stderr);
    for line in [&["runs", "watch", "7"][..], &["runs", "watch", "--app", "hello"]] {
        let ran = fake.run(line).plain();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stdout.starts_with(&format!("run 7 (hello #2) {status}")), "{}", ran.stdout);
    }
}

#[rstest]
#[case("[]", Some("no runner of environment default is online"))]
#[case(r#"[{"runner_id":1,"name":"r-1","environment":"other","status":"online","scope":"team","busy":false,"draining":false}]"#,
    Some("no runner of environment default is online"))]
#[case(r#"[{"runner_id":1,"name":"r-1","environment":"default","status":"online","scope":"team","busy":true,"draining":true}]"#,
    Some("every runner of environment default is drained"))]
#[case(r#"[{"runner_id":1,"name":"r-1","environment":"default","status":"online","scope":"team","busy":true,"draining":false}]"#,
    None)]
fn a_run_that_nobody_will_take_says_so(#[case] runners: &str, #[case] reason: Option<&str>) {
    let fake = Fake::start().on("POST /apps/hello/runs", 201, a_run("queued", "")).on(
        "GET /admin/runners",
        200,
        format!(r#"{{"runners":{runners}}}"#),
    );
    let ran = fake.run(&["runs", "create", "hello"]).good();
    match reason {
        Some(reason) => assert!(ran.stderr.contains(reason), "{}", ran.stderr),
        None => assert!(!ran.stderr.contains("warning"), "{}", ran.stderr),
    }
}

#[test]
fn a_run_named_by_its_app_is_told_how_runs_are_named() {
    let ran = Fake::start().run(&["runs", "logs", "hello"]).plain();
    assert!(ran.stderr.contains("minitower runs list"), "{}", ran.stderr);
}

#[test]
fn waiting_and_watching_print_json_alone_on_standard_output() {
    let script = || {
        Fake::start()
            .on("POST /apps/hello/runs", 201, a_run("queued", ""))
            .on("GET /runs/7", 200, a_run("running", ""))
            .on("GET /runs/7", 200, a_run("completed", ""))
    };
    assert_eq!(
        script().run(&["runs", "create", "hello", "--wait", "--json"]).good().json()["status"],
        "completed"
    );
    let ran = script().run(&["runs", "watch", "7", "--json"]).good();
    let states: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        states.iter().map(|run| run["status"].as_str().unwrap()).collect::<Vec<_>>(),
        ["running", "completed"]
    );
}

#[test]
fn a_server_that_is_away_for_a_moment_does_not_end_a_watch() {
    let fake = Fake::start()
        .on("GET /runs/7", 200, a_run("running", ""))
        .on("GET /runs/7", 503, error("unavailable", "the database is busy"))
        .on("GET /runs/7", 200, a_run("completed", ""));
    let ran = fake.run(&["runs", "watch", "7"]).good();
    assert!(
        ran.stderr.contains("the database is busy") && ran.stderr.contains("trying again"),
        "{}",
        ran.stderr
    );
}

#[test]
fn ctrl_c_leaves_the_run_going_and_says_so() {
    let fake = Fake::start().on("GET /runs/7", 200, a_run("running", ""));
    let mut child =
        fake.cli(&["runs", "watch", "7"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let mut said = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}: {said}");
    assert!(said.contains("run 7 goes on") && said.contains("runs cancel 7"), "{said}");
    assert!(fake.asked("POST /runs/7/cancel").is_empty());
}

fn lines(from: i64, to: i64, text: &str) -> String {
    let lines: Vec<_> = (from..=to)
        .map(|seq| {
            let stream = if seq % 2 == 0 { "stderr" } else { "stdout" };
            json!({"seq": seq, "stream": stream, "line": format!("{text} {seq}"), "logged_at": "2026-01-02T03:04:05Z"})
        })
        .collect();
    json!({ "logs": lines }).to_string()
}

#[test]
fn a_log_goes_to_the_streams_it_came_from() {
    let fake = Fake::start().on("GET /runs/7/logs", 200, lines(1, 4, "line"));
    let ran = fake.run(&["runs", "logs", "7", "--after-seq", "0", "--attempt", "2"]).good();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("line 1\nline 3\n", "line 2\nline 4\n"));
    assert_eq!(fake.asked("GET /runs/7/logs")[0].query.as_deref(), Some("after_seq=0&attempt=2"));
    let ran = fake.run(&["runs", "logs", "7", "--json"]).good();
    assert_eq!(ran.json()["logs"][3]["stream"], "stderr");
}

#[test]
fn a_followed_log_is_complete_over_a_retry() {
    let attempts = |numbers: &[i64]| {
        let attempts: Vec<_> = numbers
            .iter()
            .map(|number| {
                json!({"attempt_id": number, "attempt_no": number, "status": "running",
                    "leased_at": "2026-01-02T03:04:05Z"})
            })
            .collect();
        json!({ "attempts": attempts }).to_string()
    };
    let fake = Fake::start()
        .on("GET /runs/7", 200, a_run("queued", ""))
        .on("GET /runs/7", 200, a_run("running", r#","runner":"r-1""#))
        .on("GET /runs/7", 200, a_run("running", r#","runner":"r-2""#))
        .on("GET /runs/7", 200, a_run("completed", r#","runner":"r-2""#))
        .on("GET /runs/7/attempts", 200, attempts(&[]))
        .on("GET /runs/7/attempts", 200, attempts(&[1]))
        .on("GET /runs/7/attempts", 200, attempts(&[1, 2]))
        // Queued: nothing. Attempt 1: two reads. Its last line, then attempt 2. The end.
        .on("GET /runs/7/logs", 200, lines(1, 0, ""))
        .on("GET /runs/7/logs", 200, lines(1, 3, "first"))
        .on("GET /runs/7/logs", 200, lines(1, 0, ""))
        .on("GET /runs/7/logs", 200, lines(4, 5, "first"))
        .on("GET /runs/7/logs", 200, lines(1, 0, ""))
        .on("GET /runs/7/logs", 200, lines(1, 1, "second"))
        .on("GET /runs/7/logs", 200, lines(1, 0, ""))
        .on("GET /runs/7/logs", 200, lines(2, 3, "second"))
        .on("GET /runs/7/logs", 200, lines(1, 0, ""));
    let ran = fake.run(&["runs", "logs", "7", "--follow"]).good();
    assert_eq!(ran.stdout, "first 1\nfirst 3\nfirst 5\nsecond 1\nsecond 3\n");
    assert!(
        ran.stderr.contains("waits for a runner") && ran.stderr.contains("attempt 2 on r-2"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with("── run 7 completed ──\n"), "{}", ran.stderr);
    let asked: Vec<_> =
        fake.asked("GET /runs/7/logs").into_iter().map(|asked| asked.query.unwrap_or_default()).collect();
    assert_eq!(
        asked,
        [
            "",
            "attempt=1",
            "after_seq=3&attempt=1",
            "after_seq=3&attempt=1",
            "after_seq=5&attempt=1",
            "attempt=2",
            "after_seq=1&attempt=2",
            "after_seq=1&attempt=2",
            "after_seq=3&attempt=2"
        ]
    );
}

#[test]
fn a_followed_log_as_json_is_a_line_each() {
    let fake = Fake::start()
        .on("GET /runs/7", 200, a_run("completed", ""))
        .on("GET /runs/7/logs", 200, lines(1, 2, "line"))
        .on("GET /runs/7/logs", 200, lines(1, 0, ""));
    let ran = fake.run(&["runs", "logs", "7", "-f", "--json"]).good();
    let seqs: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2]);
}

#[test]
fn a_closed_pipe_ends_the_program_in_silence() {
    let fake = Fake::start().on("GET /runs/7/logs", 200, lines(1, 20_000, "a line that fills the pipe"));
    let mut child =
        fake.cli(&["runs", "logs", "7"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(!said.contains("panicked") && !said.contains("error:"), "{said}");
}
