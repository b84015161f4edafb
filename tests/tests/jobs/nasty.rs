//! Jobs that do not behave. After each the runner must be fit for the next run.

use std::time::{Duration, Instant};

use minitower_tests::{JobBed, wait};

/// Runs a job, asserts how it ended, that nothing of it is left, and that the next job runs.
fn run(code: &str, status: &str) -> Vec<String> {
    let bed = JobBed::start();
    let run = bed.python("nasty", code);
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], status, "{}", bed.team.log_text(run));
    bed.wait_no_job_process(wait::SOON);
    let next = bed.python("next-one", "print('fit')");
    assert_eq!(bed.team.wait_end(next)["status"], "completed");
    bed.team.stream(run, "stdout")
}

#[test]
fn children_left_behind_are_killed_when_the_job_ends() {
    let started = Instant::now();
    let code = r#"
import subprocess, sys
for _ in range(5):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("the job is done")
"#;
    assert_eq!(run(code, "completed"), ["the job is done"]);
    assert!(started.elapsed() < Duration::from_mins(1), "nobody waits for the children");
}

#[test]
fn a_daemon_that_left_session_streams_and_parent_is_killed() {
    let code = r#"
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        for number in range(3):
            os.close(number)
        while True:
            time.sleep(0.05)
    os._exit(0)
os.wait()
print("the daemon is on its way", flush=True)
"#;
    assert_eq!(run(code, "completed"), ["the daemon is on its way"]);
}

#[test]
fn a_daemon_that_cleared_its_environment_and_ignores_signals_is_killed() {
    let code = r#"
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.execve("/bin/sh", ["sh", "-c", "trap '' TERM HUP INT; while :; do sleep 0.1; done"], {"PATH": os.environ["PATH"]})
    os._exit(0)
os.wait()
"#;
    run(code, "completed");
}

#[test]
fn a_storm_of_forks_ends_with_the_job() {
    let code = r#"
import os, sys, time
depth = 0
for _ in range(6):
    if os.fork() == 0:
        depth += 1
if depth:
    time.sleep(600)
print("storm", flush=True)
"#;
    assert_eq!(run(code, "completed"), ["storm"]);
}

#[test]
fn a_job_that_closes_its_streams_still_has_its_result() {
    let code = "import os, time\nprint('last words', flush=True)\nos.close(1)\nos.close(2)\ntime.sleep(0.5)\nos._exit(0)";
    assert_eq!(run(code, "completed"), ["last words"]);
}

#[test]
fn a_child_that_holds_the_streams_open_does_not_hold_up_the_result() {
    let code = r#"
import subprocess, sys
subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600"])
print("done", flush=True)
"#;
    assert_eq!(run(code, "completed"), ["done"]);
}

#[test]
fn a_job_that_stops_itself_is_ended_by_its_timeout() {
    let bed = JobBed::start();
    bed.team.app("stopped");
    let archive =
        minitower_tests::Artifact::python("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)");
    let fields = [("entrypoint", "main.py"), ("timeout_seconds", "1")];
    bed.team.upload("stopped", Some(&archive), &fields).expect(201);
    let run = bed.team.run_id("stopped");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["error_message"]), (&"failed".into(), &"timeout".into()));
    bed.wait_no_job_process(wait::SOON);
}

#[test]
fn a_job_that_removes_its_workspace_still_has_its_result() {
    let code = "import os, shutil\nhere = os.getcwd()\nprint('removing', flush=True)\n\
                shutil.rmtree(here, ignore_errors=True)";
    assert_eq!(run(code, "completed"), ["removing"]);
}
