//! What can be wrong with a field, in the words that follow its name.

use std::fmt;

use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names::TextError;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// It is missing or empty.
    Missing,
    /// It is a number below the least one.
    Below {
        /// The least.
        least: i64,
    },
    /// It is a number outside its range.
    NotBetween {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
        /// What it says; none: it is not repeated.
        found: Option<i64>,
    },
    /// It is a number of seconds outside its range, and not 0, which stands for ever.
    NeitherForEverNorBetween {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
        /// What it says.
        found: i64,
    },
    /// It is a number outside of what the team's limits allow.
    Beyond {
        /// The limit that decides.
        name: LimitName,
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
        /// What it says.
        found: i64,
    },
    /// It is no whole number of at least 1.
    NotACount {
        /// What it says, shortened.
        found: String,
    },
    /// It is a text that breaks a rule.
    Text(TextError),
    /// It is not 1 to so many visible ASCII characters.
    NotPlain {
        /// Most characters.
        most: usize,
    },
    /// There are too many runs that it is to come after.
    Runs {
        /// How many there are.
        found: usize,
        /// Most runs.
        most: usize,
    },
    /// It names this run twice.
    RunTwice(RunId),
    /// There are too many labels.
    Labels {
        /// How many there are.
        found: usize,
        /// Most labels.
        most: usize,
    },
    /// A label's key breaks a rule.
    LabelKey(TextError),
    /// A label's value breaks a rule.
    LabelValue {
        /// Its key.
        key: String,
        /// The rule.
        problem: TextError,
    },
    /// It is not the cursor of a page before.
    NotACursor,
    /// It and another field exclude each other.
    Excludes {
        /// The other field, and what to do.
        other: &'static str,
    },
    /// A batch has too many lines.
    Lines {
        /// Its lines.
        found: usize,
        /// Most lines.
        most: usize,
    },
    /// A line's number is below 1.
    Seq(i64),
    /// A line is too long.
    Line {
        /// Its number.
        seq: i64,
        /// Its bytes.
        found: usize,
        /// Most bytes.
        most: usize,
    },
    /// It has too many bytes as JSON.
    Json {
        /// Its bytes.
        found: usize,
        /// Most bytes.
        most: usize,
        /// The way out.
        way_out: &'static str,
    },
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing or empty"),
            Self::Below { least } => write!(f, "must be at least {least}"),
            Self::NotBetween { least, most, found: None } => write!(f, "must be between {least} and {most}"),
            Self::NotBetween { least, most, found: Some(found) } => {
                write!(f, "must be between {least} and {most}, not {found}")
            }
            Self::NeitherForEverNorBetween { least, most, found } => {
                write!(f, "must be between {least} and {most}, or 0 for ever, not {found}")
            }
            Self::Beyond { name, least, most, found } => write!(
                f,
                "must be between {least} and {most}, not {found}: that is the team's limit {name}, of which the server's administrator may \
                 allow more"
            ),
            Self::NotACount { found } => write!(f, "is {found:?}: it must be a whole number of at least 1"),
            Self::Text(problem) => problem.fmt(f),
            Self::NotPlain { most } => write!(f, "must be 1 to {most} visible ASCII characters"),
            Self::Runs { found, most } => write!(f, "names {found} runs: at most {most}"),
            Self::RunTwice(run) => write!(f, "names run {run} twice: name each run once"),
            Self::Labels { found, most } => write!(f, "has {found} labels: at most {most}"),
            Self::LabelKey(problem) => write!(f, "has a key that is not valid: a key {problem}"),
            Self::LabelValue { key, problem } => {
                write!(f, "has a value that is not valid under {key:?}: a value {problem}")
            }
            Self::NotACursor => f.write_str("must be the cursor of a page before"),
            Self::Excludes { other } => write!(f, "and {other}"),
            Self::Lines { found, most } => write!(f, "has {found} lines: at most {most} in a batch"),
            Self::Seq(seq) => write!(f, "has a line with seq {seq}: it must be at least 1"),
            Self::Line { seq, found, most } => {
                write!(f, "has line {seq} with {found} bytes: at most {most}")
            }
            Self::Json { found, most, way_out } => {
                write!(f, "has {found} bytes of JSON: at most {most}; {way_out}")
            }
        }
    }
}
