//! One fault for every bound, pattern and type.

use serde_json::{Value, json};

use super::{Refused, spec};

/// Numbers below and above the bounds of a field. They may break rules between fields too.
fn numbers() -> Vec<Refused> {
    let number = |nest: fn(i64) -> Value, path: &'static str, least: i64, most: i64| {
        let words = |bound: &str| format!("{path} in body should be {bound}");
        [
            spec(&nest(least - 1), path, &words(&format!("greater than or equal to {least}"))).among_others(),
            spec(&nest(most + 1), path, &words(&format!("less than or equal to {most}"))).among_others(),
        ]
    };
    let (hour, week) = (3600, 604_800);
    let fields = [
        number(|n| json!({ "maxRunners": n }), "spec.maxRunners", 0, 10_000),
        number(|n| json!({ "minRunners": n }), "spec.minRunners", 0, 10_000),
        number(|n| json!({ "minIdle": n }), "spec.minIdle", 0, 10_000),
        number(|n| json!({ "replicas": n }), "spec.replicas", 0, 10_000),
        number(|n| json!({ "scaling": { "runsPerRunner": n } }), "spec.scaling.runsPerRunner", 1, 1000),
        number(
            |n| json!({ "scaling": { "scaleUp": { "stabilizationSeconds": n } } }),
            "spec.scaling.scaleUp.stabilizationSeconds",
            0,
            hour,
        ),
        number(
            |n| json!({ "scaling": { "scaleUp": { "maxStep": n } } }),
            "spec.scaling.scaleUp.maxStep",
            1,
            10_000,
        ),
        number(
            |n| json!({ "scaling": { "scaleDown": { "stabilizationSeconds": n } } }),
            "spec.scaling.scaleDown.stabilizationSeconds",
            0,
            hour,
        ),
        number(
            |n| json!({ "scaling": { "scaleDown": { "maxStep": n } } }),
            "spec.scaling.scaleDown.maxStep",
            1,
            10_000,
        ),
        number(|n| json!({ "scaling": { "pollSeconds": n } }), "spec.scaling.pollSeconds", 1, 30),
        number(|n| json!({ "shutdownGraceSeconds": n }), "spec.shutdownGraceSeconds", 30, week),
        number(|n| json!({ "drainDeadlineSeconds": n }), "spec.drainDeadlineSeconds", 0, week),
        number(
            |n| json!({ "server": { "serviceRef": { "name": "a", "port": n } } }),
            "spec.server.serviceRef.port",
            1,
            65_535,
        ),
    ];
    fields.into_iter().flatten().collect()
}

/// Texts that break a field's pattern.
fn texts() -> Vec<Refused> {
    let text = |patch: Value, path: &'static str, pattern: &str| {
        spec(&patch, path, &format!("{path} in body should match '{pattern}'"))
    };
    let label = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    let subdomain = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
    let key = "^[-._a-zA-Z0-9]+$";
    let value = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
    vec![
        text(json!({ "environment": "Production" }), "spec.environment", "^[a-z0-9][a-z0-9._-]{0,62}$"),
        text(json!({ "environment": "-a" }), "spec.environment", "^[a-z0-9][a-z0-9._-]{0,62}$"),
        text(json!({ "team": "1st-team" }), "spec.team", "^[a-z][a-z0-9-]{2,31}$"),
        text(json!({ "server": { "serviceRef": { "name": "a.b" } } }), "spec.server.serviceRef.name", label),
        text(
            json!({ "server": { "serviceRef": { "name": "a", "namespace": "b.example.com" } } }),
            "spec.server.serviceRef.namespace",
            label,
        ),
        text(
            json!({ "registrationTokenSecretRef": { "name": "A" } }),
            "spec.registrationTokenSecretRef.name",
            subdomain,
        ),
        text(
            json!({ "registrationTokenSecretRef": { "key": "a b" } }),
            "spec.registrationTokenSecretRef.key",
            key,
        ),
        text(
            json!({ "operatorTokenSecretRef": { "name": "-" } }),
            "spec.operatorTokenSecretRef.name",
            subdomain,
        ),
        text(
            json!({ "operatorTokenSecretRef": { "name": "a", "key": "/" } }),
            "spec.operatorTokenSecretRef.key",
            key,
        ),
        text(json!({ "runner": { "image": "a b" } }), "spec.runner.image", r"^\S+$"),
        text(
            json!({ "runner": { "env": [{ "name": "A=B" }] } }),
            "spec.runner.env[0].name",
            "^[-._a-zA-Z][-._a-zA-Z0-9]*$",
        ),
        text(json!({ "runner": { "serviceAccountName": "A" } }), "spec.runner.serviceAccountName", subdomain),
        text(
            json!({ "runner": { "cache": { "emptyDir": null, "ephemeral": { "size": "1Gi", "storageClassName": "A" } } } }),
            "spec.runner.cache.ephemeral.storageClassName",
            subdomain,
        ),
        text(json!({ "template": { "labels": { "a": "b c" } } }), "spec.template.labels.a", value),
        text(
            json!({ "template": { "nodeSelector": { "a": "b c" } } }),
            "spec.template.nodeSelector.a",
            value,
        ),
        text(json!({ "template": { "priorityClass": "A" } }), "spec.template.priorityClass", subdomain),
        text(json!({ "template": { "runtimeClass": "A" } }), "spec.template.runtimeClass", subdomain),
        text(
            json!({ "template": { "volumes": [{ "name": "a.b" }] } }),
            "spec.template.volumes[0].name",
            label,
        ),
    ]
}

