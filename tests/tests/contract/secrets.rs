//! Secrets: set by admins, shown by no call, and given to the runs of apps whose Towerfile names them.

use minitower_tests::programs::SERVER;
use minitower_tests::{Artifact, Lease, Program, Runner, Server, Team, shape, wait};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-and-more";

fn set(team: &Team, environment: &str, name: &str, value: &str) -> minitower_tests::Response {
    let path = format!("/environments/{environment}/secrets/{name}");
    team.request("PUT", &path).json(json!({"value": value})).send()
}

fn names(team: &Team, environment: &str) -> Vec<String> {
    let list = team.get(&format!("/environments/{environment}/secrets")).send().expect_json(200);
    shape::fields(&list, &["secrets"], &[]);
    let list = list["secrets"].as_array().unwrap().clone();
    for secret in &list {
        shape::fields(secret, &["name", "updated_at"], &["value"]);
        shape::time(secret, "updated_at");
    }
    list.iter().map(|secret| shape::text(secret, "name")).collect()
}

/// An app whose runs get these secrets.
fn app(team: &Team, slug: &str, secrets: &[&str]) {
    team.app(slug);
    version(team, slug, secrets);
}

fn version(team: &Team, slug: &str, secrets: &[&str]) {
    let towerfile =
        format!("[app]\nname = \"{slug}\"\nscript = \"main.py\"\n[app.secrets]\nnames = {secrets:?}\n");
    let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip();
    team.upload(slug, Some(&archive), &[]).expect(201);
}

/// A run that has failed because its secrets could not be had, and what it says.
fn withheld(team: &Team, run: i64) -> String {
    let run = team.read(run);
    assert_eq!(run["status"], "failed", "{run}");
    assert_eq!(run.get("started_at"), None, "{run}");
    let attempts = team.get(&format!("/runs/{}/attempts", run["run_id"])).send().expect_json(200);
    assert_eq!(attempts["attempts"][0]["reason"], "setup", "{attempts}");
    let says = shape::text(&run, "error_message");
    assert!(!says.contains("hunter2"), "{says}");
    says
}

#[test]
fn a_secret_is_set_listed_and_deleted_and_its_value_is_never_shown() {
    let server = Server::start();
    let team = server.bootstrap();
    assert_eq!(names(&team, "production"), Vec::<String>::new(), "an environment that there is not");
    for (name, value) in [("WAREHOUSE_PASSWORD", VALUE), ("API_KEY", "another"), ("API_KEY", "a newer one")] {
        let answer = set(&team, "production", name, value).expect(204);
        assert!(answer.body.is_empty(), "{answer:?}");
    }
    assert_eq!(names(&team, "production"), ["API_KEY", "WAREHOUSE_PASSWORD"]);
    let page = team.get("/environments/production/secrets?after=API_KEY&limit=1").send().expect_json(200);
    assert_eq!(page["secrets"][0]["name"], "WAREHOUSE_PASSWORD");
    let environments = team.get("/environments").send().expect_json(200);
    assert!(environments.to_string().contains("\"production\""), "{environments}");
    team.delete("/environments/production/secrets/API_KEY").send().expect(204);
    let says = team.delete("/environments/production/secrets/API_KEY").send().expect_error(404, "not_found");
    assert!(says.contains("no secret API_KEY in the environment production"), "{says}");
    team.delete("/environments/nowhere/secrets/API_KEY").send().expect_error(404, "not_found");
    assert_eq!(names(&team, "production"), ["WAREHOUSE_PASSWORD"]);
    team.get("/environments/production/secrets/WAREHOUSE_PASSWORD")
        .send()
        .expect_error(405, "method_not_allowed");
}

