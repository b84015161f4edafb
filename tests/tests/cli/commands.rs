//! Commands, their exit codes and their output for scripts, against a real server.

use std::fs;

use minitower_tests::{Cli, Runner, Server, Team};
use serde_json::json;

struct Bed {
    cli: Cli,
    team: Team,
    server: Server,
}

impl Bed {
    fn start() -> Self {
        let server = Server::start();
        let team = server.bootstrap();
        let home = server.folder().join("home");
        fs::create_dir(&home).unwrap();
        let cli = Cli::new(&home)
            .env("MINITOWER_SERVER_URL", server.http().base())
            .env("MINITOWER_API_TOKEN", &team.token);
        Self { cli, team, server }
    }
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let bed = Bed::start();
    bed.team.python_app("hello", "print()");
    bed.cli.run(&["me"]).expect(0);
    bed.cli.run(&["apps", "get", "nothing"]).expect(11);
    bed.cli.run(&["runs", "get", "4711"]).expect(11);
    bed.cli.run(&["apps", "create", "hello"]).expect(12);
    let stranger = bed.cli.clone().env("MINITOWER_API_TOKEN", "mtk_wrong");
    let refused = stranger.run(&["me"]).expect(10);
    assert!(refused.stderr.contains("login"), "it names the way out: {}", refused.stderr);
    let away = bed.cli.clone().env("MINITOWER_SERVER_URL", "http://127.0.0.1:9");
    let refused = away.run(&["me"]).expect(14);
    assert!(refused.stderr.contains("127.0.0.1:9"), "{}", refused.stderr);
    let member = bed.cli.clone().env("MINITOWER_API_TOKEN", &bed.team.member().token);
    member.run(&["runners", "list"]).expect(10);
}

#[test]
fn watching_a_run_exits_as_the_run_ended() {
    let bed = Bed::start();
    bed.team.python_app("hello", "print()");
    let runner = Runner::register(&bed.server, "r1");
    for (result, code) in [("completed", 0), ("failed", 1)] {
        let run = bed.team.run_id("hello");
        runner.lease_and_start().result(json!({"status": result})).expect(200);
        bed.cli.run(&["runs", "watch", &run.to_string()]).expect(code);
    }
    let run = bed.team.run_id("hello");
    bed.team.cancel(run);
    bed.cli.run(&["runs", "watch", &run.to_string()]).expect(2);
}

#[test]
fn every_list_speaks_json_and_plain_text_without_colours() {
    let bed = Bed::start();
    bed.team.python_app("hello", "print()");
    bed.team.run_id("hello");
    for (args, key) in [
        (&["apps", "list"][..], "apps"),
        (&["versions", "list", "hello"], "versions"),
        (&["runs", "list"], "runs"),
        (&["runners", "list"], "runners"),
        (&["environments", "list"], "environments"),
    ] {
        let plain = bed.cli.run(args).expect(0);
        assert!(!plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'), "{}", plain.stdout);
        let with_json = [args, &["--json"]].concat();
        let json = bed.cli.run(&with_json).expect(0).json();
        assert!(json[key].is_array(), "{args:?}: {json}");
    }
}

#[test]
fn init_and_deploy_take_a_folder_to_a_version() {
    let bed = Bed::start();
    let project = bed.server.folder().join("my-job");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("main.py"), "print('mine')").unwrap();
    bed.cli.run_in(&project, &["init"]).expect(0);
    let towerfile = fs::read_to_string(project.join("Towerfile")).unwrap();
    assert!(towerfile.contains("main.py"), "{towerfile}");
    bed.cli.run_in(&project, &["deploy"]).expect(0);
    bed.cli.run_in(&project, &["deploy", "--force"]).expect(0);
    let versions = bed.team.get("/apps/my-job/versions").send().expect_json(200);
    let versions = versions["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0]["artifact_sha256"], versions[1]["artifact_sha256"], "packing is deterministic");
}

#[test]
fn the_profile_of_a_login_is_used_and_lies_in_a_private_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::start();
    bed.server.sign_up("other-team");
    let home = bed.server.folder().join("home");
    let person = Cli::new(&home);
    let base = bed.server.http().base().to_owned();
    let login = ["login", "--server", &base, "--team", "other-team", "--password-stdin"];
    person.run_with(&login, "a wrong password\n").expect(10);
    person.run_with(&login, "correct horse battery staple\n").expect(0);
    let file = home.join(".config/minitower-cli/config.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(person.run(&["me", "--json"]).expect(0).json()["team_slug"], "other-team");

    // Variables win over the profile, and flags over both.
    let with_variable = person.env("MINITOWER_API_TOKEN", &bed.team.token);
    assert_eq!(with_variable.run(&["me", "--json"]).expect(0).json()["team_slug"], "acme");
    with_variable.run(&["me", "--token", "mtk_wrong"]).expect(10);
}

#[test]
fn a_token_never_appears_in_what_a_failing_command_prints() {
    let bed = Bed::start();
    for args in
        [&["apps", "get", "nothing"][..], &["runs", "get", "1"], &["me", "--server", "http://127.0.0.1:9"]]
    {
        let output = bed.cli.run(args);
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(!all.contains(&bed.team.token), "{all}");
    }
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    let bed = Bed::start();
    for shell in ["bash", "zsh", "fish"] {
        assert!(bed.cli.run(&["completion", shell]).expect(0).stdout.contains("minitower"));
    }
}
