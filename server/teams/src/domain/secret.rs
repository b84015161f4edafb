//! Secrets: what may be one, and why a run does not get its own.

use minitower_vocabulary::limits::{RUN_SECRET_BYTES, SECRET_BYTES, SECRET_BYTES_LEAST};
use minitower_vocabulary::time::Timestamp;

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name, unique in its environment.
    pub name: String,
    /// When its value was set.
    pub updated_at: Timestamp,
}

/// What is wrong with a value. It is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// It is missing or empty.
    #[error("is missing or empty")]
    Missing,
    /// It cannot be hidden.
    #[error(
        "is shorter than {SECRET_BYTES_LEAST} bytes: so short a value cannot be hidden in logs; if it is no secret, pass it as an \
         input or in [app.env] of the Towerfile"
    )]
    TooShort,
    /// It is too long.
    #[error("is longer than {SECRET_BYTES} bytes: keep large data elsewhere, and here what opens it")]
    TooLong,
    /// It cannot be a variable.
    #[error("holds a NUL character, which no variable can: encode it, for example in Base64")]
    Nul,
}

/// Checks a value.
pub(crate) fn check_value(value: &str) -> Result<(), BadValue> {
    match value.len() {
        0 => Err(BadValue::Missing),
        1..SECRET_BYTES_LEAST => Err(BadValue::TooShort),
        SECRET_BYTES_LEAST..=SECRET_BYTES if value.contains('\0') => Err(BadValue::Nul),
        SECRET_BYTES_LEAST..=SECRET_BYTES => Ok(()),
        _ => Err(BadValue::TooLong),
    }
}

/// Why a run does not get its secrets. No value is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// There is none of that name.
    #[error(
        "the secret {name} that the Towerfile names is not set in the environment {environment}: an admin sets it with \
         `minitower secrets set {name} --environment {environment}`"
    )]
    Missing {
        /// The secret.
        name: String,
        /// The run's environment.
        environment: String,
    },
    /// It was damaged, or put in another's place.
    #[error(
        "the secret {name} of the environment {environment} cannot be decrypted: what the server stored was changed or damaged; an \
         admin sets it again with `minitower secrets set {name} --environment {environment}`"
    )]
    Unreadable {
        /// The secret.
        name: String,
        /// The run's environment.
        environment: String,
    },
    /// All together are too long.
    #[error(
        "the secrets that the Towerfile names have more than {RUN_SECRET_BYTES} bytes together: name fewer of them, or set shorter ones"
    )]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_bounds() {
        let of = |bytes: usize| check_value(&"x".repeat(bytes));
        assert_eq!(of(0), Err(BadValue::Missing));
        assert_eq!(of(SECRET_BYTES_LEAST - 1), Err(BadValue::TooShort));
        assert_eq!(of(SECRET_BYTES_LEAST), Ok(()));
        assert_eq!(of(SECRET_BYTES), Ok(()));
        assert_eq!(of(SECRET_BYTES + 1), Err(BadValue::TooLong));
        assert_eq!(check_value("abc\0def"), Err(BadValue::Nul));
        assert_eq!(check_value("first line\nsecond\tline\n"), Ok(()));
    }
}
