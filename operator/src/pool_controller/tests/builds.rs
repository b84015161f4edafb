//! The objects that are built from a spec.

use std::collections::BTreeSet;
use std::error::Error as _;

use rstest::rstest;
use serde_json::{Value, json};

use super::super::build::{deployment, render};
use super::objects::pool;

const IMAGE: &str = "registry/runner:1";

fn full() -> Value {
    json!({ "spec": {
        "environment": "gpu",
        "replicas": 3,
        "shutdownGraceSeconds": 600,
        "runner": {
            "image": "registry/own@sha256:0123",
            "imagePullPolicy": "Always",
            "pythonBin": "/usr/bin/python3.12",
            "env": [
                { "name": "MINITOWER_KILL_GRACE_PERIOD", "value": "1m30s" },
                { "name": "PROXY", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "proxy" } } },
            ],
            "envFrom": [{ "secretRef": { "name": "credentials", "optional": true }, "prefix": "DB_" }],
            "resources": { "requests": { "cpu": "1", "memory": "512Mi" }, "limits": { "memory": "1Gi" } },
            "cache": { "ephemeral": { "storageClassName": "standard", "size": "50Gi" } },
            "serviceAccountName": "runner",
            "securityContext": { "runAsUser": 20_001, "seccompProfile": { "type": "Localhost", "localhostProfile": "own.json" } },
            "volumeMounts": [{ "name": "settings", "mountPath": "/etc/settings", "readOnly": true }],
        },
        "template": {
            "labels": { "example.com/cost-centre": "42" },
            "annotations": { "example.com/contact": "science@example.com" },
            "nodeSelector": { "kubernetes.io/arch": "amd64" },
            "tolerations": [{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }],
            "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 1,
                "preference": { "matchExpressions": [{ "key": "spot", "operator": "DoesNotExist" }] },
            }] } },
            "topologySpread": [
                { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" },
                {
                    "maxSkew": 2, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": { "matchLabels": { "a": "b" } },
                },
            ],
            "priorityClass": "batch",
            "runtimeClass": "gvisor",
            "volumes": [{ "name": "settings", "configMap": { "name": "settings" } }],
        },
    } })
}

fn revision(spec: &Value) -> String {
    render(&pool(&json!({ "spec": spec })), IMAGE).unwrap().revision
}

fn template(spec: &Value) -> Value {
    serde_json::to_value(render(&pool(&json!({ "spec": spec })), IMAGE).unwrap().template).unwrap()
}

fn variable(spec: &Value, name: &str) -> Option<String> {
    let template = template(spec);
    let all = template["spec"]["containers"][0]["env"].as_array().unwrap();
    let found = all.iter().find(|variable| variable["name"] == name)?;
    Some(found["value"].as_str().unwrap().to_owned())
}

#[test]
fn the_deployment_of_the_shortest_pool() {
    let pool = pool(&json!({}));
    let rendered = render(&pool, IMAGE).unwrap();
    insta::assert_json_snapshot!(deployment(&pool, &rendered, Some(2)));
}

#[test]
fn the_deployment_of_a_pool_that_says_all_there_is_to_say() {
    let pool = pool(&full());
    let rendered = render(&pool, IMAGE).unwrap();
    insta::assert_json_snapshot!(deployment(&pool, &rendered, None));
}

#[rstest]
#[case::of_the_node(json!({ "emptyDir": { "sizeLimit": "1Gi" } }), &["data", "tmp"])]
#[case::of_its_own(json!({ "ephemeral": { "size": "1Gi" } }), &[])]
fn a_pod_with_a_volume_of_its_own_has_nothing_on_the_node_that_a_drain_must_allow_to_delete(
    #[case] cache: Value,
    #[case] expected: &[&str],
) {
    let spec = template(&json!({ "runner": { "cache": cache } }))["spec"].clone();
    let on_node = |volume: &&Value| volume.get("emptyDir").is_some();
    let volumes = spec["volumes"].as_array().unwrap();
    let found: Vec<&str> =
        volumes.iter().filter(on_node).map(|volume| volume["name"].as_str().unwrap()).collect();
    assert_eq!(found, expected);
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let writable: Vec<&Value> = mounts.iter().filter(|mount| mount["readOnly"] != true).collect();
    let paths: Vec<&str> = writable.iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/var/lib/minitower", "/tmp"]);
    assert!(mounts.iter().all(|mount| volumes.iter().any(|volume| volume["name"] == mount["name"])));
}

#[test]
fn the_same_spec_is_the_same_revision() {
    let twice = || render(&pool(&full()), IMAGE).unwrap().revision;
    assert_eq!(twice(), twice());
    assert_eq!(twice().len(), 10);
}

