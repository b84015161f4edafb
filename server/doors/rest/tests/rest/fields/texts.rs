//! Texts that people read: none has control characters, which would change how a terminal shows what stands beside them.

use http::Method;
use serde_json::{Value, json};

use super::table::{call, packed, report, version};
use super::{Call, Who};
use crate::matrix::bed::{INSTANCE, Template};

/// Clears the screen.
const EVIL: &str = "a\u{1b}[2Jb";

fn post(who: Who, path: &str, body: &Value) -> Call {
    call(who, &Method::POST, path, body)
}

/// What gives a text to the server, and the word that names it.
fn calls(text: &str) -> Vec<(Call, &'static str)> {
    let register = |more: Value| {
        let mut body = json!({"name": "fresh"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(Who::Registration, "/runners/register", &body)
    };
    let poll = |field: &str| post(Who::Idle, "/runs/lease", &json!({field: text}));
    let towerfile = format!("[app]\nname = 'acme-app'\nscript = 'main.py'\ndescription = {}\n", json!(text));
    vec![
        (post(Who::Admin, "/apps", &json!({"slug": "fresh", "description": text})), "description"),
        (version(&[("artifact", packed(&[("Towerfile", &towerfile), ("main.py", "")]))]), "app.description"),
        (post(Who::Admin, "/tokens", &json!({"name": text})), "name"),
        (post(Who::Admin, "/apps/acme-app/runs", &json!({"labels": {text: "1"}})), "labels"),
        (post(Who::Admin, "/apps/acme-app/runs", &json!({"labels": {"a": text}})), "labels"),
        (register(json!({"pool": text})), "pool"),
        (report(&json!({"message": text})), "message"),
        (register(json!({"labels": {text: "1"}})), "labels"),
        (register(json!({"labels": {"a": text}})), "labels"),
        (poll("request_id"), "request_id"),
        (poll("instance_id"), "instance_id"),
        (post(Who::Admin, "/admin/runners/acme-holder/drain", &json!({"owner": text})), "owner"),
    ]
}

#[tokio::test]
async fn a_text_with_control_characters_is_refused_by_name() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let before = bed.content();
    for (call, word) in calls(EVIL) {
        let answer = call.send(&bed, &template.things).await;
        assert_eq!(answer.status, 400, "{call:?}: {answer:?}");
        assert!(answer.body.contains(word) && !answer.body.contains('\u{1b}'), "{call:?}: {answer:?}");
    }
    assert_eq!(bed.content(), before, "a refused call changed something");
    for (call, word) in calls("plain") {
        let answer = call.send(&bed, &template.things).await;
        // The first poll has the run.
        assert!(answer.status.is_success() || answer.status == 409, "{word}: {call:?}: {answer:?}");
    }
}

#[tokio::test]
async fn why_a_process_ended_is_shown_without_its_control_characters() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let reason = format!("OOMKilled\n{EVIL}");
    let ended = json!({"instance_id": INSTANCE, "reason": reason});
    let answer =
        post(Who::Admin, "/admin/runners/acme-holder/ended", &ended).send(&bed, &template.things).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let attempts = call(Who::Admin, &Method::GET, "/runs/{run}/attempts", &Value::Null);
    let answer = attempts.send(&bed, &template.things).await;
    assert!(answer.body.contains(r"OOMKilled\na�[2Jb"), "{answer:?}");
}

#[tokio::test]
async fn keys_of_a_towerfile_that_nobody_knows_are_ignored_and_named() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let towerfile = "[app]\nname = 'acme-app'\nscript = 'main.py'\ntimeot = 7\n[nobodys]\na = 1\n";
    let upload = version(&[("artifact", packed(&[("Towerfile", towerfile), ("main.py", "")]))]);
    let answer = upload.send(&bed, &template.things).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.headers["x-ignored-fields"], "Towerfile.nobodys, Towerfile.app.timeot");
}

#[tokio::test]
async fn what_a_towerfile_overrules_is_named_and_refused_where_it_is_wrong() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let upload = |name: &str, part: &str, value: &str| {
        let towerfile = format!("[app]\nname = '{name}'\nscript = 'main.py'\n");
        let archive = packed(&[("Towerfile", &towerfile), ("main.py", "")]);
        version(&[("artifact", archive), (part, value.as_bytes().to_vec())])
    };
    for (name, part, value, ignored) in [
        ("acme-app", "timeout_seconds", "77", Some("timeout_seconds")),
        ("acme-app", "entrypoint", "zz.py", Some("entrypoint")),
        ("acme-app", "params_schema_json", "{}", Some("params_schema_json")),
        ("acme-app", "entrypoint", "", None),
        ("foreign", "timeout_seconds", " ", Some("Towerfile.app.name")),
        ("foreign", "timeout_seconds", "7", Some("Towerfile.app.name, timeout_seconds")),
    ] {
        let answer = upload(name, part, value).send(&bed, &template.things).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let named = answer.headers.get("x-ignored-fields").map(|value| value.to_str().unwrap());
        assert_eq!(named, ignored, "{name} {part}={value}");
    }
    for (part, value) in [("timeout_seconds", "abc"), ("timeout_seconds", "0"), ("params_schema_json", "{")] {
        let answer = upload("acme-app", part, value).send(&bed, &template.things).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let named = if part == "timeout_seconds" { part } else { "schema" };
        assert!(answer.body.contains(named), "{answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_missing_which_values_there_are_and_repeats_little() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let long = format!("/runs?status={}", "x".repeat(5_000));
    let line = json!({"logs": [{"seq": 1, "stream": "stdout", "line": "a"}]});
    for (call, named) in [
        (
            call(Who::Admin, &Method::GET, &long, &Value::Null),
            "…\\\" is not a valid status: it must be one of queued",
        ),
        (
            post(Who::Admin, "/tokens", &json!({"role": {}})),
            "`role` in the request body must be \\\"admin\\\" or \\\"member\\\"",
        ),
        (post(Who::Holder, "/runs/{run}/logs", &line), "`logs.0.logged_at` in the request body is missing"),
        (
            call(Who::Admin, &Method::DELETE, "/apps/acme-app", &Value::Null),
            "the app \\\"acme-app\\\" has runs that have not ended",
        ),
    ] {
        let answer = call.send(&bed, &template.things).await;
        assert!(answer.body.contains(named) && answer.body.len() < 400, "{call:?}: {answer:?}");
    }
}
