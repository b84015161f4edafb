//! A busy runner's pod is deleted by somebody.

use std::time::Duration;

use minitower_tests::Team;
use serde_json::{Value, json};

use crate::harness::{Note, Scene, bed, kubectl, verdict};

const START: Duration = Duration::from_secs(60);

fn statuses(team: &Team, run: i64) -> Vec<String> {
    team.attempts(run).iter().map(|it| it["status"].as_str().unwrap_or_default().to_owned()).collect()
}

fn ended(run: &Value) -> bool {
    minitower_tests::team::TERMINAL.contains(&run["status"].as_str().unwrap_or_default())
}

#[test]
fn a_deleted_pod_finishes_its_run_within_its_grace() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "deleted-finish");
    scene.pool("main", json!({"shutdownGraceSeconds": 120}));
    let run = scene.run("main", 15.0);
    let pod = scene.wait_begun(run, START);
    kubectl::run(&["delete", "pod", &pod, "-n", &scene.name, "--wait=false"]);
    let run = scene.wait_run(run, "ends", Duration::from_secs(60), ended);
    assert_eq!(run["runner"], pod.as_str(), "{run}");
    scene.wait_no_pods(Duration::from_secs(60));
    assert_eq!(run["status"], "completed", "{run}");
    assert!(scene.bed.witness.notes(&scene.name).iter().all(Note::finished));
    // The check that the scale-downs rely on sees that this pod was busy.
    assert_eq!(verdict::busy_pods_chosen(&scene), [pod].into());
}

#[test]
fn a_run_longer_than_the_grace_of_its_deleted_pod_is_released_and_completes_elsewhere() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "deleted-release");
    scene.pool("main", json!({"shutdownGraceSeconds": 30}));
    let run = scene.run("main", 50.0);
    let pod = scene.wait_begun(run, START);
    kubectl::run(&["delete", "pod", &pod, "-n", &scene.name, "--wait=false"]);
    let ended = scene.wait_run(run, "ends", Duration::from_secs(180), ended);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["retry_count"], 0, "a release costs no retry: {ended}");
    assert_ne!(ended["runner"], pod.as_str(), "{ended}");
    assert_eq!(statuses(&scene.bed.team, run), ["released", "completed"]);
    scene.bed.witness.assert_never_twice(&scene.name);
}

#[test]
fn a_run_whose_pod_is_deleted_by_force_runs_again_after_its_fence_and_never_twice_at_once() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "deleted-force");
    scene.pool("main", json!({}));
    let run = scene.run_with_retries("main", 20.0, 1);
    let pod = scene.wait_begun(run, START);
    kubectl::run(&["delete", "pod", &pod, "-n", &scene.name, "--force", "--grace-period=0", "--wait=false"]);
    let ended = scene.wait_run(run, "ends", Duration::from_secs(240), ended);
    assert_eq!(ended["status"], "completed", "{ended}");
    let attempts = statuses(&scene.bed.team, run);
    assert_eq!(attempts, ["expired", "completed"]);
    scene.bed.witness.assert_never_twice(&scene.name);
    let notes = scene.bed.witness.notes(&scene.name);
    assert_eq!(notes.len(), attempts.len(), "{notes:?}");
    assert_eq!(notes[0].end.as_deref(), Some("cut"), "the witness sees a killed job: {notes:?}");
}
