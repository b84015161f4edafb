//! A process that the kubelet saw end.

use serde_json::{Value, json};

use super::super::objects::in_state;
use super::super::world::{Fault, World, pod_path};

fn terminated(instance: &str) -> Value {
    in_state(
        &json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled", "message": format!("{instance}\n") } }),
    )
}

/// One runner that holds a run, and whose container has ended.
async fn ended(instance: &str) -> World {
    let world = World::of(1).await;
    world.state().lease("p-1");
    world.state().change(&pod_path("p-1"), &terminated(instance));
    world
}

fn reports(world: &World) -> usize {
    world.calls().iter().filter(|call| call.starts_with("ended ")).count()
}

#[tokio::test]
async fn it_is_reported_once() {
    let mut world = ended("i-p-1").await;
    world.look().await.unwrap();
    assert_eq!(world.state().runners["p-1"]["busy"], false);
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(reports(&world), 1);
}

#[tokio::test]
async fn a_report_that_is_refused_is_no_news_either() {
    let mut world = ended("i-p-1").await;
    // The lease expired first, and the reconcile saw an older answer.
    world.state().just_before("ended", |state| state.finish("p-1"));
    world.look().await.unwrap();
    world.state().lease("p-1");
    world.look().await.unwrap();
    assert_eq!(reports(&world), 1);
}

#[tokio::test]
async fn a_report_that_failed_is_made_again() {
    let mut world = ended("i-p-1").await;
    world.state().fail("ended", Fault::Fail(503));
    world.look().await.unwrap();
    assert_eq!(world.state().runners["p-1"]["busy"], true);
    world.look().await.unwrap();
    assert_eq!(world.state().runners["p-1"]["busy"], false);
    assert_eq!(reports(&world), 2);
}

#[tokio::test]
async fn the_end_of_another_process_is_left_to_the_lease() {
    let mut world = ended("i-of-before").await;
    world.look().await.unwrap();
    assert_eq!(reports(&world), 0);
    assert_eq!(world.state().runners["p-1"]["busy"], true);
}
