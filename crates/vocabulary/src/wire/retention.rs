//! How long what has ended is kept.

use serde::{Deserialize, Serialize};

use super::apps::given;

/// Answer of `GET` and `PUT /retention`: what applies to those of the team's apps that say nothing themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "keep_seconds": 2_592_000, "keep_last": 100, "default": {"keep_seconds": 7_776_000, "keep_last": 100}
})))]
pub struct Retention {
    /// How long runs are kept after their end, in seconds. 0: for ever.
    pub keep_seconds: i64,
    /// How many of the newest runs and versions of each app are kept in any case.
    pub keep_last: i64,
    /// What the server says for teams that say nothing themselves.
    pub default: DefaultRetention,
}

/// What the server says for teams that say nothing themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct DefaultRetention {
    /// How long runs are kept after their end, in seconds. 0: for ever.
    pub keep_seconds: i64,
    /// How many of the newest runs and versions of each app are kept in any case.
    pub keep_last: i64,
}

/// What an app says about its own runs and versions. What it leaves out is as its team says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"keep_seconds": 2_592_000})))]
pub struct AppRetention {
    /// How long runs are kept after their end, in seconds. 0: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_seconds: Option<i64>,
    /// How many of the newest runs and versions are kept in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<i64>,
}

/// Body of `PUT /retention`, and `retention` of `PATCH /apps/{app}`. What is left out stays as it is; `null` leaves it to
/// the server, or to the team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "keep_seconds": 2_592_000, "keep_last": null
})))]
#[serde(deny_unknown_fields)]
pub struct SetRetention {
    /// How long runs are kept after their end, in seconds: an hour to a hundred years. 0: for ever.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i64>, minimum = 0, maximum = 3_153_600_000_i64))]
    pub keep_seconds: Option<Option<i64>>,
    /// How many of the newest runs and versions of each app are kept in any case.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i64>, minimum = 0, maximum = 1_000_000))]
    pub keep_last: Option<Option<i64>>,
}
