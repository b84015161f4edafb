//! The moves of a team's runs, as they happen.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::wire::live::RunEvent;

use crate::auth::Caller;
use crate::events::{last_event_id, move_stream};
use crate::lasting::Lasting;
use crate::openapi::errors;
use crate::{ApiError, HttpState};

errors! { EventsErrors {
    InvalidRequest: "`Last-Event-ID` is not text of at most 64 characters.",
    RateLimited: "The team follows as many streams as its limits allow.",
} }

/// Follows the team's runs.
///
/// Each event without a name is a run that was made or whose state changed, as it is after that. The server keeps the latest
/// for some minutes: `Last-Event-ID` goes on behind that event. If events are missing, because the client was away for too long,
/// reads too slowly or the server was started again, `reset` says so: then list the runs again. To miss nothing, open the stream
/// first and list the runs then.
#[utoipa::path(get, path = "/api/v1/runs/events", operation_id = "follow_runs", tag = "Runs",
    params(("last-event-id" = Option<String>, Header, description = "The id of the last event that was seen.")),
    responses(
        (status = 200, description = "Events, until the server stops or the token ends.",
            content((RunEvent = "text/event-stream"))),
        EventsErrors,
    ))]
pub(crate) async fn events(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last = last_event_id(&headers)?;
    let open = state.teams().open_request(caller.team_id, LimitName::Streams)?;
    Ok(move_stream(state.runs(), &caller, last, Lasting::of(&state, &headers), open))
}
