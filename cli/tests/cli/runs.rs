//! Runs: created, waited for, watched. Their logs are in `logs`.

use std::io::{BufRead, BufReader, Read};

use minitower_client::wire::admin::Ended;
use minitower_client::wire::runner::{LeaseRequest, ResultStatus, RunResult};
use minitower_client::wire::runs::RunStatus;
use minitower_test_plane::{Answer, Project, Runner};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Bed, end, run};

/// What was asked for when runs were created, in order.
fn created(bed: &Bed) -> Vec<Value> {
    bed.plane.requests("POST /apps/hello/runs").iter().map(minitower_test_plane::Request::json).collect()
}

#[test]
fn a_run_is_created_with_everything_asked_for() {
    let bed = Bed::with_app();
    bed.team.version("hello", Bed::project());
    bed.words("environments create gpu").good();
    let mut line = vec!["runs", "create", "--app", "hello", "--input", r#"{"k":1}"#];
    line.extend(
        "-p name=new -p count=3 --version 1 --priority -5 --max-retries 2 --environment gpu --label dag=night \
         --label day=1"
            .split_whitespace(),
    );
    let ran = bed.run(&line).good();
    let expected = "run          1 (hello #1)\nstatus       queued\nlabels       dag=night day=1\nversion      1\n\
                    environment  gpu\n";
    assert!(ran.stdout.starts_with(expected), "{}", ran.stdout);
    assert!(ran.stderr.contains("minitower logs 1 --follow"), "{}", ran.stderr);
    assert_eq!(
        created(&bed),
        [
            json!({"input": {"name": "new", "k": 1, "count": 3}, "version_no": 1, "priority": -5, "max_retries": 2,
            "environment": "gpu", "labels": {"dag": "night", "day": "1"}})
        ]
    );
    let asked = bed.plane.requests("GET /apps/hello/versions");
    let query = asked[0].query.as_deref();
    assert_eq!((asked.len(), query), (1, Some("limit=1&before=2")), "one version is read");
    let run = bed.team.get("/runs/1");
    assert_eq!((&run["priority"], &run["environment"]), (&json!(-5), &json!("gpu")));

    let found = |labels: &str| bed.words(&format!("runs list --json {labels}")).good().json()["runs"].clone();
    assert_eq!(found("--label dag=night --label day=1").as_array().unwrap().len(), 1);
    assert_eq!(found("--label dag=night --label day=2"), json!([]));
}

#[test]
fn a_label_has_one_value() {
    let bed = Bed::with_app();
    let ran = bed.words("runs create hello --label a=1 --label a=2");
    assert!(ran.code == 1 && ran.stderr.contains("--label a is given twice"), "{ran:?}");
    let ran = bed.words("run hello --label nonsense");
    assert!(ran.code == 1 && ran.stderr.contains("KEY=VALUE"), "{ran:?}");
    let ran = bed.words("runs create hello --label =x");
    assert!(ran.code == 1 && ran.stderr.contains("--label"), "{ran:?}");
    assert_eq!(created(&bed).len(), 1, "the last one alone reached the server");
}

#[test]
fn a_run_without_flags_sends_none() {
    let bed = Bed::with_app();
    let ran = bed.words("runs create hello --json").good();
    assert_eq!((ran.json(), ran.stderr.as_str()), (bed.team.get("/runs/1"), ""));
    assert_eq!(created(&bed), [json!({})]);
}

#[test]
fn the_input_comes_from_a_file_or_standard_input() {
    let bed = Bed::with_app();
    bed.write("in.json", r#"{"a":1}"#);
    bed.words("runs create hello --input @in.json").good();
    run(&mut bed.cli(&["runs", "create", "hello", "--input", "-"]), r#"{"b":2}"#).good();
    assert_eq!(created(&bed), [json!({"input": {"a": 1}}), json!({"input": {"b": 2}})]);
}

#[test]
fn an_input_that_does_not_fit_is_told_before_anything_is_created() {
    let bed = Bed::with_app();
    for (more, reason) in [
        (["-p", "count=three"], "`three` is not of type integer"),
        (["-p", "count"], "KEY=VALUE"),
        (["--input", "[1]"], "must be a JSON object"),
        (["--input", "{"], "not valid JSON"),
        (["--input", "@nope.json"], "nope.json"),
    ] {
        let ran = bed.run(&[&["runs", "create", "hello"], &more[..]].concat());
        assert!(ran.code == 1 && ran.stderr.contains(reason), "{ran:?}");
    }
    assert!(created(&bed).is_empty());
}

#[test]
fn a_parameter_the_version_does_not_have_is_pointed_at() {
    let bed = Bed::with_app();
    let ran = bed.words("runs create hello -p nam=x");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no parameter `nam`: did you mean `name`?"), "{}", ran.stderr);
    assert!(created(&bed).is_empty());
    let ran = bed.words("run hello -p release=1.10");
    assert!(ran.code == 1 && ran.stderr.contains("it has count, name"), "{}", ran.stderr);
    let ran = bed.words("run hello -p name=1 -p name=2 --allow-unknown");
    assert!(ran.code == 1 && ran.stderr.contains("given twice"), "{}", ran.stderr);
    assert!(created(&bed).is_empty());
    bed.words("runs create hello -p release=1.10 --allow-unknown").good();
    assert_eq!(created(&bed), [json!({"input": {"release": "1.10"}})]);
}

#[test]
fn a_key_in_the_input_and_behind_p_is_refused_before_anything_is_created() {
    let bed = Bed::with_app();
    let ran = bed.run(&["run", "hello", "--input", r#"{"name":"a"}"#, "-p", "name=b"]);
    assert!(ran.code == 1 && ran.stderr.contains("`name` is given twice: with -p and in --input"), "{ran:?}");
    assert!(ran.stderr.contains("help: keep one of them"), "{ran:?}");
    assert!(created(&bed).is_empty());
    bed.run(&["runs", "create", "hello", "--input", r#"{"name":"a"}"#, "-p", "count=2"]).good();
    assert_eq!(created(&bed), [json!({"input": {"name": "a", "count": 2}})]);
}

#[rstest]
#[case(&["-p", "pin=hunter2"])]
#[case(&["-p", "pin=1", "-p", "pin=hunter2"])]
#[case(&["-p", "pin=hunter2", "-p", "pin=1"])]
#[case(&["-p", "pim=hunter2"])]
#[case(&["-p", "name=1", "-p", "count=hunter2"])]
#[case(&["-p", "hunter2"])]
#[case(&["-p", "=hunter2"])]
#[case(&["--param=hunter2"])]
#[case(&["--input", r#"{"pin":"hunter2"}"#])]
#[case(&["--input", r#"{"pin":"hunter2}"#])]
#[case(&["--input", r#"{"pin":hunter2}"#])]
#[case(&["--input", r#""hunter2""#])]
#[case(&["--input", r#"{"pin":"hunter2"}"#, "-p", "pin=1"])]
#[case(&["--input", r#"{"name":7, "word":"hunter2"}"#])]
#[case(&["-p", "word=hunter2", "-p", "count=99999999999999999999"])]
#[case(&["-p", "word=hunter2"])]
fn the_value_of_a_hidden_parameter_is_told_nowhere(#[case] given: &[&str]) {
    let bed = Bed::start();
    bed.team.app("hello");
    let properties = json!({"name": {"type": "string"}, "count": {"type": "integer"},
        "pin": {"type": "integer", "writeOnly": true}, "word": {"type": "string", "writeOnly": true}});
    let schema = json!({"type": "object", "properties": properties});
    bed.team.version("hello", Project { params_schema: Some(schema), ..Bed::project() });
    for more in [&[][..], &["--json"]] {
        let ran = bed.run(&[&["runs", "create", "hello"], given, more].concat());
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:?}");
        assert_eq!(ran.code, i32::from(given != ["-p", "word=hunter2"]), "{ran:?}");
    }
}

#[rstest]
#[case("--max-retries -1", "--max-retries must be ")]
#[case("--retry 1000000", "--retry must be ")]
#[case("--retry 2 --retry-factor 0", "--retry-factor must be ")]
fn the_servers_refusal_names_the_flag_and_not_the_field(#[case] flags: &str, #[case] said: &str) {
    let bed = Bed::with_app();
    let ran = bed.words(&format!("run hello {flags}"));
    assert!(ran.code == 1 && ran.stderr.starts_with(&format!("error: {said}")), "{}", ran.stderr);
    assert_eq!(created(&bed).len(), 1, "asked, and refused");
}

/// Follows a run through its log and ends as it ends.
#[rstest]
#[case("run hello")]
#[case("runs create hello --wait")]
fn a_run_is_followed_to_its_end(#[case] line: &str) {
    let bed = Bed::with_app();
    let runner = bed.plane.runner("r-1");
    let following = bed.spawn(line);
    bed.plane.seen_blocking("GET /runs/1", 1);
    let lease = runner.lease();
    runner.start(&lease);
    runner.log(&lease, 1, &["first", "second"]);
    runner.exit(&lease, 3);
    let ran = end(following).plain();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "first\nsecond\n"), "{ran:?}");
    assert!(ran.stderr.starts_with("run 1 (hello #1) queued\n"), "{}", ran.stderr);
    assert!(ran.stderr.lines().last().unwrap().starts_with("── run 1 failed after "), "{}", ran.stderr);
}

#[test]
fn a_run_says_how_long_it_may_take_and_how_it_is_retried() {
    let bed = Bed::with_app();
    bed.words(
        "runs create hello --timeout 60 --retry 3 --retry-on failed,lost --retry-wait 500 --retry-factor 1.5 \
         --retry-max-wait 9000",
    )
    .good();
    let retry = json!({"max_attempts": 3, "on": ["failed", "lost"], "backoff_initial_ms": 500,
        "backoff_multiplier": 1.5, "backoff_max_ms": 9000});
    assert_eq!(created(&bed), [json!({"timeout_seconds": 60, "retry": retry})]);
}

#[test]
fn retries_that_make_no_sense_are_refused() {
    let bed = Bed::start();
    for (flags, reason) in [
        ("--retry 2 --max-retries 1", "cannot be used with"),
        ("--retry-on lost", "--retry"),
        ("--max-retries 1 --retry-on lost", "cannot be used with"),
        ("--max-retries 1 --retry-wait 500", "cannot be used with"),
        ("--max-retries 1 --retry-factor 2", "cannot be used with"),
        ("--max-retries 1 --retry-max-wait 500", "cannot be used with"),
        ("--retry 2 --retry-on never", "failed, timeout, lost"),
        ("--retry 0", "--retry"),
        ("--timeout 0", "--timeout"),
    ] {
        let ran = bed.words(&format!("runs create hello {flags}"));
        assert!(ran.code == 1 && ran.stderr.contains(reason), "{}", ran.stderr);
    }
    assert!(created(&bed).is_empty());
}

#[test]
fn an_app_without_version_leads_to_deploy() {
    let bed = Bed::start();
    bed.team.app("hello");
    let ran = bed.words("runs create hello");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("minitower deploy"), "{}", ran.stderr);
}

/// Ends the leased run 1 of a started attempt in one of the four ways.
fn finish(bed: &Bed, runner: &Runner, lease: &minitower_client::wire::runner::Lease, status: RunStatus) {
    match status {
        RunStatus::Completed => runner.exit(lease, 0),
        RunStatus::Failed => runner.exit(lease, 3),
        RunStatus::Cancelled => {
            bed.team.cancel(lease.run_id);
            let status = ResultStatus::Cancelled;
            let cancelled = RunResult {
                status,
                exit_code: None,
                error_message: None,
                reason: None,
                output: None,
                logs: Vec::new(),
            };
            runner.end(lease, cancelled);
        }
        RunStatus::Dead => {
            let operator = bed.plane.operator();
            bed.plane.run(async move {
                let ended = Ended { instance_id: Some("i".to_owned()), reason: Some("OOMKilled".to_owned()) };
                operator.runner_ended("r-1", &ended).await.unwrap();
            });
        }
        other => panic!("{other:?} is not an end"),
    }
    assert_eq!(bed.team.read(lease.run_id).status, status);
}

#[rstest]
#[case(RunStatus::Completed, 0)]
#[case(RunStatus::Failed, 1)]
#[case(RunStatus::Dead, 1)]
#[case(RunStatus::Cancelled, 2)]
fn waiting_and_watching_end_as_the_run_does(#[case] status: RunStatus, #[case] code: i32) {
    let bed = Bed::with_app();
    let runner = bed.plane.runner("r-1");
    let waiting = bed.spawn("runs create hello --wait");
    bed.plane.seen_blocking("GET /runs/1", 1);
    let process = LeaseRequest { instance_id: Some("i".to_owned()), ..LeaseRequest::default() };
    let lease = runner.poll(process).unwrap();
    runner.start(&lease);
    bed.plane.seen_blocking("GET /runs/1/logs", 1);
    finish(&bed, &runner, &lease, status);

    let ran = end(waiting).plain();
    let word = status.as_str();
    assert_eq!(ran.code, code, "{ran:?}");
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.starts_with(&format!("── run 1 {word}")), "{}", ran.stderr);
    for line in ["runs watch 1", "runs watch --app hello"] {
        let ran = bed.words(line).plain();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stdout.starts_with(&format!("run 1 (hello #1) {word}")), "{}", ran.stdout);
    }
}

#[test]
fn a_run_that_nobody_will_take_says_so() {
    let bed = Bed::with_app();
    let said = |environment: &str| {
        bed.words(&format!("runs create hello --environment {environment}")).good().stderr
    };
    let nobody = "no runner of environment default is online";
    assert!(said("default").contains(nobody));
    bed.words("environments create other").good();
    let runner = |name: &str, environment: &str| {
        let register = minitower_client::wire::runner::Register {
            name: name.to_owned(),
            environment: Some(environment.to_owned()),
            ..Default::default()
        };
        let runner = bed.plane.runner_with(&bed.team.registration_token, register);
        runner.poll(LeaseRequest::default());
    };
    runner("r-2", "other");
    assert!(said("default").contains(nobody), "another environment's runner is of no use");
    assert!(!said("other").contains("warning"));
    runner("r-1", "default");
    assert!(!said("default").contains("warning"));
    bed.words("runners drain r-1").good();
    assert!(said("default").contains("every runner of environment default is drained"));
}

#[test]
fn a_run_named_by_its_app_is_told_how_runs_are_named() {
    let bed = Bed::start();
    let ran = bed.words("runs logs hello").plain();
    assert!(ran.stderr.contains("minitower runs list"), "{}", ran.stderr);
    let ran = bed.run(&["runs", "logs", ""]);
    assert!(ran.code == 1 && ran.stderr.contains("it is empty"), "{}", ran.stderr);
}

#[test]
fn waiting_and_watching_print_json_alone_on_standard_output() {
    let bed = Bed::with_app();
    let runner = bed.plane.runner("r-1");
    let waiting = bed.spawn("runs create hello --wait --json");
    bed.plane.seen_blocking("GET /runs/1", 1);
    let lease = runner.lease();
    runner.start(&lease);
    let watching = bed.spawn("runs watch 1 --json");
    let asked = bed.plane.count("GET /runs/1");
    bed.plane.seen_blocking("GET /runs/1", asked + 3);
    runner.exit(&lease, 0);
    assert_eq!(end(waiting).good().json()["status"], "completed");
    let states = end(watching).good().json_lines();
    let words: Vec<_> = states.iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert_eq!(words.last(), Some(&"completed"));
    assert_eq!(bed.words("runs watch 1 --json").good().json_lines(), [bed.team.get("/runs/1")]);
}

#[test]
fn a_run_of_a_server_that_streams_no_moves_is_watched_all_the_same() {
    let bed = Bed::with_app();
    bed.team.run("hello");
    bed.plane.always("GET /runs/events", Answer::refusal(400, "invalid_request", "no run has this number"));
    let watching = bed.spawn("runs watch 1");
    bed.plane.seen_blocking("GET /runs/1", 2);
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.exit(&lease, 0);
    let ran = end(watching).good();
    assert!(ran.stdout.lines().last().unwrap().contains("completed"), "{ran:?}");
}

#[test]
fn a_server_that_is_away_for_a_moment_does_not_end_a_watch() {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.exit(&lease, 0);
    bed.plane.once("GET /runs/1", Answer::refusal(503, "unavailable", "the database is busy"));
    bed.plane.once("GET /runs/1", Answer::cut());
    let ran = bed.words("runs watch 1").good();
    assert!(
        ran.stderr.contains("the database is busy") && ran.stderr.contains("trying again"),
        "{}",
        ran.stderr
    );
    assert_eq!(bed.plane.count("GET /runs/1"), 3);
}

#[test]
fn ctrl_c_leaves_the_run_going_and_says_so() {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let mut child = bed.spawn("runs watch 1");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let mut said = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}: {said}");
    assert!(said.contains("run 1 continues") && said.contains("runs cancel 1"), "{said}");
    assert_eq!(bed.plane.count("POST /runs/1/cancel"), 0);
    assert_eq!(bed.team.read(1).status, RunStatus::Queued);
}

