//! Supervisors that are stopped or lost, alone and together with other faults; and whom SIGTERM reaches.

use std::time::{Duration, Instant};

use minitower_client::wire::runner::ResultStatus;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;

use crate::support::{Circumstances, ControlPlane, Job, Runner, ends, processes, until};

/// A job with a daemon in a session of its own and without any variable, which nothing in it tells apart but `mark`.
fn with_daemon(mark: &str) -> Job {
    let text = r#"
import os, signal, subprocess, sys, time
# The pipe ends when the program is executed.
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.execve("/bin/sleep", ["sleep", "MARK"], {})
    os._exit(0)
os.close(write)
os.read(read, 1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid=%d" % os.getpid())
time.sleep(600)
"#;
    Job::script("main.py", &text.replace("MARK", mark))
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[rstest]
#[case(Circumstances::AsTheTest, "61001")]
#[case(Circumstances::AsNobody, "61002")]
#[case(Circumstances::WithMaskedProc, "61004")]
#[case(Circumstances::WithoutNamespaces, "61003")]
#[tokio::test]
async fn a_killed_supervisor_takes_its_job_along_and_the_run_is_given_back(
    #[case] circumstances: Circumstances,
    #[case] mark: &str,
) {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(with_daemon(mark));
    let runner = Runner::under(circumstances, &server, data.path());
    let pid = runner.process(server.number("pid").await);
    server.fence();
    send(runner.supervisor(), Signal::SIGKILL);
    server.wait_for("the run is given back", |seen| seen.releases() == 1).await;
    ends(pid, Duration::ZERO).await;
    assert_eq!(processes::with_argument(mark), Vec::<i32>::new(), "before the run is given back");
    let log = server.seen().log();
    let told =
        "minitower-runner: the supervisor was lost; what it left has been killed: it ended without a report";
    assert!(log.contains(told), "{log}");
    assert!(server.seen().result_count() == 0, "no job has failed");
}

#[rstest]
#[case(Circumstances::AsTheTest, "61011")]
#[case(Circumstances::AsNobody, "61012")]
#[case(Circumstances::WithMaskedProc, "61014")]
#[case(Circumstances::WithoutNamespaces, "61013")]
#[tokio::test]
async fn a_stopped_supervisor_of_a_runner_that_is_cut_off_is_no_reason_to_outlive_the_lease(
    #[case] circumstances: Circumstances,
    #[case] mark: &str,
) {
    // Long enough that a busy machine has the second between the runner's deadline and the lease's end.
    const LEASE: Duration = Duration::from_secs(10);
    let server = ControlPlane::with_leases_of(LEASE);
    let data = tempfile::tempdir().unwrap();
    server.submit(with_daemon(mark));
    let runner = Runner::under(circumstances, &server, data.path());
    let pid = runner.process(server.number("pid").await);
    server.fence();
    send(runner.supervisor(), Signal::SIGSTOP);
    server.refuse("heartbeat");
    let last = *server.seen().heartbeats().last().unwrap();
    ends(pid, LEASE * 2).await;
    until(Duration::from_secs(1), "the daemon has ended", || processes::with_argument(mark).is_empty()).await;
    assert!(last.elapsed() < LEASE, "dead before the lease is: {:?}", last.elapsed());
    server.wait_for("the run is given back", |seen| seen.releases() == 1).await;
    assert!(server.seen().result_count() == 0);
}

#[rstest]
#[case(Circumstances::AsTheTest, "61071")]
#[case(Circumstances::WithoutNamespaces, "61072")]
#[tokio::test]
async fn a_supervisor_that_was_stopped_for_less_than_its_lease_goes_on(
    #[case] circumstances: Circumstances,
    #[case] mark: &str,
) {
    const LEASE: Duration = Duration::from_secs(6);
    let server = ControlPlane::with_leases_of(LEASE);
    let data = tempfile::tempdir().unwrap();
    server.submit(with_daemon(mark));
    let runner = Runner::under(circumstances, &server, data.path());
    let pid = runner.process(server.number("pid").await);
    let supervisor = runner.supervisor();
    send(supervisor, Signal::SIGSTOP);
    let stopped = Instant::now();
    // For longer than there is between two heartbeats, and no longer than the deadline that it knows of.
    server.wait_for("the lease is kept", |_| stopped.elapsed() > LEASE / 3).await;
    send(supervisor, Signal::SIGCONT);
    server.wait_for("the lease would have ended", |_| stopped.elapsed() > LEASE + LEASE / 3).await;
    assert!(processes::below(runner.pid()).contains(&pid), "the job goes on");
    assert_eq!((server.seen().releases(), server.seen().result_count()), (0, 0));
}

#[rstest]
#[case(Circumstances::AsTheTest, "61021")]
#[case(Circumstances::AsNobody, "61022")]
#[tokio::test]
async fn with_namespaces_no_two_faults_of_runner_and_supervisor_leave_a_job(
    #[case] circumstances: Circumstances,
    #[case] mark: &str,
) {
    for runner_first in [true, false] {
        for (of_runner, of_supervisor) in [
            (Signal::SIGKILL, Signal::SIGSTOP),
            (Signal::SIGSTOP, Signal::SIGKILL),
            (Signal::SIGKILL, Signal::SIGKILL),
        ] {
            let server = ControlPlane::start();
            let data = tempfile::tempdir().unwrap();
            server.submit(with_daemon(mark));
            let runner = Runner::under(circumstances, &server, data.path());
            let pid = runner.process(server.number("pid").await);
            let supervisor = runner.supervisor();
            let since = Instant::now();
            if runner_first {
                // A supervisor that lives notices at once: it must not get to.
                send(supervisor, Signal::SIGSTOP);
                send(runner.pid(), of_runner);
                // It may have gone with its runner.
                let _gone = kill(Pid::from_raw(supervisor), of_supervisor);
            } else {
                send(supervisor, of_supervisor);
                send(runner.pid(), of_runner);
            }
            ends(pid, Duration::from_secs(5)).await;
            until(Duration::from_secs(1), "the daemon has ended", || {
                processes::with_argument(mark).is_empty()
            })
            .await;
            assert!(since.elapsed() < Duration::from_secs(5));
        }
    }
}

#[tokio::test]
async fn a_job_that_had_ended_before_a_frozen_runner_woke_up_is_completed() {
    for timeout in [None, Some(2)] {
        let server = ControlPlane::with_leases_of(Duration::from_secs(2));
        let data = tempfile::tempdir().unwrap();
        let mut job = Job::script("main.sh", "echo pid=$$; sleep 0.7; exit 0");
        job.timeout_seconds = timeout;
        server.submit(job);
        let runner = Runner::start(&server, data.path());
        let pid = runner.process(server.number("pid").await);
        runner.signal(Signal::SIGSTOP);
        ends(pid, Duration::from_secs(5)).await;
        // Past the lease, its margin and the timeout.
        tokio::time::sleep(Duration::from_secs(3)).await;
        runner.signal(Signal::SIGCONT);
        let result = server.result().await;
        assert_eq!((result.status, result.exit_code), (ResultStatus::Completed, Some(0)), "{timeout:?}");
        assert_eq!(server.seen().releases(), 0);
    }
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::WithMaskedProc)]
#[case(Circumstances::WithoutNamespaces)]
#[tokio::test]
async fn workers_are_asked_to_end_when_their_parent_has_ended(#[case] circumstances: Circumstances) {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script(
        "main.py",
        r#"
import os, signal, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", '''
import signal, sys, time
def end(*_): print("worker was asked", flush=True); sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
'''])
def end(*_):
    print("main was asked", flush=True)
    time.sleep(0.5)
    print("worker runs:", worker.poll() is None, flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
while True: time.sleep(0.1)
"#,
    ));
    let _runner =
        Runner::under_with(circumstances, &server, data.path(), &[("MINITOWER_KILL_GRACE_PERIOD", "20s")]);
    server.wait_for("the worker", |seen| seen.log().contains("ready")).await;
    server.cancel();
    assert_eq!(server.result().await.status, ResultStatus::Cancelled);
    assert_eq!(server.seen().log(), "ready\nmain was asked\nworker runs: True\nworker was asked\n");
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::WithMaskedProc)]
#[case(Circumstances::WithoutNamespaces)]
#[tokio::test]
async fn what_a_shell_waits_for_is_asked_with_it(#[case] circumstances: Circumstances) {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    let child = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('child was asked', flush=True), sys.exit()))\n\
        print('ready', flush=True)\ntime.sleep(600)\n";
    let files =
        [("main.sh", "trap 'echo shell was asked' TERM\npython3 child.py\nsleep 0.1\n"), ("child.py", child)];
    server.submit(Job::project("main.sh", &files));
    let _runner =
        Runner::under_with(circumstances, &server, data.path(), &[("MINITOWER_KILL_GRACE_PERIOD", "20s")]);
    server.wait_for("the child", |seen| seen.log().contains("ready")).await;
    server.cancel();
    assert_eq!(server.result().await.status, ResultStatus::Cancelled);
    assert_eq!(server.seen().log(), "ready\nchild was asked\nshell was asked\n");
}
