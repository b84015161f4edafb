//! The rule for slugs: the names of apps and teams.

/// Slugs nobody may take: they are, or may become, parts of the platform's own addresses.
pub const RESERVED: [&str; 5] = ["api", "admin", "system", "internal", "default"];

/// Fewest bytes of a slug.
pub const MIN_BYTES: usize = 3;

/// Most bytes of a slug.
pub const MAX_BYTES: usize = 32;

/// Says which rule `slug` breaks, in words that follow "must"; `None` when it is one.
///
/// The rule is `^[a-z][a-z0-9-]{2,31}$` without the [`RESERVED`] words.
pub fn violation(slug: &str) -> Option<&'static str> {
    let mut bytes = slug.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
    let goes_on = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !starts || !goes_on || slug.len() < MIN_BYTES || slug.len() > MAX_BYTES {
        return Some("be 3 to 32 of a-z, 0-9 and -, and begin with a letter");
    }
    RESERVED.contains(&slug).then_some("not be one of the reserved api, admin, system, internal, default")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("abc")]
    #[case("a-1")]
    #[case("a--")]
    #[case("abcdefghijklmnopqrstuvwxyz012345")]
    #[case("defaults")]
    fn slugs(#[case] slug: &str) {
        assert_eq!(violation(slug), None, "{slug}");
    }

    #[rstest]
    #[case("")]
    #[case("ab")]
    #[case("1abc")]
    #[case("-abc")]
    #[case("Abc")]
    #[case("aBc")]
    #[case("a_c")]
    #[case("a.c")]
    #[case("abc\n")]
    #[case("äbc")]
    #[case("abcdefghijklmnopqrstuvwxyz0123456")]
    #[case("api")]
    #[case("admin")]
    #[case("system")]
    #[case("internal")]
    #[case("default")]
    fn not_slugs(#[case] slug: &str) {
        assert!(violation(slug).is_some(), "{slug:?}");
    }
}
