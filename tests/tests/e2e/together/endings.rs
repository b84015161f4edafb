//! A pool, or its whole namespace, is deleted while runs are in flight.

use std::time::{Duration, Instant};

use minitower_tests::wait;
use serde_json::json;

use crate::harness::{LEADER, Note, Scene, bed, kubectl};

const START: Duration = Duration::from_secs(90);
/// Until a pod with 120 s of grace has to be gone, its run of seconds being over.
const GONE: Duration = Duration::from_secs(90);

/// Two pools: the runs of `patient` can end within its grace, the one of `hasty` cannot.
fn busy_pools(scene: &Scene) -> (Vec<i64>, i64) {
    scene.pool("patient", json!({"maxRunners": 2, "shutdownGraceSeconds": 120}));
    scene.pool("hasty", json!({"maxRunners": 1, "shutdownGraceSeconds": 30}));
    let short = vec![scene.run("patient", 20.0), scene.run("patient", 20.0)];
    let long = scene.run("hasty", 120.0);
    for run in short.iter().chain([&long]) {
        scene.wait_begun(*run, START);
    }
    (short, long)
}

/// The runs that could end have ended; the other waits for a runner at no cost; nobody is left on the control plane.
fn assert_ended_or_released(scene: &Scene, short: &[i64], long: i64) {
    let team = &scene.bed.team;
    for run in short {
        let run = team.read(*run);
        assert_eq!(run["status"], "completed", "{run}");
    }
    let released = team.read(long);
    assert_eq!((&released["status"], &released["retry_count"]), (&json!("queued"), &json!(0)), "{released}");
    let attempts = team.attempts(long);
    assert_eq!((attempts.len(), &attempts[0]["status"]), (1, &json!("released")), "{attempts:?}");
    let notes = scene.bed.witness.notes(&scene.name);
    assert!(notes.iter().all(|note: &Note| note.end.is_some()), "jobs that outlived their pods: {notes:?}");
    team.cancel(long);
    for pool in ["patient", "hasty"] {
        wait::until(&format!("the runners of pool {pool} are forgotten"), GONE, || {
            scene.bed.runners(&scene.name, pool).is_empty().then_some(())
        });
    }
}

#[test]
fn deleting_pools_with_runs_in_flight_lets_them_finish_or_releases_them() {
    let Some(bed) = bed() else { return };
    let _leader = LEADER.read();
    let scene = Scene::new(bed, "pool-deleted");
    let (short, long) = busy_pools(&scene);
    let began = Instant::now();
    kubectl::run(&["delete", "rp", "--all", "-n", &scene.name, "--timeout=20s"]);
    println!("{}: kubectl delete rp took {:.1} s", scene.name, began.elapsed().as_secs_f64());
    scene.wait_no_pods(GONE);
    assert_ended_or_released(&scene, &short, long);
}

#[test]
fn deleting_the_namespace_with_runs_in_flight_does_not_hang() {
    let Some(bed) = bed() else { return };
    let _leader = LEADER.read();
    let scene = Scene::new(bed, "space-deleted");
    let (short, long) = busy_pools(&scene);
    let began = Instant::now();
    kubectl::run(&["delete", "namespace", &scene.name, "--timeout=110s"]);
    println!("{}: kubectl delete namespace took {:.1} s", scene.name, began.elapsed().as_secs_f64());
    assert_ended_or_released(&scene, &short, long);
}
