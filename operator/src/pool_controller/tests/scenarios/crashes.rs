//! The operator dies at each single call, and the next one continues from what it left.

use serde_json::{Value, json};

use super::super::world::World;

/// Three runners of which one is busy.
async fn begin() -> World {
    let world = World::of(3).await;
    world.state().lease("p-2");
    world
}

/// Dies at each call in turn while `change` is carried out, and calls `check` with each world after the next operator has done its work.
async fn die_at_each_call(change: &Value, back: Option<&Value>, check: impl Fn(&World)) -> usize {
    for at in 0.. {
        let mut world = begin().await;
        world.respec(change);
        world.state().crash_at = Some(at);
        let mut crashed = false;
        for _ in 0..8 {
            crashed = world.look_that_may_crash().await;
            if crashed {
                break;
            }
            world.state().settle();
        }
        world.state().crash_at = None;
        if let Some(back) = back {
            world.respec(back);
        }
        // The cluster continues meanwhile.
        world.state().settle();
        world.restart(2);
        world.rest().await;
        check(&world);
        if !crashed {
            return at;
        }
    }
    unreachable!("there are not so many calls")
}

fn at_rest(world: &World, size: u64) {
    let state = world.state();
    let pods = state.pods();
    assert_eq!(pods.len() as u64, size, "{:?}", state.calls);
    assert!(pods.contains(&"p-2".to_owned()), "the busy one stays");
    let idle_fenced: Vec<_> =
        state.fences.iter().filter(|(runner, _)| runner != "p-2" && pods.contains(runner)).collect();
    assert!(idle_fenced.is_empty(), "{idle_fenced:?}");
    for pod in &pods {
        assert_eq!(state.annotation(pod, "controller.kubernetes.io/pod-deletion-cost"), None, "{pod}");
    }
}

#[tokio::test]
async fn while_it_shrinks() {
    let calls = die_at_each_call(&json!({ "replicas": 1 }), None, |world| {
        assert_eq!(world.size(), 1);
        at_rest(world, 1);
    })
    .await;
    assert!(calls >= 6, "two fences, two marks, a size, a status: {calls}");
}

#[tokio::test]
async fn while_it_shrinks_what_is_wanted_again_when_the_next_one_comes() {
    die_at_each_call(&json!({ "replicas": 1 }), Some(&json!({ "replicas": 3 })), |world| {
        assert_eq!(world.size(), 3);
        at_rest(world, 3);
    })
    .await;
}

#[tokio::test]
async fn while_it_grows() {
    die_at_each_call(&json!({ "replicas": 5 }), None, |world| at_rest(world, 5)).await;
}

#[tokio::test]
async fn while_the_template_changes() {
    let calls = die_at_each_call(
        &json!({ "replicas": 4, "runner": { "image": "registry/other:2" } }),
        None,
        |world| {
            // The busy one of the former template, and the rest of the new one.
            assert_eq!(world.deployments().len(), 2);
            let state = world.state();
            assert!(state.pods().contains(&"p-2".to_owned()));
            assert!(state.pods().len() <= 4, "{:?}", state.pods());
        },
    )
    .await;
    assert!(calls >= 8, "{calls}");
}
