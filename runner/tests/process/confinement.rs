//! What a job sees of the machine, and what it may take of it.

use std::time::Duration;

use minitower_client::wire::runner::ResultStatus;
use minitower_test_plane::Answer;
use rstest::rstest;

use crate::support::{Circumstances, ControlPlane, Job, Runner, until};

/// A folder for a runner's data that does not lie in `/tmp`.
fn outside_tmp() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::AsNobody)]
#[case(Circumstances::WithMaskedProc)]
#[tokio::test]
async fn temporary_files_and_shared_memory_are_each_runs_own(#[case] circumstances: Circumstances) {
    let server = ControlPlane::start();
    let data = outside_tmp();
    let text = r#"
import mmap, os, tempfile
assert os.environ["TMPDIR"] == tempfile.gettempdir() == "/tmp"
print("found", os.listdir("/tmp"), os.listdir("/dev/shm"))
for place in ("/tmp", "/dev/shm"):
    open(place + "/left-behind", "w").write("x")
open(os.environ["HOME"] + "/left-behind", "w").write("x")
"#;
    server.submit(Job::script("main.py", text));
    server.submit(Job::script("main.py", text));
    let _runner = Runner::under(circumstances, &server, data.path());
    server.results(2).await;
    // Of a tree that itself lies in `/tmp`, the way to the runner's data is there.
    let way = data.path().canonicalize().unwrap();
    let way = way.strip_prefix("/tmp").ok().and_then(|way| way.iter().next());
    let way = way.map(|name| format!("'{}'", name.display())).unwrap_or_default();
    assert_eq!(server.seen().log(), format!("found [{way}] []\nfound [{way}] []\n"));
    for place in ["/tmp/left-behind", "/dev/shm/left-behind"] {
        assert!(!std::path::Path::new(place).exists(), "{place} is the machine's");
    }
}

#[tokio::test]
async fn shared_memory_of_a_pod_does_not_outlive_a_run() {
    let server = ControlPlane::start();
    let data = outside_tmp();
    let text = r#"
import os
print("found", os.listdir("/dev/shm"))
open("/dev/shm/psm_left-behind", "w").write("secret")
os.makedirs("/dev/shm/a/b/c")
os.chmod("/dev/shm/a", 0)
"#;
    server.submit(Job::script("main.py", text));
    server.submit(Job::script("main.py", text));
    let _runner = Runner::under(Circumstances::AsPod, &server, data.path());
    server.results(2).await;
    assert_eq!(server.seen().log(), "found []\nfound []\n");
}

