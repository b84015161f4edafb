//! From a folder to a version: init, deploy, versions upload.

use crate::support::{APP, Fake, VERSION, error, program, run};

fn write(fake: &Fake, name: &str, text: &str) {
    std::fs::write(fake.home.path().join(name), text).unwrap();
}

/// The archive in a multipart body, as the server would store it.
fn archive(body: &[u8]) -> Vec<u8> {
    let text = body.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let end = body.windows(4).rposition(|four| four == b"\r\n--").unwrap();
    body[text..end].to_vec()
}

const TOWERFILE: &str = "[app]\nname = \"hello\"\nscript = \"main.py\"\nsuorce = []\n";

/// A project in the server's folder, and the SHA-256 of its archive.
fn project(fake: &Fake) -> String {
    write(fake, "main.py", "print('hello')");
    write(fake, "Towerfile", TOWERFILE);
    let (towerfile, _) = minitower_towerfile::Towerfile::parse(TOWERFILE).unwrap();
    minitower_towerfile::pack(fake.home.path(), &towerfile, std::io::sink(), |_| {}).unwrap().sha256
}

#[test]
fn init_writes_a_towerfile_and_never_overwrites_one_unasked() {
    let fake = Fake::start();
    let dir = fake.home.path().join("my job");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("main.py"), "").unwrap();
    let cli = |line: &[&str]| run(program(fake.home.path(), line).current_dir(&dir), "");
    let ran = cli(&["init"]).good();
    assert!(ran.stdout.contains("app my-job") && ran.stderr.contains("minitower deploy"), "{ran:?}");
    std::fs::write(dir.join("Towerfile"), "mine").unwrap();
    let ran = cli(&["init"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("exists already") && ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(dir.join("Towerfile")).unwrap(), "mine");
    let ran = cli(&["init", "--force", "--script", "nope.py"]).good();
    assert!(ran.stderr.contains("nope.py does not exist yet"), "{}", ran.stderr);
    let ran = cli(&["init", "--force", "--name", "other", "--json"]).good();
    assert_eq!((&ran.json()["name"], &ran.json()["script"]), (&"other".into(), &"main.py".into()));
    assert!(std::fs::read_to_string(dir.join("Towerfile")).unwrap().contains("name = \"other\""));
}

#[test]
fn init_without_a_script_or_with_a_bad_name_says_so() {
    let fake = Fake::start();
    let cli = |line: &[&str]| run(&mut program(fake.home.path(), line), "");
    assert!(cli(&["init"]).stderr.contains("no .py or .sh file"));
    let ran = cli(&["init", "--name", "X", "--script", "a.py"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("app.name") && ran.stderr.contains("--name"),
        "{}",
        ran.stderr
    );
}

#[test]
fn deploy_packs_makes_the_app_and_uploads() {
    let fake = Fake::start().on("POST /apps", 201, APP);
    let sha = project(&fake);
    let fake =
        fake.on("POST /apps/hello/versions", 201, VERSION.replace(&"0123456789abcdef".repeat(4), &sha));
    let ran = fake.run(&["deploy"]).good();
    assert!(ran.stdout.starts_with("Made app hello.\nDeployed hello version 3.\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&sha[..12]) && ran.stdout.contains("2 files"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("warning: ./Towerfile: unknown key") && ran.stderr.contains("suorce"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("minitower runs create hello --wait"), "{}", ran.stderr);
    assert_eq!(fake.asked("POST /apps")[0].json(), serde_json::json!({"slug": "hello"}));
    let body = &fake.asked("POST /apps/hello/versions")[0].body;
    let found =
        minitower_towerfile::inspect(&*archive(body), &minitower_towerfile::Limits::default()).unwrap();
    assert_eq!(found.towerfile.as_deref(), Some(TOWERFILE));

    let fake = fake.on("GET /apps/hello", 200, APP);
    let ran = fake.run(&["deploy", "--json"]).good();
    assert_eq!(ran.json()["version"]["version_no"], 3);
    assert_eq!((&ran.json()["app_created"], &ran.json()["files"]), (&false.into(), &2.into()));
    assert_eq!(fake.asked("POST /apps").len(), 1);
}

#[test]
fn deploy_notices_a_damaged_upload() {
    let fake = Fake::start().on("GET /apps/hello", 200, APP).on("POST /apps/hello/versions", 201, VERSION);
    project(&fake);
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("arrived damaged"), "{}", ran.stderr);
}

#[test]
fn deploy_without_or_with_a_wrong_towerfile_sends_nothing() {
    let fake = Fake::start();
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("Towerfile") && ran.stderr.contains("minitower init"), "{}", ran.stderr);
    write(&fake, "Towerfile", "[app]\nname = \"hello\"\n");
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("app.script is missing"), "{}", ran.stderr);
    assert!(fake.asked("GET /apps/hello").is_empty());
}

#[test]
fn a_refused_archive_says_what_to_do() {
    for (status, code, exit, way_out) in
        [(413, "payload_too_large", 1, ".towerignore"), (400, "artifact_invalid", 1, "the reason")]
    {
        let fake = Fake::start().on("GET /apps/hello", 200, APP).on(
            "POST /apps/hello/versions",
            status,
            error(code, "the reason"),
        );
        project(&fake);
        let ran = fake.run(&["deploy"]);
        assert_eq!(ran.code, exit);
        assert!(ran.stderr.contains(way_out), "{}", ran.stderr);
    }
}

#[test]
fn an_archive_is_uploaded_with_what_its_missing_towerfile_would_say() {
    let fake = Fake::start().on("POST /apps/hello/versions", 201, VERSION);
    write(&fake, "a.tgz", "archive");
    let line = [
        "versions",
        "upload",
        "--app",
        "hello",
        "--file",
        "a.tgz",
        "--entrypoint",
        "main.py",
        "--timeout-seconds",
        "60",
        "--params-schema",
        r#"{"type":"object"}"#,
    ];
    let ran = fake.run(&line).good();
    assert!(ran.stdout.starts_with("app         hello\nversion     3\n"), "{}", ran.stdout);
    let body = String::from_utf8(fake.asked("POST /apps/hello/versions")[0].body.clone()).unwrap();
    for part in [
        "name=\"entrypoint\"\r\n\r\nmain.py",
        "name=\"timeout_seconds\"\r\n\r\n60",
        "name=\"params_schema_json\"\r\n\r\n{\"type\":\"object\"}",
        "filename=\"a.tgz\"\r\n",
        "\r\n\r\narchive\r\n",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert_eq!(fake.run(&[&line[..], &["--json"]].concat()).good().json()["version_no"], 3);
    let ran = fake.run(&["versions", "upload", "--app", "hello", "--file", "nope.tgz"]);
    assert!(ran.code == 1 && ran.stderr.contains("nope.tgz"), "{}", ran.stderr);
}
