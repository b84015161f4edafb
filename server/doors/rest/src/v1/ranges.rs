//! Parts of a content: `Range` and `If-Range` (RFC 9110, section 14).

use std::ops::Range;

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

use crate::ApiError;

/// What a caller asks for of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it.
    Whole,
    /// These bytes of it.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Beyond,
}

/// What the headers ask for of a content of so many bytes, whose strong entity tag is `etag`. Several ranges at once are answered with the whole
/// content, as are other units than bytes, and a range of another content than this.
pub(crate) fn asked(headers: &HeaderMap, etag: &HeaderValue, bytes: u64) -> Result<Asked, ApiError> {
    let mut ranges = headers.get_all(RANGE).iter();
    let Some(range) = ranges.next() else { return Ok(Asked::Whole) };
    if ranges.next().is_some() {
        return Err(ApiError::invalid_request("the header Range is given more than once"));
    }
    // A date is none of this content's, and a weak tag says too little.
    if headers.get(IF_RANGE).is_some_and(|known| known != etag) {
        return Ok(Asked::Whole);
    }
    let text = range.to_str().unwrap_or_default();
    let wrong = || {
        ApiError::invalid_request(
            "the header Range is not valid: write it as bytes=FIRST-LAST, bytes=FIRST- or bytes=-LENGTH",
        )
    };
    let (unit, set) = text.split_once('=').ok_or_else(wrong)?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ok(Asked::Whole);
    }
    let mut parts = set.split(',').map(str::trim).filter(|part| !part.is_empty());
    let part = parts.next().ok_or_else(wrong)?;
    let first = one(part, bytes).ok_or_else(wrong)?;
    let mut several = false;
    for other in parts {
        one(other, bytes).ok_or_else(wrong)?;
        several = true;
    }
    Ok(if several { Asked::Whole } else { first })
}

/// One range; none: it is not valid.
fn one(part: &str, bytes: u64) -> Option<Asked> {
    let (first, last) = part.split_once('-')?;
    let part = match (first.trim(), last.trim()) {
        ("", length) => bytes.saturating_sub(number(length)?)..bytes,
        (first, "") => number(first)?..bytes,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..bytes.min(last.saturating_add(1))
        }
    };
    Some(if part.is_empty() { Asked::Beyond } else { Asked::Part(part) })
}

/// A number of digits alone. One that is too large for the machine is beyond every content.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ETAG: &str = "\"abc\"";

    fn ask(range: &'static str, if_range: Option<&'static str>, bytes: u64) -> Result<Asked, ApiError> {
        let mut headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
        if let Some(known) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_static(known));
        }
        asked(&headers, &HeaderValue::from_static(ETAG), bytes)
    }

    #[rstest]
    #[case("bytes=0-0", 0..1)]
    #[case("bytes=2-4", 2..5)]
    #[case("bytes=2-", 2..10)]
    #[case("bytes=9-9", 9..10)]
    #[case("bytes=5-99999999999999999999999", 5..10)]
    #[case("bytes=-3", 7..10)]
    #[case("bytes=-30", 0..10)]
    #[case("Bytes = 2 - 4", 2..5)]
    #[case("bytes=,2-4,", 2..5)]
    fn a_part(#[case] range: &'static str, #[case] part: Range<u64>) {
        assert_eq!(ask(range, None, 10), Ok(Asked::Part(part.clone())));
        assert_eq!(ask(range, Some(ETAG), 10), Ok(Asked::Part(part)));
        for other in ["\"abd\"", "W/\"abc\"", "abc", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(ask(range, Some(other), 10), Ok(Asked::Whole), "{other}");
        }
    }

    #[rstest]
    #[case("bytes=10-", 10)]
    #[case("bytes=10-20", 10)]
    #[case("bytes=99999999999999999999999-", 10)]
    #[case("bytes=-0", 10)]
    #[case("bytes=0-", 0)]
    #[case("bytes=-1", 0)]
    fn beyond_its_end(#[case] range: &'static str, #[case] bytes: u64) {
        assert_eq!(ask(range, None, bytes), Ok(Asked::Beyond));
    }

    #[rstest]
    #[case("bytes=0-1,3-4")]
    #[case("bytes=0-1,99-")]
    #[case("lines=0-1")]
    fn all_of_it(#[case] range: &'static str) {
        assert_eq!(ask(range, None, 10), Ok(Asked::Whole));
    }

    #[rstest]
    #[case("bytes")]
    #[case("bytes=")]
    #[case("bytes=-")]
    #[case("bytes=a-b")]
    #[case("bytes=4-2")]
    #[case("bytes=+1-2")]
    #[case("bytes=1-2-3")]
    #[case("bytes=0-1,x")]
    #[case("0-1")]
    fn nonsense_is_refused_by_name(#[case] range: &'static str) {
        assert!(ask(range, None, 10).unwrap_err().message().contains("Range"));
    }
}
