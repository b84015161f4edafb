//! `Authorization: Bearer`.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token of the one `Authorization` header, its scheme `Bearer` in any case.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["Bearer abc"], Some("abc"))]
    #[case(&["bearer abc"], Some("abc"))]
    #[case(&["BEARER   abc "], Some("abc"))]
    #[case(&["Basic abc"], None)]
    #[case(&["Bearer"], None)]
    #[case(&["Bearer "], None)]
    #[case(&["abc"], None)]
    #[case(&[], None)]
    #[case(&["Bearer abc", "Bearer def"], None)]
    fn the_token_follows_the_scheme(#[case] values: &[&str], #[case] expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(token(&headers), expected);
    }
}
