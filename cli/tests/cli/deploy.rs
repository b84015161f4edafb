//! From a folder to a version: init, deploy, versions upload.

use minitower_client::wire::apps::CreateApp;
use minitower_client::wire::runner::{LeaseRequest, Register};
use minitower_test_plane::{Answer, Plane, archive};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Bed, program, run};

const TOWERFILE: &str = "[app]\nname = \"hello\"\nscript = \"main.py\"\ndescription = \"says hello\"\n";

/// A bed with these files in the person's home.
fn with_files(files: &[(&str, &str)]) -> Bed {
    let bed = Bed::start();
    for (name, text) in files {
        bed.write(name, text);
    }
    bed
}

/// A project in the person's home.
fn project() -> Bed {
    with_files(&[("main.py", "print('hello')"), ("Towerfile", TOWERFILE)])
}

/// The archive of an upload, as the server stores it, and its Towerfile.
fn uploaded(bed: &Bed, index: usize) -> Option<String> {
    let body = &bed.plane.requests("POST /apps/*/versions")[index].body;
    let start = body.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let end = body.windows(4).rposition(|four| four == b"\r\n--").unwrap();
    let limits = minitower_towerfile::Limits::default();
    minitower_towerfile::inspect(&body[start..end], &limits).unwrap().towerfile
}

#[test]
fn init_writes_a_towerfile_and_never_overwrites_one_unasked() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("my job");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("main.py"), "").unwrap();
    let cli = |line: &[&str]| run(program(home.path(), line).current_dir(&dir), "");
    let ran = cli(&["init"]).good();
    assert!(ran.stdout.contains("app my-job") && ran.stderr.contains("minitower deploy"), "{ran:?}");
    std::fs::write(dir.join("Towerfile"), "mine").unwrap();
    let ran = cli(&["init"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("already exists") && ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(dir.join("Towerfile")).unwrap(), "mine");
    let ran = cli(&["init", "--force", "--script", "nope.py"]).good();
    assert!(ran.stderr.contains("nope.py does not exist yet"), "{}", ran.stderr);
    let ran = cli(&["init", "--force", "--name", "other", "--json"]).good();
    assert_eq!((&ran.json()["name"], &ran.json()["script"]), (&"other".into(), &"main.py".into()));
    assert!(std::fs::read_to_string(dir.join("Towerfile")).unwrap().contains("name = \"other\""));
}

