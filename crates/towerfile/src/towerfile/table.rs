//! Typed access to the tables of a Towerfile, with errors that name the field and warnings for what nobody asked for.

use std::ops::RangeInclusive;

use toml::{Table, Value};

use super::lines::Lines;
use super::{Error, Warning};
use crate::near::nearest;
use crate::near::shown;

/// Every key a Towerfile may have, by table. `""` is the top level. Where a key has a meaning in several tables, the
/// first is the likeliest.
const KNOWN: [(&str, &[&str]); 7] = [
    ("", &["app", "parameters"]),
    (
        "app",
        &[
            "name",
            "script",
            "module",
            "description",
            "source",
            "import_paths",
            "python",
            "timeout",
            "max_retries",
            "env",
            "secrets",
            "api",
            "logs",
            "concurrency",
            "schedule",
        ],
    ),
    ("app.timeout", &["seconds", "setup_seconds"]),
    ("app.logs", &["order"]),
    ("app.concurrency", &["key", "max"]),
    ("app.secrets", &["names"]),
    ("parameters", &["name", "description", "type", "default", "hidden"]),
];

/// One table and its place in the file.
pub(super) struct Reader<'a> {
    table: &'a Table,
    /// Which row of [`KNOWN`] the table is.
    kind: &'static str,
    /// The place in messages: as `kind`, with an index in a list.
    place: String,
    lines: &'a Lines,
}

impl<'a> Reader<'a> {
    /// Looks at the whole document and warns of its unknown keys.
    pub(super) fn root(document: &'a Table, lines: &'a Lines, warnings: &mut Vec<Warning>) -> Self {
        Self { table: document, kind: "", place: String::new(), lines }.checked(warnings)
    }

    /// Looks at `table`, which is of the sort `kind`, and warns of its unknown keys.
    pub(super) fn inner(
        &self,
        table: &'a Table,
        kind: &'static str,
        place: String,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        Self { table, kind, place, lines: self.lines }.checked(warnings)
    }

    fn checked(self, warnings: &mut Vec<Warning>) -> Self {
        let known = self.known();
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            let field = self.field(key);
            warnings.push(Warning { line: self.lines.of(&field), help: self.help_with(key), key: field });
        }
        self
    }

    fn known(&self) -> &'static [&'static str] {
        KNOWN.iter().find(|(kind, _)| *kind == self.kind).map_or(&[], |(_, keys)| keys)
    }

    fn help_with(&self, key: &str) -> String {
        let elsewhere = KNOWN.iter().find(|(_, keys)| keys.contains(&key)).map(|(kind, _)| *kind);
        match elsewhere {
            Some("") => return format!("`{key}` belongs to the top level of the file"),
            Some("parameters") => return format!("`{key}` belongs into [[parameters]]"),
            Some(kind) => return format!("`{key}` belongs in the table [{kind}]"),
            None => {}
        }
        if let Some(meant) = nearest(key, self.known().iter().copied()) {
            return format!("did you mean `{meant}`?");
        }
        let all = KNOWN.iter().flat_map(|(kind, keys)| keys.iter().map(move |key| (*kind, *key)));
        if let Some(meant) = nearest(key, all.clone().map(|(_, key)| key)) {
            let kind = all.clone().find(|(_, key)| *key == meant).map_or("", |(kind, _)| kind);
            return format!("did you mean `{meant}` in {}?", title(kind));
        }
        match self.kind {
            "" => "the file's tables are [app] and [[parameters]]".to_owned(),
            kind => format!("the keys of {} are {}", title(kind), self.known().join(", ")),
        }
    }

    /// The full name of `key` for messages.
    pub(super) fn field(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// The error of a value that breaks `rule`.
    pub(super) fn invalid(&self, key: &str, value: &Value, rule: impl Into<String>) -> Error {
        let field = self.field(key);
        Error::Invalid { line: self.lines.of(&field), field, value: written(value), rule: rule.into() }
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

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, Error> {
        self.get(key)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| self.invalid(key, value, "must be true or false, without quotes"))
            })
            .transpose()
    }

    /// A whole number of at least `least`.
    pub(super) fn integer(&self, key: &str, least: i64) -> Result<Option<i64>, Error> {
        let rule = || format!("must be a whole number of at least {least}");
        self.integer_in(key, least..=i64::MAX, rule)
    }

    pub(super) fn integer_up_to(&self, key: &str, most: i64) -> Result<Option<i64>, Error> {
        self.integer_in(key, 0..=most, || format!("must be a whole number from 0 to {most}"))
    }

    /// A whole number from 1 on that fits.
    pub(super) fn count_up_to(&self, key: &str, most: i64) -> Result<Option<i64>, Error> {
        self.integer_in(key, 1..=most, || format!("must be a whole number from 1 to {most}"))
    }

    fn integer_in(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        rule: impl FnOnce() -> String,
    ) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_integer().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.invalid(key, value, rule())),
        }
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

    /// A table of strings whose keys are the author's own.
    pub(super) fn own_strings(&self, key: &str, example: &str) -> Result<Vec<(&'a str, &'a str)>, Error> {
        let Some(table) = self.table(key, example)? else { return Ok(Vec::new()) };
        table
            .iter()
            .map(|(name, value)| match value.as_str() {
                Some(text) => Ok((name.as_str(), text)),
                None => {
                    Err(self.invalid(&format!("{key}.{name}"), value, "must be a string: put it in quotes"))
                }
            })
            .collect()
    }
}

fn title(kind: &str) -> String {
    match kind {
        "" => "the top level".to_owned(),
        "parameters" => "[[parameters]]".to_owned(),
        kind => format!("[{kind}]"),
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
