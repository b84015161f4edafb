//! `DELETE /admin/runners/{name}/drain`.

use axum::extract::State;
use minitower_teams::AdminPrincipal;
use minitower_vocabulary::wire::admin::{Drain, Drained};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path};
use crate::v1::params::NamePath;
use crate::{ApiError, HttpState, render};

/// Lifts the fence that the caller, or the owner named, holds.
pub(crate) async fn undrain(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
    OptionalJson(body): OptionalJson<Drain>,
) -> Result<Json<Drained>, ApiError> {
    Ok(Json(render::drained(state.runners().undrain(&caller, path.name, body.owner).await?)))
}
