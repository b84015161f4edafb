//! Pods that have worked for a while are shielded from evictions, until a deadline.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use minitower_daemon::clock::wall_clock;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::world::{World, pod_path};

const BUDGET: &str = "/apis/policy/v1/namespaces/ns/poddisruptionbudgets/p-shielded";

fn ago(seconds: i64) -> Timestamp {
    wall_clock() - SignedDuration::from_secs(seconds)
}

/// One runner, whose run is so old.
async fn at_work_for(seconds: i64, spec: &Value) -> World {
    let mut world = World::of(1).await;
    world.respec(spec);
    world.rest().await;
    let pods = world.state().pods();
    let [pod] = &pods[..] else { panic!("{pods:?}") };
    world.state().lease(pod);
    world.state().runners.get_mut(pod).unwrap()["attempt_started_at"] = json!(ago(seconds).to_string());
    world.calls();
    world
}

fn shielded(world: &World) -> bool {
    let state = world.state();
    let pods = state.pods();
    let pod = &state.objects[&pod_path(&pods[0])]["metadata"];
    let parts = [
        pod["labels"]["minitower.dev/shielded"] == "true",
        pod["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false",
        pod["annotations"]["karpenter.sh/do-not-disrupt"] == "true",
    ];
    assert!(parts.iter().all(|part| *part == parts[0]), "{pod}");
    parts[0]
}

#[rstest]
#[case::a_short_run(20, json!({}), false)]
#[case::a_longer_one(40, json!({}), true)]
#[case::shortly_before_the_deadline(3500, json!({}), true)]
#[case::after_it(3700, json!({}), false)]
#[case::after_a_deadline_of_its_own(140, json!({ "drainDeadlineSeconds": 120 }), false)]
#[case::no_protection_wanted(40, json!({ "drainDeadlineSeconds": 0 }), false)]
#[tokio::test]
async fn a_pod_is_shielded_while_its_run_is_neither_young_nor_old(
    #[case] age: i64,
    #[case] spec: Value,
    #[case] expected: bool,
) {
    let mut world = at_work_for(age, &spec).await;
    world.look().await.unwrap();
    assert_eq!(shielded(&world), expected);
    assert_eq!(world.state().objects.contains_key(BUDGET), expected);
}

#[tokio::test]
async fn the_budget_refuses_every_eviction_of_a_shielded_pod_and_goes_with_the_pool() {
    let mut world = at_work_for(40, &json!({})).await;
    world.look().await.unwrap();
    assert_eq!(world.calls()[..2], ["budget".to_owned(), "shield p-1".to_owned()]);
    let budget = world.state().objects[BUDGET].clone();
    assert_eq!(budget["spec"]["maxUnavailable"], 0);
    let selected = json!({ "minitower.dev/pool": "p", "minitower.dev/shielded": "true" });
    assert_eq!(budget["spec"]["selector"]["matchLabels"], selected);
    assert_eq!(budget["metadata"]["ownerReferences"][0]["uid"], "uid-of-p");
}

#[tokio::test]
async fn the_shield_goes_with_the_run_and_leaves_what_the_template_says() {
    let mine = json!({ "template": { "annotations": { "karpenter.sh/do-not-disrupt": "mine" } } });
    let mut world = at_work_for(40, &mine).await;
    world.look().await.unwrap();
    assert!(shielded(&world));
    let pod = world.state().pods()[0].clone();
    world.state().finish(&pod);
    world.look().await.unwrap();
    let metadata = world.state().objects[&pod_path(&pod)]["metadata"].clone();
    assert!(metadata["labels"]["minitower.dev/shielded"].is_null());
    assert_eq!(metadata["annotations"]["karpenter.sh/do-not-disrupt"], "mine");
    assert!(metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"].is_null());
    world.calls();
    world.look().await.unwrap();
    assert!(!world.calls().iter().any(|call| call.contains("shield")));
}

#[tokio::test]
async fn nothing_is_written_about_a_silent_control_plane_or_by_a_former_leader() {
    let mut world = at_work_for(40, &json!({})).await;
    world.state().plane_fails = Some(503);
    world.look().await.unwrap();
    assert!(!shielded(&world));
    world.state().plane_fails = None;
    world.lead(1, Duration::from_secs(4));
    world.look().await.unwrap_err();
    assert!(!shielded(&world));
}
