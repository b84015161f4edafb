//! Every planted bug is caught by the check that is there to catch it; a check that passes with its bug proves nothing.
//!
//! Needs programs and tests built with the bugs in them, in a target folder of their own: `make planted` builds and runs all of it.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use minitower_planted::{Bug, VARIABLE};
use minitower_tests::programs::source_root;

use crate::table::{CAUGHT, Check};

/// Where the programs with the bugs are built; `scripts/planted.sh` says so.
const TARGET_DIR: &str = "MINITOWER_PLANTED_TARGET_DIR";

/// Runs one check with a bug, or with none.
fn run(check: &Check, bug: Option<Bug>, target: &str) -> Output {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(source_root()).args(["test", "--locked", "--target-dir", target]);
    // The same packages and features as the build before, so that cargo finds everything built.
    command.args(["--workspace", "--features", "minitower-planted/enabled"]);
    if check.target.is_empty() {
        command.arg("--lib");
    } else {
        command.args(["--test", check.target]);
    }
    command.args(["--", "--exact", check.test]);
    command.env("MINITOWER_BIN_DIR", PathBuf::from(target).join("debug"));
    command.env_remove(VARIABLE);
    if let Some(bug) = bug {
        command.env(VARIABLE, bug.name());
    }
    command.output().unwrap_or_else(|error| panic!("cannot start cargo: {error}"))
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
    let Some(target) = std::env::var_os(TARGET_DIR) else {
        minitower_tests::skip::skip("it needs programs built with the bugs: make planted");
        return;
    };
    let target = target.into_string().expect("the target folder's name is text");
    let mut sound: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let mut missed = Vec::new();
    for (bug, check) in CAUGHT {
        // Once without the bug: a check that fails by itself catches nothing.
        let passes = *sound.entry((check.target, check.test)).or_insert_with(|| {
            let output = run(check, None, &target);
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
        let output = run(check, Some(*bug), &target);
        let caught = counts(&output) == (0, 1);
        println!(
            "{} {:<32} {} {} ({:.1} s)",
            if caught { "caught" } else { "MISSED" },
            bug.name(),
            check.target,
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