#[test]
fn names_and_values_follow_their_rules() {
    let server = Server::start();
    let team = server.bootstrap();
    let long = "A".repeat(128);
    for name in ["A", "_", "a9", "GIT_SSH_COMMAND", long.as_str()] {
        set(&team, "default", name, VALUE).expect(204);
    }
    for name in ["9A", "A-B", "A.B", "%C3%A4", "A%0A", &"A".repeat(129)] {
        let says = set(&team, "default", name, VALUE).expect_error(400, "invalid_request");
        assert!(says.contains("is not a valid name of a secret") && !says.contains(VALUE), "{says}");
    }
    for name in ["PATH", "HOME", "LD_PRELOAD", "PYTHONPATH", "MINITOWER_API_TOKEN"] {
        let says = set(&team, "default", name, VALUE).expect_error(400, "invalid_request");
        assert!(says.contains(name) && says.contains("give the secret another name"), "{says}");
    }
    set(&team, "Default", "A", VALUE).expect_error(400, "invalid_request");
    let longest = "x".repeat(32 << 10);
    for value in ["four", "größe", "a\nb\nc", longest.as_str()] {
        set(&team, "default", "A", value).expect(204);
    }
    let too_long = "x".repeat((32 << 10) + 1);
    for (value, problem) in [
        ("", "missing or empty"),
        ("abc", "shorter than 4 bytes"),
        ("nul\0nul", "NUL"),
        (too_long.as_str(), "longer than 32768 bytes"),
    ] {
        let says = set(&team, "default", "A", value).expect_error(400, "invalid_request");
        assert!(says.starts_with("value ") && says.contains(problem) && says.len() < 300, "{says}");
    }
    let put = |body: Value| {
        team.request("PUT", "/environments/default/secrets/A")
            .json(body)
            .send()
            .expect_error(400, "invalid_request")
    };
    assert!(put(json!({"value": VALUE, "colour": "red"})).contains("colour"));
    assert!(!put(json!({"value": ["hunter2"]})).contains("hunter2"));
    put(json!({}));
    put(json!({"value": null}));
}

#[test]
fn an_environment_has_a_hundred_secrets() {
    let server = Server::start();
    let team = server.bootstrap();
    for number in 0..100 {
        set(&team, "default", &format!("S{number}"), VALUE).expect(204);
    }
    let says = set(&team, "default", "ONE_MORE", VALUE).expect_error(409, "conflict");
    assert!(says.contains("has 100 secrets, as many as it may have"), "{says}");
    set(&team, "default", "S7", "a new value of an old one").expect(204);
    set(&team, "other", "ONE_MORE", VALUE).expect(204);
}

#[test]
fn a_run_gets_exactly_what_its_version_names_as_it_is_at_the_lease() {
    let server = Server::start();
    let (team, other) = (server.bootstrap(), server.sign_up("other-team"));
    for (environment, value) in [("default", VALUE), ("staging", "of staging")] {
        set(&team, environment, "A", value).expect(204);
        set(&team, environment, "B", "named by nobody").expect(204);
    }
    set(&other, "default", "A", "the other team's").expect(204);
    team.python_app("plain", "print()");
    app(&team, "secretive", &["A"]);
    let runner = Runner::register(&server, "r1");
    let end = |lease: &Lease| lease.complete().expect(200);

    team.run_id("plain");
    let lease = runner.lease_and_start();
    assert_eq!(lease.body.get("secrets"), None, "its version names none: {}", lease.body);
    end(&lease);
    team.run_id("secretive");
    let lease = runner.lease_and_start();
    assert_eq!(lease.body["secrets"], json!({"A": VALUE}));
    lease.result(json!({"status": "failed", "exit_code": 1})).expect(200);

    // Another environment, another value.
    let body = json!({"name": "r2", "environment": "staging"});
    let staging = Runner::register_with(&server, &team.registration_token, body);
    team.run("secretive", json!({"environment": "staging"}));
    assert_eq!(staging.lease().body["secrets"], json!({"A": "of staging"}));

    // A retry gets what is set by then.
    let retry = json!({"retry": {"max_attempts": 2, "backoff_initial_ms": 0}});
    let run = shape::int(&team.run("secretive", retry), "run_id");
    let lease = runner.lease_and_start();
    set(&team, "default", "A", "set anew").expect(204);
    lease.result(json!({"status": "failed", "exit_code": 1})).expect(200);
    let lease = wait::until("the retry is leased", wait::SOON, || {
        let answer = runner.poll();
        (answer.status == 200).then(|| runner.leased(&answer))
    });
    assert_eq!((lease.run, &lease.body["secrets"]), (run, &json!({"A": "set anew"})));
    // What the run's team reads has no trace of it.
    let read = format!("{}{}", team.read(run), team.get("/apps/secretive/versions").send().expect_json(200));
    assert!(!read.contains("set anew"), "{read}");
}

