//! The one error type of this crate, and its one shape on the wire.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use minitower_kernel::StoreError;
use minitower_kernel::objects::ObjectError;
use minitower_kernel::page::LimitError;
use minitower_runs::UploadError;
use minitower_runs::domain::lease::Refusal;
use minitower_teams::oidc::SignInError;
use minitower_vocabulary::names::NameError;
use minitower_vocabulary::wire::error::{ErrorBody, ErrorCode, ErrorDetail};

/// When to try again where too much is under way.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// When to try again while the object store is away.
const AWAY_PAUSE: Duration = Duration::from_secs(10);

/// An answer that is no success: a word for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    code: ErrorCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

/// The error code of an answer, kept in its extensions for the access log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnsweredCode(pub(crate) ErrorCode);

impl ApiError {
    /// An error with this code and this sentence.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// 400 `invalid_request`.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// 401 `unauthorized`. The sentence never says which part of a credential was wrong.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    /// 404 `not_found`.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// 413 `payload_too_large`, naming the limit in bytes.
    pub fn payload_too_large(what: &str, limit: u64) -> Self {
        Self::new(ErrorCode::PayloadTooLarge, format!("{what} is over the limit of {limit} bytes"))
    }

    /// 500 `internal`: logs the cause, and tells the caller only that it is in the log.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %minitower_kernel::chain(cause), "request failed on the server's side");
        Self::internal_logged()
    }

    /// 500 `internal` for a cause that has been logged already.
    pub(crate) fn internal_logged() -> Self {
        Self::new(
            ErrorCode::Internal,
            "the server failed to answer; its log says why under this answer's X-Request-Id",
        )
    }

    /// What a refused credential or a failure of the database means to whoever called a use case of runs.
    fn of_cause(error: minitower_runs::Error) -> Self {
        match error {
            minitower_runs::Error::Teams(error) => error.into(),
            minitower_runs::Error::Store(StoreError::Unavailable(reason)) => Self::unavailable(&reason),
            other => Self::internal(&other),
        }
    }

    /// Why nobody was signed in through the identity provider.
    fn of_sign_in(error: &SignInError) -> Self {
        let code = match error {
            SignInError::Off => ErrorCode::NotFound,
            SignInError::UnknownState { .. }
            | SignInError::Nonsense(..)
            | SignInError::CodeRefused
            | SignInError::WhichTeam { .. } => ErrorCode::InvalidRequest,
            SignInError::ProviderSays(_)
            | SignInError::Signature(_)
            | SignInError::Claims(_)
            | SignInError::NoGroups { .. }
            | SignInError::NoTeam { .. }
            | SignInError::NotInTeam { .. }
            | SignInError::Denied => ErrorCode::Forbidden,
            SignInError::CodeGone => ErrorCode::Gone,
            SignInError::Provider(_) => {
                return Self::new(ErrorCode::Unavailable, error.to_string()).with_retry_after(BUSY_PAUSE);
            }
            SignInError::TooMany { retry_after } => {
                let retry_after = *retry_after;
                return Self::new(ErrorCode::RateLimited, error.to_string()).with_retry_after(retry_after);
            }
        };
        Self::new(code, error.to_string())
    }

    /// 503 `unavailable`: nothing was changed, and the same may work later.
    fn unavailable(reason: &str) -> Self {
        let message = format!("the database is not available ({reason}): nothing was changed, try again");
        Self::new(ErrorCode::Unavailable, message)
    }

    /// Says when the caller may try again: sent as `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The word for programs.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail { code: self.code.as_str().to_owned(), message: self.message.into_owned() },
        };
        // Two strings cannot fail to serialise; an empty body is the safe thing if they ever did.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body,
        )
            .into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ErrorCode::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(AnsweredCode(self.code));
        response
    }
}

