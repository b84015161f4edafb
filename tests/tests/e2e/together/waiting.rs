//! What people hear of a pool whose runs wait for its runners, and what its runs get of the pool.

use std::time::Duration;

use minitower_tests::wait;
use serde_json::{Value, json};

use crate::harness::{Scene, bed, kubectl, verdict};

const SOON: Duration = Duration::from_secs(60);

/// Waits until a run is said to wait for that reason, and yields the message.
#[track_caller]
fn becomes(scene: &Scene, run: i64, reason: &str) -> String {
    let mut said = Value::Null;
    let found = wait::find(SOON, || {
        said = scene.bed.team.get(&format!("/runs/{run}/explain")).send().expect_json(200);
        (said["reason"] == reason).then(|| said["message"].as_str().unwrap_or_default().to_owned())
    });
    found.unwrap_or_else(|| panic!("run {run} does not wait for {reason}: {said}\n{}", scene.glance()))
}

#[test]
fn whoever_waits_for_a_full_pool_is_told_so() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "full");
    scene.pool("main", json!({"maxRunners": 1}));
    let first = scene.run("main", 8.0);
    becomes(&scene, first, "pool_growing");
    scene.wait_begun(first, SOON);
    let second = scene.run("main", 0.5);
    let message = becomes(&scene, second, "pool_at_maximum");
    for part in [&format!("{}/main", scene.name), "maximum of 1", "2 runners are wanted"] {
        assert!(message.contains(part), "{message}");
    }
    scene.wait_all_ended(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn whoever_waits_for_a_broken_pool_hears_the_kubelets_words() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "broken");
    scene.pool("main", json!({"runner": {"image": "registry.invalid/nobody/nothing:1"}}));
    let run = scene.run("main", 0.5);
    let message = becomes(&scene, run, "pool_broken");
    let describe = format!("kubectl -n {} describe runnerpool main", scene.name);
    for part in ["registry.invalid/nobody/nothing:1", "pull", &describe] {
        assert!(message.contains(part), "{message}");
    }
    bed.team.cancel(run);
}

#[test]
fn a_job_gets_the_secret_of_its_pool_and_its_log_hides_it() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "of-jobs");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "of-jobs", "namespace": scene.name},
        "stringData": {"WAREHOUSE": "hunter2-warehouse", "unlisted.key": "x"}});
    kubectl::apply(&[secret]);
    scene.pool("main", json!({"maxRunners": 1, "secretRef": {"name": "of-jobs", "keys": ["WAREHOUSE"]}}));
    let app = format!("{}-reads", scene.name);
    let code = "import os\nvalue = os.environ['WAREHOUSE']\nprint('length', len(value), 'value', value)\n\
                try: print('folder', os.listdir('/etc/minitower/secrets'))\n\
                except OSError: print('no folder')\n";
    bed.team.python_app(&app, code);
    let run =
        bed.team.run(&app, json!({"environment": scene.environment("main")}))["run_id"].as_i64().unwrap();
    let ended = scene.wait_run(run, "has ended", SOON, |run| run["finished_at"].is_string());
    let log = bed.team.log_text(run);
    assert_eq!(ended["status"], "completed", "{ended}: {log}");
    assert!(log.contains("length 17 value [secret]\n"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("WAREHOUSE'"), "{log}");
}
