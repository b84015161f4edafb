//! The description says what the server does, and the committed file is in step with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use http::Method;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use minitower_vocabulary::wire::error::ErrorCode;
use serde_json::Value;

use super::document::{document, template};
use crate::routes::table;
use crate::tests::bed::Bed;
use crate::tests::{json, request, send};

/// Set to write `openapi.json` instead of comparing it.
const UPDATE: &str = "MINITOWER_UPDATE_OPENAPI";

fn operations(document: &Value) -> BTreeMap<(String, String), &Value> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, one)| ((path.clone(), method.to_uppercase()), one))
    });
    all.collect()
}

#[test]
fn the_committed_file_is_in_step() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../openapi.json");
    let text = serde_json::to_string_pretty(&document().unwrap()).unwrap() + "\n";
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, text).unwrap();
    } else {
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "openapi.json is not what the code describes: run `make openapi`");
    }
}

#[test]
fn the_described_operations_are_those_of_the_table() {
    let document = document().unwrap();
    let described: BTreeSet<_> = operations(&document).into_keys().collect();
    let rows: BTreeSet<_> =
        table().into_iter().map(|row| (template(row.path), row.method.to_string())).collect();
    assert_eq!(described, rows);
}

#[test]
fn every_operation_is_described_whole() {
    let document = document().unwrap();
    let mut ids = BTreeSet::new();
    for ((path, method), one) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(ids.insert(one["operationId"].as_str().unwrap()), "{what}: its id stands twice");
        assert!(one["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{what}: no summary");
        assert!(one["security"].is_array(), "{what}: it does not say who may call it");
        let tag = &one["tags"][0];
        assert!(
            document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag),
            "{what}: {tag}"
        );
        for parameter in one["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{what}: {parameter}"
            );
        }
        let named = path.matches('{').count();
        let in_path =
            one["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path").count();
        assert_eq!(named, in_path, "{what}: parameters of the path");
        for (status, answer) in one["responses"].as_object().unwrap() {
            let answer = resolved(&document, answer);
            assert!(answer["description"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {status}");
        }
    }
}

#[test]
fn no_description_has_a_link_that_only_rustdoc_knows() {
    fn walk(value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(text) = map.get("description").and_then(Value::as_str) {
                    assert!(!text.contains("[`") && !text.contains("]("), "{text}");
                }
                map.values().for_each(walk);
            }
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    walk(&document().unwrap());
}

/// What a reference refers to.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Programs that make clients leave out, or make lists of numbers of, bodies that are not described like this.
#[test]
fn bodies_that_are_not_json_are_text_or_binary() {
    let document = document().unwrap();
    let binary = serde_json::json!({"type": "string", "format": "binary"});
    let mut binaries = Vec::new();
    for ((path, method), one) in operations(&document) {
        let answers = one["responses"].as_object().unwrap().values();
        for body in answers.chain([&one["requestBody"]]) {
            let media = resolved(&document, body)["content"].as_object().into_iter().flatten();
            for (kind, media) in media.filter(|(kind, _)| *kind != "application/json") {
                assert_ne!(media["schema"]["type"], "array", "{method} {path}: {kind}");
                if media["schema"] == binary {
                    binaries.push((method.as_str().to_owned(), path.clone(), kind.as_str()));
                }
            }
        }
    }
    // The first that such a program knows is what it takes: few know `*/*`.
    let artifacts = "/api/v1/runs/{run}/artifacts/{path}";
    let expected = [
        ("GET", "/api/v1/runs/{run}/artifact", "application/gzip"),
        ("GET", artifacts, "*/*"),
        ("GET", artifacts, "application/octet-stream"),
        ("PUT", artifacts, "application/octet-stream"),
    ];
    for (method, path, kind) in expected {
        let one = (method.to_owned(), path.to_owned(), kind);
        assert!(binaries.contains(&one), "{one:?} is not among {binaries:?}");
    }
    let archive = &document["components"]["schemas"]["UploadForm"]["properties"]["artifact"];
    assert_eq!(archive["format"], "binary", "{archive}");
}

