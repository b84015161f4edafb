//! On every route, in every parameter and every field that `openapi.json` names: values of a wrong type. The refusal names the
//! field in the words of the description, and says nothing in the words of the library that decodes it.

use std::collections::BTreeSet;

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt as _;
use minitower_rest::{Route, document, table};
use serde_json::{Value, json};

use super::table::{archive, version};
use super::unknown::good;
use super::walk;
use crate::matrix::bed::{Answer, Template};

/// Stands where the value of a field is put in.
const HERE: &str = "@@here@@";
/// A number that an answer has only if it repeats what was sent.
const MARK: &str = "734567";
/// Values of JSON, and what the description calls them.
const VALUES: [(&str, &str); 14] = [
    ("null", "null"),
    ("true", "boolean"),
    (MARK, "integer"),
    ("-1", "integer"),
    ("18446744073709551616", "integer"),
    ("-0.5", "number"),
    ("1e300", "number"),
    ("\"734567\"", "string"),
    ("\"\\u0000\"", "string"),
    ("[]", "array"),
    ("[null]", "array"),
    ("[[734567]]", "array"),
    ("{}", "object"),
    ("{\"a\":{\"a\":734567}}", "object"),
];
/// Bodies that are no objects, or nothing at all.
const BODIES: [&[u8]; 15] = [
    b"null",
    b"true",
    b"7",
    b"-0.5",
    b"\"a\"",
    b"[]",
    b"[7]",
    b"{",
    b"{\"a\":}",
    b"{\"a\":7,}",
    b"{7:7}",
    b"{} {}",
    b"1e999",
    b"\xff",
    b"{\"a\":\"\xff\"}",
];
/// Values of parameters that are texts, whatever they stand for.
const TEXTS: [&str; 9] = ["a", "", "-1", "1.5", "1e3", "99999999999999999999", "%00", "%FF", "true"];
/// What libraries call the types of a program, and what does not fit them.
const WORDS: [&str; 35] = [
    "serde",
    "visitor",
    "struct",
    "enum",
    "variant",
    "newtype",
    "tuple",
    "sequence",
    "unit",
    "str",
    "bool",
    "char",
    "float",
    "u8",
    "u16",
    "u32",
    "u64",
    "i8",
    "i16",
    "i32",
    "i64",
    "f32",
    "f64",
    "usize",
    "isize",
    "eof",
    "expected",
    "recursion",
    "trailing",
    "deserialize",
    "deserialization",
    "deserializing",
    "parse",
    "nan",
    "none",
];
const PHRASES: [&str; 7] = [
    "invalid type",
    "invalid value",
    "invalid length",
    "missing field",
    "duplicate field",
    "at line",
    "key must be a string",
];

/// The message of a refusal; none if nothing was refused.
fn refusal(what: &str, answer: &Answer) -> Option<String> {
    assert!(answer.status.as_u16() < 500, "{what}: {answer:?}");
    if answer.status.is_success() || answer.status.is_redirection() {
        return None;
    }
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{what}: {answer:?}"));
    let message = body["error"]["message"].as_str().unwrap().to_owned();
    let lower = message.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    assert!(!words.any(|word| WORDS.contains(&word)), "{what}: {message}");
    assert!(!PHRASES.iter().any(|phrase| lower.contains(phrase)), "{what}: {message}");
    (answer.status == 400).then_some(message)
}

/// What the description says of a route.
fn operation(document: &Value, route: &Route) -> Value {
    document["paths"][route.path.replace("{*", "{")][route.method.as_str().to_lowercase()].clone()
}

/// What follows a reference.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => resolved(document, document.pointer(place.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// Whether the description lets a value of this kind be there.
fn takes(document: &Value, schema: &Value, kind: &str) -> bool {
    let schema = resolved(document, schema);
    let choices = ["oneOf", "anyOf"].iter().filter_map(|name| schema[name].as_array()).flatten();
    if choices.clone().next().is_some() {
        return choices.clone().any(|choice| takes(document, choice, kind));
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all.iter().all(|one| takes(document, one, kind));
    }
    let is = |name: &Value| name == kind || (name == "number" && kind == "integer");
    match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        name => is(name),
    }
}