#[rstest]
#[case(Circumstances::AsTheTest, false)]
#[case(Circumstances::AsNobody, false)]
#[case(Circumstances::AsTheTest, true)]
#[case(Circumstances::WithMaskedProc, false)]
#[tokio::test]
async fn nothing_of_the_runner_and_of_other_runs_can_be_seen_or_changed(
    #[case] circumstances: Circumstances,
    #[case] in_tmp: bool,
) {
    let server = ControlPlane::start();
    let data = if in_tmp { tempfile::tempdir().unwrap() } else { outside_tmp() };
    let base = data.path().canonicalize().unwrap();
    std::fs::write(base.join("of-the-base"), "secret").unwrap();
    let mut job = Job::script(
        "main.py",
        r#"
import os
base = os.environ["base"]
seen = sorted(os.path.join(folder, name)[len(base):] for folder, _, names in os.walk(base) for name in names)
print("seen", [path for path in seen if not path.startswith("/tested/work/")])
print("runs", os.listdir(base + "/tested/work"))
for path in (base, base + "/tested", base + "/tested/work"):
    for name, change in (("chmod", lambda: os.chmod(path, 0)), ("chown", lambda: os.chown(path, 1, 1)),
                         ("make", lambda: os.mkdir(path + "/new")), ("rename", lambda: os.rename(path, path + "x"))):
        try:
            change()
            # An empty copy of the way to the workspace, in this run's own view, is all that there is.
            print("changed" if name == "make" else "its own", name)
        except OSError: pass
print("root", "usr" in os.listdir("/"), "tested" in os.listdir(base))
"#,
    );
    job.input = serde_json::json!({"base": base});
    server.submit(job);
    let runner = Runner::under(circumstances, &server, data.path());
    server.result().await;
    let log = server.seen().log();
    assert!(log.starts_with("seen []\nruns ['1']\n"), "{log}");
    assert!(!log.contains("changed") || in_tmp, "{log}");
    assert!(log.ends_with("root True True\n"), "{log}");
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.mode() & 0o777, metadata.uid() == 1)
    };
    for path in [runner.data().to_owned(), runner.data().join("work")] {
        assert_eq!(mode(&path), (0o700, false), "{}", path.display());
        assert!(!path.join("new").exists());
    }
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::AsNobody)]
#[case(Circumstances::WithoutNamespaces)]
#[case(Circumstances::WithMaskedProc)]
#[tokio::test]
async fn multiprocessing_works_in_all_its_ways(#[case] circumstances: Circumstances) {
    let server = ControlPlane::start();
    let data = outside_tmp();
    server.submit(Job::script(
        "main.py",
        r#"
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory
def square(x): return x * x
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with ProcessPoolExecutor(2, mp_context=mp.get_context(method)) as pool:
            print(method, list(pool.map(square, range(3))))
    print("manager", dict(mp.Manager().dict(a=1)))
    memory = shared_memory.SharedMemory(create=True, size=10)
    memory.close(); memory.unlink(); mp.Semaphore(1).acquire()
"#,
    ));
    let name = "nightly-analytics-eu-8f2c41d09a-7d9f8c6b5d-x2v9z";
    let variables: &[(&str, &str)] = match circumstances {
        // There the folder's own path decides.
        Circumstances::WithoutNamespaces => &[],
        _ => &[("MINITOWER_RUNNER_NAME", name)],
    };
    let data =
        if circumstances == Circumstances::WithoutNamespaces { tempfile::tempdir().unwrap() } else { data };
    let _runner = Runner::under_with(circumstances, &server, data.path(), variables);
    let result = server.result().await;
    let log = server.seen().log();
    assert_eq!(result.status, ResultStatus::Completed, "{log}");
    let expected = "fork [0, 1, 4]\nspawn [0, 1, 4]\nforkserver [0, 1, 4]\nmanager {'a': 1}\n";
    assert_eq!(log, expected);
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::WithoutNamespaces)]
#[case(Circumstances::WithMaskedProc)]
#[tokio::test]
async fn folders_that_the_operator_names_may_be_written(#[case] circumstances: Circumstances) {
    let server = ControlPlane::start();
    let (data, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = shared.path().to_str().unwrap();
    let mut job = Job::script("main.sh", r#"echo result >"$place/from-a-job""#);
    job.input = serde_json::json!({"place": path});
    server.submit(job);
    let variables = [("MINITOWER_JOB_WRITABLE", path)];
    let _runner = Runner::under_with(circumstances, &server, data.path(), &variables);
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert_eq!(std::fs::read_to_string(shared.path().join("from-a-job")).unwrap(), "result\n");
}

#[tokio::test]
async fn a_job_gets_no_descriptor_that_the_runner_inherited() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let starter = ["sh", "-c", "exec 7</etc/passwd 9>/dev/null && exec \"$0\""];
    server.submit(Job::script("main.sh", "echo fds $(ls /proc/$$/fd)"));
    let runner = Runner::through(&starter, &server, data.path(), &[]);
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    let inherited = std::fs::read_link(format!("/proc/{}/fd/7", runner.pid())).unwrap();
    assert_eq!(inherited, std::path::Path::new("/etc/passwd"), "the test sees one");
    server.result().await;
    let log = server.seen().log();
    // The shell's own copy of its script is among them.
    assert!(!log.contains(" 7") && !log.contains(" 9"), "{log}");
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::WithoutNamespaces)]
#[case(Circumstances::WithMaskedProc)]
#[tokio::test]
async fn a_job_cannot_take_more_than_its_limits(#[case] circumstances: Circumstances) {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script(
        "main.py",
        r#"
import errno, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def attempt(name, action):
    try: action(); print(name, "allowed")
    except OSError as error: print(name, errno.errorcode[error.errno])
    except MemoryError: print(name, "MemoryError")
attempt("files", lambda: [open("/dev/null") for _ in range(200)])
attempt("size", lambda: open("large", "wb").write(b"x" * (2 << 20)))
attempt("memory", lambda: bytearray(600 << 20))
print("core", resource.getrlimit(resource.RLIMIT_CORE))
try: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)); print("raised")
except (OSError, ValueError): print("not raised")
"#,
    ));
    let variables = [
        ("MINITOWER_JOB_OPEN_FILES", "100"),
        ("MINITOWER_JOB_FILE_SIZE", "1MiB"),
        ("MINITOWER_JOB_MEMORY", "500MiB"),
    ];
    let _runner = Runner::under_with(circumstances, &server, data.path(), &variables);
    server.result().await;
    let expected = "files EMFILE\nsize EFBIG\nmemory MemoryError\ncore (0, 0)\nnot raised\n";
    assert_eq!(server.seen().log(), expected);
}

