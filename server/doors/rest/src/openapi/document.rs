//! Puts `openapi.json` together.

use std::collections::{BTreeMap, BTreeSet};

use minitower_vocabulary::wire::error::{ErrorBody, ErrorCode};
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;

use super::ERRORS;
use crate::auth::Access;
use crate::routes::{Described, Route, table};
use crate::strict::Fields;

/// What the whole is about.
const ABOUT: &str = "The HTTP API of the MiniTower control plane. Send a credential as `Authorization: Bearer TOKEN`. \
    The server checks it before it looks at the path, the headers or the body. A credential that is missing, unknown or \
    of the wrong kind is 401. An object of another team is 404, as if it did not exist.\n\n\
    Answers may gain fields. Ignore fields that you do not know. A field without a value is left out. Bodies are read as \
    JSON whatever their `Content-Type`.";

/// The groups of operations, in the order in which a reader meets them.
const TAGS: [(&str, &str); 16] = [
    ("Teams", "Creating a team, and logging in to one."),
    ("Sign-in", "People sign in through an identity provider."),
    ("Tokens", "Team tokens, and a team's registration tokens."),
    ("Audit", "Who changed what, and when."),
    ("Limits", "What a team may use. The administrator allows, and the team's admins choose within that."),
    ("Retention", "How long runs are kept that have ended."),
    ("Environments", "Named queues. A run is created in one, and a runner serves one."),
    ("Apps", "The named jobs of a team."),
    ("Versions", "The uploaded archives of an app. A version never changes."),
    ("Runs", "Starting, watching and cancelling runs."),
    ("Artifacts", "The files that jobs leave behind."),
    ("Notifications", "Who is told of which runs, and what became of telling them."),
    ("Runners", "The runners of a team or of the platform, and their fences."),
    ("Runner protocol", "The calls that a runner makes."),
    ("Health", "Whether the server is running and ready, and its metrics."),
    ("Description", "This description."),
];

/// The description of all routes, as an OpenAPI 3.1 document.
///
/// # Errors
/// The description cannot be written as JSON. That would be a defect of the library that makes it.
pub fn document() -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(Described::openapi())?;
    document["info"] = json!({
        "title": "MiniTower",
        "description": ABOUT,
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["servers"] = json!([{"url": "/", "description": "The server that serves this description."}]);
    document["tags"] = TAGS.iter().map(|(name, about)| json!({"name": name, "description": about})).collect();
    for route in table() {
        let operation = &mut document["paths"][template(route.path)][route.method.as_str().to_lowercase()];
        if !operation.is_null() {
            complete(operation, &route);
        }
    }
    let asked = asked_for(&document);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas {
            if !asked.contains(name) {
                never_null(schema);
            }
        }
    }
    document["components"]["schemas"]["ErrorBody"] =
        serde_json::to_value(<ErrorBody as utoipa::PartialSchema>::schema())?;
    document["components"]["schemas"]["ErrorDetail"] = serde_json::to_value(
        <minitower_vocabulary::wire::error::ErrorDetail as utoipa::PartialSchema>::schema(),
    )?;
    document["components"]["headers"] = json!({
        "RequestId": {
            "description": "Names this request in the server's log. The caller's own, if it sent a short and plain one.",
            "schema": {"type": "string"},
        },
        "IgnoredFields": {
            "description": "The fields of the request that the server does not know and has ignored, separated by commas: \
                `retry.on`, `logs.0.color`. Absent if there are none.",
            "schema": {"type": "string"},
        },
    });
    document["components"]["securitySchemes"] = security_schemes();
    share_refusals(&mut document);
    Ok(sorted(document))
}

/// Names the refusals that several operations have in common, so that each of them stands in the document once.
fn share_refusals(document: &mut Value) {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    each_refusal(document, |refusal| *uses.entry(refusal.to_string()).or_default() += 1);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut shared = Map::new();
    each_refusal(document, |refusal| {
        let text = refusal.to_string();
        if uses.get(&text).is_none_or(|uses| *uses < 2) {
            return;
        }
        let name = names.entry(text).or_insert_with(|| {
            let examples = refusal["content"]["application/json"]["examples"].as_object();
            let codes: Vec<&str> = examples.into_iter().flatten().map(|(code, _)| code.as_str()).collect();
            let base = codes.join("_or_");
            let same = shared.keys().filter(|name: &&String| name.trim_end_matches(char::is_numeric) == base);
            let name = match same.count() {
                0 => base,
                others => format!("{base}{}", others + 1),
            };
            shared.insert(name.clone(), refusal.clone());
            name
        });
        *refusal = json!({"$ref": format!("#/components/responses/{name}")});
    });
    document["components"]["responses"] = Value::Object(shared);
}

