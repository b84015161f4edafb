//! What starts a job.

use minitower_client::wire::runner::{ResultReason, ResultStatus};

use crate::support::{ControlPlane, Job, Runner};

/// Runs jobs in order and returns the log.
async fn log_of(jobs: Vec<Job>) -> String {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let count = jobs.len();
    for job in jobs {
        server.submit(job);
    }
    let _runner = Runner::start(&server, data.path());
    let results = server.results(count).await;
    let log = server.seen().log();
    assert!(results.iter().all(|result| result.status == ResultStatus::Completed), "{results:?}\n{log}");
    log
}

#[tokio::test]
async fn the_first_line_of_a_script_is_obeyed() {
    let bash = "[[ a == a ]] && echo \"bash $0\"\n";
    let log = log_of(vec![
        Job::script("main.sh", &format!("#!/usr/bin/env bash\n{bash}")),
        Job::script("task", &format!("#!/bin/bash -eu\n{bash}")),
        Job::script("windows.sh", &format!("\u{feff}#!/bin/bash\r\n{}", bash.replace('\n', "\r\n"))),
        Job::script("plain.sh", "echo \"sh $0\"\n"),
        Job::script(
            "py.sh",
            "#!/usr/bin/env python3\nimport sys; print('python', sys.prefix.endswith('/venv'))\n",
        ),
    ])
    .await;
    for line in ["bash main.sh", "bash task", "bash windows.sh", "sh plain.sh", "python True"] {
        assert!(log.lines().any(|shown| shown == line), "{line}: {log}");
    }
    assert!(log.contains("windows.sh has the line ends of Windows"), "{log}");
}

#[tokio::test]
async fn modules_and_packages_start_with_their_imports() {
    let relative = "from .core import X\nimport sys\nprint(X, __package__)\n";
    let package = |main| [(main, relative), ("pkg/__init__.py", ""), ("pkg/core.py", "X = 'relative'")];
    let log = log_of(vec![
        Job::project("-m pkg.cli", &package("pkg/cli.py")),
        Job::project("pkg/__main__.py", &package("pkg/__main__.py")),
        Job::project(
            "tool/__main__.py",
            &[("tool/__main__.py", "import beside\nprint(beside.X)"), ("tool/beside.py", "X = 'folder'")],
        ),
        Job::project(
            "jobs/main.py",
            &[("jobs/main.py", "import core\nprint(core.X)"), ("core.py", "X = 'root'")],
        ),
    ])
    .await;
    assert_eq!(log.matches("relative pkg\n").count(), 2, "{log}");
    assert!(log.contains("folder\n") && log.contains("root\n"), "{log}");
}

#[tokio::test]
async fn a_program_that_the_runner_does_not_have_is_named() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    for line in ["#!/usr/bin/env no-such-shell", "#!/opt/no-such-shell -x"] {
        server.submit(Job::script("main.sh", &format!("{line}\necho must not run\n")));
    }
    let _runner = Runner::start(&server, data.path());
    for result in server.results(2).await {
        assert_eq!(result.reason, Some(ResultReason::Setup));
        let message = result.error_message.unwrap();
        assert!(message.contains("no-such-shell") && message.contains("install it there"), "{message}");
    }
}

#[tokio::test]
async fn a_shell_job_runs_where_there_is_no_python_unless_it_needs_one() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo ran\n"));
    server
        .submit(Job::project("main.sh", &[("main.sh", "echo must not run\n"), ("requirements.txt", "a\n")]));
    let _runner = Runner::with(&server, data.path(), &[("MINITOWER_PYTHON_BIN", "no-such-python")]);
    let results = server.results(2).await;
    assert_eq!(results[0].status, ResultStatus::Completed);
    assert!(results[1].error_message.as_deref().unwrap().contains("no-such-python"));
    assert_eq!(server.seen().log().matches("must not run").count(), 0);
}