/// The schema at a path as [`walk`] names it.
fn at<'a>(document: &'a Value, schema: &'a Value, path: &str) -> Option<&'a Value> {
    let schema = resolved(document, schema);
    if path.is_empty() {
        return Some(schema);
    }
    for choices in ["oneOf", "anyOf", "allOf"] {
        let mut choices = schema[choices].as_array().into_iter().flatten();
        if let Some(found) = choices.find_map(|choice| at(document, choice, path)) {
            return Some(found);
        }
    }
    if let Some(rest) = path.strip_prefix("[]") {
        return at(document, schema.get("items")?, rest.trim_start_matches('.'));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let rest = path[end..].trim_start_matches('.');
    let property = schema["properties"].get(&path[..end])?;
    if rest.is_empty() { Some(property) } else { at(document, property, rest) }
}

/// Puts [`HERE`] into a body, at a path as [`walk`] names it.
fn put(body: &mut Value, path: &str) {
    if path.is_empty() {
        *body = HERE.into();
    } else if let Some(rest) = path.strip_prefix("[]") {
        if !body.is_array() {
            *body = json!([null]);
        }
        put(&mut body[0], rest.trim_start_matches('.'));
    } else {
        if !body.is_object() {
            *body = json!({});
        }
        let end = path.find(['.', '[']).unwrap_or(path.len());
        put(&mut body[&path[..end]], path[end..].trim_start_matches('.'));
    }
}

/// A good call, to be made again and again with one thing changed.
struct Good {
    route: Route,
    parts: Parts,
    body: Vec<u8>,
}

impl Good {
    async fn of(route: Route, template: &Template) -> Self {
        let (parts, body) = good(&route, &template.things).into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { route, parts, body }
    }

    fn with(&self, body: impl Into<Body>) -> Request<Body> {
        Request::from_parts(self.parts.clone(), body.into())
    }

    fn at(&self, uri: &str) -> Request<Body> {
        let mut request = self.with(self.body.clone());
        *request.uri_mut() = Uri::try_from(uri).unwrap();
        request
    }

    fn what(&self) -> String {
        format!("{} {}", self.route.method, self.route.path)
    }
}

async fn parameters(template: &Template, document: &Value, good: &Good) {
    let bed = template.copy().await;
    for parameter in operation(document, &good.route)["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let schema = &parameter["schema"];
        // Pages of runs take anything: their first clients rely on it.
        let pages_runs = good.route.path.ends_with("/runs") && ["limit", "offset"].contains(&name);
        let stands_for_text =
            takes(document, schema, "string") && resolved(document, schema)["enum"].is_null();
        for text in TEXTS {
            let request = match parameter["in"].as_str().unwrap() {
                "query" => {
                    let uri = good.parts.uri.to_string();
                    let (path, more) = uri.split_once('?').unwrap_or((&uri, ""));
                    let more: Vec<_> = more.split('&').filter(|pair| !pair.starts_with(name)).collect();
                    good.at(&format!("{path}?{name}={text}&{}", more.join("&")).replace("&&", "&"))
                }
                "path" => {
                    let uri = good.parts.uri.to_string();
                    let place = good
                        .route
                        .path
                        .split('/')
                        .position(|part| part.trim_matches(['{', '*', '}']) == name);
                    let mut pieces: Vec<&str> = uri.split('/').collect();
                    pieces[place.unwrap()] = text;
                    good.at(&pieces.join("/"))
                }
                _ => {
                    let mut request = good.with(good.body.clone());
                    let value = HeaderValue::from_bytes(
                        text.replace("%FF", "\u{ff}").replace("%00", "\t").as_bytes(),
                    );
                    request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.unwrap());
                    request
                }
            };
            let what = format!("{}: {name}={text:?}", good.what());
            let message = refusal(&what, &bed.send(request).await);
            if text == "a" && !stands_for_text && !pages_runs {
                let message = message.unwrap_or_else(|| panic!("{what}: not refused"));
                assert!(message.contains(name) && message.contains("must "), "{what}: {message}");
            }
        }
    }
}

async fn fields(template: &Template, document: &Value, good: &Good) {
    let operation = operation(document, &good.route);
    let Some(media) = operation["requestBody"]["content"].as_object() else { return };
    let bed = template.copy().await;
    if media.contains_key("multipart/form-data") {
        let mut names = BTreeSet::new();
        walk(document, &media["multipart/form-data"]["schema"], "", &mut names);
        for name in &names {
            for value in
                [&b"a"[..], b"", b"-1", b"1.5", b"null", b"[7]", b"{\"type\":7}", b"{\"a\":}", b"\xff"]
            {
                let mut parts = vec![("artifact", archive()), ("entrypoint", b"main.py".to_vec())];
                parts.retain(|(part, _)| part != name);
                parts.push((name, value.to_vec()));
                let answer = version(&parts).send(&bed, &template.things).await;
                refusal(&format!("{}: {name}={}", good.what(), value.escape_ascii()), &answer);
            }
        }
    }
    let Some(schema) = media.get("application/json").map(|json| &json["schema"]) else { return };
    for body in BODIES {
        let what = format!("{}: {}", good.what(), body.escape_ascii());
        let message = refusal(&what, &bed.send(good.with(body)).await);
        assert!(body == b"null" || message.is_some(), "{what}: not refused");
    }
    let mut names = BTreeSet::new();
    walk(document, schema, "", &mut names);
    for name in &names {
        let schema = at(document, schema, name).unwrap();
        let last = name.rsplit(['.', ']']).next().unwrap();
        for (value, kind) in VALUES {
            let mut body = serde_json::from_slice(&good.body).unwrap_or(json!({}));
            put(&mut body, name);
            let body = body.to_string().replace(&format!("\"{HERE}\""), value);
            let what = format!("{}: {body}", good.what());
            let message = refusal(&what, &bed.send(good.with(body)).await);
            let is_private = ["password", "input", "output"].contains(&name.as_str());
            let told_again = message.as_ref().is_some_and(|message| message.contains(MARK));
            assert!(!is_private || !told_again, "{what}: told again");
            // Some take null for what is not there.
            if kind != "null" && !takes(document, schema, kind) {
                let message = message.unwrap_or_else(|| panic!("{what}: not refused"));
                assert!(message.contains(last) && message.contains("must be"), "{what}: {message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_wrong_types_are_refused_in_the_words_of_the_description() {
    let template = Template::make().await;
    let document = document().unwrap();
    let walks = table().into_iter().filter(|route| route.method != Method::HEAD).map(|route| {
        let (template, document) = (&template, &document);
        async move {
            let good = Good::of(route, template).await;
            parameters(template, document, &good).await;
            fields(template, document, &good).await;
        }
    });
    stream::iter(walks).buffer_unordered(8).collect::<Vec<()>>().await;
}
