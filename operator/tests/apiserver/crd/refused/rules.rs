//! One fault or more for every rule.

use serde_json::json;

use super::{Refused, refused, spec};

pub(super) fn all() -> Vec<Refused> {
    [pool(), server(), secret(), runner(), mounts(), template()].into_iter().flatten().collect()
}

fn pool() -> Vec<Refused> {
    vec![
        refused(
            json!({ "metadata": { "name": "a".repeat(51) } }),
            "<nil>",
            "metadata.name must have at most 50 characters: the names of the pool's pods and the values of their labels are made from it",
        ),
        refused(
            json!({ "metadata": { "name": "a.b" } }),
            "<nil>",
            "metadata.name must be a DNS label: a-z, 0-9 and '-', the first and the last a letter or digit",
        ),
        spec(
            &json!({ "minRunners": 11 }),
            "spec.minRunners",
            "spec.minRunners must not be greater than spec.maxRunners",
        ),
        spec(
            &json!({ "minIdle": 3, "maxRunners": 2 }),
            "spec.minIdle",
            "spec.minIdle must not be greater than spec.maxRunners",
        ),
    ]
}

fn secret() -> Vec<Refused> {
    let tokens = "spec.secretRef must name another Secret than registrationTokenSecretRef and operatorTokenSecretRef: jobs would get these \
                  tokens";
    let reserved = "spec.secretRef.keys: names that begin with MINITOWER_, LD_ or PYTHON, and PATH, HOME, SHELL and TMPDIR, belong to the \
                    runner or change how programs are loaded";
    let keys = |key: &str| {
        spec(&json!({ "secretRef": { "name": "a", "keys": ["GOOD", key] } }), "spec.secretRef.keys", reserved)
    };
    vec![
        refused(
            json!({ "metadata": { "name": "own" }, "spec": { "secretRef": { "name": "own-registration" } } }),
            "spec.secretRef.name",
            "spec.secretRef must not name the Secret with the pool's registration token: jobs would get it",
        ),
        spec(&json!({ "secretRef": { "name": "minitower" } }), "spec.secretRef.name", tokens),
        spec(
            &json!({ "secretRef": { "name": "t" }, "operatorTokenSecretRef": { "name": "t" } }),
            "spec.secretRef.name",
            tokens,
        ),
        keys("LD_PRELOAD"),
        keys("PYTHONPATH"),
        keys("MINITOWER_API_TOKEN"),
        keys("PATH"),
    ]
}

fn server() -> Vec<Refused> {
    let server = "spec.server takes exactly one of url and serviceRef";
    let url = "must be http:// or https:// and a host, without credentials, query and fragment";
    let at = |url: &str| json!({ "server": { "serviceRef": null, "url": url }, "operatorTokenSecretRef": { "name": "t" } });
    vec![
        spec(
            &json!({ "server": { "url": "http://a" }, "operatorTokenSecretRef": { "name": "t" } }),
            "spec.server",
            server,
        ),
        spec(&json!({ "server": { "serviceRef": null } }), "spec.server", server),
        spec(
            &json!({ "server": { "serviceRef": null, "url": "http://a" } }),
            "spec.operatorTokenSecretRef",
            "spec.operatorTokenSecretRef is required with spec.server.url: the operator's own token is never sent to a host that a pool names",
        ),
        spec(&at("ftp://a"), "spec.server.url", url),
        spec(&at("minitower:8080"), "spec.server.url", url),
        spec(&at("http://"), "spec.server.url", url),
        spec(&at("http://user:secret@a"), "spec.server.url", url),
        spec(&at("http://a?b=c"), "spec.server.url", url),
        spec(&at("http://a#b"), "spec.server.url", url),
        spec(&at("http://a b"), "spec.server.url", url),
    ]
}

