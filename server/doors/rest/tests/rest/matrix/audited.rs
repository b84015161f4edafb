//! Whatever a person changes is in the audit log.

use std::collections::BTreeSet;

use axum::body::Body;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Method, Request};
use minitower_rest::{Access, Route, table};
use serde_json::Value;

use super::bed::{Bed, OPERATOR, PASSWORD, Template};
use super::callers::{Caller, Door, Kind, door, known};
use super::calls::Call;

/// Routes that change something and leave no event, and why.
const SILENT: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/apps/{app}/runs", "a run is its own record"),
    ("POST", "/api/v1/runs/{run}/retry", "so is the run that repeats another; and here it has not ended"),
    ("POST", "/api/v1/runs/cancel", "it finds no run here; below, it finds some"),
    ("POST", "/api/v1/runs/retry", "it finds no run here, and runs are their own record"),
    ("POST", "/api/v1/notifications/{id}/test", "a delivery is its own record"),
    ("POST", "/api/v1/notifications/{id}/deliveries/{delivery}/retry", "the same"),
    ("POST", "/api/v1/auth/oidc/device", "this sign-in is off here; a token comes of it, and its event"),
    ("POST", "/api/v1/auth/oidc/confirm", "the same"),
    ("POST", "/api/v1/auth/oidc/token", "the same"),
    ("POST", "/api/v1/notifications/{id}/test", "the delivery is the record"),
    (
        "POST",
        "/api/v1/notifications/{id}/deliveries/{delivery}/retry",
        "so is the delivery that is sent again",
    ),
    (
        "POST",
        "/api/v1/admin/runners/{name}/ended",
        "it tells a fact; what becomes of the run is the run's record",
    ),
    ("PUT", "/api/v1/admin/pools/{namespace}/{pool}", "it tells a fact again and again, and changes nothing"),
    ("DELETE", "/api/v1/admin/pools/{namespace}/{pool}", "it tells a fact as well"),
];

/// Tables that nobody changes by hand, or whose rows are the record of it.
const NOT_AUDITED: &[(&str, &str)] = &[
    ("audit_events", "the log itself"),
    ("team_keys", "made with the first secret, whose event it is"),
    ("master_keys", "says which key the others go by"),
    ("run_attempts", "written by runners, and a record itself"),
    ("run_counts", "follows from runs"),
    ("run_logs", "written by runners"),
    ("run_log_gaps", "follows from logs"),
    ("run_labels", "follows from runs"),
    ("run_inputs", "follows from runs"),
    ("run_dependencies", "follows from runs"),
    ("log_segments", "follows from logs"),
    ("log_frames", "follows from logs"),
    ("idempotency_keys", "follows from runs"),
    ("notification_counts", "follows from deliveries"),
    ("notification_deliveries", "written by the server, and a record itself"),
    ("notification_attempts", "written by the server, and a record itself"),
    ("object_store", "made once, at start"),
    ("team_usage", "follows from the rest"),
];

async fn events(bed: &Bed) -> Vec<Value> {
    let request = Request::get("/api/v1/admin/audit").header(AUTHORIZATION, format!("Bearer {OPERATOR}"));
    let answer = bed.send(request.body(Body::empty()).unwrap()).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["events"].as_array().unwrap().clone()
}

/// Somebody whom the route lets in.
fn caller(route: &Route, callers: &[Caller]) -> Caller {
    let may = |caller: &&Caller| door(route.access, caller.kind) == Door::Open;
    let of_acme = callers.iter().find(|caller| caller.kind == Kind::AcmeAdmin).filter(may);
    of_acme.or_else(|| callers.iter().find(may)).unwrap().clone()
}

fn changes(route: &Route) -> bool {
    !route.method.is_safe() && !matches!(route.access, Access::Registration | Access::Runner | Access::Lease)
}