/// The server's own runner API takes artifacts under a lease; a real one uploads them.
fn with_artifact() -> Bed {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.start(&lease);
    runner.artifact(&lease, "plots/a b.png", b"data");
    runner.exit(&lease, 0);
    bed
}

#[test]
fn artifacts_are_listed_and_downloaded() {
    let bed = with_artifact();
    let ran = bed.words("runs artifacts list 1").good();
    assert!(ran.stdout.contains("plots/a b.png") && ran.stdout.contains("image/png"), "{}", ran.stdout);
    let listed = bed.words("runs artifacts list 1 --json").good().json();
    assert_eq!(listed, bed.team.get("/runs/1/artifacts"));

    let get = ["runs", "artifacts", "get", "1", "plots/a b.png"];
    let ran = bed.run(&get).good();
    assert_eq!(ran.stdout, "Wrote a b.png (4 B).\n");
    let file = bed.home.path().join("a b.png");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
    let ran = bed.run(&get);
    assert!(
        ran.code == 1 && ran.stderr.contains("already exists") && ran.stderr.contains("--force"),
        "{}",
        ran.stderr
    );
    bed.run(&[&get[..], &["--force"]].concat()).good();
    assert_eq!(bed.run(&[&get[..], &["--output", "-"]].concat()).good().stdout, "data");
    let ran = bed.run(&["runs", "artifacts", "get", "1", "nope", "--output", "x"]);
    assert!(ran.code == 11 && ran.stderr.contains("artifacts list 1"), "{}", ran.stderr);
    assert!(!bed.home.path().join("x").exists());
}

#[test]
fn half_an_artifact_is_never_left_in_its_place() {
    let bed = with_artifact();
    bed.plane.once("GET /runs/1/artifacts/**", Answer::break_off());
    let ran = bed.run(&["runs", "artifacts", "get", "1", "plots/a b.png"]);
    assert!(ran.code == 14 && !ran.stderr.is_empty(), "{ran:?}");
    assert!(!bed.home.path().join("a b.png").exists());
}
