//! A former leader that has not noticed.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::super::world::{World, pod_path};

/// A pod that is marked and fenced, with the epoch of the leader that wrote to it last.
async fn marked_by(epoch: &str) -> World {
    let world = World::of(2).await;
    {
        let mut state = world.state();
        state.fences.insert(("p-1".to_owned(), "pool:ns/p".to_owned()));
        let annotations: Value = json!({ "controller.kubernetes.io/pod-deletion-cost": "-100", "minitower.dev/leader-epoch": epoch });
        state.change(&pod_path("p-1"), &json!({ "metadata": { "annotations": annotations } }));
    }
    world
}

#[tokio::test]
async fn a_pod_that_a_later_leader_wrote_to_is_not_unfenced() {
    let mut world = marked_by("2").await;
    assert_eq!(world.look().await.unwrap_err().stage(), "apply");
    assert_eq!(world.calls(), [] as [String; 0]);
}

#[tokio::test]
async fn a_later_leader_mends_what_a_former_one_left() {
    let mut world = marked_by("1").await;
    world.restart(2);
    world.look().await.unwrap();
    assert_eq!(world.calls()[1..3], ["unmark p-1", "unfence p-1"]);
    assert_eq!(world.state().annotation("p-1", "minitower.dev/leader-epoch").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_former_leader_with_an_old_watch_is_stopped_by_the_version() {
    let mut world = marked_by("1").await;
    world.sync();
    // The next leader decides to keep the fence, and says so on the pod.
    world.state().change(
        &pod_path("p-1"),
        &json!({ "metadata": { "annotations": { "minitower.dev/leader-epoch": "2" } } }),
    );
    assert!(world.look_at_stores().await.is_err());
    assert!(world.state().fences.iter().any(|(pod, _)| pod == "p-1"), "the fence of the next leader stands");
}

#[rstest]
#[case::ended(Duration::ZERO, 0)]
#[case::about_to_end(Duration::from_secs(4), 1)]
#[tokio::test]
async fn who_is_not_certain_to_lead_writes_nothing(#[case] length: Duration, #[case] reads: usize) {
    let mut world = World::of(3).await;
    world.state().lease("p-2");
    let events = world.state().events.len();
    for spec in
        [json!({ "replicas": 1 }), json!({ "replicas": 9 }), json!({ "runner": { "image": "other" } })]
    {
        world.respec(&spec);
        world.lead(1, length);
        assert!(world.look().await.is_err());
        assert_eq!(world.calls(), vec!["read Secret tokens"; reads]);
    }
    assert_eq!(world.state().events.len(), events);
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn a_pool_in_order_under_a_leadership_about_to_end_is_left_alone() {
    let mut world = World::of(2).await;
    world.lead(1, Duration::from_secs(4));
    world.look().await.unwrap();
    assert_eq!(world.calls(), ["read Secret tokens"]);
}
