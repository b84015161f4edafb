//! `kubectl minitower` by a real kubectl, which asks no cluster for it.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use minitower_tests::{programs, skip};

/// kubectl: of KUBECTL, of the path, or of the cluster of `tests/cluster`.
fn kubectl() -> Option<PathBuf> {
    let named = std::env::var_os("KUBECTL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file());
    named.or(on_path).or_else(|| {
        let built = Command::new("bash")
            .args(["-c", r#"source tests/cluster/lib/common.sh; source tests/cluster/lib/build.sh; echo "$(program_folder k8s)/kubectl""#])
            .current_dir(programs::source_root())
            .output()
            .ok()?;
        let file = PathBuf::from(String::from_utf8(built.stdout).ok()?.trim());
        file.is_file().then_some(file)
    })
}

/// A person who has the program under both of its names for kubectl.
struct Person {
    kubectl: PathBuf,
    home: tempfile::TempDir,
}

impl Person {
    fn new() -> Option<Self> {
        let Some(kubectl) = kubectl() else {
            skip::skip("kubectl is not installed");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        for name in ["kubectl-minitower", "kubectl_complete-minitower"] {
            symlink(programs::path(programs::CLI), home.path().join(name)).unwrap();
        }
        Some(Self { kubectl, home })
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "60"]).arg(&self.kubectl).args(words).env_clear();
        command
            .env("HOME", self.home.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.home.path().display()));
        command.output().unwrap()
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn kubectl_finds_the_plugin_and_hands_it_its_words() {
    let Some(person) = Person::new() else { return };
    assert!(person.says(&["plugin", "list"]).contains("/kubectl-minitower"));
    assert!(person.says(&["minitower", "--help"]).contains("Usage: kubectl minitower "));
    let refused = person.run(&["minitower", "me"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("no server is named") && said.contains("kubectl port-forward"), "{said}");
}

#[test]
fn kubectl_completes_the_plugins_words() {
    let Some(person) = Person::new() else { return };
    let answer = person.says(&["__complete", "minitower", "runs", "l"]);
    let lines: Vec<_> = answer.lines().collect();
    let values: Vec<_> = lines.iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(values, ["list", "logs", ":4"], "{answer}");
}
