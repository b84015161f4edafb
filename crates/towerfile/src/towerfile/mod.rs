//! The Towerfile: what a project's author says about it.
//!
//! Here are the typed Towerfile and the errors of reading one; `parse` turns text into it. What the fields do is
//! up to the programs that read them.

mod error;
mod lines;
mod name;
mod parameters;
mod parse;
mod table;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use error::{Error, Warning};
pub use name::{name_in, renamed};

/// Most bytes of a Towerfile.
pub const MAX_BYTES: usize = 256 * 1024;

/// Most retries of a run.
pub const MAX_RETRIES: i64 = 1_000_000;

/// Most runs of one key that may be active at the same time.
pub const MAX_CONCURRENCY: i64 = 1_000_000;

/// A valid Towerfile.
#[derive(Debug, Clone, PartialEq)]
pub struct Towerfile {
    /// `app.name`: a slug.
    pub name: String,
    /// `app.script` or `app.module`: what is started.
    pub start: Start,
    /// `app.description`: a sentence for people.
    pub description: Option<String>,
    /// `app.python`: which Pythons may run it, as a PEP 440 specifier such as `>=3.12`.
    pub python: Option<String>,
    /// `app.api`: whether its runs get a token for the API.
    pub api: bool,
    /// `app.env`: further variables of its runs.
    pub env: BTreeMap<String, String>,
    /// `app.secrets.names`: the secrets that its runs get as variables, in the order of the file.
    pub secrets: Vec<String>,
    /// `app.logs.order`: how its output streams become one log.
    pub log_order: LogOrder,
    /// `app.source`: which files belong to the app; see [`crate::source`]. Empty: everything.
    pub source: Vec<String>,
    /// `app.import_paths`: folders put in front of `PYTHONPATH`; normal paths, `.` for the root.
    pub import_paths: Vec<String>,
    /// `app.timeout.seconds`: how long a run may take, at least 1.
    pub timeout_seconds: Option<i64>,
    /// `app.timeout.setup_seconds`: how much of that its setup may take, at least 1.
    pub setup_seconds: Option<i64>,
    /// `app.max_retries`: how often a lost run starts again unless it says otherwise, 0 to [`MAX_RETRIES`].
    pub max_retries: Option<i64>,
    /// `app.concurrency`: how many of its runs may be active at the same time.
    pub concurrency: Option<Concurrency>,
    /// `app.schedule`, as it was written.
    pub schedule: Option<String>,
    /// `[[parameters]]`, in the order of the file.
    pub parameters: Vec<Parameter>,
}

/// What a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A file: a normal path.
    Script(String),
    /// A module of the project, started with `python -m`.
    Module(String),
}

impl Start {
    /// How a module's name begins as a version's `entrypoint`.
    const MODULE: &'static str = "-m ";

    /// The word on the wire: the path, or `-m pkg.cli`.
    pub fn entrypoint(&self) -> String {
        match self {
            Self::Script(path) => path.clone(),
            Self::Module(name) => format!("{}{name}", Self::MODULE),
        }
    }

    /// Reads an `entrypoint`.
    pub fn from_entrypoint(entrypoint: &str) -> Self {
        match entrypoint.strip_prefix(Self::MODULE) {
            Some(name) => Self::Module(name.to_owned()),
            None => Self::Script(entrypoint.to_owned()),
        }
    }
}

/// How many runs may be active at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// What the runs share that count; none: the app's name.
    pub key: Option<String>,
    /// How many at most, 1 to [`MAX_CONCURRENCY`].
    pub max: i64,
}

/// How a job's two output streams become one log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogOrder {
    /// Each line knows its stream; lines that wait at the same time are logged with standard output first.
    #[default]
    Streams,
    /// `exact`: both streams are one pipe, in the order of writing; every line counts as standard output.
    Exact,
}

/// One of `[[parameters]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The key in a run's input; unique.
    pub name: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// What its values are.
    pub kind: ParameterType,
    /// The value of a run that gives none; of the parameter's type.
    pub default: Option<Value>,
    /// Its value is shown to nobody.
    pub hidden: bool,
}

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ParameterType {
    /// Text.
    #[default]
    String,
    /// Any number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
}

impl ParameterType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::String, Self::Number, Self::Integer, Self::Boolean];

    /// The word in a Towerfile and in JSON Schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
        }
    }
}

impl Towerfile {
    /// Parses and checks a Towerfile. Unknown keys are warnings: for files that were accepted before, perhaps by
    /// another version of MiniTower.
    pub fn parse(text: &str) -> Result<(Self, Vec<Warning>), Error> {
        parse::parse(text)
    }

    /// Parses and checks a Towerfile. Unknown keys are errors: for files whose author can still mend them.
    pub fn parse_strict(text: &str) -> Result<Self, Error> {
        match parse::parse(text)? {
            (towerfile, warnings) if warnings.is_empty() => Ok(towerfile),
            (_, keys) => Err(Error::Unknown { keys }),
        }
    }

    /// The JSON Schema of a run's input, or `None` without parameters.
    ///
    /// Other keys are allowed and none is required: a default is filled in, and a job may look for what it likes.
    /// Hidden parameters are `writeOnly`.
    pub fn params_schema(&self) -> Option<Value> {
        if self.parameters.is_empty() {
            return None;
        }
        let properties: Map<_, _> = self
            .parameters
            .iter()
            .map(|parameter| {
                let mut schema = Map::new();
                schema.insert("type".to_owned(), parameter.kind.as_str().into());
                if let Some(description) = &parameter.description {
                    schema.insert("description".to_owned(), description.as_str().into());
                }
                if let Some(default) = &parameter.default {
                    schema.insert("default".to_owned(), default.clone());
                }
                if parameter.hidden {
                    schema.insert("writeOnly".to_owned(), true.into());
                }
                (parameter.name.clone(), Value::Object(schema))
            })
            .collect();
        Some(json!({"type": "object", "properties": properties}))
    }
}
