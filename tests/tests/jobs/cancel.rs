//! Cancelling real jobs.

use std::time::{Duration, Instant};

use minitower_tests::JobBed;

#[test]
fn a_cancelled_job_gets_time_to_clean_up() {
    let bed = JobBed::with_lease_ttl("3s");
    let code = r#"
import signal, sys, time
def stop(number, frame):
    print("cleaning up", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("started", flush=True)
while True:
    time.sleep(0.05)
"#;
    let run = bed.python("polite", code);
    bed.team.wait_line(run, "started");
    bed.team.cancel(run);
    assert_eq!(bed.team.wait_end(run)["status"], "cancelled");
    assert_eq!(bed.team.stream(run, "stdout"), ["started", "cleaning up"]);
    assert!(!bed.job_runs());
}

#[test]
fn a_job_that_ignores_sigterm_is_killed_after_the_grace() {
    let bed = JobBed::with_lease_ttl("3s");
    let code = r#"
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
while True:
    time.sleep(0.05)
"#;
    let run = bed.python("stubborn", code);
    bed.team.wait_line(run, "started");
    let cancelled = Instant::now();
    bed.team.cancel(run);
    assert_eq!(bed.team.wait_end(run)["status"], "cancelled");
    let took = cancelled.elapsed();
    assert!(took >= Duration::from_millis(900), "the grace of a second is kept: {took:?}");
    assert!(!bed.job_runs());
}

#[test]
fn sigterm_reaches_the_children_of_a_job_when_its_main_process_has_ended() {
    let bed = JobBed::with_lease_ttl("3s");
    let code = r#"
import os, signal, subprocess
signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
child = subprocess.Popen(["sh", "-c", "trap 'echo child cleans up; exit 0' TERM; echo child started; while :; do sleep 0.05; done"])
child.wait()
"#;
    let run = bed.python("family", code);
    bed.team.wait_line(run, "child started");
    bed.team.cancel(run);
    assert_eq!(bed.team.wait_end(run)["status"], "cancelled");
    let lines = bed.team.stream(run, "stdout");
    assert!(lines.contains(&"child cleans up".to_owned()), "{lines:?}");
}

#[test]
fn a_run_cancelled_during_its_setup_ends_soon() {
    let bed = JobBed::with_lease_ttl("3s");
    let run = bed.python("quick", "import time\ntime.sleep(600)");
    bed.team.wait_for(run, "is taken", minitower_tests::wait::SOON, |run| run["status"] != "queued");
    bed.team.cancel(run);
    assert_eq!(bed.team.wait_end(run)["status"], "cancelled");
    assert!(!bed.job_runs());
}
