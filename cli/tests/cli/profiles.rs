//! Profiles: login, signup, config, and which server and token the other commands take from them.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::{Fake, Ran, error, program, run};

const LOGGED_IN: &str = r#"{"team_id":1,"token":"mtk_new","token_id":2,"role":"admin"}"#;
const ME: &str = r#"{"team_id":1,"team_slug":"acme","token_id":2,"role":"admin"}"#;

fn login(fake: &Fake, more: &[&str]) -> Ran {
    let line = [&["login", "--server", &fake.url, "--team", "acme", "--password-stdin"], more].concat();
    run(&mut program(fake.home.path(), &line), "pass word\n")
}

#[test]
fn a_login_makes_a_private_profile_that_the_next_commands_use() {
    let fake = Fake::start().on("POST /teams/login", 201, LOGGED_IN).on("GET /me", 200, ME);
    let ran = login(&fake, &[]).good();
    assert!(ran.stdout.starts_with("Logged in to http://127.0.0.1"), "{}", ran.stdout);
    assert_eq!(fake.asked("POST /teams/login")[0].json(), json!({"slug": "acme", "password": "pass word"}));
    assert_eq!(std::fs::metadata(fake.config()).unwrap().permissions().mode() & 0o777, 0o600);
    run(&mut program(fake.home.path(), &["me"]), "").good();
    assert_eq!(fake.asked("GET /me")[0].token.as_deref(), Some("Bearer mtk_new"));
}

#[test]
fn a_login_as_json_names_the_profile() {
    let fake = Fake::start().on("POST /teams/login", 201, LOGGED_IN);
    let ran = login(&fake, &["--json", "--profile", "work"]).good();
    assert_eq!(ran.json()["profile"], "work");
    assert_eq!(ran.json()["login"]["token_id"], 2);
}

#[test]
fn a_wrong_password_changes_nothing() {
    let fake = Fake::start().on("POST /teams/login", 401, error("unauthorized", "wrong team or password"));
    let ran = login(&fake, &[]);
    assert_eq!(ran.code, 10);
    assert!(ran.stderr.contains("check team and password"), "{}", ran.stderr);
    assert!(!fake.config().exists());
}

#[test]
fn without_a_terminal_the_password_comes_from_standard_input() {
    let fake = Fake::start();
    let ran = run(&mut program(fake.home.path(), &["login", "--server", &fake.url, "--team", "acme"]), "x");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--password-stdin"), "{}", ran.stderr);
}

#[test]
fn a_signup_makes_a_profile_and_shows_the_registration_token_once() {
    let answer =
        r#"{"team_id":1,"slug":"acme","token":"mtk_new","role":"admin","registration_token":"mtreg"}"#;
    let fake = Fake::start().on("POST /teams/signup", 201, answer).on("GET /me", 200, ME);
    let line = ["signup", "--server", &fake.url, "--team", "acme", "--password-stdin"];
    let ran = run(&mut program(fake.home.path(), &line), "secret").good();
    assert!(ran.stdout.contains("mtreg") && !ran.stdout.contains("mtk_new"), "{}", ran.stdout);
    assert_eq!(
        fake.asked("POST /teams/signup")[0].json(),
        json!({"slug": "acme", "name": "acme", "password": "secret"})
    );
    run(&mut program(fake.home.path(), &["me"]), "").good();
}

#[test]
fn a_refused_signup_says_what_to_do() {
    for (status, code, exit, way_out) in [(403, "forbidden", 10, "ask"), (409, "slug_taken", 12, "--team")] {
        let fake = Fake::start().on("POST /teams/signup", status, error(code, "no"));
        let line = ["signup", "--server", &fake.url, "--team", "acme", "--password-stdin"];
        let ran = run(&mut program(fake.home.path(), &line), "secret");
        assert_eq!(ran.code, exit);
        assert!(ran.stderr.contains(way_out), "{}", ran.stderr);
    }
}

#[test]
fn profiles_are_set_listed_shown_and_chosen_without_showing_tokens() {
    let fake = Fake::start();
    let cli = |line: &[&str]| run(&mut program(fake.home.path(), line), "");
    cli(&["config", "set", "--server", "http://one", "--token", "mtk_one", "--team", "acme"]).good();
    cli(&["config", "set", "--profile", "two", "--server", "http://two", "--app", "hello"]).good();
    assert_eq!(
        cli(&["config", "list"]).good().stdout,
        "ACTIVE  PROFILE  SERVER      TEAM  APP    TOKEN\n\
         *       default  http://one  acme  -      set\n        two      http://two  -     hello  not set\n"
    );
    cli(&["config", "use", "two"]).good();
    let shown = cli(&["config", "get", "--json"]).good();
    assert_eq!(
        shown.json(),
        json!({"profile": "two", "is_current": true, "current_profile": "two",
            "config": {"server": "http://two", "team": null, "app": "hello", "token_set": false}})
    );
    let shown = cli(&["config", "get", "--profile", "default"]).good();
    assert!(shown.stdout.contains("token    set") && !shown.stdout.contains("mtk_one"), "{}", shown.stdout);
    let listed = cli(&["config", "list", "--json"]).good();
    assert_eq!(listed.json()["profiles"][1]["is_current"], true);
    assert!(!listed.stdout.contains("mtk_one"));
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let fake = Fake::start();
    let cli = |line: &[&str]| run(&mut program(fake.home.path(), line), "");
    for line in [
        &["config", "use", "nope"][..],
        &["me", "--profile", "nope"],
        &["config", "get", "--profile", "nope"],
    ] {
        let ran = cli(line);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("`nope`") && ran.stderr.contains("config list"), "{}", ran.stderr);
    }
    assert!(cli(&["config", "get"]).stderr.contains("minitower login"));
    assert!(cli(&["config", "set"]).stderr.contains("--server"));
}

#[test]
fn flags_come_before_the_environment_before_the_profile() {
    let (other, fake) = (Fake::start().on("GET /me", 200, ME), Fake::start().on("GET /me", 200, ME));
    run(&mut program(fake.home.path(), &["config", "set", "--server", &other.url, "--token", "profile"]), "")
        .good();
    run(&mut program(fake.home.path(), &["me"]), "").good();
    assert_eq!(other.asked("GET /me")[0].token.as_deref(), Some("Bearer profile"));
    fake.run(&["me"]).good();
    fake.run(&["me", "--token", "flag"]).good();
    let tokens: Vec<_> = fake.asked("GET /me").into_iter().map(|asked| asked.token.unwrap()).collect();
    assert_eq!(tokens, ["Bearer mtk_good", "Bearer flag"]);
}

#[test]
fn a_profiles_token_is_not_sent_to_another_server() {
    let fake = Fake::start().on("GET /me", 200, ME);
    run(&mut program(fake.home.path(), &["config", "set", "--server", "http://h", "--token", "mtk_p"]), "")
        .good();
    let ran = run(&mut program(fake.home.path(), &["me", "--server", &fake.url]), "");
    assert_eq!(ran.code, 1);
    assert!(fake.asked("GET /me").is_empty() && !ran.stderr.contains("mtk_p"), "{}", ran.stderr);
}
