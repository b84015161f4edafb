//! What goes into an archive, and that it always comes out the same.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use minitower_towerfile::pack::{PlanNote, PlannedKind};
use minitower_towerfile::path::LinkFault;
use minitower_towerfile::{Limits, PackError, PackReport, Towerfile, inspect, pack, plan, unpack};
use proptest::prelude::*;
use rstest::rstest;
use support::{Node, accepted, tree};

const TOWERFILE: &str = "[app]\nname = \"my-app\"\nscript = \"main.py\"\n";

fn project(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("Towerfile"), TOWERFILE).unwrap();
    for file in ["main.py"].iter().chain(files) {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {file}\n")).unwrap();
    }
    root
}

fn towerfile(lines: &str) -> Towerfile {
    Towerfile::parse(&format!("{TOWERFILE}{lines}\n")).unwrap().0
}

fn planned(root: &Path, lines: &str) -> Vec<String> {
    plan(root, &towerfile(lines)).unwrap().entries.into_iter().map(|entry| entry.path).collect()
}

fn packed(root: &Path, towerfile: &Towerfile) -> (Vec<u8>, PackReport) {
    let mut archive = Vec::new();
    let report = pack(root, towerfile, &mut archive, |_| {}).unwrap();
    (archive, report)
}

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

#[test]
fn the_towerfile_comes_first_even_among_many() {
    let names: Vec<_> = (0..80).map(|number| format!("A{number}")).collect();
    let root = project(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (archive, report) = packed(root.path(), &towerfile(""));
    assert_eq!(report.files, 82);
    assert_eq!(
        inspect(archive.as_slice(), &Limits::default()).unwrap().towerfile.as_deref(),
        Some(TOWERFILE)
    );
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let names = ["b.txt", "a/z.txt", "a/b/c.txt", "ü.txt"];
    let first = project(&names);
    symlink("a/z.txt", first.path().join("link")).unwrap();
    fs::set_permissions(first.path().join("b.txt"), fs::Permissions::from_mode(0o755)).unwrap();

    // Made in another order, with other times, and as under another umask.
    let second = project(&[]);
    symlink("a/z.txt", second.path().join("link")).unwrap();
    for name in names.iter().rev() {
        let path = second.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(first.path().join(name), &path).unwrap();
        let mode = if *name == "b.txt" { 0o700 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890)).unwrap();
    }
    fs::set_permissions(second.path().join("a"), fs::Permissions::from_mode(0o700)).unwrap();

    let (first, report) = packed(first.path(), &towerfile(""));
    let (second, same) = packed(second.path(), &towerfile(""));
    assert_eq!(first, second);
    assert_eq!(report, same);
    assert_eq!(report.bytes, first.len() as u64);
    let found = accepted(&first);
    assert_eq!(found["b.txt"], Node::File(0o755, b"content of b.txt\n".to_vec()));
    assert_eq!(found["a/z.txt"], Node::File(0o644, b"content of a/z.txt\n".to_vec()));
}

#[test]
fn the_digest_is_that_of_the_archive() {
    let root = project(&["data.bin"]);
    let (archive, report) = packed(root.path(), &towerfile(""));
    let file = root.path().join("archive.tgz");
    fs::write(&file, archive).unwrap();
    let output = std::process::Command::new("sha256sum").arg(&file).output().unwrap();
    assert_eq!(&output.stdout[..64], report.sha256.as_bytes());
}

#[test]
fn progress_ends_at_the_total() {
    let root = project(&["a.txt"]);
    fs::write(root.path().join("large"), vec![7; 300_000]).unwrap();
    let plan = plan(root.path(), &towerfile("")).unwrap();
    let mut steps = Vec::new();
    plan.write(std::io::sink(), |bytes| steps.push(bytes)).unwrap();
    assert!(steps.is_sorted() && steps.len() > 10);
    assert_eq!(steps.last(), Some(&plan.total_bytes));
}

