//! Ends and stops of server and runner in the middle of a run.

use std::time::{Duration, Instant};

use minitower_tests::process::Signal;
use minitower_tests::{JobBed, wait};
use serde_json::{Value, json};

/// A job that hangs in its first attempt and is quick in every other.
const HANGS_ONCE: &str = r#"
import os, time
print("attempt", os.environ["MINITOWER_ATTEMPT"], flush=True)
while os.environ["MINITOWER_ATTEMPT"] == "1":
    time.sleep(0.02)
"#;

/// A job that counts for about three seconds.
const COUNTS: &str = r#"
import time
for number in range(60):
    print("line", number, flush=True)
    time.sleep(0.05)
"#;

fn statuses(bed: &JobBed, run: i64) -> Vec<Value> {
    bed.team.attempts(run).iter().map(|attempt| attempt["status"].clone()).collect()
}

#[test]
fn a_job_never_outlives_its_lease_when_the_runner_is_stopped() {
    let mut bed = JobBed::with_lease_ttl("2s");
    let run = bed.python_with_retries("hangs", HANGS_ONCE, 1);
    bed.team.wait_line(run, "attempt 1");
    assert!(bed.job_runs(), "the test sees the job");
    bed.runner().signal(Signal::SIGSTOP);
    bed.team.wait_for(run, "has expired", wait::SOON, |run| run["retry_count"] == 1);
    assert!(!bed.job_runs(), "the job was gone before the server gave the run away");
    bed.runner().signal(Signal::SIGCONT);
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
    assert_eq!(statuses(&bed, run), [json!("expired"), json!("completed")]);
}

#[test]
fn a_job_dies_with_its_runner_and_the_restarted_runner_supersedes_it_at_once() {
    let mut bed = JobBed::start();
    let run = bed.python_with_retries("hangs", HANGS_ONCE, 1);
    bed.team.wait_line(run, "attempt 1");
    let killed = Instant::now();
    bed.kill_runner_alone();
    bed.wait_no_job_process(Duration::from_secs(5));
    bed.start_runner();
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
    assert!(killed.elapsed() < Duration::from_secs(40), "nobody waits for the lease of a minute to run out");
    assert_eq!(statuses(&bed, run), [json!("expired"), json!("completed")]);
    assert_eq!(bed.team.read(run)["retry_count"], 1);
}

#[test]
fn a_run_without_retries_is_dead_when_its_runner_was_killed_and_came_back() {
    let mut bed = JobBed::start();
    let run = bed.python("hangs", HANGS_ONCE);
    bed.team.wait_line(run, "attempt 1");
    bed.kill_runner_alone();
    bed.start_runner();
    assert_eq!(bed.team.wait_end(run)["status"], "dead");
    let next = bed.python("next-one", "print('fit')");
    assert_eq!(bed.team.wait_end(next)["status"], "completed");
}

#[test]
fn a_killed_server_costs_neither_the_run_nor_a_line_of_its_log() {
    let mut bed = JobBed::start();
    let run = bed.python("counts", COUNTS);
    bed.team.wait_line(run, "line 5");
    bed.server.kill();
    wait::pass(Duration::from_secs(1));
    bed.server.start_again();
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], "completed", "{}", bed.team.log_text(run));
    let expected: Vec<String> = (0..60).map(|number| format!("line {number}")).collect();
    assert_eq!(bed.team.stream(run, "stdout"), expected);
    assert_eq!(statuses(&bed, run), [json!("completed")]);
}

#[test]
fn a_job_that_ends_while_the_server_is_away_has_its_result_delivered() {
    let mut bed = JobBed::start();
    let code =
        "import time\nprint('started', flush=True)\ntime.sleep(1)\nprint('ended')\nraise SystemExit(7)";
    let run = bed.python("ends", code);
    bed.team.wait_line(run, "started");
    bed.server.kill();
    wait::until("the job has ended", wait::SOON, || (!bed.job_runs()).then_some(()));
    bed.server.start_again();
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("failed"), &json!(7)));
    assert_eq!(bed.team.stream(run, "stdout"), ["started", "ended"]);
}

#[test]
fn an_outage_longer_than_the_lease_stops_the_job_and_the_run_goes_on_later() {
    let mut bed = JobBed::with_lease_ttl("2s");
    let run = bed.python("hangs", HANGS_ONCE);
    bed.team.wait_line(run, "attempt 1");
    bed.server.kill();
    let away = Instant::now();
    wait::until("the runner stops the job by itself", wait::SOON, || (!bed.job_runs()).then_some(()));
    assert!(away.elapsed() < Duration::from_secs(3), "stopped {:?} after the last contact", away.elapsed());
    bed.server.start_again();
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["retry_count"]), (&json!("completed"), &json!(0)));
    assert_eq!(statuses(&bed, run), [json!("released"), json!("completed")]);
}

#[test]
fn a_runner_waits_for_a_server_that_is_away_and_goes_on() {
    let mut bed = JobBed::start();
    bed.server.kill();
    wait::pass(Duration::from_millis(700));
    bed.server.start_again();
    let run = bed.python("after", "print('here')");
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
}

#[test]
fn a_runner_whose_token_is_refused_registers_again() {
    let bed = JobBed::start();
    let name = minitower_tests::job::RUNNER_NAME;
    let gone = bed.team.delete(&format!("/admin/runners/{name}")).send();
    assert!([200, 204].contains(&gone.status), "{}", gone.text());
    let run = bed.python("after", "print('here')");
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
}
