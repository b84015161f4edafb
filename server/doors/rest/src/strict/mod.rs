//! Nothing is accepted and ignored: what a call does not know is refused, or named in its answer.
//!
//! What a route takes follows from its description, so a new route cannot forget it. An unknown parameter of the query
//! is 400, and so is a parameter that is given twice. An unknown field of a body is 400, or is named in
//! `X-Ignored-Fields` on the calls whose first clients expect that ([`Fields`]). A body where none is read is treated
//! like an unknown field. Probes may say what they like.

mod query;
mod takes;
mod unread;

use axum::body::Body;
use axum::extract::Request;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName};
use http_body::Body as _;
use serde_json::Value;

use crate::extract::body;
use crate::{ApiError, HttpState};

#[cfg(test)]
pub(crate) use takes::Parameter;
pub(crate) use takes::{Takes, of_route, range};
use unread::cut;
pub(crate) use unread::{Unread, nearest, quoted};

/// `X-Ignored-Fields`.
pub(crate) const IGNORED_FIELDS: HeaderName =
    HeaderName::from_static(minitower_vocabulary::wire::headers::IGNORED_FIELDS);

/// `Idempotency-Key`.
pub(crate) const IDEMPOTENCY_KEY: HeaderName =
    HeaderName::from_static(minitower_vocabulary::wire::headers::IDEMPOTENCY_KEY);

/// Most bytes of a body where none is read.
const NO_BODY_BYTES: u64 = 64 * 1024;

/// What becomes of what a call does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fields {
    /// Unknown fields are ignored and named in `X-Ignored-Fields`: clients that were there first send them.
    Named,
    /// Unknown fields are 400.
    Refused,
    /// Whatever is sent is ignored and named: monitors put parameters of their own behind the path.
    Anything,
}

/// Looks at a request before its handler does. What the handler's extractors leave unread is noted in the result.
pub(crate) async fn examine(
    takes: &Takes,
    mut request: Request,
    state: &HttpState,
) -> Result<(Request, Unread), ApiError> {
    let unread = Unread::new(takes);
    query::check(takes, request.uri().query().unwrap_or_default(), &unread)?;
    if takes.fields != Fields::Anything {
        plain_body(request.headers())?;
    }
    if !takes.idempotency_key
        && takes.fields != Fields::Anything
        && request.headers().contains_key(IDEMPOTENCY_KEY)
    {
        if takes.fields == Fields::Refused {
            return Err(ApiError::invalid_request("this call does not take the header Idempotency-Key"));
        }
        unread.note("Idempotency-Key");
    }
    if takes.body {
        request.extensions_mut().insert(unread.clone());
        return Ok((request, unread));
    }
    if request.body().is_end_stream() {
        return Ok((request, unread));
    }
    let (parts, sent) = request.into_parts();
    if takes.fields == Fields::Anything {
        unread.note("body");
    } else {
        let limit = state.limits().request_body.min(NO_BODY_BYTES);
        no_body(&body::read(&parts.headers, sent, limit).await?, takes.fields, &unread)?;
    }
    Ok((Request::from_parts(parts, Body::empty()), unread))
}

/// Refuses a body that is said to be compressed: no call decompresses one, and its bytes would be taken for what they are not.
fn plain_body(headers: &HeaderMap) -> Result<(), ApiError> {
    let encodings =
        headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let other = encodings.into_iter().find(|encoding| {
        encoding.split(',').map(str::trim).any(|one| !one.is_empty() && !one.eq_ignore_ascii_case("identity"))
    });
    other.map_or(Ok(()), |encoding| {
        Err(ApiError::invalid_request(format!(
            "the body is sent with `Content-Encoding: {}`, which no call takes: send it as it is, without that header",
            cut(&encoding).escape_debug()
        )))
    })
}

/// Looks at the body of a call that takes none. Some clients send `{}` or `null` where they have nothing to say.
fn no_body(bytes: &[u8], fields: Fields, unread: &Unread) -> Result<(), ApiError> {
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return Ok(());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Null) => Ok(()),
        Ok(Value::Object(map)) if map.is_empty() => Ok(()),
        Ok(Value::Object(map)) if fields == Fields::Named => {
            map.keys().for_each(|name| unread.note(name));
            Ok(())
        }
        _ => Err(ApiError::invalid_request("this call takes no body")),
    }
}
