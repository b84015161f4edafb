//! `openapi.json` says of each route who may call it, and describes every answer that the matrix gets.

use std::sync::OnceLock;

use minitower_rest::{Route, document, table};
use serde_json::Value;

use super::bed::Answer;
use super::callers::{Door, Kind, door};

fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| document().unwrap())
}

fn operation(route: &Route) -> &'static Value {
    &description()["paths"][route.path.replace("{*", "{")][route.method.as_str().to_lowercase()]
}

/// Asserts that a route's description knows this answer: its status, and the code of an error.
pub(crate) fn knows(route: &Route, answer: &Answer) {
    let what = format!("{} {}: {answer:?}", route.method, route.path);
    let mut response = &operation(route)["responses"][answer.status.as_str()];
    assert!(response.is_object(), "the status is not described: {what}");
    if let Some(place) = response["$ref"].as_str() {
        response = description().pointer(place.trim_start_matches('#')).unwrap();
    }
    if let Ok(body) = serde_json::from_str(&answer.body) {
        has_good_times(&body, &what);
    }
    if answer.status.as_u16() >= 400 {
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let code = body["error"]["code"].as_str().unwrap();
        let examples = &response["content"]["application/json"]["examples"];
        assert!(examples[code].is_object(), "the code is not described: {what}");
    }
}

/// Asserts that every moment of an answer is RFC 3339 in UTC with exactly three decimals.
fn has_good_times(value: &Value, what: &str) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let (Some(text), true) = (value.as_str(), name.ends_with("_at")) {
                    let digit = |c: char| if c.is_ascii_digit() { '0' } else { c };
                    let shape: String = text.chars().map(digit).collect();
                    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{name}: {what}");
                }
                has_good_times(value, what);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| has_good_times(item, what)),
        _ => {}
    }
}

/// Whether a credential is what a scheme of the description asks for.
fn is(kind: Kind, scheme: &str, role: Option<&str>) -> bool {
    let admin = matches!(kind, Kind::AcmeAdmin | Kind::OtherAdmin);
    let member = matches!(kind, Kind::AcmeMember | Kind::OtherMember);
    match scheme {
        "bootstrap_token" => kind == Kind::Bootstrap,
        "registration_token" => {
            matches!(kind, Kind::PlatformRegistration | Kind::AcmeRegistration | Kind::OtherRegistration)
        }
        "team_token" if role == Some("admin") => admin,
        "team_token" => admin || member,
        "attempt_token" => kind == Kind::AcmeAttempt,
        "operator_token" => kind == Kind::Operator,
        "runner_token" => {
            matches!(kind, Kind::PlatformRunner | Kind::Holder | Kind::AcmeRunner | Kind::OtherRunner)
        }
        // Every caller of the matrix shows one.
        "lease_token" => true,
        scheme => panic!("{scheme} is new: say here whose credential it is"),
    }
}

#[test]
fn the_described_credentials_are_those_that_open_the_route() {
    let kinds = [
        Kind::Nobody,
        Kind::Bootstrap,
        Kind::PlatformRegistration,
        Kind::AcmeRegistration,
        Kind::OtherRegistration,
        Kind::AcmeAdmin,
        Kind::AcmeMember,
        Kind::AcmeAttempt,
        Kind::OtherAdmin,
        Kind::OtherMember,
        Kind::Operator,
        Kind::PlatformRunner,
        Kind::Holder,
        Kind::AcmeRunner,
        Kind::OtherRunner,
    ];
    for route in table() {
        let ways = operation(&route)["security"].as_array().unwrap();
        for kind in kinds {
            let described = ways.is_empty()
                || ways.iter().any(|way| {
                    way.as_object().unwrap().iter().all(|(scheme, roles)| is(kind, scheme, roles[0].as_str()))
                });
            let opens = door(route.access, kind) == Door::Open;
            assert_eq!(described, opens, "{} {} with {kind:?}", route.method, route.path);
        }
    }
}
