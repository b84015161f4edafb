//! Assertions on the shape of JSON answers.

use jiff::Timestamp;
use serde_json::Value;

/// Asserts that an object has all `present` fields, none of them null, and none of the `absent` ones.
#[track_caller]
pub fn fields(value: &Value, present: &[&str], absent: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for field in present {
        let found = object.get(*field).unwrap_or_else(|| panic!("field {field} is missing: {value}"));
        assert!(!found.is_null(), "field {field} is null: {value}");
    }
    for field in absent {
        assert!(!object.contains_key(*field), "field {field} should be absent: {value}");
    }
}

/// The time under a key, which must be RFC 3339 in UTC with exactly three decimals.
#[track_caller]
pub fn time(value: &Value, key: &str) -> Timestamp {
    let text = value[key].as_str().unwrap_or_else(|| panic!("{key} is no time: {value}"));
    assert!(text.ends_with('Z'), "{key} is not in UTC: {text}");
    assert_eq!(
        text.find('.').map(|dot| text.len() - dot),
        Some(".000Z".len()),
        "{key} has not three decimals: {text}"
    );
    text.parse().unwrap_or_else(|error| panic!("{key} is no RFC 3339 time: {text}: {error}"))
}

/// Asserts that a text occurs exactly once in an answer, as scripts that grep for it rely on.
#[track_caller]
pub fn once(body: &str, needle: &str) {
    assert_eq!(body.matches(needle).count(), 1, "{needle} should occur once in {body}");
}

/// The integer under a key.
#[track_caller]
pub fn int(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap_or_else(|| panic!("{key} is no integer: {value}"))
}

/// The text under a key.
#[track_caller]
pub fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text: {value}")).to_owned()
}
