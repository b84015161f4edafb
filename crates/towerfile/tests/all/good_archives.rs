//! Archives that must be accepted, whoever made them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Node, Tar, accepted, gz, tree};
use minitower_towerfile::{ArchiveError, Limits, inspect, unpack};
use rstest::rstest;
use tar::EntryType;

fn file(content: &[u8]) -> Node {
    Node::File(0o644, content.to_vec())
}

#[test]
fn the_towerfile_and_the_entrypoint_are_found_by_any_spelling() {
    let archive = Tar::new().folder("./").file("./Towerfile", b"[app]").file("./src/main.py", b"").gz();
    let inspection = inspect(archive.as_slice(), &Limits::default()).unwrap();
    assert_eq!(inspection.towerfile.as_deref(), Some("[app]"));
    assert_eq!((inspection.entries, inspection.total_bytes), (3, 5));
    for path in ["src/main.py", "./src/main.py", "src//main.py"] {
        assert!(inspection.has_file(path), "{path}");
    }
    for path in ["src", "main.py", "", ".", "/src/main.py", "src/../src/main.py", "src/main.py/x"] {
        assert!(!inspection.has_file(path), "{path}");
    }
}

#[test]
fn a_link_to_the_entrypoint_is_as_good_as_the_file() {
    let link = |path: &str, target: &str| Tar::new().file("src/main.py", b"").symlink(path, target).gz();
    for (archive, found) in [
        (link("main.py", "src/main.py"), true),
        (link("main.py", "src/none.py"), false),
        (link("main.py", "main.py"), false),
    ] {
        let inspection = inspect(archive.as_slice(), &Limits::default()).unwrap();
        assert_eq!(inspection.has_file("main.py"), found);
    }
}

/// As `cat a.gz b.gz` makes them, and compressors that work in parallel.
#[rstest]
#[case::two(2)]
#[case::as_many_as_bytes(usize::MAX)]
fn an_archive_of_several_gzip_members_is_one_archive(#[case] members: usize) {
    let tar = Tar::new().file("main.py", b"print()").file("more.py", b"").tar();
    let pieces = tar.chunks(tar.len().div_ceil(members.min(tar.len())));
    let archive: Vec<u8> = pieces.flat_map(|piece| [gz(piece), gz(b"")].concat()).collect();
    let inspection = inspect(archive.as_slice(), &Limits::default()).unwrap();
    assert!(inspection.has_file("main.py") && inspection.has_file("more.py"));
    let cut = &archive[..archive.len() - 1];
    assert!(matches!(inspect(cut, &Limits::default()), Err(ArchiveError::Truncated)));
}

#[rstest]
#[case(49, true)]
#[case(50, false)]
fn the_towerfile_is_looked_for_in_the_first_50_entries(#[case] before: usize, #[case] found: bool) {
    let archive = (0..before).fold(Tar::new(), |archive, number| archive.file(format!("f{number}"), b""));
    let archive = archive.file("Towerfile", b"x").gz();
    assert_eq!(inspect(archive.as_slice(), &Limits::default()).unwrap().towerfile.is_some(), found);
}

#[test]
fn only_a_towerfile_at_the_root_counts() {
    let archive = Tar::new().file("sub/Towerfile", b"x").file("towerfile", b"x").gz();
    assert_eq!(inspect(archive.as_slice(), &Limits::default()).unwrap().towerfile, None);
}

#[test]
fn the_later_of_two_files_wins_and_is_not_written_through_the_former() {
    let archive = Tar::new()
        .file("kept", b"kept")
        .symlink("a", "kept")
        .file("a", b"new")
        .hard_link("b", "kept")
        .file("b", b"newer")
        .file("c", b"gone")
        .symlink("c", "a")
        .file("./d", b"1")
        .file("d", b"2");
    let found = accepted(&archive.gz());
    let expected = [
        ("a", file(b"new")),
        ("b", file(b"newer")),
        ("c", Node::Link("a".to_owned())),
        ("d", file(b"2")),
        ("kept", file(b"kept")),
    ];
    assert_eq!(found, expected.map(|(name, node)| (name.to_owned(), node)).into());
}

#[test]
fn hard_links_share_one_file() {
    let archive = Tar::new().file("a/x", b"content").hard_link("b/y", "./a/x").gz();
    let yard = tempfile::tempdir().unwrap();
    unpack(archive.as_slice(), yard.path(), &Limits::default()).unwrap();
    let inode = |name: &str| fs::metadata(yard.path().join(name)).unwrap().ino();
    assert_eq!(inode("a/x"), inode("b/y"));
    assert!(inspect(archive.as_slice(), &Limits::default()).unwrap().has_file("b/y"));
}

