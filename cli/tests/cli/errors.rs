//! What a person sees when something goes wrong, and the exit codes.

use minitower_test_plane::Answer;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Bed, program, run};

#[test]
fn a_refusal_is_said_in_two_lines_and_has_its_exit_code() {
    let bed = Bed::start();
    for (status, code, exit, way_out) in [
        (400, "invalid_request", 1, ""),
        (401, "unauthorized", 10, "minitower login"),
        (403, "forbidden", 10, "admin"),
        (404, "not_found", 11, "minitower runs list"),
        (409, "conflict", 12, ""),
        (410, "gone", 13, ""),
        (429, "rate_limited", 1, "try again"),
    ] {
        let rule = bed.plane.always("POST /runs/7/cancel", Answer::refusal(status, code, "the reason"));
        let ran = bed.words("runs cancel 7").plain();
        assert_eq!((ran.code, ran.stdout.as_str()), (exit, ""), "{ran:?}");
        assert!(ran.stderr.contains("error: the reason"), "{}", ran.stderr);
        assert!(ran.stderr.contains(way_out) && ran.stderr.lines().count() <= 2, "{}", ran.stderr);
        assert!(!ran.stderr.contains(&bed.team.token), "{}", ran.stderr);

        let ran = bed.words("runs cancel 7 --json").plain();
        assert_eq!((ran.code, ran.stdout.as_str()), (exit, ""), "{ran:?}");
        let error = &ran.error()["error"];
        assert_eq!((&error["code"], &error["status"]), (&code.into(), &status.into()), "{error}");
        assert_eq!(error["exit_code"], exit, "{error}");
        assert!(error["message"].as_str().unwrap().starts_with("the reason"), "{error}");
        assert!(error["help"].as_str().unwrap_or_default().contains(way_out), "{error}");
        bed.plane.lift(rule);
    }
}

#[test]
fn every_command_hands_a_refused_token_on() {
    let bed = Bed::start();
    for (line, call) in [
        ("me", "GET /me"),
        ("apps list", "GET /apps"),
        ("apps get hello", "GET /apps/hello"),
        ("apps create hello", "POST /apps"),
        ("versions list --app hello", "GET /apps/hello/versions"),
        ("versions get 3 --app hello", "GET /apps/hello/versions/3"),
        ("runs create hello", "POST /apps/hello/runs"),
        ("runs create hello -p a=1", "GET /apps/hello/versions"),
        ("runs list", "GET /runs"),
        ("runs get 7", "GET /runs/7"),
        ("run hello", "POST /apps/hello/runs"),
        ("logs", "GET /runs"),
        ("logs 7", "GET /runs/7/logs"),
        ("runs logs 7", "GET /runs/7/logs"),
        ("runs logs 7 --follow", "GET /runs/7"),
        ("runs watch 7", "GET /runs/7"),
        ("runs watch --app hello", "GET /apps/hello/runs"),
        ("runs attempts 7", "GET /runs/7/attempts"),
        ("runs artifacts list 7", "GET /runs/7/artifacts"),
        ("environments list", "GET /environments"),
        ("environments create e", "POST /environments"),
        ("runners list", "GET /admin/runners"),
        ("runners drain r", "POST /admin/runners/r/drain"),
        ("runners undrain r", "DELETE /admin/runners/r/drain"),
        ("tokens create", "POST /tokens"),
        ("audit", "GET /audit"),
        ("audit export --all-teams", "GET /admin/audit"),
        ("limits", "GET /limits"),
        ("limits set apps=5", "PUT /limits"),
        ("retention", "GET /retention"),
        ("retention set --keep forever", "PUT /retention"),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let ran = run(bed.cli(&words).env("MINITOWER_API_TOKEN", "mtk_wrong"), "").plain();
        assert_eq!(ran.code, 10, "{line}: {ran:?}");
        let (error, help) = ran.stderr.split_once('\n').unwrap();
        assert!(error.starts_with("error: ") && error.ends_with(" (401 unauthorized)"), "{line}: {error}");
        assert_eq!(help, "help: run `minitower login` for a new token\n", "{line}");
        let asked = bed.plane.requests(call);
        assert_eq!(asked.last().and_then(|asked| asked.answered), Some(401), "{line}");
    }
}

#[test]
fn what_does_not_exist_leads_to_what_does() {
    let bed = Bed::with_app();
    for (line, way_out) in [
        ("apps get nope", "minitower apps list"),
        ("versions get 9 --app hello", "minitower versions list"),
        ("runs create nope", "minitower apps list"),
        ("runs get 9", "minitower runs list"),
        ("runs watch 9", "minitower runs list"),
        ("runs logs 9 -f", "minitower runs list"),
        ("runners drain nope", "minitower runners list"),
    ] {
        let ran = bed.words(line);
        assert_eq!(ran.code, 11, "{ran:?}");
        assert!(ran.stderr.contains(way_out), "{}", ran.stderr);
    }
}

#[test]
fn no_server_named_and_no_server_there_say_so() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(&mut program(home.path(), &["me"]), "");
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("no server is named, and there is no profile in /")
            && ran.stderr.contains("config.json")
            && ran.stderr.contains("minitower login"),
        "{}",
        ran.stderr
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let line = ["me", "--server", &url, "--token", "mtk_secret"];
    let ran = run(&mut program(home.path(), &line), "");
    assert_eq!(ran.code, 14);
    assert!(ran.stderr.contains(&url) && ran.stderr.contains("connection refused"), "{}", ran.stderr);
    assert!(ran.stderr.contains("minitower dev") && !ran.stderr.contains("mtk_secret"), "{}", ran.stderr);
    let ran = run(program(home.path(), &line).arg("--json"), "");
    assert_eq!((ran.code, &ran.error()["error"]["meaning"]), (14, &"server_unreachable".into()));
}

