//! Teams, their tokens, and who the caller is.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::Timestamp;

pub use crate::statuses::Role;

/// Answer of `GET /auth/options`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "signup_enabled": true, "bootstrap_enabled": false, "oidc_enabled": true
})))]
pub struct AuthOptions {
    /// Whether anyone may create a team.
    pub signup_enabled: bool,
    /// Whether the server has a bootstrap token.
    pub bootstrap_enabled: bool,
    /// True if people sign in through an identity provider. Absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oidc_enabled: bool,
}

/// Body of `POST /bootstrap/team`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "slug": "lighthouse", "name": "Lighthouse", "password": "correct horse battery staple"
})))]
pub struct BootstrapTeam {
    /// The team's slug.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, pattern = "^[a-z][a-z0-9-]{2,31}$"))]
    pub slug: String,
    /// The team's name for people.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub name: String,
    /// The password for later logins: at least 12 characters. Without one, the previous password stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 12))]
    pub password: Option<String>,
}

/// Body of `POST /teams/signup`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "slug": "lighthouse", "name": "Lighthouse", "password": "correct horse battery staple"
})))]
pub struct Signup {
    /// The team's slug.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, pattern = "^[a-z][a-z0-9-]{2,31}$"))]
    pub slug: String,
    /// The team's name for people.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub name: String,
    /// The password for later logins: at least 12 characters.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, min_length = 12))]
    pub password: String,
}

/// Answer of `POST /bootstrap/team` and `POST /teams/signup`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "team_id": 1, "slug": "lighthouse", "token": "mtk_…", "role": "admin", "registration_token": "mtg_…"
})))]
pub struct TeamCreated {
    /// The team's id.
    pub team_id: i64,
    /// Its slug.
    pub slug: String,
    /// A new team token. It is shown only once.
    pub token: String,
    /// The token's role: `admin`.
    pub role: Role,
    /// The team's own registration token for its runners. It is shown only once. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_token: Option<String>,
}

/// Body of `POST /teams/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "slug": "lighthouse", "password": "correct horse battery staple"
})))]
pub struct Login {
    /// The team's slug.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub slug: String,
    /// The team's password.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub password: String,
}

/// Answer of `POST /teams/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "team_id": 1, "token": "mtk_…", "token_id": 7, "role": "admin"
})))]
pub struct LoggedIn {
    /// The team's id.
    pub team_id: i64,
    /// A new team token. It is shown only once.
    pub token: String,
    /// Its id.
    pub token_id: i64,
    /// Its role.
    pub role: Role,
}

/// Answer of `GET /me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "team_id": 1, "team_slug": "lighthouse", "token_id": 7, "role": "admin",
    "max_artifact_bytes": 104_857_600
})))]
pub struct Me {
    /// The team's id.
    pub team_id: i64,
    /// Its slug.
    pub team_slug: String,
    /// The id of the token that asked.
    pub token_id: i64,
    /// Its role.
    pub role: Role,
    /// The largest archive that a new version may have, in bytes. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_artifact_bytes: Option<u64>,
    /// The name of the person who signed in for the token, or for the one that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// When the token expires. Absent if it never does, and from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Body of `POST /tokens`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "name": "ci", "role": "member", "expires_in": 2_592_000
})))]
pub struct CreateToken {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role of the new token: `admin` or `member`. A member's request always yields `member`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "role")]
    pub role: Option<String>,
    /// After how many seconds the token expires: at most 10 years. It never outlives the token that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(minimum = 1, maximum = 316_224_000))]
    pub expires_in: Option<i64>,
}

/// Says of what is no text which texts there are.
fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer).map_err(|_| D::Error::custom("must be \"admin\" or \"member\""))
}

/// Answer of `POST /tokens`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "token_id": 9, "token": "mtk_…", "name": "ci", "role": "member"
})))]
pub struct TokenCreated {
    /// The token's id.
    pub token_id: i64,
    /// The token. It is shown only once.
    pub token: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its role.
    pub role: Role,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// One of a team's tokens, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "token_id": 9, "name": "ci", "role": "member", "created_at": "2026-01-02T03:04:05.678Z",
    "last_used_at": "2026-01-03T03:04:05.678Z", "expires_at": "2026-02-01T03:04:05.678Z"
})))]
pub struct Token {
    /// The token's id.
    pub token_id: i64,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its role.
    pub role: Role,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it expires. An expired token is listed for another 30 days or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The name of the person who signed in for it, or for the token that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
}

/// Answer of `GET /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// The team's tokens, newest first.
    pub tokens: Vec<Token>,
}

/// One of a team's registration tokens, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "id": 2, "created_at": "2026-01-02T03:04:05.678Z", "last_used_at": "2026-01-03T03:04:05.678Z"
})))]
pub struct RegistrationToken {
    /// The token's id.
    pub id: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a runner last registered with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// Answer of `GET /registration-tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct RegistrationTokens {
    /// The team's registration tokens, newest first.
    pub registration_tokens: Vec<RegistrationToken>,
}

/// Answer of `POST /registration-tokens`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "id": 2, "token": "mtg_…"
})))]
pub struct RegistrationTokenCreated {
    /// The token's id.
    pub id: i64,
    /// The token. It is shown only once.
    pub token: String,
}
