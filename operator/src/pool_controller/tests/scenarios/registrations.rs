//! The registration token of a pool that names no Secret for it.

use kube::runtime::reflector::ObjectRef;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::super::sweep;
use super::super::objects::{NAMESPACE, POOL, UID};
use super::super::world::{Fault, World};

const SECRET: &str = "/api/v1/namespaces/ns/secrets/p-registration";

/// A pool that names no Secret, with a change to its spec.
async fn without_a_secret(spec: &Value) -> World {
    let world = World::new(&json!({ "replicas": 1 })).await;
    world.respec(&json!({ "registrationTokenSecretRef": null }));
    world.respec(spec);
    world
}

/// The token in the pool's Secret.
fn token(world: &World) -> Option<String> {
    let state = world.state();
    let secret: k8s_openapi::api::core::v1::Secret =
        serde_json::from_value(state.objects.get(SECRET)?.clone()).unwrap();
    let value = secret.data?.remove("registration-token")?;
    Some(String::from_utf8(value.0).unwrap())
}

/// Calls that are about the token, in order.
fn about_tokens(world: &World) -> Vec<String> {
    let calls = world.calls().into_iter();
    calls.filter(|call| call.contains("token of") || call.contains("Secret p-registration")).collect()
}

#[tokio::test]
async fn it_is_made_once_for_the_pool_and_kept_in_its_own_secret() {
    let mut world = without_a_secret(&json!({ "environment": "gpu", "team": "acme" })).await;
    for _ in 0..4 {
        world.look().await.unwrap();
    }
    assert_eq!(
        about_tokens(&world),
        ["read Secret p-registration", "make token of ns/p", "create Secret p-registration"]
    );
    let state = world.state();
    assert_eq!(state.pool_tokens, [("mtg_0".to_owned(), json!({ "environment": "gpu", "team": "acme" }))]);
    let secret = state.objects[SECRET]["metadata"].clone();
    let deployment = state.objects[&state.paths("deployments")[0]].clone();
    drop(state);
    assert_eq!(token(&world).as_deref(), Some("mtg_0"));
    assert_eq!(secret["ownerReferences"][0]["uid"], UID);
    assert_eq!(secret["ownerReferences"][0]["kind"], "RunnerPool");
    assert_eq!(secret["labels"]["minitower.dev/pool"], "p");
    assert_eq!(secret["labels"]["app.kubernetes.io/managed-by"], "minitower-operator");
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "registration-token").unwrap();
    assert_eq!(volume["secret"]["secretName"], "p-registration");
    assert_eq!(volume["secret"]["items"][0]["key"], "registration-token");
}

#[tokio::test]
async fn a_pool_that_names_a_secret_gets_none() {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.rest().await;
    assert!(world.state().pool_tokens.is_empty());
    assert!(!world.state().objects.contains_key(SECRET));
}

#[rstest]
#[case::the_environment(json!({ "environment": "gpu" }), json!({ "environment": "gpu" }))]
#[case::the_team(json!({ "team": "acme" }), json!({ "environment": "default", "team": "acme" }))]
#[tokio::test]
async fn another_one_is_made_when_what_it_is_bound_to_changes(#[case] spec: Value, #[case] bound: Value) {
    let mut world = without_a_secret(&json!({})).await;
    world.look().await.unwrap();
    world.respec(&spec);
    world.look().await.unwrap();
    assert_eq!(token(&world).as_deref(), Some("mtg_1"));
    assert_eq!(world.state().pool_tokens[1].1, bound);
    // And back: the annotation goes with the field.
    let gone: Value = spec.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
    world.respec(&gone);
    world.look().await.unwrap();
    assert_eq!(world.state().pool_tokens[2].1, json!({ "environment": "default" }));
    world.restart(2);
    world.look().await.unwrap();
    assert_eq!(token(&world).as_deref(), Some("mtg_2"), "a new leader takes it as it is");
}

#[tokio::test]
async fn a_secret_that_was_deleted_or_emptied_is_made_again() {
    let mut world = without_a_secret(&json!({})).await;
    world.look().await.unwrap();
    world.state().objects.remove(SECRET);
    world.restart(2);
    world.look().await.unwrap();
    assert_eq!(token(&world).as_deref(), Some("mtg_1"));
    world.state().change(SECRET, &json!({ "data": { "registration-token": "" } }));
    world.restart(3);
    world.look().await.unwrap();
    assert_eq!(token(&world).as_deref(), Some("mtg_2"));
}

