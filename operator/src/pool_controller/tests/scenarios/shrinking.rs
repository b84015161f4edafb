//! Fence, mark, shrink, in this order, and the way back if a runner turns out to be busy or somebody else was quicker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::world::{Fault, World, pod_path};

const EPOCH: &str = "minitower.dev/leader-epoch";

/// Three idle runners, of which two are to stay.
async fn one_too_many() -> World {
    let world = World::of(3).await;
    world.respec(&json!({ "replicas": 2 }));
    world
}

fn scale(world: &World, to: u32) -> String {
    format!("scale {} {to}", world.deployments()[0])
}

#[tokio::test]
async fn a_pod_is_fenced_then_marked_then_given_up() {
    let mut world = one_too_many().await;
    world.look().await.unwrap();
    assert_eq!(world.calls(), ["fence p-1", "mark p-1", &scale(&world, 2), "status"]);
    assert_eq!(world.state().annotation("p-1", EPOCH).as_deref(), Some("1"));
    world.state().settle();
    assert_eq!(world.state().pods(), ["p-2", "p-3"]);
    world.rest().await;
    assert_eq!(world.calls(), ["unfence p-1", "status"]);
}

#[tokio::test]
async fn several_go_at_once_and_the_size_falls_by_their_number() {
    let mut world = World::of(5).await;
    world.respec(&json!({ "replicas": 1 }));
    world.look().await.unwrap();
    let mut calls = world.calls();
    calls[..4].sort();
    let marks = ["mark p-1", "mark p-2", "mark p-3", "mark p-4"];
    let fences = ["fence p-1", "fence p-2", "fence p-3", "fence p-4"];
    assert_eq!(calls, [&fences[..], &marks[..], &[&scale(&world, 1), "status"]].concat());
}

#[tokio::test]
async fn without_the_admission_policy_the_marks_are_given_time() {
    let mut world = one_too_many().await;
    Arc::get_mut(&mut world.context).unwrap().settings.admission_policy = false;
    let begin = Instant::now();
    world.look().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.calls()[2], scale(&world, 2));
}

#[tokio::test]
async fn a_runner_that_took_a_run_meanwhile_is_free_again_and_another_goes() {
    let mut world = one_too_many().await;
    world.state().just_before("fence p-1", |state| state.lease("p-1"));
    world.look().await.unwrap();
    // The leader's epoch is on the pod before the fence is lifted.
    assert_eq!(world.calls(), ["fence p-1", "unmark p-1", "unfence p-1", "status"]);
    assert_eq!(world.state().annotation("p-1", EPOCH).as_deref(), Some("1"));
    assert!(world.state().fences.is_empty());
    world.look().await.unwrap();
    assert_eq!(world.calls()[..3], ["fence p-2", "mark p-2", &scale(&world, 2)]);
    world.state().settle();
    world.rest().await;
    assert_eq!(world.state().pods(), ["p-1", "p-3"]);
}

#[tokio::test]
async fn when_all_are_busy_one_keeps_its_fence_and_goes_when_its_run_has_ended() {
    let mut world = one_too_many().await;
    for pod in ["p-1", "p-2", "p-3"] {
        world.state().lease(pod);
    }
    world.look().await.unwrap();
    assert_eq!(world.calls(), ["fence p-1", "status"]);
    world.rest().await;
    assert_eq!(world.calls(), [] as [String; 0], "it is fenced once");
    world.state().finish("p-1");
    world.look().await.unwrap();
    assert_eq!(world.calls()[..3], ["fence p-1", "mark p-1", &scale(&world, 2)]);
    world.rest().await;
    assert_eq!(world.state().pods(), ["p-2", "p-3"]);
}

#[tokio::test]
async fn a_mark_on_a_pod_that_has_changed_is_refused_and_made_again() {
    let mut world = one_too_many().await;
    world.state().just_before("mark p-1", |state| {
        state.change(&pod_path("p-1"), &json!({ "metadata": { "annotations": { "their": "note" } } }));
    });
    let error = world.look().await.unwrap_err();
    assert_eq!(error.stage(), "conflict");
    assert_eq!(world.size(), 3);
    assert!(!world.calls().iter().any(|call| call.starts_with("scale")));
    world.rest().await;
    assert_eq!(world.state().pods(), ["p-2", "p-3"]);
}

#[tokio::test]
async fn of_two_marks_that_one_fails_the_size_falls_by_one() {
    let mut world = World::of(3).await;
    world.respec(&json!({ "replicas": 1 }));
    world.state().fail("mark p-1", Fault::Fail(409));
    world.look().await.unwrap_err();
    assert_eq!(world.size(), 2);
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (1, 1));
}

#[tokio::test]
async fn a_size_that_somebody_changed_meanwhile_is_not_overwritten() {
    let mut world = one_too_many().await;
    let path = world.deployment_path();
    world.state().just_before("scale", move |state| {
        state.change(&path, &json!({ "spec": { "replicas": 9 } }));
    });
    let error = world.look().await.unwrap_err();
    assert_eq!(error.stage(), "conflict");
    assert_eq!(world.size(), 9);
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (2, 2));
}

#[tokio::test]
async fn a_shrink_that_did_not_happen_is_unmarked_then_unfenced() {
    let mut world = one_too_many().await;
    world.state().fail("scale", Fault::Fail(500));
    world.look().await.unwrap_err();
    world.respec(&json!({ "replicas": 3 }));
    world.calls();
    world.look().await.unwrap();
    assert_eq!(world.calls(), ["unmark p-1", "unfence p-1", "status"]);
    world.rest().await;
    assert_eq!(world.state().pods().len(), 3);
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn a_fence_that_may_be_there_is_lifted_like_one_that_is() {
    let mut world = one_too_many().await;
    // Its answer is lost, but it took effect.
    world.state().just_before("fence p-1", |state| {
        state.fences.insert(("p-1".to_owned(), "pool:ns/p".to_owned()));
    });
    world.state().fail("fence p-1", Fault::Fail(502));
    assert_eq!(world.look().await.unwrap_err().stage(), "apply");
    assert_eq!(world.size(), 3);
    world.respec(&json!({ "replicas": 3 }));
    world.rest().await;
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn the_fence_of_somebody_else_is_let_be() {
    let mut world = World::of(2).await;
    let theirs = ("p-1".to_owned(), "person:ann".to_owned());
    world.state().fences.insert(theirs.clone());
    world.rest().await;
    assert!(world.state().fences.contains(&theirs));
    world.calls();
    world.rest().await;
    assert_eq!(world.calls(), [] as [String; 0], "and it is not tried again at every look");
}

#[tokio::test]
async fn a_pod_that_is_gone_before_its_mark_costs_nothing() {
    let mut world = one_too_many().await;
    world.state().just_before("mark p-1", |state| state.delete_pod(&pod_path("p-1")));
    world.look().await.unwrap_err();
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (2, 2));
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn a_paused_pool_neither_grows_nor_shrinks() {
    let mut world = World::of(2).await;
    for replicas in [0, 5] {
        world.respec(&json!({ "replicas": replicas, "paused": true }));
        world.rest().await;
        assert_eq!((world.size(), world.state().pods().len()), (2, 2));
    }
    assert_eq!(world.condition("Paused").0, "True");
}
