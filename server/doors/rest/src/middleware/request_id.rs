//! The id under which a request is found in the log.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// `X-Request-Id`.
pub(crate) const HEADER: HeaderName =
    HeaderName::from_static(minitower_vocabulary::wire::headers::REQUEST_ID);

/// Longest id taken from a caller, in bytes.
const MAX_LENGTH: usize = 128;

/// The caller's id when it is short and plain enough to be put into a log line, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    headers.get(HEADER).filter(|value| is_sane(value.as_bytes())).cloned().unwrap_or_else(fresh)
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
}

fn fresh() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let id = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", true)]
    #[case("01J8Z-f_00.d:1/2+3=", true)]
    #[case("", false)]
    #[case("a b", false)]
    #[case("\"quoted\"", false)]
    #[case(&"x".repeat(129), false)]
    fn only_short_and_plain_ids_are_taken_over(#[case] id: &str, #[case] taken: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(id).unwrap());
        assert_eq!(of(&headers) == id, taken);
    }
}