#[test]
fn init_without_a_script_or_with_a_bad_name_says_so() {
    let home = tempfile::tempdir().unwrap();
    let cli = |line: &[&str]| run(&mut program(home.path(), line), "");
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
    let bed = project();
    let ran = bed.run(&["deploy"]).good();
    let version = bed.team.get("/apps/hello/versions/1");
    let sha = version["artifact_sha256"].as_str().unwrap();
    assert!(ran.stdout.starts_with("Created app hello.\nDeployed hello version 1.\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&sha[..12]) && ran.stdout.contains("2 files"), "{}", ran.stdout);
    assert!(ran.stderr.contains("`minitower run hello`"), "{}", ran.stderr);
    assert_eq!(bed.team.get("/apps/hello")["description"], "says hello");
    assert_eq!(version["towerfile_toml"], TOWERFILE);
    assert_eq!(uploaded(&bed, 0).as_deref(), Some(TOWERFILE));

    let ran = bed.run(&["deploy"]).good();
    assert!(ran.stdout.starts_with("Unchanged: hello version 1 is the same.\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("`minitower deploy --force`"), "{}", ran.stderr);
    let ran = bed.run(&["deploy", "--json"]).good().json();
    assert_eq!((&ran["unchanged"], &ran["version"]), (&true.into(), &version));
    assert_eq!(bed.plane.count("POST /apps/hello/versions"), 1);

    let ran = bed.run(&["deploy", "--json", "--force"]).good().json();
    assert_eq!(ran["unchanged"], false);
    assert_eq!(ran["version"], bed.team.get("/apps/hello/versions/2"));
    assert_eq!(ran["version"]["artifact_sha256"], sha, "the same files make the same archive");
    assert_eq!((&ran["app_created"], &ran["files"]), (&false.into(), &2.into()));
    assert_eq!(bed.plane.count("POST /apps"), 1);
}

#[test]
fn an_unknown_key_stops_a_deploy_unless_it_is_allowed() {
    let text = format!("{TOWERFILE}suorce = []\n");
    let bed = with_files(&[("main.py", ""), ("Towerfile", &text)]);
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("./Towerfile: line 5: there is no key \"app.suorce\": did you mean `source`?")
            && ran.stderr.contains("--allow-unknown"),
        "{}",
        ran.stderr
    );
    assert_eq!(bed.plane.count("POST /apps"), 0);
    let ran = bed.run(&["deploy", "--allow-unknown"]).good();
    assert!(
        ran.stderr.contains("warning: ./Towerfile: line 5: unknown key \"app.suorce\" is ignored"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_python_that_no_runner_has_is_pointed_at() {
    let towerfile = format!("{TOWERFILE}python = '>=3.9'\n");
    let files = [
        ("main.py", ""),
        ("Towerfile", towerfile.as_str()),
        ("pyproject.toml", "[project]\nname = 'x'\nrequires-python = '>=3.12'\n"),
    ];
    let bed = with_files(&files);
    let labels = [("python".to_owned(), "3.11.7".to_owned())].into();
    let runner = Register { name: "r".to_owned(), labels, ..Register::default() };
    bed.plane.runner_with(&bed.team.registration_token, runner).poll(LeaseRequest::default());
    let ran = bed.run(&["deploy", "--json"]).good();
    assert_eq!(ran.json()["version"]["version_no"], 1);
    let warning = ran.error()["warning"].as_str().unwrap().to_owned();
    for words in [
        "requires-python of pyproject.toml is \">=3.12\" and app.python of the Towerfile is \">=3.9\"",
        "3.11.7: install",
    ] {
        assert!(warning.contains(words), "{warning}");
    }

    // A member may not list runners, and what is not packed asks for nothing.
    let member = bed.team.member_token();
    let ran = run(bed.cli(&["deploy"]).env("MINITOWER_API_TOKEN", &member), "").good();
    assert!(!ran.stderr.contains("python"), "{}", ran.stderr);
    assert_eq!(bed.plane.requests("GET /admin/runners").last().unwrap().answered, Some(403));
    bed.write("Towerfile", &format!("{TOWERFILE}source = ['main.py']\n"));
    let asked = bed.plane.count("GET /admin/runners");
    assert!(!bed.run(&["deploy"]).good().stderr.contains("requires-python"));
    assert_eq!(bed.plane.count("GET /admin/runners"), asked);
}

#[rstest]
#[case("elt_pipeline", "elt-pipeline", "elt-pipeline")]
#[case("16-sling-data", "sling-data", "17_sling-data")]
#[case("MyApp", "myapp", "MYApp")]
fn names_of_other_platforms_are_translated(#[case] name: &str, #[case] app: &str, #[case] rival: &str) {
    let towerfile = |name: &str| format!("[app]\nname = '{name}'\nscript = './main.py'\n");
    let bed = with_files(&[("main.py", ""), ("Towerfile", &towerfile(name))]);
    let ran = bed.run(&["deploy"]).good();
    assert!(ran.stdout.contains(&format!("Deployed {app} version 1.")), "{}", ran.stdout);
    assert!(ran.stderr.contains(name) && ran.stderr.contains("--app NAME"), "{}", ran.stderr);

    // The app is there: by the same name it is the same app.
    bed.run(&["deploy"]).good();
    // By another it may be somebody else's.
    let before = |written: &str| {
        let packed = format!("# app.name was written \"{written}\"\n[app]\nname='{app}'\nscript='main.py'\n");
        let version = Value::from(packed);
        Answer::change_json(move |body| body["versions"][0]["towerfile_toml"] = version.clone())
    };
    for written in ["17-other_name", app, rival].into_iter().filter(|written| *written != name) {
        bed.plane.once(format!("GET /apps/{app}/versions").as_str(), before(written));
        let ran = bed.run(&["deploy"]);
        assert_eq!(ran.code, 1, "{written}: {ran:?}");
        assert!(ran.stderr.contains(&format!("--app {app}")), "{}", ran.stderr);
        bed.plane.lift_all();
    }
    bed.run(&["deploy", "--app", app]).good();
}

#[test]
fn a_name_that_leaves_doubt_needs_one_on_the_command_line() {
    let bed = with_files(&[("main.py", ""), ("Towerfile", "[app]\nname = 'My App'\nscript = 'main.py'\n")]);
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("line 2: app.name = \"My App\"")
            && ran.stderr.contains("write name = \"my-app\"")
            && ran.stderr.contains("--app NAME"),
        "{}",
        ran.stderr
    );
    bed.run(&["deploy", "--app", "mine"]).good();
}

#[test]
fn a_deploy_goes_to_the_app_that_is_asked_for() {
    let bed = project();
    let ran = bed.run(&["deploy", "--app", "other"]).good();
    assert!(ran.stdout.starts_with("Created app other.\nDeployed other version 1."), "{}", ran.stdout);
    assert!(ran.stderr.contains("`minitower run other`"), "{}", ran.stderr);
    // The archive names that app too, so the server has nothing to ignore.
    assert!(!ran.stderr.contains("ignored"), "{}", ran.stderr);
    let again = bed.run(&["deploy", "--app", "other"]).good();
    assert!(again.stdout.contains("nchanged"), "{}", again.stdout);
    let ran = bed.run(&["deploy", "--app", "Other_App"]);
    assert!(ran.code == 1 && ran.stderr.contains("other-app would do"), "{}", ran.stderr);
}

#[test]
fn an_app_that_somebody_else_has_just_made_is_deployed_to() {
    let bed = project();
    let client = bed.team.client().clone();
    let app = CreateApp { slug: "hello".to_owned(), description: None };
    bed.plane.run(async move { client.create_app(&app).await.unwrap() });
    bed.plane.once("GET /apps/hello", Answer::refusal(404, "not_found", "no app"));
    let ran = bed.run(&["deploy"]).good();
    assert!(ran.stdout.starts_with("Deployed hello version 1."), "{}", ran.stdout);
    assert_eq!(bed.plane.requests("POST /apps")[0].answered, Some(409));
}

#[test]
fn a_refreshed_deploy_sends_another_archive() {
    let bed = project();
    bed.run(&["deploy"]).good();
    bed.run(&["deploy", "--refresh"]).good();
    let refreshed = uploaded(&bed, 1).unwrap();
    let first = refreshed.lines().next().unwrap();
    assert!(first.starts_with("# refreshed: 2") && first.ends_with('Z') && !first.contains('.'), "{first}");
    assert_eq!(refreshed, format!("{first}\n{}", uploaded(&bed, 0).unwrap()));
}

#[rstest]
#[case("schedule = '0 5 * * *'", "app.schedule is not allowed", "cron")]
fn what_is_not_built_yet_is_refused_by_name(#[case] line: &str, #[case] reason: &str, #[case] way_out: &str) {
    let bed = with_files(&[("main.py", ""), ("Towerfile", &format!("{TOWERFILE}{line}\n"))]);
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(reason) && ran.stderr.contains(way_out), "{}", ran.stderr);
    assert_eq!(bed.plane.count("POST /apps"), 0);
}

#[test]
fn dependencies_that_no_runner_reads_stop_a_deploy() {
    let files = [("main.py", ""), ("Towerfile", TOWERFILE), ("Pipfile", "[packages]\nrequests = '*'\n")];
    let bed = with_files(&files);
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("pipenv requirements > requirements.txt"), "{}", ran.stderr);
    assert_eq!(bed.plane.count("POST /apps"), 0);
}

#[test]
fn secrets_are_pointed_at() {
    let bed = with_files(&[("main.py", ""), ("Towerfile", TOWERFILE), (".env", "KEY=1"), ("server.pem", "")]);
    let ran = bed.run(&["deploy"]).good();
    assert_eq!(ran.stderr.matches("warning:").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("\".env\", \"server.pem\" look like secrets"), "{}", ran.stderr);
}

#[test]
fn init_starts_the_projects_own_command() {
    let bed = Bed::start();
    bed.write("pyproject.toml", "[project]\nname = 'tool'\nscripts = { tool = 'tool.cli:main' }\n");
    bed.write(".gitignore", "dist/\n");
    let ran = bed.run(&["init", "--name", "tool"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("no .py or .sh file") || ran.stderr.contains("__main__.py"),
        "{ran:?}"
    );
    std::fs::create_dir_all(bed.home.path().join("src/tool")).unwrap();
    bed.write("src/tool/__main__.py", "");
    let ran = bed.run(&["init", "--name", "tool"]).good();
    assert!(ran.stdout.contains("which starts module tool.") && ran.stderr.contains(".gitignore"), "{ran:?}");
    let ran = bed.run(&["init", "--force", "--name", "tool", "--module", "tool.other", "--json"]).good();
    assert_eq!(ran.json()["module"], "tool.other");
    let ran = bed.run(&["init", "--force", "--name", "My_Tool", "--module", "a"]);
    assert!(ran.code == 1 && ran.stderr.contains("my-tool"), "{}", ran.stderr);
}

#[test]
fn deploy_notices_a_damaged_upload() {
    let bed = project();
    let damaged = Answer::change_json(|body| body["artifact_sha256"] = json!("0123456789abcdef".repeat(4)));
    bed.plane.once("POST /apps/hello/versions", damaged);
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("arrived damaged"), "{}", ran.stderr);
}

#[test]
fn deploy_without_or_with_a_wrong_towerfile_sends_nothing() {
    let bed = Bed::start();
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("Towerfile") && ran.stderr.contains("minitower init"), "{}", ran.stderr);
    bed.write("Towerfile", "[app]\nname = \"hello\"\n");
    let ran = bed.run(&["deploy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("app.script is missing"), "{}", ran.stderr);
    bed.write("Towerfile", "[app]\nnmae = \"hello\"\nscript = \"main.py\"\n");
    let ran = bed.run(&["deploy"]);
    assert!(
        ran.stderr
            .contains("line 2: there is no key \"app.nmae\": did you mean `name`?; app.name is missing"),
        "{}",
        ran.stderr
    );
    assert_eq!(bed.plane.count("* /**"), 0);
}

#[test]
fn an_archive_larger_than_the_server_takes_says_what_to_do() {
    let plane = Plane::start_with(|config| config.limits.artifact = 100);
    let team = plane.team("acme");
    let bed = Bed { plane, team, home: tempfile::tempdir().unwrap() };
    bed.write("main.py", "print('hello')");
    bed.write("Towerfile", TOWERFILE);
    let ran = bed.run(&["deploy"]);
    assert!(ran.code == 1 && ran.stderr.contains("an archive of more than 100 B"), "{ran:?}");
    assert!(ran.stderr.contains(".towerignore") && ran.stderr.contains("main.py (14 B)"), "{}", ran.stderr);
    let made = bed.plane.count("POST /apps") + bed.plane.count("POST /apps/hello/versions");
    assert_eq!(made, 0, "nothing was made, nothing was sent");
    // An older server does not say how much it takes.
    bed.plane.once("GET /me", Answer::without(&["max_artifact_bytes"]));
    let ran = bed.run(&["deploy"]);
    assert!(ran.code == 1 && ran.stderr.contains("413") && ran.stderr.contains(".towerignore"), "{ran:?}");
}

#[test]
fn an_archive_is_uploaded_with_what_its_missing_towerfile_would_say() {
    let bed = Bed::start();
    bed.team.app("hello");
    std::fs::write(bed.home.path().join("a.tgz"), archive(&[("main.py", "")])).unwrap();
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
    let ran = bed.run(&line).good();
    assert!(ran.stdout.starts_with("app         hello\nversion     1\n"), "{}", ran.stdout);
    let version = bed.team.get("/apps/hello/versions/1");
    assert_eq!(
        (&version["entrypoint"], &version["timeout_seconds"], &version["params_schema"]),
        (&json!("main.py"), &json!(60), &json!({"type": "object"}))
    );
    let body = bed.plane.requests("POST /apps/hello/versions")[0].body.clone();
    assert!(String::from_utf8_lossy(&body).contains("filename=\"a.tgz\"\r\n"));
    let ran = bed.run(&[&line[..], &["--json"]].concat()).good();
    assert_eq!(ran.json(), bed.team.get("/apps/hello/versions/2"));

    let ran = bed.words("versions upload --app hello --file nope.tgz");
    assert!(ran.code == 1 && ran.stderr.contains("nope.tgz"), "{}", ran.stderr);
    bed.write("broken.tgz", "archive");
    let ran = bed.words("versions upload --app hello --file broken.tgz --entrypoint main.py");
    assert!(ran.code == 1 && ran.stderr.contains("artifact_invalid"), "{}", ran.stderr);
}

#[test]
fn a_parameter_that_makes_no_good_variable_is_pointed_at() {
    let towerfile = format!("{TOWERFILE}[[parameters]]\nname = 'PATH'\n[[parameters]]\nname = 'a b'\n");
    let bed = with_files(&[("main.py", ""), ("Towerfile", &towerfile)]);
    let ran = bed.run(&["deploy"]).good();
    for words in
        ["parameter \"PATH\" does not reach the job", "parameter \"a b\" becomes a variable", "-p 'a b='…"]
    {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[rstest]
#[case("{", "--params-schema is not valid JSON: it ends too early")]
#[case(r#"{"type": "nothing"}"#, "--params-schema is not a valid JSON Schema")]
fn a_schema_that_is_none_is_told_by_its_flag(#[case] schema: &str, #[case] told: &str) {
    let bed = Bed::start();
    bed.team.app("hello");
    std::fs::write(bed.home.path().join("a.tgz"), archive(&[("main.py", "")])).unwrap();
    let mut line: Vec<_> =
        "versions upload --app hello --file a.tgz --entrypoint main.py".split(' ').collect();
    line.extend(["--params-schema", schema]);
    let ran = bed.run(&line);
    assert!(ran.code == 1 && ran.stderr.contains(told), "{ran:?}");
}