impl From<minitower_teams::Error> for ApiError {
    fn from(error: minitower_teams::Error) -> Self {
        use minitower_teams::Error;
        let code = match &error {
            Error::Name(name) => return Self::from(name),
            Error::Store(StoreError::Unavailable(reason)) => return Self::unavailable(reason),
            Error::Store(_) | Error::Random(_) | Error::Hashing(_) | Error::Sealing | Error::TaskEnded(_) => {
                return Self::internal(&error);
            }
            Error::KeyFile(reason) => {
                tracing::error!(%reason, "a secret cannot be set");
                return Self::new(ErrorCode::Unavailable, error.to_string());
            }
            Error::TooManyLogins { retry_after }
            | Error::TooManyRegistrations { retry_after }
            | Error::TooManySignups { retry_after }
            | Error::TooManyWaiting { retry_after }
            | Error::TooFast { retry_after, .. } => {
                let (code, retry_after) = (ErrorCode::RateLimited, *retry_after);
                return Self::new(code, error.to_string()).with_retry_after(retry_after);
            }
            Error::Busy { retry_after } => {
                let (code, retry_after) = (ErrorCode::Unavailable, *retry_after);
                return Self::new(code, error.to_string()).with_retry_after(retry_after);
            }
            Error::SignIn(sign_in) => return Self::of_sign_in(sign_in),
            Error::Reached(_) | Error::TooManySecrets { .. } => ErrorCode::Conflict,
            Error::Field { .. } | Error::Limit(_) | Error::BadLimit(_) | Error::SecretValue(_) => {
                ErrorCode::InvalidRequest
            }
            Error::Unauthorized | Error::WrongLogin => ErrorCode::Unauthorized,
            Error::RunToken
            | Error::NotAdmin
            | Error::NotOwnToken
            | Error::NotATeamToken
            | Error::SignupOff
            | Error::NotOfPool(_) => ErrorCode::Forbidden,
            Error::BootstrapOff
            | Error::NoToken(_)
            | Error::NoRegistrationToken(_)
            | Error::NoPoolToken(_)
            | Error::NoSecret { .. }
            | Error::NoTeam(_) => ErrorCode::NotFound,
            Error::SlugTaken(_) => ErrorCode::SlugTaken,
            Error::TeamExists => ErrorCode::TeamExists,
        };
        Self::new(code, error.to_string())
    }
}

