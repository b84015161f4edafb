//! Pools that use the operator's own control plane from another namespace.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::super::super::sweep::{self, Pods};
use super::super::world::{TOKEN, World};

/// What the pool's namespace may have.
const GRANTS: &str = r#"{"ns":{"platform":true,"environments":["default"]}}"#;

/// A spec that names the operator's own control plane at this port.
fn at_own(port: u16) -> Value {
    let service = json!({ "name": "127", "namespace": "0.0.1", "port": port });
    json!({
        "server": { "url": null, "serviceRef": service },
        "operatorTokenSecretRef": null, "registrationTokenSecretRef": null,
    })
}

/// A pool of another namespace at the operator's own control plane.
async fn elsewhere(spec: &Value, grants: &str) -> World {
    let mut world = World::new(spec).await;
    let port = world.port();
    world.own(port, TOKEN, grants);
    world.respec(&at_own(port));
    world
}

#[tokio::test]
async fn one_that_may_is_served_without_a_copy_of_any_token() {
    let mut world = elsewhere(&json!({ "replicas": 3 }), GRANTS).await;
    world.rest().await;
    assert_eq!(world.state().pods().len(), 3);
    world.respec(&json!({ "replicas": 1 }));
    world.rest().await;
    assert_eq!(world.state().pods().len(), 1, "it fences, marks and shrinks");
    assert_eq!(world.condition("Ready").0, "True");
    let calls = world.calls();
    assert!(!calls.contains(&"read Secret tokens".to_owned()), "{calls:?}");
    assert_eq!(world.state().pool_tokens.len(), 1);
}

#[rstest]
#[case::its_namespace(r#"{"other":{"platform":true}}"#, "may not use the operator's own control plane")]
#[case::nothing("", "may not use the operator's own control plane")]
#[case::all_teams(r#"{"ns":{"teams":["acme"]}}"#, "may not serve all teams; spec.team may be acme")]
#[case::the_environment(r#"{"ns":{"platform":true,"environments":["gpu"]}}"#, "spec.environment may be gpu")]
#[tokio::test]
async fn one_that_may_not_gets_no_pods_and_no_token(#[case] grants: &str, #[case] words: &str) {
    let mut world = elsewhere(&json!({ "replicas": 3 }), grants).await;
    world.state().pending = 5;
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    let (status, reason, message) = world.condition("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ScopeNotAllowed"));
    assert!(message.contains(words) && message.contains("operator.poolNamespaces"), "{message}");
    assert_eq!(world.calls(), ["status"], "told once, and nothing else");
    assert_eq!(world.deployments(), [] as [String; 0]);
    assert_eq!(world.state().heard, BTreeSet::new(), "the control plane is not asked for it");
    assert!(world.state().pool_tokens.is_empty());
}

/// The operator's own token; the control plane of the world is somebody else's.
const OWN: &str = "mto_the-operators-own";

#[rstest]
#[case::a_url_with_a_token(json!({}), &["Bearer mto_the-token-of-the-tests"])]
#[case::a_url_without_one(json!({ "operatorTokenSecretRef": null }), &[])]
#[tokio::test]
async fn the_operators_token_goes_to_no_address_that_a_pool_names(
    #[case] spec: Value,
    #[case] heard: &[&str],
) {
    let mut world = World::new(&json!({ "replicas": 1, "registrationTokenSecretRef": null })).await;
    world.own(9, OWN, GRANTS);
    world.respec(&spec);
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    sweep::once(&world.context, &Pods::default()).await;
    assert_eq!(world.state().heard.iter().map(String::as_str).collect::<Vec<_>>(), heard);
}

#[rstest]
#[case::another_port(Some(9), json!({}))]
#[case::another_name(None, json!({ "name": "127.0", "namespace": "0.1" }))]
#[tokio::test]
async fn the_operators_token_goes_to_no_other_service(#[case] own: Option<u16>, #[case] service: Value) {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    let port = world.port();
    world.own(own.unwrap_or(port), OWN, GRANTS);
    world.respec(&at_own(port));
    world.respec(&json!({ "server": { "serviceRef": service } }));
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(world.condition("Ready").1, "OperatorTokenMissing");
    assert_eq!(world.state().heard, BTreeSet::new());
    assert_eq!(world.deployments(), [] as [String; 0]);
}

/// Calls that are about this runner.
fn about(world: &World, runner: &str) -> Vec<String> {
    world.calls().into_iter().filter(|call| call.ends_with(&format!(" {runner}"))).collect()
}

#[rstest]
#[case::another_pools("p-stolen", Some(json!({ "pool": "ns/q" })))]
#[case::a_pools_of_another_namespace("p-stolen", Some(json!({ "pool": "other/p" })))]
#[case::a_machines("p-stolen", Some(json!({ "pool": null })))]
#[case::a_teams("p-stolen", Some(json!({ "scope": "team", "team": "acme" })))]
#[case::one_that_is_yet_to_come("machine-1", None)]
#[tokio::test]
async fn a_pod_that_has_the_name_of_somebody_elses_runner_does_not_touch_it(
    #[case] name: &str,
    #[case] runner: Option<Value>,
) {
    let mut world = elsewhere(&json!({ "replicas": 1 }), GRANTS).await;
    world.rest().await;
    let revision = world.deployments()[0].strip_prefix("p-").unwrap().to_owned();
    {
        let mut state = world.state();
        state.add_pod(name, &revision);
        if let Some(changes) = &runner {
            state.register(name);
            let known = state.runners.get_mut(name).unwrap();
            *known = super::super::objects::merged(known.clone(), changes);
        }
    }
    world.calls();
    for replicas in [1, 0] {
        world.respec(&json!({ "replicas": replicas }));
        for _ in 0..4 {
            let _ = world.look().await;
        }
    }
    // Its pod goes, with its process.
    let path = super::super::world::pod_path(name);
    let ended = [("ns".to_owned(), name.to_owned())];
    world.state().objects.remove(&path);
    for _ in 0..3 {
        let _ = world.look().await;
        let pods = Pods { gone: ended.clone().into(), ended: ended.clone().into(), ..Pods::default() };
        sweep::once(&world.context, &pods).await;
    }
    assert_eq!(about(&world, name), [] as [String; 0]);
    assert_eq!(world.state().runners.contains_key(name), runner.is_some());
}
