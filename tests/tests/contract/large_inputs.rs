//! Inputs that are larger than a variable may be.

use minitower_tests::{Runner, Server, Team, shape, wait};
use serde_json::{Value, json};

/// Most bytes of an input that lists show.
const LISTED: usize = 64 * 1024;

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    (server, team)
}

/// An input with so many bytes of JSON.
fn of(bytes: usize) -> Value {
    let input = json!({"text": "x".repeat(bytes - r#"{"text":""}"#.len())});
    assert_eq!(input.to_string().len(), bytes);
    input
}

#[test]
fn an_input_as_large_as_a_body_reaches_its_runner_and_is_shown_with_its_run() {
    let (server, team) = bed();
    let input = of(9 << 20);
    let made = team.run("hello", json!({"input": input}));
    assert_eq!(made["input"], input);
    shape::fields(&made, &[], &["input_bytes", "output_bytes"]);
    let id = shape::int(&made, "run_id");
    assert_eq!(team.read(id), made);
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    assert_eq!(lease.body["input"], input);
    lease.complete().expect(200);
    assert_eq!(team.read(id)["input"], input);
    let again = team.post(&format!("/runs/{id}/retry")).send().expect_json(201);
    assert_eq!(again["input"], input);
    assert_eq!(team.cancel(shape::int(&again, "run_id"))["input"], input);
    // A byte more than the body may have.
    let body = json!({"input": of(10 << 20)}).to_string();
    team.post("/apps/hello/runs").body(body).send().expect_error(413, "payload_too_large");
}

#[test]
fn lists_leave_out_large_inputs_and_outputs_and_say_so() {
    let (server, team) = bed();
    let small = team.run("hello", json!({"input": of(LISTED)}));
    let large = team.run("hello", json!({"input": of(LISTED + 1)}));
    let runner = Runner::register(&server, "r1");
    // With two quotes each.
    for output in [LISTED - 2, LISTED - 1] {
        let output = "y".repeat(output);
        runner.lease_and_start().result(json!({"status": "completed", "output": output})).expect(200);
    }
    for path in ["/runs", "/apps/hello/runs"] {
        let list = team.get(path).send().expect_json(200)["runs"].clone();
        assert_eq!(list[1], team.read(shape::int(&small, "run_id")), "{path}");
        shape::fields(&list[0], &["input_bytes", "output_bytes"], &["input", "output"]);
        assert_eq!((&list[0]["input_bytes"], &list[0]["output_bytes"]), (&json!(65537), &json!(65537)));
    }
    let whole = team.read(shape::int(&large, "run_id"));
    shape::fields(&whole, &["input", "output"], &["input_bytes", "output_bytes"]);
}

#[test]
fn a_large_input_survives_a_crash_and_counts_as_storage_until_its_run_is_gone() {
    let (mut server, team) = bed();
    let used = || shape::int(&team.get("/limits").send().expect_json(200)["storage_bytes"], "used");
    let before = used();
    let made = team.run("hello", json!({"input": of(1 << 20)}));
    let id = shape::int(&made, "run_id");
    assert!(used() - before > 1 << 20);
    server.kill();
    server.start_again();
    assert_eq!(team.read(id), made);
    team.delete(&format!("/runs/{id}?force=true")).send().expect(204);
    wait::until("the input is gone", wait::SOON, || (used() == before).then_some(()));
}
