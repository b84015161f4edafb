//! What a job wrote for whoever started it.

use minitower_tests::{Lease, Runner, Server, Team};
use serde_json::{Value, json};

fn bed() -> (Server, Team, Runner) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let runner = Runner::register(&server, "r1");
    (server, team, runner)
}

fn begin(team: &Team, runner: &Runner) -> Lease {
    team.run_id("hello");
    runner.lease_and_start()
}

#[test]
fn the_output_is_in_every_answer_about_the_run_whatever_json_it_is() {
    let (_server, team, runner) = bed();
    for output in [json!({"rows": 3, "of": ["a", null]}), json!([]), json!("text"), json!(0), json!(false)] {
        let lease = begin(&team, &runner);
        assert!(team.read(lease.run).get("output").is_none());
        let result = json!({"status": "completed", "exit_code": 0, "output": output});
        lease.result(result.clone()).expect(200);
        let run = team.read(lease.run);
        assert_eq!(run["output"], output);
        for path in ["/runs?limit=1", "/apps/hello/runs?limit=1"] {
            assert_eq!(team.get(path).send().expect_json(200), json!({"runs": [run]}));
        }
        // The result sent again changes nothing, whatever it brings.
        lease.result(json!({"status": "completed", "output": "another"})).expect(200);
        assert_eq!(team.read(lease.run), run);
    }
}

#[test]
fn a_failed_job_has_an_output_too_and_none_or_null_is_none() {
    let (_server, team, runner) = bed();
    let lease = begin(&team, &runner);
    lease.result(json!({"status": "failed", "exit_code": 1, "output": {"seen": 7}})).expect(200);
    assert_eq!(team.read(lease.run)["output"], json!({"seen": 7}));
    for body in [json!({"status": "completed"}), json!({"status": "completed", "output": null})] {
        let lease = begin(&team, &runner);
        lease.result(body).expect(200);
        assert!(team.read(lease.run).get("output").is_none());
    }
}

#[test]
fn an_output_over_its_limit_is_refused_by_name_and_the_result_may_come_without_it() {
    let (_server, team, runner) = bed();
    let most = 256 * 1024;
    let lease = begin(&team, &runner);
    // With its two quotes.
    let long = "x".repeat(most - 1);
    let answer = lease.result(json!({"status": "completed", "output": long}));
    let message = answer.expect_error(400, "invalid_request");
    assert!(message.contains("output") && message.contains("262144"), "{message}");
    assert_eq!(team.status(lease.run), "running");
    lease.result(json!({"status": "completed", "output": long[1..]})).expect(200);
    assert_eq!(team.read(lease.run)["output"].as_str().map(str::len), Some(most - 2));
}

#[test]
fn a_result_after_a_cancel_or_under_a_lost_lease_brings_no_output() {
    let (_server, team, runner) = bed();
    let lease = begin(&team, &runner);
    team.cancel(lease.run);
    let output = |status: &str| json!({"status": status, "output": "late"});
    lease.result(output("completed")).expect_error(409, "conflict");
    assert_eq!(team.read(lease.run).get("output"), None::<&Value>);
    lease.result(json!({"status": "cancelled"})).expect(200);
    lease.result(output("cancelled")).expect(200);
    assert_eq!(team.read(lease.run).get("output"), None::<&Value>);
}

#[test]
fn a_completed_run_may_say_what_was_lost() {
    let (_server, team, runner) = bed();
    let lease = begin(&team, &runner);
    let words = "12 lines of the log were lost: the runner's disk was full";
    lease.result(json!({"status": "completed", "exit_code": 0, "error_message": words})).expect(200);
    let run = team.read(lease.run);
    assert_eq!((&run["status"], &run["error_message"]), (&json!("completed"), &json!(words)));
    assert_eq!(team.attempts(lease.run)[0]["error_message"], words);
}