/// Walks through the answers of all operations that are errors.
fn each_refusal(document: &mut Value, mut visit: impl FnMut(&mut Value)) {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, response) in responses.filter(|(status, _)| status.as_str() >= "400") {
            visit(response);
        }
    }
}

/// The same document with the members of each object by name: the file is the same whatever the features of the JSON
/// library are.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.into_iter().collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            members.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// The path template of a route in OpenAPI's form.
pub(crate) fn template(path: &str) -> String {
    path.replace("{*", "{")
}

fn security_schemes() -> Value {
    let bearer = |about| json!({"type": "http", "scheme": "bearer", "description": about});
    json!({
        "bootstrap_token": bearer("`MINITOWER_BOOTSTRAP_TOKEN` of the server."),
        "registration_token": bearer(
            "`mtg_…`: a registration token of a team, or `MINITOWER_RUNNER_REGISTRATION_TOKEN` of the server.",
        ),
        "team_token": bearer("`mtk_…`: a team token of role `admin` or `member`. If a role is named, the token must have it."),
        "attempt_token": bearer("`mta_…`: the API token of an attempt, valid while the attempt lasts."),
        "operator_token": bearer("`MINITOWER_OPERATOR_TOKEN` of the server."),
        "runner_token": bearer("`mtr_…`: the token of a runner."),
        "lease_token": {
            "type": "apiKey", "in": "header", "name": "X-Lease-Token",
            "description": "The lease token of the attempt, sent beside the runner token.",
        },
    })
}

/// The credentials that open a route: one of the list, and all of what it names.
fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Bootstrap => json!([{"bootstrap_token": []}]),
        Access::Registration => json!([{"registration_token": []}]),
        Access::Team => json!([{"team_token": []}]),
        Access::Runs => json!([{"team_token": []}, {"attempt_token": []}]),
        Access::TeamAdmin | Access::OwnToken => json!([{"team_token": ["admin"]}]),
        Access::Admin => json!([{"team_token": ["admin"]}, {"operator_token": []}]),
        Access::Operator => json!([{"operator_token": []}]),
        Access::Runner => json!([{"runner_token": []}]),
        Access::Lease => json!([{"runner_token": [], "lease_token": []}]),
    }
}

/// The errors that follow from the credential that a route asks for.
fn of_access(access: Access) -> &'static [(ErrorCode, &'static str)] {
    const UNAUTHORIZED: (ErrorCode, &str) =
        (ErrorCode::Unauthorized, "The credential is missing, unknown or of the wrong kind.");
    const NOT_ADMIN: (ErrorCode, &str) =
        (ErrorCode::Forbidden, "The team token is not of role `admin`, or the token belongs to an attempt.");
    const NOT_OWN: (ErrorCode, &str) = (
        ErrorCode::Forbidden,
        "The team token is not of role `admin`, and the call is about another one, or the token belongs to an attempt.",
    );
    const TOO_FAST: (ErrorCode, &str) =
        (ErrorCode::RateLimited, "The team calls too often. `Retry-After` says when to try again.");
    match access {
        Access::Public => &[],
        Access::Bootstrap => &[UNAUTHORIZED, (ErrorCode::NotFound, "The server has no bootstrap token.")],
        Access::Registration | Access::Operator | Access::Runner => &[UNAUTHORIZED],
        Access::Runs => &[UNAUTHORIZED, TOO_FAST],
        Access::Team => &[
            UNAUTHORIZED,
            TOO_FAST,
            (ErrorCode::Forbidden, "The API token of an attempt may not call this route."),
        ],
        Access::TeamAdmin | Access::Admin => &[UNAUTHORIZED, NOT_ADMIN, TOO_FAST],
        Access::OwnToken => &[UNAUTHORIZED, NOT_OWN, TOO_FAST],
        Access::Lease => &[
            UNAUTHORIZED,
            (ErrorCode::InvalidRequest, "The header `X-Lease-Token` is missing."),
            (ErrorCode::Gone, "The lease is stale, foreign or expired, or there is no such run."),
        ],
    }
}

/// Routes that ask nothing of the database, and the one that says itself what it means if the database is unavailable.
const WITHOUT_DATABASE: [&str; 7] =
    ["/health", "/ready", "/metrics", "/version", "/api/openapi.json", "/api/docs", "/api/v1/auth/options"];

