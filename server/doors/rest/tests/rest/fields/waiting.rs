//! Fields that say what runs wait for.

use http::Method;
use serde_json::{Value, json};

use super::table::{Row, call, differs, post, refused};
use super::{Call, Who};

/// The first run that there is.
pub(super) const RUN: i64 = 7_000_001;

pub(super) fn rows() -> Vec<Row> {
    let run = |body: Value| post(Who::Admin, "/apps/acme-app/runs", &body);
    let shared = |body: Value| run(json!({"concurrency": body}));
    let after = |run_id: i64, on: &str| run(json!({"after": [{"run_id": run_id, "on": on}]}));
    let change = |body: Value| -> Call { call(Who::Admin, &Method::PATCH, "/apps/acme-app", &body) };
    let changes = |body: Value| differs(change(json!({})), change(body));
    let keep = |body: Value| call(Who::Admin, &Method::PUT, "/retention", &body);
    vec![
        ("create_run", "concurrency", differs(run(json!({})), shared(json!({"max": 1})))),
        (
            "create_run",
            "concurrency.key",
            differs(shared(json!({"max": 1})), shared(json!({"key": "db", "max": 1}))),
        ),
        (
            "create_run",
            "concurrency.max",
            refused(shared(json!({"max": 1})), shared(json!({"max": 0})), "concurrency.max"),
        ),
        ("create_run", "after", differs(run(json!({})), after(RUN, "ended"))),
        ("create_run", "after[].run_id", differs(after(RUN, "ended"), after(9_999_999, "ended"))),
        ("create_run", "after[].on", refused(after(RUN, "ended"), after(RUN, "sometimes"), "after")),
        ("change_app", "description", changes(json!({"description": "d"}))),
        ("change_app", "disabled", changes(json!({"disabled": true}))),
        ("change_app", "concurrency", changes(json!({"concurrency": {"max": 1}}))),
        (
            "change_app",
            "concurrency.key",
            differs(
                change(json!({"concurrency": {"max": 1}})),
                change(json!({"concurrency": {"key": "db", "max": 1}})),
            ),
        ),
        (
            "change_app",
            "concurrency.max",
            differs(change(json!({"concurrency": {"max": 1}})), change(json!({"concurrency": {"max": 2}}))),
        ),
        ("change_app", "log_limits", changes(json!({"log_limits": {"bytes_per_run": 4096}}))),
        (
            "change_app",
            "log_limits.bytes_per_run",
            differs(
                change(json!({"log_limits": {"bytes_per_run": 4096}})),
                change(json!({"log_limits": {"bytes_per_run": 8192}})),
            ),
        ),
        ("change_app", "retention", changes(json!({"retention": {"keep_last": 7}}))),
        ("change_app", "retention.keep_seconds", changes(json!({"retention": {"keep_seconds": 7200}}))),
        ("change_app", "retention.keep_last", changes(json!({"retention": {"keep_last": 7}}))),
        ("set_retention", "keep_seconds", differs(keep(json!({})), keep(json!({"keep_seconds": 7200})))),
        ("set_retention", "keep_last", differs(keep(json!({})), keep(json!({"keep_last": 7})))),
        ("change_app", "expect_seconds", changes(json!({"expect_seconds": 60}))),
        ("change_app", "expect_wait_seconds", changes(json!({"expect_wait_seconds": 60}))),
    ]
}
