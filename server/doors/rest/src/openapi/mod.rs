//! The description of the API: `openapi.json`, served as it is committed, and a page that shows it to people.
//!
//! Each handler carries its own description. [`document`] puts them together with what the table of routes knows: the
//! credential that a route asks for, and the errors that follow from it. A test keeps the committed file in step.

mod document;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use minitower_vocabulary::wire::error::ErrorCode;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, ResponseBuilder, Schema, SchemaFormat, Type};

pub use document::document;
pub(crate) use document::template;

/// The description, as it is committed at the root of the repository.
const DESCRIPTION: &str = include_str!("../../../../../openapi.json");

/// The page that shows the description. It loads nothing from elsewhere.
const PAGE: &str = include_str!("page.html");

/// What the page may do: its own script and style, and calls to this server.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
                           style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where an operation's own errors stand until [`document`] makes answers of them.
const ERRORS: &str = "x-errors";

/// A body that is bytes, as they are. `format: binary` is what programs that make clients understand.
pub(crate) enum Binary {}

impl utoipa::PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl utoipa::ToSchema for Binary {}

/// Declares the errors of an operation: a type to be named among the `responses` of `utoipa::path`. Errors that follow
/// from the credential, the parameters or the body are not repeated here; [`document`] adds them.
macro_rules! errors {
    ($name:ident { $($code:ident: $when:literal,)+ }) => {
        enum $name {}

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::response::Response>,
            > {
                use minitower_vocabulary::wire::error::ErrorCode;
                $crate::openapi::responses(&[$((ErrorCode::$code, $when)),+])
            }
        }
    };
}
pub(crate) use errors;

/// The answers that stand for these errors, one for each status.
pub(crate) fn responses(
    errors: &[(ErrorCode, &str)],
) -> BTreeMap<String, RefOr<utoipa::openapi::response::Response>> {
    let mut by_status: BTreeMap<u16, serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
    for (code, when) in errors {
        by_status.entry(code.status()).or_default().insert(code.as_str().to_owned(), (*when).into());
    }
    let response = |errors| {
        let extensions = ExtensionsBuilder::new().add(ERRORS, serde_json::Value::Object(errors)).build();
        RefOr::T(ResponseBuilder::new().extensions(Some(extensions)).build())
    };
    by_status.into_iter().map(|(status, errors)| (status.to_string(), response(errors))).collect()
}

/// Returns this description of the API.
///
/// The document follows OpenAPI 3.1.
#[utoipa::path(get, path = "/api/openapi.json", operation_id = "openapi", tag = "Description",
    responses((status = 200, description = "The description.", body = Object)))]
pub(crate) async fn json() -> Response {
    with_type("application/json", DESCRIPTION)
}

/// Shows the description of the API as a page.
#[utoipa::path(get, path = "/api/docs", operation_id = "docs", tag = "Description",
    responses((status = 200, description = "A page for a browser.", body = String, content_type = "text/html")))]
pub(crate) async fn page() -> Response {
    let mut response = with_type("text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn with_type(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, text).into_response()
}
