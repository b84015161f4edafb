//! Fields of an answer's JSON, found without parsing it: the server writes compact JSON, in which each of these appears once.

/// What follows `"name":`.
fn value<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let name = name.as_bytes();
    let mut rest = body;
    loop {
        let quote = rest.iter().position(|byte| *byte == b'"')?;
        rest = &rest[quote + 1..];
        if let Some(value) = rest.strip_prefix(name).and_then(|after| after.strip_prefix(b"\":")) {
            return Some(value);
        }
    }
}

/// The digits of a number.
pub fn digits<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = value(body, name)?;
    let end = value.iter().position(|byte| !byte.is_ascii_digit())?;
    (end > 0).then(|| &value[..end])
}

/// A number.
pub fn number(body: &[u8], name: &str) -> Option<u64> {
    std::str::from_utf8(digits(body, name)?).ok()?.parse().ok()
}

/// A text without escapes.
pub fn text<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = value(body, name)?.strip_prefix(b"\"")?;
    let end = value.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    (value[end] == b'"').then(|| &value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"run_id":42,"run_no":7,"status":"queued","note":"a\"b","last":9}"#;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        assert_eq!(number(BODY, "run_id"), Some(42));
        assert_eq!(number(BODY, "run"), None);
        assert_eq!(number(BODY, "last"), Some(9));
        assert_eq!(text(BODY, "status"), Some(b"queued".as_slice()));
    }

    #[test]
    fn what_is_not_there_or_of_another_kind_is_not_found() {
        assert_eq!(number(BODY, "missing"), None);
        assert_eq!(number(BODY, "status"), None);
        assert_eq!(text(BODY, "run_id"), None);
        assert_eq!(text(BODY, "note"), None, "escapes are not understood");
    }
}
