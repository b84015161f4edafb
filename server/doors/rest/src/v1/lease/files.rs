//! Files under a lease: the archive that a run starts from, and the artifacts that its job leaves.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use minitower_runs::{Archive, Error, Put, Upload};
use minitower_vocabulary::wire::headers::{ARTIFACT_SHA256, ENTRYPOINT, IMPORT_PATHS, TIMEOUT_SECONDS};
use minitower_vocabulary::wire::runs::Artifact;
use serde::Serialize;
use tokio::time::timeout;

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path, content_length, next_chunk, too_slow};
use crate::openapi::{Binary, errors};
use crate::serve::{BodyRefused, Intake};
use crate::v1::params::{ArtifactPath, RunPath};
use crate::{ApiError, HttpState, render};

/// How long an artifact may take, however steadily it drips.
const DEADLINE: Duration = Duration::from_hours(1);

errors! { ArchiveErrors { NotFound: "The archive of the version is lost or damaged: upload the version again.", } }

/// Downloads the archive of the run's version.
#[utoipa::path(get, path = "/api/v1/runs/{run}/artifact", operation_id = "download_archive", tag = "Runner protocol",
    params(RunPath),
    responses(
        (status = 200, description = "The archive: a tar file compressed with gzip.",
            body = inline(Binary), content_type = "application/gzip",
            headers(
                ("x-artifact-sha256" = String, description = "The SHA-256 of the archive, in lower-case hexadecimal."),
                ("x-entrypoint" = String, description = "The file to start."),
                ("x-timeout-seconds" = i64, description = "How long the run may take. Absent: the runner's default."),
                ("x-import-paths" = String, description = "A JSON array of folders to put before `PYTHONPATH`, in ASCII."),
            )),
        ArchiveErrors,
    ))]
pub(crate) async fn archive(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Response, ApiError> {
    let Archive { content, version } = state.leases().archive(&runner, path.id(), &lease_token).await?;
    let bytes = content.bytes();
    let body = Body::from_stream(content.whole().await.map_err(Error::from)?);
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
        headers.insert(IMPORT_PATHS, text(&ascii_json(paths)?)?);
    }
    Ok(response)
}

/// A header's value; UTF-8 beyond ASCII may stand in one as opaque bytes (RFC 9110, section 5.5).
fn text(value: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| ApiError::internal(&error))
}

/// JSON with everything beyond ASCII written as `\u` escapes (RFC 8259, section 7).
fn ascii_json<T: Serialize>(value: &T) -> Result<String, ApiError> {
    let json = serde_json::to_string(value).map_err(|error| ApiError::internal(&error))?;
    // DEL is ASCII and plain JSON, but no header may carry it.
    let plain = |character: char| character.is_ascii() && character != '\u{7f}';
    if json.chars().all(plain) {
        return Ok(json);
    }
    let mut ascii = String::with_capacity(json.len() * 2);
    for character in json.chars() {
        if plain(character) {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    Ok(ascii)
}

errors! { PutErrors {
    InvalidRequest: "The path is not a valid path of an artifact.",
    Conflict: "The run has as many artifacts, or as many bytes of them, as it may have, or the team as much storage.",
    PayloadTooLarge: "The artifact is over the limit.",
} }

/// Stores an artifact.
///
/// Storing the same content again changes nothing. Other content replaces the previous one.
#[utoipa::path(put, path = "/api/v1/runs/{run}/artifacts/{path}", operation_id = "put_artifact", tag = "Runner protocol",
    params(ArtifactPath),
    request_body(content = inline(Binary), content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "There was an artifact at this path.", body = Artifact),
        (status = 201, description = "The new artifact.", body = Artifact),
        PutErrors,
    ))]
pub(crate) async fn put_artifact(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<ArtifactPath>,
    request: Request,
) -> Result<(StatusCode, Json<Artifact>), ApiError> {
    let (run, path) = path.parse()?;
    let announced = content_length(request.headers());
    let upload = state.leases().begin_artifact(&runner, run, &lease_token, &path, announced).await?;
    let upload = timeout(DEADLINE, to_disk(upload, request)).await.map_err(|_| too_slow(DEADLINE))??;
    let (artifact, put) = state.leases().put_artifact(&runner, run, &lease_token, path, upload).await?;
    let status = match put {
        Put::Created => StatusCode::CREATED,
        Put::Same | Put::Replaced => StatusCode::OK,
    };
    Ok((status, Json(render::artifact(artifact))))
}

async fn to_disk(mut upload: Upload, request: Request) -> Result<Upload, ApiError> {
    Intake::of(&request).inspect(|intake| intake.is_streamed());
    let mut body = request.into_body().into_data_stream();
    while let Some(chunk) = next_chunk(&mut body).await? {
        let chunk = chunk.map_err(|error| {
            let broken = || ApiError::invalid_request(format!("the artifact could not be read: {error}"));
            BodyRefused::cause_of(&error).unwrap_or_else(broken)
        })?;
        upload.write(&chunk).await?;
    }
    Ok(upload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_escaped_and_reads_back_the_same() {
        let paths = ["src", "größe", "lib/🗼", "a\"b\\c", "tab\t", "del\u{7f}"];
        let json = ascii_json(&paths).unwrap();
        assert!(json.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{json}");
        assert!(json.contains(r"gr\u00f6\u00dfe") && json.contains(r"\ud83d\uddfc"), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), paths);
    }
}
