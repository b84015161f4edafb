//! Every parameter and every field of a body that `openapi.json` names has an effect, or a wrong value of it is refused by
//! name. `table` says of each of them what shows it; one without a row fails the test.

mod notifications;
mod table;
mod texts;
mod unknown;
mod waiting;
mod wrong;

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request};
use minitower_rest::document;
use serde_json::Value;

use super::matrix::bed::{Answer, BOOTSTRAP, BOUNDARY, Bed, OPERATOR, Template, Things};

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Bootstrap,
    Admin,
    Operator,
    Registration,
    /// The runner that holds acme's run, with its lease.
    Holder,
    /// One that holds nothing.
    Idle,
}

/// A call. `{run}` in its path is the run that is held, `{next}` the one that waits behind it.
#[derive(Debug, Clone)]
struct Call {
    who: Who,
    method: Method,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    form: bool,
}

/// What shows that a field is read.
enum Proof {
    /// The two calls, which differ in the field only, are answered differently, or what is asked after them is.
    Differs { calls: [Call; 2], first: Vec<Call>, then: Option<Call> },
    /// The second call, with a wrong value, is 400 and names the field. Where the effect takes time or a failure, other tests
    /// show it.
    Refused { calls: [Call; 2], word: &'static str },
}

/// A field of an operation: `?limit`, `idempotency-key`, `retry.on`, `logs[].seq`.
type Field = (String, String);

/// Operations in which an identity provider takes part. That their fields are read is shown with a real one, in
/// `tests/tests/contract/sign_in.rs`.
const ELSEWHERE: [&str; 5] =
    ["start_device", "start_sign_in", "finish_sign_in", "confirm_sign_in", "exchange_code"];

/// Everything that the description says may be sent.
fn described() -> BTreeSet<Field> {
    let document = document().unwrap();
    let mut fields = BTreeSet::new();
    let operations = document["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|path| path.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        if ELSEWHERE.contains(&id) {
            continue;
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            match parameter["in"].as_str().unwrap() {
                "query" => fields.insert((id.to_owned(), format!("?{name}"))),
                "header" => fields.insert((id.to_owned(), name.to_owned())),
                _ => false,
            };
        }
        for media in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            let mut names = BTreeSet::new();
            walk(&document, &media.1["schema"], "", &mut names);
            fields.extend(names.into_iter().map(|name| (id.to_owned(), name)));
        }
    }
    fields
}

fn walk(document: &Value, schema: &Value, path: &str, names: &mut BTreeSet<String>) {
    if let Some(place) = schema["$ref"].as_str() {
        return walk(document, document.pointer(place.trim_start_matches('#')).unwrap(), path, names);
    }
    for choices in ["oneOf", "anyOf", "allOf"] {
        for choice in schema[choices].as_array().into_iter().flatten() {
            walk(document, choice, path, names);
        }
    }
    if schema["items"].is_object() {
        walk(document, &schema["items"], &format!("{path}[]"), names);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        walk(document, schema, &path, names);
        names.insert(path);
    }
}

/// What is different each time.
const VOLATILE: [&str; 17] = [
    "used",
    "token",
    "lease_token",
    "api_token",
    "registration_token",
    "created_at",
    "updated_at",
    "queued_at",
    "reported_at",
    "started_at",
    "finished_at",
    "last_seen_at",
    "last_used_at",
    "idle_since",
    "attempt_started_at",
    "next_at",
    "webhook_id",
];

/// An answer without what is different each time.
fn seen(answer: &Answer) -> (u16, Value) {
    fn steady(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|name, _| !VOLATILE.contains(&name.as_str()));
                for name in ["leased_at", "lease_expires_at"] {
                    map.remove(name);
                }
                map.values_mut().for_each(steady);
            }
            Value::Array(items) => items.iter_mut().for_each(steady),
            _ => {}
        }
    }
    let mut body = serde_json::from_str(&answer.body).unwrap_or_else(|_| answer.body.clone().into());
    steady(&mut body);
    (answer.status.as_u16(), body)
}

