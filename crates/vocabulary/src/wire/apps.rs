//! Apps and their versions.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Timestamp;
use super::retention::{AppRetention, SetRetention};

/// Body of `POST /apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "slug": "hello", "description": "Says hello"
})))]
pub struct CreateApp {
    /// The app's slug, unique within the team.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, pattern = "^[a-z][a-z0-9-]{2,31}$"))]
    pub slug: String,
    /// What the app does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Body of `PATCH /apps/{app}`. What is left out stays as it is; `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "disabled": false, "concurrency": {"max": 2}, "expect_seconds": 600
})))]
#[serde(deny_unknown_fields)]
pub struct ChangeApp {
    /// What the app does, for people.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>, max_length = 4096))]
    pub description: Option<Option<String>>,
    /// A disabled app refuses new runs, and its queued runs wait until it is enabled.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<bool>))]
    pub disabled: Option<Option<bool>>,
    /// How many runs may be active at the same time. It goes before what the Towerfile says.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Concurrency>))]
    pub concurrency: Option<Option<Concurrency>>,
    /// How much of the logs of its runs is kept.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<LogLimits>))]
    pub log_limits: Option<Option<LogLimits>>,
    /// How long its runs are kept after their end, with what they left behind. Only an admin changes it.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<SetRetention>))]
    pub retention: Option<Option<SetRetention>>,
    /// How long a run usually takes at most, in seconds.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i64>, minimum = 1, maximum = 31_536_000))]
    pub expect_seconds: Option<Option<i64>>,
    /// How long a run usually waits at most, in seconds.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i64>, minimum = 1, maximum = 31_536_000))]
    pub expect_wait_seconds: Option<Option<i64>>,
}

/// A field that was given, be it as `null`.
#[expect(clippy::option_option, reason = "left out, null and a value are three cases on the wire")]
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// An object that was given, be it as `null`. Derived types whose every field may be left out would read a list too.
#[expect(clippy::option_option, reason = "left out, null and a value are three cases on the wire")]
fn given_object<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0)))
}

/// A value that is an object in JSON, and nothing else.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// How many runs of a team may be active at the same time: those that have the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"key": "warehouse", "max": 2})))]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// What the runs share, at most 200 bytes on one line. Default: the app's slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 200))]
    pub key: Option<String>,
    /// How many of them at most.
    #[cfg_attr(feature = "utoipa", schema(minimum = 1, maximum = 1_000_000))]
    pub max: i64,
}

/// How much of the logs of an app's runs is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"bytes_per_run": 1_048_576})))]
#[serde(deny_unknown_fields)]
pub struct LogLimits {
    /// Most bytes of the log of one run: beyond it the log keeps its beginning and its end. The team's limit
    /// `log_bytes_per_run` holds too.
    #[cfg_attr(feature = "utoipa", schema(minimum = 1024))]
    pub bytes_per_run: i64,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "app_id": 5, "slug": "hello", "description": "Says hello", "disabled": false, "created_at":
    "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct App {
    /// The app's id.
    pub app_id: i64,
    /// Its slug.
    pub slug: String,
    /// What the app does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A disabled app refuses new runs, and its queued runs wait.
    pub disabled: bool,
    /// How many of its runs may be active at the same time. Absent: as its version says, and from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How much of the logs of its runs is kept. Absent: what the team's limits allow, and from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_limits: Option<LogLimits>,
    /// How long its runs are kept after their end, as far as it says so itself. Absent: as its team says, and from older
    /// servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<AppRetention>,
    /// How long a run usually takes at most, in seconds. Absent: nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_seconds: Option<i64>,
    /// How long a run usually waits at most, in seconds. Absent: nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_wait_seconds: Option<i64>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed. A new version is a change.
    pub updated_at: Timestamp,
}

/// Answer of `GET /apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Apps {
    /// The team's apps, by slug.
    pub apps: Vec<App>,
}

/// A version of an app: an archive and how to start it. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "version_id": 8, "version_no": 1, "entrypoint": "main.py", "timeout_seconds": 600, "artifact_sha256":
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "created_at":
    "2026-01-02T03:04:05.678Z"
})))]
pub struct Version {
    /// The version's id.
    pub version_id: i64,
    /// Its number within the app: 1, 2, 3 …
    pub version_no: i64,
    /// The file to start.
    pub entrypoint: String,
    /// How long a run may take, in seconds. Absent: the runner's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// A JSON Schema (2020-12) that the input has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Value>,
    /// The SHA-256 of the archive, in lower-case hexadecimal.
    pub artifact_sha256: String,
    /// The Towerfile as it was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub towerfile_toml: Option<String>,
    /// Folders to put before `PYTHONPATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_paths: Option<Vec<String>>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

/// Answer of `GET /apps/{app}/versions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Versions {
    /// The app's versions, newest first.
    pub versions: Vec<Version>,
}
