//! What a real API server accepts, and what it fills in.

use minitower_operator::crd::{RunnerPool, RunnerPoolSpec};
use serde_json::{Value, json};

use crate::api;
use crate::crd::objects::{full, minimal, with};

/// The spec of [`minimal`] as the API server shows it.
fn minimal_with_defaults() -> Value {
    json!({
        "environment": "default",
        "server": { "serviceRef": { "name": "minitower", "port": 8080 } },
        "registrationTokenSecretRef": { "name": "minitower", "key": "registration-token" },
        "minRunners": 0,
        "maxRunners": 10,
        "minIdle": 0,
        "scaling": {
            "runsPerRunner": 1,
            "scaleUp": { "stabilizationSeconds": 0 },
            "scaleDown": { "stabilizationSeconds": 60 },
            "pollSeconds": 1,
        },
        "paused": false,
        "shutdownGraceSeconds": 3600,
        "drainDeadlineSeconds": 3600,
        "runner": { "cache": { "emptyDir": { "sizeLimit": "20Gi" } } },
    })
}

#[test]
fn the_defaults_are_filled_in_where_a_person_sees_them() {
    let Some(cluster) = api::namespace("defaults") else { return };
    cluster.apply(&minimal("minimal")).expect_ok();
    assert_eq!(cluster.pool("minimal")["spec"], minimal_with_defaults());
}

#[test]
fn the_operator_has_the_same_defaults_as_the_schema() {
    let Some(cluster) = api::namespace("same-defaults") else { return };
    cluster.apply(&minimal("minimal")).expect_ok();
    let served: RunnerPool = serde_json::from_value(cluster.pool("minimal")).unwrap();
    let read: RunnerPool = serde_json::from_value(minimal("minimal")).unwrap();
    assert_eq!(served.spec, read.spec);
}

#[test]
fn a_part_that_is_given_keeps_the_defaults_of_the_rest() {
    let Some(cluster) = api::namespace("parts") else { return };
    let patch = json!({ "spec": {
        "scaling": { "scaleDown": { "maxStep": 1 } },
        "runner": { "image": "runner:1", "cache": { "emptyDir": {} } },
    } });
    cluster.apply(&with(minimal("parts"), &patch)).expect_ok();
    let expected = json!({
        "scaling": { "scaleDown": { "maxStep": 1 } },
        "runner": { "image": "runner:1" },
    });
    assert_eq!(cluster.pool("parts")["spec"], with(minimal_with_defaults(), &expected));
}

#[test]
fn a_pool_need_not_name_a_registration_token() {
    let Some(cluster) = api::namespace("no-token") else { return };
    let without = json!({ "spec": { "registrationTokenSecretRef": null } });
    cluster.apply(&with(minimal("no-token"), &without)).expect_ok();
    assert_eq!(cluster.pool("no-token")["spec"], with(minimal_with_defaults(), &without["spec"]));
}

#[test]
fn an_explicit_null_means_the_default() {
    let Some(cluster) = api::namespace("null") else { return };
    let mut pool = minimal("null");
    for field in [
        "environment",
        "maxRunners",
        "replicas",
        "scaling",
        "runner",
        "template",
        "team",
        "operatorTokenSecretRef",
        "secretRef",
    ] {
        pool["spec"][field] = Value::Null;
    }
    cluster.apply(&pool).expect_ok();
    assert_eq!(cluster.pool("null")["spec"], minimal_with_defaults());
}

#[test]
fn a_pool_that_says_everything_is_kept_word_for_word() {
    let Some(cluster) = api::namespace("full") else { return };
    cluster.apply(&full("full")).expect_ok();
    assert_eq!(cluster.pool("full")["spec"], full("full")["spec"]);
}