#[test]
fn empty_folders_are_kept_and_full_ones_implied() {
    let root = project(&["full/a.txt"]);
    fs::create_dir_all(root.path().join("empty/inner")).unwrap();
    let plan = plan(root.path(), &towerfile("")).unwrap();
    let folders: Vec<_> =
        plan.entries.iter().filter(|entry| entry.kind == PlannedKind::EmptyFolder).collect();
    assert_eq!(folders.len(), 1);
    assert_eq!(folders[0].path, "empty/inner");
}

#[rstest]
#[case("main.py")]
#[case("./main.py")]
#[case("missing")]
#[case(".")]
fn links_inside_are_packed_as_they_are(#[case] target: &str) {
    let root = project(&[]);
    symlink(target, root.path().join("link")).unwrap();
    let (archive, _) = packed(root.path(), &towerfile(""));
    assert_eq!(accepted(&archive)["link"], Node::Link(target.to_owned()));
}

#[test]
fn linked_folders_are_not_entered() {
    let root = project(&["real/a.txt"]);
    symlink("real", root.path().join("link")).unwrap();
    assert_eq!(planned(root.path(), ""), ["Towerfile", "link", "main.py", "real/a.txt"]);
}

#[rstest]
#[case("link", "/etc/passwd")]
#[case("link", "../x")]
#[case("sub/link", "../../x")]
#[case("link", "sub/../main.py")]
fn links_that_leave_are_refused(#[case] link: &str, #[case] target: &str) {
    let root = project(&["sub/a"]);
    symlink(target, root.path().join(link)).unwrap();
    let error = plan(root.path(), &towerfile("")).unwrap_err();
    assert!(matches!(&error, PackError::Link { path, .. } if path == link), "{error}");
    assert!(error.to_string().contains(".towerignore"));
    fs::write(root.path().join(".towerignore"), "link").unwrap();
    plan(root.path(), &towerfile("")).unwrap();
}

#[test]
fn a_link_to_the_absolute_path_of_the_project_is_refused() {
    let root = project(&[]);
    symlink(root.path().join("main.py"), root.path().join("link")).unwrap();
    let error = plan(root.path(), &towerfile("")).unwrap_err();
    assert!(matches!(error, PackError::Link { fault: LinkFault::Path(_), .. }), "{error}");
}

#[test]
fn sockets_are_refused_unless_nobody_asks_for_them() {
    let root = project(&[]);
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let error = plan(root.path(), &towerfile("")).unwrap_err();
    assert!(matches!(&error, PackError::Special { path, .. } if path == "socket"), "{error}");
    assert_eq!(planned(root.path(), "source = ['*.py']"), ["Towerfile", "main.py"]);
}

#[test]
fn an_odd_file_in_the_way_of_nobody_is_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let root = project(&[]);
    symlink("/absolute", root.path().join("link")).unwrap();
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(planned(root.path(), "source = ['*.py']"), ["Towerfile", "main.py"]);
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let root = project(&[]);
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    assert!(matches!(plan(root.path(), &towerfile("")), Err(PackError::NotUtf8 { .. })));
}

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
    assert!(error.contains("is no regular file"), "{error}");
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

#[test]
fn secrets_are_noted_once() {
    let root = project(&[".env", "keys/server.pem", ".env.example"]);
    let notes = plan(root.path(), &towerfile("")).unwrap().notes;
    let paths = vec![".env".to_owned(), "keys/server.pem".to_owned()];
    assert_eq!(notes, [PlanNote::Secrets { paths }]);
    fs::write(root.path().join(".towerignore"), ".env\n*.pem").unwrap();
    assert_eq!(plan(root.path(), &towerfile("")).unwrap().notes, []);
}

