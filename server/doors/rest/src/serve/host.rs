//! The `Host` of a request: which server is meant. What stands in front of this one may have read it otherwise, so a
//! request that leaves it open is refused (RFC 9112, section 3.2).

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Version};

use crate::ApiError;

/// Refuses a request that names no host, two, or something that is none.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    let problem = match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        (None, _) => "the request has no Host header",
        (Some(_), Some(_)) => "the request has more than one Host header",
        (Some(host), None) if !is_valid(host) => "the request's Host header is not the name of a host",
        (Some(_), None) => return Ok(()),
    };
    Err(ApiError::invalid_request(problem))
}

/// Whether a value may be a name or an address, with a port or without. An empty one is allowed.
fn is_valid(host: &HeaderValue) -> bool {
    host.as_bytes().iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Version::HTTP_11, &["example.com:8080"], None)]
    #[case(Version::HTTP_11, &["[::1]:8080"], None)]
    #[case(Version::HTTP_11, &[""], None)]
    #[case(Version::HTTP_11, &[], Some("no Host"))]
    #[case(Version::HTTP_10, &[], None)]
    #[case(Version::HTTP_10, &["a"], None)]
    #[case(Version::HTTP_11, &["a", "b"], Some("more than one"))]
    #[case(Version::HTTP_11, &["a", "a"], Some("more than one"))]
    #[case(Version::HTTP_10, &["a", "b"], Some("more than one"))]
    #[case(Version::HTTP_11, &["a b"], Some("not the name"))]
    #[case(Version::HTTP_11, &["a/b"], Some("not the name"))]
    #[case(Version::HTTP_11, &["user@a"], Some("not the name"))]
    fn a_request_names_one_host(
        #[case] version: Version,
        #[case] hosts: &[&'static str],
        #[case] problem: Option<&str>,
    ) {
        let headers = hosts.iter().map(|host| (HOST, HeaderValue::from_static(host)));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        match (check(version, &map), problem) {
            (Ok(()), None) => {}
            (Err(error), Some(problem)) => assert!(error.message().contains(problem), "{error}"),
            (checked, _) => panic!("{hosts:?}: {checked:?}"),
        }
    }
}
