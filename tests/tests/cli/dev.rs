//! `minitower dev` and the examples: the first things a newcomer runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minitower_tests::server::free_port;
use minitower_tests::{Cli, Http, Program, Signal, leftovers, programs, skip, wait};
use serde_json::Value;

/// `minitower dev` in a home folder of its own.
struct Dev {
    program: Program,
    cli: Cli,
    home: tempfile::TempDir,
}

impl Dev {
    fn start() -> Self {
        let home = tempfile::Builder::new().prefix("minitower-test-").tempdir().unwrap();
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let data = home.path().join("data").display().to_string();
        // No test asks the public index for uv.
        let args = ["dev", "--listen", &listen, "--data-dir", &data, "--uv", "off"];
        let log = home.path().join("logs/dev.log");
        let mut program = Program::start(programs::CLI, &args, &[], home.path(), &log);
        let cli = Cli::new(home.path());
        let http = Http::new(port);
        wait::until("minitower dev is ready and its runner online", Duration::from_secs(40), || {
            if let Some(status) = program.ended() {
                panic!("minitower dev ended ({status}): {}", program.log());
            }
            http.get("/ready").try_send().ok().filter(|answer| answer.status == 200)?;
            let runners = cli.run(&["runners", "list", "--json"]);
            (runners.code == 0 && runners.stdout.contains("online")).then_some(())
        });
        Self { program, cli, home }
    }

    /// Copies an example and deploys it.
    fn deploy(&self, example: &str) {
        let folder = self.copy(example);
        self.cli.run_in(&folder, &["deploy"]).expect(0);
    }

    fn copy(&self, example: &str) -> PathBuf {
        let from = programs::source_root().join("examples").join(example);
        let to = self.home.path().join(example);
        copy_tree(&from, &to);
        to
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.program.kill();
        let rest = leftovers::kill_below(self.home.path());
        if std::thread::panicking() && !rest.is_empty() {
            println!("processes left behind: {rest:?}");
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn run_id(created: &Value) -> String {
    created["run_id"].as_i64().unwrap_or_else(|| panic!("no run_id: {created}")).to_string()
}

#[test]
fn a_newcomer_deploys_hello_runs_it_and_reads_its_log() {
    let mut dev = Dev::start();
    dev.deploy("hello");
    let created = dev
        .cli
        .run(&["runs", "create", "hello", "--input", r#"{"name":"MiniTower"}"#, "--wait", "--json"])
        .expect(0);
    assert!(created.stdout.contains("completed"), "{}", created.stdout);
    let list = dev.cli.run(&["runs", "list", "--json"]).expect(0).json();
    let run = run_id(&list["runs"][0]);
    let logs = dev.cli.run(&["runs", "logs", &run, "--follow"]).expect(0);
    assert!(logs.stdout.lines().any(|line| line.contains("hello, MiniTower")), "{}", logs.stdout);
    assert!(!logs.stdout.contains('\u{1b}'), "no colours into a pipe");
    dev.cli.run(&["runs", "watch", &run]).expect(0);
    dev.cli.run(&["me"]).expect(0);

    assert_eq!(dev.program.terminate(wait::SOON), 0);
    wait::until("nothing is left of minitower dev", wait::SOON, || {
        leftovers::below(dev.home.path()).is_empty().then_some(())
    });
}

#[test]
fn every_small_example_deploys_and_ends_as_it_says() {
    let dev = Dev::start();
    for (example, app, input, code) in [
        ("shell", "shell-backup", "{}", 0),
        ("imports", "imports", "{}", 0),
        ("fails", "fails", "{}", 1),
        ("slow", "slow", r#"{"seconds": 1}"#, 0),
    ] {
        dev.deploy(example);
        dev.cli.run(&["runs", "create", app, "--input", input, "--wait"]).expect(code);
    }
    let failed = dev.cli.run(&["runs", "list", "--json"]).expect(0).json();
    let failed = failed["runs"].as_array().unwrap().iter().find(|run| run["app_slug"] == "fails").unwrap();
    assert_eq!(failed["exit_code"], 3);
}

#[test]
fn a_slow_run_is_cancelled_from_the_command_line() {
    let dev = Dev::start();
    dev.deploy("slow");
    let created = dev.cli.run(&["runs", "create", "slow", "--json"]).expect(0).json();
    let run = run_id(&created);
    let status = || dev.cli.run(&["runs", "get", &run, "--json"]).expect(0).json()["status"].clone();
    wait::until("the run is running", wait::SOON, || (status() == "running").then_some(()));
    dev.cli.run(&["runs", "cancel", &run]).expect(0);
    dev.cli.run(&["runs", "watch", &run]).expect(2);
    assert_eq!(status(), "cancelled");
}

#[test]
fn dev_starts_again_where_it_was() {
    let mut dev = Dev::start();
    dev.deploy("hello");
    dev.program.signal(Signal::SIGTERM);
    dev.program.wait_end(wait::SOON);
    let data = dev.home.path().join("data").display().to_string();
    let listen = format!("127.0.0.1:{}", free_port());
    let log = dev.home.path().join("logs/dev.log");
    let args = ["dev", "--listen", &listen, "--data-dir", &data];
    dev.program = Program::start(programs::CLI, &args, &[], dev.home.path(), &log);
    wait::until("the app is still there", wait::SOON, || {
        let apps = dev.cli.run(&["apps", "list", "--json"]);
        (apps.code == 0 && apps.stdout.contains("hello")).then_some(())
    });
}

#[test]
fn the_data_example_installs_its_libraries_and_reads_its_data_set() {
    let dev = Dev::start();
    dev.deploy("data");
    let ended = dev.cli.run(&["runs", "create", "airports", "-p", "country=NP", "-p", "top=3", "--wait"]);
    let list = dev.cli.run(&["runs", "list", "--json"]).expect(0).json();
    let logs = dev.cli.run(&["runs", "logs", &run_id(&list["runs"][0])]).expect(0);
    if ended.code == 1
        && ["No matching distribution", "dns error", "error sending request"]
            .iter()
            .any(|e| logs.stderr.contains(e))
    {
        skip::skip("no package index can be reached");
        return;
    }
    assert_eq!(ended.code, 0, "{}{}", logs.stdout, logs.stderr);
    assert!(
        logs.stdout.contains("airports in the world") && logs.stdout.contains("in NP"),
        "{}",
        logs.stdout
    );
}
