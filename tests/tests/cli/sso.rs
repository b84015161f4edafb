//! `minitower login --sso` as a person uses it: a terminal, a browser, and a real identity provider.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use minitower_tests::{Browser, Cli, IdentityProvider, programs};
use serde_json::Value;

#[test]
fn a_person_signs_in_at_a_terminal_and_works_with_what_the_groups_allow() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let home = server.folder().join("home");
    fs::create_dir(&home).unwrap();
    let url = server.http().base().to_owned();

    let mut terminal = Command::new("timeout");
    terminal
        .arg("60")
        .arg(programs::path(programs::CLI))
        .args(["login", "--sso", "--json", "--server", &url]);
    terminal.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &home);
    let mut terminal =
        terminal.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(terminal.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let shown: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));

    let mut browser = Browser::default();
    let page =
        browser.sign_in(shown["verification_uri"].as_str().unwrap(), "ada").response.expect(200).text();
    assert!(page.contains(shown["user_code"].as_str().unwrap()), "{page}");
    let ticket = page.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = format!("ticket={ticket}&team=sales&decision=allow");
    browser.submit(&format!("{url}/api/v1/auth/oidc/confirm"), &form).response.expect(200);

    let mut answer = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    assert!(terminal.wait().unwrap().success(), "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["login"]["person"], "Ada Lovelace");

    let cli = Cli::new(&home);
    let me = cli.run(&["me", "--json"]).expect(0).json();
    assert_eq!(
        (&me["team_slug"], &me["role"], &me["person"]),
        (&"sales".into(), &"admin".into(), &"Ada Lovelace".into())
    );
    cli.run(&["apps", "create", "hello"]).expect(0);
    cli.run(&["tokens", "list"]).expect(0);
    cli.run(&["logout"]).expect(0);
    assert_ne!(cli.run(&["me"]).code, 0);
}
