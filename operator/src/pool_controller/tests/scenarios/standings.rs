//! What the control plane is told of a pool, for people whose runs wait.

use kube::runtime::reflector::ObjectRef;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::super::sweep;
use super::super::objects::{NAMESPACE, POOL};
use super::super::world::World;

/// The states that were told, in order.
fn states(world: &World) -> Vec<String> {
    let reports = &world.state().reports;
    reports.iter().map(|report| report["state"].as_str().unwrap_or("gone").to_owned()).collect()
}

#[tokio::test]
async fn a_pool_that_starts_a_runner_and_is_then_full_says_so_at_once_and_no_more() {
    let mut world = World::new(&json!({ "maxRunners": 1, "team": null })).await;
    world.state().pending = 3;
    world.rest().await;
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(states(&world), ["growing", "at_maximum"]);
    let full = world.state().reports[1].clone();
    let expected = json!({
        "environment": "default", "state": "at_maximum", "min": 0, "max": 1, "desired": 1, "ready": 1,
        "message": "3 runners are wanted but spec.maxRunners is 1: raise it if runs wait too long"
    });
    assert_eq!(full, expected);
}

#[tokio::test]
async fn a_pool_that_is_broken_says_why_in_the_words_of_its_status() {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.state().fail("create", super::super::world::Fault::Fail(422));
    world.look().await.unwrap_err();
    let message = world.condition("Degraded").2;
    let told = world.state().reports.last().cloned().unwrap();
    assert_eq!((&told["state"], &told["message"]), (&json!("broken"), &json!(message)));
    assert!(message.contains("told to fail"), "{message}");
}

#[rstest]
#[case::older(404)]
#[case::a_team_admins_token(403)]
#[case::in_trouble(500)]
#[tokio::test]
async fn a_control_plane_that_does_not_take_it_is_left_alone_and_the_pool_is_served(#[case] code: u16) {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.state().refuses_reports = Some(code);
    world.rest().await;
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(states(&world).len(), 1, "not at every look");
    assert_eq!((world.size(), world.condition("Ready").0), (1, "True".to_owned()));
}

#[tokio::test]
async fn a_pool_that_is_no_more_is_forgotten() {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.rest().await;
    world.context.forget(&ObjectRef::new(POOL).within(NAMESPACE));
    sweep::revoke(&world.context).await;
    assert_eq!(world.state().reports.last(), Some(&Value::Null));
}
