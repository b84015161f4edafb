//! Pools to apply.

use serde_json::{Map, Value, json};

/// The shortest pool that is accepted.
pub(crate) fn minimal(name: &str) -> Value {
    json!({
        "apiVersion": "minitower.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": { "name": name },
        "spec": {
            "server": { "serviceRef": { "name": "minitower" } },
            "registrationTokenSecretRef": { "name": "minitower" },
        },
    })
}

/// A pool with every field set.
pub(crate) fn full(name: &str) -> Value {
    with(
        minimal(name),
        &json!({ "spec": {
            "environment": "gpu.large_1",
            "server": { "url": "https://minitower.example.com:8443/base", "serviceRef": null },
            "registrationTokenSecretRef": { "name": "tokens", "key": "register" },
            "operatorTokenSecretRef": { "name": "tokens", "key": "operate" },
            "secretRef": { "name": "of-jobs", "keys": ["API_KEY", "_pin"] },
            "team": "data-science",
            "minRunners": 1,
            "maxRunners": 50,
            "minIdle": 2,
            "replicas": 3,
            "scaling": {
                "runsPerRunner": 4,
                "scaleUp": { "stabilizationSeconds": 5, "maxStep": 10 },
                "scaleDown": { "stabilizationSeconds": 300, "maxStep": 2 },
                "pollSeconds": 2,
            },
            "paused": true,
            "shutdownGraceSeconds": 600,
            "drainDeadlineSeconds": 7200,
            "runner": {
                "image": "registry.example.com:5000/minitower/runner@sha256:0123456789abcdef",
                "imagePullPolicy": "IfNotPresent",
                "pythonBin": "/usr/bin/python3.12",
                "env": [
                    { "name": "MINITOWER_LOG", "value": "debug" },
                    { "name": "PROXY", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "proxy" } } },
                ],
                "envFrom": [{ "secretRef": { "name": "credentials", "optional": true }, "prefix": "DB_" }],
                "resources": {
                    "requests": { "cpu": 1, "memory": "512Mi" },
                    "limits": { "cpu": "1500m", "memory": "1Gi", "example.com/gpu": 1 },
                },
                "cache": { "ephemeral": { "storageClassName": "standard", "size": "50Gi" } },
                "serviceAccountName": "runner",
                "securityContext": { "runAsUser": 20_001, "seccompProfile": { "type": "RuntimeDefault" } },
                "volumeMounts": [{ "name": "settings", "mountPath": "/etc/settings", "readOnly": true }],
            },
            "template": {
                "labels": { "example.com/cost-centre": "42", "app.kubernetes.io/part-of": "science" },
                "annotations": { "example.com/contact": "science@example.com" },
                "nodeSelector": { "kubernetes.io/arch": "amd64" },
                "tolerations": [{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }],
                "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                    "weight": 1,
                    "preference": { "matchExpressions": [{ "key": "spot", "operator": "DoesNotExist" }] },
                }] } },
                "topologySpread": [
                    { "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway" },
                ],
                "priorityClass": "batch",
                "runtimeClass": "gvisor",
                "volumes": [{ "name": "settings", "configMap": { "name": "settings", "items": [{ "key": "a", "path": "a" }] } }],
                "hostPID": false,
                "shareProcessNamespace": false,
            },
        } }),
    )
}

/// `object` with `patch` merged into it, as JSON Merge Patch (RFC 7396) has it.
pub(crate) fn with(object: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = match object {
        Value::Object(entries) => entries,
        _ => Map::new(),
    };
    for (key, value) in patch {
        let old = merged.remove(key).unwrap_or(Value::Null);
        if !value.is_null() {
            merged.insert(key.clone(), with(old, value));
        }
    }
    Value::Object(merged)
}
