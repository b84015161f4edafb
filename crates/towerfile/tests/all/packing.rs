//! What goes into an archive, and that it always comes out the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{Node, TOWERFILE, accepted, packed, planned, project, towerfile, tree};
use minitower_towerfile::pack::{PlanNote, PlannedKind};
use minitower_towerfile::path::LinkFault;
use minitower_towerfile::{Limits, PackError, inspect, plan, unpack};
use proptest::prelude::*;
use rstest::rstest;

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
