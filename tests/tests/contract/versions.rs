//! Versions: what an upload yields.

use minitower_tests::artifact::{self, sha256};
use minitower_tests::{Artifact, Runner, Server, shape};
use serde_json::json;

const TOWERFILE: &str = r#"
[app]
name = "hello"
script = "src/start.py"
import_paths = ["src", "lib"]

[app.timeout]
seconds = 45

[[parameters]]
name = "name"
description = "Whom to greet"
default = "world"

[[parameters]]
name = "times"
type = "integer"
"#;

fn with_towerfile() -> Artifact {
    Artifact::new().file("Towerfile", TOWERFILE).file("src/start.py", "print()").file("lib/extra.py", "")
}

#[test]
fn an_upload_with_an_entrypoint_makes_a_version() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let archive = Artifact::python("print('hello')");
    let made = team.version("hello", &archive, "main.py");
    shape::fields(
        &made,
        &["version_id", "version_no", "entrypoint", "artifact_sha256", "created_at"],
        &["timeout_seconds", "params_schema", "towerfile_toml", "import_paths"],
    );
    assert_eq!((&made["version_no"], &made["entrypoint"]), (&json!(1), &json!("main.py")));
    assert_eq!(made["artifact_sha256"], sha256(&archive));
    shape::time(&made, "created_at");
}

#[test]
fn an_upload_takes_timeout_and_schema_as_fields() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let text = schema.to_string();
    let fields = [("entrypoint", "main.py"), ("timeout_seconds", "60"), ("params_schema_json", &*text)];
    let made = team.upload("hello", Some(&Artifact::python("")), &fields).expect_json(201);
    assert_eq!((&made["timeout_seconds"], &made["params_schema"]), (&json!(60), &schema));

    // The fields may also come before the file.
    let (kind, body) = artifact::multipart(None, &fields);
    let file = artifact::multipart(Some(&Artifact::python("1")), &[]).1;
    let body = [&body[..body.len() - b"--minitower-test-boundary-7d93b1--\r\n".len()], &file[..]].concat();
    let answer = team.post("/apps/hello/versions").header("Content-Type", &kind).body(body).send();
    assert_eq!(answer.expect_json(201)["timeout_seconds"], 60);
}

#[test]
fn an_upload_with_a_towerfile_needs_nothing_else_and_its_fields_win() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let archive = with_towerfile().gzip();
    let schema = json!({"type": "object", "properties": {
        "name": {"type": "string", "description": "Whom to greet", "default": "world"},
        "times": {"type": "integer"},
    }});
    let fields: [&[(&str, &str)]; 2] = [&[], &[("entrypoint", "lib/extra.py"), ("timeout_seconds", "7")]];
    for fields in fields {
        let made = team.upload("hello", Some(&archive), fields).expect_json(201);
        assert_eq!((&made["entrypoint"], &made["timeout_seconds"]), (&json!("src/start.py"), &json!(45)));
        assert_eq!(made["import_paths"], json!(["src", "lib"]));
        assert_eq!(made["towerfile_toml"], TOWERFILE);
        assert_eq!(made["params_schema"], schema);
    }
}

#[test]
fn versions_are_numbered_listed_newest_first_and_read_by_number() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    assert_eq!(team.get("/apps/hello/versions").send().expect_json(200), json!({"versions": []}));
    let made: Vec<_> = (0..3)
        .map(|number| team.version("hello", &Artifact::python(&format!("{number}")), "main.py"))
        .collect();
    let list = team.get("/apps/hello/versions").send().expect_json(200);
    let newest_first: Vec<_> = made.iter().rev().cloned().collect();
    assert_eq!(list, json!({"versions": newest_first}));
    assert_eq!(team.get("/apps/hello/versions/2").send().expect_json(200), made[1]);
    team.get("/apps/hello/versions/4").send().expect_error(404, "not_found");
    team.get("/apps/hello/versions/0").send().expect_error(404, "not_found");
}

#[test]
fn the_same_bytes_are_one_file() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let count = || std::fs::read_dir(server.objects()).map_or(0, count_files);
    for _ in 0..3 {
        team.version("hello", &Artifact::python("print()"), "main.py");
        assert_eq!(count(), 1);
    }
    team.version("hello", &Artifact::python("print(2)"), "main.py");
    assert_eq!(count(), 2);
}

fn count_files(folder: std::fs::ReadDir) -> usize {
    folder
        .flatten()
        .map(|entry| match std::fs::read_dir(entry.path()) {
            Ok(below) => count_files(below),
            Err(_) => 1,
        })
        .sum()
}

#[test]
fn an_artifact_is_downloaded_as_it_was_uploaded() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    let towerfile = TOWERFILE.replace("\"lib\"", "\"bücher\"");
    let archive = Artifact::new().file("Towerfile", &towerfile).file("src/start.py", "print()").gzip();
    team.upload("hello", Some(&archive), &[]).expect(201);
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    let answer = lease.request("artifact").header("Accept-Encoding", "gzip").send().expect(200);
    assert_eq!(answer.body, archive);
    assert_eq!(answer.header("content-type"), Some("application/gzip"));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("x-artifact-sha256"), Some(sha256(&archive).as_str()));
    assert_eq!(answer.header("x-entrypoint"), Some("src/start.py"));
    assert_eq!(answer.header("x-timeout-seconds"), Some("45"));
    assert_eq!(answer.header("x-import-paths"), Some("[\"src\",\"b\\u00fccher\"]"));
}

#[test]
fn headers_of_what_a_version_does_not_say_are_absent() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    let answer = lease.request("artifact").send().expect(200);
    assert_eq!(answer.header("x-timeout-seconds"), None);
    assert_eq!(answer.header("x-import-paths"), None);
}