fn runner() -> Vec<Refused> {
    let env = "names that begin with MINITOWER_ are the operator's; only MINITOWER_RUN_ENV_PASS, MINITOWER_LOG, MINITOWER_LOG_FORMAT, \
               MINITOWER_KILL_GRACE_PERIOD, MINITOWER_POLL_INTERVAL, MINITOWER_CA_FILE, MINITOWER_SANDBOX, MINITOWER_UV, \
               MINITOWER_ENV_MAX_AGE, MINITOWER_PYTHON_DOWNLOADS and MINITOWER_JOB_* may be set";
    let quantity = "must be a quantity, such as 500m of cpu or 512Mi of memory, and not negative";
    let size = "must be a quantity greater than 0, such as 20Gi";
    let cache = "spec.runner.cache takes exactly one of emptyDir and ephemeral";
    vec![
        spec(
            &json!({ "runner": { "env": [{ "name": "MINITOWER_SERVER_URL", "value": "http://evil" }] } }),
            "spec.runner.env[0].name",
            env,
        ),
        spec(&json!({ "runner": { "env": [{ "name": "MINITOWER_LOGS" }] } }), "spec.runner.env[0].name", env),
        spec(
            &json!({ "runner": { "resources": { "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } } } }),
            "spec.runner.resources.requests",
            "each of spec.runner.resources.requests must not be greater than its limit",
        ),
        spec(
            &json!({ "runner": { "resources": { "requests": { "cpu": 2 }, "limits": { "cpu": "1900m" } } } }),
            "spec.runner.resources.requests",
            "each of spec.runner.resources.requests must not be greater than its limit",
        ),
        spec(
            &json!({ "runner": { "resources": { "limits": { "memory": "lots" } } } }),
            "spec.runner.resources.limits[memory]",
            quantity,
        ),
        spec(
            &json!({ "runner": { "resources": { "requests": { "cpu": "-1" } } } }),
            "spec.runner.resources.requests[cpu]",
            quantity,
        ),
        spec(
            &json!({ "runner": { "resources": { "requests": { "cpu": -1 } } } }),
            "spec.runner.resources.requests[cpu]",
            quantity,
        ),
        spec(
            &json!({ "runner": { "cache": { "emptyDir": {}, "ephemeral": { "size": "1Gi" } } } }),
            "spec.runner.cache",
            cache,
        ),
        spec(&json!({ "runner": { "cache": {} } }), "spec.runner.cache", cache),
        spec(
            &json!({ "runner": { "cache": { "emptyDir": { "sizeLimit": "big" } } } }),
            "spec.runner.cache.emptyDir.sizeLimit",
            size,
        ),
        spec(
            &json!({ "runner": { "cache": { "emptyDir": { "sizeLimit": 0 } } } }),
            "spec.runner.cache.emptyDir.sizeLimit",
            size,
        ),
        spec(
            &json!({ "runner": { "cache": { "ephemeral": { "size": "-1Gi" } } } }),
            "spec.runner.cache.ephemeral.size",
            size,
        ),
    ]
}

fn mounts() -> Vec<Refused> {
    let path = "must be a path such as /etc/settings: from the root, not the root itself, without ':', '//', '.' and '..'";
    let own = "/var/lib/minitower, /etc/minitower/registration, /etc/minitower/secrets and what is below them, and /tmp, are the runner's own";
    let mount = |path: &str| {
        json!({
            "runner": { "volumeMounts": [{ "name": "a", "mountPath": path }] },
            "template": { "volumes": [{ "name": "a", "emptyDir": {} }] },
        })
    };
    let mounted = "spec.runner.volumeMounts[0].mountPath";
    let volumes = "each of spec.runner.volumeMounts must name one of spec.template.volumes";
    vec![
        spec(&mount("settings"), mounted, path),
        spec(&mount("/"), mounted, path),
        spec(&mount("/a:b"), mounted, path),
        spec(&mount("/a//b"), mounted, path),
        spec(&mount("/a/../var/lib/minitower"), mounted, path),
        spec(&mount("/a/."), mounted, path),
        spec(&mount("/var/lib/minitower"), mounted, own),
        spec(&mount("/var/lib/minitower/a"), mounted, own),
        spec(&mount("/etc/minitower/registration/"), mounted, own),
        spec(&mount("/etc/minitower/secrets"), mounted, own),
        spec(&mount("/tmp"), mounted, own),
        spec(&mount("/tmp/"), mounted, own),
        spec(
            &json!({ "runner": { "volumeMounts": [{ "name": "a", "mountPath": "/a" }] } }),
            "spec.runner.volumeMounts",
            volumes,
        ),
        spec(
            &json!({
                "runner": { "volumeMounts": [{ "name": "data", "mountPath": "/a" }] },
                "template": { "volumes": [{ "name": "a", "emptyDir": {} }] },
            }),
            "spec.runner.volumeMounts",
            volumes,
        ),
    ]
}

fn template() -> Vec<Refused> {
    let labels =
        "minitower.dev/..., app.kubernetes.io/name and app.kubernetes.io/managed-by are the operator's";
    let annotations = "minitower.dev/..., app.kubernetes.io/name, app.kubernetes.io/managed-by and \
                       controller.kubernetes.io/pod-deletion-cost are the operator's";
    let key = "each key must be a name of at most 63 letters, digits, '-', '_' and '.', or a DNS name, '/' and such a name";
    let volume = "the names data, tmp, registration-token and run-secrets are taken by the pod's own volumes";
    vec![
        spec(
            &json!({ "template": { "hostPID": true } }),
            "spec.template.hostPID",
            "spec.template.hostPID must not be true: jobs would see the processes of the node",
        ),
        spec(
            &json!({ "template": { "shareProcessNamespace": true } }),
            "spec.template.shareProcessNamespace",
            "spec.template.shareProcessNamespace must not be true: jobs would see the processes of the pod's other containers",
        ),
        spec(
            &json!({ "template": { "labels": { "minitower.dev/pool": "other" } } }),
            "spec.template.labels",
            labels,
        ),
        spec(
            &json!({ "template": { "labels": { "app.kubernetes.io/name": "a" } } }),
            "spec.template.labels",
            labels,
        ),
        spec(
            &json!({ "template": { "labels": { "app.kubernetes.io/managed-by": "a" } } }),
            "spec.template.labels",
            labels,
        ),
        spec(&json!({ "template": { "labels": { "a b": "c" } } }), "spec.template.labels", key),
        spec(
            &json!({ "template": { "annotations": { "minitower.dev/leader-epoch": "9" } } }),
            "spec.template.annotations",
            annotations,
        ),
        spec(
            &json!({ "template": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-1" } } }),
            "spec.template.annotations",
            annotations,
        ),
        spec(&json!({ "template": { "annotations": { "/a": "" } } }), "spec.template.annotations", key),
        spec(&json!({ "template": { "nodeSelector": { "a/": "b" } } }), "spec.template.nodeSelector", key),
        spec(
            &json!({ "template": { "volumes": [{ "name": "data", "emptyDir": {} }] } }),
            "spec.template.volumes[0].name",
            volume,
        ),
        spec(
            &json!({ "template": { "volumes": [{ "name": "tmp", "emptyDir": {} }] } }),
            "spec.template.volumes[0].name",
            volume,
        ),
        spec(
            &json!({ "template": { "volumes": [{ "name": "registration-token", "emptyDir": {} }] } }),
            "spec.template.volumes[0].name",
            volume,
        ),
    ]
}
