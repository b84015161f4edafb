//! What surrounds a pool and concerns it: other pools of its environment, and the admission policy.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::super::super::pool::Pool;
use super::super::objects::pool_object;
use super::super::world::{World, pool_path};

fn told(world: &World, reason: &str) -> usize {
    world.state().events.iter().filter(|event| event.0 == reason).count()
}

#[tokio::test]
async fn a_pool_says_which_others_serve_its_environment_while_there_are_any() {
    let mut world = World::of(1).await;
    assert_eq!(world.condition("EnvironmentShared").1, "Alone");
    let url = world.state().objects[&pool_path()]["spec"]["server"]["url"].clone();
    let other = pool_object(&json!({ "metadata": { "name": "q" }, "spec": { "server": { "url": url } } }));
    world.context.neighbours.meet(&Pool::new(&other, None).unwrap());
    for _ in 0..2 {
        world.look().await.unwrap();
    }
    let (is, reason, message) = world.condition("EnvironmentShared");
    assert_eq!((is.as_str(), reason.as_str()), ("True", "OtherPools"));
    assert!(message.starts_with("environment default is also served by ns/q: "), "{message}");
    assert_eq!(told(&world, "EnvironmentShared"), 1);
    world.context.neighbours.forget("ns/q");
    world.look().await.unwrap();
    assert_eq!(world.condition("EnvironmentShared").0, "False");
}

#[tokio::test]
async fn a_missing_admission_policy_is_told_once_each_time_it_goes() {
    let mut world = World::of(1).await;
    for (is_there, expected) in [(false, 1), (false, 1), (true, 1), (false, 2)] {
        world.context.policy_seen.store(is_there, Ordering::Relaxed);
        world.look().await.unwrap();
        assert_eq!(told(&world, "AdmissionPolicyMissing"), expected);
    }
}
