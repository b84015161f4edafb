//! `POST /apps/{app}/runs`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use http::StatusCode;
use minitower_app::runs::CreateRun as NewRun;
use minitower_wire::runs::{CreateRun, Run};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path};
use crate::v1::params::AppPath;
use crate::{ApiError, HttpState, render};

/// Puts a run into the queue.
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    OptionalJson(body): OptionalJson<CreateRun>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    let CreateRun { input, version_no, priority, max_retries, environment, .. } = body;
    let new = NewRun { input, version_no, priority, max_retries, environment };
    let run = state.app().create_run(&caller, path.app, new).await?;
    Ok((StatusCode::CREATED, Json(render::run(run)?)))
}
