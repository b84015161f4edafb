//! Which pools are valid, and whose token is sent where.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::pool::{Pool, PoolError, TokenSource};
use super::objects::{merged, pool, pool_object};
use crate::crd::RunnerPool;
use crate::grants::Grants;
use crate::settings::OwnService;

fn own() -> OwnService {
    let grants = Grants::parse(r#"{"team-a":{"teams":["acme"],"environments":["default"]}}"#).unwrap();
    OwnService { name: "tower".to_owned(), namespace: "ns".to_owned(), port: 8080, grants }
}

/// A pool at a Service, without a token of its own.
fn at_service(name: &str, port: u16) -> Value {
    let server = json!({ "url": null, "serviceRef": { "name": name, "port": port } });
    json!({ "spec": { "server": server, "operatorTokenSecretRef": null } })
}

#[test]
fn the_operators_own_service_gets_the_operators_own_token() {
    let pool = Pool::new(&pool_object(&at_service("tower", 8080)), Some(&own())).unwrap();
    assert_eq!(pool.token, TokenSource::Own);
    assert_eq!(pool.server_url, "http://tower.ns:8080");
}

#[rstest]
#[case::another_name("other", 8080, "ns", Some(own()))]
#[case::another_port("tower", 8081, "ns", Some(own()))]
#[case::another_namespace("tower", 8080, "elsewhere", Some(own()))]
#[case::an_operator_without_a_control_plane("tower", 8080, "ns", None)]
fn a_foreign_service_never_gets_it(
    #[case] name: &str,
    #[case] port: u16,
    #[case] namespace: &str,
    #[case] own: Option<OwnService>,
) {
    let mut object = pool_object(&at_service(name, port));
    object.metadata.namespace = Some(namespace.to_owned());
    let error = Pool::new(&object, own.as_ref()).unwrap_err();
    assert_eq!(error.as_reason(), "OperatorTokenMissing");
    let text = error.to_string();
    assert!(text.contains("spec.operatorTokenSecretRef is missing"), "{text}");
    assert!(text.contains(&format!("Service {namespace}/{name} is not the operator's own")), "{text}");
}

/// A pool of that namespace at the operator's own Service.
fn elsewhere(namespace: &str, spec: &Value) -> RunnerPool {
    let mut object = pool_object(&merged(at_service("tower", 8080), &json!({ "spec": spec })));
    object.metadata.namespace = Some(namespace.to_owned());
    object.spec.server.service_ref.as_mut().unwrap().namespace = Some("ns".to_owned());
    object
}

#[test]
fn a_pool_of_a_namespace_that_may_gets_it_for_what_it_may_serve() {
    let object = elsewhere("team-a", &json!({ "team": "acme" }));
    let pool = Pool::new(&object, Some(&own())).unwrap();
    assert_eq!(pool.token, TokenSource::Own);
    assert_eq!(pool.server_url, "http://tower.ns:8080");
    assert_eq!(pool.fence_owner(), "pool:team-a/p");
}

#[rstest]
#[case::another_namespace("team-b", json!({ "team": "acme" }), "namespace team-b: its pools may not use")]
#[case::all_teams("team-a", json!({}), "namespace team-a: its pools may not serve all teams; spec.team may be acme")]
#[case::another_team("team-a", json!({ "team": "zeta" }), "its pools may not serve team zeta")]
#[case::another_environment("team-a", json!({ "team": "acme", "environment": "gpu" }), "environment gpu")]
fn no_other_pool_gets_it(#[case] namespace: &str, #[case] spec: Value, #[case] words: &str) {
    let mut object = elsewhere(namespace, &spec);
    let error = Pool::new(&object, Some(&own())).unwrap_err();
    assert_eq!(error.as_reason(), "ScopeNotAllowed");
    let text = error.to_string();
    assert!(text.contains(words) && text.contains("operator.poolNamespaces"), "{text}");
    assert!(text.contains("spec.operatorTokenSecretRef"), "{text}");
    // With a token of its own it needs nobody's leave.
    object.spec.operator_token_secret_ref = pool_object(&json!({})).spec.operator_token_secret_ref;
    let pool = Pool::new(&object, Some(&own())).unwrap();
    assert_ne!(pool.token, TokenSource::Own);
    assert_eq!(pool.server_url, "http://tower.ns:8080");
}

#[rstest]
#[case::another_name("other", 8080, "ns")]
#[case::another_port("tower", 8081, "ns")]
#[case::the_pools_own_namespace("tower", 8080, "team-a")]
#[case::a_third_namespace("tower", 8080, "ns-other")]
fn a_namespace_that_may_gets_it_for_no_other_service(
    #[case] name: &str,
    #[case] port: u16,
    #[case] namespace: &str,
) {
    let mut object = elsewhere("team-a", &json!({ "team": "acme" }));
    let service = object.spec.server.service_ref.as_mut().unwrap();
    (service.name, service.port, service.namespace) = (name.to_owned(), port, Some(namespace.to_owned()));
    let error = Pool::new(&object, Some(&own())).unwrap_err();
    assert_eq!(error.as_reason(), "OperatorTokenMissing");
    let text = error.to_string();
    assert!(text.contains("create a Secret in namespace team-a"), "{text}");
}

#[test]
fn the_operators_own_namespace_may_serve_everybody_as_before() {
    let object = elsewhere("ns", &json!({ "environment": "any" }));
    assert_eq!(Pool::new(&object, Some(&own())).unwrap().token, TokenSource::Own);
}

#[test]
fn a_url_never_gets_it_even_that_of_the_own_service() {
    let spec =
        json!({ "spec": { "server": { "url": "http://tower.ns:8080" }, "operatorTokenSecretRef": null } });
    let error = Pool::new(&pool_object(&spec), Some(&own())).unwrap_err();
    assert_eq!(error, PoolError::ForeignUrl);
}

#[test]
fn a_named_secret_comes_before_the_operators_own_token() {
    let mut object = pool_object(&at_service("tower", 8080));
    object.spec.operator_token_secret_ref = pool_object(&json!({})).spec.operator_token_secret_ref;
    let pool = Pool::new(&object, Some(&own())).unwrap();
    assert_eq!(
        pool.token,
        TokenSource::Secret { name: "tokens".to_owned(), key: "operator-token".to_owned() }
    );
}

#[rstest]
#[case::neither(json!({ "url": null }))]
#[case::both(json!({ "serviceRef": { "name": "tower" } }))]
fn exactly_one_way_leads_to_the_control_plane(#[case] server: Value) {
    let object = pool_object(&json!({ "spec": { "server": server } }));
    assert_eq!(Pool::new(&object, None).unwrap_err(), PoolError::Server);
}

#[test]
fn names_tell_pools_of_one_name_in_two_namespaces_apart() {
    let mut object = pool_object(&json!({}));
    let here = Pool::new(&object, None).unwrap();
    object.metadata.namespace = Some("there".to_owned());
    let there = Pool::new(&object, None).unwrap();
    assert_eq!((here.qualified_name(), here.fence_owner()), ("ns/p".to_owned(), "pool:ns/p".to_owned()));
    assert_eq!(
        (there.qualified_name(), there.fence_owner()),
        ("there/p".to_owned(), "pool:there/p".to_owned())
    );
}

#[test]
fn a_url_loses_its_last_slash() {
    assert_eq!(pool(&json!({})).server_url, "http://tower:8080");
}

#[test]
fn an_object_without_uid_owns_nothing() {
    let mut object = pool_object(&json!({}));
    object.metadata.uid = None;
    assert_eq!(Pool::new(&object, None).unwrap_err(), PoolError::Incomplete("uid"));
}
