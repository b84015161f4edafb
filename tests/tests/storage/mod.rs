//! Objects in a bucket: the whole program against a real S3 server that goes away, falls silent and comes back.

mod authorities;
mod backups;
mod clouds;
mod copies;
mod jobs;

use std::time::{Duration, SystemTime};

use minitower_tests::artifact::sha256;
use minitower_tests::stores::{Mode, S3, names};
use minitower_tests::{Artifact, Lease, Runner, Server, Team, wait};

/// An artifact that goes in parts.
const LONG: usize = 20 << 20;

/// A team with a run that has been started.
fn bed(server: &Server) -> (Team, Lease) {
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let lease = Runner::register(server, "r1").lease_and_start();
    (team, lease)
}

fn long() -> Vec<u8> {
    (0..LONG).map(|n| u8::try_from(n / 7 % 251).unwrap()).collect()
}

fn read(team: &Team, run: i64, path: &str) -> minitower_tests::Response {
    team.get(&format!("/runs/{run}/artifacts/{path}")).send()
}

#[test]
fn archives_and_artifacts_lie_in_the_bucket_and_nowhere_else() {
    let Some(s3) = S3::start() else { return };
    let mut server = s3.server("a/b").start();
    let (team, lease) = bed(&server);
    assert_eq!(s3.objects("a/b").len(), 1, "the archive");
    assert_eq!(lease.call("artifact").expect(200).header("content-type"), Some("application/gzip"));

    let long = long();
    lease.put_artifact("long", long.clone()).expect(201);
    lease.put_artifact("same", long.clone()).expect(201);
    lease.put_artifact("empty", "").expect(201);
    assert_eq!((s3.objects("a/b").len(), s3.half_sent()), (3, 0), "the same bytes are one object");
    assert_eq!(names(&server.objects()), [""; 0], "nothing stays in the folder");

    // They are there after a restart, whole.
    server.terminate();
    server.start_again();
    assert_eq!(sha256(&read(&team, lease.run, "long").expect(200).body), sha256(&long));
    assert_eq!(read(&team, lease.run, "empty").expect(200).body, b"");

    // And go with the last row that names them.
    team.delete(&format!("/runs/{}/artifacts/long", lease.run)).send().expect(204);
    assert_eq!(s3.objects("a/b").len(), 3);
    team.delete(&format!("/runs/{}/artifacts/same", lease.run)).send().expect(204);
    assert_eq!(s3.objects("a/b").len(), 2);
}

#[test]
fn while_the_bucket_is_away_uploads_wait_and_runs_go_on() {
    let Some(s3) = S3::start() else { return };
    let server = s3.server("p").start();
    let (team, lease) = bed(&server);
    s3.set(Mode::Refuse);

    let refused = lease.put_artifact("a", "1");
    assert!(refused.header("retry-after").is_some());
    let message = refused.expect_error(503, "unavailable");
    assert!(message.contains("the object store"), "{message}");
    let archive = lease.call("artifact");
    assert!(archive.header("retry-after").is_some());
    archive.expect_error(503, "unavailable");
    let upload = team.upload("hello", Some(&Artifact::python("print(2)")), &[("entrypoint", "main.py")]);
    upload.expect_error(503, "unavailable");

    // It is told, to those who ask for more than leases.
    let told = server.http().get("/ready").send().expect_error(503, "unavailable");
    assert!(told.contains("the object store"), "{told}");
    server.http().get("/ready?full_is_ready=true").send().expect(200);
    let metrics = server.http().get("/metrics").send().text();
    assert!(metrics.contains("\nminitower_objects_up 0\n"), "{metrics}");

    // Leases, logs and results do not need it, nor do new runs of versions that are there.
    lease.heartbeat().expect(200);
    lease.logs(&[(1, "still here")]).expect(200);
    team.run_id("hello");

    s3.set(Mode::Pass);
    wait::until("the artifact is taken", wait::SOON, || {
        let answer = lease.put_artifact("a", "1");
        (answer.status == 201).then_some(())
    });
    lease.call("artifact").expect(200);
    lease.complete().expect(200);
    server.http().get("/ready").send().expect(200);
    assert!(server.http().get("/metrics").send().text().contains("\nminitower_objects_up 1\n"));
    assert_eq!((s3.objects("p").len(), names(&server.objects()), s3.half_sent()), (2, Vec::new(), 0));
}