#[test]
fn what_is_just_allowed_is_accepted() {
    let Some(cluster) = api::namespace("limits") else { return };
    let token = json!({ "name": "tokens" });
    let url = |url: &str| json!({ "spec": { "server": { "serviceRef": null, "url": url }, "operatorTokenSecretRef": token } });
    let allowed = [
        json!({ "metadata": { "name": "a".repeat(50) } }),
        json!({ "metadata": { "name": "0-a" } }),
        json!({ "spec": { "environment": format!("0{}", "._-".repeat(20)) } }),
        json!({ "spec": { "minRunners": 10_000, "maxRunners": 10_000, "minIdle": 10_000, "replicas": 0 } }),
        json!({ "spec": { "maxRunners": 0 } }),
        json!({ "spec": { "shutdownGraceSeconds": 30, "drainDeadlineSeconds": 0 } }),
        json!({ "spec": { "shutdownGraceSeconds": 604_800, "drainDeadlineSeconds": 604_800 } }),
        json!({ "spec": { "scaling": { "pollSeconds": 30, "runsPerRunner": 1000 } } }),
        json!({ "spec": { "server": { "serviceRef": { "namespace": "a".repeat(63) } } } }),
        url("http://10.0.0.1:8080"),
        url("https://[::1]:8443/"),
        url("https://minitower.example.com/below/a/path"),
        json!({ "spec": { "runner": { "env": [
            { "name": "MINITOWER_RUN_ENV_PASS", "value": "A,B_*" },
            { "name": "MINITOWER_SANDBOX", "value": "best-effort" },
            { "name": "MINITOWER_JOB_MEMORY", "value": "8GiB" },
            { "name": "MINITOWER_LOG", "value": "info" },
            { "name": "MINITOWER_LOG_FORMAT", "value": "json" },
            { "name": "MINITOWER_KILL_GRACE_PERIOD", "value": "5s" },
            { "name": "MINITOWER_POLL_INTERVAL", "value": "1s" },
            { "name": "MINITOWER_CA_FILE", "value": "/etc/ca/ca.crt" },
            { "name": "MINITOWERS" },
        ] } } }),
        json!({ "spec": { "runner": { "resources": {
            "requests": { "cpu": "500m", "memory": "1Gi", "ephemeral-storage": 1000 },
            "limits": { "cpu": "0.5", "memory": "1024Mi", "ephemeral-storage": "1k" },
        } } } }),
        json!({ "spec": {
            "runner": { "volumeMounts": [
                { "name": "a", "mountPath": "/tmp/below" },
                { "name": "a", "mountPath": "/var/lib/minitower-more" },
                { "name": "a", "mountPath": "/etc/minitower/ca/" },
                { "name": "a", "mountPath": "/opt/..data" },
            ] },
            "template": { "volumes": [{ "name": "a", "emptyDir": {} }] },
        } }),
        json!({ "spec": { "template": { "annotations": { "a": "any text at all: ä\n" }, "labels": { "empty": "" } } } }),
    ];
    for patch in allowed {
        let said = cluster.try_apply(&with(minimal("allowed"), &patch));
        assert!(said.ok, "{patch}: {}", said.err);
    }
}

#[test]
fn kubectl_explain_describes_the_fields() {
    let Some(cluster) = api::namespace("explain") else { return };
    let said = cluster.kubectl(&["explain", "rp.spec.scaling"], None).expect_ok().out;
    for words in ["How the size follows the queue.", "runsPerRunner", "How often demand is read, in seconds."]
    {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
}

#[test]
fn what_is_read_is_written_again_word_for_word() {
    let spec = full("full")["spec"].clone();
    let read: RunnerPoolSpec = serde_json::from_value(spec.clone()).unwrap();
    let mut written = serde_json::to_value(read).unwrap();
    // Whole numbers are quantities too; they are written as texts.
    for path in ["/runner/resources/requests/cpu", "/runner/resources/limits/example.com~1gpu"] {
        let quantity = written.pointer_mut(path).unwrap();
        assert_eq!(quantity.take(), "1", "{path}");
        *quantity = json!(1);
    }
    assert_eq!(written, spec);
}
