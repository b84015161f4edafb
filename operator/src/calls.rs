//! Calls to the API server: each has a deadline, and says in a typed error how it failed.

use std::time::Duration;

use kube::api::PostParams;

/// The longest that a call to the API server or a control plane may take. A leader must be sure of its Lease for that long.
pub const CALL: Duration = Duration::from_secs(5);

/// The name under which the operator writes.
pub const FIELD_MANAGER: &str = "minitower-operator";

/// How a call to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer in time: whether the call took effect is unknown.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
    /// A newer version of the object exists, or an object of that name (409).
    #[error("it has changed meanwhile")]
    Conflict,
    /// The object is not acceptable, or the operator may not write it (400, 403, 422).
    #[error("the API server refused it: {message}")]
    Refused {
        /// The API server's own words.
        message: String,
    },
    /// The object, or the kind of object, does not exist (404).
    #[error("the API server does not have it: {message}")]
    NotFound {
        /// The API server's own words.
        message: String,
    },
    /// The API server answered with another error.
    #[error("the API server failed: {message} ({code})")]
    Answered {
        /// The API server's own words.
        message: String,
        /// The HTTP status.
        code: u16,
    },
    /// There was no answer, or none that can be read.
    #[error("the call to the API server failed")]
    Failed(#[source] Box<kube::Error>),
}

impl CallError {
    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the API server does not let the operator do this: a right is missing, and not the object at fault.
    pub fn is_without_right(&self) -> bool {
        matches!(self, Self::Refused { message } if message.contains("is forbidden: User "))
    }

    /// Whether a newer version of the object exists, or an object of that name.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict)
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        let status = match error {
            kube::Error::Api(status) => status,
            error => return Self::Failed(Box::new(error)),
        };
        let (code, message) = (status.code, status.message);
        match code {
            409 => Self::Conflict,
            400 | 403 | 422 => Self::Refused { message },
            404 => Self::NotFound { message },
            code => Self::Answered { message, code },
        }
    }
}

/// Makes a call with the deadline [`CALL`].
pub async fn call<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    call_within(CALL, call).await
}

/// Makes a call with another deadline.
pub async fn call_within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    tokio::time::timeout(limit, call).await.map_err(|_| CallError::Timeout(limit))?.map_err(CallError::from)
}

/// Parameters of a write under the operator's name.
pub fn written_by_operator() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn answered(code: u16) -> CallError {
        CallError::from(kube::Error::Api(Box::new(kube::core::Status::failure("words", "").with_code(code))))
    }

    #[rstest]
    #[case(400, "Refused")]
    #[case(403, "Refused")]
    #[case(404, "NotFound")]
    #[case(409, "Conflict")]
    #[case(422, "Refused")]
    #[case(500, "Answered")]
    fn an_answer_is_classified_by_its_status(#[case] code: u16, #[case] expected: &str) {
        let error = answered(code);
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert_eq!(error.is_not_found(), code == 404);
    }

    #[rstest]
    #[case::rbac(
        "deployments.apps is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"deployments\"",
        true
    )]
    #[case::a_quota("deployments.apps \"p-1\" is forbidden: exceeded quota: small", false)]
    fn a_missing_right_is_told_from_what_an_admission_refuses(#[case] message: &str, #[case] expected: bool) {
        let error = CallError::Refused { message: message.to_owned() };
        assert_eq!(error.is_without_right(), expected);
    }
}
