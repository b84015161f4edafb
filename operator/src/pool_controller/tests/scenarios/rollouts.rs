//! A changed template takes over as runs end.

use serde_json::json;

use super::super::objects::in_state;
use super::super::world::{World, pod_path};

fn other_image() -> serde_json::Value {
    json!({ "runner": { "image": "registry/other:2" } })
}

#[tokio::test]
async fn the_former_template_goes_as_its_runs_end() {
    let mut world = World::of(3).await;
    world.state().lease("p-2");
    let former = world.deployments()[0].clone();
    world.respec(&other_image());
    world.rest().await;
    assert_eq!(world.deployments().len(), 2);
    assert_eq!(world.condition("Progressing").1, "NewTemplate");
    assert!(world.state().pods().contains(&"p-2".to_owned()), "its run goes on");
    world.state().finish("p-2");
    world.rest().await;
    assert_eq!(world.deployments().len(), 1);
    assert!(!world.deployments().contains(&former));
    assert_eq!((world.size(), world.state().pods().len()), (3, 3));
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn a_bad_image_never_empties_a_pool() {
    let mut world = World::of(3).await;
    world.state().broken_image = true;
    world.respec(&other_image());
    world.rest().await;
    let serving =
        ["p-1", "p-2", "p-3"].iter().filter(|pod| world.state().pods().contains(&(**pod).to_owned())).count();
    assert!(serving >= 2, "{:?}", world.state().pods());
    world.state().broken_image = false;
    let started = world.state().pods();
    for pod in started {
        world.state().register(&pod);
    }
    world.rest().await;
    assert_eq!(world.deployments().len(), 1);
    assert_eq!(world.state().pods().len(), 3);
}

#[tokio::test]
async fn a_pool_follows_its_queue_with_the_former_template_while_the_new_one_does_not_start() {
    let mut world = World::new(&json!({ "maxRunners": 4, "minRunners": 1 })).await;
    world.rest().await;
    world.state().broken_image = true;
    world.respec(&other_image());
    world.look().await.unwrap();
    world.state().settle();
    let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": "no such image" } });
    let broken = world.state().pods().into_iter().find(|pod| pod != "p-1").unwrap();
    world.state().change(&pod_path(&broken), &in_state(&waiting));
    world.look().await.unwrap();
    assert_eq!(world.condition("Degraded").1, "ImagePullFailed");
    // Whatever is created from now on is of the former template.
    world.state().broken_image = false;
    world.state().lease("p-1");
    world.state().pending = 2;
    world.rest().await;
    assert_eq!((world.size(), world.state().pods().len()), (4, 4));
    let runners = world.state().runners.len();
    assert_eq!(runners, 3, "three of the former template serve");
}

#[tokio::test]
async fn back_to_the_former_template_is_a_change_like_any_other() {
    let mut world = World::of(2).await;
    let former = world.deployments();
    world.respec(&other_image());
    world.look().await.unwrap();
    world.state().settle();
    world.respec(&json!({ "runner": { "image": null } }));
    world.rest().await;
    assert_eq!(world.deployments(), former);
    assert_eq!(world.state().pods().len(), 2);
}
