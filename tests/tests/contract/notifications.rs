//! Notifications: what teams say that they want to be told, and what arrives.

use minitower_tests::receiver::{MailServer, Received, Receiver};
use minitower_tests::{Runner, Server, Team, shape, wait};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// A server that may call this machine.
fn server() -> Server {
    Server::builder().env("MINITOWER_WEBHOOK_ALLOWED_NETS", "127.0.0.0/8").start()
}

fn bed() -> (Server, Team, Runner) {
    let server = server();
    let team = server.bootstrap();
    team.python_app("etl", "print()");
    let runner = Runner::register(&server, "r1");
    (server, team, runner)
}

fn webhook(receiver: &Receiver) -> Value {
    json!({"kind": "webhook", "url": receiver.url()})
}

#[track_caller]
fn create(team: &Team, body: Value) -> Value {
    team.post("/notifications").json(body).send().expect_json(201)
}

/// Runs the app to an end.
fn run(team: &Team, runner: &Runner, body: Value, result: Value) -> i64 {
    let run = shape::int(&team.run("etl", body), "run_id");
    let lease = runner.lease_and_start();
    assert_eq!(lease.run, run);
    lease.result(result).expect(200);
    run
}

fn fail(team: &Team, runner: &Runner) -> i64 {
    run(team, runner, json!({}), json!({"status": "failed", "exit_code": 3, "error_message": "boom"}))
}

fn verified(received: &Received, secret: &str) {
    let mut headers = ureq::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, received.header(name).parse().unwrap());
    }
    let library = Webhook::new(secret).unwrap();
    library.verify(&received.body, &headers).unwrap();
    assert!(library.verify(b"{}", &headers).is_err(), "another body");
}

fn path(notification: &Value) -> String {
    format!("/notifications/{}", notification["id"])
}

fn deliveries(team: &Team, notification: &Value) -> Vec<Value> {
    let list = team.get(&format!("{}/deliveries", path(notification))).send().expect_json(200);
    list["deliveries"].as_array().unwrap().clone()
}

/// Waits until the newest delivery is as wanted.
#[track_caller]
fn wait_newest(team: &Team, notification: &Value, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, wait::SOON, || {
        deliveries(team, notification).first().filter(|one| wanted(one)).cloned()
    })
}

#[test]
fn they_are_made_shown_changed_and_deleted_and_the_secret_is_shown_once() {
    let (_server, team, _) = bed();
    let receiver = Receiver::start();
    let made = create(
        &team,
        json!({"name": "on-call", "on": ["dead", "failed"], "app": "etl", "environment": "production", "label": "tier=1",
            "target": webhook(&receiver)}),
    );
    let fields = ["id", "name", "on", "target", "enabled", "waiting", "dropped", "created_at", "updated_at"];
    shape::fields(&made, &[&fields[..], &["app", "environment", "label"]].concat(), &[]);
    assert_eq!(made["on"], json!(["failed", "dead"]));
    assert_eq!((&made["enabled"], &made["label"]), (&json!(true), &json!("tier=1")));
    let secret = shape::text(&made["target"], "secret");
    assert!(secret.starts_with("whsec_"));

    for answer in [team.get(&path(&made)), team.get("/notifications")] {
        let answer = answer.send().expect(200);
        assert!(!answer.text().contains("whsec_"), "{}", answer.text());
    }
    let member = team.member();
    assert_eq!(member.get(&path(&made)).send().expect_json(200)["name"], "on-call");
    member.post("/notifications").json(json!({})).send().expect_error(403, "forbidden");

    let change = json!({"name": "nights", "on": ["late"], "app": null, "label": null, "enabled": false});
    let changed = team.request("PATCH", &path(&made)).json(change).send().expect_json(200);
    shape::fields(&changed, &[&fields[..], &["environment"]].concat(), &["app", "label"]);
    assert_eq!(
        (&changed["name"], &changed["on"], &changed["enabled"]),
        (&json!("nights"), &json!(["late"]), &json!(false))
    );
    assert!(changed["target"].get("secret").is_none(), "it keeps its secret, and does not show it");
    // A target without a secret keeps the one that there is; another one is shown.
    let target = json!({"target": {"kind": "webhook", "url": "http://127.0.0.1:9/other"}});
    let kept = team.request("PATCH", &path(&made)).json(target).send().expect_json(200);
    assert_eq!(kept["target"], json!({"kind": "webhook", "url": "http://127.0.0.1:9/other"}));
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let target = json!({"target": {"kind": "webhook", "url": receiver.url(), "secret": own}});
    assert_eq!(
        team.request("PATCH", &path(&made)).json(target).send().expect_json(200)["target"]["secret"],
        own
    );

    team.delete(&path(&made)).send().expect(204);
    team.delete(&path(&made)).send().expect_error(404, "not_found");
    assert_eq!(team.get("/notifications").send().expect_json(200), json!({"notifications": []}));
}

