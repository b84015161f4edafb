//! From a folder to a version: init, deploy, versions upload.

use rstest::rstest;

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

const TOWERFILE: &str = "[app]\nname = \"hello\"\nscript = \"main.py\"\ndescription = \"says hello\"\n";

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
    assert!(ran.stderr.contains("minitower runs create hello --wait"), "{}", ran.stderr);
    let asked = fake.asked("POST /apps")[0].json();
    assert_eq!(asked, serde_json::json!({"slug": "hello", "description": "says hello"}));
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

/// A server where every upload to `app` arrives whole: its answer names the archive of `files`.
fn serving(app: &str, files: &[(&str, &str)], status: u16) -> Fake {
    let fake = Fake::start();
    for (name, text) in files {
        write(&fake, name, text);
    }
    let text = std::fs::read_to_string(fake.home.path().join("Towerfile")).unwrap();
    let name = minitower_towerfile::name_in(&text).unwrap();
    let slug = minitower_towerfile::slug::violation(&name).is_none();
    let packed = if slug { text } else { minitower_towerfile::renamed(&text, app).unwrap() };
    let (towerfile, _) = minitower_towerfile::Towerfile::parse(&packed).unwrap();
    let mut plan = minitower_towerfile::plan(fake.home.path(), &towerfile).unwrap();
    if !slug {
        plan = plan.with_towerfile(format!("# app.name was written {name:?}\n{packed}"));
    }
    let sha256 = plan.write(std::io::sink(), |_| {}).unwrap().sha256;
    let version = VERSION.replace(&"0123456789abcdef".repeat(4), &sha256);
    fake.on("POST /apps", 201, APP)
        .on(&format!("GET /apps/{app}"), status, if status == 200 { APP } else { "{}" })
        .on(&format!("POST /apps/{app}/versions"), 201, version)
}

#[test]
fn an_unknown_key_stops_a_deploy_unless_it_is_allowed() {
    let text = format!("{TOWERFILE}suorce = []\n");
    let fake = serving("hello", &[("main.py", ""), ("Towerfile", &text)], 404);
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("./Towerfile: line 5: there is no key \"app.suorce\": did you mean `source`?")
            && ran.stderr.contains("--allow-unknown"),
        "{}",
        ran.stderr
    );
    assert!(fake.asked("POST /apps").is_empty());
    let ran = fake.run(&["deploy", "--allow-unknown"]).good();
    assert!(
        ran.stderr.contains("warning: ./Towerfile: line 5: unknown key \"app.suorce\" is ignored"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_python_that_no_runner_has_is_pointed_at() {
    let runners = r#"{"runners":[{"runner_id":1,"name":"r","environment":"default","status":"online",
        "scope":"platform","busy":false,"draining":false,"labels":{"python":"3.11.7"}}]}"#;
    let towerfile = format!("{TOWERFILE}python = '>=3.9'\n");
    let files = [
        ("main.py", ""),
        ("Towerfile", towerfile.as_str()),
        ("pyproject.toml", "[project]\nname = 'x'\nrequires-python = '>=3.12'\n"),
    ];
    let fake = serving("hello", &files, 404).on("GET /admin/runners", 200, runners);
    let ran = fake.run(&["deploy", "--json"]).good();
    assert_eq!(ran.json()["version"]["version_no"], 3);
    for words in [
        "warning: requires-python of pyproject.toml is \">=3.12\" and app.python of the Towerfile is \">=3.9\"",
        "3.11.7: install",
    ] {
        assert_eq!(ran.stderr.matches(words).count(), 1, "{}", ran.stderr);
    }

    // A member may not list runners, and what is not packed asks for nothing.
    let fake = serving("hello", &files, 404).on("GET /admin/runners", 403, error("forbidden", "no"));
    assert!(!fake.run(&["deploy"]).good().stderr.contains("python"));
    let towerfile = format!("{TOWERFILE}source = ['main.py']\n");
    let files = [files[0], ("Towerfile", towerfile.as_str()), files[2]];
    let fake = serving("hello", &files, 404).on("GET /admin/runners", 200, runners);
    assert!(!fake.run(&["deploy"]).good().stderr.contains("requires-python"));
    assert!(fake.asked("GET /admin/runners").is_empty());
}

