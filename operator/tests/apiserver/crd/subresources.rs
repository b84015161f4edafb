//! Scale and status on a real API server.

use serde_json::{Value, json};

use crate::api;
use crate::crd::objects::{minimal, with};

fn status() -> Value {
    json!({
        "observedGeneration": 1,
        "replicas": 4,
        "readyRunners": 3,
        "busyRunners": 2,
        "idleRunners": 1,
        "pendingRuns": 17,
        "desiredRunners": 5,
        "demand": { "state": "Known", "asOf": "2026-01-02T03:04:05Z" },
        "lastDecision": { "at": "2026-01-02T03:04:05Z", "from": 4, "to": 5, "reason": "17 runs wait: 4 -> 5" },
        "lastScaleTime": "2026-01-02T03:04:05Z",
        "selector": "minitower.dev/pool=pool",
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "AsDesired", "message": "all is well", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    })
}

#[test]
fn kubectl_scale_sets_the_size_and_nothing_else() {
    let Some(cluster) = api::namespace("scale") else { return };
    cluster.apply(&minimal("pool")).expect_ok();
    let before = cluster.pool("pool")["spec"].clone();
    cluster.kubectl(&["scale", "rp/pool", "--replicas=3"], None).expect_ok();
    assert_eq!(cluster.pool("pool")["spec"], with(before.clone(), &json!({ "replicas": 3 })));
    assert_eq!(cluster.scale("pool")["spec"]["replicas"], 3);

    cluster.kubectl(&["scale", "rp/pool", "--replicas=0"], None).expect_ok();
    assert_eq!(cluster.pool("pool")["spec"]["replicas"], 0);

    let patch = r#"{"spec":{"replicas":null}}"#;
    cluster.kubectl(&["patch", "rp", "pool", "--type=merge", "-p", patch], None).expect_ok();
    assert_eq!(cluster.pool("pool")["spec"], before, "without replicas the pool follows the queue again");
}

#[test]
fn kubectl_scale_beyond_the_bound_is_refused() {
    let Some(cluster) = api::namespace("scale-bound") else { return };
    cluster.apply(&minimal("pool")).expect_ok();
    let said = cluster.kubectl(&["scale", "rp/pool", "--replicas=10001"], None);
    assert!(!said.ok);
    let rule = "spec.replicas in body should be less than or equal to 10000";
    assert!(said.err.contains(rule), "{}", said.err);
}

#[test]
fn the_scale_shows_what_a_horizontal_pod_autoscaler_needs() {
    let Some(cluster) = api::namespace("scale-status") else { return };
    cluster.apply(&minimal("pool")).expect_ok();
    cluster.kubectl(&["scale", "rp/pool", "--replicas=4"], None).expect_ok();
    let patch = json!({ "status": status() }).to_string();
    let args = ["patch", "rp", "pool", "--subresource=status", "--type=merge", "-p", &patch];
    cluster.kubectl(&args, None).expect_ok();
    let expected = json!({ "replicas": 4, "selector": "minitower.dev/pool=pool" });
    assert_eq!(cluster.scale("pool")["status"], expected);
}

#[test]
fn status_is_written_through_its_subresource_alone() {
    let Some(cluster) = api::namespace("status") else { return };
    // A status that a person writes does not count.
    cluster.apply(&with(minimal("pool"), &json!({ "status": status() }))).expect_ok();
    let created = cluster.pool("pool");
    assert_eq!(created.get("status"), None);

    let patch = json!({ "status": status(), "spec": { "paused": true } }).to_string();
    let args = ["patch", "rp", "pool", "--subresource=status", "--type=merge", "-p", &patch];
    cluster.kubectl(&args, None).expect_ok();
    let answered = cluster.pool("pool");
    assert_eq!(answered["status"], status());
    assert_eq!(answered["spec"], created["spec"]);
    assert_eq!(answered["metadata"]["generation"], created["metadata"]["generation"]);

    cluster
        .kubectl(&["patch", "rp", "pool", "--type=merge", "-p", r#"{"spec":{"paused":true}}"#], None)
        .expect_ok();
    let changed = cluster.pool("pool");
    assert_eq!(changed["status"], status());
    assert_eq!(changed["metadata"]["generation"], 2);
}

#[test]
fn a_state_of_demand_that_nobody_knows_is_refused() {
    let Some(cluster) = api::namespace("demand") else { return };
    cluster.apply(&minimal("pool")).expect_ok();
    let patch = r#"{"status":{"demand":{"state":"Guessed"}}}"#;
    let said =
        cluster.kubectl(&["patch", "rp", "pool", "--subresource=status", "--type=merge", "-p", patch], None);
    assert!(!said.ok);
    let rule =
        r#"status.demand.state: Unsupported value: "Guessed": supported values: "Known", "Stale", "Unknown""#;
    assert!(said.err.contains(rule), "{}", said.err);
}

#[test]
fn kubectl_get_shows_the_columns() {
    let Some(cluster) = api::namespace("columns") else { return };
    cluster.apply(&minimal("pool")).expect_ok();
    let patch = json!({ "status": status() }).to_string();
    let args = ["patch", "rp", "pool", "--subresource=status", "--type=merge", "-p", &patch];
    cluster.kubectl(&args, None).expect_ok();

    let words = |said: &str| -> Vec<Vec<String>> {
        said.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let narrow = words(&cluster.kubectl(&["get", "rp"], None).expect_ok().out);
    assert_eq!(
        narrow[0],
        [
            "NAME",
            "ENVIRONMENT",
            "MIN",
            "MAX",
            "DESIRED",
            "READY",
            "BUSY",
            "PENDING",
            "LEAVING",
            "REASON",
            "AGE"
        ]
    );
    assert_eq!(narrow[1][..8], ["pool", "default", "0", "10", "5", "3", "2", "17"]);
    assert_eq!((narrow[1].len(), narrow[1][8].as_str()), (10, "AsDesired"), "nothing is leaving");

    let wide = cluster.kubectl(&["get", "rp", "-o", "wide"], None).expect_ok().out;
    assert!(wide.contains("POOL READY") && wide.contains("LAST DECISION"), "{wide}");
    assert!(wide.contains("True") && wide.contains("17 runs wait: 4 -> 5"), "{wide}");
}