/// Adds to an operation what its row in the table says, and makes answers of its errors.
fn complete(operation: &mut Value, route: &Route) {
    operation["security"] = security(route.access);
    let mut errors: BTreeMap<u16, Map<String, Value>> = BTreeMap::new();
    let mut add = |code: ErrorCode, when: &str| {
        let of_status = errors.entry(code.status()).or_default();
        let former = of_status.get(code.as_str()).and_then(Value::as_str);
        let text = former.map_or(when.to_owned(), |former| format!("{former} {when}"));
        of_status.insert(code.as_str().to_owned(), text.into());
    };
    for (code, when) in ErrorCode::ALL.into_iter().filter_map(|code| Some((code, own(operation, code)?))) {
        add(code, &when);
    }
    for (code, when) in of_access(route.access) {
        add(*code, when);
    }
    if operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty()) {
        add(ErrorCode::InvalidRequest, "A parameter is not valid.");
    }
    if route.takes.fields != Fields::Anything {
        add(ErrorCode::InvalidRequest, "The request has a parameter or a body that this call does not take.");
    }
    if operation["requestBody"].is_object() {
        add(ErrorCode::InvalidRequest, "The body cannot be read, or a field is not valid.");
        add(ErrorCode::PayloadTooLarge, "The body is over its limit.");
        add(ErrorCode::RequestTimeout, "The body came too slowly.");
    }
    add(ErrorCode::Internal, "The server has failed. Its log has the cause under the request id.");
    if !WITHOUT_DATABASE.contains(&route.path) {
        add(
            ErrorCode::Unavailable,
            "The database cannot answer now, or the disk is full. Nothing was changed.",
        );
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        for (status, errors) in errors {
            responses.insert(status.to_string(), refusal(status, &errors));
        }
        for (status, response) in responses {
            if route.takes.fields != Fields::Refused && status.as_str() < "400" {
                response["headers"]["X-Ignored-Fields"] =
                    json!({"$ref": "#/components/headers/IgnoredFields"});
            }
            response["headers"]["X-Request-Id"] = json!({"$ref": "#/components/headers/RequestId"});
        }
    }
}

/// What an operation's own description says of an error.
fn own(operation: &Value, code: ErrorCode) -> Option<String> {
    operation["responses"][code.status().to_string()][ERRORS][code.as_str()].as_str().map(str::to_owned)
}

/// The answer of a status: its codes, when each of them comes, and an example of each.
fn refusal(status: u16, errors: &Map<String, Value>) -> Value {
    let text: Vec<String> = errors
        .iter()
        .map(|(code, when)| format!("`{code}`: {}", when.as_str().unwrap_or_default()))
        .collect();
    let examples: Map<String, Value> = errors
        .iter()
        .map(|(code, when)| (code.clone(), json!({"value": {"error": {"code": code, "message": when}}})))
        .collect();
    let mut answer = json!({
        "description": text.join("\n\n"),
        "content": {"application/json": {
            // The same for all: with schemas of their own, a generated client would have hundreds of types for errors.
            "schema": {"$ref": "#/components/schemas/ErrorBody"},
            "examples": examples,
        }},
    });
    if status == ErrorCode::RateLimited.status() {
        answer["headers"]["Retry-After"] = json!({"description": "How long to wait, in seconds.", "schema": {"type": "integer", "minimum": 1}});
    }
    if status == ErrorCode::Unauthorized.status() {
        answer["headers"]["WWW-Authenticate"] =
            json!({"description": "`Bearer`", "schema": {"type": "string"}});
    }
    answer
}

/// The names of the schemas that request bodies are made of.
fn asked_for(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![(&document["paths"], false)];
    while let Some((value, in_body)) = pending.pop() {
        match value {
            Value::Object(map) => {
                let name = map.get("$ref").and_then(Value::as_str);
                if let Some(name) = name.and_then(|name| name.strip_prefix("#/components/schemas/"))
                    && in_body
                    && found.insert(name.to_owned())
                {
                    pending.push((&document["components"]["schemas"][name], true));
                }
                pending.extend(map.iter().map(|(key, value)| (value, in_body || key == "requestBody")));
            }
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, in_body))),
            _ => {}
        }
    }
    found
}

/// A field that an answer does not have is left out, never null: takes null from the types of a schema.
fn never_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = &mut types[..] {
                    let one = one.take();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("oneOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = &mut choices[..] {
                    let only = std::mem::take(only);
                    map.remove("oneOf");
                    map.extend(only);
                }
            }
            for (key, value) in map {
                if key != "example" && key != "examples" {
                    never_null(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(never_null),
        _ => {}
    }
}