#[rstest]
#[case::the_answer("make token", Fault::Crash)]
#[case::the_write("create Secret", Fault::Crash)]
#[tokio::test]
async fn what_was_lost_is_made_again_by_the_next_leader(#[case] call: &str, #[case] fault: Fault) {
    let mut world = without_a_secret(&json!({})).await;
    world.state().fail(call, fault);
    assert!(world.look_that_may_crash().await);
    world.restart(2);
    world.look().await.unwrap();
    let found = token(&world).unwrap();
    assert!(world.state().pool_tokens.iter().any(|(token, _)| *token == found), "it is a good one");
}

#[rstest]
#[case::a_team_admins_token("make token", 403, "TokenRefused", "making a registration token for pool ns/p")]
#[case::an_older_control_plane("make token", 404, "ServerTooOld", "spec.registrationTokenSecretRef")]
#[case::no_such_team("make token", 400, "Refused", "spec.registrationTokenSecretRef")]
#[case::trouble_of_the_server("make token", 500, "ServerError", "making a registration token")]
#[case::a_write_that_is_refused(
    "create Secret",
    422,
    "RegistrationTokenMissing",
    "cannot create Secret ns/p-registration"
)]
#[tokio::test]
async fn what_stands_in_the_way_is_told_and_tried_again_with_pauses(
    #[case] call: &str,
    #[case] code: u16,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let mut world = without_a_secret(&json!({ "replicas": 0 })).await;
    world.state().fail(call, Fault::Fail(code));
    for _ in 0..5 {
        world.look().await.unwrap();
    }
    let (status, told, message) = world.condition("Degraded");
    assert_eq!((status.as_str(), told.as_str()), ("True", reason), "{message}");
    assert!(message.contains(words) && !message.contains("mtg_"), "{message}");
    assert_eq!(world.state().events.iter().filter(|event| event.0 == reason).count(), 1, "told once");
    assert_eq!(token(&world), None, "not tried again at once");
    world.restart(2);
    world.look().await.unwrap();
    assert!(token(&world).is_some());
    assert_eq!(world.condition("Degraded").0, "False");
}

#[rstest]
#[case::reads("read Secret p-registration")]
#[case::creates("create Secret p-registration")]
#[tokio::test]
async fn a_missing_right_is_told_as_one(#[case] call: &str) {
    let mut world = without_a_secret(&json!({})).await;
    world.state().fail(call, Fault::Forbid);
    world.look().await.unwrap();
    let (_, reason, message) = world.condition("Ready");
    assert_eq!(reason, "RightsMissing");
    assert!(message.contains("operator.poolNamespaces"), "{message}");
}

#[tokio::test]
async fn somebody_elses_secret_is_left_alone() {
    let mut world = without_a_secret(&json!({})).await;
    let theirs = json!({ "metadata": { "name": "p-registration", "namespace": "ns" }, "data": {} });
    world.state().put(SECRET, theirs);
    world.look().await.unwrap();
    let (_, reason, message) = world.condition("Degraded");
    assert_eq!(reason, "NameTaken");
    assert!(message.starts_with("Secret ns/p-registration exists and is not this pool's"), "{message}");
    assert!(world.state().pool_tokens.is_empty() && token(&world).is_none());
}

#[tokio::test]
async fn a_silent_control_plane_is_told_once_and_not_asked_for_a_token() {
    let mut world = without_a_secret(&json!({ "replicas": 0 })).await;
    world.state().plane_fails = Some(503);
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    assert_eq!(world.condition("Degraded").0, "False");
    assert_eq!(world.condition("DemandAvailable").1, "ServerError");
    assert_eq!(about_tokens(&world), [] as [String; 0]);
}

#[tokio::test]
async fn it_is_revoked_when_the_pool_is_no_more() {
    let mut world = without_a_secret(&json!({})).await;
    world.look().await.unwrap();
    sweep::revoke(&world.context).await;
    assert_eq!(world.state().pool_tokens.len(), 1, "the pool is there");
    world.context.forget(&ObjectRef::new(POOL).within(NAMESPACE));
    world.state().fail("revoke", Fault::Fail(500));
    world.calls();
    for _ in 0..3 {
        sweep::revoke(&world.context).await;
    }
    assert!(world.state().pool_tokens.is_empty());
    assert_eq!(about_tokens(&world), ["revoke token of ns/p"; 2], "once more after the failure, and no more");
}

#[tokio::test]
async fn that_of_a_pool_that_came_again_is_kept() {
    let mut world = without_a_secret(&json!({})).await;
    world.look().await.unwrap();
    world.context.forget(&ObjectRef::new(POOL).within(NAMESPACE));
    world.look().await.unwrap();
    sweep::revoke(&world.context).await;
    assert_eq!(world.state().pool_tokens.len(), 1);
}
