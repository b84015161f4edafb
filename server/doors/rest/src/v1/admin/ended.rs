//! `POST /admin/runners/{name}/ended`.

use axum::extract::State;
use minitower_teams::AdminPrincipal;
use minitower_vocabulary::wire::admin::Ended;
use minitower_vocabulary::wire::runner::Ok as Done;

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path};
use crate::v1::params::NamePath;
use crate::{ApiError, HttpState};

/// Says that a runner's process has ended for certain: what it held expires now.
pub(crate) async fn ended(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
    OptionalJson(body): OptionalJson<Ended>,
) -> Result<Json<Done>, ApiError> {
    let Ended { instance_id, reason } = body;
    state.runners().process_ended(&caller, path.name, instance_id, reason).await?;
    Ok(Json(Done::default()))
}
