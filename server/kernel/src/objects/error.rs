//! What can go wrong with an object.

use std::error::Error as StdError;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

use crate::files;
use crate::places::NoPlace;
use crate::trust;

/// What can go wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The disk of the objects folder is full; nothing was kept.
    #[error("the disk of the objects folder is full")]
    Full(#[source] io::Error),
    /// Too many uploads are under way; nothing was kept.
    #[error("{0}")]
    NoPlace(NoPlace),
    /// The process, or the machine, has as many files open as it may have; nothing was kept.
    #[error("the server has as many files open as it may have")]
    NoFiles(#[source] io::Error),
    /// The file system refused.
    #[error("{doing} failed")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The bucket did not carry it out. That passes, or its operator has to do something about it.
    #[error("{doing} failed: {reason}")]
    Bucket {
        /// What was tried.
        doing: &'static str,
        /// Why it failed, without addresses and secrets.
        reason: String,
    },
    /// The object is longer than it may be.
    #[error("the object is longer than {limit} bytes")]
    TooLong {
        /// Most bytes.
        limit: u64,
    },
    /// No object has this hash.
    #[error("the object {sha256} is missing")]
    Missing {
        /// Its hash.
        sha256: String,
    },
    /// The object is not as long as it was when it was stored.
    #[error("the object {sha256} has {found} bytes instead of {expected}")]
    Damaged {
        /// Its hash.
        sha256: String,
        /// Its bytes now.
        found: u64,
        /// Its bytes when it was stored.
        expected: u64,
    },
}

impl ObjectError {
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(source),
            _ if files::used_up(&source) => Self::NoFiles(source),
            _ => Self::Io { doing, source },
        }
    }

    pub(crate) fn bucket(doing: &'static str) -> impl Fn(object_store::Error) -> Self {
        move |source| Self::Bucket { doing, reason: reason(&source) }
    }
}

/// Longest code of an error that is shown.
const CODE_BYTES: usize = 64;

/// Why a bucket did not carry something out, in words. What it sent is not shown whole: it may repeat the request, and what was signed.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let mut below: Option<&(dyn StdError + 'static)> = Some(error);
    let mut text = String::new();
    while let Some(this) = below {
        if let Some(http) = this.downcast_ref::<HttpError>() {
            return of_transport(http);
        }
        text = this.to_string();
        below = this.source();
    }
    let status = between(&text, "status code: ", &[':', ' ']).filter(|status| status.len() == 3);
    let code =
        between(&text, "<Code>", &['<']).filter(|code| code.bytes().all(|b| b.is_ascii_alphanumeric()));
    let answer = match (status, code) {
        (Some(status), Some(code)) => format!(" ({status} {code})"),
        (Some(status), None) => format!(" ({status})"),
        (None, Some(code)) => format!(" ({code})"),
        (None, None) => String::new(),
    };
    let says = match error {
        object_store::Error::PermissionDenied { .. } => {
            "the object store denies access: check the credentials and their policy"
        }
        object_store::Error::Unauthenticated { .. } => "the object store does not accept the credentials",
        object_store::Error::NotFound { .. } => "the object store has no such bucket or object",
        _ if answer.is_empty() => "the object store or its credentials cannot be used",
        _ => "the object store refused it",
    };
    format!("{says}{answer}")
}

/// Whether a bucket says that it does not exist; what is missing in one that does is told apart.
pub(crate) fn is_no_bucket(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"].iter().any(|code| text.contains(code))
}

fn of_transport(error: &HttpError) -> String {
    if let Some(reason) = trust::of_tls(error) {
        return format!("the object store cannot be reached: {reason}");
    }
    match error.kind() {
        HttpErrorKind::Connect => "the object store cannot be reached".to_owned(),
        HttpErrorKind::Timeout => "the object store does not answer in time".to_owned(),
        _ => "the connection to the object store broke".to_owned(),
    }
}

/// The text behind `start` and before one of `ends`, if it is short.
fn between<'a>(text: &'a str, start: &str, ends: &[char]) -> Option<&'a str> {
    let rest = text.split_once(start)?.1;
    let end = rest.find(ends)?;
    rest.get(..end).filter(|found| !found.is_empty() && found.len() <= CODE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn an_answer_is_told_by_its_status_and_code_alone() {
        let secret = "Server returned non-2xx status code: 507 Insufficient Storage: \
            <Error><Code>QuotaExceeded</Code><StringToSign>s3cret</StringToSign></Error>";
        assert_eq!(reason(&answered(secret)), "the object store refused it (507 QuotaExceeded)");
        let told = reason(&answered("https://h/?sig=s3cret broke"));
        assert_eq!(told, "the object store or its credentials cannot be used");
    }

    #[test]
    fn why_a_bucket_cannot_be_reached_is_told_apart() {
        let of = |kind| {
            let source = Box::new(HttpError::new(kind, io::Error::other("x")));
            reason(&object_store::Error::Generic { store: "S3", source })
        };
        assert!(of(HttpErrorKind::Connect).contains("cannot be reached"));
        assert!(of(HttpErrorKind::Timeout).contains("does not answer in time"));
        assert!(of(HttpErrorKind::Interrupted).contains("broke"));
    }
}