#[test]
fn a_run_whose_secret_is_missing_fails_and_the_runner_gets_the_next_one() {
    let server = Server::start();
    let team = server.bootstrap();
    app(&team, "secretive", &["A", "B"]);
    team.python_app("plain", "print()");
    set(&team, "default", "A", VALUE).expect(204);
    let (first, second, third) = (team.run_id("secretive"), team.run_id("secretive"), team.run_id("plain"));
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    assert_eq!(lease.run, third);
    for run in [first, second] {
        let says = withheld(&team, run);
        assert!(
            says.contains("the secret B") && says.contains("minitower secrets set B --environment default"),
            "{says}"
        );
    }
    lease.complete().expect(200);
    // With a retry, it may be set meanwhile.
    let retry = json!({"retry": {"max_attempts": 2, "backoff_initial_ms": 0}});
    let run = shape::int(&team.run("secretive", retry), "run_id");
    set(&team, "default", "B", "set in time").expect(204);
    assert_eq!(runner.lease().run, run);
}

#[test]
fn a_repeated_poll_gets_the_secrets_again_or_the_run_fails() {
    let server = Server::start();
    let team = server.bootstrap();
    app(&team, "secretive", &["A"]);
    set(&team, "default", "A", VALUE).expect(204);
    let run = team.run_id("secretive");
    let runner = Runner::register(&server, "r1");
    let body = json!({"request_id": "p1", "instance_id": "i1", "start": true});
    for _ in 0..2 {
        let answer = runner.poll_with(0, body.clone()).expect_json(200);
        assert_eq!((shape::int(&answer, "run_id"), &answer["secrets"]), (run, &json!({"A": VALUE})));
    }
    team.delete("/environments/default/secrets/A").send().expect(204);
    runner.poll_with(0, body).expect(204);
    let ended = team.read(run);
    assert_eq!(ended["status"], "failed", "{ended}");
    assert!(shape::text(&ended, "error_message").contains("the secret A"), "{ended}");
}

#[test]
fn what_cannot_be_decrypted_fails_the_run_without_a_value() {
    let server = Server::start();
    let (team, other) = (server.bootstrap(), server.sign_up("other-team"));
    app(&team, "secretive", &["A"]);
    app(&other, "secretive", &["A"]);
    set(&team, "default", "A", VALUE).expect(204);
    set(&other, "default", "A", "the other team's").expect(204);
    // The value of one team, put in the place of the other's.
    server.alter(
        "UPDATE team_secrets SET sealed = (SELECT sealed FROM team_secrets WHERE id = 1) WHERE id = 2",
    );
    let (of_team, of_other) = (team.run_id("secretive"), other.run_id("secretive"));
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease();
    assert_eq!((lease.run, &lease.body["secrets"]), (of_team, &json!({"A": VALUE})));
    lease.release().expect(200);
    team.post(&format!("/runs/{of_team}/cancel")).send().expect(200);
    runner.idle();
    let says = withheld(&other, of_other);
    assert!(says.contains("the secret A of the environment default cannot be decrypted"), "{says}");
    set(&other, "default", "A", "set again").expect(204);
    other.run_id("secretive");
    assert_eq!(runner.lease().body["secrets"], json!({"A": "set again"}));
}

#[test]
fn all_secrets_of_a_run_are_bounded_together() {
    let server = Server::start();
    let team = server.bootstrap();
    app(&team, "secretive", &["A", "B", "C"]);
    for name in ["A", "B"] {
        set(&team, "default", name, &"x".repeat(32 << 10)).expect(204);
    }
    set(&team, "default", "C", "more").expect(204);
    let run = team.run_id("secretive");
    let runner = Runner::register(&server, "r1");
    runner.idle();
    assert!(withheld(&team, run).contains("more than 65536 bytes together"));
    version(&team, "secretive", &["A", "B"]);
    team.run_id("secretive");
    assert_eq!(runner.lease().body["secrets"].as_object().unwrap().len(), 2);
}

