//! What a person sees when something goes wrong, and the exit codes.

use rstest::rstest;

use crate::support::{Fake, TOKEN, error, program, run};

#[rstest]
#[case(400, "invalid_request", 1, "")]
#[case(401, "unauthorized", 10, "minitower login")]
#[case(403, "forbidden", 10, "admin")]
#[case(404, "not_found", 11, "minitower runs list")]
#[case(409, "conflict", 12, "")]
#[case(410, "gone", 13, "")]
#[case(429, "rate_limited", 1, "try again")]
fn a_refusal_is_said_in_two_lines_and_has_its_exit_code(
    #[case] status: u16,
    #[case] code: &str,
    #[case] exit: i32,
    #[case] way_out: &str,
) {
    let fake = Fake::start().on("POST /runs/7/cancel", status, error(code, "the reason"));
    for line in [&["runs", "cancel", "7"][..], &["runs", "cancel", "7", "--json"]] {
        let ran = fake.run(line).plain();
        assert_eq!((ran.code, ran.stdout.as_str()), (exit, ""), "{ran:?}");
        assert!(ran.stderr.contains("error: the reason"), "{}", ran.stderr);
        assert!(ran.stderr.contains(way_out) && ran.stderr.lines().count() <= 2, "{}", ran.stderr);
        assert!(!ran.stderr.contains(TOKEN), "{}", ran.stderr);
    }
}

#[rstest]
#[case("me", "GET /me")]
#[case("apps list", "GET /apps")]
#[case("apps get hello", "GET /apps/hello")]
#[case("apps create hello", "POST /apps")]
#[case("versions list --app hello", "GET /apps/hello/versions")]
#[case("versions get 3 --app hello", "GET /apps/hello/versions/3")]
#[case("runs create hello", "POST /apps/hello/runs")]
#[case("runs create hello -p a=1", "GET /apps/hello/versions")]
#[case("runs list", "GET /runs")]
#[case("runs get 7", "GET /runs/7")]
#[case("runs logs 7", "GET /runs/7/logs")]
#[case("runs logs 7 --follow", "GET /runs/7")]
#[case("runs watch 7", "GET /runs/7")]
#[case("runs watch --app hello", "GET /apps/hello/runs")]
#[case("runs attempts 7", "GET /runs/7/attempts")]
#[case("environments list", "GET /environments")]
#[case("environments create e", "POST /environments")]
#[case("runners list", "GET /admin/runners")]
#[case("runners drain r", "POST /admin/runners/r/drain")]
#[case("runners undrain r", "DELETE /admin/runners/r/drain")]
#[case("tokens create", "POST /tokens")]
fn every_command_hands_a_refused_token_on(#[case] line: &str, #[case] call: &str) {
    let fake = Fake::start().on(call, 401, error("unauthorized", "unknown token"));
    let ran = fake.run(&line.split(' ').collect::<Vec<_>>()).plain();
    assert_eq!(ran.code, 10, "{ran:?}");
    assert_eq!(
        ran.stderr,
        "error: unknown token (401 unauthorized)\nhelp: run `minitower login` for a new token\n"
    );
}

#[rstest]
#[case("apps get nope", "minitower apps list")]
#[case("versions get 9 --app hello", "minitower versions list")]
#[case("runs create nope", "minitower apps list")]
#[case("runs get 9", "minitower runs list")]
#[case("runs watch 9", "minitower runs list")]
#[case("runs logs 9 -f", "minitower runs list")]
#[case("runners drain nope", "minitower runners list")]
fn what_does_not_exist_leads_to_what_does(#[case] line: &str, #[case] way_out: &str) {
    let ran = Fake::start().run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(ran.code, 11, "{ran:?}");
    assert!(ran.stderr.contains(way_out), "{}", ran.stderr);
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
