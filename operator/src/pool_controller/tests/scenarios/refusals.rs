//! What cannot be done is reported once, in the words of the server that refused it.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::super::build::{deployment_name, render};
use super::super::super::pool::Pool;
use super::super::world::{Fault, World, pool_path};

/// The name that the pool's Deployment will have.
fn name_to_come(world: &World) -> String {
    let pool = serde_json::from_value(world.state().objects[&pool_path()].clone()).unwrap();
    let pool = Pool::new(&pool, None).unwrap();
    deployment_name(&pool, &render(&pool, "registry/runner:1").unwrap().revision)
}

fn status_writes(calls: &[String]) -> usize {
    calls.iter().filter(|call| *call == "status").count()
}

#[rstest]
#[case::invalid(422)]
#[case::a_quota_of_deployments(403)]
#[tokio::test]
async fn a_deployment_that_is_refused_is_told_once_and_tried_again(#[case] code: u16) {
    let mut world = World::new(&json!({ "replicas": 2 })).await;
    for _ in 0..4 {
        world.state().fail("create", Fault::Fail(code));
        world.look().await.unwrap_err();
    }
    let (status, reason, message) = world.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "DeploymentRefused"));
    assert!(message.contains("told to fail"), "{message}");
    assert_eq!(status_writes(&world.calls()), 1);
    let told = world.state().events.iter().filter(|(reason, _)| reason == "DeploymentRefused").count();
    assert_eq!(told, 1);
    world.rest().await;
    assert_eq!(world.size(), 2);
    assert_eq!(world.condition("Degraded").0, "False");
}

#[tokio::test]
async fn a_refused_template_leaves_the_former_one_to_grow_and_is_replaced_as_soon_as_it_is_mended() {
    let mut world = World::of(2).await;
    let refused = |world: &World| world.state().fail("create", Fault::Fail(422));
    world.respec(&json!({ "replicas": 5, "template": { "priorityClass": "Bad" } }));
    for _ in 0..3 {
        refused(&world);
        world.look().await.unwrap_err();
        world.state().settle();
    }
    assert_eq!(world.condition("Ready").1, "DeploymentRefused");
    assert_eq!((world.deployments().len(), world.size()), (1, 4), "one place is kept for the new template");
    world.state().faults.clear();
    world.respec(&json!({ "template": { "priorityClass": "good" } }));
    world.rest().await;
    assert_eq!((world.deployments().len(), world.size()), (1, 5));
    assert_eq!(
        (world.condition("Ready").0, world.condition("Degraded").0),
        ("True".to_owned(), "False".to_owned())
    );
}

fn foreign(name: &str, owners: &Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "ns", "ownerReferences": owners },
        "spec": { "replicas": 7, "selector": {}, "template": {} },
    })
}

#[rstest]
#[case::nobodys(json!([]))]
#[case::of_a_former_pool(json!([
    { "apiVersion": "minitower.dev/v1alpha1", "kind": "RunnerPool", "name": "p", "uid": "former", "controller": true },
]))]
#[tokio::test]
async fn a_deployment_of_somebody_else_is_never_touched(#[case] owners: Value) {
    let mut world = World::new(&json!({ "replicas": 2 })).await;
    let name = name_to_come(&world);
    let path = format!("/apis/apps/v1/namespaces/ns/deployments/{name}");
    let before = world.state().put(&path, foreign(&name, &owners));
    world.look().await.unwrap_err();
    world.look().await.unwrap_err();
    assert_eq!(world.state().objects[&path], before);
    let (status, reason, message) = world.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NameTaken"));
    assert!(
        message.starts_with(&format!("Deployment {name} exists and does not belong to this pool")),
        "{message}"
    );
    assert_eq!(status_writes(&world.calls()), 1);
    world.state().objects.remove(&path);
    world.rest().await;
    assert_eq!(world.size(), 2);
}

#[tokio::test]
async fn a_deployment_that_lost_its_labels_is_taken_back_with_its_size() {
    let mut world = World::of(2).await;
    let (path, name) = (world.deployment_path(), world.deployments()[0].clone());
    world.state().change(&path, &json!({ "metadata": { "labels": null } }));
    world.look().await.unwrap();
    assert_eq!(world.calls()[..2], ["create 2".to_owned(), format!("restore {name} 2")]);
    assert_eq!(world.state().objects[&path]["metadata"]["labels"]["minitower.dev/pool"], "p");
    world.rest().await;
    assert_eq!(world.state().pods().len(), 2);
}

#[tokio::test]
async fn a_template_that_is_none_is_told_and_the_pods_stay() {
    let mut world = World::of(2).await;
    world.respec(&json!({ "template": { "affinity": { "nodeAffinity": 5 } }, "replicas": 0 }));
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(world.calls(), ["status"]);
    let (status, reason, message) = world.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidTemplate"));
    assert!(
        message.starts_with("spec.template.affinity is not valid (see kubectl explain pod.spec.affinity): "),
        "{message}"
    );
    assert_eq!(world.state().pods().len(), 2);
    world.respec(&json!({ "template": null }));
    world.rest().await;
    assert_eq!(world.condition("Degraded").0, "False");
    assert_eq!(world.state().pods().len(), 0);
}

#[rstest]
#[case::made_anew(409)]
#[case::deleted(404)]
#[tokio::test]
async fn a_pool_that_is_gone_when_its_status_is_written_is_no_error(#[case] code: u16) {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.state().fail("status", Fault::Fail(code));
    world.look().await.unwrap();
    // The status is written as soon as the pool exists again.
    world.look().await.unwrap();
    assert_eq!(world.condition("Degraded").0, "False");
}

#[tokio::test]
async fn a_status_that_fails_is_written_again() {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.state().fail("status", Fault::Fail(500));
    assert_eq!(world.look().await.unwrap_err().stage(), "api");
    world.look().await.unwrap();
    assert_eq!(world.condition("DemandAvailable").0, "True");
}

#[tokio::test]
async fn a_pool_that_is_being_deleted_is_left_alone() {
    let mut world = World::of(2).await;
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-01-02T03:04:05Z" }, "spec": { "replicas": 0 } });
    world.state().change(&pool_path(), &going);
    world.look().await.unwrap();
    assert_eq!(world.calls(), [] as [String; 0]);
    assert!(world.context.states.lock().unwrap().is_empty());
}
