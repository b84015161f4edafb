//! What is wrong, or odd, about a Towerfile.

use std::fmt;

use super::MAX_BYTES;
use crate::near::shown;

/// What is odd about a Towerfile without making it wrong: an unknown key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line it stands on, counted from 1.
    pub line: Option<usize>,
    /// The key, with the tables it lies in: `app.timeot`.
    pub key: String,
    /// Which key was probably meant, where the key would have a meaning, or which keys the table knows.
    pub help: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}unknown key {} is ignored: {}", at(self.line), shown(&self.key), self.help)
    }
}

/// Why a text is no valid Towerfile. Each message names the line, the field, the rule and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is longer than [`MAX_BYTES`].
    #[error(
        "the Towerfile has {bytes} bytes; at most {MAX_BYTES} are allowed: keep data in files of their own"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It is no TOML.
    #[error("the Towerfile is not valid TOML: line {line}, column {column}: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// A required field is not there.
    #[error("{field} is missing: {help}")]
    Missing {
        /// The field, with the tables it lies in.
        field: &'static str,
        /// What to write.
        help: &'static str,
    },
    /// A field's value breaks a rule.
    #[error("{}{field} = {value} is not allowed: it {rule}", at(*line))]
    Invalid {
        /// The line it stands on, counted from 1.
        line: Option<usize>,
        /// The field, with the tables it lies in.
        field: String,
        /// The value, as it would stand in the file, cut when long.
        value: String,
        /// The rule that it breaks and the way out; begins with "must" or "is".
        rule: String,
    },
    /// It has keys that nothing reads.
    #[error("{}", unknown(keys))]
    Unknown {
        /// Each of them, at least one.
        keys: Vec<Warning>,
    },
}

/// Most unknown keys that one message names.
const MOST_KEYS: usize = 5;

fn unknown(keys: &[Warning]) -> String {
    let named = keys.iter().take(MOST_KEYS);
    let mut said: Vec<_> = named
        .map(|key| format!("{}there is no key {}: {}", at(key.line), shown(&key.key), key.help))
        .collect();
    if keys.len() > MOST_KEYS {
        said.push(format!("and {} more unknown keys", keys.len() - MOST_KEYS));
    }
    said.join("; ")
}

/// `line 3: `, or nothing.
fn at(line: Option<usize>) -> impl fmt::Display {
    fmt::from_fn(move |f| line.map_or(Ok(()), |line| write!(f, "line {line}: ")))
}
