//! Which pages in a browser may call this server.

use std::str::FromStr;
use std::time::Duration;

use http::header::{
    ACCEPT, ACCEPT_RANGES, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, IF_RANGE, RANGE, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::observe::REQUEST_ID;
use crate::strict::{IDEMPOTENCY_KEY, IGNORED_FIELDS};

/// How long a browser may keep the answer of a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// One allowed origin: `*`, or `scheme://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigin(HeaderValue);

/// The text is not a valid origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a valid origin: write `*`, or scheme and host such as https://tower.example.com, without a path"
)]
pub struct InvalidOrigin(String);

impl FromStr for CorsOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = || InvalidOrigin(text.to_owned());
        if text != "*" {
            let uri: Uri = text.parse().map_err(|_| invalid())?;
            let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
                return Err(invalid());
            };
            // A path, even `/`, never compares equal to what a browser sends.
            if authority.as_str().contains('@')
                || text.len() != text.find("//").map_or(0, |at| at + 2) + authority.as_str().len()
            {
                return Err(invalid());
            }
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| invalid())
    }
}

/// The layer that answers preflight requests and marks answers; none without origins.
pub(crate) fn layer(origins: &[CorsOrigin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin.0 == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().map(|origin| origin.0.clone()))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CONTENT_TYPE,
            IDEMPOTENCY_KEY,
            IF_NONE_MATCH,
            IF_RANGE,
            HeaderName::from_static("last-event-id"),
            RANGE,
            REQUEST_ID,
        ])
        .expose_headers([
            ACCEPT_RANGES,
            CONTENT_DISPOSITION,
            CONTENT_RANGE,
            ETAG,
            IGNORED_FIELDS,
            RETRY_AFTER,
            REQUEST_ID,
        ])
        .max_age(PREFLIGHT_MAX_AGE);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*", true)]
    #[case("https://tower.example.com", true)]
    #[case("http://localhost:5173", true)]
    #[case("http://[::1]:5173", true)]
    #[case("https://tower.example.com/", false)]
    #[case("https://tower.example.com/page", false)]
    #[case("https://user@tower.example.com", false)]
    #[case("tower.example.com", false)]
    #[case("ftp://tower.example.com", false)]
    #[case("", false)]
    fn an_origin_is_scheme_and_host(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<CorsOrigin>().is_ok(), valid);
    }
}