#[test]
fn while_the_bucket_is_full_uploads_wait_and_leave_nothing() {
    let Some(s3) = S3::start() else { return };
    let server = s3.server("p").start();
    let (team, lease) = bed(&server);
    let before = s3.objects("p");
    s3.set(Mode::Full);
    for content in [b"short".to_vec(), long()] {
        let refused = lease.put_artifact("a", content);
        assert!(refused.header("retry-after").is_some());
        let message = refused.expect_error(503, "unavailable");
        assert!(message.contains("the object store") && message.contains("507"), "{message}");
    }
    let upload = || team.upload("hello", Some(&Artifact::python("print(2)")), &[("entrypoint", "main.py")]);
    upload().expect_error(503, "unavailable");
    assert_eq!((s3.objects("p"), s3.half_sent(), names(&server.objects())), (before, 0, Vec::new()));
    assert_eq!(
        team.get("/apps/hello/versions").send().expect_json(200)["versions"].as_array().unwrap().len(),
        1
    );
    // What is there can be read, and goes on.
    lease.call("artifact").expect(200);
    lease.heartbeat().expect(200);
    s3.set(Mode::Pass);
    wait::until("the artifact is taken", wait::SOON, || {
        (lease.put_artifact("a", long()).status == 201).then_some(())
    });
    wait::until("the version is taken", wait::SOON, || (upload().status == 201).then_some(()));
    lease.complete().expect(200);
}

