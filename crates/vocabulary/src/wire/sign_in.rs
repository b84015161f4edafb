//! Signing in through an identity provider.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::statuses::Role;

/// Body of `POST /auth/oidc/device`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"team": "lighthouse"})))]
pub struct StartDevice {
    /// The slug of the team that the token shall be for. Without it the person chooses in the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

/// Answer of `POST /auth/oidc/device`, as RFC 8628 has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "device_code": "mtd_…", "user_code": "WDJB-MJHT",
    "verification_uri": "https://tower.example.com/api/v1/auth/oidc/start?device=…", "expires_in": 600, "interval": 2
})))]
pub struct DeviceStarted {
    /// The `code` of `POST /auth/oidc/token`. It is shown only once.
    pub device_code: String,
    /// What the person compares with what the browser shows.
    pub user_code: String,
    /// Where the person signs in, with a browser anywhere.
    pub verification_uri: String,
    /// How many seconds the person has.
    pub expires_in: u64,
    /// How many seconds to wait between two calls of `POST /auth/oidc/token`.
    pub interval: u64,
}

/// Body of `POST /auth/oidc/token`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"code": "mtd_…"})))]
pub struct ExchangeCode {
    /// A device code, or the code that a browser has brought back to a page.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub code: String,
    /// The slug of the team that the token shall be for. It is needed if a page asks for somebody who is in several teams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The token of an earlier sign-in of the same person and team, which the new one replaces. Any other is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_token: Option<String>,
}

/// Answer of `POST /auth/oidc/token` while the person has not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"interval": 2})))]
pub struct SignInPending {
    /// How many seconds to wait before the next call.
    pub interval: u64,
}

/// Answer of `POST /auth/oidc/token`: a team token of a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "team_id": 1, "team_slug": "lighthouse", "token": "mtk_…", "token_id": 12, "role": "member",
    "person": "Ada Lovelace", "expires_at": "2026-01-02T15:04:05.678Z"
})))]
pub struct SignedIn {
    /// The team's id.
    pub team_id: i64,
    /// Its slug.
    pub team_slug: String,
    /// A new team token. It is shown only once.
    pub token: String,
    /// Its id.
    pub token_id: i64,
    /// Its role, as the person's groups decide.
    pub role: Role,
    /// The person's name, which is also the token's.
    pub person: String,
    /// When the token expires.
    pub expires_at: Timestamp,
}

impl fmt::Debug for DeviceStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceStarted").field("user_code", &self.user_code).finish_non_exhaustive()
    }
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}
