//! The program as `kubectl minitower`, and its answers to kubectl's completion.

use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use rstest::rstest;

use crate::support::{Bed, Ran, run};

/// The program under another name.
fn linked(home: &Path, name: &str, words: &[&str]) -> Command {
    let link = home.join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(cargo_bin!("minitower"), &link).unwrap();
    }
    let mut command = Command::new(link);
    command.args(words).env_clear().env("HOME", home).current_dir(home);
    command
}

fn plugin(home: &Path, words: &[&str]) -> Ran {
    run(&mut linked(home, "kubectl-minitower", words), "")
}

/// The candidates, and the last line.
fn complete(home: &Path, words: &[&str]) -> (Vec<String>, String) {
    let ran = run(&mut linked(home, "kubectl_complete-minitower", words), "").good();
    assert_eq!(ran.stderr, "", "{ran:?}");
    let mut lines: Vec<_> = ran.stdout.lines().map(str::to_owned).collect();
    let directive = lines.pop().unwrap();
    (lines, directive)
}

#[test]
fn help_and_version_name_what_was_typed() {
    let home = tempfile::tempdir().unwrap();
    let help = plugin(home.path(), &["--help"]).good().stdout;
    assert!(help.contains("Usage: kubectl minitower ") && help.contains("`kubectl minitower dev`"), "{help}");
    let help = plugin(home.path(), &["runs", "create", "--help"]).good().stdout;
    assert!(help.contains("Usage: kubectl minitower runs create"), "{help}");
    assert!(plugin(home.path(), &["--version"]).good().stdout.starts_with("kubectl minitower "));
    let usage = plugin(home.path(), &["runs", "get"]);
    assert!(usage.code == 1 && usage.stderr.contains("Usage: kubectl minitower runs get"), "{usage:?}");
}

#[test]
fn hints_name_what_was_typed() {
    let bed = Bed::start();
    let answered = |words: &[&str]| {
        let mut command = linked(bed.home.path(), "kubectl-minitower", words);
        command.env("MINITOWER_SERVER_URL", bed.plane.url()).env("MINITOWER_API_TOKEN", &bed.team.token);
        run(&mut command, "")
    };
    assert!(answered(&["apps", "list"]).good().stderr.contains("`kubectl minitower deploy`"));
    let ran = answered(&["runs", "get", "9"]);
    assert!(ran.code == 11 && ran.stderr.contains("`kubectl minitower runs list`"), "{ran:?}");
}

#[test]
fn the_way_to_a_server_leads_into_the_cluster() {
    let home = tempfile::tempdir().unwrap();
    let ran = plugin(home.path(), &["me"]);
    assert!(ran.code == 1 && ran.stderr.contains("no server is named"), "{ran:?}");
    assert!(ran.stderr.contains("kubectl port-forward --namespace NAMESPACE service/NAME 8080"), "{ran:?}");
    assert!(ran.stderr.contains("`kubectl minitower login --server http://localhost:8080`"), "{ran:?}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = plugin(home.path(), &["me", "--server", &url, "--token", "mtk_x"]);
    assert!(ran.code == 14 && ran.stderr.contains("kubectl port-forward"), "{ran:?}");
}

#[test]
fn the_completion_of_a_plugin_is_a_link() {
    let home = tempfile::tempdir().unwrap();
    let ran = plugin(home.path(), &["completion", "bash"]);
    assert!(
        ran.code == 1 && ran.stdout.is_empty() && ran.stderr.contains("kubectl_complete-minitower"),
        "{ran:?}"
    );
}

#[rstest]
#[case(&["ru"], &["run", "runs", "runners"])]
#[case(&["runs", "li"], &["list"])]
#[case(&["runs", "list", "--js"], &["--json"])]
#[case(&["completion", "z"], &["zsh"])]
#[case(&["no-such-command", "x"], &[])]
#[case(&["runs", "no-such"], &[])]
fn words_go_on_as_the_commands_do(#[case] words: &[&str], #[case] expected: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let (candidates, directive) = complete(home.path(), words);
    let values: Vec<_> = candidates.iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(values, expected);
    assert_eq!(directive, ":4");
}

#[test]
fn candidates_carry_their_description() {
    let home = tempfile::tempdir().unwrap();
    let (candidates, _) = complete(home.path(), &[""]);
    assert!(
        candidates.contains(&"deploy\tPack this folder and upload it as a new version".to_owned()),
        "{candidates:?}"
    );
    assert_eq!(complete(home.path(), &[]).0, candidates, "no word yet is an empty one");
}

#[test]
fn a_folder_is_gone_into() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("project/inner")).unwrap();
    let (candidates, directive) = complete(home.path(), &["deploy", "--dir", "proj"]);
    assert_eq!((candidates, directive.as_str()), (vec!["project/".to_owned()], ":6"));
}