#[test]
fn a_server_starts_without_its_bucket_and_takes_uploads_when_it_is_there() {
    let Some(s3) = S3::start() else { return };
    s3.set(Mode::Refuse);
    let mut server = s3.server("p").start();
    let team = server.bootstrap();
    team.app("hello");
    let archive = Artifact::python("print()");
    let upload = || team.upload("hello", Some(&archive), &[("entrypoint", "main.py")]);
    upload().expect_error(503, "unavailable");
    s3.set(Mode::Pass);
    wait::until("the upload is taken", wait::SOON, || (upload().status == 201).then_some(()));
    assert_eq!(s3.objects("p").len(), 1);
    server.terminate();
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing_wherever_it_breaks() {
    let Some(s3) = S3::start() else { return };
    let server = s3.server("p").start();
    let (team, lease) = bed(&server);
    let long = long();
    let before = s3.objects("p");
    // Before the first part, within it, between parts, and within the last one.
    for cut in [1 << 10, 4 << 20, 9 << 20, 18 << 20] {
        let limit = s3.sent() + cut;
        let answer = std::thread::scope(|scope| {
            let put = scope.spawn(|| lease.put_artifact("long", long.clone()));
            wait::until("so much was sent", wait::SOON, || {
                (s3.sent() >= limit || put.is_finished()).then_some(())
            });
            s3.set(Mode::Refuse);
            put.join().unwrap()
        });
        if answer.status != 201 {
            answer.expect_error(503, "unavailable");
        }
        s3.set(Mode::Pass);
        wait::until("the bucket answers", wait::SOON, || {
            (server.http().get("/ready").send().status == 200).then_some(())
        });
        wait::until("nothing is half sent", wait::SOON, || (s3.half_sent() == 0).then_some(()));
        if s3.objects("p") != before {
            // The last answer alone was lost, or all had been sent.
            break;
        }
        wait::until("nothing is left in the folder", wait::SOON, || {
            names(&server.objects()).is_empty().then_some(())
        });
    }
    wait::until("the artifact is taken", wait::SOON, || {
        let answer = lease.put_artifact("long", long.clone());
        matches!(answer.status, 200 | 201).then_some(())
    });
    assert_eq!(sha256(&read(&team, lease.run, "long").expect(200).body), sha256(&long));
    assert_eq!((s3.objects("p").len(), s3.half_sent()), (before.len() + 1, 0));
}

#[test]
fn a_server_killed_while_it_sends_leaves_nothing_half_sent() {
    let Some(s3) = S3::start() else { return };
    let mut server = s3.server("p").start();
    let (team, lease) = bed(&server);
    let long = long();
    let before = s3.objects("p");
    s3.set(Mode::Slow);
    std::thread::scope(|scope| {
        let http = minitower_tests::Http::new(server.port());
        let url = format!("/api/v1/runs/{}/artifacts/long", lease.run);
        let put =
            http.request("PUT", &url).bearer(&lease.runner_token).lease(&lease.token).body(long.clone());
        let sending = scope.spawn(move || put.try_send().is_ok());
        wait::until("a part is on its way", wait::SOON, || (s3.half_sent() > 0).then_some(()));
        server.kill();
        assert!(!sending.join().unwrap(), "the answer was cut off");
    });
    s3.set(Mode::Pass);
    assert!(s3.half_sent() > 0);
    server.start_again();
    wait::until("what was half sent is given up", wait::SOON, || (s3.half_sent() == 0).then_some(()));
    wait::until("nothing is left in the folder", wait::SOON, || {
        names(&server.objects()).is_empty().then_some(())
    });
    assert_eq!(s3.objects("p"), before);
    lease.put_artifact("long", long.clone()).expect(201);
    assert_eq!(sha256(&read(&team, lease.run, "long").expect(200).body), sha256(&long));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the age of a file is told by the wall clock")]
fn what_nothing_names_goes_after_a_while_and_what_is_missing_is_told() {
    let Some(s3) = S3::start() else { return };
    let mut server = s3.server("p").start();
    let (team, lease) = bed(&server);
    lease.put_artifact("kept", "kept").expect(201);
    lease.put_artifact("lost", "lost").expect(201);
    server.terminate();
    // As after crashes between the object and its row, one long ago and one now; and as after a slip of somebody's hand.
    let put = |content: &str, age: Duration| {
        let path = s3.folder("p").join(sha256(content.as_bytes()));
        std::fs::write(&path, content).unwrap();
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
        sha256(content.as_bytes())
    };
    let (old, new) = (put("old", Duration::from_hours(2)), put("new", Duration::ZERO));
    std::fs::write(s3.folder("p").join("somebody-elses"), "x").unwrap();
    std::fs::remove_file(s3.folder("p").join(sha256(b"lost"))).unwrap();
    server.start_again();
    wait::until("the old one is removed", wait::SOON, || (!s3.objects("p").contains(&old)).then_some(()));
    assert!(s3.objects("p").contains(&new), "an upload may still name it");
    assert!(names(&s3.folder("p")).contains(&"somebody-elses".to_owned()));
    let told = || server.http().get("/metrics").send().text().contains("\nminitower_objects_missing 1\n");
    wait::until("the missing one is told", wait::SOON, || told().then_some(()));
    read(&team, lease.run, "lost").expect_error(404, "not_found");
    assert_eq!(read(&team, lease.run, "kept").expect(200).body, b"kept");
}

#[test]
fn a_bucket_is_not_shared_by_two_control_planes() {
    let Some(s3) = S3::start() else { return };
    let server = s3.server("p").start();
    bed(&server);
    let said = s3.server("p").refused();
    assert!(
        said.contains("belong to another control plane") && said.contains("MINITOWER_OBJECTS_URL"),
        "{said}"
    );
    // Beside it is room for as many as there are prefixes.
    s3.server("q").start().bootstrap();
}

#[test]
fn wrong_credentials_are_told_without_them() {
    let Some(s3) = S3::start() else { return };
    let mut server = s3.server("p").env("AWS_SECRET_ACCESS_KEY", "wrong-secret").start();
    let told = server.http().get("/ready").send().expect_error(503, "unavailable");
    assert!(told.contains("denies access") || told.contains("credentials"), "{told}");
    let log = server.program().log();
    assert!(!log.contains("wrong-secret") && !told.contains("minitowertest"), "{log}");
}
