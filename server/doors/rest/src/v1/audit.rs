//! The audit log.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use minitower_kernel::page::Page;
use minitower_teams::audit::AuditEvent as Recorded;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::AuditEventId;
use minitower_vocabulary::wire::audit::{AuditEvent, AuditEvents};
use serde_json::{Map, Value};

use super::params::Before;
use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::render::moment;
use crate::{ApiError, HttpState};

/// One event a line.
const JSON_LINES: &str = "application/x-ndjson";

/// Lists who changed what in the team, newest first.
///
/// The end of the list is an empty page. A page may be shorter than its limit. With `Accept: application/x-ndjson` the answer
/// is one event per line.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", tag = "Audit",
    params(
        ("before" = Option<i64>, Query, description = "Only events with a smaller id."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of events.",
        content((AuditEvents = "application/json"), (String = "application/x-ndjson")))))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(Before { before, limit }): Query<Before<i64>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let page = Page::new(before.map(AuditEventId), limit)?;
    let events = state.teams().audit(&caller, page).await?;
    answer(&headers, events.into_iter().map(|event| shown(event, None)).collect())
}

/// Lists who changed what in all teams and on the platform, newest first.
///
/// The end of the list is an empty page. A page may be shorter than its limit. With `Accept: application/x-ndjson` the answer
/// is one event per line.
#[utoipa::path(get, path = "/api/v1/admin/audit", operation_id = "list_all_audit", tag = "Audit",
    params(
        ("before" = Option<i64>, Query, description = "Only events with a smaller id."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of events.",
        content((AuditEvents = "application/json"), (String = "application/x-ndjson")))))]
pub(crate) async fn list_all(
    State(state): State<HttpState>,
    Query(Before { before, limit }): Query<Before<i64>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let page = Page::new(before.map(AuditEventId), limit)?;
    let events = state.teams().audit_of_all(page).await?;
    let team = |event: &Recorded| event.team.and_then(|team| state.teams().slug(team));
    let events = events.into_iter().map(|event| {
        let team = team(&event).map(|slug| slug.to_string());
        shown(event, team)
    });
    answer(&headers, events.collect())
}

fn answer(headers: &HeaderMap, events: Vec<AuditEvent>) -> Result<Response, ApiError> {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if !accepted.any(|value| value.contains(JSON_LINES)) {
        return Ok(Json(AuditEvents { events }).into_response());
    }
    let mut lines = Vec::new();
    for event in &events {
        serde_json::to_writer(&mut lines, event).map_err(|error| ApiError::internal(&error))?;
        lines.push(b'\n');
    }
    let mut response = lines.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON_LINES));
    Ok(response)
}

fn shown(event: Recorded, team: Option<String>) -> AuditEvent {
    let Recorded { id, team: _, at, actor, token, address, action, object, before, after } = event;
    // The schema takes nothing but JSON, and the triggers write nothing but objects.
    let state =
        |text: Option<String>| text.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
    AuditEvent {
        id: id.0,
        at: moment(at),
        actor,
        token_id: token,
        action,
        object,
        address,
        team,
        before: state(before),
        after: state(after),
    }
}
