//! A Towerfile as it is kept and shown: without the defaults of its hidden parameters.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Stands for a hidden value.
const MASK: &str = "\"********\"";

/// The same text with another value in the place of each default that nobody is to be shown. A text that is no TOML stays as it is.
pub(crate) fn towerfile(text: &str) -> String {
    let mut masked = text.to_owned();
    let mut spans =
        DeTable::parse(text).map(|document| hidden_defaults(document.get_ref())).unwrap_or_default();
    // From the end, so that the places before stay where they are.
    spans.sort_by_key(|span| std::cmp::Reverse(span.start));
    for span in spans {
        masked.replace_range(span, MASK);
    }
    masked
}

fn hidden_defaults(document: &DeTable<'_>) -> Vec<Range<usize>> {
    let parameters = document.get("parameters").and_then(|parameters| parameters.get_ref().as_array());
    let tables = parameters.into_iter().flatten().filter_map(|parameter| parameter.get_ref().as_table());
    let hidden = tables.filter(|table| {
        matches!(table.get("hidden").map(toml::Spanned::get_ref), Some(DeValue::Boolean(true)))
    });
    hidden.filter_map(|table| table.get("default")).map(toml::Spanned::span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_defaults_of_hidden_parameters_are_replaced() {
        let text = "# größe\n[app]\nname = \"a\"\n\n[[parameters]]\nname = \"key\"\nhidden = true\ndefault = '''hunter2\nhunter2''' # mine\n\n\
             [[parameters]]\nname = \"city\"\ndefault = \"hunter3\"\n\n[[parameters]]\ndefault = 4711\nhidden = true\nname = \"pin\"\n";
        let expected = text.replace("'''hunter2\nhunter2'''", MASK).replace("4711", MASK);
        assert_eq!(towerfile(text), expected);
    }

    #[test]
    fn any_way_of_writing_tables_is_read_and_the_rest_stays() {
        let inline =
            "parameters = [{name = \"a\", hidden = true, default = \"x\"}, {name = \"b\", default = \"x\"}]";
        assert_eq!(towerfile(inline), inline.replacen("\"x\"", MASK, 1));
        for text in ["", "[app", "parameters = 3", "[[parameters]]\nhidden = false\ndefault = 1\n"] {
            assert_eq!(towerfile(text), text);
        }
    }
}
