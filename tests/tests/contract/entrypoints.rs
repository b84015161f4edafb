//! What an upload with a Towerfile may start, and what it says of its app.

use minitower_tests::{Artifact, Response, Runner, Server, Team, artifact};
use serde_json::json;
use tar::EntryType;

fn bed() -> (Server, Team) {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    (server, team)
}

fn app(lines: &str) -> Artifact {
    Artifact::new().file("Towerfile", format!("[app]\nname = \"hello\"\n{lines}\n"))
}

fn deploy(team: &Team, archive: Artifact) -> Response {
    team.upload("hello", Some(&archive.gzip()), &[])
}

#[test]
fn a_module_is_found_where_python_will_find_it() {
    let (server, team) = bed();
    for (paths, file) in [
        ("", "pkg/cli.py"),
        ("", "pkg/cli/__main__.py"),
        ("", "src/pkg/cli.py"),
        ("", "src/pkg/cli/__main__.py"),
        ("import_paths = [\"lib\"]", "lib/pkg/cli.py"),
        ("import_paths = [\".\"]", "pkg/cli.py"),
    ] {
        let archive = app(&format!("module = \"pkg.cli\"\n{paths}")).file(file, "");
        let version = deploy(&team, archive).expect_json(201);
        assert_eq!(version["entrypoint"], "-m pkg.cli", "{file}");
    }
    team.run_id("hello");
    assert_eq!(Runner::register(&server, "r1").lease().body["entrypoint"], "-m pkg.cli");
}

#[test]
fn a_module_that_is_not_there_is_refused_with_where_it_was_looked_for() {
    let (_server, team) = bed();
    for file in ["pkg/cli/__init__.py", "lib/pkg/cli.py", "pkg.cli.py", "cli.py"] {
        let message =
            deploy(&team, app("module = \"pkg.cli\"").file(file, "")).expect_error(400, "artifact_invalid");
        assert!(message.contains("pkg/cli.py") && message.contains("import_paths"), "{file}: {message}");
    }
    for entrypoint in ["-m ", "-m ../x", "-m a..b", "-m a/b", "-m main.py x"] {
        let answer = team.upload("hello", Some(&Artifact::python("")), &[("entrypoint", entrypoint)]);
        answer.expect_error(400, "artifact_invalid");
    }
}

#[test]
fn a_script_of_any_name_and_one_that_is_a_link_are_taken() {
    let (_server, team) = bed();
    let script = app("script = \"bin/start\"").file("bin/start", "#!/bin/bash\n");
    assert_eq!(deploy(&team, script).expect_json(201)["entrypoint"], "bin/start");
    let link = app("script = \"main.py\"").file("src/real.py", "").entry(
        EntryType::Symlink,
        "main.py",
        "src/real.py",
        b"",
    );
    assert_eq!(deploy(&team, link).expect_json(201)["entrypoint"], "main.py");
    let dangling = app("script = \"main.py\"").entry(EntryType::Symlink, "main.py", "none.py", b"");
    deploy(&team, dangling).expect_error(400, "artifact_invalid");
    // Without a Towerfile the extension decides, as ever.
    let bare = Artifact::new().file("start", "#!/bin/bash\n").gzip();
    team.upload("hello", Some(&bare), &[("entrypoint", "start")]).expect_error(400, "invalid_request");
}

#[test]
fn the_description_of_a_towerfile_becomes_the_apps() {
    let (_server, team) = bed();
    let described = |text: &str| app(&format!("script = \"main.py\"\n{text}")).file("main.py", "");
    let shown = || team.get("/apps/hello").send().expect_json(200)["description"].clone();
    deploy(&team, described("description = \"Says hello\"")).expect(201);
    assert_eq!(shown(), "Says hello");
    deploy(&team, described("")).expect(201);
    assert_eq!(shown(), "Says hello");
    deploy(&team, described("description = \"Says more\"")).expect(201);
    assert_eq!(shown(), "Says more");
    // A refused upload changes nothing.
    deploy(&team, app("script = \"main.py\"\ndescription = \"Never\"")).expect_error(400, "artifact_invalid");
    assert_eq!(shown(), "Says more");
}

#[test]
fn a_schedule_is_refused_by_name() {
    let (_server, team) = bed();
    let archive = app("script = \"main.py\"\nschedule = \"*/5 * * * *\"").file("main.py", "");
    let message = deploy(&team, archive).expect_error(400, "TOWERFILE_INVALID");
    assert!(message.contains("app.schedule"), "{message}");
    assert_eq!(team.get("/apps/hello/versions").send().expect_json(200), json!({"versions": []}));
}

#[test]
fn an_archive_of_several_gzip_members_is_one_archive() {
    let (_server, team) = bed();
    let tar = app("script = \"main.py\"").file("main.py", "print()").plain();
    let (first, second) = tar.split_at(700);
    let archive = [artifact::gzip(first), artifact::gzip(second)].concat();
    let version = team.upload("hello", Some(&archive), &[]).expect_json(201);
    assert_eq!(version["artifact_sha256"], artifact::sha256(&archive));
}

#[test]
fn an_archive_that_is_gone_from_the_store_is_told_to_the_runner_and_mended_by_an_upload() {
    let (server, team) = bed();
    let archive = app("script = \"main.py\"").file("main.py", "").gzip();
    let upload = || team.upload("hello", Some(&archive), &[]).expect_json(201);
    upload();
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    let file = server.objects().join(artifact::sha256(&archive));
    std::fs::write(&file, b"cut").unwrap();
    let message = lease.request("artifact").send().expect_error(404, "not_found");
    assert!(
        message.contains("version 1 is damaged") && message.contains("upload the version again"),
        "{message}"
    );
    std::fs::remove_file(&file).unwrap();
    let message = lease.request("artifact").send().expect_error(404, "not_found");
    assert!(
        message.contains("version 1 is missing") && message.contains("upload the version again"),
        "{message}"
    );
    upload();
    assert_eq!(lease.request("artifact").send().expect(200).body, archive);
}
