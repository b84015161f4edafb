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

/// The slug nearest to `name`, or `None` where none comes of it or it is one already.
///
/// Letters become small, digits in front are left out, and everything else becomes one `-`.
pub fn nearest(name: &str) -> Option<String> {
    let mut slug = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' => slug.push(c),
            '0'..='9' if !slug.is_empty() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(MAX_BYTES);
    slug.truncate(slug.trim_end_matches('-').len());
    (slug != name && violation(&slug).is_none()).then_some(slug)
}

/// The slug that a name of another platform stands for, where it differs from one only in ways that leave no doubt:
/// capital letters, `_` for `-`, digits in front. `None` for a slug, and for everything else.
pub fn translated(name: &str) -> Option<String> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let slug = nearest(name)?;
    // A name that would be cut could be taken for another that begins alike.
    (plain && name.len() <= MAX_BYTES).then_some(slug)
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

    #[rstest]
    #[case("elt_pipeline", Some("elt-pipeline"), true)]
    #[case("16-sling-data", Some("sling-data"), true)]
    #[case("MyApp", Some("myapp"), true)]
    #[case("2024_Sales_Report", Some("sales-report"), true)]
    #[case("__init__", Some("init"), true)]
    #[case("My App", Some("my-app"), false)]
    #[case("daily.report", Some("daily-report"), false)]
    #[case("a_name_that_is_longer_than_a_slug_may_be", Some("a-name-that-is-longer-than-a-slu"), false)]
    #[case("my-app", None, false)]
    #[case("API", None, false)]
    #[case("42", None, false)]
    #[case("x_1", Some("x-1"), true)]
    #[case("über", Some("ber"), false)]
    #[case("", None, false)]
    fn names_near_a_slug(#[case] name: &str, #[case] near: Option<&str>, #[case] certain: bool) {
        assert_eq!(nearest(name).as_deref(), near, "{name}");
        assert_eq!(translated(name).is_some(), certain, "{name}");
    }
}
