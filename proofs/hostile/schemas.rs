//! Schemas of inputs, and inputs for them.

use std::net::TcpListener;

use minitower_tests::Artifact;
use serde_json::{Map, Value, json};

use crate::bed::{APP, Bed, clear};

/// Uploads with a schema.
fn fields(schema: &str) -> [(&str, &str); 2] {
    [("entrypoint", "main.py"), ("params_schema_json", schema)]
}

/// Parts that each refer twice to the next.
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

#[test]
fn schemas_that_would_hold_the_server_are_refused() {
    let mut bed = Bed::start();
    let archive = Artifact::python("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = format!("http://{}/schema.json", listener.local_addr().unwrap());
    let chain: Map<_, _> = (0..6_000)
        .map(|number| (number.to_string(), json!({"$ref": format!("#/$defs/{}", number + 1)})))
        .chain([("6000".to_owned(), json!({}))])
        .collect();
    let patterns: Map<_, _> =
        (0..1_000).map(|number| (format!("^\\w{{0,150}}{number}$"), json!({}))).collect();
    for (what, schema) in [
        ("a reference to a server", json!({"$ref": remote})),
        ("a reference to a server, deep", json!({"properties": {"a": {"$dynamicRef": remote}}})),
        ("a reference to a file", json!({"$ref": "file:///etc/passwd"})),
        ("a draft at a server", json!({"$schema": remote})),
        ("all of itself", json!({"allOf": [{"$ref": "#"}]})),
        ("itself", json!({"$ref": "#"})),
        ("itself by a dynamic reference", json!({"$dynamicAnchor": "x", "not": {"$dynamicRef": "#x"}})),
        ("twice the next, thirty times", doubling("allOf", 30)),
        ("any of twice the next, thirty times", doubling("anyOf", 30)),
        ("a chain of references", json!({"$defs": chain, "$ref": "#/$defs/0"})),
        (
            "a pattern of millions of states",
            json!({"properties": {"a": {"pattern": "^((a{0,99}){0,99}){0,99}$"}}}),
        ),
        ("a thousand patterns", json!({"patternProperties": patterns})),
        ("a pattern with look-around", json!({"properties": {"a": {"pattern": "(?=a)b"}}})),
        ("a pattern that is none", json!({"properties": {"a": {"pattern": "("}}})),
        ("a wrong type", json!({"type": "strnig"})),
        ("a negative length", json!({"maxLength": -1})),
        ("a multiple of zero", json!({"multipleOf": 0})),
        ("a list", json!([])),
        ("a number", json!(7)),
    ] {
        bed.upload_refused(what, &archive, &fields(&schema.to_string()), "invalid_request");
    }
    for (what, schema) in [
        ("deep nesting", format!("{}{{}}{}", "{\"not\":".repeat(30_000), "}".repeat(30_000))),
        ("a number beyond all numbers", "{\"minimum\":1e999999}".to_owned()),
        ("half a surrogate pair", "{\"const\":\"\\ud800\"}".to_owned()),
        ("something behind it", "{} {}".to_owned()),
    ] {
        bed.upload_refused(what, &archive, &fields(&schema), "invalid_request");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the server has called the address of a reference");
    bed.end();
}

#[test]
fn large_but_honest_schemas_are_taken_in_bounded_memory() {
    let mut bed = Bed::start();
    let archive = Artifact::python("");
    let many: Map<_, _> = (0..10_000).map(|number| (number.to_string(), json!({}))).collect();
    for (what, schema) in [
        ("ten thousand properties", json!({"properties": many})),
        (
            "huge numbers",
            json!({"properties": {"a": {"multipleOf": 1e-300, "maximum": 1e300, "minimum": -1e300}}}),
        ),
        ("unknown formats", json!({"properties": {"a": {"format": "no-such-format", "$comment": "x"}}})),
    ] {
        bed.upload_taken(what, 64, &archive, &fields(&schema.to_string()));
    }
    bed.end();
}

#[test]
fn inputs_that_would_take_too_long_to_check_are_refused() {
    let mut bed = Bed::start();
    let node = json!({"properties": {"a": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}}});
    let contains: Vec<_> = (0..3_000).map(|number| json!({"contains": {"const": number}})).collect();
    let deep = format!("{}0{}", "[".repeat(100_000), "]".repeat(100_000));
    for (what, schema, input) in [
        (
            "twice itself, a level deeper",
            json!({"$defs": {"n": node}, "$ref": "#/$defs/n"}),
            nested(60).to_string(),
        ),
        (
            "a large schema for a large input",
            json!({"additionalProperties": {"anyOf": contains}}),
            json!({"a": vec!["x"; 20_000]}).to_string(),
        ),
        (
            "a text for a slow pattern",
            json!({"properties": {"a": {"pattern": "^(a+)+$"}}}),
            json!({"a": format!("{}!", "a".repeat(100_000))}).to_string(),
        ),
        (
            "a number beyond all numbers",
            json!({"properties": {"a": {"multipleOf": 1e-300}}}),
            r#"{"a":1e999}"#.to_owned(),
        ),
        (
            "a text for every format",
            json!({"properties": {"a": {"type": "number", "format": "date-time"}}}),
            json!({"a": "\u{202e}".repeat(30_000)}).to_string(),
        ),
        ("deep lists", json!({"additionalProperties": true}), format!("{{\"a\":{deep}}}")),
    ] {
        let archive = Artifact::python("");
        bed.upload_taken(what, 64, &archive, &fields(&schema.to_string()));
        let body = format!("{{\"input\":{input}}}");
        let answer =
            bed.within(what, 64, |bed| bed.team.post(&format!("/apps/{APP}/runs")).body(body).send());
        clear(what, answer, 400, "invalid_request");
    }
    bed.upload_taken("a version without a schema", 32, &Artifact::python("1"), &[("entrypoint", "main.py")]);
    bed.end();
}
