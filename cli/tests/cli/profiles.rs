//! Profiles: login, signup, config, and which server and token the other commands take from them.

use std::os::unix::fs::PermissionsExt;

use minitower_test_plane::{Answer, Call, Plane};
use serde_json::json;

use crate::support::{Bed, Ran, program, run};

const PASSWORD: &str = "correct horse battery staple";

/// A bed whose team `tower` was signed up with a password.
fn signed_up() -> Bed {
    let bed = Bed::start();
    signup(&bed, "tower", &["--profile", "of-the-signup"]).good();
    std::fs::remove_file(bed.config()).unwrap();
    bed
}

fn signup(bed: &Bed, team: &str, more: &[&str]) -> Ran {
    let line = [&["signup", "--server", bed.plane.url(), "--team", team, "--password-stdin"], more].concat();
    run(&mut program(bed.home.path(), &line), PASSWORD)
}

fn login(bed: &Bed, password: &str, more: &[&str]) -> Ran {
    let line =
        [&["login", "--server", bed.plane.url(), "--team", "tower", "--password-stdin"], more].concat();
    run(&mut program(bed.home.path(), &line), &format!("{password}\n"))
}

#[test]
fn a_login_makes_a_private_profile_that_the_next_commands_use() {
    let bed = signed_up();
    let ran = login(&bed, PASSWORD, &[]).good();
    assert!(ran.stdout.starts_with("Logged in to http://127.0.0.1"), "{}", ran.stdout);
    let asked = bed.plane.requests("POST /teams/login")[0].json();
    assert_eq!(asked, json!({"slug": "tower", "password": PASSWORD}));
    assert_eq!(std::fs::metadata(bed.config()).unwrap().permissions().mode() & 0o777, 0o600);
    let me = run(&mut program(bed.home.path(), &["me", "--json"]), "").good().json();
    assert_eq!(me["team_slug"], "tower");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(bed.config()).unwrap()).unwrap();
    assert_eq!(bed.plane.requests("GET /me")[0].token(), config["profiles"]["default"]["token"].as_str());
}

#[test]
fn a_login_as_json_names_the_profile() {
    let bed = signed_up();
    let ran = login(&bed, PASSWORD, &["--json", "--profile", "work"]).good().json();
    assert_eq!(ran["profile"], "work");
    let me = run(&mut program(bed.home.path(), &["me", "--json"]), "").good().json();
    assert_eq!(ran["login"]["token_id"], me["token_id"]);
}

#[test]
fn a_wrong_password_changes_nothing() {
    let bed = signed_up();
    let ran = login(&bed, "another", &[]);
    assert_eq!(ran.code, 10);
    assert!(ran.stderr.contains("check team and password"), "{}", ran.stderr);
    assert!(!bed.config().exists());
}

#[test]
fn without_a_terminal_the_password_comes_from_standard_input() {
    let bed = Bed::start();
    let line = ["login", "--server", bed.plane.url(), "--team", "acme"];
    let ran = run(&mut program(bed.home.path(), &line), "x");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--password-stdin"), "{}", ran.stderr);
}

#[test]
fn a_signup_makes_a_profile_and_shows_the_registration_token_once() {
    let bed = Bed::start();
    let ran = signup(&bed, "tower", &[]).good();
    let config = std::fs::read_to_string(bed.config()).unwrap();
    let token = config.split('"').find(|word| word.starts_with("mtk_")).unwrap();
    assert!(ran.stdout.contains("Registration token") && !ran.stdout.contains(token), "{}", ran.stdout);
    let shown = ran.stdout.split_whitespace().last().unwrap();
    assert!(shown.len() > 20 && !config.contains(shown), "{}", ran.stdout);
    let asked = bed.plane.requests("POST /teams/signup")[0].json();
    assert_eq!(asked, json!({"slug": "tower", "name": "tower", "password": PASSWORD}));
    run(&mut program(bed.home.path(), &["me"]), "").good();
}

#[test]
fn a_logout_revokes_the_token_and_takes_it_out_of_the_profile() {
    let bed = signed_up();
    login(&bed, PASSWORD, &[]).good();
    let config = std::fs::read_to_string(bed.config()).unwrap();
    let token = config.split('"').find(|word| word.starts_with("mtk_")).unwrap().to_owned();
    let ran = run(&mut program(bed.home.path(), &["logout", "--json"]), "").good().json();
    assert_eq!(ran, json!({"profile": "default", "revoked": true}));
    assert!(!std::fs::read_to_string(bed.config()).unwrap().contains("mtk_"));
    let line = ["me", "--server", bed.plane.url(), "--token", &token];
    assert_eq!(run(&mut program(bed.home.path(), &line), "").code, 10, "the token still works");
    run(&mut program(bed.home.path(), &["logout"]), "").good();
    assert_ne!(run(&mut program(bed.home.path(), &["me"]), "").code, 0);
}

