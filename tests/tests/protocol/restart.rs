//! What survives the end of the control plane.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minitower_tests::{shape, wait};
use serde_json::json;

use super::{APP, Bed};

#[test]
fn what_was_acknowledged_survives_a_kill_of_the_server() {
    let mut bed = Bed::start();
    let runner = bed.runner("r1");
    let completed = bed.run();
    let lease = runner.lease_and_start();
    lease.logs(&[(1, "one"), (2, "two")]).expect(200);
    lease.complete().expect(200);
    let queued = bed.run();
    let running = bed.run();
    let started = runner.lease_and_start();
    let cancelled = bed.run();
    bed.team.cancel(cancelled);
    let all = [completed, queued, running, cancelled];
    let before = all.map(|run| bed.team.read(run));

    bed.server.kill();
    bed.server.start_again();

    assert_eq!(all.map(|run| bed.team.read(run)), before);
    assert_eq!(bed.team.stream(completed, "stdout"), ["one", "two"]);
    // The queue gave the older run first.
    assert_eq!(started.run, queued);
    started.heartbeat().expect(200);
    started.complete().expect(200);
    assert_eq!(runner.lease().run, running);
}

#[test]
fn each_acknowledged_run_survives_repeated_kills() {
    let mut bed = Bed::start();
    let mut known = Vec::new();
    for _ in 0..4 {
        known.push(bed.run());
        bed.server.kill();
        bed.server.start_again();
        for run in &known {
            assert_eq!(bed.team.status(*run), "queued");
        }
    }
    let runner = bed.runner("r1");
    for run in known {
        let lease = runner.lease_and_start();
        assert_eq!(lease.run, run);
        lease.complete().expect(200);
    }
}

#[test]
fn an_outage_longer_than_the_lease_costs_no_run() {
    let mut bed = Bed::with_lease_ttl("2s");
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    bed.server.kill();
    wait::pass(Duration::from_millis(2_500));
    bed.server.start_again();
    let beat = lease.heartbeat().expect_json(200);
    assert_eq!(beat["status"], "running");
    lease.complete().expect(200);
    assert_eq!(bed.team.status(run), "completed");
}

#[test]
fn a_runner_that_does_not_come_back_after_the_restart_loses_its_run() {
    let mut bed = Bed::with_lease_ttl("1s");
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 1})), "run_id");
    bed.runner("r1").lease_and_start();
    bed.server.kill();
    bed.server.start_again();
    bed.team.wait_status(run, "queued");
}

#[test]
fn a_terminated_server_exits_with_0_and_starts_where_it_was() {
    let mut bed = Bed::start();
    let run = bed.run();
    bed.server.terminate();
    bed.server.start_again();
    assert_eq!(bed.runner("r1").lease().run, run);
}

#[test]
fn an_upload_cut_off_by_a_kill_leaves_nothing_behind() {
    let mut bed = Bed::start();
    let whole = files(&bed.server.objects());
    assert_eq!(whole.len(), 1, "one file per artifact: {whole:?}");
    let mut stream = TcpStream::connect(("127.0.0.1", bed.server.port())).unwrap();
    let head = format!(
        "POST /api/v1/apps/{APP}/versions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000000\r\n\r\n\
         --b\r\nContent-Disposition: form-data; name=\"artifact\"; filename=\"a.tar.gz\"\r\n\r\n",
        bed.team.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![7; 1_000_000]).unwrap();
    wait::until("the upload reaches the disk", wait::SOON, || {
        (files(&bed.server.objects()).len() > 1).then_some(())
    });
    bed.server.kill();
    bed.server.start_again();
    assert_eq!(files(&bed.server.objects()), whole);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
