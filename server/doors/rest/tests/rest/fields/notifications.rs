//! What shows of each field of a notification that it is read.

use http::Method;
use serde_json::{Value, json};

use super::Proof::{self, Differs, Refused};
use super::table::call;
use super::{Call, Who};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATH: &str = "/notifications/{notification}";

/// What makes a notification, with one field changed.
fn with(field: &str, value: Value) -> Value {
    // With a key of its own, since the server's differs each time.
    let target = json!({"kind": "webhook", "url": "https://1.1.1.1/n", "secret": KEY});
    let mut body = json!({"name": "n", "on": ["dead"], "target": target});
    match field.split_once('.') {
        Some((outer, inner)) => body[outer][inner] = value,
        None => body[field] = value,
    }
    body
}

fn create(body: &Value) -> Call {
    call(Who::Admin, &Method::POST, "/notifications", body)
}

fn update(body: &Value) -> Call {
    call(Who::Admin, &Method::PATCH, PATH, body)
}

fn get(path: &str) -> Call {
    call(Who::Admin, &Method::GET, path, &Value::Null)
}

fn differs(one: Call, other: Call) -> Proof {
    Differs { calls: [one, other], first: Vec::new(), then: None }
}

fn refused(one: Call, other: Call, word: &'static str) -> Proof {
    Refused { calls: [one, other], word }
}

pub(super) fn rows() -> Vec<(&'static str, &'static str, Proof)> {
    let test = || call(Who::Admin, &Method::POST, &format!("{PATH}/test"), &Value::Null);
    let plain = || create(&with("name", "n".into()));
    let made = |field: &str, value: Value| differs(plain(), create(&with(field, value)));
    let webhook = json!({"kind": "webhook", "url": "https://1.1.1.1/n"});
    let target = |field: &str, value: Value| {
        let mut target = webhook.clone();
        target[field] = value;
        json!({"target": target})
    };
    let changed = |body: Value| differs(update(&json!({})), update(&body));
    let mut listed = get(&format!("{PATH}/deliveries?limit=1"));
    listed.path = format!("{PATH}/deliveries?limit=1");
    vec![
        (
            "list_notifications",
            "?before",
            differs(get("/notifications"), get("/notifications?before={notification}")),
        ),
        (
            "list_notifications",
            "?limit",
            refused(get("/notifications?limit=1"), get("/notifications?limit=0"), "limit"),
        ),
        ("create_notification", "name", made("name", "other".into())),
        ("create_notification", "on", made("on", json!(["failed"]))),
        ("create_notification", "app", made("app", "acme-app".into())),
        ("create_notification", "environment", made("environment", "zeta".into())),
        ("create_notification", "label", made("label", "a=1".into())),
        ("create_notification", "enabled", made("enabled", false.into())),
        ("create_notification", "target", refused(plain(), create(&with("target", Value::Null)), "target")),
        (
            "create_notification",
            "target.kind",
            refused(plain(), create(&with("target.kind", "pager".into())), "target.kind"),
        ),
        ("create_notification", "target.url", made("target.url", "https://1.1.1.1/other".into())),
        (
            "create_notification",
            "target.to",
            refused(plain(), create(&with("target.to", "a@b.example".into())), "target.to"),
        ),
        (
            "create_notification",
            "target.secret",
            refused(plain(), create(&with("target.secret", "x".into())), "target.secret"),
        ),
        ("update_notification", "name", changed(json!({"name": "other"}))),
        ("update_notification", "on", changed(json!({"on": ["completed"]}))),
        ("update_notification", "app", changed(json!({"app": "acme-app"}))),
        ("update_notification", "environment", changed(json!({"environment": "zeta"}))),
        ("update_notification", "label", changed(json!({"label": "a=1"}))),
        ("update_notification", "enabled", changed(json!({"enabled": false}))),
        ("update_notification", "target", changed(json!({"target": webhook}))),
        (
            "update_notification",
            "target.kind",
            refused(update(&json!({})), update(&target("kind", "pager".into())), "target.kind"),
        ),
        ("update_notification", "target.url", changed(target("url", "https://1.1.1.1/other".into()))),
        (
            "update_notification",
            "target.to",
            refused(update(&json!({})), update(&target("to", "a@b.example".into())), "target.to"),
        ),
        ("update_notification", "target.secret", changed(target("secret", KEY.into()))),
        (
            "list_deliveries",
            "?before",
            differs(
                get(&format!("{PATH}/deliveries")),
                get(&format!("{PATH}/deliveries?before={{delivery}}")),
            ),
        ),
        (
            "list_deliveries",
            "?limit",
            Differs { calls: [get(&format!("{PATH}/deliveries")), listed], first: vec![test()], then: None },
        ),
    ]
}