/// A program that makes clients makes a type of each schema that has no name.
#[test]
fn all_errors_are_of_one_schema() {
    let document = document().unwrap();
    for ((path, method), one) in operations(&document) {
        for (status, answer) in one["responses"].as_object().unwrap() {
            if status.as_str() >= "400" {
                let schema = &resolved(&document, answer)["content"]["application/json"]["schema"];
                assert_eq!(
                    *schema,
                    serde_json::json!({"$ref": "#/components/schemas/ErrorBody"}),
                    "{method} {path}: {status}"
                );
            }
        }
    }
}

/// The statuses and codes of an operation's errors.
fn codes(document: &Value, operation: &Value) -> BTreeSet<(u16, String)> {
    let mut codes = BTreeSet::new();
    for (status, answer) in operation["responses"].as_object().unwrap() {
        let answer = resolved(document, answer);
        let examples = answer["content"]["application/json"]["examples"].as_object();
        for (code, example) in examples.into_iter().flatten() {
            assert_eq!(example["value"]["error"]["code"], code.as_str());
            codes.insert((status.parse().unwrap(), code.clone()));
        }
    }
    codes
}

#[test]
fn every_error_code_is_described_under_its_status_and_comes_somewhere() {
    let document = document().unwrap();
    let mut seen = BTreeSet::new();
    for ((path, method), one) in operations(&document) {
        for (status, code) in codes(&document, one) {
            let known = ErrorCode::ALL.into_iter().find(|known| known.as_str() == code);
            assert_eq!(known.map(ErrorCode::status), Some(status), "{method} {path}: {code}");
            seen.insert(code);
        }
    }
    let all: BTreeSet<String> = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    // A known path with an unknown method is no operation, and a head that is refused comes to none.
    let of_none = [ErrorCode::MethodNotAllowed, ErrorCode::UriTooLong, ErrorCode::HeadTooLarge];
    let expected: BTreeSet<String> =
        all.into_iter().filter(|code| !of_none.map(ErrorCode::as_str).contains(&code.as_str())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_example_is_a_good_one() {
    let document = document().unwrap();
    let mut examples = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let Some(example) = schema.get("example") else { continue };
        let root = serde_json::json!({
            "$ref": format!("#/components/schemas/{name}"), "components": document["components"],
        });
        let validator = jsonschema::draft202012::new(&root).unwrap();
        let wrong: Vec<String> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        examples += 1;
    }
    assert!(examples > 30, "{examples} examples");
}

/// Whether a schema has an example, or one of its parts has.
fn has_example(schemas: &Value, schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            map.contains_key("example")
                || map
                    .get("$ref")
                    .and_then(Value::as_str)
                    .and_then(|name| name.strip_prefix("#/components/schemas/"))
                    .is_some_and(|name| has_example(schemas, &schemas[name]))
                || map.values().any(|value| has_example(schemas, value))
        }
        Value::Array(items) => items.iter().any(|item| has_example(schemas, item)),
        _ => false,
    }
}

/// What travels as JSON either has an example itself, or holds what has one.
#[test]
fn every_body_has_an_example() {
    let document = document().unwrap();
    let schemas = &document["components"]["schemas"];
    for ((path, method), one) in operations(&document) {
        let answers = one["responses"].as_object().unwrap().values();
        for body in answers.chain([&one["requestBody"]]) {
            let media = &body["content"]["application/json"];
            let described = path == "/api/openapi.json" || media.is_null() || media["examples"].is_object();
            assert!(described || has_example(schemas, media), "{method} {path}: {media}");
        }
    }
}

#[tokio::test]
async fn the_description_and_its_page_are_served_to_anyone_and_name_no_other_host() {
    let bed = Bed::start().await;
    let answer = send(&bed.service, request(Method::GET, "/api/openapi.json", "")).await;
    // Both are long, so neither is shown.
    assert!(
        json(answer).await == document().unwrap(),
        "the server serves another openapi.json: run `make openapi`"
    );
    let page = send(&bed.service, request(Method::GET, "/api/docs", "")).await;
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
    let page = page.into_body().collect().await.unwrap().to_bytes();
    let page = std::str::from_utf8(&page).unwrap();
    assert!(page.contains("fetch(\"openapi.json\")"));
    assert!(!page.contains("://"), "the page loads something from elsewhere");
}
