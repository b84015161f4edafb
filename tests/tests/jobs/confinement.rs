//! What a job may see and touch.

use minitower_tests::skip::{has_landlock, skip};
use minitower_tests::{JobBed, Server, wait};

#[test]
fn a_job_sees_none_of_the_runners_secrets_in_its_environment() {
    let env = [("A_SECRET_OF_THE_RUNNER", "kept"), ("PIP_EXAMPLE", "passed")];
    let bed = JobBed::start_with(Server::builder(), &env);
    let code = "import os\nfor key in sorted(os.environ):\n    print(key + '=' + os.environ[key])";
    let run = bed.python("env", code);
    bed.team.wait_end(run);
    let text = bed.team.stream(run, "stdout").join("\n");
    assert!(text.contains("MINITOWER_RUN_ID=") && text.contains("PIP_EXAMPLE=passed"), "{text}");
    assert!(!text.contains("A_SECRET_OF_THE_RUNNER") && !text.contains("MINITOWER_REGISTRATION"), "{text}");
    assert!(!text.contains(&bed.team.registration_token) && !text.contains("mtr_"), "{text}");
}

#[test]
fn a_job_cannot_read_what_is_the_runners() {
    if !has_landlock() {
        skip("this kernel has no Landlock");
        return;
    }
    let bed = JobBed::start();
    let code = r#"
import os, pathlib
root = pathlib.Path(os.environ["root"])
found = []
for folder, _, names in os.walk(root):
    for name in names:
        path = pathlib.Path(folder) / name
        try:
            text = path.read_bytes()
        except OSError:
            continue
        # Not as one word: this program lies there, too.
        if b"mtr" + b"_" in text:
            found.append(str(path))
for process in pathlib.Path("/proc").iterdir():
    try:
        environment = (process / "environ").read_bytes()
        # Only this test's own runner: the machine may run others.
        if b"MINITOWER_REGISTRATION_TOKEN" in environment and str(root).encode() in environment:
            found.append((process / "cmdline").read_bytes())
    except OSError:
        continue
print("found", found)
"#;
    bed.team.python_app("spy", code);
    let input = serde_json::json!({"input": {"root": bed.data_dir().display().to_string()}});
    let run = minitower_tests::shape::int(&bed.team.run("spy", input), "run_id");
    bed.team.wait_end(run);
    assert_eq!(bed.team.stream(run, "stdout"), ["found []"], "{}", bed.team.log_text(run));
}

#[test]
fn a_job_writes_only_into_its_own_folders() {
    if !has_landlock() {
        skip("this kernel has no Landlock");
        return;
    }
    let bed = JobBed::start();
    let code = r#"
import os, pathlib, tempfile
pathlib.Path("here").write_text("x")
tempfile.NamedTemporaryFile().write(b"x")
open("/dev/null", "w").write("x")
refused = 0
for place in (os.environ["outside"], os.environ["data"]):
    try:
        (pathlib.Path(place) / "written-by-the-job").write_text("x")
    except OSError:
        refused += 1
print("refused", refused)
"#;
    bed.team.python_app("writer", code);
    // Not in /tmp: there the job has a folder of its own.
    let outside = env!("CARGO_TARGET_TMPDIR");
    let data = bed.data_dir().display().to_string();
    let input = serde_json::json!({"input": {"outside": outside, "data": data}});
    let run = minitower_tests::shape::int(&bed.team.run("writer", input), "run_id");
    bed.team.wait_end(run);
    assert_eq!(bed.team.stream(run, "stdout"), ["refused 2"], "{}", bed.team.log_text(run));
}

#[test]
fn a_job_cannot_change_the_runners_last_words() {
    if !has_landlock() {
        skip("this kernel has no Landlock");
        return;
    }
    // World-writable, as Kubernetes makes it.
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let path = file.path().to_str().unwrap();
    let bed = JobBed::start_with(Server::builder(), &[("MINITOWER_TERMINATION_LOG", path)]);
    let words = std::fs::read_to_string(path).unwrap();
    assert_eq!(words.lines().count(), 1, "{words:?}");
    let code = r#"
import errno, os
refused = 0
for mode in ("w", "a", "r+"):
    try:
        open(os.environ["log"], mode).write("another-instance")
    except OSError as error:
        # The last one where the file lies in /tmp, of which the job has its own.
        assert error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT), error
        refused += 1
print("refused", refused)
"#;
    bed.team.python_app("liar", code);
    let input = serde_json::json!({"input": {"log": path}});
    let run = minitower_tests::shape::int(&bed.team.run("liar", input), "run_id");
    bed.team.wait_end(run);
    assert_eq!(bed.team.stream(run, "stdout"), ["refused 3"], "{}", bed.team.log_text(run));
    assert_eq!(std::fs::read_to_string(path).unwrap(), words);
}

#[test]
fn the_runners_token_is_kept_in_a_file_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = JobBed::start();
    // It is written once the answer to the registration has been read.
    let files = wait::until("the token is kept", wait::SOON, || {
        Some(bed.files_named("token")).filter(|files| files.len() == 1)
    });
    let token = std::fs::read_to_string(&files[0]).unwrap();
    assert!(token.trim_end().starts_with("mtr_"), "the file holds only the token");
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
}