#[rstest]
#[case("elt_pipeline", "elt-pipeline")]
#[case("16-sling-data", "sling-data")]
#[case("MyApp", "myapp")]
fn names_of_other_platforms_are_translated(#[case] name: &str, #[case] app: &str) {
    let text = format!("[app]\nname = '{name}'\nscript = './main.py'\n");
    let files = [("main.py", ""), ("Towerfile", text.as_str())];
    let fake = serving(app, &files, 404);
    let ran = fake.run(&["deploy"]).good();
    assert!(ran.stdout.contains(&format!("Deployed {app} version 3.")), "{}", ran.stdout);
    assert!(ran.stderr.contains(name) && ran.stderr.contains("--app NAME"), "{}", ran.stderr);

    // The app is there: by the same name it is the same app, by another it is somebody else's.
    for (before, code) in [(name, 0), ("17-other_name", 1), (app, 1)] {
        let fake = serving(app, &files, 200);
        let packed = format!("# app.name was written \"{before}\"\n[app]\nname='{app}'\nscript='main.py'");
        let towerfile = serde_json::Value::from(packed);
        let version = VERSION.replacen('{', &format!(r#"{{"towerfile_toml":{towerfile},"#), 1);
        let fake =
            fake.on(&format!("GET /apps/{app}/versions"), 200, format!(r#"{{"versions":[{version}]}}"#));
        let ran = fake.run(&["deploy"]);
        assert_eq!(ran.code, code, "{before}: {ran:?}");
        assert!(code == 0 || ran.stderr.contains(&format!("--app {app}")), "{}", ran.stderr);
        fake.run(&["deploy", "--app", app]).good();
    }
}

#[test]
fn a_name_that_leaves_doubt_needs_one_on_the_command_line() {
    let fake = serving(
        "mine",
        &[("main.py", ""), ("Towerfile", "[app]\nname = 'My App'\nscript = 'main.py'\n")],
        404,
    );
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("line 2: app.name = \"My App\"")
            && ran.stderr.contains("write name = \"my-app\"")
            && ran.stderr.contains("--app NAME"),
        "{}",
        ran.stderr
    );
    fake.run(&["deploy", "--app", "mine"]).good();
}

#[test]
fn a_deploy_goes_to_the_app_that_is_asked_for() {
    let fake = serving("other", &[("main.py", ""), ("Towerfile", TOWERFILE)], 404);
    let ran = fake.run(&["deploy", "--app", "other"]).good();
    assert!(ran.stdout.starts_with("Made app other.\nDeployed other version 3."), "{}", ran.stdout);
    assert!(ran.stderr.contains("minitower runs create other --wait"), "{}", ran.stderr);
    let ran = fake.run(&["deploy", "--app", "Other_App"]);
    assert!(ran.code == 1 && ran.stderr.contains("other-app would do"), "{}", ran.stderr);
}

#[test]
fn a_refreshed_deploy_sends_another_archive() {
    let fake = serving("hello", &[("main.py", ""), ("Towerfile", TOWERFILE)], 404);
    fake.run(&["deploy"]).good();
    // The scripted answer names the plain archive.
    assert!(fake.run(&["deploy", "--refresh"]).stderr.contains("arrived damaged"));
    let bodies = fake.asked("POST /apps/hello/versions");
    let text = |index: usize| {
        let archive = archive(&bodies[index].body);
        minitower_towerfile::inspect(&*archive, &minitower_towerfile::Limits::default())
            .unwrap()
            .towerfile
            .unwrap()
    };
    let first = text(1).lines().next().unwrap().to_owned();
    assert!(first.starts_with("# refreshed: 2") && first.ends_with('Z') && !first.contains('.'), "{first}");
    assert_eq!(text(1), format!("{first}\n{}", text(0)));
}

#[rstest]
#[case("schedule = '0 5 * * *'", "app.schedule is not allowed", "cron")]
#[case("concurrency = { max = 1 }", "cannot limit how many runs go at once yet", "--allow-unknown")]
fn what_is_not_built_yet_is_refused_by_name(#[case] line: &str, #[case] reason: &str, #[case] way_out: &str) {
    let text = format!("{TOWERFILE}{line}\n");
    let fake = serving("hello", &[("main.py", ""), ("Towerfile", &text)], 404);
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(reason) && ran.stderr.contains(way_out), "{}", ran.stderr);
    assert!(fake.asked("POST /apps").is_empty());
}

#[test]
fn dependencies_that_no_runner_reads_stop_a_deploy() {
    let files = [("main.py", ""), ("Towerfile", TOWERFILE), ("Pipfile", "[packages]\nrequests = '*'\n")];
    let fake = serving("hello", &files, 404);
    let ran = fake.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("pipenv requirements > requirements.txt"), "{}", ran.stderr);
    assert!(fake.asked("POST /apps").is_empty());
}

#[test]
fn secrets_are_pointed_at() {
    let files = [("main.py", ""), ("Towerfile", TOWERFILE), (".env", "KEY=1"), ("server.pem", "")];
    let ran = serving("hello", &files, 404).run(&["deploy"]).good();
    assert_eq!(ran.stderr.matches("warning:").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("\".env\", \"server.pem\" look like secrets"), "{}", ran.stderr);
}

#[test]
fn init_starts_the_projects_own_command() {
    let fake = Fake::start();
    write(&fake, "pyproject.toml", "[project]\nname = 'tool'\nscripts = { tool = 'tool.cli:main' }\n");
    write(&fake, ".gitignore", "dist/\n");
    let ran = fake.run(&["init", "--name", "tool"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("no .py or .sh file") || ran.stderr.contains("__main__.py"),
        "{ran:?}"
    );
    std::fs::create_dir_all(fake.home.path().join("src/tool")).unwrap();
    write(&fake, "src/tool/__main__.py", "");
    let ran = fake.run(&["init", "--name", "tool"]).good();
    assert!(ran.stdout.contains("which starts module tool.") && ran.stderr.contains(".gitignore"), "{ran:?}");
    let ran = fake.run(&["init", "--force", "--name", "tool", "--module", "tool.other", "--json"]).good();
    assert_eq!(ran.json()["module"], "tool.other");
    let ran = fake.run(&["init", "--force", "--name", "My_Tool", "--module", "a"]);
    assert!(ran.code == 1 && ran.stderr.contains("my-tool"), "{}", ran.stderr);
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