impl From<&NameError> for ApiError {
    fn from(error: &NameError) -> Self {
        let code = match error {
            NameError::Slug(_) | NameError::ReservedSlug(_) => ErrorCode::InvalidSlug,
            NameError::Environment(_)
            | NameError::Runner(_)
            | NameError::Secret(_)
            | NameError::ReservedSecret(_) => ErrorCode::InvalidRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<LimitError> for ApiError {
    fn from(error: LimitError) -> Self {
        Self::invalid_request(error.to_string())
    }
}

impl From<minitower_notifications::Error> for ApiError {
    fn from(error: minitower_notifications::Error) -> Self {
        use minitower_notifications::Error;
        let code = match error {
            Error::Runs(error) => return error.into(),
            Error::Teams(error) => return error.into(),
            Error::Limit(limit) => return limit.into(),
            Error::Store(StoreError::Unavailable(reason)) => return Self::unavailable(&reason),
            Error::Store(_) | Error::Random(_) => return Self::internal(&error),
            Error::Field { .. } => ErrorCode::InvalidRequest,
            Error::NoNotification(_) | Error::NoDelivery { .. } => ErrorCode::NotFound,
            Error::NameTaken(_) | Error::TooMany { .. } | Error::Disabled(_) | Error::Full { .. } => {
                ErrorCode::Conflict
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<minitower_runs::Error> for ApiError {
    fn from(error: minitower_runs::Error) -> Self {
        use minitower_runs::{Absent, Error};
        let code = match &error {
            Error::Name(name) => return Self::from(name),
            Error::Limit(limit) => return (*limit).into(),
            Error::Teams(_) | Error::Store(_) => return Self::of_cause(error),
            Error::Objects(ObjectError::Full(_)) => {
                return Self::new(ErrorCode::Unavailable, "the server's disk is full: nothing was kept");
            }
            Error::Objects(busy @ (ObjectError::NoPlace(_) | ObjectError::NoFiles(_))) => {
                let message = format!("{busy}: nothing was kept, try again");
                return Self::new(ErrorCode::Unavailable, message).with_retry_after(BUSY_PAUSE);
            }
            Error::Objects(away @ ObjectError::Bucket { .. }) => {
                let message = format!("{away}; try again in a while");
                return Self::new(ErrorCode::Unavailable, message).with_retry_after(AWAY_PAUSE);
            }
            Error::NoRoom(short) => {
                let message = format!("{short}: nothing was kept, try again when there is room");
                return Self::new(ErrorCode::Unavailable, message);
            }
            Error::Objects(_) | Error::Random(_) | Error::TaskEnded(_) => return Self::internal(&error),
            Error::AllRuns | Error::StatusOfMany { .. } => ErrorCode::InvalidRequest,
            Error::Path(_) | Error::Retry(_) | Error::Label(_) | Error::Field { .. } | Error::Input(_) => {
                ErrorCode::InvalidRequest
            }
            Error::Upload(upload) => match of_upload(upload) {
                Some(code) => code,
                None => return Self::internal(&error),
            },
            Error::Absent(
                Absent::App(_)
                | Absent::Version { .. }
                | Absent::Run(_)
                | Absent::RunToRepeat(_)
                | Absent::Attempt { .. }
                | Absent::Artifact { .. }
                | Absent::Environment(_)
                | Absent::Runner(_),
            )
            | Error::Lost { .. } => ErrorCode::NotFound,
            Error::NoVersion(_) => ErrorCode::NoVersion,
            Error::AdminsField(_) => ErrorCode::Forbidden,
            Error::AppExists(_) => ErrorCode::SlugTaken,
            Error::Refused(Refusal::Gone) => ErrorCode::Gone,
            Error::Refused(
                Refusal::OtherResult | Refusal::Cancelling | Refusal::OtherInstance | Refusal::NotDue,
            )
            | Error::AppDisabled(_)
            | Error::KeyReused
            | Error::TooMuch(_)
            | Error::Reached(_)
            | Error::PollerBusy
            | Error::RunnerIdle(_)
            | Error::RunnerBusy(_)
            | Error::UnfinishedRuns { .. }
            | Error::UnfinishedRun(_)
            | Error::NotEnded(_)
            | Error::RunnerNameHeld { .. } => ErrorCode::Conflict,
            Error::TooLong { .. } => ErrorCode::PayloadTooLarge,
        };
        Self::new(code, error.to_string())
    }
}

/// The code of an upload that does not become a version; none: reading it failed on the server's side.
fn of_upload(error: &UploadError) -> Option<ErrorCode> {
    Some(match error {
        UploadError::NoTowerfile => ErrorCode::TowerfileMissing,
        UploadError::Towerfile(_) | UploadError::Schedule | UploadError::Description(_) => {
            ErrorCode::TowerfileInvalid
        }
        UploadError::Archive(archive) if archive.is_io() => return None,
        UploadError::Archive(archive) if archive.is_towerfile() => ErrorCode::TowerfileInvalid,
        UploadError::Archive(_)
        | UploadError::NoEntrypoint(_)
        | UploadError::NotAModule(_)
        | UploadError::NoModule { .. } => ErrorCode::ArtifactInvalid,
        UploadError::Extension(_)
        | UploadError::SchemaNotJson(_)
        | UploadError::SchemaTooMuch(_)
        | UploadError::SchemaInvalid(_) => ErrorCode::InvalidRequest,
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_error_is_json_with_code_and_message() {
        let response = ApiError::new(ErrorCode::SlugTaken, "the slug `acme` is taken").into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"error":{"code":"slug_taken","message":"the slug `acme` is taken"}}"#);
    }

    #[test]
    fn retry_after_is_in_whole_seconds_rounded_up() {
        let response = ApiError::new(ErrorCode::RateLimited, "too many failed logins")
            .with_retry_after(Duration::from_millis(2_001))
            .into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "3");
    }
}
