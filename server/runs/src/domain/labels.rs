//! Labels of runs: what whoever starts them calls them, to find them again.

use std::collections::BTreeMap;

/// Most labels of a run.
pub const MOST: usize = 32;
/// Most bytes of a key.
pub const KEY_BYTES: usize = 63;
/// Most bytes of a value.
pub const VALUE_BYTES: usize = 253;

/// Labels that a run may have. Each key stands for one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

/// Why a run may not have such labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLabel {
    /// There are too many.
    #[error("labels has {found} labels: at most {MOST}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A key breaks the rule.
    #[error(
        "labels has the key {key:?}, which is not valid: 1 to {KEY_BYTES} letters, digits, `.`, `_`, `-` and `/` are allowed, \
         and it begins with a letter or a digit"
    )]
    Key {
        /// How it begins.
        key: String,
    },
    /// A value breaks the rule.
    #[error(
        "labels has a value that is not valid under {key:?}: at most {VALUE_BYTES} bytes without control characters"
    )]
    Value {
        /// Its key.
        key: String,
    },
    /// A filter does not have the form.
    #[error("label must have the form key=value")]
    Form,
}

impl Labels {
    /// Checks labels.
    pub fn parse(labels: BTreeMap<String, String>) -> Result<Self, BadLabel> {
        if labels.len() > MOST {
            return Err(BadLabel::TooMany { found: labels.len() });
        }
        labels.iter().try_for_each(|(key, value)| check(key, value))?;
        Ok(Self(labels))
    }

    /// The labels, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One label that runs are looked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Label {
    /// Reads `key=value`. The value may contain `=`.
    pub fn parse(text: &str) -> Result<Self, BadLabel> {
        let (key, value) = text.split_once('=').ok_or(BadLabel::Form)?;
        check(key, value)?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

fn check(key: &str, value: &str) -> Result<(), BadLabel> {
    let good = key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && key.len() <= KEY_BYTES
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    if !good {
        return Err(BadLabel::Key { key: key.chars().take(KEY_BYTES).collect() });
    }
    if value.len() > VALUE_BYTES || value.chars().any(char::is_control) {
        return Err(BadLabel::Value { key: key.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("team=blue", Some(("team", "blue")))]
    #[case("example.com/a-b_c=x=y", Some(("example.com/a-b_c", "x=y")))]
    #[case("empty=", Some(("empty", "")))]
    #[case("größe=1", None)]
    #[case("=blue", None)]
    #[case("-team=blue", None)]
    #[case("team", None)]
    #[case("team=a\nb", None)]
    #[case(&format!("{}=a", "k".repeat(64)), None)]
    #[case(&format!("k={}", "v".repeat(254)), None)]
    fn a_label_is_a_plain_key_and_a_short_value(#[case] text: &str, #[case] label: Option<(&str, &str)>) {
        let parsed = Label::parse(text).ok();
        assert_eq!(parsed.as_ref().map(|label| (label.key.as_str(), label.value.as_str())), label);
    }

    #[test]
    fn a_refusal_quotes_the_key_and_of_a_long_one_the_beginning() {
        let refused =
            |key: &str| Labels::parse([(key.to_owned(), String::new())].into()).unwrap_err().to_string();
        assert!(refused("größe").contains(r#"the key "größe", which"#), "{}", refused("größe"));
        let long = refused(&"ü".repeat(500));
        assert!(long.contains(&format!("{:?}", "ü".repeat(KEY_BYTES))), "{long}");
    }

    #[test]
    fn a_run_has_so_many_labels_and_no_more() {
        let labels = |n: usize| Labels::parse((0..n).map(|n| (format!("k{n}"), String::new())).collect());
        assert!(labels(MOST).is_ok());
        assert_eq!(labels(MOST + 1), Err(BadLabel::TooMany { found: MOST + 1 }));
    }
}
