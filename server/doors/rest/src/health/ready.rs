//! `GET /ready`.

use std::time::Duration;

use axum::extract::State;
use minitower_vocabulary::wire::error::ErrorCode;
use minitower_vocabulary::wire::health::Health;
use tokio::time::timeout;

use crate::extract::Json;
use crate::{ApiError, HttpState};

/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Says whether the database answers.
pub(crate) async fn ready(State(state): State<HttpState>) -> Result<Json<Health>, ApiError> {
    match timeout(DEADLINE, state.ping()).await {
        Ok(Ok(())) => Ok(Json(Health { status: "ok".to_owned() })),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
            Err(ApiError::new(
                ErrorCode::Unavailable,
                "the database cannot be used; the server's log says why",
            ))
        }
        Err(_) => Err(ApiError::new(
            ErrorCode::Unavailable,
            format!("the database does not answer within {} s", DEADLINE.as_secs()),
        )),
    }
}
