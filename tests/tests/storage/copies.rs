//! Moving from a folder to a bucket, and back.

use std::path::Path;
use std::process::{Command, Output};

use minitower_tests::artifact::sha256;
use minitower_tests::stores::{Mode, S3, names};
use minitower_tests::{Server, programs};

use super::{bed, long, read};

/// Runs `minitowerd objects copy`.
fn copy(s3: &S3, objects: &Path, to: &str, more: &[(&str, &str)]) -> Output {
    let mut command = Command::new(programs::path(programs::SERVER));
    command.args(["objects", "copy", "--to", to]).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    // Where they are now: the folder, unless `more` says otherwise.
    for (key, value) in s3.env("unused").into_iter().filter(|(key, _)| *key != "MINITOWER_OBJECTS_URL") {
        if key != "MINITOWER_OBJECTS_ENDPOINT" {
            command.env(key, value);
        }
    }
    command.args(["--to-endpoint", &s3.endpoint()]).env("MINITOWER_OBJECTS_DIR", objects);
    command.envs(more.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn objects_move_from_a_folder_to_a_bucket_and_back() {
    let Some(s3) = S3::start() else { return };
    let mut server = Server::start();
    let (team, lease) = bed(&server);
    lease.put_artifact("first", "first").expect(201);
    // The server runs on meanwhile, and a bucket that breaks off costs nothing.
    s3.set(Mode::Refuse);
    let broken = copy(&s3, &server.objects(), "s3://objects/moved", &[]);
    assert!(!broken.status.success() && said(&broken).contains("run the command again"), "{}", said(&broken));
    s3.set(Mode::Pass);
    let output = copy(&s3, &server.objects(), "s3://objects/moved", &[]);
    assert!(output.status.success() && said(&output).contains("copied 2 objects"), "{}", said(&output));
    let long = long();
    lease.put_artifact("long", long.clone()).expect(201);
    server.terminate();
    let output = copy(&s3, &server.objects(), "s3://objects/moved", &[]);
    assert!(said(&output).contains("copied 1 objects"), "{}", said(&output));
    assert!(said(&output).contains("2 were there already"), "{}", said(&output));

    let aside = server.folder().join("aside");
    std::fs::rename(server.objects(), &aside).unwrap();
    for (key, value) in s3.env("moved") {
        server.set(key, &value);
    }
    server.start_again();
    assert_eq!(sha256(&read(&team, lease.run, "long").expect(200).body), sha256(&long));
    lease.call("artifact").expect(200);
    server.terminate();

    // Back, out of the bucket; a damaged object is named and left.
    let back = server.folder().join("back");
    let damaged = s3.folder("moved").join(sha256(b"first"));
    std::fs::write(&damaged, "fxrst").unwrap();
    let from = [
        ("MINITOWER_OBJECTS_URL", "s3://objects/moved".to_owned()),
        ("MINITOWER_OBJECTS_ENDPOINT", s3.endpoint()),
    ];
    let from: Vec<(&str, &str)> = from.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let output = copy(&s3, &server.folder().join("unused"), back.to_str().unwrap(), &from);
    assert!(!output.status.success() && said(&output).contains(&sha256(b"first")), "{}", said(&output));
    assert_eq!(names(&back).len(), 2, "the others are there");
    std::fs::write(&damaged, "first").unwrap();
    let output = copy(&s3, &server.folder().join("unused"), back.to_str().unwrap(), &from);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(names(&back), names(&aside));
}

#[test]
fn a_place_that_makes_no_sense_is_named() {
    let Some(s3) = S3::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (to, rule) in [("ftp://x/y", "s3://BUCKET/PREFIX"), ("s3://b/../c", "plain path")] {
        let output = copy(&s3, folder.path(), to, &[]);
        assert!(!output.status.success() && said(&output).contains(rule), "{}", said(&output));
        assert!(said(&output).contains("--to is "), "{}", said(&output));
    }
}
