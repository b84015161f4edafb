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
    let ran = fake.run(&["runs", "create", "hello", "-p", "nam=x"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no parameter `nam`: did you mean `name`?"), "{}", ran.stderr);
    assert!(fake.asked("POST /apps/hello/runs").is_empty());
    for line in [&["-p", "nam=x", "--allow-unknown"][..], &["-p", "release=1.10"]] {
        let ran = fake.run(&[&["runs", "create", "hello"], line].concat()).good();
        assert!(ran.stderr.contains("it has count, name"), "{}", ran.stderr);
    }
    assert_eq!(fake.asked("POST /apps/hello/runs")[1].json(), json!({"input": {"release": "1.10"}}));
}

#[test]
fn a_run_says_how_long_it_may_take_and_how_it_is_retried() {
    let fake = Fake::start().on("POST /apps/hello/runs", 201, a_run("queued", ""));
    let line = "runs create hello --timeout 60 --retry 3 --retry-on failed,lost --retry-wait 500 --retry-factor 1.5 \
                --retry-max-wait 9000";
    fake.run(&line.split_whitespace().collect::<Vec<_>>()).good();
    let retry = json!({"max_attempts": 3, "on": ["failed", "lost"], "backoff_initial_ms": 500,
        "backoff_multiplier": 1.5, "backoff_max_ms": 9000});
    assert_eq!(created(&fake), json!({"timeout_seconds": 60, "retry": retry}));
}

#[rstest]
#[case("--retry 2 --max-retries 1", "cannot be used with")]
#[case("--retry-on lost", "--retry")]
#[case("--retry 2 --retry-on never", "failed, timeout, lost")]
#[case("--retry 0", "--retry")]
#[case("--timeout 0", "--timeout")]
fn retries_that_make_no_sense_are_refused(#[case] flags: &str, #[case] reason: &str) {
    let fake = Fake::start();
    let line: Vec<_> = ["runs", "create", "hello"].into_iter().chain(flags.split(' ')).collect();
    let ran = fake.run(&line);
    assert!(ran.code == 1 && ran.stderr.contains(reason), "{}", ran.stderr);
    assert!(fake.asked("POST /apps/hello/runs").is_empty());
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

fn attempts(numbers: &[i64]) -> String {
    let attempts: Vec<_> = numbers
        .iter()
        .map(|number| {
            json!({"attempt_id": number, "attempt_no": number, "status": "running",
                "leased_at": "2026-01-02T03:04:05Z"})
        })
        .collect();
    json!({ "attempts": attempts }).to_string()
}

/// A server that has nine lines and answers with four of them at most.
fn paged() -> Fake {
    let pages = [lines(1, 4, "line"), lines(5, 8, "line"), lines(9, 9, "line"), lines(1, 0, "")];
    pages.into_iter().fold(Fake::start(), |fake, page| fake.on("GET /runs/7/logs", 200, page))
}

#[test]
fn a_log_goes_to_the_streams_it_came_from() {
    let fake = Fake::start().on("GET /runs/7/logs", 200, lines(1, 4, "line"));
    let ran = fake.run(&["runs", "logs", "7"]).good();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("line 1\nline 3\n", "line 2\nline 4\n"));
    let ran = fake.run(&["runs", "logs", "7", "--json"]).good();
    assert_eq!(ran.json()["logs"][3]["stream"], "stderr");
}

#[test]
fn a_log_is_read_to_its_end_page_by_page() {
    let fake = paged();
    let ran = fake.run(&["runs", "logs", "7", "--after-seq", "0"]).good();
    assert_eq!(ran.stdout.lines().count() + ran.stderr.lines().count(), 9, "{ran:?}");
    let asked: Vec<_> =
        fake.asked("GET /runs/7/logs").into_iter().map(|asked| asked.query.unwrap_or_default()).collect();
    assert_eq!(asked, ["after_seq=0", "after_seq=4", "after_seq=8", "after_seq=9"]);

    let ran = paged().run(&["runs", "logs", "7", "--json"]).good();
    let seqs: Vec<_> =
        ran.json()["logs"].as_array().unwrap().iter().map(|line| line["seq"].as_i64()).collect();
    assert_eq!(seqs, (1..=9).map(Some).collect::<Vec<_>>());
    let empty = Fake::start().on("GET /runs/7/logs", 200, lines(1, 0, ""));
    assert_eq!(empty.run(&["runs", "logs", "7", "--json"]).good().json(), json!({"logs": []}));
    // One that begins again and again is not asked for ever.
    let fake = Fake::start().on("GET /runs/7/logs", 200, lines(1, 4, "line"));
    assert_eq!(fake.run(&["runs", "logs", "7", "--json"]).good().json()["logs"].as_array().unwrap().len(), 4);
}

#[rstest]
#[case("0", &[])]
#[case("2", &[8, 9])]
#[case("6", &[4, 5, 6, 7, 8, 9])]
#[case("100", &[1, 2, 3, 4, 5, 6, 7, 8, 9])]
fn the_tail_of_a_log_is_its_last_lines(#[case] most: &str, #[case] expected: &[i64]) {
    let ran = paged().run(&["runs", "logs", "7", "--tail", most, "--json"]).good();
    let seqs: Vec<_> =
        ran.json()["logs"].as_array().unwrap().iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, expected);
}

