//! What teams say that they want to be told: made, shown, changed, deleted, refused.

use minitower_tests::receiver::Receiver;
use minitower_tests::{Server, shape};
use serde_json::{Value, json};

use super::{bed, create, fail, path, wait_newest, webhook};

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