#[tokio::test]
async fn each_route_that_changes_something_leaves_an_event_and_no_secret() {
    let template = Template::make().await;
    let callers = known(&template.things);
    let mut left: BTreeSet<_> =
        SILENT.iter().map(|(method, path, _)| ((*method).to_owned(), *path)).collect();
    for route in table().into_iter().filter(changes) {
        let bed = template.copy().await;
        let caller = caller(&route, &callers);
        let what = format!("{} {}", route.method, route.path);
        // A fence and a token of a pool are made first.
        if route.method == Method::DELETE
            && (route.path.ends_with("/drain") || route.path.ends_with("/{pool}/token"))
        {
            let makes = |one: &Route| one.method == Method::POST && one.path == route.path;
            let make = table().into_iter().find(makes).unwrap();
            bed.send(Call::of(&make).request(&make, &template.things, &caller)).await;
        }
        let before = events(&bed).await;
        let answer = bed.send(Call::of(&route).request(&route, &template.things, &caller)).await;
        let mut after = events(&bed).await;
        after.truncate(after.len() - before.len());
        if left.remove(&(route.method.to_string(), route.path)) {
            assert_eq!(after, Vec::<Value>::new(), "{what} is said to leave no event");
            continue;
        }
        assert!(answer.status.is_success(), "{what}: {answer:?}");
        let event = after.last().unwrap_or_else(|| panic!("{what} leaves no event in the audit log"));
        let actor = event["actor"].as_str().unwrap();
        let expected = match route.access {
            Access::Public => "sign-in",
            Access::Bootstrap => "bootstrap token",
            Access::Operator => "operator",
            _ => "token 7000",
        };
        assert!(actor.starts_with(expected), "{what}: {event}");
        let shown = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
        let text = Value::from(after.clone()).to_string();
        for secret in [shown["token"].as_str(), shown["registration_token"].as_str(), Some(PASSWORD)] {
            assert!(secret.is_none_or(|secret| !text.contains(secret)), "{what}: {text}");
        }
        let upper = text.to_uppercase();
        for hidden in bed.hidden() {
            assert!(
                !upper.contains(&hidden.to_uppercase()),
                "{what}: not even a hash, or what is encrypted: {text}"
            );
        }
    }
    assert_eq!(left, BTreeSet::new(), "these are no routes any more");
}

#[tokio::test]
async fn cancelling_many_runs_leaves_an_event_of_each() {
    let template = Template::make().await;
    let bed = template.copy().await;
    for _ in 0..3 {
        bed.ask("/apps/acme-app/runs", &template.things.acme_member, Value::Null).await;
    }
    let before = events(&bed).await.len();
    let filter = serde_json::json!({"status": "queued"});
    let cancelled = bed.ask("/runs/cancel", &template.things.acme_admin, filter).await["cancelled"].clone();
    let mut after = events(&bed).await;
    after.truncate(after.len() - before);
    assert_eq!(Some(after.len() as u64), cancelled.as_u64());
    assert!(after.len() >= 3 && after.iter().all(|event| event["action"] == "run.cancel"), "{after:?}");
}

#[tokio::test]
async fn what_is_refused_leaves_no_event() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let before = events(&bed).await;
    for route in table().into_iter().filter(changes) {
        for caller in known(&template.things).iter().filter(|one| door(route.access, one.kind) != Door::Open)
        {
            bed.send(Call::of(&route).request(&route, &template.things, caller)).await;
        }
        let caller = caller(&route, &known(&template.things));
        if super::calls::names_a_thing(&route) && !route.path.contains("/{pool}/") {
            bed.send(Call::of(&route).about_nothing(&route, &caller)).await;
        }
    }
    assert_eq!(events(&bed).await, before);
}

#[tokio::test]
async fn every_table_is_recorded_or_there_is_a_reason_why_not() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let audited: BTreeSet<&str> = minitower_teams::audit::tables()
        .chain(minitower_runs::AUDITED.iter().map(|audited| audited.table))
        .chain(minitower_notifications::AUDITED.iter().map(|audited| audited.table))
        .collect();
    let silent: BTreeSet<&str> = NOT_AUDITED.iter().map(|(table, _)| *table).collect();
    let tables = bed.tables();
    for table in &tables {
        let (recorded, not) = (audited.contains(table.as_str()), silent.contains(table.as_str()));
        assert!(recorded != not, "the changes of {table} are recorded, or NOT_AUDITED says why not");
    }
    for table in audited.union(&silent) {
        assert!(tables.iter().any(|one| one == table), "{table} is no table");
    }
}

#[tokio::test]
async fn the_log_is_exported_as_json_lines() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let request = Request::get("/api/v1/audit?limit=3")
        .header(AUTHORIZATION, format!("Bearer {}", template.things.acme_admin))
        .header(ACCEPT, "application/x-ndjson");
    let answer = bed.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{answer:?}");
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
}
