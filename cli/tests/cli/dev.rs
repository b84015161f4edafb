//! `minitower dev`: starts, makes its profile, ends. What it runs is tested with the control plane and the runner.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{program, run};

/// A started `minitower dev`; ended with the test.
struct Dev {
    child: Child,
    welcome: Value,
}

impl Dev {
    fn start(home: &std::path::Path) -> Self {
        Self::start_in(home, ".minitower")
    }

    fn start_in(home: &std::path::Path, folder: &str) -> Self {
        Self::started(&mut program(home, &["dev", "--listen", "127.0.0.1:0", "--data-dir", folder, "--json"]))
    }

    fn started(command: &mut std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let welcome = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, welcome }
    }

    fn end(mut self, by: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id().cast_signed()), by).unwrap();
        let mut said = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.child.kill();
    }
}

#[test]
fn dev_makes_a_profile_that_works_and_ends_in_order() {
    let home = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dev = Dev::start(home.path());
        assert_eq!(dev.welcome["profile_active"], true);
        let me = run(&mut program(home.path(), &["me", "--json"]), "").good();
        assert_eq!((&me.json()["team_slug"], &me.json()["role"]), (&"dev".into(), &"admin".into()));
        let (code, said) = dev.end(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("Stopping") && !said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn dev_leaves_the_profile_a_person_chose_in_its_place() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "").good();
    cli(&["config", "set", "--profile", "work", "--server", "http://work", "--token", "mtk_w"]);
    let dev = Dev::start(home.path());
    assert_eq!(dev.welcome["profile_active"], false);
    assert_eq!(cli(&["config", "get", "--json"]).json()["profile"], "work");
    assert_eq!(cli(&["me", "--profile", "dev", "--json"]).json()["team_slug"], "dev");
    assert_eq!(dev.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn two_at_once_do_not_take_each_others_profile() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "").good();
    let first = Dev::start(home.path());
    let second = Dev::start_in(home.path(), "second");
    let profile = second.welcome["profile"].as_str().unwrap();
    assert!(profile.starts_with("dev-"), "{profile}");
    assert_eq!(second.welcome["profile_active"], false);
    for (profile, dev) in [("dev", &first), (profile, &second)] {
        let shown = cli(&["config", "get", "--profile", profile, "--json"]).json();
        assert_eq!(shown["config"]["server"], dev.welcome["server"]);
        cli(&["me", "--profile", profile]);
    }
    let profile = profile.to_owned();
    assert_eq!(second.end(Signal::SIGTERM).0, Some(0));
    let left = cli(&["config", "list", "--json"]).stdout;
    assert!(!left.contains(&profile) && left.contains("\"dev\""), "{left}");
    assert_eq!(first.end(Signal::SIGTERM).0, Some(0));
    // The name is free again.
    assert_eq!(Dev::start(home.path()).welcome["profile"], "dev");
}

#[test]
fn dev_where_something_else_listens_names_another_way() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&mut program(home.path(), &["dev", "--listen", &address]), "");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("--listen"), "{}", ran.stderr);
    assert!(!home.path().join(".config").exists(), "no profile of a server that never was");
}

#[test]
fn dev_that_cannot_start_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for line in [
        &["dev", "--listen", &address, "--here"][..],
        &["dev", "--listen", &address],
        &["dev", "--listen", &address, "--data-dir", "a/b"],
        &["dev", "--listen", "127.0.0.1:0", "--env-max-age", "soon"],
    ] {
        let ran = run(&mut program(home.path(), line), "");
        assert_eq!(ran.code, 1, "{ran:?}");
        let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
        assert!(left.is_empty(), "{line:?}: {left:?}");
    }
}

#[test]
fn each_start_takes_the_token_that_is_there_while_it_works() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "");
    let ids = || {
        let listed = cli(&["tokens", "list", "--json"]).good().json()["tokens"].clone();
        listed.as_array().unwrap().iter().map(|token| token["token_id"].clone()).collect::<Vec<_>>()
    };
    let mut before = Vec::new();
    for _start in 0..3 {
        let dev = Dev::start(home.path());
        let now = ids();
        assert_eq!(now.len(), 1);
        assert!(before.is_empty() || now == before, "{now:?} after {before:?}");
        before = now;
        assert_eq!(dev.end(Signal::SIGTERM).0, Some(0));
    }
    let dev = Dev::start(home.path());
    cli(&["tokens", "revoke", &before[0].to_string()]).good();
    assert_eq!(cli(&["me"]).code, 10);
    assert_eq!(dev.end(Signal::SIGTERM).0, Some(0));
    let _dev = Dev::start(home.path());
    assert!(ids().len() == 1 && ids() != before);
}

#[test]
fn a_profile_that_a_person_has_named_dev_stays_theirs() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "").good();
    // Nobody answers there: the person's server is away.
    let theirs = ["config", "set", "--profile", "dev", "--server", "https://127.0.0.1:1", "--token", "mtk_w"];
    cli(&[&theirs[..], &["--team", "us"]].concat());
    let dev = Dev::start(home.path());
    assert_ne!(dev.welcome["profile"], "dev");
    let shown = cli(&["config", "get", "--profile", "dev", "--json"]).json();
    assert_eq!(shown["config"]["team"], "us");
    assert_eq!(dev.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn dev_makes_no_token_that_it_cannot_save() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "").unwrap();
    let line = ["dev", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    let ran = run(program(home.path(), &line).env("MINITOWER_CLI_CONFIG", "file/config.json"), "");
    assert!(ran.code == 1 && ran.stderr.contains("MINITOWER_CLI_CONFIG"), "{ran:?}");
    let dev = Dev::start_in(home.path(), "data");
    let tokens = run(&mut program(home.path(), &["tokens", "list", "--json"]), "").good().json();
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1, "{tokens}");
    assert_eq!(dev.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn dev_keeps_its_data_with_the_user_and_not_where_it_was_started() {
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let dev = |more: &[&str]| {
        let line = [&["dev", "--listen", "127.0.0.1:0", "--json"], more].concat();
        let mut command = program(home.path(), &line);
        Dev::started(command.current_dir(&project))
    };
    let usual = dev(&[]);
    assert_eq!(usual.welcome["data_dir"], format!("{}/.local/share/minitower/dev", home.path().display()));
    assert_eq!(usual.end(Signal::SIGTERM).0, Some(0));
    assert_eq!(std::fs::read_dir(&project).unwrap().count(), 0, "nothing is left in the project");
    let here = dev(&["--here"]);
    assert!(project.join(".minitower/control-plane/minitower.db").is_file());
    assert_eq!(here.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn a_refused_token_of_a_dev_leads_to_a_new_dev_and_not_to_a_login_without_password() {
    let bed = crate::support::Bed::start();
    let server = bed.plane.url();
    let set =
        ["config", "set", "--server", server, "--token", "mtk_old", "--team", "dev", "--profile", "dev"];
    run(&mut program(bed.home.path(), &set), "").good();
    let ran = run(&mut program(bed.home.path(), &["me"]), "");
    assert_eq!(ran.code, 10);
    assert!(
        ran.stderr.contains("start `minitower dev` again") && !ran.stderr.contains("login"),
        "{}",
        ran.stderr
    );
}
