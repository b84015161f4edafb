//! Fences on runners.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use minitower_tests::server::{OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::{Response, Runner, shape};
use serde_json::{Value, json};

use super::Bed;

impl Bed {
    fn drain(&self, method: &str, name: &str, body: Value) -> Response {
        self.team.request(method, &format!("/admin/runners/{name}/drain")).json(body).send()
    }

    fn operator_drain(&self, method: &str, name: &str, body: Value) -> Response {
        let path = format!("/api/v1/admin/runners/{name}/drain");
        self.server.http().request(method, &path).bearer(OPERATOR_TOKEN).json(body).send()
    }
}

#[test]
fn a_fence_never_lets_a_lease_through_with_two_owners() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.team_runner("r1");
    let fenced = bed.drain("POST", "r1", json!({"owner": "operator"})).expect_json(200);
    assert_eq!(fenced, json!({"name": "r1", "busy": false, "draining": true}));
    bed.drain("POST", "r1", json!({"owner": "person"})).expect(200);
    runner.idle();

    let lifted = bed.drain("DELETE", "r1", json!({"owner": "operator"})).expect_json(200);
    assert_eq!(lifted["draining"], true, "the other owner still holds it");
    runner.idle();
    assert_eq!(bed.drain("DELETE", "r1", json!({"owner": "stranger"})).expect_json(200)["draining"], true);
    runner.idle();
    assert_eq!(bed.team.runner("r1").unwrap()["draining"], true);

    let lifted = bed.drain("DELETE", "r1", json!({"owner": "person"})).expect_json(200);
    assert_eq!(lifted, json!({"name": "r1", "busy": false, "draining": false}));
    assert_eq!(runner.lease().run, run);
}

#[test]
fn a_fence_set_while_a_poll_waits_holds_it_back_and_lifting_lets_it_go_on() {
    let bed = Bed::start();
    let runner = bed.team_runner("r1");
    thread::scope(|scope| {
        let poll = scope.spawn(|| runner.poll_with(3, json!({"instance_id": "i1"})));
        bed.drain("POST", "r1", json!({})).expect(200);
        let run = bed.run();
        // A drained runner's poll waits and gets 204.
        let answer = poll.join().unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(bed.team.status(run), "queued");
        bed.drain("DELETE", "r1", json!({})).expect(200);
        assert_eq!(runner.lease().run, run);
    });
}

#[test]
fn draining_a_busy_runner_says_so_and_lets_its_run_end() {
    let bed = Bed::start();
    let run = bed.run();
    let next = bed.run();
    let runner = bed.team_runner("r1");
    let lease = runner.lease_and_start();
    let fenced = bed.drain("POST", "r1", json!({})).expect_json(200);
    assert_eq!(fenced, json!({"name": "r1", "busy": true, "run_id": run, "draining": true}));
    lease.heartbeat().expect(200);
    lease.complete().expect(200);
    runner.idle();
    let fenced = bed.drain("POST", "r1", json!({})).expect_json(200);
    shape::fields(&fenced, &["name", "busy", "draining"], &["run_id"]);
    assert_eq!(fenced["busy"], false);
    assert_eq!(bed.team.status(next), "queued");
}

#[test]
fn a_fence_that_answered_idle_is_never_followed_by_a_lease() {
    let bed = Bed::start();
    let runner = bed.team_runner("r1");
    for _ in 0..15 {
        let run = bed.run();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // The runner polls as fast as it can while the fence falls.
            let polls = scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    if runner.poll().status == 200 {
                        return true;
                    }
                }
                false
            });
            let fenced = bed.drain("POST", "r1", json!({})).expect_json(200);
            let busy = fenced["busy"] == true;
            if !busy {
                for _ in 0..5 {
                    runner.idle();
                }
            }
            stop.store(true, Ordering::SeqCst);
            assert_eq!(polls.join().unwrap(), busy, "the answer told the truth: {fenced}");
        });
        bed.drain("DELETE", "r1", json!({})).expect(200);
        // Whoever has it ends it, so that the next round starts anew.
        bed.team.cancel(run);
        runner.sign_off().expect(200);
    }
}

#[test]
fn the_operator_fences_a_name_in_advance() {
    let bed = Bed::start();
    let run = bed.run();
    let fenced = bed.operator_drain("POST", "later", json!({"owner": "pool"})).expect_json(200);
    assert_eq!(fenced, json!({"name": "later", "busy": false, "draining": true}));
    let list = bed.server.http().get("/api/v1/admin/runners").bearer(OPERATOR_TOKEN).send().expect_json(200);
    assert_eq!(list, json!({"runners": []}), "a name fenced in advance is not listed");
    let runner = bed.runner("later");
    runner.idle();
    bed.operator_drain("DELETE", "later", json!({"owner": "pool"})).expect(200);
    assert_eq!(runner.lease().run, run);
}

#[test]
fn a_fence_survives_a_restart_of_the_server() {
    let mut bed = Bed::start();
    bed.run();
    let runner = bed.team_runner("r1");
    bed.drain("POST", "r1", json!({})).expect(200);
    bed.server.kill();
    bed.server.start_again();
    runner.idle();
    assert_eq!(bed.team.runner("r1").unwrap()["draining"], true);
}

#[test]
fn a_team_fences_only_its_own_runners() {
    let bed = Bed::start();
    let other = bed.server.sign_up("other-team");
    bed.runner("platform");
    bed.team_runner("ours");
    for (team, name) in
        [(&bed.team, "platform"), (&other, "ours"), (&other, "platform"), (&bed.team, "nobody")]
    {
        for method in ["POST", "DELETE"] {
            let path = format!("/admin/runners/{name}/drain");
            team.request(method, &path).send().expect_error(404, "not_found");
        }
    }
}

#[test]
fn a_fence_on_a_name_that_never_registered_goes_either_way() {
    let bed = Bed::start();
    let forget = |name: &str| {
        let path = format!("/api/v1/admin/runners/{name}");
        bed.server.http().request("DELETE", &path).bearer(OPERATOR_TOKEN).send()
    };
    bed.operator_drain("POST", "pod-1", json!({"owner": "pool:ns/p"})).expect(200);
    let lifted = bed.operator_drain("DELETE", "pod-1", json!({"owner": "pool:ns/p"})).expect_json(200);
    assert_eq!(lifted["draining"], false);
    bed.operator_drain("POST", "pod-1", json!({"owner": "pool:ns/p"})).expect(200);
    forget("pod-1").expect(204);
    forget("pod-1").expect_error(404, "not_found");
}

#[test]
fn runners_are_listed_by_pool_and_environment() {
    let bed = Bed::start();
    for (name, pool, environment) in
        [("a-1", "ns/a", "default"), ("a-2", "ns/a", "gpu"), ("b-1", "ns/b", "gpu")]
    {
        let body = json!({"name": name, "pool": pool, "environment": environment});
        Runner::register_with(&bed.server, REGISTRATION_TOKEN, body);
    }
    for (query, expected) in [
        ("pool=ns%2Fa", vec!["a-1", "a-2"]),
        ("pool=ns/a", vec!["a-1", "a-2"]),
        ("environment=gpu", vec!["a-2", "b-1"]),
        ("pool=ns%2Fa&environment=gpu", vec!["a-2"]),
        ("pool=ns", vec![]),
    ] {
        let path = format!("/api/v1/admin/runners?{query}");
        let list = bed.server.http().get(&path).bearer(OPERATOR_TOKEN).send().expect_json(200);
        let names: Vec<_> = list["runners"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
        assert_eq!(names, expected, "{query}");
    }
}
