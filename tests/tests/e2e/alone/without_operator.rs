//! The operator is uninstalled while pools are there and busy.

use std::time::Duration;

use minitower_tests::programs::source_root;
use serde_json::{Value, json};

use super::put_back;
use crate::harness::{Note, SYSTEM, Scene, bed, forget_instance, kubectl};

const OPERATOR: &str = "deployment/minitower-operator";
const GONE: Duration = Duration::from_secs(90);

/// Puts the operator and the kind RunnerPool back.
struct Uninstalled(Value);

impl Uninstalled {
    fn remove() -> Self {
        let mut operator = kubectl::json(&["get", OPERATOR, "-n", SYSTEM]);
        forget_instance(&mut operator);
        let removed = Self(operator);
        kubectl::run(&["delete", OPERATOR, "-n", SYSTEM, "--cascade=foreground", "--timeout=60s"]);
        removed
    }
}

impl Drop for Uninstalled {
    fn drop(&mut self) {
        let kinds = source_root().join("crds").display().to_string();
        put_back(&["apply", "--server-side", "-k", &kinds], "");
        put_back(
            &["wait", "crd/runnerpools.minitower.dev", "--for=condition=Established", "--timeout=30s"],
            "",
        );
        put_back(&["apply", "-f", "-"], &self.0.to_string());
        put_back(&["rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=100s"], "");
    }
}

#[test]
fn without_the_operator_runs_go_on_and_pools_namespaces_and_the_kind_itself_can_be_deleted() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "no-operator");
    let pools = ["one", "two", "three"];
    let runs: Vec<i64> = pools
        .iter()
        .map(|pool| {
            scene.pool(pool, json!({"maxRunners": 1, "minRunners": 1}));
            scene.run(pool, 30.0)
        })
        .collect();
    for run in &runs {
        scene.wait_begun(*run, Duration::from_secs(60));
    }
    let uninstalled = Uninstalled::remove();

    kubectl::run(&["delete", "rp", "one", "-n", &scene.name, "--timeout=20s"]);
    // With the kind go its pools, and with them everything that is theirs.
    kubectl::run(&["delete", "crd", "runnerpools.minitower.dev", "--timeout=30s"]);
    scene.wait_no_pods(GONE);
    for run in &runs {
        let run = bed.team.read(*run);
        assert_eq!(run["status"], "completed", "{run}");
    }
    assert!(bed.witness.notes(&scene.name).iter().all(Note::finished));
    kubectl::run(&["delete", "namespace", &scene.name, "--timeout=60s"]);
    drop(uninstalled);

    // And all works again.
    let scene = Scene::new(bed, "operator-back");
    scene.pool("main", json!({}));
    scene.run("main", 0.5);
    scene.wait_all_ended(Duration::from_secs(60));
    scene.wait_no_pods(Duration::from_secs(60));
}