#[test]
fn every_field_of_the_pod_is_another_revision() {
    let changes = [
        json!({}),
        json!({ "environment": "gpu" }),
        json!({ "server": { "url": "http://other:8080" } }),
        json!({ "registrationTokenSecretRef": { "name": "others" } }),
        json!({ "registrationTokenSecretRef": { "key": "other" } }),
        json!({ "secretRef": { "name": "of-jobs" } }),
        json!({ "secretRef": { "name": "of-jobs", "keys": ["A_KEY"] } }),
        json!({ "shutdownGraceSeconds": 600 }),
        json!({ "runner": { "image": "other" } }),
        json!({ "runner": { "imagePullPolicy": "Always" } }),
        json!({ "runner": { "pythonBin": "python3.12" } }),
        json!({ "runner": { "env": [{ "name": "A", "value": "b" }] } }),
        json!({ "runner": { "envFrom": [{ "secretRef": { "name": "a" } }] } }),
        json!({ "runner": { "resources": { "requests": { "cpu": "1" } } } }),
        json!({ "runner": { "resources": { "limits": { "cpu": "1" } } } }),
        json!({ "runner": { "cache": { "emptyDir": { "sizeLimit": "1Gi" } } } }),
        json!({ "runner": { "cache": { "ephemeral": { "size": "1Gi" } } } }),
        json!({ "runner": { "cache": { "ephemeral": { "size": "1Gi", "storageClassName": "a" } } } }),
        json!({ "runner": { "serviceAccountName": "a" } }),
        json!({ "runner": { "securityContext": { "runAsUser": 1 } } }),
        json!({ "runner": { "volumeMounts": [{ "name": "a", "mountPath": "/a" }] } }),
        json!({ "template": { "labels": { "a": "b" } } }),
        json!({ "template": { "annotations": { "a": "b" } } }),
        json!({ "template": { "nodeSelector": { "a": "b" } } }),
        json!({ "template": { "tolerations": [{ "key": "a" }] } }),
        json!({ "template": { "affinity": { "podAffinity": {} } } }),
        json!({ "template": { "topologySpread": [{ "maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule" }] } }),
        json!({ "template": { "priorityClass": "a" } }),
        json!({ "template": { "runtimeClass": "a" } }),
        json!({ "template": { "volumes": [{ "name": "a", "emptyDir": {} }] } }),
    ];
    let revisions: BTreeSet<String> = changes.iter().map(revision).collect();
    assert_eq!(revisions.len(), changes.len());
    let other_image = render(&pool(&json!({})), "registry/runner:2").unwrap().revision;
    assert!(!revisions.contains(&other_image), "a new default image is a new revision");
}

#[rstest]
#[case(json!({ "minRunners": 1 }))]
#[case(json!({ "maxRunners": 99 }))]
#[case(json!({ "minIdle": 1 }))]
#[case(json!({ "replicas": 5 }))]
#[case(json!({ "scaling": { "runsPerRunner": 9, "pollSeconds": 9, "scaleDown": { "stabilizationSeconds": 9 } } }))]
#[case(json!({ "paused": true }))]
#[case(json!({ "team": "acme" }))]
#[case(json!({ "drainDeadlineSeconds": 9 }))]
#[case(json!({ "operatorTokenSecretRef": { "name": "others" } }))]
fn what_the_pod_does_not_show_is_no_other_revision(#[case] spec: Value) {
    assert_eq!(revision(&spec), revision(&json!({})));
}

