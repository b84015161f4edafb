//! Runners whose pods are gone.

use std::collections::HashSet;

use rstest::rstest;
use serde_json::json;

use super::super::super::sweep::{self, Left, Pods};
use super::super::world::{Fault, World, pool_path};

fn pod(name: &str) -> (String, String) {
    ("ns".to_owned(), name.to_owned())
}

/// Two pods, and the runner `name` without a pod, with a change to it.
async fn with_runner(name: &str, changes: &serde_json::Value) -> World {
    let mut world = World::of(2).await;
    {
        let mut state = world.state();
        state.register(name);
        let runner = state.runners.get_mut(name).unwrap();
        *runner = super::super::objects::merged(runner.clone(), changes);
        state.fences.insert((name.to_owned(), "pool:ns/p".to_owned()));
    }
    world.look().await.unwrap();
    world.calls();
    world
}

/// Sweeps when these pods are gone, whose processes were seen to end.
async fn sweep(world: &World, gone: &[&str]) -> HashSet<(String, String)> {
    let gone: HashSet<_> = gone.iter().map(|name| pod(name)).collect();
    once(world, Pods { ended: gone.clone(), gone, ..Pods::default() }).await.waiting
}

/// Sweeps with what is known besides the pods that exist.
async fn once(world: &World, known: Pods) -> Left {
    let present = world.state().pods().iter().map(|name| pod(name)).collect();
    sweep::once(&world.context, &Pods { present, ..known }).await
}

#[tokio::test]
async fn one_that_is_silent_is_forgotten_with_its_fences() {
    let world = with_runner("p-9", &json!({ "status": "offline" })).await;
    assert!(sweep(&world, &[]).await.is_empty());
    assert_eq!(world.calls(), ["forget p-9"]);
    assert!(world.state().fences.is_empty());
}

#[tokio::test]
async fn one_whose_pod_was_seen_to_go_is_forgotten_though_it_was_heard_of() {
    let world = with_runner("p-9", &json!({})).await;
    assert!(sweep(&world, &["p-9"]).await.is_empty());
    assert_eq!(world.calls(), ["forget p-9"]);
}

#[rstest]
#[case::heard_of_and_not_seen_to_go("p-9", json!({}))]
#[case::of_another_pool("p-9", json!({ "status": "offline", "pool": "ns/q" }))]
#[case::of_the_same_pool_in_another_namespace("p-9", json!({ "status": "offline", "pool": "other/p" }))]
#[case::of_no_pool("p-9", json!({ "status": "offline", "pool": null }))]
#[case::of_a_team("p-9", json!({ "status": "offline", "scope": "team", "team": "acme" }))]
#[case::named_as_no_pod_of_it_is("x-9", json!({ "status": "offline" }))]
#[case::of_a_pod_that_is_there("p-1", json!({ "status": "offline" }))]
#[tokio::test]
async fn no_other_is(#[case] name: &str, #[case] changes: serde_json::Value) {
    let world = with_runner(name, &changes).await;
    world.calls();
    assert!(sweep(&world, &[]).await.is_empty());
    assert_eq!(world.calls(), [] as [String; 0]);
}

#[tokio::test]
async fn one_that_holds_a_run_stays_until_its_lease_has_decided() {
    let world = with_runner("p-9", &json!({ "status": "offline", "busy": true, "run_id": 7 })).await;
    assert_eq!(sweep(&world, &[]).await, HashSet::from([pod("p-9")]));
    assert!(world.state().runners.contains_key("p-9"));
    world.state().finish("p-9");
    assert!(sweep(&world, &["p-9"]).await.is_empty());
    assert!(!world.state().runners.contains_key("p-9"));
}

#[tokio::test]
async fn one_that_could_not_be_forgotten_is_asked_about_again() {
    let world = with_runner("p-9", &json!({})).await;
    world.state().fail("forget", Fault::Fail(503));
    assert_eq!(sweep(&world, &["p-9"]).await, HashSet::from([pod("p-9")]));
    assert!(sweep(&world, &["p-9"]).await.is_empty());
    assert!(!world.state().runners.contains_key("p-9"));
}

#[tokio::test]
async fn nobody_is_forgotten_by_a_former_leader() {
    let mut world = with_runner("p-9", &json!({ "status": "offline" })).await;
    world.lead(1, std::time::Duration::from_secs(4));
    world.look().await.unwrap();
    world.calls();
    sweep(&world, &[]).await;
    assert_eq!(world.calls(), [] as [String; 0]);
}

fn fenced(world: &World) -> bool {
    world.state().fences.contains(&("p-9".to_owned(), "pool:ns/p".to_owned()))
}

/// As `with_runner`, without its fence.
async fn unfenced(changes: &serde_json::Value) -> World {
    let world = with_runner("p-9", changes).await;
    world.state().fences.clear();
    // What the sweep reads must be younger than that.
    world.context.planes.lock().unwrap().values_mut().for_each(|served| served.config.url.push('/'));
    world.calls();
    world
}

#[rstest]
#[case::idle(json!({}))]
#[case::at_work(json!({ "busy": true, "run_id": 7 }))]
#[tokio::test]
async fn one_whose_pod_was_deleted_by_force_is_fenced_and_kept_until_it_is_offline(
    #[case] changes: serde_json::Value,
) {
    let world = unfenced(&changes).await;
    let left = once(&world, Pods { gone: [pod("p-9")].into(), ..Pods::default() }).await;
    assert_eq!(world.calls(), ["fence p-9"]);
    assert!(fenced(&world));
    assert_eq!(left.waiting, HashSet::from([pod("p-9")]));
}

#[tokio::test]
async fn one_whose_pod_was_never_seen_is_fenced_at_the_second_sweep() {
    let world = unfenced(&json!({})).await;
    let left = once(&world, Pods::default()).await;
    assert_eq!((world.calls(), &left.without), (vec![], &HashSet::from([pod("p-9")])));
    once(&world, Pods { without: left.without, ..Pods::default() }).await;
    assert_eq!(world.calls(), ["fence p-9"]);
}

#[tokio::test]
async fn a_teams_runner_that_names_the_pool_is_neither_fenced_nor_shown_nor_forgotten() {
    let mut world = unfenced(&json!({ "scope": "team", "team": "acme" })).await;
    for gone in [Pods::default(), Pods { without: [pod("p-9")].into(), ..Pods::default() }] {
        let left = once(&world, gone).await;
        assert_eq!(left, Left::default());
    }
    let gone = Pods { gone: [pod("p-9")].into(), ended: [pod("p-9")].into(), ..Pods::default() };
    once(&world, gone).await;
    world.look().await.unwrap();
    assert_eq!(world.calls(), [] as [String; 0]);
    assert_eq!(world.state().objects[&pool_path()]["status"]["leavingRunners"], serde_json::Value::Null);
}

#[tokio::test]
async fn one_whose_pod_is_being_deleted_is_fenced_though_its_pool_is_no_more() {
    let world = unfenced(&json!({})).await;
    world.state().objects.remove(&pool_path());
    let leaving = Pods { present: [pod("p-9")].into(), leaving: [pod("p-9")].into(), ..Pods::default() };
    let waiting = sweep::once(&world.context, &leaving).await.waiting;
    assert_eq!((world.calls(), waiting), (vec!["fence p-9".to_owned()], HashSet::new()));
}
