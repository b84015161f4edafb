//! Jobs that do what they should, and jobs that fail as jobs do.

use minitower_tests::{Artifact, JobBed, shape};
use serde_json::json;

#[test]
fn hello_runs_and_its_log_is_there() {
    let bed = JobBed::start();
    let run = bed.python("hello", "print('hello, MiniTower')\nprint('zwei ü')");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("completed"), &json!(0)));
    shape::fields(&ended, &["started_at", "finished_at", "runner"], &["error_message"]);
    assert_eq!(bed.team.stream(run, "stdout"), ["hello, MiniTower", "zwei ü"]);
    let sequence: Vec<i64> = bed.team.logs(run).iter().map(|line| shape::int(line, "seq")).collect();
    let expected: Vec<i64> = (1..).take(sequence.len()).collect();
    assert_eq!(sequence, expected, "one sequence from 1 over both streams");
}

#[test]
fn input_arrives_as_variables_and_as_a_whole() {
    let bed = JobBed::start();
    let code = r#"
import json, os
for key in ("name", "count", "flag", "nothing", "nested"):
    print(key, repr(os.environ.get(key)))
print(json.dumps(json.loads(os.environ["MINITOWER_INPUT"]), sort_keys=True))
print(os.environ["MINITOWER_APP"], os.environ["MINITOWER_RUN_ID"])
print("odd" in "".join(os.environ))
"#;
    bed.team.python_app("input", code);
    let input = json!({
        "name": "zwei ü\nlines", "count": 3, "flag": true, "nothing": null, "nested": {"a": [1, 2]}, "odd=key": "x",
    });
    let run = shape::int(&bed.team.run("input", json!({"input": input})), "run_id");
    assert_eq!(bed.team.wait_end(run)["status"], "completed", "{}", bed.team.log_text(run));
    let expected = [
        "name 'zwei ü\\nlines'".to_owned(),
        "count '3'".to_owned(),
        "flag 'true'".to_owned(),
        "nothing ''".to_owned(),
        "nested '{\"a\":[1,2]}'".to_owned(),
        r#"{"count": 3, "flag": true, "name": "zwei \u00fc\nlines", "nested": {"a": [1, 2]}, "nothing": null, "odd=key": "x"}"#
            .to_owned(),
        format!("input {run}"),
        "False".to_owned(),
    ];
    assert_eq!(bed.team.stream(run, "stdout"), expected);
    let said = bed.team.stream(run, "stderr").iter().any(|line| line.contains("odd=key"));
    assert!(said, "a skipped key is told in the log:\n{}", bed.team.log_text(run));
}

#[test]
fn an_input_too_large_for_variables_is_in_its_file_and_the_log_says_so() {
    let bed = JobBed::start();
    let code = r#"
import json, os
with open(os.environ["MINITOWER_INPUT_FILE"]) as file:
    given = json.load(file)
print(len(given["text"]), given["small"], os.environ["small"])
print("MINITOWER_INPUT" in os.environ, "text" in os.environ)
"#;
    bed.team.python_app("input", code);
    let input = json!({"text": "x".repeat(5_000_000), "small": "s"});
    let run = shape::int(&bed.team.run("input", json!({"input": input})), "run_id");
    assert_eq!(bed.team.wait_end(run)["status"], "completed", "{}", bed.team.log_text(run));
    assert_eq!(bed.team.stream(run, "stdout"), ["5000000 s s", "False False"]);
    let told = bed.team.stream(run, "stderr").join("\n");
    assert!(told.contains("\"text\"") && told.contains("5000000 bytes"), "{told}");
    assert!(told.contains("MINITOWER_INPUT;") && told.contains("5000023 bytes"), "{told}");
}

#[test]
fn input_cannot_replace_what_the_job_is_run_with() {
    let bed = JobBed::start();
    let code = "import os\nprint(os.environ['PATH'] != 'evil', 'LD_PRELOAD' not in os.environ)\n\
                print(os.environ['MINITOWER_RUN_ID'] != 'evil')";
    bed.team.python_app("input", code);
    let input = json!({"PATH": "evil", "LD_PRELOAD": "/evil.so", "MINITOWER_RUN_ID": "evil"});
    let run = shape::int(&bed.team.run("input", json!({"input": input})), "run_id");
    assert_eq!(bed.team.wait_end(run)["status"], "completed", "{}", bed.team.log_text(run));
    assert_eq!(bed.team.stream(run, "stdout"), ["True True", "True"]);
}

