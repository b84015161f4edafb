//! `GET /runs/summary`.

use axum::extract::State;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::RunsSummary;

use crate::HttpState;
use crate::auth::Caller;
use crate::extract::Json;

/// Counts the team's runs.
pub(crate) async fn summary(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Json<RunsSummary> {
    let summary = state.runs().runs_summary(&caller);
    Json(RunsSummary {
        total_runs: summary.total,
        active_runs: summary.active,
        queued_runs: summary.queued,
        terminal_runs: summary.terminal,
    })
}
