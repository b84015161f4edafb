//! Notifications: who is told of which runs, and what became of telling them.

use serde::{Deserialize, Deserializer, Serialize};

use super::Timestamp;

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// It failed, and is not retried.
    Failed,
    /// Its runners were lost more often than its retries allow.
    Dead,
    /// It completed.
    Completed,
    /// It takes longer than the app's `expect_seconds`.
    Late,
    /// It has waited longer than the app's `expect_wait_seconds`.
    Waiting,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Dead, Self::Completed, Self::Late, Self::Waiting];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Completed => "completed",
            Self::Late => "late",
            Self::Waiting => "waiting",
        }
    }

    /// The occasion of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == text)
    }
}

/// How a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A signed `POST`, as Standard Webhooks has it.
    Webhook,
    /// A message to an incoming webhook of Slack.
    Slack,
    /// An email.
    Email,
}

impl TargetKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::Slack, Self::Email];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }

    /// The kind of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where notifications are sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "kind": "webhook", "url": "https://example.com/hook"
})))]
pub struct Target {
    /// `webhook`, `slack` or `email`.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = TargetKind))]
    pub kind: String,
    /// The URL of a webhook, or of Slack's incoming webhook. Answers show of Slack's URL only the host, because whoever knows the rest
    /// can post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(max_length = 2048))]
    pub url: Option<String>,
    /// The address of an email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(max_length = 254))]
    pub to: Option<String>,
    /// What webhooks are signed with, `whsec_…`. If it is left out, the server makes one. It is shown only in the answer to the call
    /// that set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("kind", &self.kind).field("to", &self.to).finish_non_exhaustive()
    }
}

/// Body of `POST /notifications`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "name": "on-call", "on": ["failed", "dead"], "app": "etl", "environment": "production",
    "target": {"kind": "webhook", "url": "https://example.com/hook"}
})))]
pub struct CreateNotification {
    /// Its name, unique within the team.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, max_length = 100))]
    pub name: String,
    /// Of what it tells.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = Vec<Occasion>))]
    pub on: Vec<String>,
    /// Only of runs of this app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only of runs in this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only of runs that have this label, `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = Target))]
    pub target: Option<Target>,
    /// Whether it is in use. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Body of `PATCH /notifications/{id}`. What is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "on": ["failed", "dead", "late"], "environment": null, "enabled": true
})))]
pub struct UpdateNotification {
    /// Its name, unique within the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of what it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Vec<Occasion>>))]
    pub on: Option<Vec<String>>,
    /// Only of runs of this app; null: of every app.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub app: Option<Option<String>>,
    /// Only of runs in this environment; null: in every one.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub environment: Option<Option<String>>,
    /// Only of runs that have this label, `key=value`; null: of all.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub label: Option<Option<String>>,
    /// Where to send, as a whole. A webhook without a `secret` keeps the one that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether it is in use. What waits to be sent goes on waiting while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A field that is there, be it null.
#[expect(clippy::option_option, reason = "left out, null and a text are three things")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A notification: of which runs a team is told, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "id": 4, "name": "on-call", "on": ["failed", "dead"], "app": "etl", "environment": "production",
    "target": {"kind": "webhook", "url": "https://example.com/hook"}, "enabled": true, "waiting": 0, "dropped": 0,
    "created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct Notification {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Of what it tells.
    pub on: Vec<Occasion>,
    /// Only of runs of this app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only of runs in this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only of runs that have this label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where it is sent.
    pub target: Target,
    /// Whether it is in use.
    pub enabled: bool,
    /// How many deliveries wait to be sent.
    pub waiting: i64,
    /// How many were dropped because too many waited, and have not been told yet.
    pub dropped: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Answer of `GET /notifications`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Notifications {
    /// The team's notifications, newest first.
    pub notifications: Vec<Notification>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// It is to be sent, for the first time or again.
    Waiting,
    /// Its receiver took it.
    Delivered,
    /// Its last attempt failed: it is not sent again unless somebody asks for it.
    Failed,
}

impl DeliveryStatus {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The status of that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Failed].into_iter().find(|status| status.as_str() == text)
    }
}

/// One attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct DeliveryAttempt {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: i64,
    /// The status of the answer, or the code of the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One message to the target of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "id": 31, "webhook_id": "msg_0k3…", "event": "run.failed", "run_id": 12, "status": "waiting",
    "created_at": "2026-01-02T03:04:05.678Z", "next_at": "2026-01-02T03:04:15.678Z",
    "attempts": [{"at": "2026-01-02T03:04:05.778Z", "duration_ms": 90, "code": 500, "error": "the receiver answered 500"}]
})))]
pub struct Delivery {
    /// Its id.
    pub id: i64,
    /// What the receiver finds in `webhook-id`: the same for all attempts.
    pub webhook_id: String,
    /// What it tells: `run.failed`, `run.dead`, `run.completed`, `run.late`, `run.waiting`, `notification.test` or
    /// `notification.dropped`.
    pub event: String,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<i64>,
    /// How many deliveries were dropped, if it tells of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<i64>,
    /// What became of it.
    pub status: DeliveryStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is sent next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The attempts at it, oldest first: the last 20.
    pub attempts: Vec<DeliveryAttempt>,
}

/// Answer of `GET /notifications/{id}/deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Deliveries {
    /// The deliveries, newest first.
    pub deliveries: Vec<Delivery>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for occasion in Occasion::ALL {
            assert_eq!(Occasion::parse(occasion.as_str()), Some(occasion));
            assert_eq!(serde_json::to_value(occasion).unwrap(), occasion.as_str());
        }
        for kind in TargetKind::ALL {
            assert_eq!(TargetKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for status in [DeliveryStatus::Waiting, DeliveryStatus::Delivered, DeliveryStatus::Failed] {
            assert_eq!(DeliveryStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn no_secret_is_in_what_is_logged() {
        let target = Target {
            kind: "slack".to_owned(),
            url: Some("https://hooks.slack.com/services/T/B/hunter2".to_owned()),
            to: None,
            secret: Some("whsec_hunter2".to_owned()),
        };
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
