//! `GET /runs/{run}/artifact`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use minitower_runs::Archive;
use minitower_vocabulary::wire::headers::{ARTIFACT_SHA256, ENTRYPOINT, IMPORT_PATHS, TIMEOUT_SECONDS};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::auth::{Caller, LeaseHolder};
use crate::extract::Path;
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState, render};

/// Bytes read from disk at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The runner fetches the archive of its run.
pub(crate) async fn artifact(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Response, ApiError> {
    let Archive { file, bytes, version } = state.leases().archive(&runner, path.id(), &lease_token).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(bytes), CHUNK_BYTES));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    headers.insert(CONTENT_LENGTH, bytes.into());
    headers.insert(ARTIFACT_SHA256, text(&version.artifact_sha256)?);
    headers.insert(ENTRYPOINT, text(&version.entrypoint)?);
    if let Some(seconds) = version.timeout_seconds {
        headers.insert(TIMEOUT_SECONDS, seconds.into());
    }
    if let Some(paths) = &version.import_paths {
        headers.insert(IMPORT_PATHS, text(&render::ascii_json(paths)?)?);
    }
    Ok(response)
}

/// A header's value; UTF-8 beyond ASCII may stand in one as opaque bytes (RFC 9110, section 5.5).
fn text(value: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| ApiError::internal(&error))
}
