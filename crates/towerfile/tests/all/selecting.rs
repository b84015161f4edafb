//! What of a folder is selected.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use minitower_towerfile::{Towerfile, plan};
use rstest::rstest;

use crate::support::{TOWERFILE, planned, project, towerfile};

#[rstest]
#[case("", &["Towerfile", ".env", "a/.hidden", "a/b.txt", "a/c.py", "main.py"])]
#[case("source = []", &["Towerfile", ".env", "a/.hidden", "a/b.txt", "a/c.py", "main.py"])]
#[case("source = ['./**']", &["Towerfile", "a/b.txt", "a/c.py", "main.py"])]
#[case("source = ['*.py']", &["Towerfile", "main.py"])]
#[case("source = ['**/*.py']", &["Towerfile", "a/c.py", "main.py"])]
#[case("source = ['./main.py', './a']", &["Towerfile", "a/b.txt", "a/c.py", "main.py"])]
#[case("source = ['**', '.env']", &["Towerfile", ".env", "a/b.txt", "a/c.py", "main.py"])]
#[case("source = ['main.py', '**/.*']", &["Towerfile", ".env", "a/.hidden", "main.py"])]
#[case("source = ['main.py', '.git/**']", &["Towerfile", ".git/config", "main.py"])]
fn source_selects(#[case] lines: &str, #[case] expected: &[&str]) {
    let root = project(&["a/b.txt", "a/c.py", ".env", "a/.hidden", ".git/config"]);
    assert_eq!(planned(root.path(), lines), expected);
}

#[rstest]
#[case("*.txt", &["Towerfile", "a/c.py", "a/d/e.py", "main.py"])]
#[case("*.txt\n!keep.txt", &["Towerfile", "a/c.py", "a/d/e.py", "a/keep.txt", "main.py"])]
#[case("a/", &["Towerfile", "b.txt", "main.py"])]
#[case("/b.txt\n# comment\n\na/d", &["Towerfile", "a/b.txt", "a/c.py", "a/keep.txt", "main.py"])]
#[case("Towerfile", &["Towerfile", "a/b.txt", "a/c.py", "a/d/e.py", "a/keep.txt", "b.txt", "main.py"])]
#[case("\u{feff}*.txt\r\n", &["Towerfile", "a/c.py", "a/d/e.py", "main.py"])]
fn ignore_files_leave_out(
    #[values(".towerignore", ".gitignore")] file: &str,
    #[case] ignore: &str,
    #[case] expected: &[&str],
) {
    let root = project(&["a/b.txt", "a/c.py", "a/d/e.py", "a/keep.txt", "b.txt"]);
    fs::write(root.path().join(file), ignore).unwrap();
    assert_eq!(planned(root.path(), "source = ['**']"), expected);
    // Without patterns, dotfiles are packed as well.
    let mut all: Vec<_> = planned(root.path(), "");
    all.retain(|path| path != file);
    assert_eq!(all, expected);
}

#[test]
fn ignore_files_of_the_project_and_of_its_repository_count() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join(".towerignore"), "*.py").unwrap();
    fs::write(outer.path().join(".gitignore"), "b.txt").unwrap();
    let root = outer.path().join("project");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("Towerfile"), TOWERFILE).unwrap();
    fs::write(root.join(".ignore"), "*").unwrap();
    for file in ["main.py", "sub/a.txt", "sub/b.txt", "sub/c.txt"] {
        fs::write(root.join(file), "").unwrap();
    }
    fs::write(root.join("sub/.towerignore"), "a.txt").unwrap();
    let source = "source = ['**']";
    assert_eq!(planned(&root, source), ["Towerfile", "main.py", "sub/b.txt", "sub/c.txt"]);
    fs::create_dir(outer.path().join(".git")).unwrap();
    assert_eq!(
        planned(&root, source),
        ["Towerfile", "main.py", "sub/c.txt"],
        "the .gitignore of its repository"
    );
    fs::create_dir(root.join(".git")).unwrap();
    assert_eq!(
        planned(&root, source),
        ["Towerfile", "main.py", "sub/b.txt", "sub/c.txt"],
        "its own repository"
    );
}

#[rstest]
#[case::towerignore_wins(".gitignore", "!a.txt", ".towerignore", "a.txt", false)]
#[case::towerignore_brings_back(".towerignore", "!a.txt", ".gitignore", "a.txt", true)]
#[case::inner_wins(".gitignore", "a.txt", "sub/.gitignore", "!a.txt", true)]
#[case::inner_tower_wins(".towerignore", "a.txt", "sub/.towerignore", "!a.txt", true)]
#[case::folder_is_final(".gitignore", "sub/", "sub/.gitignore", "!a.txt", false)]
#[case::folder_brought_back(".gitignore", "sub/", ".towerignore", "!sub/", true)]
fn of_two_ignore_files_the_nearer_decides(
    #[case] one: &str,
    #[case] rule: &str,
    #[case] other: &str,
    #[case] other_rule: &str,
    #[case] packed: bool,
) {
    let root = project(&["sub/a.txt"]);
    fs::write(root.path().join(one), rule).unwrap();
    fs::write(root.path().join(other), other_rule).unwrap();
    assert_eq!(planned(root.path(), "").contains(&"sub/a.txt".to_owned()), packed);
}

