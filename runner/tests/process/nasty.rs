//! Jobs that misbehave.

use std::time::Duration;

use minitower_client::wire::runner::{ResultStatus, RunResult};
use minitower_client::wire::runs::Stream;

use crate::support::{ControlPlane, Job, Runner, processes};

/// A job that has run. The runner is dropped before its folder.
struct Ran {
    runner: Runner,
    server: ControlPlane,
    result: RunResult,
    _data: tempfile::TempDir,
}

/// Runs one job to its end.
async fn run(job: Job) -> Ran {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(job);
    let runner = Runner::start(&server, data.path());
    let result = server.result().await;
    Ran { runner, server, result, _data: data }
}

#[tokio::test]
async fn daemons_end_with_their_job() {
    let ran = run(Job::script(
        "main.py",
        r#"
import os, signal, sys, time
def daemon(strip):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(s, signal.SIG_IGN)
            for fd in range(20):
                try: os.close(fd)
                except OSError: pass
            name = ["sleep", "60017" if strip else "60018"]
            os.execve("/bin/sleep", name, {} if strip else os.environ)
        os._exit(0)
    os.wait()
daemon(False)
daemon(True)
def daemons():
    words = []
    for entry in os.listdir("/proc"):
        try: words += open("/proc/%s/cmdline" % entry, "rb").read().split(b"\0")
        except OSError: pass
    return words.count(b"60017") + words.count(b"60018")
while daemons() < 2: time.sleep(0.01)
"#,
    ))
    .await;
    assert_eq!(ran.result.status, ResultStatus::Completed);
    for name in ["60017", "60018"] {
        // The result comes only after the processes have ended.
        assert_eq!(processes::with_argument(name), Vec::<i32>::new());
    }
}

#[tokio::test]
async fn a_job_that_closes_its_streams_is_waited_for() {
    let ran = run(Job::script("main.sh", "exec >&- 2>&- <&-; sleep 0.5; exit 4")).await;
    assert_eq!(ran.result.exit_code, Some(4));
}

/// Every process replaces itself by a child again and again: none of them stays long enough to be looked at.
async fn storm(step: &str) {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    let text = r#"
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for n in range(4):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork(): os._exit(0)
            STEP
print("pid=%d" % os.getpid())
time.sleep(600)
"#;
    server.submit(Job::script("main.py", &text.replace("STEP", step)));
    let runner = Runner::start(&server, data.path());
    server.number("pid").await;
    server.cancel();
    assert_eq!(server.result().await.status, ResultStatus::Cancelled);
    assert!(!runner.log().contains("stuck"), "{}", runner.log());
    let marker = format!("MINITOWER_OUTPUT_FILE={}", runner.data().join("work").display());
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        std::fs::read(entry.path().join("environ"))
            .is_ok_and(|environment| String::from_utf8_lossy(&environment).contains(&marker))
    });
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_storm_of_forks_is_ended() {
    storm("pass").await;
}

#[tokio::test]
async fn a_storm_of_forks_each_in_a_session_of_its_own_is_ended() {
    storm("os.setsid()").await;
}

#[tokio::test]
async fn a_log_without_newlines_is_one_cut_line_and_garbage_is_replaced() {
    let ran = run(Job::script(
        "main.py",
        r"
import os, sys
sys.stdout.write('é' * 1000000)
sys.stdout.flush()
os.write(2, os.urandom(300000) + b'\n\xff\xfe\x00end\n')
",
    ))
    .await;
    assert_eq!(ran.result.status, ResultStatus::Completed);
    let seen = ran.server.seen();
    let line = seen.lines().into_iter().find(|line| line.stream == Stream::Stdout).unwrap().line;
    assert!(line.starts_with(&"é".repeat(4000)) && line.ends_with("é… [cut: 2000000 bytes]"), "{line}");
    assert!(seen.lines().iter().any(|line| line.line == "\u{fffd}\u{fffd}\0end"));
}

#[tokio::test]
async fn a_log_of_100_megabytes_arrives_whole() {
    let ran = run(Job::script(
        "main.py",
        "import sys\nfor n in range(14000): sys.stdout.write('%d %s\\n' % (n, 'x' * 7500))",
    ))
    .await;
    assert_eq!(ran.result.status, ResultStatus::Completed);
    let lines = ran.server.seen().lines();
    let numbers = lines.iter().map(|line| line.line.split(' ').next().unwrap().parse::<usize>().unwrap());
    assert!(numbers.eq(0..14_000), "{} lines", lines.len());
}

#[tokio::test]
async fn a_job_reaches_neither_the_runners_files_nor_its_processes() {
    let ran = run(Job::script(
        "main.py",
        r#"
import os, signal, multiprocessing
home = os.environ["HOME"]
data = os.path.abspath(os.path.join(home, "..", "..", ".."))
def attempt(name, action):
    try: action(); print(name, "allowed")
    except OSError as error: print(name, "denied")
attempt("token", lambda: open(data + "/token").read())
attempt("list", lambda: "token" in os.listdir(data) or open("/nowhere"))
attempt("data", lambda: open(data + "/evil", "w"))
attempt("outside", lambda: open("/var/tmp/minitower-evil", "w"))
attempt("environ", lambda: open("/proc/%d/environ" % os.getppid()).read())
attempt("workspace", lambda: open("file", "w"))
attempt("temporary", lambda: open(os.environ["TMPDIR"] + "/file", "w"))
attempt("home", lambda: open(home + "/file", "w"))
attempt("null", lambda: open("/dev/null", "w"))
attempt("lock", lambda: multiprocessing.Lock())
attempt("passwd", lambda: open("/etc/passwd").read())
"#,
    ))
    .await;
    assert_eq!(ran.result.status, ResultStatus::Completed);
    let confined = !ran.runner.log().contains("no Landlock");
    let log = ran.server.seen().log();
    for (name, denied) in [
        ("token", true),
        ("list", true),
        ("data", true),
        ("outside", true),
        ("environ", true),
        ("workspace", false),
        ("temporary", false),
        ("home", false),
        ("null", false),
        ("lock", false),
        ("passwd", false),
    ] {
        if confined || !denied {
            let expected = format!("{name} {}\n", if denied { "denied" } else { "allowed" });
            assert!(log.contains(&expected), "{expected} in\n{log}");
        }
    }
}