#[test]
fn following_may_begin_with_the_tail() {
    let fake = paged()
        .on("GET /runs/7", 200, a_run("completed", ""))
        .on("GET /runs/7/attempts", 200, attempts(&[1]))
        .on("GET /runs/7/logs", 200, lines(10, 11, "late"))
        .on("GET /runs/7/logs", 200, lines(1, 0, ""));
    let ran = fake.run(&["runs", "logs", "7", "-f", "--tail", "1", "--json"]).good();
    let seqs: Vec<_> =
        ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64()).collect();
    assert_eq!(seqs, [Some(9), Some(10), Some(11)]);
}

#[rstest]
#[case("2", 0, "")]
#[case("1", 1, "the server shows the log of a run's newest attempt alone")]
#[case("3", 1, "run 7 has no attempt 3")]
fn the_log_of_an_older_attempt_is_refused(#[case] attempt: &str, #[case] code: i32, #[case] reason: &str) {
    let fake = paged().on("GET /runs/7/attempts", 200, attempts(&[1, 2]));
    let ran = fake.run(&["runs", "logs", "7", "--attempt", attempt]);
    assert_eq!((ran.code, fake.asked("GET /runs/7/logs").is_empty()), (code, code == 1), "{ran:?}");
    assert!(ran.stderr.contains(reason), "{}", ran.stderr);
}

#[test]
fn a_run_without_a_number_is_explained() {
    let ran = Fake::start().run(&["runs", "logs", ""]);
    assert!(ran.code == 1 && ran.stderr.contains("it is empty"), "{}", ran.stderr);
}

const ARTIFACTS: &str = r#"{"artifacts":[{"path":"plots/a b.png","bytes":4,"sha256":"00","content_type":"image/png",
    "created_at":"2026-01-02T03:04:05Z"}]}"#;

#[test]
fn artifacts_are_listed_and_downloaded() {
    let fake = Fake::start().on("GET /runs/7/artifacts", 200, ARTIFACTS).on(
        "GET /runs/7/artifacts/plots/a%20b.png",
        200,
        "data",
    );
    let ran = fake.run(&["runs", "artifacts", "list", "7"]).good();
    assert!(ran.stdout.contains("plots/a b.png") && ran.stdout.contains("image/png"), "{}", ran.stdout);
    assert_eq!(
        fake.run(&["runs", "artifacts", "list", "7", "--json"]).good().json()["artifacts"][0]["bytes"],
        4
    );

    let get = ["runs", "artifacts", "get", "7", "plots/a b.png"];
    let ran = fake.run(&get).good();
    assert_eq!(ran.stdout, "Wrote a b.png (4 B).\n");
    let file = fake.home.path().join("a b.png");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
    let ran = fake.run(&get);
    assert!(
        ran.code == 1 && ran.stderr.contains("exists already") && ran.stderr.contains("--force"),
        "{}",
        ran.stderr
    );
    fake.run(&[&get[..], &["--force"]].concat()).good();
    assert_eq!(fake.run(&[&get[..], &["--output", "-"]].concat()).good().stdout, "data");
    let ran = fake.run(&["runs", "artifacts", "get", "7", "nope", "--output", "x"]);
    assert!(ran.code == 11 && ran.stderr.contains("artifacts list 7"), "{}", ran.stderr);
    assert!(!fake.home.path().join("x").exists());
}

#[test]
fn a_followed_log_is_complete_over_a_retry() {
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
