//! Every planted bug is caught by the check that is there to catch it; a check that passes with its bug proves nothing.
//!
//! Runs in the patched copy of the source tree, beside programs and tests with the bugs in them: `make planted` makes all of it.
#![allow(clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use minitower_planted::{Bug, VARIABLE};
use minitower_tests::programs::source_root;
use serde_json::Value;

use crate::table::{CAUGHT, Check};

/// Set by `scripts/planted.sh` in the patched copy.
const IN_PATCHED_TREE: &str = "MINITOWER_PLANTED";
/// Names of the bugs that alone are tried, with spaces between them.
const ONLY: &str = "MINITOWER_PLANTED_ONLY";

/// A built test program.
struct Program {
    executable: PathBuf,
    /// Where cargo would run it.
    folder: PathBuf,
}

/// Builds the programs of all checks, by name: one call of cargo, so that a check costs only its own time.
fn build() -> BTreeMap<String, Program> {
    let wanted: BTreeSet<&str> = CAUGHT.iter().map(|(_, check)| check.program).collect();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(source_root()).args(["test", "--no-run", "--locked", "--workspace", "--quiet"]);
    // The tests beside the code have the name of the crate's library, which `--test` does not know.
    command.args(["--message-format=json-render-diagnostics", "--lib"]);
    command
        .args(wanted.iter().filter(|name| !name.starts_with("minitower_")).flat_map(|name| ["--test", name]));
    let output = command.stderr(Stdio::inherit()).output().expect("cargo starts");
    assert!(output.status.success(), "the tests do not build");
    let programs: BTreeMap<String, Program> =
        String::from_utf8_lossy(&output.stdout).lines().filter_map(program).collect();
    let missing: Vec<&&str> = wanted.iter().filter(|name| !programs.contains_key(**name)).collect();
    assert!(missing.is_empty(), "no crate has these test programs: {missing:?}");
    programs
}

/// The test program that a message of cargo tells of.
fn program(message: &str) -> Option<(String, Program)> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["profile"]["test"] != Value::Bool(true) {
        return None;
    }
    let executable = message["executable"].as_str()?.into();
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    Some((message["target"]["name"].as_str()?.to_owned(), Program { executable, folder }))
}

/// Runs one check with a bug, or with none.
fn run(check: &Check, bug: Option<Bug>, programs: &BTreeMap<String, Program>) -> Output {
    let program = &programs[check.program];
    let mut command = Command::new(&program.executable);
    command.current_dir(&program.folder).args(["--exact", check.test]);
    command.env("CARGO_MANIFEST_DIR", &program.folder).env_remove(VARIABLE);
    if let Some(bug) = bug {
        command.env(VARIABLE, bug.name());
    }
    command.output().unwrap_or_else(|error| panic!("cannot start {}: {error}", check.program))
}

/// How many tests of the wanted name passed and failed, as the test program says.
fn counts(output: &Output) -> (usize, usize) {
    let text = String::from_utf8_lossy(&output.stdout);
    let count = |ending: &str| {
        text.lines().filter(|line| line.starts_with("test ") && line.ends_with(ending)).count()
    };
    (count("... ok"), count("... FAILED"))
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_bug_has_a_check_that_is_to_catch_it() {
    let known: BTreeSet<Bug> = CAUGHT.iter().map(|(bug, _)| *bug).collect();
    let missing: Vec<&Bug> = Bug::ALL.iter().filter(|bug| !known.contains(bug)).collect();
    assert!(missing.is_empty(), "add these to the table: {missing:?}");
}

#[test]
fn every_planted_bug_is_caught() {
    if std::env::var_os(IN_PATCHED_TREE).is_none() {
        minitower_tests::skip::skip("it needs programs with the bugs in them: make planted");
        return;
    }
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted: Vec<&str> = only.split_whitespace().collect();
    let unknown: Vec<_> =
        wanted.iter().filter(|name| Bug::ALL.iter().all(|bug| bug.name() != **name)).collect();
    assert!(unknown.is_empty(), "there are no such bugs: {unknown:?}");
    let programs = build();
    let mut sound: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let mut missed = Vec::new();
    for (bug, check) in CAUGHT.iter().filter(|(bug, _)| wanted.is_empty() || wanted.contains(&bug.name())) {
        // Once without the bug: a check that fails by itself catches nothing.
        let passes = *sound.entry((check.program, check.test)).or_insert_with(|| {
            let output = run(check, None, &programs);
            let passes = output.status.success() && counts(&output) == (1, 0);
            if !passes {
                println!("{}", told(&output));
            }
            passes
        });
        if !passes {
            missed.push(format!("{}: {} does not even pass without it", bug.name(), check.test));
            continue;
        }
        let start = Instant::now();
        let output = run(check, Some(*bug), &programs);
        let caught = counts(&output) == (0, 1);
        println!(
            "{} {:<32} {} {} ({:.1} s)",
            if caught { "caught" } else { "MISSED" },
            bug.name(),
            check.program,
            check.test,
            start.elapsed().as_secs_f64()
        );
        if !caught {
            println!("{}", told(&output));
            missed.push(format!("{}: {} passes with it", bug.name(), check.test));
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}
