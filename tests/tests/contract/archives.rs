//! What an upload is refused for, and that nothing of it stays.

use std::fs;

use minitower_tests::artifact::gzip;
use minitower_tests::{Artifact, Server, Team};
use serde_json::json;
use tar::EntryType;

struct Bed {
    team: Team,
    server: Server,
}

impl Bed {
    fn start() -> Self {
        let server = Server::start();
        let team = server.bootstrap();
        team.app("hello");
        Self { team, server }
    }

    #[track_caller]
    fn refused(&self, archive: &[u8], fields: &[(&str, &str)], code: &str) {
        let message = self.team.upload("hello", Some(archive), fields).expect_error(400, code);
        assert!(!message.contains(&self.server.folder().display().to_string()), "a path in {message:?}");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let versions = self.team.get("/apps/hello/versions").send().expect_json(200);
        assert_eq!(versions, json!({"versions": []}), "a refused upload makes no version");
        let left: Vec<_> = walk(&self.server.objects());
        assert!(left.is_empty(), "a refused upload stays on disk: {left:?}");
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] })
        .filter(|path| path.file_name().is_none_or(|name| !name.to_string_lossy().contains("secret")))
        .collect()
}

const MAIN: [(&str, &str); 1] = [("entrypoint", "main.py")];

#[test]
fn what_is_no_whole_gzipped_tar_is_refused() {
    let bed = Bed::start();
    let good = Artifact::new().file("main.py", "print()".repeat(10_000)).gzip();
    bed.refused(b"", &MAIN, "artifact_invalid");
    bed.refused(b"just text", &MAIN, "artifact_invalid");
    bed.refused(&Artifact::new().file("main.py", "").plain(), &MAIN, "artifact_invalid");
    bed.refused(
        &gzip(b"no tar at all, but long enough to be read as a header ".repeat(20).as_slice()),
        &MAIN,
        "artifact_invalid",
    );
    bed.refused(&good[..good.len() / 2], &MAIN, "artifact_invalid");
    bed.refused(&good[..good.len() - 4], &MAIN, "artifact_invalid");
    let plain = Artifact::new().file("main.py", "print()".repeat(1_000)).plain();
    bed.refused(&gzip(&plain[..2_000]), &MAIN, "artifact_invalid");
}

#[test]
fn paths_and_links_that_leave_the_root_are_refused() {
    let bed = Bed::start();
    let main = || Artifact::new().file("main.py", "print()");
    for path in ["/etc/passwd", "../escape", "a/../../escape", ".."] {
        bed.refused(&main().file(path, "x").gzip(), &MAIN, "artifact_invalid");
    }
    for target in ["/etc/passwd", "../escape", "a/../../escape"] {
        let link = main().entry(EntryType::Symlink, "link", target, b"").gzip();
        bed.refused(&link, &MAIN, "artifact_invalid");
        let link = main().entry(EntryType::Link, "link", target, b"").gzip();
        bed.refused(&link, &MAIN, "artifact_invalid");
    }
    let deeper = main().entry(EntryType::Symlink, "a/link", "../../escape", b"").gzip();
    bed.refused(&deeper, &MAIN, "artifact_invalid");
}

#[test]
fn devices_and_fifos_are_refused() {
    let bed = Bed::start();
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        let archive = Artifact::new().file("main.py", "").entry(kind, "odd", "", b"").gzip();
        bed.refused(&archive, &MAIN, "artifact_invalid");
    }
}

#[test]
fn an_entrypoint_must_be_a_file_in_the_archive() {
    let bed = Bed::start();
    let archive =
        Artifact::new().file("main.py", "").entry(EntryType::Directory, "folder.py", "", b"").gzip();
    for entrypoint in ["other.py", "folder.py", "../main.py", "/main.py"] {
        let answer = bed.team.upload("hello", Some(&archive), &[("entrypoint", entrypoint)]);
        assert_eq!(answer.status, 400, "{entrypoint}: {}", answer.text());
    }
    bed.refused(&archive, &[("entrypoint", "other.py")], "artifact_invalid");
}

#[test]
fn an_upload_without_entrypoint_and_towerfile_says_so() {
    let bed = Bed::start();
    bed.refused(&Artifact::python(""), &[], "TOWERFILE_MISSING");
}

#[test]
fn a_wrong_towerfile_is_refused() {
    let bed = Bed::start();
    for towerfile in [
        "not = [toml",
        "",
        "[app]\nname = \"hello\"",
        "[app]\nname = \"\"\nscript = \"main.py\"",
        "[app]\nname = \"hello\"\nscript = 3",
        "[app]\nname = \"hello\"\nscript = \"../main.py\"",
        "[app]\nname = \"hello\"\nscript = \"main.py\"\n[app.timeout]\nseconds = 0",
    ] {
        let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip();
        bed.refused(&archive, &[], "TOWERFILE_INVALID");
    }
}

#[test]
fn fields_of_an_upload_are_checked() {
    let bed = Bed::start();
    let archive = Artifact::python("");
    for (field, value) in [
        ("timeout_seconds", "0"),
        ("timeout_seconds", "-1"),
        ("timeout_seconds", "soon"),
        ("params_schema_json", "{"),
        ("params_schema_json", "[]"),
        ("params_schema_json", r#"{"type": "no such type"}"#),
    ] {
        bed.refused(&archive, &[("entrypoint", "main.py"), (field, value)], "invalid_request");
    }
    bed.team.upload("hello", None, &MAIN).expect_error(400, "invalid_request");
    let request = bed.team.post("/apps/hello/versions").header("Content-Type", "application/gzip");
    request.body(archive).send().expect_error(400, "invalid_request");
}

#[test]
fn an_archive_made_by_tar_in_the_folder_is_taken() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let archive = Artifact::new()
        .entry(EntryType::Directory, "./", "", b"")
        .file("./main.py", "print()")
        .entry(EntryType::Symlink, "./link.py", "main.py", b"")
        .gzip();
    team.version("hello", &archive, "main.py");
}
