//! A team's limits.

use axum::extract::State;
use minitower_teams::Used;
use minitower_teams::limits::Limits as TeamLimits;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::wire::limits::{Limit, Limits, SetLimits};

use super::params::TeamPath;
use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

errors! { SetErrors {
    InvalidRequest: "There is no limit of that name, or it cannot have that value, or the administrator does not allow it.",
} }

errors! { NoTeam { NotFound: "There is no such team.", } }

errors! { SetTeamErrors {
    InvalidRequest: "There is no limit of that name, or it cannot have that value.",
    NotFound: "There is no such team.",
} }

/// Shows the team's limits, and how much of them it uses.
#[utoipa::path(get, path = "/api/v1/limits", operation_id = "limits", tag = "Limits",
    responses((status = 200, description = "The limits.", body = Limits)))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<Limits>, ApiError> {
    let (limits, mut used) = state.teams().limits_and_use(&caller).await?;
    used.extend(state.runs().used(caller.team_id).await?);
    used.extend(state.runners().used(caller.team_id).await?);
    Ok(Json(shown(&limits, &used)))
}

/// Chooses the team's limits, within what the administrator allows.
///
/// Limits that the body leaves out stay. If one of the changes is refused, none is made. A limit below what the team uses
/// takes nothing away: it refuses what comes.
#[utoipa::path(put, path = "/api/v1/limits", operation_id = "set_limits", tag = "Limits",
    request_body = SetLimits,
    responses((status = 200, description = "The limits after the call.", body = Limits), SetErrors))]
pub(crate) async fn set(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<SetLimits>,
) -> Result<Json<Limits>, ApiError> {
    state.teams().choose_limits(&caller, body.changes().collect()).await?;
    show(State(state), Caller(caller)).await
}

/// Shows the limits of a team to the administrator.
#[utoipa::path(get, path = "/api/v1/admin/teams/{slug}/limits", operation_id = "team_limits", tag = "Limits",
    params(TeamPath),
    responses((status = 200, description = "The limits.", body = Limits), NoTeam))]
pub(crate) async fn show_of_team(
    State(state): State<HttpState>,
    Path(path): Path<TeamPath>,
) -> Result<Json<Limits>, ApiError> {
    let (team, limits, mut used) = state.teams().limits_of(&path.slug).await?;
    used.extend(state.runs().used(team).await?);
    used.extend(state.runners().used(team).await?);
    Ok(Json(shown(&limits, &used)))
}

/// Decides what a team is allowed.
///
/// Limits that the body leaves out stay. If one of the changes is refused, none is made. What the team has chosen stays as
/// far as it is still allowed.
#[utoipa::path(put, path = "/api/v1/admin/teams/{slug}/limits", operation_id = "set_team_limits", tag = "Limits",
    params(TeamPath), request_body = SetLimits,
    responses((status = 200, description = "The limits after the call.", body = Limits), SetTeamErrors))]
pub(crate) async fn set_of_team(
    State(state): State<HttpState>,
    Path(path): Path<TeamPath>,
    Json(body): Json<SetLimits>,
) -> Result<Json<Limits>, ApiError> {
    state.teams().allow_limits(&path.slug, body.changes().collect()).await?;
    show_of_team(State(state), Path(path)).await
}

fn shown(limits: &TeamLimits, used: &Used) -> Limits {
    Limits::new(|name: LimitName| Limit {
        limit: limits.of(name),
        used: used.iter().find(|(of, _)| *of == name).map(|(_, used)| *used),
        allowed: limits.allowed(name),
        default: limits.default_of(name),
    })
}
