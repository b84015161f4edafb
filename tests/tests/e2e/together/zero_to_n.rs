//! From nothing to as many runners as may be, and back to nothing.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Scene, bed, verdict};

#[test]
fn fifty_runs_on_an_empty_pool_complete_and_the_pool_is_empty_again() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "zero-to-n");
    scene.pool("main", json!({"maxRunners": 6, "scaling": {"scaleDown": {"stabilizationSeconds": 5}}}));
    scene.wait_condition("main", "Ready", "True", &[], Duration::from_secs(30));
    assert_eq!(scene.pods("main"), [""; 0], "an empty queue makes no pods");

    for number in 0..50 {
        scene.run("main", f64::from(number % 5) * 0.2);
    }
    scene.wait_pods("main", 6, Duration::from_secs(30));
    scene.wait_all_ended(Duration::from_secs(240));
    scene.wait_no_pods(Duration::from_secs(60));
    let settled = |pool: &serde_json::Value| {
        let status = &pool["status"];
        [&status["replicas"], &status["readyRunners"], &status["desiredRunners"]].iter().all(|it| **it == 0)
    };
    scene.wait_pool("main", "says that it is empty", Duration::from_secs(15), settled);
    let (runs, _) = verdict::assert_undisturbed(&scene);
    assert_eq!(runs, 50);
}
