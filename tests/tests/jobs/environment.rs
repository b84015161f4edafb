//! Python environments, workspaces, and what is left of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use minitower_tests::server::free_port;
use minitower_tests::{Artifact, JobBed, Program, Server, shape, wait};
use serde_json::json;

/// Writes the wheel of a package `tiny-tower` with one module into a folder that serves as a package index.
const MAKE_INDEX: &str = r#"
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1]) / "simple" / "tiny-tower"
folder.mkdir(parents=True)
info = "tiny_tower-1.0.dist-info"
with zipfile.ZipFile(folder / "tiny_tower-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny_tower.py", "HEIGHT = 3\n")
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-tower\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", f"tiny_tower.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
"#;

/// A package index on a loopback port.
struct Index {
    _server: Program,
    _folder: tempfile::TempDir,
    url: String,
}

impl Index {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("python3").args(["-c", MAKE_INDEX]).arg(folder.path()).status().unwrap();
        assert!(made.success());
        let port = free_port();
        let port_text = port.to_string();
        let args = ["-m", "http.server", "--bind", "127.0.0.1", &port_text];
        let log = folder.path().join("log/http.log");
        let server = Program::start_any(Path::new("python3"), &args, &[], folder.path(), &log);
        let http = minitower_tests::Http::new(port);
        wait::until("the package index answers", wait::SOON, || {
            http.get("/simple/tiny-tower/").try_send().ok().filter(|answer| answer.status == 200)
        });
        Self { _server: server, _folder: folder, url: format!("http://127.0.0.1:{port}/simple") }
    }

    /// A bed whose jobs install from this index.
    fn bed(&self) -> JobBed {
        let env = [
            ("PIP_INDEX_URL", self.url.as_str()),
            ("PIP_NO_CACHE_DIR", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("UV_DEFAULT_INDEX", &self.url),
            ("UV_NO_CACHE", "1"),
        ];
        JobBed::start_with(Server::builder(), &env)
    }
}

fn with_requirements(code: &str, requirements: &str) -> Artifact {
    Artifact::new().file("main.py", code).file("requirements.txt", requirements)
}

#[test]
fn requirements_are_installed_and_the_second_run_is_quick() {
    let index = Index::start();
    let bed = index.bed();
    let code = "import tiny_tower, sys\nprint(tiny_tower.HEIGHT, sys.prefix != sys.base_prefix)";
    let first = bed.archive("needs", with_requirements(code, "tiny-tower==1.0\n"), "main.py", json!({}));
    assert_eq!(bed.team.wait_end(first)["status"], "completed", "{}", bed.team.log_text(first));
    assert_eq!(bed.team.stream(first, "stdout"), ["3 True"]);
    assert!(!bed.team.stream(first, "stderr").is_empty(), "setup steps appear in the log");

    drop(index);
    let second = bed.team.run_id("needs");
    assert_eq!(bed.team.wait_end(second)["status"], "completed", "the prepared environment is kept");
}

#[test]
fn a_run_cannot_change_what_the_next_one_sees() {
    let index = Index::start();
    let bed = index.bed();
    let code = r#"
import pathlib, sys, tiny_tower
print(tiny_tower.HEIGHT)
for place in {pathlib.Path(tiny_tower.__file__), pathlib.Path(sys.prefix) / "lib" / "evil.py"}:
    try:
        place.write_text("HEIGHT = 99\n")
    except OSError as error:
        print("refused", file=sys.stderr)
site = pathlib.Path(tiny_tower.__file__).parent
try:
    (site / "sitecustomize.py").write_text("print('evil')\n")
except OSError:
    pass
"#;
    let first = bed.archive("needs", with_requirements(code, "tiny-tower\n"), "main.py", json!({}));
    for run in [first, bed.team.run_id("needs"), bed.team.run_id("needs")] {
        assert_eq!(bed.team.wait_end(run)["status"], "completed", "{}", bed.team.log_text(run));
        assert_eq!(bed.team.stream(run, "stdout"), ["3"]);
    }
}

