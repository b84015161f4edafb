//! Servers that do not answer, or whose answer is lost.

use minitower_daemon::errors::chain;
use rstest::rstest;
use serde_json::json;

use super::super::world::{Fault, World};

#[rstest]
#[case(503, "ServerError")]
#[case(500, "ServerError")]
#[case(404, "ServerTooOld")]
#[tokio::test]
async fn a_control_plane_in_trouble_is_told_and_nothing_shrinks(#[case] code: u16, #[case] word: &str) {
    let mut world = World::new(&json!({})).await;
    world.state().pending = 3;
    world.rest().await;
    world.state().pending = 0;
    world.state().plane_fails = Some(code);
    for _ in 0..5 {
        world.look().await.unwrap();
        world.state().settle();
    }
    assert_eq!((world.size(), world.state().pods().len()), (3, 3));
    let (status, reason, message) = world.condition("DemandAvailable");
    assert_eq!((status.as_str(), reason.as_str()), ("False", word));
    assert!(message.contains("does not shrink"), "{message}");
    world.state().plane_fails = None;
    world.rest().await;
    assert_eq!(world.state().pods().len(), 0);
}

#[tokio::test]
async fn a_new_operator_that_knows_nothing_changes_nothing() {
    let mut world = World::new(&json!({})).await;
    world.state().pending = 3;
    world.rest().await;
    world.state().pending = 0;
    world.state().plane_fails = Some(503);
    world.restart(2);
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(world.state().pods().len(), 3);
    assert!(world.condition("DemandAvailable").2.ends_with("; the pool keeps its size"));
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn trouble_is_written_once_and_not_at_every_look() {
    let mut world = World::of(2).await;
    world.state().plane_fails = Some(503);
    for _ in 0..4 {
        world.look().await.unwrap();
    }
    assert_eq!(world.calls(), ["status"]);
}

#[tokio::test]
async fn a_fence_that_is_not_confirmed_in_time_marks_nothing() {
    let mut world = World::of(2).await;
    world.respec(&json!({ "replicas": 1 }));
    world.state().fail("fence p-1", Fault::Silence);
    assert_eq!(world.look().await.unwrap_err().stage(), "apply");
    assert_eq!(world.calls(), ["fence p-1", "status"]);
    world.rest().await;
    assert_eq!(world.state().pods(), ["p-2"]);
}

#[tokio::test]
async fn a_shrink_whose_answer_is_lost_is_made_once() {
    let mut world = World::of(3).await;
    world.respec(&json!({ "replicas": 2 }));
    world.state().fail("scale", Fault::Silence);
    let error = world.look().await.unwrap_err();
    let error = chain(&error);
    assert!(error.ends_with(": the API server did not answer within 5s"), "{error}");
    assert_eq!(world.size(), 2);
    world.state().settle();
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (2, 2));
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn a_deployment_whose_answer_is_lost_is_made_once() {
    let mut world = World::new(&json!({ "replicas": 2 })).await;
    world.state().fail("create", Fault::Silence);
    world.look().await.unwrap_err();
    // The watch is late too.
    world.look_at_stores().await.unwrap_err();
    world.rest().await;
    assert_eq!((world.deployments().len(), world.state().pods().len()), (1, 2));
}
