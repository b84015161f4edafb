//! The Secret with the operator's token.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::world::{Fault, TOKEN, World, secret, secret_path};

#[rstest]
#[case::no_secret(None, "spec.operatorTokenSecretRef: Secret ns/tokens does not exist: create it")]
#[case::no_key(
    Some(json!({ "metadata": { "name": "tokens" }, "data": { "other": "eA==" } })),
    "spec.operatorTokenSecretRef: Secret ns/tokens has no key operator-token with a token in it"
)]
#[case::an_empty_key(
    Some(secret("  \n")),
    "spec.operatorTokenSecretRef: Secret ns/tokens has no key operator-token with a token in it"
)]
#[tokio::test]
async fn what_is_missing_is_named_and_the_pool_keeps_its_pods(
    #[case] found: Option<Value>,
    #[case] words: &str,
) {
    let mut world = World::of(3).await;
    world.restart(2);
    match found {
        Some(secret) => drop(world.state().put(&secret_path(), secret)),
        None => drop(world.state().objects.remove(&secret_path())),
    }
    world.respec(&json!({ "replicas": 1 }));
    world.rest_of_reads().await;
    assert_eq!(world.state().pods().len(), 3);
    assert!(world.state().fences.is_empty());
    let (status, reason, message) = world.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str(), message.as_str()), ("True", "OperatorTokenMissing", words));
    assert_eq!(world.condition("DemandAvailable").0, "False");
    assert_eq!(
        world.condition("Ready"),
        ("False".to_owned(), "OperatorTokenMissing".to_owned(), words.to_owned())
    );
    world.state().put(&secret_path(), secret(TOKEN));
    world.rest().await;
    assert_eq!(world.state().pods().len(), 1);
    assert_eq!(world.condition("Degraded").0, "False");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_told_with_the_api_servers_words() {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    world.state().fail("read Secret", Fault::Fail(403));
    world.look().await.unwrap();
    let (_, reason, message) = world.condition("Degraded");
    assert_eq!(reason, "OperatorTokenMissing");
    assert!(message.contains("cannot be read") && message.contains("told to fail"), "{message}");
}

#[tokio::test]
async fn a_wrong_token_is_told_and_a_mended_one_is_found_at_once() {
    let mut world = World::of(3).await;
    world.restart(2);
    world.state().put(&secret_path(), secret("mto_wrong"));
    world.respec(&json!({ "replicas": 1 }));
    for _ in 0..2 {
        // Without access nothing can be fenced.
        world.look().await.unwrap_err();
    }
    let (status, reason, message) = world.condition("DemandAvailable");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "TokenRefused"));
    assert!(!message.contains("mto_wrong"), "{message}");
    assert_eq!((world.size(), world.state().pods().len()), (3, 3));
    world.state().put(&secret_path(), secret(TOKEN));
    world.rest().await;
    assert_eq!(world.state().pods().len(), 1);
    assert_eq!(world.condition("DemandAvailable").0, "True");
}

/// Notes of the Events with this reason.
fn events(world: &World, reason: &str) -> Vec<String> {
    let state = world.state();
    state.events.iter().filter(|event| event.0 == reason).map(|event| event.1.clone()).collect()
}

#[rstest]
#[case::a_wrong_token(json!({}), Some("mto_wrong"), "TokenRefused")]
#[case::a_host_that_nobody_has(json!({ "server": { "url": "http://no..host:8080" } }), None, "HostNotFound")]
#[case::a_port_where_nobody_listens(json!({ "server": { "url": "http://127.0.0.1:9" } }), None, "Unreachable")]
#[tokio::test]
async fn a_pool_of_size_zero_that_cannot_ask_says_why(
    #[case] spec: Value,
    #[case] token: Option<&str>,
    #[case] reason: &str,
) {
    let mut world = World::new(&spec).await;
    if let Some(token) = token {
        world.state().put(&secret_path(), secret(token));
    }
    for _ in 0..3 {
        world.look().await.unwrap();
    }
    let (is, told, _) = world.condition("Ready");
    assert_eq!((is.as_str(), told.as_str()), ("False", reason));
    assert_eq!(events(&world, reason).len(), 1, "told once");
}

#[tokio::test]
async fn a_token_is_not_read_at_every_look() {
    let mut world = World::new(&json!({ "replicas": 1 })).await;
    for _ in 0..4 {
        world.look().await.unwrap();
        world.state().settle();
    }
    let reads = world.calls().iter().filter(|call| call.starts_with("read Secret")).count();
    assert_eq!(reads, 1);
}
