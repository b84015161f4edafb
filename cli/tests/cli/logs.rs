//! Logs: read, followed, over retries and page by page.

use std::io::Read;

use minitower_client::wire::runner::LeaseRequest;
use minitower_client::wire::runs::{CreateRun, Stream};
use minitower_test_plane::{Answer, Call, Gate};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Bed, Ran, end};

/// Lines `text FROM` to `text TO`; the even ones of standard error.
fn lines(from: i64, to: i64, text: &str) -> Vec<(Stream, String)> {
    let stream = |seq: i64| if seq % 2 == 0 { Stream::Stderr } else { Stream::Stdout };
    (from..=to).map(|seq| (stream(seq), format!("{text} {seq}"))).collect()
}

/// A completed run 1 with nine lines, of a server that answers with four of them at most.
fn paged() -> Bed {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.start(&lease);
    runner.log_streams(&lease, 1, &lines(1, 9, "line"));
    runner.exit(&lease, 0);
    let four = Answer::change_json(|body| body["logs"].as_array_mut().unwrap().truncate(4));
    bed.plane.always("GET /runs/1/logs", four);
    bed
}

fn seqs(lines: &[Value]) -> Vec<i64> {
    lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect()
}

fn logged(ran: &Ran) -> Vec<i64> {
    seqs(ran.json()["logs"].as_array().unwrap())
}

fn queries(bed: &Bed) -> Vec<String> {
    let asked = bed.plane.requests("GET /runs/1/logs");
    asked.into_iter().map(|asked| asked.query.unwrap_or_default()).collect()
}

#[test]
fn a_log_goes_to_the_streams_it_came_from() {
    let bed = paged();
    bed.plane.lift_all();
    let ran = bed.words("runs logs 1").good();
    assert_eq!(ran.stdout, "line 1\nline 3\nline 5\nline 7\nline 9\n");
    assert_eq!(ran.stderr, "line 2\nline 4\nline 6\nline 8\n");
    assert_eq!(bed.words("runs logs 1 --json").good().json(), bed.team.get("/runs/1/logs"));
}

#[test]
fn a_log_is_read_to_its_end_page_by_page() {
    let bed = paged();
    let ran = bed.words("runs logs 1 --after-seq 0").good();
    assert_eq!(ran.stdout.lines().count() + ran.stderr.lines().count(), 9, "{ran:?}");
    assert_eq!(queries(&bed), ["after_seq=0", "after_seq=4", "after_seq=8", "after_seq=9"]);
    assert_eq!(logged(&bed.words("runs logs 1 --json").good()), [1, 2, 3, 4, 5, 6, 7, 8, 9]);

    let silent = bed.team.run("hello").run_id;
    assert_eq!(bed.words(&format!("runs logs {silent} --json")).good().json(), json!({"logs": []}));
}

#[test]
fn a_server_that_begins_again_and_again_is_not_asked_for_ever() {
    let bed = paged();
    bed.plane.lift_all();
    let first = bed.team.get("/runs/1/logs");
    bed.plane.always("GET /runs/1/logs", Answer::json(200, &first));
    assert_eq!(logged(&bed.words("runs logs 1 --json").good()).len(), 9);
}

#[rstest]
#[case("0", &[])]
#[case("2", &[8, 9])]
#[case("6", &[4, 5, 6, 7, 8, 9])]
#[case("100", &[1, 2, 3, 4, 5, 6, 7, 8, 9])]
fn the_tail_of_a_log_is_its_last_lines(#[case] most: &str, #[case] expected: &[i64]) {
    assert_eq!(logged(&paged().words(&format!("runs logs 1 --json --tail {most}")).good()), expected);
}

#[test]
fn the_server_is_asked_for_the_tail_alone() {
    let bed = paged();
    bed.plane.lift_all();
    let ran = bed.words("logs 1 --tail 2").good();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("line 9\n", "line 8\n"));
    assert_eq!(queries(&bed), ["tail=2", "after_seq=9"]);
}

#[rstest]
#[case("", &["second"])]
#[case(" --attempt 1", &["first"])]
#[case(" --attempt 2", &["second"])]
#[case(" --attempt 1 --tail 1", &["first"])]
#[case(" --attempt 1 --follow", &["first"])]
fn every_attempt_has_its_own_log(#[case] more: &str, #[case] expected: &[&str]) {
    let bed = retried();
    let ran = bed.words(&format!("logs 1{more}")).good();
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected, "{ran:?}");
}

#[test]
fn following_may_begin_with_the_tail() {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.start(&lease);
    runner.log_streams(&lease, 1, &lines(1, 9, "line"));
    let following = bed.spawn("runs logs 1 -f --tail 1 --json");
    bed.plane.seen_blocking("GET /runs/1", 1);
    runner.log_streams(&lease, 10, &lines(10, 11, "late"));
    runner.exit(&lease, 0);
    assert_eq!(seqs(&end(following).good().json_lines()), [9, 10, 11]);
}