#[test]
fn a_member_revokes_its_own_token_by_logging_out() {
    let bed = Bed::start();
    let member = bed.run(&["tokens", "create", "--json"]).good().json()["token"].as_str().unwrap().to_owned();
    let set = ["config", "set", "--server", bed.plane.url(), "--token", &member];
    run(&mut program(bed.home.path(), &set), "").good();
    let ran = run(&mut program(bed.home.path(), &["logout"]), "").good();
    assert!(ran.stderr.contains("revoked at the server"), "{ran:?}");
    let line = ["me", "--server", bed.plane.url(), "--token", &member];
    assert_eq!(run(&mut program(bed.home.path(), &line), "").code, 10, "the token still works");
}

#[test]
fn a_logout_that_may_not_revoke_says_so_and_forgets_the_token_all_the_same() {
    let bed = Bed::start();
    // As of a server that lets admins alone revoke tokens.
    let refusal = Answer::refusal(403, "forbidden", "this call needs a token of role admin");
    bed.plane.once(Call::any().when(|asked| asked.method == "DELETE"), refusal);
    let member = bed.run(&["tokens", "create", "--json"]).good().json()["token"].as_str().unwrap().to_owned();
    let set = ["config", "set", "--server", bed.plane.url(), "--token", &member];
    run(&mut program(bed.home.path(), &set), "").good();
    let ran = run(&mut program(bed.home.path(), &["logout"]), "").good();
    assert!(ran.stderr.contains("could not be revoked") && ran.stderr.contains("admin"), "{ran:?}");
    assert!(!std::fs::read_to_string(bed.config()).unwrap().contains("mtk_"));
}

#[test]
fn tokens_are_listed_and_revoked() {
    let bed = Bed::start();
    let made = bed.words("tokens create --name ci --expires-in 720h --json").good().json();
    assert!(made["expires_at"].is_string(), "{made}");
    let id = made["token_id"].to_string();
    let listed = bed.words("tokens list").good().stdout;
    assert!(listed.starts_with("ID") && listed.contains("LAST USED") && listed.contains("ci"), "{listed}");
    assert!(!listed.contains("mtk_"), "{listed}");
    let revoked = bed.run(&["tokens", "revoke", &id, "--json"]).good().json();
    assert_eq!(revoked, json!({"revoked": [made["token_id"]]}));
    let again = bed.run(&["tokens", "revoke", &id]);
    assert!(again.code == 11 && again.stderr.contains("minitower tokens list"), "{again:?}");
    let bad = bed.words("tokens create --expires-in 30d");
    assert!(bad.code == 1 && bad.stderr.contains("720h"), "{bad:?}");
}

#[test]
fn a_refused_signup_says_what_to_do() {
    let bed = Bed::start();
    let ran = signup(&bed, "acme", &[]);
    assert!(ran.code == 12 && ran.stderr.contains("--team"), "{ran:?}");
    bed.plane.once("POST /teams/signup", Answer::refusal(403, "forbidden", "no"));
    let ran = signup(&bed, "tower", &[]);
    assert!(ran.code == 10 && ran.stderr.contains("ask"), "{ran:?}");
    assert!(!bed.config().exists());
}

#[test]
fn nothing_is_asked_of_a_server_whose_token_could_not_be_saved() {
    let bed = signed_up();
    bed.write("file", "");
    let before = bed.plane.count("POST /teams/signup");
    for command in ["login", "signup"] {
        let line = [command, "--server", bed.plane.url(), "--team", "tower", "--password-stdin"];
        let mut program = program(bed.home.path(), &line);
        let ran = run(program.env("MINITOWER_CLI_CONFIG", "file/config.json"), PASSWORD);
        assert!(ran.code == 1 && ran.stderr.contains("file/config.json"), "{ran:?}");
        assert!(ran.stderr.contains("help: set MINITOWER_CLI_CONFIG"), "{ran:?}");
    }
    assert_eq!((bed.plane.count("POST /teams/login"), bed.plane.count("POST /teams/signup")), (0, before));
}

#[test]
fn a_token_that_could_not_be_shown_is_revoked_again() {
    let bed = Bed::start();
    let ids = || bed.team.get("/tokens")["tokens"].as_array().unwrap().len();
    let before = ids();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut create = bed.cli(&["tokens", "create"]);
    let ran = Ran::from(create.stdout(full).output().unwrap());
    assert!(ran.code == 1 && ran.stderr.contains("the new token is revoked again"), "{ran:?}");
    assert_eq!(ids(), before);
}

