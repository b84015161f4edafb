//! What is wrong, or odd, about a Towerfile.

use std::fmt;

use super::MAX_BYTES;
use crate::near::{self, shown};

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
    /// A required field is not there, but one that was probably meant to be it.
    #[error("{}there is no key {}: {}; {field} is missing", at(key.line), shown(&key.key), key.help)]
    Misspelt {
        /// The field, with the tables it lies in.
        field: &'static str,
        /// The key in its place.
        key: Warning,
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

impl Error {
    /// The same error, or the slip that is behind it: of a required field that is missing, an unknown key that resembles
    /// it.
    pub(super) fn or_slip(self, unknown: &[Warning]) -> Self {
        let Self::Missing { field, .. } = self else { return self };
        let table = |key: &str| key.rsplit_once('.').map_or(String::new(), |(table, _)| without_index(table));
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let wanted: &[&str] = if field == "app.script" { &["script", "module"] } else { &[&last(field)] };
        let slip = unknown.iter().find(|key| {
            table(&key.key) == table(field)
                && near::nearest(&last(&key.key), wanted.iter().copied()).is_some()
        });
        match slip {
            Some(key) => Self::Misspelt { field, key: key.clone() },
            None => self,
        }
    }
}

/// `parameters[1]` is one of `parameters`.
fn without_index(table: &str) -> String {
    table.split('[').next().unwrap_or_default().to_owned()
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
