//! `GET /admin/demand`.

use axum::extract::State;
use minitower_runs::{self as runs, ListDemand};
use minitower_teams::AdminPrincipal;
use minitower_vocabulary::wire::demand::{Demand, EnvironmentDemand};

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::v1::params::After;
use crate::{ApiError, HttpState};

/// Tells how many runs wait and how many are held in each environment that the caller may see.
pub(crate) async fn demand(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Demand>, ApiError> {
    let runs::Demand { environments, cursor } =
        state.runners().demand(&caller, &ListDemand { after, limit })?;
    Ok(Json(Demand { environments: environments.into_iter().map(rendered).collect(), cursor }))
}

fn rendered(of: runs::EnvironmentDemand) -> EnvironmentDemand {
    let runs::EnvironmentDemand { team, environment, pending, active } = of;
    EnvironmentDemand { team, environment, pending, active }
}
