//! How long a team keeps what has ended.

use axum::extract::State;
use minitower_runs::domain::retention::{Change, Retention as Kept};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::retention::{DefaultRetention, Retention, SetRetention};

use crate::auth::Caller;
use crate::extract::Json;
use crate::openapi::errors;
use crate::{ApiError, HttpState};

errors! { SetErrors { InvalidRequest: "A field breaks a rule, or there is no such field.", } }

/// Shows how long runs are kept that have ended.
///
/// It applies to the apps that have no `retention` of their own, each field for itself.
#[utoipa::path(get, path = "/api/v1/retention", operation_id = "retention", tag = "Retention",
    responses((status = 200, description = "What applies, and the server's default.", body = Retention)))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<Retention>, ApiError> {
    Ok(Json(shown(state.apps().retention(&caller).await?)))
}

/// Says how long runs are kept that have ended.
///
/// Fields that are left out stay, and `null` puts one back to the server's default. The server looks for what is old once
/// an hour. What it removes does not come back.
#[utoipa::path(put, path = "/api/v1/retention", operation_id = "set_retention", tag = "Retention",
    request_body = SetRetention,
    responses((status = 200, description = "What applies after the call.", body = Retention), SetErrors))]
pub(crate) async fn set(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<SetRetention>,
) -> Result<Json<Retention>, ApiError> {
    Ok(Json(shown(state.apps().set_retention(&caller, change(body)).await?)))
}

/// What is to change.
pub(super) fn change(set: SetRetention) -> Change {
    Change { seconds: set.keep_seconds, last: set.keep_last }
}

/// What applies, with the server's default.
fn shown((kept, default): (Kept, Kept)) -> Retention {
    Retention {
        keep_seconds: kept.seconds(),
        keep_last: kept.last.into(),
        default: DefaultRetention { keep_seconds: default.seconds(), keep_last: default.last.into() },
    }
}
