//! The API token of an attempt: it starts and reads the team's runs, and dies with the attempt.

use minitower_tests::{Artifact, Lease, Runner, Server, Team, shape};
use serde_json::{Value, json};

fn bed() -> (Server, Team) {
    with(Server::start())
}

fn with(server: Server) -> (Server, Team) {
    let team = server.bootstrap();
    team.app("hello");
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.py\"\napi = true\n";
    let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip();
    team.upload("hello", Some(&archive), &[]).expect(201);
    (server, team)
}

/// A lease, and the team seen through its token.
fn begin(server: &Server, team: &Team, runner: &str) -> (Lease, Team) {
    team.run_id("hello");
    let lease = Runner::register(server, runner).lease_and_start();
    let job = job(team, &lease.body);
    (lease, job)
}

fn job(team: &Team, lease: &Value) -> Team {
    let token = shape::text(lease, "api_token");
    assert!(token.starts_with("mta_"), "{token}");
    let mut job = team.clone();
    job.token = token;
    job
}

#[test]
fn a_job_starts_runs_of_its_team_and_reads_them() {
    let (server, team) = bed();
    let (lease, job) = begin(&server, &team, "r1");
    lease.put_artifact("left", "x").expect(201);
    lease.logs(&[(1, "a line")]).expect(200);
    let child = job.run("hello", json!({"input": {"part": 1}}));
    assert_eq!(team.read(shape::int(&child, "run_id")), child);
    let run = lease.run;
    let former = team.run_id("hello");
    team.cancel(former);
    let again = job.post(&format!("/runs/{former}/retry")).send().expect_json(201);
    assert_eq!(again["retry_of"], json!(former));
    for path in [
        "/runs".to_owned(),
        "/runs/summary".to_owned(),
        "/apps/hello/runs".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{run}/attempts"),
        format!("/runs/{run}/logs"),
        format!("/runs/{run}/artifacts"),
        format!("/runs/{run}/artifacts/left"),
    ] {
        let seen = job.get(&path).send().expect(200);
        assert_eq!(seen.body, team.get(&path).send().expect(200).body, "{path}");
    }
}

#[test]
fn everything_else_of_its_team_is_forbidden_and_other_teams_runs_are_not_there() {
    let (server, team) = bed();
    let (lease, job) = begin(&server, &team, "r1");
    let run = lease.run;
    for (method, path) in [
        ("GET", "/me".to_owned()),
        ("POST", "/tokens".to_owned()),
        ("GET", "/apps".to_owned()),
        ("POST", "/apps".to_owned()),
        ("GET", "/apps/hello".to_owned()),
        ("GET", "/apps/hello/versions".to_owned()),
        ("POST", "/apps/hello/versions".to_owned()),
        ("GET", "/environments".to_owned()),
        ("POST", format!("/runs/{run}/cancel")),
        ("POST", "/runs/cancel".to_owned()),
        ("POST", "/runs/retry".to_owned()),
        ("DELETE", format!("/runs/{run}/artifacts/left")),
        ("GET", "/registration-tokens".to_owned()),
        ("GET", "/admin/runners".to_owned()),
    ] {
        let message = job.request(method, &path).send().expect_error(403, "forbidden");
        assert!(!message.is_empty(), "{method} {path}");
    }
    let other = server.sign_up("other-team");
    other.python_app("theirs", "print()");
    let theirs = other.run_id("theirs");
    job.get(&format!("/runs/{theirs}")).send().expect_error(404, "not_found");
    job.post("/apps/theirs/runs").send().expect_error(404, "not_found");
    // And it is no token of a runner.
    job.post("/runs/lease").send().expect_error(401, "unauthorized");
}

#[test]
fn it_dies_with_its_attempt_however_that_ends() {
    type End = fn(&Lease, &Team);
    let (server, team) = bed();
    let ends: [(&str, End); 4] = [
        ("completed", |lease, _| drop(lease.complete().expect(200))),
        ("failed", |lease, _| drop(lease.result(json!({"status": "failed"})).expect(200))),
        ("cancelled", |lease, team| {
            let cancelling = team.cancel(lease.run);
            assert_eq!(cancelling["status"], "cancelling");
            drop(lease.result(json!({"status": "cancelled"})).expect(200));
        }),
        ("released", |lease, _| drop(lease.release().expect(200))),
    ];
    for (what, end) in ends {
        let (lease, job) = begin(&server, &team, what);
        job.get("/runs/summary").send().expect(200);
        end(&lease, &team);
        job.get("/runs/summary").send().expect_error(401, "unauthorized");
        // Dead, it is like one that never was: also where it was forbidden.
        job.get("/apps").send().expect_error(401, "unauthorized");
    }
}

#[test]
fn it_lives_while_a_cancel_is_not_confirmed() {
    let (server, team) = bed();
    let (lease, job) = begin(&server, &team, "r1");
    team.cancel(lease.run);
    job.get("/runs/summary").send().expect(200);
}

#[test]
fn it_dies_when_the_lease_runs_out() {
    let (server, team) = with(Server::with_lease_ttl("1s"));
    let (lease, job) = begin(&server, &team, "r1");
    job.get("/runs/summary").send().expect(200);
    team.wait_status(lease.run, "dead");
    job.get("/runs/summary").send().expect_error(401, "unauthorized");
}

#[test]
fn a_lease_that_is_answered_again_has_a_fresh_token_and_the_former_is_void() {
    let (server, team) = bed();
    team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    let poll = json!({"request_id": "p1", "instance_id": "i1"});
    let first = job(&team, &runner.poll_with(0, poll.clone()).expect_json(200));
    let second = job(&team, &runner.poll_with(0, poll).expect_json(200));
    first.get("/runs").send().expect_error(401, "unauthorized");
    second.get("/runs").send().expect(200);
}

#[test]
fn a_version_that_asks_for_none_gets_none() {
    let (server, team) = bed();
    team.version("hello", &Artifact::python(""), "main.py");
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease();
    assert!(lease.body.get("api_token").is_none());
}

#[test]
fn only_its_hash_is_kept() {
    let (server, team) = bed();
    let (_lease, job) = begin(&server, &team, "r1");
    for entry in std::fs::read_dir(server.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            let found = content.windows(job.token.len()).any(|window| window == job.token.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