#[test]
fn values_are_in_no_file_of_the_server_but_encrypted_and_outlive_a_restart() {
    let mut server = Server::start();
    let team = server.bootstrap();
    app(&team, "secretive", &["A"]);
    set(&team, "default", "A", VALUE).expect(204);
    set(&team, "default", "A", "abc").expect(400);
    server.kill();
    server.start_again();
    team.run_id("secretive");
    let runner = Runner::register(&server, "r1");
    assert_eq!(runner.lease_and_start().body["secrets"], json!({"A": VALUE}));
    let key = server.objects().join("secrets.key");
    assert_eq!(mode(&key), 0o600);
    let metrics = server.http().get("/metrics").send().text();
    assert!(!metrics.contains("hunter2"));
    server.terminate();
    let (mut folders, mut files) = (vec![server.folder().to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 4, "database, log, archive, key: {files}");
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_server_with_another_key_or_none_starts_nothing_until_the_key_is_back_or_given_up() {
    let mut server = Server::start();
    let team = server.bootstrap();
    app(&team, "secretive", &["A"]);
    set(&team, "default", "A", VALUE).expect(204);
    let (key, kept) = (server.objects().join("secrets.key"), server.folder().join("kept.key"));
    let minitowerd = |server: &Server, args: &[&str]| {
        let folder = server.folder();
        let env = [("MINITOWER_DB_PATH", server.database()), ("MINITOWER_OBJECTS_DIR", server.objects())]
            .map(|(name, value)| (name.to_owned(), value.display().to_string()));
        let anywhere = [("MINITOWER_LISTEN_ADDR".to_owned(), "127.0.0.1:0".to_owned())];
        let log = folder.join("command.log");
        let mut program = Program::start(SERVER, args, &[env.as_slice(), &anywhere].concat(), folder, &log);
        let ended = program.wait_end(wait::SOON).success();
        let says = program.log();
        std::fs::remove_file(log).unwrap();
        (ended, says)
    };
    let (done, says) = minitowerd(&server, &["secrets", "rotate-key"]);
    assert!(!done && says.contains("in use by another process"), "{says}");
    server.terminate();

    std::fs::rename(&key, &kept).unwrap();
    let (started, says) = minitowerd(&server, &[]);
    assert!(!started && says.contains("secrets.key, is missing: put it back"), "{says}");
    std::fs::write(&key, "qrvM3e7/ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJk=\n").unwrap();
    let (started, says) = minitowerd(&server, &[]);
    assert!(!started && says.contains("does not have the key that this database's secrets"), "{says}");
    std::fs::rename(&kept, &key).unwrap();

    // A rotation, and a copy of the database from before it.
    std::fs::copy(server.database(), server.folder().join("before.db")).unwrap();
    let (done, says) = minitowerd(&server, &["secrets", "rotate-key"]);
    assert!(done && says.contains("has a new key"), "{says}");
    server.start_again();
    team.run_id("secretive");
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    assert_eq!(lease.body["secrets"], json!({"A": VALUE}));
    lease.complete().expect(200);
    server.terminate();

    let (done, says) = minitowerd(&server, &["secrets", "rotate-key", "--drop-old"]);
    assert!(done && says.contains("it holds no former key"), "{says}");
    assert_eq!(
        std::fs::read_to_string(&key).unwrap().lines().filter(|line| !line.starts_with('#')).count(),
        1
    );
    server.start_again();
    assert_eq!(names(&team, "default"), ["A"]);
    server.terminate();

    std::fs::remove_file(&key).unwrap();
    let (done, says) = minitowerd(&server, &["secrets", "discard"]);
    assert!(done && says.contains("deleted 1 secrets"), "{says}");
    server.start_again();
    assert_eq!(names(&team, "default"), Vec::<String>::new());
    set(&team, "default", "A", "with a new key").expect(204);
}
