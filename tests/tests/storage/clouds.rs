//! Other clouds, by emulators that speak their protocols.

use minitower_tests::Server;
use minitower_tests::artifact::sha256;
use minitower_tests::stores::{Emulator, azure, google, names};

use super::{bed, long, read};

/// An archive, small and large artifacts, their deletion, and a restart.
fn keeps_objects(store: &Emulator) {
    let server = store.env.iter().fold(Server::builder(), |server, (key, value)| server.env(key, value));
    let mut server = server.start();
    let (team, lease) = bed(&server);
    let long = long();
    lease.put_artifact("long", long.clone()).expect(201);
    lease.put_artifact("short", "short").expect(201);
    lease.put_artifact("empty", "").expect(201);
    assert_eq!(names(&server.objects()), [""; 0], "nothing stays in the folder");
    server.terminate();
    server.start_again();
    assert_eq!(sha256(&read(&team, lease.run, "long").expect(200).body), sha256(&long));
    assert_eq!(read(&team, lease.run, "short").expect(200).body, b"short");
    assert_eq!(read(&team, lease.run, "empty").expect(200).body, b"");
    lease.call("artifact").expect(200);
    team.delete(&format!("/runs/{}/artifacts/short", lease.run)).send().expect(204);
    read(&team, lease.run, "short").expect_error(404, "not_found");
    lease.put_artifact("short", "short").expect(201);
    server.http().get("/ready").send().expect(200);
}

#[test]
fn azure_keeps_objects() {
    let Some(azure) = azure() else { return };
    keeps_objects(&azure);
}

#[test]
fn google_keeps_objects() {
    let Some(google) = google() else { return };
    keeps_objects(&google);
}