#[test]
fn the_end_of_a_run_arrives_signed_with_the_run_as_the_api_shows_it() {
    let (_server, team, runner) = bed();
    let receiver = Receiver::start();
    let made = create(&team, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
    run(&team, &runner, json!({}), json!({"status": "completed", "exit_code": 0}));
    let body = json!({"input": {"password": "hunter2"}, "labels": {"a": "1"}});
    let result =
        json!({"status": "failed", "exit_code": 3, "error_message": "boom", "output": "secret output"});
    let failed = run(&team, &runner, body, result);
    let received = receiver.wait(1);
    assert_eq!(received[0].line, "POST /hook HTTP/1.1");
    assert_eq!(received[0].header("content-type"), "application/json");
    verified(&received[0], &shape::text(&made["target"], "secret"));
    let told = received[0].json();
    shape::fields(&told, &["type", "timestamp", "data"], &[]);
    shape::time(&told, "timestamp");
    assert_eq!(told["type"], "run.failed");
    let mut shown = team.read(failed);
    for large in ["input", "output"] {
        shown.as_object_mut().unwrap().remove(large).unwrap();
    }
    assert_eq!(told["data"], shown);

    let delivery = wait_newest(&team, &made, "it is delivered", |one| one["status"] == "delivered");
    shape::fields(
        &delivery,
        &["id", "webhook_id", "event", "run_id", "status", "created_at", "attempts"],
        &["next_at", "dropped"],
    );
    assert_eq!((&delivery["event"], &delivery["run_id"]), (&json!("run.failed"), &json!(failed)));
    assert_eq!(delivery["webhook_id"], received[0].header("webhook-id"));
    shape::fields(&delivery["attempts"][0], &["at", "duration_ms", "code"], &["error"]);
    assert_eq!(delivery["attempts"][0]["code"], 200);
    assert_eq!(
        (deliveries(&team, &made).len(), receiver.received().len()),
        (1, 1),
        "the run that completed is not told"
    );
}

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
fn nonsense_is_refused_by_the_name_of_its_field() {
    let (_server, team, _) = bed();
    let good =
        json!({"name": "n", "on": ["failed"], "target": {"kind": "webhook", "url": "https://127.0.0.1/"}});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let target = |target: Value| with("target", target);
    let key = |bytes: usize| format!("whsec_{}", data_encoding::BASE64.encode(&vec![1; bytes]));
    let cases = [
        (with("name", json!("")), "name"),
        (with("name", json!("a\nb")), "name"),
        (with("name", json!("x".repeat(101))), "name"),
        (with("name", json!(7)), "name"),
        (with("on", json!([])), "on"),
        (with("on", json!("failed")), "on"),
        (with("on", json!(["failed", "ended"])), "ended"),
        (with("environment", json!("No Such")), "environment"),
        (with("label", json!("tier")), "label"),
        (with("label", json!("=1")), "label"),
        (with("enabled", json!("yes")), "enabled"),
        (with("target", Value::Null), "target"),
        (with("retries", json!(7)), "retries"),
        (target(json!({"kind": "pager", "url": "https://127.0.0.1/"})), "target.kind"),
        (target(json!({"url": "https://127.0.0.1/"})), "target.kind"),
        (target(json!({"kind": "webhook"})), "target.url"),
        (target(json!({"kind": "webhook", "url": "ftp://127.0.0.1/"})), "target.url"),
        (target(json!({"kind": "webhook", "url": "https://me:secret@127.0.0.1/"})), "target.url"),
        (
            target(json!({"kind": "webhook", "url": format!("https://127.0.0.1/{}", "x".repeat(2048))})),
            "target.url",
        ),
        (target(json!({"kind": "webhook", "url": "https://no-such-host.invalid/"})), "no-such-host.invalid"),
        (target(json!({"kind": "webhook", "url": "https://127.0.0.1/", "to": "a@b.example"})), "target.to"),
        (
            target(json!({"kind": "webhook", "url": "https://127.0.0.1/", "secret": "hunter2"})),
            "target.secret",
        ),
        (target(json!({"kind": "webhook", "url": "https://127.0.0.1/", "secret": key(23)})), "target.secret"),
        (target(json!({"kind": "webhook", "url": "https://127.0.0.1/", "secret": key(65)})), "target.secret"),
        (target(json!({"kind": "webhook", "url": "https://127.0.0.1/", "method": "PUT"})), "method"),
        (target(json!({"kind": "slack", "url": "https://127.0.0.1/", "secret": key(32)})), "target.secret"),
        (target(json!({"kind": "slack"})), "target.url"),
        (target(json!({"kind": "email", "to": "a@b.example"})), "MINITOWER_SMTP_URL"),
        (target(json!({"kind": "email"})), "target.to"),
        (target(json!({"kind": "email", "to": "a@b.example\r\nBcc: c@d.example"})), "target.to"),
        (target(json!({"kind": "email", "to": "a@b.example", "url": "https://127.0.0.1/"})), "target.url"),
    ];
    for (body, names) in cases {
        let answer =
            team.post("/notifications").json(body.clone()).send().expect_error(400, "invalid_request");
        assert!(answer.contains(names) && !answer.contains("hunter2"), "{body}: {answer}");
    }
    let answer = team.post("/notifications").json(with("app", json!("no-such-app"))).send();
    assert!(answer.expect_error(404, "not_found").contains("no-such-app"));
    let made = create(&team, good.clone());
    team.post("/notifications").json(good).send().expect_error(409, "conflict");
    for (change, names) in [
        (json!({"on": []}), "on"),
        (json!({"label": "x"}), "label"),
        (json!({"target": {"kind": "slack"}}), "target.url"),
    ] {
        let answer = team.request("PATCH", &path(&made)).json(change).send();
        assert!(answer.expect_error(400, "invalid_request").contains(names));
    }
}

#[test]
fn a_team_has_a_bounded_number_of_them_and_another_teams_are_not_found() {
    let (server, team, _) = bed();
    let target = json!({"kind": "webhook", "url": "https://127.0.0.1/"});
    let made: Vec<_> = (0..20)
        .map(|n| create(&team, json!({"name": format!("n{n}"), "on": ["failed"], "target": target})))
        .collect();
    let more =
        team.post("/notifications").json(json!({"name": "more", "on": ["failed"], "target": target})).send();
    assert!(more.expect_error(409, "conflict").contains("20"));
    team.delete(&path(&made[0])).send().expect(204);
    create(&team, json!({"name": "more", "on": ["failed"], "target": target}));
    let other = server.sign_up("other-team");
    for request in [
        other.get(&path(&made[1])),
        other.request("PATCH", &path(&made[1])).json(json!({"enabled": false})),
        other.delete(&path(&made[1])),
        other.post(&format!("{}/test", path(&made[1]))),
        other.get(&format!("{}/deliveries", path(&made[1]))),
    ] {
        request.send().expect_error(404, "not_found");
    }
}

#[test]
fn a_private_address_is_refused_at_creation_and_at_each_send() {
    let strict = Server::start();
    let team = strict.bootstrap();
    for url in [
        "http://127.0.0.1:1/",
        "http://[::1]/",
        "http://localhost/",
        "http://10.1.2.3/",
        "http://169.254.169.254/latest",
        "http://0x7f.1/",
    ] {
        for kind in ["webhook", "slack"] {
            let body = json!({"name": "n", "on": ["failed"], "target": {"kind": kind, "url": url}});
            let answer = team.post("/notifications").json(body).send().expect_error(400, "invalid_request");
            assert!(
                answer.contains("target.url") && answer.contains("MINITOWER_WEBHOOK_ALLOWED_NETS"),
                "{answer}"
            );
        }
    }
    // Made where it was allowed, sent where it is not any more.
    let (mut server, team, runner) = bed();
    let receiver = Receiver::start();
    let made = create(&team, json!({"name": "n", "on": ["failed"], "target": webhook(&receiver)}));
    server.terminate();
    server.start_again_with(&[("MINITOWER_WEBHOOK_ALLOWED_NETS", "10.0.0.0/8")]);
    fail(&team, &runner);
    let delivery =
        wait_newest(&team, &made, "an attempt", |one| !one["attempts"].as_array().unwrap().is_empty());
    let error = shape::text(&delivery["attempts"][0], "error");
    assert!(error.contains("127.0.0.1") && error.contains("MINITOWER_WEBHOOK_ALLOWED_NETS"), "{error}");
    assert_eq!(delivery["status"], "waiting");
    assert!(receiver.received().is_empty());
}

#[test]
fn what_fails_is_tried_again_and_can_be_asked_for_under_the_same_id() {
    let (_server, team, runner) = bed();
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
    assert_eq!(team.get(&path(&made)).send().expect_json(200)["waiting"], 1);

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
    assert_eq!(team.get(&path(&made)).send().expect_json(200)["waiting"], 0);

    team.post(&format!("{}/deliveries/7999999/retry", path(&made))).send().expect_error(404, "not_found");
    team.request("PATCH", &path(&made)).json(json!({"enabled": false})).send().expect(200);
    team.post(&retry).send().expect_error(409, "conflict");
    team.post(&format!("{}/test", path(&made))).send().expect_error(409, "conflict");
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
fn slack_gets_a_text_with_the_reason_and_a_link_and_its_url_is_never_shown_whole() {
    let server = Server::builder()
        .env("MINITOWER_WEBHOOK_ALLOWED_NETS", "127.0.0.1")
        .env("MINITOWER_PUBLIC_URL", "https://tower.example.com/")
        .start();
    let team = server.bootstrap();
    team.python_app("etl", "print()");
    let (runner, receiver) = (Runner::register(&server, "r1"), Receiver::start());
    let target = json!({"kind": "slack", "url": receiver.url()});
    let made = team
        .post("/notifications")
        .json(json!({"name": "n", "on": ["failed"], "target": target}))
        .send()
        .expect(201);
    assert!(!made.text().contains("/hook"), "{}", made.text());
    let failed = fail(&team, &runner);
    let received = receiver.wait(1);
    assert_eq!(received[0].line, "POST /hook HTTP/1.1");
    let text = shape::text(&received[0].json(), "text");
    for part in ["etl run 1 (default) failed", "Reason: boom", "Exit code: 3"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains(&format!("<https://tower.example.com/runs/{failed}|")), "{text}");
    let list = team.get("/notifications").send().expect(200);
    assert!(!list.text().contains("/hook"), "{}", list.text());
}

#[test]
fn a_mail_goes_through_the_mail_server_of_the_configuration() {
    let Some(mail) = MailServer::start(&[("PASSWORD", "p@ss"), ("REFUSED", "nobody@example.com")]) else {
        return;
    };
    let server = Server::builder()
        .env("MINITOWER_SMTP_URL", &format!("smtp://tower:p%40ss@127.0.0.1:{}", mail.port()))
        .env("MINITOWER_SMTP_FROM", "MiniTower <tower@example.com>")
        .start();
    let team = server.bootstrap();
    team.python_app("etl", "print()");
    let runner = Runner::register(&server, "r1");
    let email = |to: &str| json!({"name": to, "on": ["failed"], "target": {"kind": "email", "to": to}});
    let made = create(&team, email("team@example.com"));
    assert_eq!(made["target"], json!({"kind": "email", "to": "team@example.com"}));
    let refused = create(&team, email("nobody@example.com"));
    let result =
        json!({"status": "failed", "exit_code": 3, "error_message": "boom\r\n.\r\nBcc: x@example.com"});
    run(&team, &runner, json!({}), result);
    let mails = mail.wait(1);
    assert_eq!(
        (&mails[0]["from"], &mails[0]["to"]),
        (&json!("tower@example.com"), &json!(["team@example.com"]))
    );
    assert_eq!(mails[0]["user"], "tower");
    let content = shape::text(&mails[0], "content");
    assert!(
        content.contains("Subject: [MiniTower] etl run 1 (default) failed")
            && content.contains("Reason: boom"),
        "{content}"
    );
    let delivery = wait_newest(&team, &made, "it is delivered", |one| one["status"] == "delivered");
    assert_eq!(delivery["attempts"][0]["code"], 250);
    assert!(content.contains(&format!("Message-ID: <{}@example.com>", shape::text(&delivery, "webhook_id"))));
    let delivery =
        wait_newest(&team, &refused, "it fails", |one| !one["attempts"].as_array().unwrap().is_empty());
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["code"]), (&json!("waiting"), &json!(550)));
}

#[test]
fn a_mail_server_that_makes_no_sense_keeps_the_server_from_starting_and_shows_no_password() {
    let refused = Server::builder().env("MINITOWER_SMTP_URL", "smtp://me:hunter2@127.0.0.1").refused();
    assert!(refused.contains("MINITOWER_SMTP_FROM") && !refused.contains("hunter2"), "{refused}");
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
