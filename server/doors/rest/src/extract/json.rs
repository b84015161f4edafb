//! Bodies as JSON, whatever their Content-Type: `curl -d` sends none that fits.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use minitower_vocabulary::json::NotJson;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body;
use super::fields::fields_of;
use super::told;
use crate::strict::Unread;
use crate::{ApiError, HttpState};

/// A JSON body, as an argument of a handler or as its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body of a call that needs no team's credential: strangers get little memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SmallJson<T>(pub(crate) T);

/// Most bytes of a [`SmallJson`]; names, passwords and labels are far smaller.
const SMALL_BODY: u64 = 64 * 1024;

/// Most values in a body. Two bytes of text, `0,`, take thirty once they are decoded, and seven, `{"":0},`, some hundreds.
const VALUES: usize = 100_000;

/// How deep the decoder goes down (`serde_json` has this limit).
const MOST_DEPTH: usize = 127;

/// A JSON body that may be left out; then its default.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        required(request, state.limits().request_body).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<HttpState> for SmallJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        required(request, state.limits().request_body.min(SMALL_BODY)).await.map(Self)
    }
}

async fn required<T: DeserializeOwned>(request: Request, limit: u64) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, limit).await?;
    if bytes.trim_ascii().is_empty() {
        return Err(ApiError::invalid_request("the request body is empty: it must be a JSON object"));
    }
    decode(&bytes, parts.extensions.get())
}

impl<T: DeserializeOwned + Default> FromRequest<HttpState> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(&parts.headers, body, state.limits().request_body).await?;
        // Some clients send `null` where they have nothing to say.
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return Ok(Self(T::default()));
        }
        decode(&bytes, parts.extensions.get()).map(Self)
    }
}

/// What nobody reads is noted in `unread`, or refused there.
fn decode<T: DeserializeOwned>(bytes: &[u8], unread: Option<&Unread>) -> Result<T, ApiError> {
    // Derived decoders also take a struct from a JSON array, field by field; the contract knows objects only.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::invalid_request("the request body must be an object, not a list"));
    }
    // Checked as a whole: a decoder looks at no text of a field that it passes over.
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ApiError::invalid_request(format!(
            "the request body is not valid JSON: byte {} is not UTF-8",
            error.valid_up_to() + 1
        ))
    })?;
    if text.len() > 2 * VALUES && values(text) > VALUES {
        return Err(ApiError::invalid_request(format!("the request body holds more than {VALUES} values")));
    }
    let mut decoder = serde_json::Deserializer::from_str(text);
    let note = |path: serde_ignored::Path<'_>| {
        if let Some(unread) = unread {
            unread.note_path(&path);
        }
    };
    let decoded =
        serde_ignored::deserialize(&mut decoder, note).and_then(|value| decoder.end().map(|()| value));
    let value = decoded.map_err(|_| undecodable::<T>(text))?;
    if let Some(unread) = unread {
        unread.judge(fields_of::<T>())?;
    }
    Ok(value)
}

/// What is wrong with a body that was refused. Whether it is JSON is asked again: where a word of an enum is expected, the
/// decoder says of any other value that it is not.
fn undecodable<T: DeserializeOwned>(text: &str) -> ApiError {
    match told::what_is_wrong::<T>(text) {
        Ok(Some(wrong)) => wrong.of_body(),
        Ok(None) => ApiError::invalid_request("the request body is not what this call takes"),
        Err(error) if is_too_deep(text, &error) => ApiError::invalid_request(format!(
            "the request body is nested too deeply: at most {MOST_DEPTH} levels"
        )),
        Err(error) => {
            ApiError::invalid_request(format!("the request body is not valid JSON: {}", NotJson::from(error)))
        }
    }
}

/// Whether the decoder has stopped where it would have gone down one level more than it may.
fn is_too_deep(text: &str, error: &serde_json::Error) -> bool {
    // The decoder says so in its words only.
    let opened = text.bytes().filter(|byte| b"[{".contains(byte)).count();
    opened >= MOST_DEPTH && error.to_string().starts_with("recursion limit")
}

/// Counts the values in a text that may be JSON, those that are members' names not included.
fn values(text: &str) -> usize {
    let (mut values, mut quoted, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    values
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
            }
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }
}