#[test]
fn an_archive_with_another_towerfile_differs_in_that_alone() {
    let root = project(&["a.txt"]);
    let written = |plan: minitower_towerfile::PackPlan| {
        let mut archive = Vec::new();
        let mut told = 0;
        let total = plan.total_bytes;
        let report = plan.write(&mut archive, |bytes| told = bytes).unwrap();
        assert_eq!(told, total);
        (archive, report)
    };
    let plain = || plan(root.path(), &towerfile("")).unwrap();
    let text = format!("# another\n{TOWERFILE}");
    let (archive, report) = written(plain().with_towerfile(text.clone()));
    let found = inspect(archive.as_slice(), &Limits::default()).unwrap();
    assert_eq!(found.towerfile, Some(text));
    let (other, same) = (written(plain()), written(plain()));
    assert_eq!(other, same);
    assert_ne!(other.1.sha256, report.sha256);
    assert_eq!(other.1.files, report.files);
}

#[test]
fn a_project_needs_a_towerfile_that_is_a_file() {
    let root = project(&[]);
    fs::remove_file(root.path().join("Towerfile")).unwrap();
    assert!(matches!(plan(root.path(), &towerfile("")), Err(PackError::NoTowerfile { .. })));
    symlink("main.py", root.path().join("Towerfile")).unwrap();
    assert!(matches!(plan(root.path(), &towerfile("")), Err(PackError::NoTowerfile { .. })));
}

#[test]
fn a_missing_project_is_named() {
    let error = plan(Path::new("/no/such/project"), &towerfile("")).unwrap_err().to_string();
    assert!(error.contains("/no/such/project"), "{error}");
}

#[test]
fn files_that_change_meanwhile_are_refused() {
    let root = project(&["data"]);
    let plan = plan(root.path(), &towerfile("")).unwrap();
    fs::write(root.path().join("data"), "another length").unwrap();
    let error = plan.write(std::io::sink(), |_| {}).unwrap_err();
    assert!(matches!(error, PackError::Changed { .. }), "{error}");
    fs::remove_file(root.path().join("data")).unwrap();
    symlink("/etc/passwd", root.path().join("data")).unwrap();
    let error = plan.write(std::io::sink(), |_| {}).unwrap_err();
    assert!(matches!(error, PackError::Read { .. }), "{error}");
}

#[test]
fn what_selects_nothing_is_noted() {
    let root = project(&["lib/a.py", "other/b.txt"]);
    let plan = plan(
        root.path(),
        &towerfile("source = ['*.py', 'lib', 'srcc/**']\nimport_paths = ['lib', 'other', 'l', '.']"),
    )
    .unwrap();
    let expected = [
        PlanNote::NothingMatches { pattern: "srcc/**".to_owned() },
        PlanNote::NothingToImport { folder: "other".to_owned() },
        PlanNote::NothingToImport { folder: "l".to_owned() },
    ];
    assert_eq!(plan.notes, expected);
}

/// A file's content and whether it is executable, by path.
fn files() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, bool)>> {
    // Files end in `f` and folders in `d`, so that no path is both.
    let path = "([a-zA-Zäß _-]{1,12}d/){0,4}[a-zA-Zäß ._-]{0,100}f";
    let content = proptest::collection::vec(any::<u8>(), 0..2000);
    proptest::collection::btree_map(path, (content, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_comes_out_again(files in files()) {
        let root = project(&[]);
        for (name, (content, executable)) in &files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let mode = if *executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let all = towerfile("source = ['**', '.*', '**/.*']");
        let (archive, report) = packed(root.path(), &all);
        prop_assert_eq!(report.files, files.len() as u64 + 2);
        let dest = tempfile::tempdir().unwrap();
        unpack(archive.as_slice(), dest.path(), &Limits::default()).unwrap();
        let mut expected = tree(root.path());
        for node in expected.values_mut() {
            if let Node::Folder(mode) = node {
                *mode = 0o755;
            }
        }
        prop_assert_eq!(tree(dest.path()), expected);
        let (again, _) = packed(dest.path(), &all);
        prop_assert_eq!(again, archive);
    }
}