#[test]
fn requirements_that_cannot_be_installed_fail_the_run_with_the_reason_in_the_log() {
    let index = Index::start();
    let bed = index.bed();
    let archive = with_requirements("print('never')", "no-such-package-of-the-tests==9\n");
    let run = bed.archive("needs", archive, "main.py", json!({}));
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], "failed");
    assert_eq!(bed.team.attempts(run)[0]["reason"], "setup");
    let stderr = bed.team.stream(run, "stderr").join("\n");
    assert!(stderr.contains("no-such-package-of-the-tests"), "{stderr}");
    assert!(bed.team.stream(run, "stdout").is_empty());
    assert!(!shape::text(&ended, "error_message").is_empty());
}

/// What is left of any run below the runner's data directory.
fn job_files(bed: &JobBed) -> Vec<PathBuf> {
    [bed.files_named("unpacked-for-the-job"), bed.files_named("made-by-the-job")].concat()
}

#[test]
fn the_workspace_is_removed_after_the_run_however_it_ended() {
    let bed = JobBed::start();
    let code = r#"
import os, pathlib, sys, time
made = pathlib.Path("made-by-the-job")
made.mkdir()
(made / "made-by-the-job").write_text("x")
os.chmod(made, 0)
print("made", flush=True)
how = os.environ.get("how", "")
if how == "fail":
    sys.exit(1)
while how == "hang":
    time.sleep(0.05)
"#;
    bed.team.app("works");
    let archive = Artifact::new().file("main.py", code).file("unpacked-for-the-job", "");
    bed.team.version("works", &archive.gzip(), "main.py");
    for how in ["", "fail", "hang"] {
        let run = shape::int(&bed.team.run("works", json!({"input": {"how": how}})), "run_id");
        bed.team.wait_line(run, "made");
        if how == "hang" {
            assert!(!job_files(&bed).is_empty(), "the test looks in the right place");
            bed.team.cancel(run);
        }
        bed.team.wait_end(run);
        wait::until("the workspace is gone", wait::SOON, || job_files(&bed).is_empty().then_some(()));
    }
}

#[test]
fn an_artifact_that_is_not_what_was_uploaded_fails_the_run() {
    // The server knows its length, the runner its digest.
    fails_with_its_store_changed(|_| Artifact::python("print('changed')"), "damaged in the object store");
    fails_with_its_store_changed(
        |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        },
        "the checksum of the artifact is wrong",
    );
}

fn fails_with_its_store_changed(change: impl Fn(Vec<u8>) -> Vec<u8>, words: &str) {
    let bed = JobBed::start();
    bed.team.python_app("hello", "print('original')");
    let mut pending = vec![bed.server.objects()];
    let mut changed = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    let run = bed.team.run_id("hello");
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], "failed");
    assert_eq!(bed.team.attempts(run)[0]["reason"], "setup");
    assert!(bed.team.stream(run, "stdout").is_empty(), "nothing of it was run");
    let told = format!("{} {}", ended["error_message"], bed.team.log_text(run));
    assert!(told.contains(words), "{told}");
}

#[test]
fn an_artifact_that_is_gone_fails_the_run_and_the_next_one_goes_on() {
    let bed = JobBed::start();
    bed.team.python_app("gone", "print('ran')");
    fs::remove_dir_all(bed.server.objects()).unwrap();
    fs::create_dir(bed.server.objects()).unwrap();
    let run = bed.team.run_id("gone");
    let next = bed.python("next-one", "print('fit')");
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], "failed");
    assert_eq!(bed.team.attempts(run)[0]["reason"], "setup");
    let log = bed.team.log_text(run);
    assert!(log.lines().last().unwrap().contains("cannot download the artifact"), "{log}");
    assert_eq!(bed.team.wait_end(next)["status"], "completed");
}

#[test]
fn output_written_by_the_job_does_not_disturb_its_result() {
    let bed = JobBed::start();
    let code = "import os\nopen(os.environ['MINITOWER_OUTPUT_FILE'], 'w').write('{\"answer\": 42}')";
    let run = bed.python("output", code);
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
    let run = bed.python("bad-output", &code.replace("{\\\"answer\\\": 42}", "{ no json"));
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
}
