//! Scripts that can be started as they are packed, and those that cannot.

use std::fs;
use std::os::unix::fs::symlink;

use minitower_towerfile::{Limits, Towerfile, inspect, plan};
use rstest::rstest;

use crate::support::{packed, project, towerfile};

#[test]
fn scripts_that_are_not_packed_are_explained() {
    let root = project(&[]);
    fs::write(root.path().join(".towerignore"), "main.py").unwrap();
    let error = plan(root.path(), &towerfile("")).unwrap_err().to_string();
    assert!(error.contains("take it out of .towerignore"), "{error}");
    fs::remove_file(root.path().join("main.py")).unwrap();
    let error = plan(root.path(), &towerfile("")).unwrap_err().to_string();
    assert!(error.contains("does not exist"), "{error}");
    fs::remove_file(root.path().join(".towerignore")).unwrap();
    fs::create_dir(root.path().join("main.py")).unwrap();
    let error = plan(root.path(), &towerfile("")).unwrap_err().to_string();
    assert!(error.contains("is not a regular file"), "{error}");
}

fn starting(script: &str) -> Towerfile {
    Towerfile::parse(&format!("[app]\nname = 'my-app'\nscript = '{script}'")).unwrap().0
}

#[rstest]
#[case("main.js", "console.log(1)", "has no #! line")]
#[case("run", "echo hello", "has no #! line")]
#[case("empty", "", "has no #! line")]
fn scripts_of_no_known_sort_need_a_hashbang(#[case] script: &str, #[case] text: &str, #[case] reason: &str) {
    let root = project(&[]);
    fs::write(root.path().join(script), text).unwrap();
    let error = plan(root.path(), &starting(script)).unwrap_err().to_string();
    assert!(error.contains(reason) && error.contains(script), "{error}");
}

#[rstest]
#[case("run", "#!/usr/bin/env ruby\n", None)]
#[case("job.py", "print(1)\r\n", None)]
#[case("job.py", "#!/usr/bin/env python3\r\nprint(1)\r\n", Some("CRLF"))]
#[case("job.py", "#!/usr/bin/env python3\nprint('a\r\n')\n", None)]
#[case("job.sh", "echo 1\r\n", Some("CRLF"))]
#[case("job.sh", "\u{feff}echo 1\n", Some("byte order mark"))]
#[case("job.sh", "echo 1\n", None)]
#[case("run", "\u{feff}#!/bin/sh\r\n", Some("byte order mark"))]
#[case("job.py", "\u{feff}print(1)\r\n", None)]
fn scripts_from_windows_are_noted(#[case] script: &str, #[case] text: &str, #[case] what: Option<&str>) {
    let root = project(&[]);
    fs::write(root.path().join(script), text).unwrap();
    let notes = plan(root.path(), &starting(script)).unwrap().notes;
    match (notes.as_slice(), what) {
        ([], None) => {}
        ([note], Some(what)) => assert!(note.to_string().contains(what), "{note}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_script_may_be_a_link_to_what_is_packed() {
    let root = project(&["jobs/v2.py"]);
    symlink("jobs/v2.py", root.path().join("now.py")).unwrap();
    let (archive, _) = packed(root.path(), &starting("now.py"));
    assert!(inspect(archive.as_slice(), &Limits::default()).unwrap().has_file("now.py"));
    fs::write(root.path().join(".towerignore"), "v2.py").unwrap();
    let error = plan(root.path(), &starting("now.py")).unwrap_err().to_string();
    assert!(error.contains("is a link to something that is not packed"), "{error}");
}
