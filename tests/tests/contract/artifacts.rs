//! What jobs leave behind: stored by their runner, read by their team.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use minitower_tests::artifact::sha256;
use minitower_tests::http::Request;
use minitower_tests::{Lease, Response, Runner, Server, Team, shape};
use serde_json::{Value, json};

/// A server, its team, and a run that has been started.
fn bed() -> (Server, Team, Lease) {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    (server, team, lease)
}

fn read(team: &Team, run: i64, path: &str) -> Request {
    team.get(&format!("/runs/{run}/artifacts/{path}"))
}

fn list(team: &Team, run: i64) -> Vec<Value> {
    let answer = team.get(&format!("/runs/{run}/artifacts")).send().expect_json(200);
    answer["artifacts"].as_array().unwrap().clone()
}

/// The names of the files in the object store, and whatever else lies there.
fn objects(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_artifact_is_stored_listed_and_read_as_it_was_sent() {
    let (_server, team, lease) = bed();
    assert_eq!(list(&team, lease.run), Vec::<Value>::new());
    let stored = lease.put_artifact("plots/2026/a%20b.png", "not really").expect_json(201);
    shape::fields(&stored, &["path", "bytes", "sha256", "content_type", "created_at"], &[]);
    shape::time(&stored, "created_at");
    assert_eq!((&stored["path"], &stored["bytes"]), (&json!("plots/2026/a b.png"), &json!(10)));
    assert_eq!(
        (&stored["sha256"], &stored["content_type"]),
        (&json!(sha256(b"not really")), &json!("image/png"))
    );
    let empty = lease.put_artifact("empty", "").expect_json(201);
    assert_eq!((&empty["bytes"], &empty["content_type"]), (&json!(0), &json!("application/octet-stream")));
    assert_eq!(list(&team, lease.run), [empty, stored]);

    // Also after the run's end, and for a member.
    lease.complete().expect(200);
    let answer = read(&team.member(), lease.run, "plots/2026/a%20b.png").send().expect(200);
    assert_eq!(answer.body, b"not really");
    assert_eq!(answer.header("content-length"), Some("10"));
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(read(&team, lease.run, "empty").send().expect(200).body, b"");
}

#[test]
fn what_a_job_wrote_is_run_by_no_browser_and_known_by_its_tag() {
    let (_server, team, lease) = bed();
    lease.put_artifact("page.html", "<script>alert(1)</script>").expect(201);
    let answer = read(&team, lease.run, "page.html").send().expect(200);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    let tag = format!("\"{}\"", sha256(b"<script>alert(1)</script>"));
    assert_eq!(answer.header("etag"), Some(&*tag));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));

    let again = read(&team, lease.run, "page.html").header("If-None-Match", &tag).send().expect(304);
    assert!(again.body.is_empty() && again.header("etag") == Some(&*tag));
    read(&team, lease.run, "page.html").header("If-None-Match", "\"another\"").send().expect(200);
}

#[test]
fn a_part_of_an_artifact_is_served_and_only_of_the_content_that_is_meant() {
    let (_server, team, lease) = bed();
    let text = "0123456789".repeat(20_000);
    lease.put_artifact("long.txt", text.clone()).expect(201);
    let ask = |headers: &[(&str, &str)]| {
        let request = read(&team, lease.run, "long.txt");
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send()
    };
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100003-100007", 100_003, 100_007),
        ("bytes=199990-", 199_990, 199_999),
        ("bytes=-7", 199_993, 199_999),
        ("bytes=5-999999999", 5, 199_999),
    ] {
        let part = ask(&[("Range", range)]).expect(206);
        assert_eq!(part.body, text.as_bytes()[first..=last], "{range}");
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {first}-{last}/200000")));
        assert_eq!(part.header("content-length"), Some(&*part.body.len().to_string()));
        assert_eq!(part.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(part.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    }
    for beyond in ["bytes=200000-", "bytes=-0"] {
        let refused = ask(&[("Range", beyond)]);
        assert_eq!(refused.header("content-range"), Some("bytes */200000"));
        assert!(refused.expect_error(416, "range_not_satisfiable").contains("200000"));
    }
    for whole in ["bytes=0-1,5-6", "lines=1-2"] {
        assert_eq!(ask(&[("Range", whole)]).expect(200).body.len(), text.len(), "{whole}");
    }
    for nonsense in ["bytes=9-1", "bytes=x", "10-20"] {
        assert!(ask(&[("Range", nonsense)]).expect_error(400, "invalid_request").contains("Range"));
    }

    let tag = format!("\"{}\"", sha256(text.as_bytes()));
    assert_eq!(ask(&[("Range", "bytes=0-1"), ("If-Range", &tag)]).expect(206).body, b"01");
    ask(&[("Range", "bytes=0-1"), ("If-None-Match", &tag)]).expect(304);
    lease.put_artifact("long.txt", "another").expect(200);
    assert_eq!(ask(&[("Range", "bytes=0-1"), ("If-Range", &tag)]).expect(200).body, b"another");
    lease.put_artifact("empty", "").expect(201);
    read(&team, lease.run, "empty")
        .header("Range", "bytes=0-")
        .send()
        .expect_error(416, "range_not_satisfiable");
}

#[test]
fn the_head_of_an_artifact_says_what_it_is_and_brings_nothing_of_it() {
    let (_server, team, lease) = bed();
    lease.put_artifact("a.csv", "a,b,c").expect(201);
    let path = format!("/runs/{}/artifacts/a.csv", lease.run);
    let head = team.request("HEAD", &path).header("Range", "bytes=0-1").send().expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), (Some("5"), 0));
    assert_eq!(head.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(head.header("etag"), Some(&*format!("\"{}\"", sha256(b"a,b,c"))));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
}

