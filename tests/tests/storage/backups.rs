//! Backups: made while the server works, and restored where nothing is left.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use minitower_tests::artifact::sha256;
use minitower_tests::job::RUNNER_NAME;
use minitower_tests::stores::{self, Mode, S3, names};
use minitower_tests::{Artifact, Program, Runner, Server, Team, programs, shape, wait};
use serde_json::{Value, json};

use super::read;

/// What the archive's program prints when it has its secret.
const CODE: &str = "import os\nprint('of', len(os.environ['PASSWORD']), 'letters')\n";

/// A command about the data of a server, with further variables.
fn command(server: &Server, env: &[(&'static str, String)], args: &[&str]) -> Command {
    let mut command = Command::new(programs::path(programs::SERVER));
    command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("MINITOWER_DB_PATH", server.database()).env("MINITOWER_OBJECTS_DIR", server.objects());
    command.env("TMPDIR", server.folder());
    command.envs(env.iter().map(|(key, value)| (key, value)));
    command
}

fn run(server: &Server, env: &[(&'static str, String)], args: &[&str]) -> Output {
    command(server, env, args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The one line of JSON of a command that succeeds.
fn answered(server: &Server, env: &[(&'static str, String)], args: &[&str]) -> Value {
    let output = run(server, env, args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn listed(server: &Server, env: &[(&'static str, String)], place: &str) -> Vec<String> {
    let list = answered(server, env, &["backup", "list", "--from", place, "--json"]);
    list["backups"].as_array().unwrap().iter().map(|backup| shape::text(backup, "name")).collect()
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.http().get("/metrics").send().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// An app whose runs get a secret.
fn app_with_secret(team: &Team) {
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.py\"\n[app.secrets]\nnames = [\"PASSWORD\"]\n";
    team.app("hello");
    let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", CODE).gzip();
    team.upload("hello", Some(&archive), &[]).expect(201);
    let path = "/environments/default/secrets/PASSWORD";
    team.request("PUT", path).json(json!({"value": "0123456789"})).send().expect(204);
}

/// A real runner, until it is dropped.
fn real_runner(server: &Server, team: &Team) -> Program {
    let env = [
        ("MINITOWER_SERVER_URL", server.http().base().to_owned()),
        ("MINITOWER_RUNNER_NAME", RUNNER_NAME.to_owned()),
        ("MINITOWER_REGISTRATION_TOKEN", team.registration_token.clone()),
        ("MINITOWER_DATA_DIR", server.folder().join("runner").display().to_string()),
        ("MINITOWER_POLL_INTERVAL", "200ms".to_owned()),
        ("MINITOWER_UV", "off".to_owned()),
    ];
    let env: Vec<_> = env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Program::start(programs::RUNNER, &[], &env, server.folder(), &server.folder().join("logs/runner.log"))
}

/// Removes the database and the objects, but keeps the key file of the secrets, which is returned.
fn lose_everything(server: &Server) -> Vec<u8> {
    let key = std::fs::read(server.objects().join("secrets.key")).unwrap();
    std::fs::remove_dir_all(server.objects()).unwrap();
    for name in names(server.folder()).iter().filter(|name| name.starts_with("minitower.db")) {
        std::fs::remove_file(server.folder().join(name)).unwrap();
    }
    key
}

/// The whole story: a backup of a server under load, more work, the end of the machine, and a restore.
fn drill(mut server: Server, place: &str, env: &[(&'static str, String)]) {
    let team = server.bootstrap();
    app_with_secret(&team);
    let runner = Runner::register(&server, "r1");
    let ended = team.run_id("hello");
    let lease = runner.lease_and_start();
    lease.logs(&[(1, "said before")]).expect(200);
    lease.put_artifact("report", "of the run").expect(201);
    lease.complete().expect(200);
    let held = team.run_id("hello");
    let lease = runner.lease_and_start();
    let waiting = team.run_id("hello");

    let stop = Arc::new(AtomicBool::new(false));
    let (other, stopped) = (team.clone(), Arc::clone(&stop));
    let load = std::thread::spawn(move || {
        let mut made = 0;
        while !stopped.load(Ordering::SeqCst) {
            other.run("hello", json!({"environment": "elsewhere"}));
            made += 1;
        }
        made
    });
    let made = answered(&server, env, &["backup", "--to", place, "--json"]);
    stop.store(true, Ordering::SeqCst);
    assert!(load.join().unwrap() > 0);
    assert_eq!(
        (&made["objects"], &made["copied"], &made["objects_missing"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert_eq!(made["secrets_key"], "apart");
    // What comes after the backup is lost with the machine.
    lease.complete().expect(200);
    let later = team.run_id("hello");
    server.kill();
    let key = lose_everything(&server);

    let whole = answered(&server, env, &["verify", "--from", place, "--json"]);
    assert_eq!((&whole["whole"], &whole["objects"]), (&json!(true), &json!(2)));
    let output = run(&server, env, &["restore", "--from", place]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("put the copy of the key file there"), "{}", said(&output));
    let again = run(&server, env, &["restore", "--from", place]);
    assert!(
        !again.status.success() && said(&again).contains("there is a database already"),
        "{}",
        said(&again)
    );
    std::fs::write(server.objects().join("secrets.key"), key).unwrap();
    server.forget();
    server.start_again();

    // The runs are as they were, and what hangs on them is there.
    assert_eq!(team.status(ended), "completed");
    assert_eq!(team.stream(ended, "stdout"), ["said before"]);
    assert_eq!(read(&team, ended, "report").expect(200).body, b"of the run");
    assert_eq!(team.status(held), "running", "what ended after the backup has not");
    // Its runner goes on, and hears that its lease is void.
    lease.heartbeat().expect(410);
    lease.complete().expect(410);
    let next = team.run_id("hello");
    assert!(next > later + 500_000, "ids moved on: {later}, {next}");
    // A real runner does what waits, and what was lost with its lease has no retry.
    let mut real = real_runner(&server, &team);
    assert_eq!(team.wait_end(waiting)["status"], "completed", "{}", team.log_text(waiting));
    assert_eq!(team.stream(waiting, "stdout"), ["of 10 letters"], "the archive and the secret are there");
    assert_eq!(team.wait_end(next)["status"], "completed");
    assert_eq!(team.wait_end(held)["status"], "dead");
    real.terminate(wait::SOON);
    server.terminate();
}

fn with_short_leases() -> minitower_tests::server::Builder {
    Server::builder().env("MINITOWER_LEASE_TTL", "2s").env("MINITOWER_EXPIRY_CHECK_INTERVAL", "200ms")
}

#[test]
fn a_server_under_load_is_backed_up_and_restored_where_nothing_is_left() {
    let server = with_short_leases().start();
    let place = server.folder().join("to").display().to_string();
    drill(server, &place, &[]);
}

#[test]
fn the_same_with_objects_in_a_bucket_and_the_backup_in_another_place_of_it() {
    let Some(s3) = S3::start() else { return };
    let live = s3.env("live");
    let server = live.iter().fold(with_short_leases(), |server, (key, value)| server.env(key, value)).start();
    drill(server, "s3://objects/backups/of-acme", &live);
    assert_eq!(s3.half_sent(), 0);
}

#[test]
fn a_bucket_that_goes_away_leaves_no_backup_that_looks_whole() {
    let Some(s3) = S3::start() else { return };
    let mut server = Server::start();
    let (_, lease) = super::bed(&server);
    // Everything but where the objects lie: these are in the folder.
    let mut env = s3.env("unused").to_vec();
    env.retain(|(key, _)| *key != "MINITOWER_OBJECTS_URL");
    for (key, value) in &mut env {
        if *key == "MINITOWER_OBJECTS_ENDPOINT" {
            (*key, *value) = ("MINITOWER_BACKUP_ENDPOINT", s3.endpoint());
        }
    }
    let place = "s3://objects/b";
    for n in 0..4 {
        lease.put_artifact(&format!("long-{n}"), vec![n; 9 << 20]).expect(201);
    }
    let before = s3.sent();
    s3.set(Mode::Slow);
    let mut broken =
        command(&server, &env, &["backup", "--to", place]).stderr(Stdio::piped()).spawn().unwrap();
    wait::until("something is sent", wait::SOON, || (s3.sent() > before + (1 << 20)).then_some(()));
    s3.set(Mode::Refuse);
    assert!(!broken.wait().unwrap().success());
    s3.set(Mode::Pass);
    assert_eq!(listed(&server, &env, place), [""; 0]);
    let nothing = run(&server, &env, &["verify", "--from", place]);
    assert!(said(&nothing).contains("there is no whole backup in s3://objects/b"), "{}", said(&nothing));
    let made = answered(&server, &env, &["backup", "--to", place, "--json"]);
    assert_eq!(made["objects"], 5);
    // The next one copies what is new, and the first goes with what only it names.
    lease.put_artifact("new", "new").expect(201);
    let next = answered(&server, &env, &["backup", "--to", place, "--keep", "1", "--json"]);
    assert_eq!((&next["copied"], &next["removed"]), (&json!(1), &json!(1)));
    assert_eq!(listed(&server, &env, place), [shape::text(&next, "name")]);
    answered(&server, &env, &["verify", "--from", place, "--json"]);
    // Damage is told, with an exit code of its own.
    let object = s3.folder("b/objects").join(&s3.objects("b/objects")[0]);
    std::fs::write(object, "other").unwrap();
    let damaged = run(&server, &env, &["verify", "--from", place]);
    assert_eq!(damaged.status.code(), Some(3), "{}", said(&damaged));
    server.terminate();
}

#[test]
fn a_backup_that_is_killed_is_never_listed_as_whole_and_the_next_one_cleans_up() {
    let mut server = Server::start();
    let (team, lease) = super::bed(&server);
    let to = server.folder().join("to");
    let place = to.display().to_string();
    for n in 0..16_u8 {
        lease.put_artifact(&format!("a{n}"), vec![n; 4 << 20]).expect(201);
        team.run_id("hello");
        let mut killed =
            command(&server, &[], &["backup", "--to", &place]).stdout(Stdio::null()).spawn().unwrap();
        wait::pass(Duration::from_millis(u64::from(n) * 9));
        let _ = (killed.kill(), killed.wait());
        let whole = listed(&server, &[], &place);
        if let Some(newest) = whole.last() {
            let at = format!("{place}@{newest}");
            assert_eq!(answered(&server, &[], &["verify", "--from", &at, "--json"])["whole"], true);
        }
    }
    let before = listed(&server, &[], &place).len();
    let made = answered(&server, &[], &["backup", "--to", &place, "--json"]);
    assert_eq!(made["objects"], 17);
    let whole = listed(&server, &[], &place);
    assert_eq!(whole.len(), before + 1);
    // What the killed ones left is gone: here, and in the place.
    assert_eq!(names(&server.objects().join("backup")), ["lock"]);
    let mut expected = whole;
    expected.extend(["objects".to_owned(), "owner".to_owned()]);
    assert_eq!(names(&to), expected);
    assert_eq!(names(&to.join("objects")).len(), 17, "no upload is left");
    server.terminate();
}

#[test]
fn keys_are_in_a_backup_only_when_they_are_asked_for() {
    let mut server = Server::start();
    let team = server.bootstrap();
    app_with_secret(&team);
    let place = server.folder().join("to").display().to_string();
    let output = run(&server, &[], &["backup", "--to", &place]);
    assert!(said(&output).contains("secrets.key in another place"), "{}", said(&output));
    let apart = listed(&server, &[], &place).remove(0);
    assert!(!Path::new(&place).join(&apart).join("secrets.key").exists());
    let output = run(&server, &[], &["backup", "--to", &place, "--with-secrets-key"]);
    assert!(said(&output).contains("can read every secret"), "{}", said(&output));
    server.kill();
    let key = lose_everything(&server);
    // Another key file would be overwritten.
    std::fs::create_dir(server.objects()).unwrap();
    std::fs::write(server.objects().join("secrets.key"), "another").unwrap();
    let refused = run(&server, &[], &["restore", "--from", &place]);
    assert!(!refused.status.success() && said(&refused).contains("has other keys"), "{}", said(&refused));
    assert!(!server.database().exists());
    std::fs::remove_file(server.objects().join("secrets.key")).unwrap();
    let output = run(&server, &[], &["restore", "--from", &place]);
    assert!(said(&output).contains("The keys of the secrets were in the backup"), "{}", said(&output));
    assert_eq!(std::fs::read(server.objects().join("secrets.key")).unwrap(), key);
    server.forget();
    server.start_again();
    team.run_id("hello");
    Runner::register(&server, "r1").lease_and_start();
    server.terminate();
}

#[test]
fn the_server_backs_itself_up_and_tells_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("to");
    std::fs::write(&to, "not a folder").unwrap();
    let mut server = Server::builder()
        .env("MINITOWER_BACKUP_TO", to.to_str().unwrap())
        .env("MINITOWER_BACKUP_EVERY", "1h")
        .start();
    let (team, _lease) = super::bed(&server);
    wait::until("the failure is counted", wait::SOON, || {
        (metric(&server, "minitower_backup_failures_total") > 0.0).then_some(())
    });
    assert!(metric(&server, "minitower_backup_last_success_timestamp_seconds") < 1.0);
    assert!((metric(&server, "minitower_backup_interval_seconds") - 3600.0).abs() < 1.0);
    server.http().get("/ready").send().expect(200);
    server.terminate();
    std::fs::remove_file(&to).unwrap();
    let place = to.display().to_string();
    for start in 0..2 {
        server.start_again();
        wait::until("there is a backup", wait::SOON, || {
            (metric(&server, "minitower_backup_last_success_timestamp_seconds") > 1.0).then_some(())
        });
        let whole = listed(&server, &[], &place);
        assert_eq!(whole.len(), 1, "start {start}: one that is young enough is not made again");
        assert_eq!(answered(&server, &[], &["verify", "--from", &place, "--json"])["objects"], 1);
        team.run_id("hello");
        server.terminate();
    }
}

#[test]
fn wrong_settings_of_backups_are_refused_by_name() {
    for (key, value, says) in [
        ("MINITOWER_BACKUP_EVERY", "1h", "MINITOWER_BACKUP_TO is not set"),
        ("MINITOWER_BACKUP_KEEP", "3", "MINITOWER_BACKUP_TO is not set"),
        ("MINITOWER_BACKUP_TO", "ftp://host/path", "MINITOWER_BACKUP_TO is \"ftp://host/path\""),
    ] {
        let said = Server::builder().env(key, value).refused();
        assert!(said.contains(says), "{key}={value}: {said}");
    }
}

#[test]
fn a_backup_lies_in_azure_too() {
    let Some(azure) = stores::azure() else { return };
    let mut server = Server::start();
    let (team, lease) = super::bed(&server);
    lease.put_artifact("long", super::long()).expect(201);
    // Everything but where the objects lie: these are in the folder.
    let mut env = azure.env.clone();
    env.retain(|(key, _)| *key != "MINITOWER_OBJECTS_URL");
    for (key, _) in &mut env {
        if *key == "MINITOWER_OBJECTS_ENDPOINT" {
            *key = "MINITOWER_BACKUP_ENDPOINT";
        }
    }
    let place = "az://objects/backups";
    let first = answered(&server, &env, &["backup", "--to", place, "--json"]);
    lease.put_artifact("new", "new").expect(201);
    let next = answered(&server, &env, &["backup", "--to", place, "--keep", "1", "--json"]);
    assert_eq!((&first["copied"], &next["copied"], &next["removed"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(listed(&server, &env, place), [shape::text(&next, "name")]);
    assert_eq!(answered(&server, &env, &["verify", "--from", place, "--json"])["objects"], 3);
    server.kill();
    std::fs::remove_dir_all(server.objects()).unwrap();
    for name in names(server.folder()).iter().filter(|name| name.starts_with("minitower.db")) {
        std::fs::remove_file(server.folder().join(name)).unwrap();
    }
    let output = run(&server, &env, &["restore", "--from", place]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        !names(server.folder()).iter().any(|name| name.ends_with(".fetching")),
        "nothing is left beside it"
    );
    server.forget();
    server.start_again();
    assert_eq!(read(&team, lease.run, "long").expect(200).body, super::long());
    server.terminate();
}

#[test]
fn a_backup_that_lacks_objects_is_restored_only_when_somebody_says_so() {
    let mut server = Server::start();
    let (team, lease) = super::bed(&server);
    lease.put_artifact("lost", "lost").expect(201);
    lease.put_artifact("kept", "kept").expect(201);
    let place = server.folder().join("to");
    let from = place.display().to_string();
    answered(&server, &[], &["backup", "--to", &from, "--json"]);
    std::fs::remove_file(place.join("objects").join(sha256(b"lost"))).unwrap();
    server.kill();
    for name in names(server.folder()).iter().filter(|name| name.starts_with("minitower.db")) {
        std::fs::remove_file(server.folder().join(name)).unwrap();
    }
    std::fs::remove_dir_all(server.objects()).unwrap();
    let refused = run(&server, &[], &["restore", "--from", &from]);
    assert!(
        !refused.status.success() && said(&refused).contains("lacks 1 of its objects"),
        "{}",
        said(&refused)
    );
    assert!(said(&refused).contains(&sha256(b"lost")) && !server.database().exists(), "{}", said(&refused));
    // What came with the first try is there already.
    let output = run(&server, &[], &["restore", "--from", &from, "--allow-missing"]);
    assert!(output.status.success() && said(&output).contains("Lost: 1 object."), "{}", said(&output));
    assert!(said(&output).contains("0 objects copied (0 B), 2 there already"), "{}", said(&output));
    server.forget();
    server.start_again();
    assert_eq!(read(&team, lease.run, "kept").expect(200).body, b"kept");
    read(&team, lease.run, "lost").expect_error(404, "not_found");
    // The next backup says what is lost, and is whole without it.
    let made = answered(&server, &[], &["backup", "--to", &from, "--json"]);
    assert_eq!((&made["objects"], &made["objects_missing"]), (&json!(2), &json!(1)));
    assert_eq!(answered(&server, &[], &["verify", "--from", &from, "--json"])["whole"], true);
    server.terminate();
}
