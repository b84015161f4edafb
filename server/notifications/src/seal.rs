//! The one place where secrets of targets become what the database keeps, and back.

use crate::domain::notification::Sealed;

/// What the database keeps of a secret.
pub(crate) fn seal(secret: &str) -> Sealed {
    Sealed(secret.as_bytes().to_vec())
}

/// The secret itself; none: it cannot be read.
pub(crate) fn open(sealed: &Sealed) -> Option<String> {
    String::from_utf8(sealed.0.clone()).ok()
}
