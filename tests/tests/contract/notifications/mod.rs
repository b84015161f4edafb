//! Notifications: what teams say that they want to be told, and what arrives.

mod outbox;
mod settings;
mod targets;

use minitower_tests::receiver::{Received, Receiver};
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