/// A run that `r-1` gave back and `r-2` has completed.
fn retried() -> Bed {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let (first, second) = (bed.plane.runner("r-1"), bed.plane.runner("r-2"));
    let lease = first.lease();
    first.start(&lease);
    first.log(&lease, 1, &["first"]);
    let attempt = first.attempt(&lease);
    bed.plane.run(async move { attempt.release().await.unwrap() });
    let lease = second.lease();
    second.start(&lease);
    second.log(&lease, 1, &["second"]);
    second.exit(&lease, 0);
    bed
}

#[rstest]
#[case("")]
#[case(" --follow")]
#[case(" --json")]
fn an_attempt_that_the_run_does_not_have_is_named(#[case] more: &str) {
    let bed = retried();
    let ran = bed.words(&format!("runs logs 1 --attempt 3{more}"));
    assert_eq!((ran.code, bed.plane.count("GET /runs/1/logs")), (11, 0), "{ran:?}");
    assert!(ran.stderr.contains("run 1 has no attempt 3"), "{}", ran.stderr);
    assert!(ran.stderr.contains("minitower runs attempts 1"), "{}", ran.stderr);
}

#[test]
fn the_newest_run_is_meant_when_none_is_named() {
    let bed = Bed::with_app();
    for line in ["logs", "logs --app hello", "runs logs", "runs watch"] {
        let ran = bed.words(line);
        assert!(ran.code == 11 && ran.stderr.contains("no runs yet"), "{line}: {ran:?}");
    }
    bed.team.app("other");
    bed.team.version("other", Bed::project());
    let runner = bed.plane.runner("r-1");
    for (app, text) in [("hello", "of hello"), ("other", "of other")] {
        bed.team.run(app);
        let lease = runner.lease();
        runner.start(&lease);
        runner.log(&lease, 1, &[text]);
        runner.exit(&lease, 0);
    }
    let ran = bed.words("logs").good();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("of other\n", "run 2 (other #1)\n"));
    assert_eq!(bed.words("logs --app hello").good().stdout, "of hello\n");
    bed.words("config set --app hello").good();
    assert_eq!(bed.words("logs").good().stdout, "of hello\n", "the profile's app");
    assert_eq!(bed.words("logs 2").good().stdout, "of other\n");
}

