//! The audit log.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Timestamp;

/// One change, as it was recorded with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "id": 42, "at": "2026-01-02T03:04:05.678Z", "actor": "token 7 (ada)", "token_id": 7, "action": "app.update",
    "object": "apps/report", "address": "192.0.2.7", "before": {"description": null, "disabled": false},
    "after": {"description": null, "disabled": true}
})))]
pub struct AuditEvent {
    /// Its id. Later events have greater ones.
    pub id: i64,
    /// When the request came.
    pub at: Timestamp,
    /// Who: a team token with its id and name, the operator, a sign-in.
    pub actor: String,
    /// The id of the team token that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<i64>,
    /// What was done, as a noun and a verb, such as `token.create`.
    pub action: String,
    /// What it was done to: a path within the team.
    pub object: String,
    /// The address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The team's slug. Only in the operator's list. Absent for what belongs to the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The object before. Absent when it is new. Secrets are never in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub before: Option<Map<String, Value>>,
    /// The object after. Absent when it was deleted. Secrets are never in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub after: Option<Map<String, Value>>,
}

/// Answer of `GET /audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct AuditEvents {
    /// The events, newest first.
    pub events: Vec<AuditEvent>,
}
