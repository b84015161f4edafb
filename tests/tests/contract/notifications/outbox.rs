//! What is told, how often and in which bounds, whatever receivers and servers do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use minitower_tests::receiver::{Received, Receiver};
use minitower_tests::{shape, wait};
use serde_json::json;

use super::{bed, create, deliveries, fail, path, run, verified, wait_newest, webhook};

#[test]
fn only_what_is_asked_for_is_told() {
    let (server, team, runner) = bed();
    team.app("other");
    let receivers: Vec<Receiver> = (0..5).map(|_| Receiver::start()).collect();
    let wanted = [
        json!({"name": "all", "on": ["failed", "completed"]}),
        json!({"name": "app", "on": ["failed"], "app": "other"}),
        json!({"name": "environment", "on": ["failed"], "environment": "production"}),
        json!({"name": "label", "on": ["failed"], "app": "etl", "label": "tier=1"}),
        json!({"name": "off", "on": ["failed"], "enabled": false}),
    ];
    for (mut body, receiver) in wanted.into_iter().zip(&receivers) {
        body["target"] = webhook(receiver);
        create(&team, body);
    }
    let other_team = {
        let other = server.sign_up("other-team");
        let receiver = Receiver::start();
        create(&other, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
        receiver
    };
    let labelled = run(&team, &runner, json!({"labels": {"tier": "1"}}), json!({"status": "failed"}));
    let plain = fail(&team, &runner);
    let completed = run(&team, &runner, json!({}), json!({"status": "completed"}));
    let queued = team.run_id("etl");
    team.cancel(queued);
    let told = |receiver: &Receiver, n: usize| -> Vec<i64> {
        let mut runs: Vec<_> =
            receiver.wait(n).iter().map(|one| one.json()["data"]["run_id"].as_i64().unwrap()).collect();
        runs.sort_unstable();
        runs
    };
    assert_eq!(told(&receivers[0], 3), [labelled, plain, completed]);
    assert_eq!(told(&receivers[3], 1), [labelled]);
    for silent in [&receivers[1], &receivers[2], &receivers[4], &other_team] {
        assert!(silent.received().is_empty());
    }
}

#[test]
fn what_fails_is_tried_again_and_can_be_asked_for_under_the_same_id() {
    let (server, team, runner) = bed();
    let waiting = || {
        let metrics = server.http().get("/metrics").send().expect(200).text();
        let line = metrics.lines().find(|line| line.starts_with("minitower_notifications_waiting ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()
    };
    let receiver = Receiver::start();
    receiver.answer(&[500, 307, 200, 200]);
    let made = create(&team, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
    fail(&team, &runner);
    let failed =
        wait_newest(&team, &made, "an attempt", |one| one["attempts"].as_array().unwrap().len() == 1);
    assert_eq!((&failed["status"], &failed["attempts"][0]["code"]), (&json!("waiting"), &json!(500)));
    let pause = shape::time(&failed, "next_at").as_millisecond()
        - shape::time(&failed["attempts"][0], "at").as_millisecond();
    assert!((10_000..=12_000).contains(&pause), "{pause} ms");
    assert_eq!((&team.get(&path(&made)).send().expect_json(200)["waiting"], waiting()), (&json!(1), 1));

    let retry = format!("{}/deliveries/{}/retry", path(&made), failed["id"]);
    let again = team.post(&retry).send().expect_json(202);
    assert_eq!((&again["id"], &again["webhook_id"]), (&failed["id"], &failed["webhook_id"]));
    let redirected =
        wait_newest(&team, &made, "two attempts", |one| one["attempts"].as_array().unwrap().len() == 2);
    assert!(shape::text(&redirected["attempts"][1], "error").contains("redirects are not followed"));
    for attempts in 3..=4 {
        team.post(&retry).send().expect(202);
        let sent = wait_newest(&team, &made, "delivered", |one| {
            one["attempts"].as_array().unwrap().len() == attempts
        });
        assert_eq!(sent["status"], "delivered", "also one that was delivered can be sent again");
    }
    let ids: Vec<_> = receiver.received().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, vec![shape::text(&failed, "webhook_id"); 4]);
    assert_eq!((&team.get(&path(&made)).send().expect_json(200)["waiting"], waiting()), (&json!(0), 0));

    team.post(&format!("{}/deliveries/7999999/retry", path(&made))).send().expect_error(404, "not_found");
    team.request("PATCH", &path(&made)).json(json!({"enabled": false})).send().expect(200);
    team.post(&retry).send().expect_error(409, "conflict");
    team.post(&format!("{}/test", path(&made))).send().expect_error(409, "conflict");
    // What is deleted waits no more.
    receiver.always(500);
    team.request("PATCH", &path(&made)).json(json!({"enabled": true})).send().expect(200);
    team.post(&retry).send().expect(202);
    assert_eq!(waiting(), 1);
    team.delete(&path(&made)).send().expect(204);
    assert_eq!(waiting(), 0);
}

#[test]
fn a_test_is_a_delivery_of_its_own() {
    let (_server, team, _) = bed();
    let receiver = Receiver::start();
    let made = create(&team, json!({"name": "on-call", "on": ["failed"], "target": webhook(&receiver)}));
    let sent = team.post(&format!("{}/test", path(&made))).send().expect_json(202);
    assert_eq!((&sent["event"], &sent["status"]), (&json!("notification.test"), &json!("waiting")));
    let received = receiver.wait(1);
    verified(&received[0], &shape::text(&made["target"], "secret"));
    assert_eq!(received[0].json()["data"]["notification"], "on-call");
    // The list is paged by id.
    team.post(&format!("{}/test", path(&made))).send().expect(202);
    let newest = deliveries(&team, &made);
    assert_eq!(newest.len(), 2);
    let older = team
        .get(&format!("{}/deliveries?limit=1&before={}", path(&made), newest[0]["id"]))
        .send()
        .expect_json(200);
    assert_eq!(older["deliveries"][0]["id"], newest[1]["id"]);
}

#[test]
fn what_was_written_when_the_run_ended_arrives_whenever_the_server_is_killed() {
    let (mut server, team, runner) = bed();
    let receiver = Receiver::start();
    receiver.always(0);
    create(&team, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
    let told =
        |run: i64| receiver.received().iter().filter(|one| one.json()["data"]["run_id"] == run).count();
    let mut failed = Vec::new();
    for _ in 0..3 {
        let run = fail(&team, &runner);
        // Killed while it sends.
        wait::until("it is sent", wait::SOON, || (told(run) > 0).then_some(()));
        failed.push(run);
        server.kill();
        server.start_again();
    }
    receiver.always(200);
    server.kill();
    server.start_again();
    wait::until("all arrive", wait::SOON, || failed.iter().all(|run| told(*run) >= 2).then_some(()));
    let delivered = receiver.received();
    for run in failed {
        let of_run = delivered.iter().filter(|one| one.json()["data"]["run_id"] == run);
        let mut ids: Vec<_> = of_run.map(|one| one.header("webhook-id").to_owned()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "the same id, however often it is sent");
    }
}

/// A server may be killed between any two commits.
#[test]
fn whoever_sees_the_end_of_a_run_sees_what_is_to_be_told_of_it() {
    let (server, team, runner) = bed();
    let receiver = Receiver::start();
    create(&team, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let db = rusqlite::Connection::open(server.database()).unwrap();
            db.busy_timeout(wait::SOON).unwrap();
            let counts = "SELECT (SELECT count(*) FROM runs WHERE status = 'failed'),
                                 (SELECT count(*) FROM notification_deliveries)";
            let mut counts = db.prepare(counts).unwrap();
            let (mut torn, mut last) = (Vec::new(), (0, 0));
            while !done.load(Ordering::Relaxed) {
                last = counts.query_row((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
                let (ended, told): (i64, i64) = last;
                if ended != told {
                    torn.push(last);
                }
            }
            (torn, last)
        });
        for _ in 0..20 {
            fail(&team, &runner);
        }
        receiver.wait(20);
        done.store(true, Ordering::Relaxed);
        assert_eq!(looks.join().unwrap(), (Vec::new(), (20, 20)), "runs that have ended, and deliveries");
    });
}

#[test]
fn a_receiver_that_does_not_answer_holds_up_no_other() {
    let (server, team, runner) = bed();
    let (dead, alive) = (Receiver::start(), Receiver::elsewhere());
    dead.always(0);
    for n in 0..4 {
        create(&team, json!({"name": format!("dead{n}"), "on": ["failed"], "target": webhook(&dead)}));
    }
    let other = server.sign_up("other-team");
    let own = create(&other, json!({"name": "n", "on": ["failed"], "target": webhook(&alive)}));
    for _ in 0..3 {
        fail(&team, &runner);
    }
    dead.wait(8);
    other.post(&format!("{}/test", path(&own))).send().expect(202);
    alive.wait(1);
}

#[test]
fn a_run_that_takes_or_waits_longer_than_its_app_expects_is_told_once() {
    let (mut server, team, runner) = bed();
    let receiver = Receiver::start();
    create(&team, json!({"name": "n", "on": ["late", "waiting"], "target": webhook(&receiver)}));
    // Both began before their app expected anything.
    let running = shape::int(&team.run("etl", json!({})), "run_id");
    let lease = runner.lease_and_start();
    let queued = team.run_id("etl");
    let expected = json!({"expect_seconds": 1, "expect_wait_seconds": 1});
    team.request("PATCH", "/apps/etl").json(expected).send().expect(200);
    let told = |n: usize| -> Vec<(String, i64)> {
        let one = |received: &Received| {
            let body = received.json();
            (shape::text(&body, "type"), shape::int(&body["data"], "run_id"))
        };
        let mut told: Vec<_> = receiver.wait(n).iter().map(one).collect();
        told.sort();
        told
    };
    let both = vec![("run.late".to_owned(), running), ("run.waiting".to_owned(), queued)];
    assert_eq!(told(2), both);
    // A heartbeat and a restart make nobody hear of it again; one that begins now is told too.
    lease.heartbeat().expect(200);
    server.kill();
    server.start_again();
    let later = team.run_id("etl");
    let all = [both, vec![("run.waiting".to_owned(), later)]].concat();
    assert_eq!(told(3), all);
    // Nothing is expected of the app any more.
    let nothing = json!({"expect_seconds": null, "expect_wait_seconds": null});
    team.request("PATCH", "/apps/etl").json(nothing).send().expect(200);
    team.run_id("etl");
    wait::stays("nobody is told more", std::time::Duration::from_millis(1500), || {
        receiver.received().len() == 3
    });
}

#[test]
fn a_flood_is_bounded_and_what_was_dropped_is_told() {
    let (_server, team, runner) = bed();
    let receiver = Receiver::start();
    receiver.always(503);
    let made = create(&team, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
    for _ in 0..1010 {
        fail(&team, &runner);
    }
    let shown = team.get(&path(&made)).send().expect_json(200);
    let (waiting, dropped) = (shape::int(&shown, "waiting"), shape::int(&shown, "dropped"));
    assert_eq!((waiting, dropped), (1000, 10));
    receiver.always(200);
    let test = team.post(&format!("{}/test", path(&made))).send().expect_error(409, "conflict");
    assert!(test.contains("1000"), "{test}");
    // Whoever asks for one again makes the notification try again at once.
    let oldest = team.get(&format!("{}/deliveries?limit=1000", path(&made))).send().expect_json(200);
    let oldest = oldest["deliveries"].as_array().unwrap().last().unwrap()["id"].clone();
    team.post(&format!("{}/deliveries/{oldest}/retry", path(&made))).send().expect(202);
    let told = wait::until("what was dropped is told", wait::SOON * 3, || {
        let received = receiver.received();
        received.into_iter().map(|one| one.json()).find(|one| one["type"] == "notification.dropped")
    });
    assert_eq!(told["data"]["dropped"], 10);
    shape::time(&told["data"], "since");
    let listed = deliveries(&team, &made);
    let digest = listed.iter().find(|one| one["event"] == "notification.dropped").unwrap();
    assert_eq!(digest["dropped"], 10);
    assert_eq!(team.get(&path(&made)).send().expect_json(200)["dropped"], 0);
}