#[test]
fn profiles_are_set_listed_shown_and_chosen_without_showing_tokens() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "");
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
fn a_profile_that_moves_to_another_server_leaves_its_token_behind() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "");
    let has_token = || cli(&["config", "get", "--json"]).good().json()["config"]["token_set"] == true;
    cli(&["config", "set", "--server", "http://one", "--token", "mtk_one"]).good();
    let refused = cli(&["config", "set", "--server", "one"]);
    assert!(refused.code != 0 && refused.stderr.contains("server URL `one`"), "{}", refused.stderr);
    let same = cli(&["config", "set", "--server", "HTTP://one/"]).good();
    assert!(has_token() && !same.stdout.contains("token"), "{}", same.stdout);
    let moved = cli(&["config", "set", "--server", "http://two"]).good();
    assert!(
        !has_token() && moved.stdout.contains("run `minitower login --profile default`"),
        "{}",
        moved.stdout
    );
    cli(&["config", "set", "--server", "http://three", "--token", "mtk_three"]).good();
    assert!(has_token());
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "");
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
    let (other, bed) = (Plane::start(), Bed::start());
    let profile = other.team("other").token;
    let set = ["config", "set", "--server", other.url(), "--token", &profile];
    run(&mut program(bed.home.path(), &set), "").good();
    run(&mut program(bed.home.path(), &["me"]), "").good();
    assert_eq!(other.requests("GET /me")[0].token(), Some(profile.as_str()));
    bed.run(&["me"]).good();
    let flag = bed.team.member_token();
    bed.run(&["me", "--token", &flag]).good();
    let asked = bed.plane.requests("GET /me");
    let tokens: Vec<_> = asked.iter().map(|asked| asked.token().unwrap()).collect();
    assert_eq!(tokens, [bed.team.token.as_str(), flag.as_str()]);
}

#[test]
fn a_profiles_token_is_not_sent_to_another_server() {
    let bed = Bed::start();
    let set = ["config", "set", "--server", "http://h", "--token", "mtk_p"];
    run(&mut program(bed.home.path(), &set), "").good();
    let ran = run(&mut program(bed.home.path(), &["me", "--server", bed.plane.url()]), "");
    assert_eq!(ran.code, 1);
    assert!(bed.plane.count("GET /me") == 0 && !ran.stderr.contains("mtk_p"), "{}", ran.stderr);
}

#[test]
fn a_profile_that_others_may_read_is_refused_until_it_is_mended() {
    let bed = signed_up();
    login(&bed, PASSWORD, &[]).good();
    std::fs::set_permissions(bed.config(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let me = || run(&mut program(bed.home.path(), &["me"]), "");
    let asked = bed.plane.count("GET /me");
    let ran = me();
    assert_eq!((ran.code, bed.plane.count("GET /me")), (1, asked), "{ran:?}");
    let way_out = format!("chmod 600 {}", bed.config().display());
    assert!(ran.stderr.contains(&format!("`{way_out}`")), "{}", ran.stderr);
    bed.words("me").good();
    std::process::Command::new("sh").args(["-c", &way_out]).status().unwrap();
    me().good();
}

#[test]
fn a_token_in_the_open_is_warned_of_once_unless_that_is_allowed() {
    // Nobody answers there (RFC 5737), and nobody needs to: the warning comes first.
    let server = "http://192.0.2.1:9";
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| {
        let mut command = program(home.path(), line);
        // A proxy that refuses ends the waiting.
        run(command.env("http_proxy", "http://127.0.0.1:1"), "")
    };
    let warned = |ran: &Ran| ran.stderr.matches("everybody on the way can read your token").count();
    let ran = cli(&["me", "--server", server, "--token", "mtk_x"]);
    assert_eq!((ran.code, warned(&ran)), (14, 1), "{ran:?}");
    let ran = cli(&["me", "--server", server, "--token", "mtk_x", "--insecure-http"]);
    assert_eq!((ran.code, warned(&ran)), (14, 0), "{ran:?}");

    cli(&["config", "set", "--server", server, "--token", "mtk_x"]).good();
    assert_eq!(warned(&cli(&["me"])), 1);
    cli(&["config", "set", "--insecure-http"]).good();
    assert_eq!(warned(&cli(&["me"])), 0);
    cli(&["config", "set", "--server", "http://192.0.2.2:9", "--token", "mtk_y"]).good();
    assert_eq!(warned(&cli(&["me"])), 1, "it was said of another server");
}

#[test]
fn certificates_for_a_server_without_any_are_refused_by_name() {
    let bed = Bed::start();
    bed.write("ca.pem", "");
    let ran = bed.words("me --ca-file ca.pem");
    assert_eq!((ran.code, bed.plane.count("GET /me")), (1, 0), "{ran:?}");
    assert!(ran.stderr.contains("--ca-file is for servers at https"), "{}", ran.stderr);
    run(bed.cli(&["me"]).env("MINITOWER_CA_FILE", "ca.pem"), "").good();
}
