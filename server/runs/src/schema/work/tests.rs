//! What is refused, and what is not.

use rstest::rstest;
use serde_json::json;

use super::*;

/// Parts that each refer twice to the next, by that keyword.
fn doubling(keyword: &str, length: usize) -> Value {
    let mut parts = Map::new();
    for number in 0..length {
        let next = json!({"$ref": format!("#/$defs/{}", number + 1)});
        parts.insert(number.to_string(), json!({keyword: [next, next]}));
    }
    parts.insert(length.to_string(), json!({"type": "object"}));
    json!({"$defs": parts, "$ref": "#/$defs/0"})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({}), |inner, _| json!({"a": inner}))
}

#[rstest]
#[case::all(doubling("allOf", 30), TooMuch::Visits)]
#[case::any(doubling("anyOf", 30), TooMuch::Visits)]
#[case::one(doubling("oneOf", 16), TooMuch::Visits)]
#[case::itself(json!({"$ref": "#"}), TooMuch::Circular)]
#[case::itself_in_a_list(json!({"allOf": [{"$ref": "#"}]}), TooMuch::Circular)]
#[case::by_anchor(json!({"properties": {"a": {"$anchor": "x", "not": {"$ref": "#x"}}}}), TooMuch::Circular)]
#[case::by_address(json!({"$id": "http://a.example/s", "anyOf": [{"$ref": "http://a.example/s"}]}), TooMuch::Circular)]
#[case::dynamic(json!({"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}]}), TooMuch::Circular)]
#[case::escaped(json!({"$defs": {"a b": {"not": {"$ref": "#/$defs/a%20b"}}}, "not": {"$ref": "#/$defs/a%20b"}}), TooMuch::Circular)]
#[case::address_inside(json!({"$defs": {"a": {"$id": "http://a.example/a"}}}), TooMuch::Address)]
fn refused_whatever_the_input_is(#[case] schema: Value, #[case] why: TooMuch) {
    assert_eq!(Parts::of(&schema).unwrap_err(), why);
}

#[test]
fn a_chain_of_references_is_refused_before_a_stack_runs_over() {
    for link in [json!({}), json!({"properties": {}})] {
        let parts: Map<_, _> = (0..20_000)
            .map(|number| {
                let next = json!({"$ref": format!("#/$defs/{}", number + 1)});
                let part = if link == json!({}) { next } else { json!({"properties": {"a": next}}) };
                (number.to_string(), part)
            })
            .chain([("20000".to_owned(), json!({}))])
            .collect();
        let schema = json!({"$defs": parts, "$ref": "#/$defs/0"});
        let checked = Parts::of(&schema).and_then(|parts| parts.check(&nested(120)));
        assert_eq!(checked.is_err(), link == json!({}), "{checked:?}");
    }
}

#[rstest]
#[case::doubling_with_depth(json!({"$defs": {"n": {"properties": {"a": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}}}}, "$ref": "#/$defs/n"}), nested(60))]
#[case::patterns_and_names(json!({"$defs": {"n": {"patternProperties": {"a": {"$ref": "#/$defs/n"}, "^a": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}), nested(60))]
#[case::schema_times_input(json!({"additionalProperties": {"anyOf": (0..5_000).map(|n| json!({"contains": {"const": n}})).collect::<Vec<_>>()}}), json!({"a": vec!["x"; 5_000]}))]
#[case::text_times_patterns(json!({"additionalProperties": {"allOf": (0..60).map(|n| json!({"pattern": format!("a{n}")})).collect::<Vec<_>>()}}), json!({"a": "a".repeat(60_000), "b": "a".repeat(60_000), "c": "a".repeat(60_000), "d": "a".repeat(100_000)}))]
fn refused_for_its_input(#[case] schema: Value, #[case] input: Value) {
    let parts = Parts::of(&schema).unwrap();
    assert_eq!(parts.check(&json!({})), Ok(()));
    assert_eq!(parts.check(&input), Err(TooMuch::Visits));
}

#[rstest]
#[case::nothing(json!({}), nested(100))]
#[case::anything(json!(true), nested(100))]
#[case::a_tree(json!({"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}), nested(100))]
#[case::a_list(json!({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}), nested(70))]
#[case::long(json!({"properties": {"a": {"items": {"type": "integer"}}}}), json!({"a": vec![1; 60_000]}))]
#[case::wide(json!({"properties": (0..5_000).map(|n| (n.to_string(), json!({"type": "string"}))).collect::<Map<_, _>>()}), json!({"1": "x"}))]
fn allowed(#[case] schema: Value, #[case] input: Value) {
    assert_eq!(Parts::of(&schema).unwrap().check(&input), Ok(()));
}
