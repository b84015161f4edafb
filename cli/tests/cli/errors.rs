//! What a person sees when something goes wrong, and the exit codes.

use minitower_test_plane::Answer;
use rstest::rstest;

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
        for line in [&["runs", "cancel", "7"][..], &["runs", "cancel", "7", "--json"]] {
            let ran = bed.run(line).plain();
            assert_eq!((ran.code, ran.stdout.as_str()), (exit, ""), "{ran:?}");
            assert!(ran.stderr.contains("error: the reason"), "{}", ran.stderr);
            assert!(ran.stderr.contains(way_out) && ran.stderr.lines().count() <= 2, "{}", ran.stderr);
            assert!(!ran.stderr.contains(&bed.team.token), "{}", ran.stderr);
        }
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
        ("limits", "GET /limits"),
        ("limits set apps=5", "PUT /limits"),
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
        ran.stderr.contains("no server is named") && ran.stderr.contains("minitower login"),
        "{}",
        ran.stderr
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = run(&mut program(home.path(), &["me", "--server", &url, "--token", "mtk_secret"]), "");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&url) && ran.stderr.contains("connection refused"), "{}", ran.stderr);
    assert!(ran.stderr.contains("minitower dev") && !ran.stderr.contains("mtk_secret"), "{}", ran.stderr);
}

#[test]
fn an_answer_that_breaks_off_is_an_error_of_one_line() {
    let bed = Bed::with_app();
    bed.plane.once("GET /apps", Answer::break_off());
    let ran = bed.words("apps list").plain();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (1, "", 1), "{ran:?}");
    bed.plane.once("GET /apps", Answer::cut());
    assert_eq!(bed.words("apps list").code, 1);
}

#[rstest]
#[case(&["runs", "get", "x"])]
#[case(&["runs", "list", "--limit", "1000"])]
#[case(&["no-such-command"])]
#[case(&[])]
fn a_mistake_in_the_line_ends_with_1_and_not_with_the_2_of_cancelled(#[case] line: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut program(home.path(), line), "").code, 1);
}

#[rstest]
#[case(&["--help"])]
#[case(&["runs", "create", "--help"])]
#[case(&["--version"])]
fn help_is_an_answer(#[case] line: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    assert!(run(&mut program(home.path(), line), "").good().stdout.contains("minitower"));
}
