//! What arrives: webhooks, Slack and email.

use minitower_tests::receiver::{MailServer, Receiver};
use minitower_tests::{Runner, Server, shape};
use serde_json::{Value, json};

use super::{bed, create, deliveries, fail, run, verified, wait_newest, webhook};

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
    // What an answer showed can be sent back: the URL stays. As a URL of its own it is none.
    let made: Value = serde_json::from_str(&made.text()).unwrap();
    let (id, shown) = (&made["id"], &made["target"]);
    let change = json!({"name": "renamed", "target": shown});
    team.request("PATCH", &format!("/notifications/{id}")).json(change).send().expect(200);
    team.post(&format!("/notifications/{id}/test")).send().expect(202);
    assert_eq!(receiver.wait(2)[1].line, "POST /hook HTTP/1.1");
    let again = json!({"name": "other", "on": ["failed"], "target": shown});
    let refused = team.post("/notifications").json(again).send().expect_error(400, "invalid_request");
    assert!(refused.contains("target.url is what answers show"), "{refused}");
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
