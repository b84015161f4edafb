//! `GET /health`.

use minitower_vocabulary::wire::health::Health;

use crate::extract::Json;

/// Says that the process answers; asks nothing of the database.
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}
