//! Streams of server-sent events: a log as it grows, and the team's runs as they move.

use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::http::Request;
use minitower_tests::http::{Stream, StreamEvent};
use minitower_tests::{Runner, Server, Team, shape};
use serde_json::{Value, json};

const STREAM: &str = "text/event-stream";

fn follow(team: &Team, run: i64) -> Request {
    team.get(&format!("/runs/{run}/logs")).header("Accept", STREAM)
}

/// What came, in short: `1: a line`, `attempt 2`, `end completed`.
fn short(event: &StreamEvent) -> String {
    match (event.event.as_deref(), event.id.as_deref()) {
        (None, Some(id)) => format!("{id}: {}", event.data["line"].as_str().unwrap()),
        (Some("attempt"), Some(id)) => format!("{id} attempt {}", event.data["attempt_no"]),
        (Some("end"), None) => format!("end {}", event.data["status"].as_str().unwrap()),
        _ => panic!("{event:?}"),
    }
}

fn next(stream: &mut Stream) -> String {
    short(&stream.next().unwrap())
}

fn all(stream: Stream) -> Vec<String> {
    stream.map(|event| short(&event)).collect()
}

#[test]
fn a_log_is_streamed_over_retries_until_the_run_ends_and_goes_on_behind_the_last_event() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let made = team.post("/apps/hello/runs").json(json!({"max_retries": 1})).send().expect_json(201);
    let run = shape::int(&made, "run_id");
    let mut early = follow(&team, run).stream();
    for (name, value) in [("cache-control", "no-cache"), ("x-accel-buffering", "no")] {
        assert_eq!(early.headers[name], value);
    }
    assert_eq!(early.greeting(), [": stream-start", "retry: 1000"]);
    let runner = Runner::register(&server, "r1");
    let first = runner.lease_and_start();
    first.logs(&[(1, "a"), (2, "b\nc")]).expect(200);
    let line = early.next().unwrap();
    let expected =
        json!({"seq": 1, "stream": "stdout", "line": "a", "logged_at": "2026-01-02T03:04:05.000Z"});
    assert_eq!(line, StreamEvent { event: None, id: Some("1".to_owned()), data: expected });
    assert_eq!(next(&mut early), "2: b\nc");
    first.release().expect(200);
    let second = runner.lease_and_start();
    second.logs(&[(1, "d")]).expect(200);
    assert_eq!([next(&mut early), next(&mut early)], ["2-0 attempt 2", "2-1: d"]);
    second.complete().expect(200);
    let end = early.next().unwrap();
    assert_eq!(end.event.as_deref(), Some("end"));
    shape::fields(&end.data, &["run_id", "status", "attempt_no", "exit_code"], &["error_message"]);
    assert_eq!((&end.data["run_id"], &end.data["attempt_no"]), (&json!(run), &json!(2)));
    assert!(early.next().is_none(), "nothing comes behind the end");

    let whole = ["1: a", "2: b\nc", "2-0 attempt 2", "2-1: d", "end completed"];
    for (id, from) in [("0", 0), ("1", 1), ("2", 2), ("2-0", 3), ("2-1", 4)] {
        let back = follow(&team, run).header("Last-Event-ID", id).stream();
        assert_eq!(all(back), whole[from..], "behind {id}");
    }
    assert_eq!(all(follow(&team, run).stream()), whole[3..], "the newest attempt");
    let of_first = team.get(&format!("/runs/{run}/logs?attempt=1&tail=1")).header("Accept", STREAM).stream();
    assert_eq!(all(of_first), ["2: b\nc", "end completed"]);
}

#[test]
fn what_makes_no_sense_of_a_stream_is_refused() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let long = "1".repeat(65);
    for id in ["x", "1-", "0-1", "-1", &long] {
        let refused = follow(&team, run).header("Last-Event-ID", id).send();
        let message = refused.expect_error(400, "invalid_request");
        assert!(message.contains("Last-Event-ID"), "{id}: {message}");
    }
    let refused = follow(&team, run).header("Last-Event-ID", "7-1").send();
    assert!(refused.expect_error(404, "not_found").contains("attempt 7"));
    let of_other = team.get(&format!("/runs/{run}/logs?attempt=2")).header("Accept", STREAM);
    let of_other = of_other.header("Last-Event-ID", "1").send().expect_error(400, "invalid_request");
    assert!(of_other.contains("Last-Event-ID"), "{of_other}");
    for (query, word) in
        [("limit=1", "limit"), ("tail=0", "tail"), ("after_seq=-1", "after_seq"), ("x=1", "x")]
    {
        let refused = team.get(&format!("/runs/{run}/logs?{query}")).header("Accept", STREAM).send();
        assert!(refused.expect_error(400, "invalid_request").contains(word), "{query}");
    }
    let other = server.sign_up("other-team");
    follow(&other, run).send().expect_error(404, "not_found");
    follow(&team, run + 1).send().expect_error(404, "not_found");
    team.get("/runs/events?app=hello").send().expect_error(400, "invalid_request");
    let refused = team.get("/runs/events").header("Last-Event-ID", &long).send();
    assert!(refused.expect_error(400, "invalid_request").contains("Last-Event-ID"));
}