#[test]
fn the_same_content_changes_nothing_and_other_content_replaces_it() {
    let (server, team, lease) = bed();
    let before = objects(&server.objects()).len();
    let first = lease.put_artifact("report.csv", "a,b").expect_json(201);
    assert_eq!(lease.put_artifact("report.csv", "a,b").expect_json(200), first);
    // The same bytes under two paths are one file.
    lease.put_artifact("copy.csv", "a,b").expect(201);
    assert_eq!(objects(&server.objects()).len(), before + 1);

    let other = lease.put_artifact("report.csv", "a,b,c").expect_json(200);
    assert_eq!(other["sha256"], sha256(b"a,b,c"));
    assert_eq!(read(&team, lease.run, "report.csv").send().expect(200).body, b"a,b,c");
    assert_eq!(read(&team, lease.run, "copy.csv").send().expect(200).body, b"a,b");
    assert_eq!(objects(&server.objects()).len(), before + 2);
    // The last path that had the former content goes, and the content with it.
    lease.put_artifact("copy.csv", "a,b,c").expect(200);
    assert_eq!(objects(&server.objects()).len(), before + 1);
}

#[test]
fn a_later_attempt_adds_to_what_the_former_left() {
    let (server, team, lease) = bed();
    lease.put_artifact("both", "first").expect(201);
    lease.put_artifact("first", "").expect(201);
    lease.release().expect(200);
    let again = Runner::register(&server, "r2").lease_and_start();
    assert_eq!(again.run, lease.run);
    again.put_artifact("both", "second").expect(200);
    lease.put_artifact("both", "late").expect_error(410, "gone");
    let paths: Vec<_> = list(&team, lease.run).iter().map(|artifact| shape::text(artifact, "path")).collect();
    assert_eq!(paths, ["both", "first"]);
    assert_eq!(read(&team, lease.run, "both").send().expect(200).body, b"second");
}

#[test]
fn a_path_that_is_not_normal_is_refused_by_its_rule() {
    let (server, _team, lease) = bed();
    let before = objects(&server.objects());
    let long = "a".repeat(1025);
    for (path, word) in [
        ("%2Fetc/passwd", "relative"),
        ("a/%2E%2E/b", "normal path"),
        ("%2E%2E%2Fb", "normal path"),
        ("%2E/a", "normal path"),
        ("a//b", "normal path"),
        ("a/", "normal path"),
        ("a%0Ab", "control character"),
        ("a%00b", "control character"),
        (&long, "1024 bytes"),
    ] {
        let message = lease.put_artifact(path, "x").expect_error(400, "invalid_request");
        assert!(message.contains(word), "{path}: {message}");
    }
    lease.put_artifact("%FF", "x").expect_error(400, "invalid_request");
    lease.put_artifact(&"a".repeat(1024), "x").expect(201);
    assert_eq!(objects(&server.objects()).len(), before.len() + 1);
}

#[test]
fn without_a_valid_lease_nothing_is_stored() {
    let (server, team, lease) = bed();
    let before = objects(&server.objects());
    let put = |runner: &str, lease_token: Option<&str>| -> Response {
        let request = server.http().request("PUT", &format!("/api/v1/runs/{}/artifacts/x", lease.run));
        let request = request.bearer(runner).body("x");
        lease_token.map_or_else(|| request.clone().send(), |token| request.clone().lease(token).send())
    };
    put(&lease.runner_token, None).expect_error(400, "invalid_request");
    put(&lease.runner_token, Some("mtl_no")).expect_error(410, "gone");
    put(&Runner::register(&server, "r2").token, Some(&lease.token)).expect_error(410, "gone");
    put(&team.token, Some(&lease.token)).expect_error(401, "unauthorized");
    lease.complete().expect(200);
    put(&lease.runner_token, Some(&lease.token)).expect_error(410, "gone");
    assert_eq!(objects(&server.objects()), before);
}

