//! What things may be called.

/// A team's or an app's slug: `^[a-z][a-z0-9-]{2,31}$`, and none of [`RESERVED_SLUGS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slug(String);

/// Slugs nobody may take: they would read like parts of the platform.
pub const RESERVED_SLUGS: [&str; 5] = ["api", "admin", "system", "internal", "default"];

/// Why a name is refused; the message names the value and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Breaks the slug rule.
    #[error("{0:?} is not a valid slug: use 3 to 32 of a-z, 0-9 and '-', beginning with a letter")]
    Slug(String),
    /// A reserved slug.
    #[error("the slug {0:?} is reserved: choose another")]
    ReservedSlug(String),
    /// Breaks the environment rule.
    #[error(
        "{0:?} is not a valid environment name: use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
    )]
    Environment(String),
    /// Breaks the runner rule.
    #[error(
        "{0:?} is not a valid runner name: use 1 to 253 of letters, digits, '.', '_' and '-', beginning with a letter or digit"
    )]
    Runner(String),
}

impl Slug {
    /// Checks and takes a slug.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let shown = || shorten(text);
        let mut bytes = text.bytes();
        let ok = (3..=32).contains(&text.len())
            && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !ok {
            return Err(NameError::Slug(shown()));
        }
        if RESERVED_SLUGS.contains(&text) {
            return Err(NameError::ReservedSlug(shown()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The environment of runs and runners that name none.
pub const DEFAULT_ENVIRONMENT: &str = "default";

/// Checks an environment's name: `^[a-z0-9][a-z0-9._-]{0,62}$`.
pub fn check_environment(text: &str) -> Result<(), NameError> {
    let mut bytes = text.bytes();
    let ok = text.len() <= 63
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
    if ok { Ok(()) } else { Err(NameError::Environment(shorten(text))) }
}

/// Checks a runner's name: a pod's name fits (RFC 1123 subdomain, 253 bytes), upper case and `_` too.
pub fn check_runner(text: &str) -> Result<(), NameError> {
    let mut bytes = text.bytes();
    let ok = text.len() <= 253
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if ok { Ok(()) } else { Err(NameError::Runner(shorten(text))) }
}

/// A refused value as it is shown: a megabyte of nonsense is not echoed.
fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::shortest("abc", true)]
    #[case::digits("a1-", true)]
    #[case::longest("a2345678901234567890123456789012", true)]
    #[case::too_long("a23456789012345678901234567890123", false)]
    #[case::too_short("ab", false)]
    #[case::empty("", false)]
    #[case::digit_first("1ab", false)]
    #[case::dash_first("-ab", false)]
    #[case::upper("Abc", false)]
    #[case::underscore("a_c", false)]
    #[case::unicode("äbc", false)]
    #[case::newline("abc\n", false)]
    #[case::reserved("admin", false)]
    fn slugs(#[case] text: &str, #[case] ok: bool) {
        assert_eq!(Slug::parse(text).is_ok(), ok);
    }

    #[rstest]
    #[case("default", true)]
    #[case("0", true)]
    #[case("gpu.a100_v-2", true)]
    #[case("", false)]
    #[case(".x", false)]
    #[case("GPU", false)]
    #[case("a/b", false)]
    fn environments(#[case] text: &str, #[case] ok: bool) {
        assert_eq!(check_environment(text).is_ok(), ok);
        assert!(check_environment(&"a".repeat(63)).is_ok() && check_environment(&"a".repeat(64)).is_err());
    }

    #[rstest]
    #[case("runner-1", true)]
    #[case("pool-7f9c-x2x", true)]
    #[case("Host.example.com", true)]
    #[case("", false)]
    #[case("../x", false)]
    #[case("a b", false)]
    fn runners(#[case] text: &str, #[case] ok: bool) {
        assert_eq!(check_runner(text).is_ok(), ok);
    }

    #[test]
    fn a_refused_value_is_shown_shortened() {
        let error = Slug::parse(&"x".repeat(1_000_000)).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
}