/// Everything that is left out by itself, and some that looks like it.
fn cluttered() -> tempfile::TempDir {
    let root = project(&[
        ".git/config",
        ".minitower/token",
        ".venv/bin/python",
        "venv/lib/x.py",
        "myenv/pyvenv.cfg",
        "myenv/x.py",
        "conda/conda-meta/history",
        "pkg/__pycache__/a.pyc",
        "pkg/b.pyc",
        "pkg/c.py",
        "pkg/sub/.git",
        "pkg/venv.py",
        "data/big.bin",
        "data/small.csv",
        "secret.json",
    ]);
    fs::write(root.path().join(".gitignore"), "data/\n*.json\n").unwrap();
    symlink("/usr/lib/venvs/of-somebody", root.path().join("pkg/.venv")).unwrap();
    root
}

#[rstest]
#[case("", &[".gitignore", "pkg/c.py", "pkg/venv.py"])]
#[case("source = ['**']", &["pkg/c.py", "pkg/venv.py"])]
#[case("source = ['main.py', 'secret.json']", &["secret.json"])]
#[case("source = ['main.py', '*.json']", &[])]
#[case("source = ['main.py', 'data']", &["data/big.bin", "data/small.csv"])]
#[case("source = ['main.py', './data/small.csv']", &["data/small.csv"])]
#[case("source = ['main.py', 'data/*']", &[])]
#[case("source = ['main.py', 'pkg']", &["pkg/c.py", "pkg/venv.py"])]
#[case("source = ['main.py', 'pkg/b.pyc']", &["pkg/b.pyc"])]
#[case("source = ['main.py', '.git/**']", &[".git/config"])]
#[case("source = ['main.py', 'venv']", &["venv/lib/x.py"])]
#[case("source = ['main.py', '**/.*']", &[".gitignore"])]
fn clutter_is_left_out_unless_it_is_named(#[case] lines: &str, #[case] expected: &[&str]) {
    let root = cluttered();
    let mut planned = planned(root.path(), lines);
    planned.retain(|path| !["Towerfile", "main.py"].contains(&path.as_str()));
    assert_eq!(planned, expected);
}

#[test]
fn nothing_but_towerignore_leaves_a_named_file_out() {
    let root = cluttered();
    fs::write(root.path().join(".towerignore"), "small.csv\n!secret.json\n!__pycache__").unwrap();
    let planned = planned(root.path(), "source = ['main.py', 'data', 'pkg', '*.json']");
    let expected = ["Towerfile", "data/big.bin", "main.py", "pkg/c.py", "pkg/venv.py", "secret.json"];
    assert_eq!(planned, expected);
}

#[test]
fn the_script_is_named_by_itself() {
    let root = project(&["build/job.py", "build/other.py"]);
    fs::write(root.path().join(".gitignore"), "build/").unwrap();
    let towerfile = Towerfile::parse("[app]\nname = 'my-app'\nscript = 'build/job.py'").unwrap().0;
    let plan = plan(root.path(), &towerfile).unwrap();
    let planned: Vec<_> = plan.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(planned, ["Towerfile", ".gitignore", "build/job.py", "main.py"]);
}

#[rstest]
#[case::towerignore(".towerignore", "{a", true)]
#[case::gitignore(".gitignore", "{a", false)]
fn a_wrong_line_matters_where_it_is_ours(#[case] file: &str, #[case] line: &str, #[case] refused: bool) {
    let root = project(&[]);
    fs::write(root.path().join(file), format!("*.txt\n{line}\n")).unwrap();
    match plan(root.path(), &towerfile("")) {
        Err(error) => assert!(refused && error.to_string().contains(".towerignore, line 2"), "{error}"),
        Ok(_) => assert!(!refused),
    }
}

/// What cannot be packed lies where nothing is selected.
#[rstest]
#[case("source = ['*.py']", "odd")]
#[case("source = ['main.py', 'src']", "odd")]
#[case("source = ['src/**', 'main.py']", "odd")]
#[case("", "ignored")]
#[case("source = ['**']", "ignored")]
fn what_is_not_selected_is_never_opened(#[case] lines: &str, #[case] folder: &str) {
    use std::os::unix::ffi::OsStrExt;
    let root = project(&["src/a.py"]);
    fs::write(root.path().join(".gitignore"), "ignored/").unwrap();
    let odd = root.path().join(folder);
    fs::create_dir(&odd).unwrap();
    let _socket = UnixListener::bind(odd.join("socket")).unwrap();
    symlink("/absolute", odd.join("link")).unwrap();
    fs::write(odd.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o000)).unwrap();
    let planned = planned(root.path(), lines);
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(planned.contains(&"main.py".to_owned()), "{planned:?}");
    assert!(planned.iter().all(|path| !path.starts_with(folder)), "{planned:?}");
}