#[test]
fn a_file_that_says_it_is_too_long_is_refused_before_it_comes() {
    let (server, team, lease) = bed();
    let before = objects(&server.objects());
    // Announced, and never sent.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let head = format!(
        "PUT /api/v1/runs/{}/artifacts/big HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         X-Lease-Token: {}\r\nContent-Length: {}\r\n\r\n",
        lease.run,
        lease.runner_token,
        lease.token,
        (100 << 20) + 1
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("payload_too_large") && answer.contains("104857600"), "{answer}");
    assert_eq!(objects(&server.objects()), before);
    assert_eq!(list(&team, lease.run), Vec::<Value>::new());
}

#[test]
fn a_run_leaves_a_thousand_files_and_no_more() {
    let (server, team, lease) = bed();
    lease.put_artifact("first", "x").expect(201);
    server.alter(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO run_artifacts SELECT run_id, 'n' || i, sha256, bytes, created_at FROM run_artifacts, n",
    );
    let message = lease.put_artifact("one-too-many", "x").expect_error(409, "conflict");
    assert!(message.contains("1000 artifacts"), "{message}");
    lease.put_artifact("n7", "another").expect(200);
    assert_eq!(list(&team, lease.run).len(), 1000);
    let page = team.get(&format!("/runs/{}/artifacts?limit=2&after=n998", lease.run)).send().expect_json(200);
    assert_eq!(page["artifacts"].as_array().unwrap().len(), 1);
    for query in ["limit=0", "limit=1001", "limit=x"] {
        let answer = team.get(&format!("/runs/{}/artifacts?{query}", lease.run)).send();
        answer.expect_error(400, "invalid_request");
    }
}

#[test]
fn a_run_leaves_a_gibibyte_and_no_more() {
    let (server, _team, lease) = bed();
    lease.put_artifact("large", "x").expect(201);
    server.alter("UPDATE run_artifacts SET bytes = (1 << 30) - 4");
    lease.put_artifact("four", "1234").expect(201);
    let message = lease.put_artifact("five", "1").expect_error(409, "conflict");
    assert!(message.contains("1073741824 bytes"), "{message}");
    // What is replaced makes room.
    lease.put_artifact("large", "small").expect(200);
    lease.put_artifact("five", "1").expect(201);
}

#[test]
fn an_admin_deletes_an_artifact_and_its_content_goes_with_the_last_that_has_it() {
    let (server, team, lease) = bed();
    let before = objects(&server.objects());
    for path in ["a", "b/c"] {
        lease.put_artifact(path, "same").expect(201);
    }
    let path = |path: &str| format!("/runs/{}/artifacts/{path}", lease.run);
    team.member().delete(&path("a")).send().expect_error(403, "forbidden");
    team.delete(&path("a")).send().expect(204);
    team.delete(&path("a")).send().expect_error(404, "not_found");
    read(&team, lease.run, "a").send().expect_error(404, "not_found");
    assert_eq!(read(&team, lease.run, "b/c").send().expect(200).body, b"same");
    team.delete(&path("b/c")).send().expect(204);
    assert_eq!(objects(&server.objects()), before);
}

#[test]
fn another_teams_artifacts_are_not_there() {
    let (server, _team, lease) = bed();
    lease.put_artifact("a", "x").expect(201);
    let other = server.sign_up("other-team");
    other.get(&format!("/runs/{}/artifacts", lease.run)).send().expect_error(404, "not_found");
    read(&other, lease.run, "a").send().expect_error(404, "not_found");
    other.delete(&format!("/runs/{}/artifacts/a", lease.run)).send().expect_error(404, "not_found");
}

#[test]
fn a_restart_keeps_what_is_named_and_removes_what_is_not() {
    let (mut server, team, lease) = bed();
    lease.put_artifact("kept", "kept").expect(201);
    let before = objects(&server.objects());
    server.terminate();
    std::fs::write(server.objects().join("0".repeat(64)), "left by a crash").unwrap();
    server.start_again();
    assert_eq!(objects(&server.objects()), before);
    assert_eq!(read(&team, lease.run, "kept").send().expect(200).body, b"kept");
}

#[test]
fn a_file_that_is_gone_from_the_store_is_told_with_the_way_out() {
    let (server, team, lease) = bed();
    lease.put_artifact("a", "content").expect(201);
    let file = server.objects().join(sha256(b"content"));
    std::fs::write(&file, "short").unwrap();
    let message = read(&team, lease.run, "a").send().expect_error(404, "not_found");
    assert!(message.contains("damaged"), "{message}");
    std::fs::remove_file(&file).unwrap();
    let message = read(&team, lease.run, "a").send().expect_error(404, "not_found");
    assert!(message.contains("missing from the object store"), "{message}");
    // The same content again mends it.
    lease.put_artifact("a", "content").expect(200);
    assert_eq!(read(&team, lease.run, "a").send().expect(200).body, b"content");
}
