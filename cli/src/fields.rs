//! The API's names in a refusal, under the names that a person has typed.

use minitower_client::Error;

/// The refusal with flags in place of the fields that it names. `flags` has pairs of a field and its flag.
///
/// A field whose name is an ordinary word is taken for one only at the beginning, where a refusal names its field.
pub fn in_flags(error: Error, flags: &[(&str, &str)]) -> Error {
    let Error::Api { status, code, mut message, retry_after } = error else { return error };
    for (field, flag) in flags {
        message = renamed(&message, field, flag);
    }
    Error::Api { status, code, message, retry_after }
}

fn renamed(message: &str, field: &str, flag: &str) -> String {
    let is_word = field.bytes().all(|b| b.is_ascii_lowercase());
    let mut told = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(field) {
        let (before, after) = (&rest[..at], &rest[at + field.len()..]);
        let begins = told.is_empty() && before.is_empty();
        let parted = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
        // A dot may end the sentence.
        let ends = after.is_empty() || after.starts_with(parted) || after.starts_with(". ");
        let stands_alone = ends && (begins || before.ends_with(parted));
        told += before;
        told += if stands_alone && (begins || !is_word) { flag } else { field };
        rest = after;
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("max_retries must be between 0 and 100", "--max-retries must be between 0 and 100")]
    #[case("use max_retries or a retry, not both", "use --max-retries or a retry, not both")]
    #[case("retry.on is empty", "--retry-on is empty")]
    #[case("my_max_retries and max_retries_x", "my_max_retries and max_retries_x")]
    #[case("priority must be at most 5", "--priority must be at most 5")]
    #[case("the priority of others", "the priority of others")]
    #[case("priority_max is 5", "priority_max is 5")]
    fn a_field_is_named_by_its_flag(#[case] message: &str, #[case] told: &str) {
        let flags =
            [("max_retries", "--max-retries"), ("retry.on", "--retry-on"), ("priority", "--priority")];
        let error = |message: &str| Error::Api {
            status: 400,
            code: "invalid_request".to_owned(),
            message: message.to_owned(),
            retry_after: None,
        };
        assert_eq!(in_flags(error(message), &flags).to_string(), error(told).to_string());
    }
}
