//! What watches the server: is it alive, is it ready, what does it count, what is it.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use minitower_vocabulary::wire::error::ErrorCode;
use minitower_vocabulary::wire::health::{Health, Version};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::extract::{Json, Query};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Says that the process is running.
///
/// It does not ask the database.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "Health",
    responses((status = 200, description = "The process is running.", body = Health)))]
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

errors! { NotReady { Unavailable: "The database does not answer within 2 seconds, cannot be used, its volume is full, the object store is away, or the server is about to stop.", } }

/// What `GET /ready` asks for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadyQuery {
    /// Whether a server on a full volume, or whose object store is away, counts as ready. Default: `false`.
    #[serde(default)]
    #[param(required = false)]
    full_is_ready: bool,
}

/// Says whether the database answers and can be written.
///
/// A load balancer asks this before it sends requests. On a full volume, and while the bucket of the objects is away, the answer is
/// 503, although reads, heartbeats and results are still served. Where the answer decides whether these reach the server at all, ask with `full_is_ready=true`.
#[utoipa::path(get, path = "/ready", operation_id = "ready", tag = "Health", params(ReadyQuery),
    responses((status = 200, description = "The database answers.", body = Health), NotReady))]
pub(crate) async fn ready(
    State(state): State<HttpState>,
    Query(query): Query<ReadyQuery>,
) -> Result<Json<Health>, ApiError> {
    let unavailable = |reason: String| Err(ApiError::new(ErrorCode::Unavailable, reason));
    if state.is_stopping() {
        return unavailable("the server is about to stop".to_owned());
    }
    if let Some(reason) = state.volumes().trouble() {
        return unavailable(reason.to_string());
    }
    if !query.full_is_ready
        && let Err(short) = state.volumes().room_for_state()
    {
        return unavailable(format!("{short}: only lease traffic is written until there is room"));
    }
    if !query.full_is_ready
        && let Some(reason) = state.runs().objects_trouble()
    {
        return unavailable(format!("{reason}; uploads are refused, and runs go on"));
    }
    match timeout(DEADLINE, state.ping()).await {
        Ok(Ok(())) => Ok(Json(Health { status: "ok".to_owned() })),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
            unavailable("the database cannot be used; the server's log says why".to_owned())
        }
        Err(_) => unavailable(format!("the database does not answer within {} s", DEADLINE.as_secs())),
    }
}

/// Shows all metrics in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "Health",
    responses((status = 200, description = "All metrics.", body = String, content_type = "text/plain",
        example = "minitower_runs_queued{environment=\"default\"} 3")))]
pub(crate) async fn metrics(State(state): State<HttpState>) -> Result<Response, ApiError> {
    let mut text = String::new();
    // The counts behind the gauges were loaded before the server began to listen.
    state
        .metrics()
        .encode(&state.subject_metrics(), &mut text)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT))], text).into_response())
}

/// Shows the version and the commit of the server.
#[utoipa::path(get, path = "/version", operation_id = "version", tag = "Health",
    responses((status = 200, description = "The version and the commit.", body = Version)))]
pub(crate) async fn version(State(state): State<HttpState>) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: state.config().commit.to_owned(),
        sqlite_version: state.config().sqlite_version.to_owned(),
    })
}
