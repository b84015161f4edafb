//! `PUT /runs/{run}/artifacts/{path}`.

use std::time::Duration;

use axum::extract::{Request, State};
use http::StatusCode;
use minitower_runs::Put;
use minitower_runs::Upload;
use minitower_vocabulary::wire::runs::Artifact;
use tokio::time::timeout;

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path, content_length, next_chunk, too_slow};
use crate::v1::params::ArtifactPath;
use crate::{ApiError, HttpState, render};

/// How long an artifact may take, however steadily it drips.
const DEADLINE: Duration = Duration::from_hours(1);

/// The runner stores a file that the job left behind: 201 where there was none at its path, else 200. The content goes to disk as it comes.
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
    let mut body = request.into_body().into_data_stream();
    while let Some(chunk) = next_chunk(&mut body).await? {
        let chunk = chunk
            .map_err(|error| ApiError::invalid_request(format!("the artifact could not be read: {error}")))?;
        upload.write(&chunk).await?;
    }
    Ok(upload)
}
