//! The one shape of every error answer.

use serde::{Deserialize, Serialize};

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "error": {"code": "not_found", "message": "there is no run 41"}
})))]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// The code and the message of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// The words the server uses for [`ErrorDetail::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// 400: the request cannot be understood or breaks a rule.
    InvalidRequest,
    /// 400: a slug that breaks the rule or is reserved.
    InvalidSlug,
    /// 400: the app has no version to run.
    NoVersion,
    /// 400: an upload without entrypoint has no Towerfile.
    TowerfileMissing,
    /// 400: the Towerfile of an upload is wrong.
    TowerfileInvalid,
    /// 400: the uploaded archive is refused.
    ArtifactInvalid,
    /// 401: no credential, an unknown one, or one of the wrong kind.
    Unauthorized,
    /// 403: the credential does not allow this, or sign-up is off.
    Forbidden,
    /// 404: there is no such object, or it belongs to another team.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 408: the request came too slowly.
    RequestTimeout,
    /// 409: the object is in a state that does not allow this.
    Conflict,
    /// 409: the team's slug is taken.
    SlugTaken,
    /// 409: the platform has been bootstrapped with another team.
    TeamExists,
    /// 410: the lease is stale, foreign or expired.
    Gone,
    /// 413: the body is over its limit.
    PayloadTooLarge,
    /// 414: the path and the query are over their limit.
    UriTooLong,
    /// 416: the content has none of the bytes that were asked for.
    RangeNotSatisfiable,
    /// 429: too many of something in too short a time.
    RateLimited,
    /// 431: the head of the request is over its limit.
    HeadTooLarge,
    /// 500: a fault of the server.
    Internal,
    /// 503: the database cannot answer now; the command was not carried out.
    Unavailable,
}

impl ErrorCode {
    /// All words.
    pub const ALL: [Self; 22] = [
        Self::InvalidRequest,
        Self::InvalidSlug,
        Self::NoVersion,
        Self::TowerfileMissing,
        Self::TowerfileInvalid,
        Self::ArtifactInvalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::SlugTaken,
        Self::TeamExists,
        Self::Gone,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::RangeNotSatisfiable,
        Self::RateLimited,
        Self::HeadTooLarge,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidSlug => "invalid_slug",
            Self::NoVersion => "no_version",
            Self::TowerfileMissing => "TOWERFILE_MISSING",
            Self::TowerfileInvalid => "TOWERFILE_INVALID",
            Self::ArtifactInvalid => "artifact_invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::SlugTaken => "slug_taken",
            Self::TeamExists => "team_exists",
            Self::Gone => "gone",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::RateLimited => "rate_limited",
            Self::HeadTooLarge => "head_too_large",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status that goes with the word.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest
            | Self::InvalidSlug
            | Self::NoVersion
            | Self::TowerfileMissing
            | Self::TowerfileInvalid
            | Self::ArtifactInvalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict | Self::SlugTaken | Self::TeamExists => 409,
            Self::Gone => 410,
            Self::PayloadTooLarge => 413,
            Self::UriTooLong => 414,
            Self::RangeNotSatisfiable => 416,
            Self::RateLimited => 429,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}