#[test]
fn a_log_that_an_older_server_does_not_stream_is_complete_over_a_retry() {
    let bed = Bed::with_app();
    bed.plane.once("GET /runs/1/logs", Answer::json(200, &json!({"logs": []})));
    bed.team.run_with("hello", CreateRun { max_retries: Some(1), ..CreateRun::default() });
    let following = bed.spawn("runs logs 1 --follow");
    bed.plane.seen_blocking("GET /runs/1", 2);
    let (first, second) = (bed.plane.runner("r-1"), bed.plane.runner("r-2"));
    let lease = first.lease();
    first.start(&lease);
    first.log(&lease, 1, &["first 1", "first 2"]);
    let after = |seq: &'static str| {
        let of_first = move |query: &str| query.contains(seq) && query.contains("attempt=1");
        Call::from("GET /runs/1/logs").when(move |asked| asked.query.as_deref().is_some_and(of_first))
    };
    bed.plane.seen_blocking(after("after_seq=2"), 2);

    // While it does not look, the first attempt logs its last words and ends, and the second begins. A server that
    // keeps the lines of each attempt still has those words; ours no longer shows them.
    let gate = Gate::closed();
    bed.plane.always("GET /runs/1", Answer::real().held_by(&gate));
    let asked = bed.plane.count("GET /runs/1");
    bed.plane.seen_blocking("GET /runs/1", asked + 1);
    let attempt = first.attempt(&lease);
    bed.plane.run(async move { attempt.release().await.unwrap() });
    let lease = second.poll(LeaseRequest::default()).unwrap();
    second.start(&lease);
    second.log(&lease, 1, &["second 1"]);
    let last = json!({"seq": 3, "stream": "stdout", "line": "first 3", "logged_at": "2026-01-02T03:04:05Z"});
    bed.plane.once(after("after_seq=2"), Answer::json(200, &json!({"logs": [last]})));
    bed.plane.once(after("after_seq=3"), Answer::json(200, &json!({"logs": []})));
    gate.open();
    let of_second =
        |asked: &minitower_test_plane::Request| asked.query.as_deref() == Some("after_seq=1&attempt=2");
    bed.plane.seen_blocking(Call::from("GET /runs/1/logs").when(of_second), 1);
    second.log(&lease, 2, &["second 2"]);
    second.exit(&lease, 0);

    let ran = end(following).good();
    assert_eq!(ran.stdout, "first 1\nfirst 2\nfirst 3\nsecond 1\nsecond 2\n");
    assert!(
        ran.stderr.contains("waiting for a runner") && ran.stderr.contains("attempt 2 on r-2"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.lines().last().unwrap().starts_with("── run 1 completed"), "{}", ran.stderr);
    let mut asked = queries(&bed);
    asked.dedup();
    let expected = [
        "",
        "attempt=1",
        "after_seq=2&attempt=1",
        "after_seq=3&attempt=1",
        "attempt=2",
        "after_seq=1&attempt=2",
        "after_seq=2&attempt=2",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_log_is_streamed_over_a_retry_and_asked_for_once() {
    let bed = Bed::with_app();
    bed.team.run_with("hello", CreateRun { max_retries: Some(1), ..CreateRun::default() });
    let following = bed.spawn("runs logs 1 --follow");
    bed.plane.seen_blocking("GET /runs/1/logs", 1);
    let (first, second) = (bed.plane.runner("r-1"), bed.plane.runner("r-2"));
    let lease = first.lease();
    first.start(&lease);
    first.log_streams(&lease, 1, &lines(1, 3, "first"));
    let attempt = first.attempt(&lease);
    bed.plane.run(async move { attempt.release().await.unwrap() });
    let lease = second.poll(LeaseRequest::default()).unwrap();
    second.start(&lease);
    second.log(&lease, 1, &["second 1"]);
    // It asks who has the second attempt.
    let asked = bed.plane.count("GET /runs/1");
    bed.plane.seen_blocking("GET /runs/1", asked.max(2));
    second.log(&lease, 2, &["second 2"]);
    second.exit(&lease, 3);
    let ran = end(following).good();
    assert_eq!(ran.stdout, "first 1\nfirst 3\nsecond 1\nsecond 2\n");
    assert!(ran.stderr.contains("first 2\n") && ran.stderr.contains("attempt 2 on r-2"), "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.starts_with("── run 1 failed") && last.contains("exit status 3"), "{}", ran.stderr);
    assert_eq!(queries(&bed), [""]);
}

#[test]
fn a_stream_that_breaks_off_goes_on_behind_its_last_line() {
    let bed = paged();
    bed.plane.lift_all();
    let line = json!({"seq": 1, "stream": "stdout", "line": "line 1", "logged_at": "2026-01-02T03:04:05Z"});
    let cut = format!("retry: 1000\n\nid: 1\ndata: {line}\n\nid: 2\ndata: {{\"seq\"");
    bed.plane.once("GET /runs/1/logs", Answer::text(200, "text/event-stream", cut));
    bed.plane.once("GET /runs/1/logs", Answer::cut());
    let ran = bed.words("runs logs 1 --follow").good();
    assert_eq!(ran.stdout, "line 1\nline 3\nline 5\nline 7\nline 9\n");
    assert!(ran.stderr.starts_with("line 2\n") || ran.stderr.contains("\nline 2\n"), "{}", ran.stderr);
    let asked = bed.plane.requests("GET /runs/1/logs");
    let behind: Vec<_> = asked.iter().map(|asked| asked.headers.get("last-event-id")).collect();
    assert_eq!(behind[0], None);
    assert!(behind.len() > 1 && behind[1..].iter().all(|id| id.is_some_and(|id| id == "1")), "{behind:?}");
}

#[test]
fn a_team_that_may_follow_no_more_streams_polls() {
    let bed = paged();
    bed.plane.lift_all();
    let full = Answer::refusal(429, "rate_limited", "the team streams as much as its limits allow");
    bed.plane.once("GET /runs/1/logs", full);
    let ran = bed.words("runs logs 1 --follow --after-seq 4").good();
    assert_eq!(ran.stdout, "line 5\nline 7\nline 9\n");
}

#[test]
fn a_followed_log_as_json_is_a_line_each() {
    let ran = paged().words("runs logs 1 -f --json").good();
    assert_eq!(seqs(&ran.json_lines()), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_server_that_does_not_know_attempts_is_followed_all_the_same() {
    let bed = paged();
    bed.plane.always("GET /runs/1/attempts", Answer::refusal(404, "not_found", "no such route"));
    let ran = bed.words("runs logs 1 --follow").good();
    assert_eq!(ran.stdout.lines().count(), 5, "{ran:?}");
    assert!(queries(&bed).iter().all(|query| !query.contains("attempt=")));
}

#[test]
fn a_closed_pipe_ends_the_program_in_silence() {
    let bed = Bed::with_app();
    bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    let lease = runner.lease();
    runner.start(&lease);
    let line = "a line that fills the pipe ".repeat(100);
    runner.log(&lease, 1, &vec![line.as_str(); 100]);
    runner.exit(&lease, 0);
    let mut child = bed.spawn("runs logs 1");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(!said.contains("panicked") && !said.contains("error:"), "{said}");
}
