//! Runners on their way out take no further run, and are shown until they have ended.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::world::{Fault, World, pod_path, pool_path};

/// Somebody deletes a pod; its runner may go on for an hour.
fn delete(world: &World, name: &str, patch: &Value) {
    let deleted = json!({
        "deletionTimestamp": "2026-01-02T04:00:00Z", "deletionGracePeriodSeconds": 3600,
    });
    world.state().change(&pod_path(name), &json!({ "metadata": deleted }));
    world.state().change(&pod_path(name), patch);
}

fn status(world: &World) -> Value {
    world.state().objects[&pool_path()]["status"].clone()
}

fn is_fenced(world: &World, name: &str) -> bool {
    world.state().fences.contains(&(name.to_owned(), "pool:ns/p".to_owned()))
}

fn told(world: &World) -> Vec<String> {
    let state = world.state();
    let of = |(reason, note): &(String, String)| (reason == "BusyRunnerLeaves").then(|| note.clone());
    state.events.iter().filter_map(of).collect()
}

#[tokio::test]
async fn one_that_somebody_deleted_is_fenced_and_shown_with_its_run() {
    let mut world = World::of(2).await;
    world.state().lease("p-1");
    delete(&world, "p-1", &json!({}));
    world.look().await.unwrap();
    assert!(is_fenced(&world, "p-1"));
    world.look().await.unwrap();
    let status = status(&world);
    assert_eq!(status["leaving"], 1);
    let shown = json!([{
        "name": "p-1", "runId": 7, "reason": "Deleted", "since": "2026-01-02T03:00:00Z", "until": "2026-01-02T04:00:00Z",
    }]);
    assert_eq!(status["leavingRunners"], shown);
    assert_eq!(
        (&status["replicas"], &status["readyRunners"]),
        (&json!(1), &json!(1)),
        "it is in no other number"
    );
    assert_eq!(
        told(&world),
        [
            "pod p-1 was deleted while its runner holds run 7; the run has until 2026-01-02T04:00:00Z to finish and returns to the queue then"
        ]
    );
    world.calls();
    world.look().await.unwrap();
    assert_eq!((world.calls(), told(&world).len()), (vec![], 1), "and that is told once");
}

#[tokio::test]
async fn one_that_was_evicted_is_told_in_the_words_of_the_api_server() {
    let mut world = World::of(1).await;
    world.state().lease("p-1");
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
    });
    delete(&world, "p-1", &json!({ "status": { "conditions": [condition] } }));
    world.look().await.unwrap();
    assert_eq!(status(&world)["leavingRunners"][0]["reason"], "EvictionByEvictionAPI");
    assert!(
        told(&world)[0]
            .starts_with("pod p-1 has to go while its runner holds run 7 (Eviction API: evicting); ")
    );
}

#[tokio::test]
async fn an_idle_one_is_fenced_and_no_news() {
    let mut world = World::of(1).await;
    delete(&world, "p-1", &json!({}));
    world.look().await.unwrap();
    assert!(is_fenced(&world, "p-1"));
    assert_eq!(told(&world), [] as [String; 0]);
    // The pod ends, and nothing is left of its fence.
    world.state().delete_pod(&pod_path("p-1"));
    world.rest().await;
    assert!(world.state().fences.is_empty() && status(&world)["leaving"].is_null());
}

#[tokio::test]
async fn one_that_has_not_registered_is_fenced_in_advance_once() {
    let mut world = World::of(1).await;
    world.state().runners.clear();
    delete(&world, "p-1", &json!({}));
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(world.calls().iter().filter(|call| call.starts_with("fence")).count(), 1);
}

#[tokio::test]
async fn one_that_a_teams_token_cannot_fence_in_advance_is_no_problem() {
    let mut world = World::of(1).await;
    world.state().runners.clear();
    delete(&world, "p-1", &json!({}));
    world.state().fail("fence", Fault::Fail(404));
    world.look().await.unwrap();
    assert_eq!(world.condition("Degraded").0, "False");
    world.state().register("p-1");
    world.look().await.unwrap();
    assert!(is_fenced(&world, "p-1"), "as soon as it has registered");
}

#[tokio::test]
async fn one_whose_pod_was_deleted_by_force_is_fenced_and_shown_until_it_is_silent() {
    let mut world = World::of(2).await;
    world.state().lease("p-1");
    world.state().objects.remove(&pod_path("p-1"));
    world.look().await.unwrap();
    assert!(is_fenced(&world, "p-1"));
    assert_eq!(status(&world)["leavingRunners"], json!([{ "name": "p-1", "runId": 7, "reason": "PodGone" }]));
    assert!(told(&world)[0].starts_with("pod p-1 no longer exists, but its runner still holds run 7"));
    {
        let mut state = world.state();
        state.finish("p-1");
        state.runners.get_mut("p-1").unwrap()["status"] = json!("offline");
    }
    world.rest().await;
    assert!(status(&world)["leaving"].is_null());
}

#[tokio::test]
async fn a_runner_of_a_pod_that_the_watch_does_not_show_yet_is_let_be() {
    let mut world = World::of(1).await;
    world.state().register("p-9");
    world.look().await.unwrap();
    assert!(!is_fenced(&world, "p-9") && status(&world)["leaving"].is_null());
}

#[rstest]
#[case::paused(json!({ "paused": true }))]
#[case::of_size_zero(json!({ "replicas": 0 }))]
#[tokio::test]
async fn no_state_of_the_pool_keeps_one_from_being_fenced(#[case] spec: Value) {
    let mut world = World::of(1).await;
    world.state().lease("p-1");
    delete(&world, "p-1", &json!({}));
    world.respec(&spec);
    world.look().await.unwrap();
    assert!(is_fenced(&world, "p-1"));
}

#[tokio::test]
async fn a_pool_whose_last_runners_leave_with_their_runs_is_not_settled() {
    let mut world = World::of(1).await;
    world.state().lease("p-1");
    delete(&world, "p-1", &json!({}));
    world.respec(&json!({ "replicas": 0 }));
    world.look().await.unwrap();
    world.look().await.unwrap();
    let (is, reason, message) = world.condition("Progressing");
    assert_eq!((is.as_str(), reason.as_str()), ("True", "Leaving"));
    assert_eq!(message, "1 runner on its way out still holds a run");
}