#[test]
fn a_shell_job_runs() {
    let bed = JobBed::start();
    let script = "echo \"hello, $name\"\necho to-stderr >&2\nexit 0\n";
    let run =
        bed.archive("shell", Artifact::new().file("run.sh", script), "run.sh", json!({"name": "shell"}));
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
    assert_eq!(bed.team.stream(run, "stdout"), ["hello, shell"]);
    assert!(bed.team.stream(run, "stderr").contains(&"to-stderr".to_owned()));
}

#[test]
fn a_job_starts_in_its_workspace_and_imports_from_its_import_paths() {
    let bed = JobBed::start();
    let towerfile =
        "[app]\nname = \"imports\"\nscript = \"src/main.py\"\nimport_paths = [\"lib\", \"more/deep\"]\n";
    let archive = Artifact::new()
        .file("Towerfile", towerfile)
        .file("src/main.py", "import one, two\nprint(one.NAME, two.NAME)\nprint(open('data.txt').read())")
        .file("lib/one.py", "NAME = 'one'")
        .file("more/deep/two.py", "NAME = 'two'")
        .file("data.txt", "read from the workspace");
    bed.team.app("imports");
    bed.team.upload("imports", Some(&archive.gzip()), &[]).expect(201);
    let run = bed.team.run_id("imports");
    assert_eq!(bed.team.wait_end(run)["status"], "completed", "{}", bed.team.log_text(run));
    assert_eq!(bed.team.stream(run, "stdout"), ["one two", "read from the workspace"]);
}

#[test]
fn a_failing_job_tells_its_exit_code() {
    let bed = JobBed::start();
    let run = bed.python("fails", "import sys\nprint('no luck', file=sys.stderr)\nsys.exit(3)");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("failed"), &json!(3)));
    assert_eq!(bed.team.attempts(run)[0]["reason"], "exit");
    assert!(bed.team.stream(run, "stderr").contains(&"no luck".to_owned()));
}

#[test]
fn a_traceback_is_in_the_log() {
    let bed = JobBed::start();
    let run = bed.python("raises", "raise ValueError('what is wrong')");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("failed"), &json!(1)));
    let stderr = bed.team.stream(run, "stderr").join("\n");
    assert!(stderr.contains("Traceback") && stderr.contains("ValueError: what is wrong"), "{stderr}");
}

#[test]
fn a_death_by_signal_is_128_and_the_signal_and_says_so() {
    let bed = JobBed::start();
    let run = bed.python("signal", "import os\nos.kill(os.getpid(), 11)");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("failed"), &json!(139)));
    let message = shape::text(&ended, "error_message");
    assert!(message.contains("SEGV") || message.contains("11"), "{message}");
    assert_eq!(bed.team.attempts(run)[0]["reason"], "signal");
}

#[test]
fn a_job_over_its_time_fails_with_timeout() {
    let bed = JobBed::start();
    bed.team.app("slow");
    let archive = Artifact::python("import time\nprint('started')\ntime.sleep(600)");
    let fields = [("entrypoint", "main.py"), ("timeout_seconds", "1")];
    bed.team.upload("slow", Some(&archive), &fields).expect(201);
    let run = bed.team.run_id("slow");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["error_message"]), (&json!("failed"), &json!("timeout")));
    assert_eq!(bed.team.attempts(run)[0]["reason"], "timeout");
    assert_eq!(bed.team.stream(run, "stdout"), ["started"]);
    assert!(!bed.job_runs());
}

#[test]
fn one_runner_works_off_a_queue_in_order() {
    let bed = JobBed::start();
    bed.team.python_app("queue", "import os\nprint(os.environ['MINITOWER_RUN_ID'])");
    let runs: Vec<i64> = (0..5).map(|_| bed.team.run_id("queue")).collect();
    let mut started = Vec::new();
    for run in &runs {
        let ended = bed.team.wait_end(*run);
        assert_eq!(ended["status"], "completed");
        assert_eq!(bed.team.stream(*run, "stdout"), [run.to_string()]);
        started.push(shape::time(&ended, "started_at"));
    }
    assert!(started.is_sorted());
}
