//! `GET /version`.

use axum::extract::State;
use minitower_vocabulary::wire::health::Version;

use crate::HttpState;
use crate::extract::Json;

/// Says what runs here.
pub(crate) async fn version(State(state): State<HttpState>) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: state.config().commit.to_owned(),
        sqlite_version: state.config().sqlite_version.to_owned(),
    })
}
