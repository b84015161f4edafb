//! Typed access to the tables of a Towerfile, with errors that name the field and warnings for what nobody asked for.

use toml::{Table, Value};

use super::{Error, Warning};
use crate::shown::shown;

/// Every key a Towerfile may have, by table. `""` is the top level.
const KNOWN: [(&str, &[&str]); 4] = [
    ("", &["app", "parameters"]),
    ("app", &["name", "script", "source", "import_paths", "timeout", "max_retries", "schedule"]),
    ("app.timeout", &["seconds"]),
    ("parameters", &["name", "description", "type", "default"]),
];

/// One table and its place in the file.
pub(super) struct Reader<'a> {
    table: &'a Table,
    /// Which row of [`KNOWN`] the table is.
    kind: &'static str,
    /// The place in messages: as `kind`, with an index in a list.
    place: String,
}

impl<'a> Reader<'a> {
    /// Looks at `table`, which is of the sort `kind`, and warns of its unknown keys.
    pub(super) fn new(
        table: &'a Table,
        kind: &'static str,
        place: String,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        let reader = Self { table, kind, place };
        let known = reader.known();
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            warnings.push(Warning { key: reader.field(key), help: reader.help_with(key) });
        }
        reader
    }

    fn known(&self) -> &'static [&'static str] {
        KNOWN.iter().find(|(kind, _)| *kind == self.kind).map_or(&[], |(_, keys)| keys)
    }

    fn help_with(&self, key: &str) -> String {
        let elsewhere = KNOWN.iter().find(|(_, keys)| keys.contains(&key)).map(|(kind, _)| *kind);
        match elsewhere {
            Some("") => format!("`{key}` belongs to the top level of the file"),
            Some("parameters") => format!("`{key}` belongs into [[parameters]]"),
            Some(kind) => format!("`{key}` belongs into the table [{kind}]"),
            None if self.kind.is_empty() => "the file's tables are [app] and [[parameters]]".to_owned(),
            None => format!("the keys of {} are {}", self.title(), self.known().join(", ")),
        }
    }

    fn title(&self) -> String {
        if self.kind == "parameters" { "[[parameters]]".to_owned() } else { format!("[{}]", self.kind) }
    }

    /// The full name of `key` for messages.
    pub(super) fn field(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// The error of a value that breaks `rule`.
    pub(super) fn invalid(&self, key: &str, value: &Value, rule: impl Into<String>) -> Error {
        Error::Invalid { field: self.field(key), value: written(value), rule: rule.into() }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.table.get(key)
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.get(key)
            .map(|value| {
                value.as_str().ok_or_else(|| self.invalid(key, value, "must be a string: put it in quotes"))
            })
            .transpose()
    }

    /// A whole number of at least `least`.
    pub(super) fn integer(&self, key: &str, least: i64) -> Result<Option<i64>, Error> {
        self.get(key)
            .map(|value| {
                value.as_integer().filter(|number| *number >= least).ok_or_else(|| {
                    self.invalid(key, value, format!("must be a whole number of at least {least}"))
                })
            })
            .transpose()
    }

    /// A list of strings, at most `most` of them.
    pub(super) fn strings(&self, key: &str, most: usize) -> Result<Option<Vec<&'a str>>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value
            .as_array()
            .ok_or_else(|| self.invalid(key, value, format!("must be a list of strings: {key} = [\"…\"]")))?;
        if list.len() > most {
            return Err(self.invalid(key, value, format!("must have at most {most} items")));
        }
        list.iter()
            .map(|item| {
                item.as_str()
                    .ok_or_else(|| self.invalid(key, item, "must hold only strings: put each in quotes"))
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    pub(super) fn table(&self, key: &str, example: &str) -> Result<Option<&'a Table>, Error> {
        self.get(key)
            .map(|value| {
                value
                    .as_table()
                    .ok_or_else(|| self.invalid(key, value, format!("must be a table: {example}")))
            })
            .transpose()
    }
}

/// A value as it would stand in the file; tables and lists only in outline.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text).to_string(),
        Value::Array(list) => format!("a list of {} items", list.len()),
        Value::Table(_) => "a table".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(moment) => moment.to_string(),
    }
}
