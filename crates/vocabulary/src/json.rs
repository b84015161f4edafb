//! What is wrong with a text that should be JSON, in words for people.

use serde_json::error::Category;

/// Why a text is not JSON, or not what it should hold.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub struct NotJson {
    said: String,
}

impl From<serde_json::Error> for NotJson {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let place = if line <= 1 {
            format!("character {column}")
        } else {
            format!("line {line}, character {column}")
        };
        let said = match error.classify() {
            Category::Eof if column == 0 => "it is empty".to_owned(),
            Category::Eof => "it ends too early: a quote, a bracket or a value is missing".to_owned(),
            Category::Syntax => format!("{place} {}", wrong(&error.to_string())),
            // The parser's own words speak of a program's types.
            Category::Data => format!("what ends at {place} is not what should stand there"),
            Category::Io => error.to_string(),
        };
        Self { said }
    }
}

/// What is wrong at a place, from the parser's words.
fn wrong(said: &str) -> &'static str {
    let knows = |words: &str| said.starts_with(words);
    if knows("key must be a string") {
        "should begin a name in double quotes"
    } else if knows("trailing comma") {
        "follows a comma too many"
    } else if knows("trailing characters") {
        "is behind the end of the value"
    } else if knows("expected `:`") {
        "should be a colon"
    } else if knows("expected `,`") {
        "should be a comma or a closing bracket"
    } else if knows("control character") {
        "is a line break or another control character inside a text; write it as \\n or \\u001b"
    } else if knows("number out of range") {
        "ends a number that is too large"
    } else if knows("invalid number") {
        "should be a digit of a number"
    } else if knows("recursion limit") {
        "is nested too deeply"
    } else if knows("invalid escape") || knows("lone leading surrogate") || knows("unexpected end of hex") {
        "is no valid escape; write a backslash as \\\\"
    } else {
        "should begin a value: an object, a list, a text in double quotes, a number, true, false or null"
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    #[rstest]
    #[case("", "it is empty")]
    #[case("{\"a\":", "it ends too early")]
    #[case("{\"a\":\"x", "it ends too early")]
    #[case("{a:1}", "character 2 should begin a name in double quotes")]
    #[case("{'a':1}", "character 2 should begin a name in double quotes")]
    #[case("{\"a\":1,}", "character 8 follows a comma too many")]
    #[case("{\"a\" 1}", "character 6 should be a colon")]
    #[case("{\"a\":1 \"b\":2}", "character 8 should be a comma or a closing bracket")]
    #[case("{} {}", "character 4 is behind the end of the value")]
    #[case("{\n\"a\": x}", "line 2, character 6 should begin a value")]
    #[case("{\"a\":\"b\nc\"}", "is a line break or another control character")]
    #[case("{\"a\":\"C:\\x\"}", "write a backslash as \\\\")]
    #[case("[1e999]", "ends a number that is too large")]
    #[case("[1.x]", "character 4 should be a digit of a number")]
    fn a_mistake_is_told_by_its_place_and_without_the_parsers_words(#[case] text: &str, #[case] said: &str) {
        let told = NotJson::from(serde_json::from_str::<Value>(text).unwrap_err()).to_string();
        assert!(told.contains(said), "{text}: {told}");
    }

    #[test]
    fn a_value_of_another_kind_is_told_by_its_place_and_without_the_parsers_words() {
        let error = serde_json::from_str::<Vec<u8>>("[1,\n\"a\"]").unwrap_err();
        let told = NotJson::from(error).to_string();
        assert_eq!(told, "what ends at line 2, character 3 is not what should stand there");
    }
}