impl Call {
    async fn send(&self, bed: &Bed, things: &Things) -> Answer {
        let path = self.path.replace("{run}", &things.run.to_string());
        let path = path.replace("{next}", &(things.run + 1).to_string());
        let path = path.replace("{registration}", &things.registration_id.to_string());
        let path = path.replace("{notification}", &things.notification_id.to_string());
        let path = path.replace("{delivery}", &things.delivery_id.to_string());
        // Two slashes begin a path that is not below the API's.
        let uri = path.strip_prefix('/').filter(|path| path.starts_with('/')).map(str::to_owned);
        let uri = uri.unwrap_or_else(|| format!("/api/v1{path}"));
        let mut request = Request::builder().method(&self.method).uri(uri);
        let token = match self.who {
            Who::Nobody => None,
            Who::Bootstrap => Some(BOOTSTRAP),
            Who::Admin => Some(things.acme_admin.as_str()),
            Who::Operator => Some(OPERATOR),
            Who::Registration => Some(things.acme_registration.as_str()),
            Who::Holder => Some(things.holder.as_str()),
            Who::Idle => Some(things.acme_runner.as_str()),
        };
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if self.who == Who::Holder {
            request = request.header("x-lease-token", &things.lease_token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        if self.form {
            request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        }
        bed.send(request.body(Body::from(self.body.clone())).unwrap()).await
    }
}

/// What comes of a call on a bed of its own.
async fn outcome(
    template: &Template,
    first: &[Call],
    call: &Call,
    then: Option<&Call>,
) -> (Answer, Option<Answer>) {
    let bed = template.copy().await;
    for before in first {
        let answer = before.send(&bed, &template.things).await;
        assert!(answer.status.is_success(), "{before:?}: {answer:?}");
    }
    let answer = call.send(&bed, &template.things).await;
    let then = match then {
        Some(then) => Some(then.send(&bed, &template.things).await),
        None => None,
    };
    (answer, then)
}

async fn prove(template: &Template, field: &Field, proof: Proof) {
    match proof {
        Proof::Differs { calls: [one, other], first, then } => {
            let then = then.as_ref();
            let former = outcome(template, &first, &one, then).await;
            let again = outcome(template, &first, &one, then).await;
            let latter = outcome(template, &first, &other, then).await;
            assert!(
                former.0.status.is_success() || latter.0.status.is_success(),
                "{field:?}: {former:?}\n{latter:?}"
            );
            let [former, again, latter] =
                [former, again, latter].map(|(answer, after)| seen(&after.unwrap_or(answer)));
            assert_eq!(former, again, "{field:?}: what is seen varies by itself");
            assert_ne!(former, latter, "{field:?} changes nothing");
        }
        Proof::Refused { calls: [one, other], word } => {
            let (answer, _) = outcome(template, &[], &one, None).await;
            assert!(answer.status.is_success(), "{field:?}: {answer:?}");
            let (answer, _) = outcome(template, &[], &other, None).await;
            assert_eq!(answer.status, 400, "{field:?}: {answer:?}");
            assert!(answer.body.contains(word), "{field:?}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_the_description_names_has_an_effect_or_is_refused() {
    let mut table: BTreeMap<Field, Proof> = BTreeMap::new();
    for (operation, field, proof) in table::rows() {
        let former = table.insert((operation.to_owned(), field.to_owned()), proof);
        assert!(former.is_none(), "{operation} {field} stands twice in the table");
    }
    let rows: BTreeSet<Field> = table.keys().cloned().collect();
    let described = described();
    let missing: Vec<_> = described.difference(&rows).collect();
    assert!(missing.is_empty(), "say in the table what shows that these are read: {missing:#?}");
    let unknown: Vec<_> = rows.difference(&described).collect();
    assert!(unknown.is_empty(), "the description does not name these: {unknown:#?}");

    let template = Template::make_with(table::furnish).await;
    // Each waits for the disk most of the time.
    let proofs = table.into_iter().map(|(field, proof)| {
        let template = &template;
        async move { prove(template, &field, proof).await }
    });
    stream::iter(proofs).buffer_unordered(8).collect::<Vec<()>>().await;
}