#[tokio::test]
async fn a_job_cannot_start_more_processes_than_it_may_and_its_runner_goes_on() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let bomb = r#"
import os, time
for count in range(100):
    try: pid = os.fork()
    except BlockingIOError: break
    if pid == 0: time.sleep(600)
print("stopped", count < 40)
"#;
    server.submit(Job::script("main.py", bomb));
    server.submit(Job::script("main.sh", "echo next"));
    let variables = [("MINITOWER_JOB_PROCESSES", "40")];
    let _runner = Runner::under_with(Circumstances::AsNobody, &server, data.path(), &variables);
    server.results(2).await;
    assert_eq!(server.seen().log(), "stopped True\nnext\n");
}

/// Starts its arguments under a filter by which Landlock is not there: `landlock_create_ruleset` has the same number everywhere.
const WITHOUT_LANDLOCK: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7fff0000)]
program = b"".join(struct.pack("HBBI", *step) for step in steps)
text = ctypes.create_string_buffer(program)
header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(text))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[rstest]
#[case(Some("platform"), None, false)]
#[case(None, None, false)]
#[case(Some("team"), Some("required"), false)]
#[case(Some("team"), None, true)]
#[case(Some("platform"), Some("best-effort"), true)]
#[case(Some("platform"), Some("off"), true)]
#[tokio::test]
async fn without_landlock_runs_are_taken_only_where_they_may_be(
    #[case] scope: Option<&'static str>,
    #[case] mode: Option<&str>,
    #[case] taken: bool,
) {
    let server = ControlPlane::start();
    if scope.is_none() {
        // Older servers do not say.
        server.plane.always("POST /runners/register", Answer::without(&["scope"]));
    }
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo ran"));
    let mut runner = Runner::through(
        &["python3", "-c", WITHOUT_LANDLOCK],
        &server,
        data.path(),
        &[
            ("MINITOWER_SANDBOX", mode.unwrap_or_default()),
            ("MINITOWER_REGISTRATION_TOKEN", &server.registration_token(scope)),
        ],
    );
    if taken {
        assert_eq!(server.result().await.status, ResultStatus::Completed);
        until(Duration::from_secs(5), "a warning", || {
            runner.log().contains("this machine lacks Landlock")
                || runner.log().contains("MINITOWER_SANDBOX=off")
        })
        .await;
    } else {
        assert!(!runner.ends(Duration::from_secs(10)).await.success());
        let log = runner.log();
        assert!(
            log.contains("this machine lacks Landlock") && log.contains("MINITOWER_SANDBOX=best-effort"),
            "{log}"
        );
        assert!(server.seen().polls().is_empty(), "nothing is leased");
    }
}