#[test]
fn an_answer_that_breaks_off_is_an_error_of_one_line() {
    let bed = Bed::with_app();
    bed.plane.once("GET /apps", Answer::break_off());
    let ran = bed.words("apps list").plain();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (14, "", 1), "{ran:?}");
    bed.plane.once("GET /apps", Answer::cut());
    assert_eq!(bed.words("apps list").code, 14);
}

#[rstest]
#[case(&["runs", "get", "x"])]
#[case(&["runs", "list", "--limit", "1000"])]
#[case(&["no-such-command"])]
#[case(&[])]
fn a_mistake_in_the_line_ends_with_1_and_not_with_the_2_of_cancelled(#[case] line: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut program(home.path(), line), "").code, 1);
    let ran = run(program(home.path(), line).arg("--json"), "");
    assert_eq!((ran.code, ran.stdout.as_str(), &ran.error()["error"]["exit_code"]), (1, "", &1.into()));
}

#[rstest]
#[case(&["--help"])]
#[case(&["runs", "create", "--help"])]
#[case(&["--version"])]
fn help_is_an_answer(#[case] line: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    assert!(run(&mut program(home.path(), line), "").good().stdout.contains("minitower"));
}

#[test]
fn fields_that_the_server_has_ignored_are_named() {
    let bed = Bed::with_app();
    let id = bed.team.run("hello").run_id;
    let run = bed.team.get(&format!("/runs/{id}"));
    let answer = Answer::json(201, &run).header("x-ignored-fields", "colour,retry.size");
    bed.plane.always("POST /apps/hello/runs", answer);
    let ran = bed.words("runs create hello").good();
    assert!(ran.stderr.contains("warning: the server does not know colour,retry.size"), "{}", ran.stderr);
    let ran = bed.words("runs create hello --json").good();
    assert!(ran.error()["warning"].as_str().unwrap().contains("colour,retry.size"), "{}", ran.stderr);
}

#[rstest]
#[case("frobnicate", "unrecognized subcommand 'frobnicate'", "Usage: minitower")]
#[case("rusn list", "unrecognized subcommand 'rusn'", "'runs'")]
#[case("runs list --limit x", "for '--limit <NUMBER>': it must be a whole number", "try '--help'")]
#[case("runs list --limit 99999999999999999999999", "the number is too large", "try '--help'")]
#[case("runs get", "the following required arguments were not provided: <RUN>", "Usage: minitower runs get")]
fn a_mistake_in_the_line_is_told_in_plain_words_and_as_json(
    #[case] line: &str,
    #[case] message: &str,
    #[case] help: &str,
) {
    let home = tempfile::tempdir().unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let ran = run(&mut program(home.path(), &words), "");
    let told = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(ran.code == 1 && told.contains(message) && told.contains(help), "{ran:?}");
    let ran = run(&mut program(home.path(), &[&words[..], &["--json"]].concat()), "");
    let error = serde_json::from_str::<Value>(&ran.stderr).unwrap()["error"].clone();
    assert!(ran.code == 1 && error["message"].as_str().unwrap().contains(message), "{ran:?}");
    assert!(!ran.stderr.contains(r"\n") && error["help"].as_str().unwrap().contains(help), "{ran:?}");
    assert_eq!((&error["exit_code"], &error["meaning"]), (&json!(1), &json!("failed")));
}

#[rstest]
#[case(&["tokens", "create", "--role", "boss"], "--role is \"boss\"")]
#[case(&["tokens", "create", "--name", "a\u{1b}b"], "--name may have")]
#[case(&["apps", "create", "hello", "--description", "a\u{1b}b"], "--description must not contain control")]
fn a_refusal_names_the_flag(#[case] line: &[&str], #[case] told: &str) {
    let ran = Bed::start().run(line);
    assert!(ran.code == 1 && ran.stderr.contains(told), "{ran:?}");
}

#[test]
fn what_others_wrote_controls_no_terminal_through_a_table_an_error_or_json() {
    let bed = Bed::start();
    let evil = "a\u{1b}]0;T\u{7}\u{9b}2J\u{202e}b";
    bed.run(&["apps", "create", "hello", "--description", "x"]).good();
    // Our server refuses such a text; not every server is ours.
    for path in ["GET /apps", "GET /apps/hello"] {
        bed.plane.always(
            path,
            Answer::change_json(move |body| match body["apps"].as_array_mut() {
                Some(apps) => apps.iter_mut().for_each(|app| app["description"] = evil.into()),
                None => body["description"] = evil.into(),
            }),
        );
    }
    let harmful = |text: &str| text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']);
    for line in ["apps list", "apps get hello", "apps get hello --json"] {
        let said = bed.words(line).good().stdout;
        assert!(said.contains("]0;T") && !harmful(&said), "{said:?}");
    }
    assert_eq!(bed.words("apps get hello --json").json()["description"], evil);
    bed.plane.lift_all();
    bed.plane.once("GET /apps", Answer::refusal(409, "conflict", evil));
    let ran = bed.words("apps list");
    assert!(ran.code == 12 && ran.stderr.contains(r"a\x1b]0;T\x07\x9b2J\u{202e}b"), "{}", ran.stderr);
}