/// What is missing, too much, twice, or of another type.
fn shapes() -> Vec<Refused> {
    let many = |count: usize, one: fn(usize) -> Value| (0..count).map(one).collect::<Value>();
    let fields = |count: usize| -> Value {
        (0..count).map(|n| (format!("a{n}"), json!("1"))).collect::<serde_json::Map<_, _>>().into()
    };
    vec![
        spec(&json!({ "server": null }), "spec.server", "Required value"),
        spec(
            &json!({ "registrationTokenSecretRef": { "name": null } }),
            "spec.registrationTokenSecretRef.name",
            "Required value",
        ),
        spec(
            &json!({ "server": { "serviceRef": { "name": null, "port": 1 } } }),
            "spec.server.serviceRef.name",
            "Required value",
        ),
        spec(
            &json!({ "runner": { "cache": { "ephemeral": { "storageClassName": "a" } } } }),
            "spec.runner.cache.ephemeral.size",
            "Required value",
        ),
        spec(
            &json!({ "runner": { "imagePullPolicy": "Sometimes" } }),
            "spec.runner.imagePullPolicy",
            r#"Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#,
        ),
        spec(&json!({ "environment": "" }), "spec.environment", "should be at least 1 chars long"),
        spec(&json!({ "environment": "a".repeat(64) }), "spec.environment", "may not be more than 63 bytes"),
        spec(
            &json!({ "maxRunners": "many" }),
            "spec.maxRunners",
            r#"spec.maxRunners in body must be of type integer: "string""#,
        ),
        spec(
            &json!({ "paused": "yes" }),
            "spec.paused",
            r#"spec.paused in body must be of type boolean: "string""#,
        ),
        spec(
            &json!({ "runner": { "env": many(101, |n| json!({ "name": format!("A{n}") })) } }),
            "spec.runner.env",
            "must have at most 100 items",
        ),
        spec(
            &json!({ "runner": { "env": [{ "name": "A" }, { "name": "A" }] } }),
            "spec.runner.env[1]",
            r#"Duplicate value: {"name":"A"}"#,
        ),
        spec(
            &json!({ "runner": { "envFrom": many(21, |_| json!({})) } }),
            "spec.runner.envFrom",
            "must have at most 20 items",
        ),
        spec(
            &json!({ "runner": { "resources": { "limits": fields(9) } } }),
            "spec.runner.resources.limits",
            "must have at most 8 items",
        ),
        spec(
            &json!({ "template": { "labels": fields(33) } }),
            "spec.template.labels",
            "must have at most 32 items",
        ),
        spec(
            &json!({ "template": { "tolerations": many(51, |_| json!({})) } }),
            "spec.template.tolerations",
            "must have at most 50 items",
        ),
        spec(
            &json!({ "template": { "volumes": [{ "name": "a", "emptyDir": {} }, { "name": "a", "secret": {} }] } }),
            "spec.template.volumes[1]",
            r#"Duplicate value: {"name":"a"}"#,
        ),
    ]
}

pub(super) fn all() -> Vec<Refused> {
    let mut all = numbers();
    all.extend(texts());
    all.extend(shapes());
    all
}