#[test]
fn a_security_context_is_laid_over_and_what_it_leaves_out_stays_restricted() {
    let overlay = json!({ "runner": { "securityContext": { "runAsUser": 5, "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] } } } });
    let found = &template(&overlay)["spec"]["containers"][0]["securityContext"];
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": 5,
    });
    assert_eq!(*found, expected);
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
#[test]
fn pods_pass_pod_security_restricted_and_carry_no_account() {
    let pod = &template(&json!({}))["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    for field in ["hostPID", "hostIPC", "hostNetwork", "shareProcessNamespace"] {
        assert!(pod[field].is_null(), "{field}");
    }
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["capabilities"], json!({ "drop": ["ALL"] }));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        assert!(pod["containers"][0][probe].is_null(), "{probe}: work could make it fail");
    }
}

#[rstest]
#[case::the_default(3600, None, "3580s")]
#[case::with_a_longer_kill_grace(3600, Some("1m30s"), "3500s")]
#[case::with_none(3600, Some("0s"), "3590s")]
#[case::just_enough(30, None, "10s")]
#[case::too_short(30, Some("5m"), "0s")]
#[case::unreadable(60, Some("soon"), "40s")]
fn a_run_may_go_on_for_what_the_grace_leaves(
    #[case] whole: u32,
    #[case] kill_grace: Option<&str>,
    #[case] expected: &str,
) {
    let env: Vec<Value> = kill_grace
        .iter()
        .map(|value| json!({ "name": "MINITOWER_KILL_GRACE_PERIOD", "value": value }))
        .collect();
    let spec = json!({ "shutdownGraceSeconds": whole, "runner": { "env": env } });
    assert_eq!(variable(&spec, "MINITOWER_SHUTDOWN_GRACE").as_deref(), Some(expected));
    assert_eq!(template(&spec)["spec"]["terminationGracePeriodSeconds"], whole);
}

#[test]
fn the_registration_token_is_a_file_and_no_variable() {
    let template = template(&json!({}));
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "registration-token").unwrap();
    assert_eq!(token["secret"]["secretName"], "tokens");
    assert_eq!(token["secret"]["items"], json!([{ "key": "registration-token", "path": "token" }]));
    let file = variable(&json!({}), "MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE");
    assert_eq!(file.as_deref(), Some("/etc/minitower/registration/token"));
    assert_eq!(variable(&json!({}), "MINITOWER_RUNNER_REGISTRATION_TOKEN"), None);
}

#[rstest]
#[case::all_keys(json!({ "name": "of-jobs" }), json!(null))]
#[case::some(
    json!({ "name": "of-jobs", "keys": ["A_KEY", "b"] }),
    json!([{ "key": "A_KEY", "path": "A_KEY" }, { "key": "b", "path": "b" }])
)]
fn the_secrets_of_jobs_are_files_of_the_runner_and_no_variables(#[case] secret: Value, #[case] items: Value) {
    let spec = json!({ "secretRef": secret });
    let template = template(&spec);
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "run-secrets").unwrap();
    assert_eq!(volume["secret"]["secretName"], "of-jobs");
    assert_eq!((&volume["secret"]["items"], &volume["secret"]["defaultMode"]), (&items, &json!(0o440)));
    let mounts = template["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "run-secrets").unwrap();
    let expected = json!({ "name": "run-secrets", "mountPath": "/etc/minitower/secrets", "readOnly": true });
    assert_eq!(*mount, expected);
    assert_eq!(variable(&spec, "MINITOWER_RUN_SECRETS_DIR").as_deref(), Some("/etc/minitower/secrets"));
    assert!(template["spec"]["containers"][0]["envFrom"].is_null());
    assert_eq!(variable(&json!({}), "MINITOWER_RUN_SECRETS_DIR"), None);
}

#[test]
fn the_selector_chooses_one_revision_and_the_template_carries_it() {
    let pool = pool(&full());
    let rendered = render(&pool, IMAGE).unwrap();
    let made = serde_json::to_value(deployment(&pool, &rendered, None)).unwrap();
    let selected = json!({ "minitower.dev/pool": "p", "minitower.dev/revision": rendered.revision });
    assert_eq!(made["spec"]["selector"]["matchLabels"], selected);
    for (label, value) in selected.as_object().unwrap() {
        assert_eq!(made["spec"]["template"]["metadata"]["labels"][label], *value);
    }
    assert!(made["spec"]["replicas"].is_null(), "a template carries no size");
}

#[test]
fn the_operators_labels_win_over_those_of_a_template() {
    // The API server refuses such a pool. One that is older than the rule must not reach into another pool's pods.
    let spec =
        json!({ "template": { "labels": { "minitower.dev/pool": "other", "app.kubernetes.io/name": "x" } } });
    let labels = &template(&spec)["metadata"]["labels"];
    assert_eq!(labels["minitower.dev/pool"], "p");
    assert_eq!(labels["app.kubernetes.io/name"], "minitower-runner");
}

#[rstest]
#[case(json!({ "template": { "affinity": { "nodeAffinity": 5 } } }), "spec.template.affinity", "pod.spec.affinity")]
#[case(
    json!({ "template": { "volumes": [{ "name": "a", "configMap": [] }] } }),
    "spec.template.volumes[a]",
    "pod.spec.volumes"
)]
fn a_part_that_is_none_is_named_with_where_its_form_is_told(
    #[case] spec: Value,
    #[case] field: &str,
    #[case] explained: &str,
) {
    let error = render(&pool(&json!({ "spec": spec })), IMAGE).unwrap_err();
    assert_eq!(error.to_string(), format!("{field} is not valid (see kubectl explain {explained})"));
    assert!(error.source().unwrap().is::<serde_json::Error>(), "{error:?}");
}
