//! What a route takes, as its description says.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use http::Method;
use utoipa::Number;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{PathItem, RefOr, Schema};

use super::Fields;
use crate::openapi::template;
use crate::routes::Described;

/// What a route takes of a request beside its path and its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Takes {
    /// The parameters of its query.
    pub(crate) query: Vec<Parameter>,
    /// Whether it reads a body.
    pub(crate) body: bool,
    /// Whether it reads `Idempotency-Key`.
    pub(crate) idempotency_key: bool,
    /// What becomes of the rest.
    pub(crate) fields: Fields,
    /// Fields of its body that it will know one day. Ignored, they would promise what does not happen.
    pub(crate) not_yet: &'static [&'static str],
}

/// A parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// Whether it may be given more than once.
    pub(crate) repeatable: bool,
}

/// The operations, by path template and method.
static OPERATIONS: LazyLock<HashMap<(String, Method), Operation>> = LazyLock::new(|| {
    let paths = Described::openapi().paths.paths;
    paths.into_iter().flat_map(|(path, item)| operations(path, item)).collect()
});

fn operations(path: String, item: PathItem) -> impl Iterator<Item = ((String, Method), Operation)> {
    let of_method = [
        (Method::GET, item.get),
        (Method::POST, item.post),
        (Method::PUT, item.put),
        (Method::PATCH, item.patch),
        (Method::DELETE, item.delete),
    ];
    of_method.into_iter().filter_map(move |(method, operation)| Some(((path.clone(), method), operation?)))
}

/// What a route takes. A route that is not described takes nothing.
pub(crate) fn of_route(method: &Method, path: &str, fields: Fields) -> Arc<Takes> {
    let operation = OPERATIONS.get(&(template(path), method.clone()));
    let parameters = operation.and_then(|operation| operation.parameters.as_ref()).into_iter().flatten();
    let (mut query, mut idempotency_key) = (Vec::new(), false);
    // A reference to a shared parameter would be none of ours: each handler describes its own.
    for parameter in parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }) {
        match parameter.parameter_in {
            ParameterIn::Query => query.push(Parameter {
                name: parameter.name.clone(),
                repeatable: matches!(parameter.schema, Some(RefOr::T(Schema::Array(_)))),
            }),
            ParameterIn::Header => {
                idempotency_key |= parameter.name.eq_ignore_ascii_case(super::IDEMPOTENCY_KEY.as_str());
            }
            ParameterIn::Path | ParameterIn::Cookie | ParameterIn::QueryString => {}
        }
    }
    let body = operation.is_some_and(|operation| operation.request_body.is_some());
    Arc::new(Takes { query, body, idempotency_key, fields, not_yet: not_yet(method, path) })
}

/// Between what a parameter must be, in words, if the description bounds it.
pub(crate) fn range(method: &Method, path: &str, name: &str) -> Option<String> {
    let operation = OPERATIONS.get(&(template(path), method.clone()))?;
    let mut parameters = operation.parameters.iter().flatten();
    let schema = parameters.find_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.name == name => parameter.schema.as_ref(),
        _ => None,
    })?;
    let RefOr::T(Schema::Object(object)) = schema else { return None };
    match (&object.minimum, &object.maximum) {
        (Some(least), Some(most)) => {
            Some(format!("a whole number from {} to {}", number(least), number(most)))
        }
        (Some(least), None) => Some(format!("a whole number from {}", number(least))),
        _ => None,
    }
}

fn number(number: &Number) -> String {
    match number {
        Number::Int(number) => number.to_string(),
        Number::UInt(number) => number.to_string(),
        Number::Float(number) => number.to_string(),
    }
}

/// Fields of the contract that a call does not support yet.
fn not_yet(method: &Method, path: &str) -> &'static [&'static str] {
    match (method.as_str(), path) {
        ("POST", "/api/v1/apps/{app}/runs") => &["after", "concurrency"],
        _ => &[],
    }
}
