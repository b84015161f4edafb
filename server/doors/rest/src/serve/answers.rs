//! The answers that are given before any handler, and by none: to heads that are too large, too slow or no HTTP, and to
//! connections that there is no room for. They have the shape of every other error.

use minitower_vocabulary::wire::error::{ErrorBody, ErrorCode, ErrorDetail};

use crate::ApiError;

/// An answer as bytes, after which the connection ends.
pub(super) fn closing(error: &ApiError) -> Vec<u8> {
    let code = error.code();
    let body = ErrorBody {
        error: ErrorDetail { code: code.as_str().to_owned(), message: error.message().to_owned() },
    };
    // Two strings cannot fail to serialise; an empty body is the safe thing if they ever did.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let status = http::StatusCode::from_u16(code.status()).unwrap_or(http::StatusCode::BAD_REQUEST);
    let retry = if matches!(code, ErrorCode::Unavailable | ErrorCode::RateLimited) {
        "retry-after: 1\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{retry}connection: close\r\n\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    );
    [head.into_bytes(), body].concat()
}

/// What is wrong with a head that the HTTP library refused with this answer of its own, which has no body.
pub(super) fn of_refused_head(answer: &[u8], first_line_ended: bool, most: usize) -> ApiError {
    match answer.get(9..12) {
        Some(b"431") if first_line_ended => ApiError::new(
            ErrorCode::HeadTooLarge,
            format!("the request's head is over the limit of {most} bytes, or has too many headers"),
        ),
        Some(b"431" | b"414") => ApiError::new(
            ErrorCode::UriTooLong,
            format!("the request's target is over the limit of {most} bytes"),
        ),
        _ => ApiError::invalid_request("the request is not valid HTTP/1.1"),
    }
}

/// The head did not arrive in time.
pub(super) fn head_too_slow(seconds: u64) -> ApiError {
    ApiError::new(ErrorCode::RequestTimeout, format!("the request's head did not arrive within {seconds} s"))
}

/// There is no room for another connection.
pub(super) fn full() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the server has as many connections as it takes: try again")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("HTTP/1.1 431 Request Header Fields Too Large\r\n", true, "HTTP/1.1 431 ", "head_too_large")]
    #[case("HTTP/1.1 431 Request Header Fields Too Large\r\n", false, "HTTP/1.1 414 ", "uri_too_long")]
    #[case("HTTP/1.1 414 URI Too Long\r\n", true, "HTTP/1.1 414 ", "uri_too_long")]
    #[case("HTTP/1.1 400 Bad Request\r\n", true, "HTTP/1.1 400 ", "invalid_request")]
    fn a_refused_head_is_told_why(
        #[case] bare: &str,
        #[case] line: bool,
        #[case] status: &str,
        #[case] code: &str,
    ) {
        let answer = String::from_utf8(closing(&of_refused_head(bare.as_bytes(), line, 16_384))).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(status) && head.contains("connection: close"), "{answer}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
        assert!(body.starts_with(&format!("{{\"error\":{{\"code\":\"{code}\"")), "{answer}");
    }
}
