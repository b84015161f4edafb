//! An independent record of every job, kept outside of the product: see `witness.py`, which runs in a pod of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use minitower_tests::{Http, wait};
use serde::Deserialize;
use serde_json::{Value, json};

use super::forward::reach;
use super::{kubectl, settings};

/// The namespace of the witness.
pub(crate) const NAMESPACE: &str = "minitower-e2e";

const PROGRAM: &str = include_str!("witness.py");

/// One process of a job, as the witness has seen it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Note {
    /// The run.
    pub(crate) run: i64,
    /// The attempt's id.
    pub(crate) attempt: i64,
    /// The pod.
    pub(crate) pod: String,
    /// When it began, in seconds by the witness's clock.
    pub(crate) began: f64,
    /// When it was last heard of.
    pub(crate) seen: f64,
    /// `farewell`: it came to its own end; `cut`: it was ended; nothing: it lives.
    pub(crate) end: Option<String>,
}

impl Note {
    /// Whether it came to its own end.
    pub(crate) fn finished(&self) -> bool {
        self.end.as_deref() == Some("farewell")
    }

    /// When it began.
    pub(crate) fn began_at(&self) -> Timestamp {
        Timestamp::from_duration(jiff::SignedDuration::from_secs_f64(self.began)).expect("a time of today")
    }
}

/// The witness in the cluster.
#[derive(Debug)]
pub(crate) struct Witness {
    http: Http,
    address: String,
}

impl Witness {
    /// Starts it where it is not there yet.
    pub(crate) fn start() -> Self {
        kubectl::apply(&manifests());
        kubectl::run(&["wait", "-n", NAMESPACE, "pod/witness", "--for=condition=Ready", "--timeout=90s"]);
        let service = kubectl::json(&["get", "service", "witness", "-n", NAMESPACE]);
        let address = service["spec"]["clusterIP"].as_str().expect("a Service has an address");
        let witness = Self { http: reach(NAMESPACE, "witness", 7001), address: format!("{address}:7000") };
        wait::until("the witness answers", Duration::from_secs(30), || witness.try_notes("nobody"));
        witness
    }

    /// Where jobs find it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn try_notes(&self, scene: &str) -> Option<Vec<Note>> {
        let answer = self.http.get(&format!("/{scene}")).try_send().ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// What it has noted of a scene, in the order in which the jobs began.
    pub(crate) fn notes(&self, scene: &str) -> Vec<Note> {
        wait::until("the witness answers", Duration::from_secs(30), || self.try_notes(scene))
    }

    /// Asserts that no run of a scene was ever executed by two processes at once.
    pub(crate) fn assert_never_twice(&self, scene: &str) {
        let mut runs: BTreeMap<i64, Vec<Note>> = BTreeMap::new();
        for note in self.notes(scene) {
            runs.entry(note.run).or_default().push(note);
        }
        for notes in runs.values() {
            for pair in notes.windows(2) {
                assert!(
                    pair[0].end.is_some() && pair[0].seen <= pair[1].began,
                    "run {} was executed twice at once, in attempts {} and {}: {:?} and {:?}",
                    pair[0].run,
                    pair[0].attempt,
                    pair[1].attempt,
                    pair[0],
                    pair[1]
                );
            }
        }
    }
}

fn manifests() -> [Value; 4] {
    let meta = |name: &str| json!({"name": name, "namespace": NAMESPACE, "labels": {"app": "witness"}});
    let container = json!({
        "name": "witness",
        "image": settings::runner_image(),
        "command": ["python3", "-u", "/program/witness.py"],
        "volumeMounts": [{"name": "program", "mountPath": "/program", "readOnly": true}],
        "readinessProbe": {"tcpSocket": {"port": 7001}, "periodSeconds": 1},
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 10001, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}
        }
    });
    [
        json!({"apiVersion": "v1", "kind": "Namespace",
               "metadata": {"name": NAMESPACE, "labels": {"minitower.dev/e2e": "true"}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("witness"), "data": {"witness.py": PROGRAM}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("witness"), "spec": {
            "selector": {"app": "witness"},
            "ports": [{"name": "jobs", "port": 7000}, {"name": "http", "port": 7001}]
        }}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("witness"), "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "program", "configMap": {"name": "witness"}}]
        }}),
    ]
}