#[test]
fn a_log_goes_on_where_it_was_after_the_server_was_killed() {
    let mut server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    lease.logs(&[(1, "a"), (2, "b")]).expect(200);
    let mut stream = follow(&team, run).stream();
    assert_eq!([next(&mut stream), next(&mut stream)], ["1: a", "2: b"]);
    let mut moves = team.get("/runs/events").stream();
    let place = id_of(&moves.greeting());
    server.kill();
    assert!(stream.next().is_none() && moves.next().is_none());
    server.start_again();
    let mut back = follow(&team, run).header("Last-Event-ID", "2").stream();
    lease.logs(&[(2, "b"), (3, "c")]).expect(200);
    assert_eq!(next(&mut back), "3: c");
    let mut moves = team.get("/runs/events").header("Last-Event-ID", &place).stream();
    assert_eq!(moves.next().unwrap().event.as_deref(), Some("reset"), "the server that told it is gone");
    // A stop is no end either: who comes back finds out.
    let began = Instant::now();
    server.terminate();
    assert!(back.next().is_none() && moves.next().is_none());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// The id in a block.
fn id_of(block: &[String]) -> String {
    block.iter().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
}

#[test]
fn a_team_follows_its_runs_and_comes_back_without_a_gap() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let other = server.sign_up("other-team");
    other.python_app("theirs", "print()");
    let mut stream = team.get("/runs/events").stream();
    let greeting = stream.greeting();
    assert_eq!(greeting[..2], [": stream-start", "retry: 1000"]);
    other.run_id("theirs");
    let labels = json!({"labels": {"a": "1"}, "priority": 3, "environment": "zone"});
    let run = team.post("/apps/hello/runs").json(labels).send().expect_json(201);
    let made = stream.next().unwrap();
    assert_eq!(made.event, None);
    let known = [
        "run_id",
        "status",
        "app_id",
        "app_slug",
        "run_no",
        "version_no",
        "environment",
        "priority",
        "max_retries",
        "retry_count",
        "cancel_requested",
        "queued_at",
        "labels",
    ];
    let absent = ["attempt_no", "started_at", "finished_at", "exit_code", "error_message", "runner", "input"];
    shape::fields(&made.data, &known, &absent);
    for field in known {
        assert_eq!(made.data[field], run[field], "{field}");
    }
    let id = shape::int(&run, "run_id");
    team.cancel(id);
    let cancelled = stream.next().unwrap();
    assert_eq!(cancelled.data["status"], "cancelled");
    assert_eq!(cancelled.data["finished_at"], team.read(id)["finished_at"]);
    drop(stream);
    let missed = team.run_id("hello");
    let mut back = team.get("/runs/events").header("Last-Event-ID", &cancelled.id.unwrap()).stream();
    assert_eq!(back.next().unwrap().data["run_id"], missed);
    let mut all = team.get("/runs/events").header("Last-Event-ID", &id_of(&greeting)).stream();
    let seen: Vec<Value> = (0..3).map(|_| all.next().unwrap().data["run_id"].clone()).collect();
    assert_eq!(seen, [id, id, missed]);
    for unknown in ["x", "0123456789abcdef-1", "7"] {
        let mut anew = team.get("/runs/events").header("Last-Event-ID", unknown).stream();
        let reset = anew.next().unwrap();
        assert_eq!((reset.event.as_deref(), &reset.data), (Some("reset"), &json!({})), "{unknown}");
        let run = team.run_id("hello");
        assert_eq!(anew.next().unwrap().data["run_id"], run);
    }
}

#[test]
fn a_stream_ends_with_its_token_and_counts_for_its_team_while_it_lasts() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let made = team.post("/tokens").send().expect_json(201);
    let mut reader = team.clone();
    reader.token = shape::text(&made, "token");
    let mut streams = [follow(&reader, run).stream(), reader.get("/runs/events").stream()];
    let used = || team.get("/limits").send().expect_json(200)["streams"]["used"].clone();
    assert_eq!(used(), 2);
    team.delete(&format!("/tokens/{}", made["token_id"])).send().expect(204);
    let began = Instant::now();
    for stream in &mut streams {
        assert!(stream.next().is_none());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    minitower_tests::wait::until("the streams are closed", Duration::from_secs(10), || {
        (used() == 0).then_some(())
    });
    follow(&reader, run).send().expect_error(401, "unauthorized");
}

#[test]
fn a_stream_that_has_nothing_to_say_is_kept_alive() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let streams = [follow(&team, run).stream(), team.get("/runs/events").stream()];
    let waiting = streams.map(|mut stream| {
        thread::spawn(move || {
            stream.greeting();
            let began = Instant::now();
            (stream.greeting(), began.elapsed())
        })
    });
    for waiting in waiting {
        let (block, after) = waiting.join().unwrap();
        assert_eq!(block, [": keep-alive"]);
        assert!((14..18).contains(&after.as_secs()), "{after:?}");
    }
}
