//! On which line of a Towerfile a field stands.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How deep the tables of a Towerfile lie: `parameters[0].name`.
const DEPTH: usize = 3;

/// The lines of all fields, by the names that messages give them.
pub(super) struct Lines {
    by_field: HashMap<String, usize>,
}

impl Lines {
    /// Looks where the keys of `document`, which is `text`, stand.
    pub(super) fn new(text: &str, document: &DeTable<'_>) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut by_field = HashMap::new();
        Walk { starts, by_field: &mut by_field }.table("", document, DEPTH);
        Self { by_field }
    }

    /// The line of `field`, counted from 1.
    pub(super) fn of(&self, field: &str) -> Option<usize> {
        self.by_field.get(field).copied()
    }
}

struct Walk<'l> {
    /// Where each line begins.
    starts: Vec<usize>,
    by_field: &'l mut HashMap<String, usize>,
}

impl Walk<'_> {
    fn table(&mut self, place: &str, table: &DeTable<'_>, depth: usize) {
        for (key, value) in table {
            let name = key.get_ref();
            let field = if place.is_empty() { name.to_string() } else { format!("{place}.{name}") };
            self.note(&field, key.span().start);
            self.value(&field, value, depth - 1);
        }
    }

    fn value(&mut self, field: &str, value: &Spanned<DeValue<'_>>, depth: usize) {
        if depth == 0 {
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(field, table, depth),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let DeValue::Table(table) = item.get_ref() {
                        let field = format!("{field}[{index}]");
                        self.note(&field, item.span().start);
                        self.table(&field, table, depth);
                    }
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, field: &str, at: usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        self.by_field.insert(field.to_owned(), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_on_their_lines() {
        let text = "[app]\nname = 'x'\n\n[app.timeout]\nseconds = 1\n[[parameters]]\nname = 'a'\n[[parameters]]\n\
                    name = 'b'\ndefault = 2\n";
        let document = DeTable::parse(text).unwrap();
        let lines = Lines::new(text, document.get_ref());
        for (field, line) in [
            ("app", Some(1)),
            ("app.name", Some(2)),
            ("app.timeout.seconds", Some(5)),
            ("parameters[1].name", Some(9)),
            ("parameters[1].default", Some(10)),
            ("app.script", None),
        ] {
            assert_eq!(lines.of(field), line, "{field}");
        }
    }
}
