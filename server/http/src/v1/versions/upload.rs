//! The parts of an uploaded version. The archive goes to disk as it comes, never as a whole into memory.

use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest as _, Multipart, Request};
use minitower_app::objects::Upload;
use minitower_app::versions::UploadFields;
use minitower_wire::error::ErrorCode;
use tokio::time::timeout;

use crate::extract::{CHUNK_DEADLINE, content_length, next_chunk, too_slow};
use crate::{ApiError, HttpState};

/// How long an upload may take, however steadily it drips.
const DEADLINE: Duration = Duration::from_hours(1);
/// Most bytes of a field beside the archive; a schema is the largest.
const FIELD_BYTES: u64 = 256 * 1024;
/// Most parts: more are no upload of a version.
const PARTS: usize = 32;
/// What the fields and the boundaries may add to the archive's length.
const OVERHEAD_BYTES: u64 = 1024 * 1024;

/// A complete upload.
pub(super) struct Received {
    pub(super) artifact: Upload,
    pub(super) fields: UploadFields,
}

/// Reads the whole body. What was written of a refused or broken upload is removed when its [`Upload`] is dropped.
pub(super) async fn receive(state: &HttpState, request: Request) -> Result<Received, ApiError> {
    let limit = state.limits().artifact;
    if content_length(request.headers()).is_some_and(|length| length > limit.saturating_add(OVERHEAD_BYTES)) {
        return Err(ApiError::payload_too_large("the artifact", limit));
    }
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|rejection| {
        ApiError::invalid_request(format!(
            "an upload is multipart/form-data with a part named artifact: {}",
            rejection.body_text()
        ))
    })?;
    timeout(DEADLINE, parts(state, &mut multipart)).await.map_err(|_| too_slow(DEADLINE))?
}

async fn parts(state: &HttpState, multipart: &mut Multipart) -> Result<Received, ApiError> {
    let mut artifact = None;
    let mut fields = UploadFields::default();
    for _ in 0..PARTS {
        let Some(mut field) = next_field(multipart).await? else {
            let artifact =
                artifact.ok_or_else(|| ApiError::invalid_request("the part named artifact is missing"))?;
            return Ok(Received { artifact, fields });
        };
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "artifact" if artifact.is_some() => {
                return Err(ApiError::invalid_request("there are two parts named artifact"));
            }
            "artifact" => artifact = Some(to_disk(state, &mut field).await?),
            "entrypoint" => fields.entrypoint = Some(text(&name, &mut field).await?),
            "timeout_seconds" => fields.timeout_seconds = Some(text(&name, &mut field).await?),
            "params_schema_json" => fields.params_schema_json = Some(text(&name, &mut field).await?),
            // Unknown parts are ignored, as unknown fields are, and not kept.
            _ => while chunk(&mut field).await?.is_some() {},
        }
    }
    Err(ApiError::invalid_request(format!("an upload has at most {PARTS} parts")))
}

async fn to_disk(state: &HttpState, field: &mut Field<'_>) -> Result<Upload, ApiError> {
    let mut upload = state.app().begin_upload().await?;
    while let Some(chunk) = chunk(field).await? {
        upload.write(&chunk).await?;
    }
    Ok(upload)
}

async fn text(name: &str, field: &mut Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(field).await? {
        if bytes.len() as u64 + chunk.len() as u64 > FIELD_BYTES {
            return Err(ApiError::payload_too_large(&format!("the field {name}"), FIELD_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes)
        .map_err(|_| ApiError::invalid_request(format!("the field {name} is not valid UTF-8")))
}

async fn next_field(multipart: &mut Multipart) -> Result<Option<Field<'_>>, ApiError> {
    let field = timeout(CHUNK_DEADLINE, multipart.next_field()).await;
    field.map_err(|_| too_slow(CHUNK_DEADLINE))?.map_err(|error| broken(&error))
}

async fn chunk(field: &mut Field<'_>) -> Result<Option<bytes::Bytes>, ApiError> {
    next_chunk(field).await?.transpose().map_err(|error| broken(&error))
}

fn broken(error: &MultipartError) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, format!("the upload cannot be read: {}", error.body_text()))
}