#[rstest]
#[case(0o644, 0o644)]
#[case(0o600, 0o644)]
#[case(0o000, 0o644)]
#[case(0o755, 0o755)]
#[case(0o700, 0o755)]
#[case(0o611, 0o644)]
#[case(0o6755, 0o755)]
#[case(0o7777, 0o755)]
fn modes_are_reduced_to_two(#[case] given: u32, #[case] expected: u32) {
    let mut header = crate::support::header(EntryType::Regular, b"x", b"", 0);
    header.set_mode(given);
    header.set_cksum();
    let mut folder = crate::support::header(EntryType::Directory, b"folder", b"", 0);
    folder.set_mode(given);
    folder.set_cksum();
    let found = accepted(&Tar::new().raw(&header, b"").raw(&folder, b"").gz());
    assert_eq!(found["x"], Node::File(expected, Vec::new()));
    assert_eq!(found["folder"], Node::Folder(0o755));
}

#[test]
fn an_empty_archive_is_an_archive() {
    assert!(accepted(&Tar::new().gz()).is_empty());
}

#[test]
fn the_destination_must_be_empty_and_no_link() {
    let archive = Tar::new().file("a", b"").gz();
    let yard = tempfile::tempdir().unwrap();
    let full = yard.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), "").unwrap();
    symlink("/tmp", yard.path().join("link")).unwrap();
    for dest in ["full", "link", "full/x"] {
        let error = unpack(archive.as_slice(), &yard.path().join(dest), &Limits::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::DestinationNotEmpty), "{dest}: {error}");
    }
    let error = unpack(archive.as_slice(), &yard.path().join("no/parent"), &Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::Write { .. }), "{error}");
}

/// A tree with everything that may be in one.
fn sample(root: &Path) {
    fs::create_dir_all(root.join("pkg/empty")).unwrap();
    fs::write(root.join("Towerfile"), "[app]\nname = \"sample\"\nscript = \"main.py\"\n").unwrap();
    fs::write(root.join("main.py"), "print('ä')\n").unwrap();
    fs::write(root.join("pkg/tool.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("pkg/tool.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("pkg/größe und so.txt"), vec![b'x'; 100_000]).unwrap();
    let deep = root.join("pkg").join("d".repeat(90)).join("e".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f".repeat(120)), "deep").unwrap();
    symlink("../main.py", root.join("pkg/link.py")).unwrap();
    symlink(format!("{}/{}", "d".repeat(90), "e".repeat(90)), root.join("pkg/far")).unwrap();
    fs::hard_link(root.join("main.py"), root.join("pkg/same.py")).unwrap();
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const PYTHON: &str = "import sys, tarfile\n\
    with tarfile.open(fileobj=sys.stdout.buffer, mode='w|gz', format=getattr(tarfile, sys.argv[1])) as tar:\n    \
    tar.add('.')\n";

#[rstest]
#[case::gnu("tar", &["-czf", "-", "."])]
#[case::gnu_old("tar", &["-czf", "-", "--format=oldgnu", "."])]
#[case::gnu_pax("tar", &["-czf", "-", "--format=posix", "."])]
#[case::gnu_names("tar", &["-czf", "-", "Towerfile", "main.py", "pkg"])]
#[case::python_gnu("python3", &["-c", PYTHON, "GNU_FORMAT"])]
#[case::python_pax("python3", &["-c", PYTHON, "PAX_FORMAT"])]
fn archives_of_other_programs(#[case] program: &str, #[case] arguments: &[&str]) {
    let yard = tempfile::tempdir().unwrap();
    sample(yard.path());
    let archive = run(program, arguments, yard.path());
    let mut expected = tree(yard.path());
    for node in expected.values_mut() {
        if let Node::File(mode, _) = node {
            *mode = if *mode & 0o100 == 0 { 0o644 } else { 0o755 };
        } else if let Node::Folder(mode) = node {
            *mode = 0o755;
        }
    }
    assert_eq!(accepted(&archive), expected);
    let inspection = inspect(archive.as_slice(), &Limits::default()).unwrap();
    assert!(inspection.towerfile.is_some() && inspection.has_file("main.py"));
}
