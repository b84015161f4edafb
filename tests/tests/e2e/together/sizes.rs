//! What a person may say about a pool's size.

use std::time::Duration;

use minitower_tests::wait;
use serde_json::{Value, json};

use crate::harness::{Scene, bed, kubectl, verdict};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn kubectl_scale_sets_the_size_and_taking_replicas_away_makes_the_pool_follow_the_queue_again() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "scale");
    scene.pool("main", json!({"maxRunners": 2}));
    kubectl::run(&["scale", "rp/main", "-n", &scene.name, "--replicas=3"]);
    // Beyond maxRunners: what was said last is what counts.
    scene.wait_runners("main", 3, SOON);
    let run = scene.run("main", 6.0);
    let busy = scene.wait_begun(run, SOON);
    kubectl::run(&["scale", "rp/main", "-n", &scene.name, "--replicas=1"]);
    scene.wait_pods("main", 1, SOON);
    assert_eq!(scene.pods("main"), [busy], "the busy one stays");
    scene.patch("main", json!({"replicas": null}));
    scene.wait_all_ended(SOON);
    scene.wait_no_pods(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn a_paused_pool_neither_grows_nor_shrinks_and_replaces_a_pod_that_died() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "paused");
    scene.pool(
        "main",
        json!({"minRunners": 1, "maxRunners": 3, "scaling": {"scaleDown": {"stabilizationSeconds": 0}}}),
    );
    scene.wait_runners("main", 1, SOON);
    scene.patch("main", json!({"paused": true}));
    scene.wait_condition("main", "Paused", "True", &[], SOON);
    for _ in 0..4 {
        scene.run("main", 1.0);
    }
    wait::stays("a paused pool does not grow", Duration::from_secs(8), || scene.pods("main").len() <= 1);
    scene.wait_all_ended(SOON);
    scene.patch("main", json!({"minRunners": 0}));
    wait::stays("a paused pool does not shrink", Duration::from_secs(6), || scene.pods("main").len() == 1);
    let died = scene.pods("main").remove(0);
    kubectl::run(&["delete", "pod", &died, "-n", &scene.name]);
    scene.wait_pods("main", 1, SOON);
    assert_ne!(scene.pods("main"), [died]);
    scene.patch("main", json!({"paused": false}));
    scene.wait_condition("main", "Paused", "False", &[], SOON);
    scene.wait_no_pods(SOON);
}

#[test]
fn min_idle_keeps_runners_warm_on_top_of_the_busy_ones() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "min-idle");
    scene.pool("main", json!({"minIdle": 1, "maxRunners": 3}));
    scene.wait_runners("main", 1, SOON);
    let run = scene.run("main", 12.0);
    scene.wait_begun(run, SOON);
    scene.wait_pool("main", "has one busy and one idle runner", SOON, |pool| {
        let status = &pool["status"];
        status["busyRunners"] == 1 && status["idleRunners"] == 1 && status["desiredRunners"] == 2
    });
    scene.wait_all_ended(SOON);
    scene.wait_pods("main", 1, SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn a_pool_at_its_maximum_says_that_it_is_held_back_and_by_what() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "maximum");
    scene.pool("main", json!({"maxRunners": 1}));
    for _ in 0..4 {
        scene.run("main", 3.0);
    }
    scene.wait_condition("main", "ScalingLimited", "True", &["maxRunners"], SOON);
    // The condition may come before the pod, which the ReplicaSet controller makes.
    scene.wait_pods("main", 1, SOON);
    scene.wait_all_ended(Duration::from_secs(90));
    assert_eq!(verdict::most_pods(&scene), 1, "never more than maxRunners");
    scene.wait_condition("main", "ScalingLimited", "False", &[], SOON);
    scene.wait_no_pods(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn two_pools_of_one_environment_share_its_runs_and_both_end_empty() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "two-pools");
    let environment = scene.environment("one");
    scene.pool("one", json!({"maxRunners": 2}));
    scene.pool("two", json!({"maxRunners": 2, "environment": environment}));
    for _ in 0..14 {
        scene.run("one", 2.0);
    }
    scene.wait_all_ended(Duration::from_secs(120));
    scene.wait_no_pods(SOON);
    let (runs, _) = verdict::assert_undisturbed(&scene);
    let of = |pool: &str| {
        let prefix = format!("{pool}-");
        let took = |run: &Value| run["runner"].as_str().is_some_and(|name| name.starts_with(&prefix));
        scene.runs().iter().filter(|run| took(run)).count()
    };
    let (one, two) = (of("one"), of("two"));
    assert_eq!((one + two, runs), (14, 14));
    assert!(one > 0 && two > 0, "both pools work: {one} and {two}");
}
