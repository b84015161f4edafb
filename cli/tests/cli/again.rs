//! Runs that run again, runs that are cancelled together, and what they left behind, downloaded together.

use std::fs;

use minitower_client::wire::runs::{CreateRun, RunStatus};
use minitower_test_plane::{Answer, Project};
use serde_json::json;

use crate::support::Bed;

/// A run of `hello` that was cancelled.
fn cancelled(bed: &Bed, input: serde_json::Value) -> i64 {
    let run = bed.team.run_with("hello", CreateRun { input: Some(input), ..CreateRun::default() });
    bed.team.cancel(run.run_id).run_id
}

#[test]
fn a_run_runs_again_and_says_which_it_repeats() {
    let bed = Bed::with_app();
    let first = cancelled(&bed, json!({"name": "Ann", "count": 1}));
    let ran = bed.words(&format!("runs retry {first}")).good();
    assert!(ran.stdout.contains(&format!("retry of     {first}\n")), "{}", ran.stdout);
    let ran =
        bed.words(&format!("runs retry {first} -p name=Bob --priority -3 --environment gpu --json")).good();
    let run = ran.json();
    assert_eq!(run["input"], json!({"name": "Bob", "count": 1}));
    assert_eq!((&run["priority"], &run["environment"]), (&json!(-3), &json!("gpu")));
    assert_eq!(run, bed.team.get(&format!("/runs/{}", run["run_id"])));
    let ran = bed.run(&["runs", "retry", &first.to_string(), "--input", r#"{"k":1}"#, "--json"]).good();
    assert_eq!(ran.json()["input"], json!({"k": 1}));

    let waiting = bed.team.run("hello").run_id;
    let ran = bed.words(&format!("runs retry {waiting}"));
    assert!(ran.code == 12 && ran.stderr.contains("has not ended"), "{}", ran.stderr);
    let ran = bed.words(&format!("runs retry {first} --version 9"));
    assert!(ran.code == 11 && ran.stderr.contains("version 9"), "{}", ran.stderr);
    let ran = bed.words(&format!("runs retry {first} --priority 99999999"));
    assert!(ran.code == 1 && ran.stderr.contains("--priority"), "{}", ran.stderr);
    assert_eq!(bed.words("runs retry 999").code, 11);

    let ran = bed.words(&format!("runs retry {first} --after {waiting} --json")).good();
    assert_eq!(ran.json()["blocked_by"], json!("after"));
    let ran = bed.words(&format!("runs retry {first} --after {first}")).good();
    assert!(ran.stdout.contains("cancelled"), "it never completes: {}", ran.stdout);
    let ran = bed.words(&format!("runs retry {first} --after 999"));
    assert!(ran.code == 11 && ran.stderr.contains("999"), "{}", ran.stderr);
}

#[test]
fn one_value_of_a_hidden_input_is_changed_without_knowing_the_others() {
    let bed = Bed::with_app();
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.py\"\n[[parameters]]\nname = \"password\"\nhidden = true\n\
                     [[parameters]]\nname = \"city\"\n";
    bed.team.version("hello", Project::with_towerfile(&[("Towerfile", towerfile), ("main.py", "")]));
    let first = cancelled(&bed, json!({"password": "hunter2", "city": "Rome"}));
    let ran = bed.words(&format!("runs retry {first} -p city=Bonn --json")).good();
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
    let lease = bed.plane.runner("r").lease();
    let input = serde_json::Value::Object(lease.input.unwrap());
    assert_eq!(input, json!({"password": "hunter2", "city": "Bonn"}));
}

#[test]
fn many_runs_are_cancelled_and_run_again_once_the_person_agrees() {
    let bed = Bed::with_app();
    let runs: Vec<_> = (0..3).map(|_| bed.team.run("hello").run_id).collect();
    let ran = bed.words("runs cancel --app hello");
    assert!(ran.code == 1 && ran.stderr.contains("pass --yes"), "{}", ran.stderr);
    assert_eq!(bed.plane.count("POST /runs/cancel"), 0);
    assert_eq!(
        bed.words("runs cancel --app hello --status queued --yes").good().stdout,
        "3 runs are cancelled.\n"
    );
    assert!(runs.iter().all(|run| bed.team.read(*run).status == RunStatus::Cancelled));
    let ran = bed.words("runs cancel --app hello --yes").good();
    assert_eq!(ran.stdout, "There is no such run to cancel.\n");

    let ran = bed.words("runs retry --app hello --yes").good();
    assert_eq!(ran.stdout, "There is no such run to run again.\n", "none of them failed");
    let ran = bed.words("runs retry --app hello --status cancelled --yes --json").good().json();
    assert_eq!((&ran["retried"], ran["run_ids"].as_array().unwrap().len()), (&json!(3), 3));
    let ran = bed.words("runs retry --status cancelled --environment default --yes").good();
    assert_eq!(ran.stdout, "There is no such run to run again.\n");
}

#[test]
fn what_is_asked_for_in_vain_is_named() {
    let bed = Bed::with_app();
    for command in ["cancel", "retry"] {
        let ran = bed.words(&format!("runs {command}"));
        assert!(
            ran.code == 1 && ran.stderr.contains("no run is named") && ran.stderr.contains("--app"),
            "{ran:?}"
        );
        let ran = bed.words(&format!("runs {command} 7 --app hello"));
        assert!(ran.code == 1 && ran.stderr.contains("cannot be used with"), "{ran:?}");
        let ran = bed.words(&format!("runs {command} --app nothing --yes"));
        assert!(
            ran.code == 11 && ran.stderr.contains("nothing") && ran.stderr.contains("apps list"),
            "{ran:?}"
        );
        let ran = bed.words(&format!("runs {command} --label nonsense --yes"));
        assert!(ran.code == 1 && ran.stderr.contains("label"), "{ran:?}");
        let ran = bed.words(&format!("runs {command} --status sleeping --yes"));
        assert!(ran.code == 1 && ran.stderr.contains("sleeping"), "{ran:?}");
    }
}

#[test]
fn nothing_that_is_said_about_one_run_is_ignored_for_many() {
    let bed = Bed::with_app();
    for flag in
        ["-p name=Bob", "--input {}", "--version 1", "--priority 5", "--allow-unknown", "--wait", "--after 1"]
    {
        for many in ["--app hello --yes", "--label a=b --yes", "--status failed", "--environment gpu"] {
            let ran = bed.words(&format!("runs retry {many} {flag}"));
            assert!(ran.code == 1 && !ran.stderr.contains("queued again"), "{many} {flag}: {ran:?}");
        }
    }
    assert_eq!(bed.plane.count("POST /runs/retry"), 0);
}

/// A run that has left three files.
fn with_artifacts() -> Bed {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.start(&lease);
    for (path, content) in [("a.txt", b"0123456789".as_slice()), ("plots/b c.png", b"png"), ("empty", b"")] {
        runner.artifact(&lease, path, content);
    }
    runner.exit(&lease, 0);
    bed
}

#[test]
fn all_files_of_a_run_are_downloaded_and_those_that_are_there_are_kept() {
    let bed = with_artifacts();
    let listed = bed.words("runs artifacts 1 --json").good().json();
    assert_eq!(listed, bed.team.get("/runs/1/artifacts"));
    let ran = bed.words("runs artifacts 1 --download out").good();
    assert_eq!(ran.stdout, "Wrote 3 files to out (13 B).\n");
    let out = bed.home.path().join("out");
    let read = |path: &str| fs::read_to_string(out.join(path)).unwrap();
    assert_eq!(
        (read("a.txt"), read("plots/b c.png"), read("empty")),
        ("0123456789".into(), "png".into(), String::new())
    );

    let ran = bed.words("runs artifacts 1 --download out --json").good().json();
    assert_eq!((&ran["written"], ran["unchanged"].as_array().unwrap().len()), (&json!([]), 3));
    fs::write(out.join("a.txt"), "9876543210").unwrap();
    let ran = bed.words("runs artifacts 1 --download out");
    assert!(
        ran.code == 1 && ran.stderr.contains("another file") && ran.stderr.contains("--force"),
        "{ran:?}"
    );
    assert_eq!(read("a.txt"), "9876543210");
    bed.words("runs artifacts 1 --download out --force").good();
    assert_eq!(read("a.txt"), "0123456789");
    assert_eq!(bed.words("runs artifacts 999 --download out").code, 11);
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_stopped() {
    let bed = with_artifacts();
    bed.plane.once("GET /runs/1/artifacts/a.txt", Answer::break_off());
    bed.words("runs artifacts 1 --download out").good();
    let asked = bed.plane.requests("GET /runs/1/artifacts/a.txt");
    let ranges: Vec<_> = asked.iter().map(|request| request.header("range")).collect();
    assert_eq!(ranges, [None, Some("bytes=5-")]);
    let out = bed.home.path().join("out");
    assert_eq!(fs::read_to_string(out.join("a.txt")).unwrap(), "0123456789");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3, "nothing else is left");

    // What lies there of an earlier try is checked: it may be damaged.
    fs::remove_file(out.join("a.txt")).unwrap();
    let sha256 =
        bed.team.get("/runs/1/artifacts")["artifacts"][0]["sha256"].as_str().unwrap()[..12].to_owned();
    let partial = out.join(format!(".a.txt.{sha256}.part"));
    fs::write(&partial, "xxx").unwrap();
    let ran = bed.words("runs artifacts 1 --download out");
    assert!(ran.code == 1 && ran.stderr.contains("did not come as it was stored"), "{ran:?}");
    assert!(!partial.exists() && !out.join("a.txt").exists());
    bed.words("runs artifacts 1 --download out").good();
    assert_eq!(fs::read_to_string(out.join("a.txt")).unwrap(), "0123456789");
}
