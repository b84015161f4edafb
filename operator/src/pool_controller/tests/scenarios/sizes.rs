//! Deployments are created, grown and restored, and otherwise left alone.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::world::World;

#[tokio::test]
async fn a_pool_gets_its_deployment_in_the_exact_size() {
    let mut world = World::new(&json!({ "replicas": 3 })).await;
    world.look().await.unwrap();
    assert_eq!(world.calls(), ["read Secret tokens", "create 3", "status"]);
    let (reason, note) = world.state().events[0].clone();
    assert_eq!(reason, "ScaledUp");
    assert!(note.starts_with("from 0 to 3 runners: "), "{note}");
}

#[tokio::test]
async fn a_pool_follows_its_queue() {
    let mut world = World::new(&json!({ "maxRunners": 6 })).await;
    world.state().pending = 4;
    world.rest().await;
    assert_eq!(world.size(), 4);
    world.state().pending = 40;
    world.rest().await;
    assert_eq!(world.size(), 6);
    assert_eq!(world.condition("ScalingLimited").1, "MaxRunners");
    world.state().pending = 0;
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (0, 0));
    assert!(world.state().fences.is_empty(), "no fence outlives its pod");
}

#[tokio::test]
async fn a_pool_grows_by_one_call() {
    let mut world = World::of(2).await;
    world.respec(&json!({ "replicas": 5 }));
    world.look().await.unwrap();
    let deployment = &world.deployments()[0];
    assert_eq!(world.calls(), [format!("scale {deployment} 5"), "status".to_owned()]);
}

#[tokio::test]
async fn a_look_that_changes_nothing_writes_nothing() {
    let mut world = World::of(3).await;
    let events = world.state().events.len();
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(world.calls(), [] as [String; 0]);
    assert_eq!(world.state().events.len(), events);
}

#[tokio::test]
async fn another_operator_writes_nothing_either() {
    let mut world = World::of(3).await;
    world.restart(2);
    world.look().await.unwrap();
    world.look().await.unwrap();
    assert_eq!(world.calls(), ["read Secret tokens"]);
}

#[tokio::test]
async fn what_was_written_is_not_written_again_before_it_is_seen() {
    let mut world = World::new(&json!({ "replicas": 3 })).await;
    world.look().await.unwrap();
    world.calls();
    world.look_at_stores().await.unwrap();
    assert_eq!(world.calls(), [] as [String; 0]);
    world.state().settle();
    world.rest().await;
    world.calls();
    world.respec(&json!({ "replicas": 1 }));
    world.look().await.unwrap();
    world.calls();
    world.look_at_stores().await.unwrap();
    world.look_at_stores().await.unwrap();
    assert_eq!(world.calls(), [] as [String; 0]);
}

/// What `kubectl` leaves behind when it changes a template.
fn meddled() -> Value {
    json!({
        "metadata": { "managedFields": [{
            "manager": "kubectl-set", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": { "f:spec": { "f:template": { "f:spec": {} } } },
        }] },
        "spec": { "template": { "spec": { "priorityClassName": "theirs" } } },
    })
}

#[tokio::test]
async fn a_template_that_somebody_changed_is_put_right_and_keeps_its_size() {
    let mut world = World::of(2).await;
    let (path, deployment) = (world.deployment_path(), world.deployments()[0].clone());
    world.state().change(&path, &meddled());
    world.look().await.unwrap();
    assert_eq!(world.calls(), [format!("restore {deployment} 2")]);
    assert!(world.state().objects[&path]["spec"]["template"]["spec"]["priorityClassName"].is_null());
    let (reason, note) = world.state().events.last().unwrap().clone();
    assert_eq!(reason, "TemplateRestored");
    assert!(note.contains(&format!("Deployment {deployment} was changed by kubectl-set")), "{note}");
    world.look().await.unwrap();
    assert_eq!(world.calls(), [] as [String; 0]);
}

#[tokio::test]
async fn a_template_that_changes_once_more_is_not_overwritten_unseen() {
    let mut world = World::of(2).await;
    let path = world.deployment_path();
    world.state().change(&path, &meddled());
    let again = path.clone();
    world.state().just_before("restore", move |state| {
        state.change(&again, &json!({ "metadata": { "annotations": { "their": "note" } } }));
    });
    assert!(world.look().await.is_err());
    world.look().await.unwrap();
    let annotations = world.state().objects[&path]["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({ "their": "note" }));
}

#[rstest]
#[case::smaller(1)]
#[case::larger(7)]
#[tokio::test]
async fn a_size_that_somebody_else_set_is_put_right_without_a_kill(#[case] theirs: u32) {
    let mut world = World::of(3).await;
    {
        let mut state = world.state();
        for pod in state.pods() {
            state.lease(&pod);
        }
    }
    let path = world.deployment_path();
    world.state().change(&path, &json!({ "spec": { "replicas": theirs } }));
    // The ReplicaSet controller is quicker than the operator.
    world.state().settle();
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (3, 3));
}
