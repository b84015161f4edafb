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
    /// Breaks the rule of secrets.
    #[error(
        "{0:?} is not a valid name of a secret: use 1 to 128 of letters, digits and '_', not beginning with a digit"
    )]
    Secret(String),
    /// A name that no secret may have.
    #[error(
        "{0:?} is a variable that the runner sets itself, or that makes programs run other code: give the secret another name"
    )]
    ReservedSecret(String),
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

/// Beginnings of names that no secret may have: as variables they change how any program is loaded, or belong to the runner. Together with
/// [`RESERVED_SECRETS`], these are the names that a Towerfile may not give to a variable either.
pub const RESERVED_SECRET_PREFIXES: [&str; 4] = ["BASH_FUNC_", "LD_", "MINITOWER_", "PYTHON"];

/// Names that no secret may have, for the same reason.
pub const RESERVED_SECRETS: [&str; 13] = [
    "BASHOPTS",
    "BASH_ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "IFS",
    "LOCPATH",
    "PATH",
    "PROMPT_COMMAND",
    "SHELL",
    "SHELLOPTS",
    "TMPDIR",
    "VIRTUAL_ENV",
];

/// Checks a secret's name, which is also that of its variable: `^[A-Za-z_][A-Za-z0-9_]{0,127}$`, and not reserved.
pub fn check_secret(text: &str) -> Result<(), NameError> {
    let mut bytes = text.bytes();
    let ok = text.len() <= 128
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !ok {
        return Err(NameError::Secret(shorten(text)));
    }
    let reserved = RESERVED_SECRETS.contains(&text)
        || RESERVED_SECRET_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    if reserved { Err(NameError::ReservedSecret(shorten(text))) } else { Ok(()) }
}

/// Why a free text is refused, to be read after the name of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It has no bytes, or too many.
    #[error("must have 1 to {most} bytes")]
    Length {
        /// Most bytes.
        most: usize,
    },
    /// It would change how a terminal or a log shows what stands beside it.
    #[error("must not contain control characters")]
    Control,
}

/// Checks a free text of one line: 1 to `most` bytes, without control characters.
pub fn check_line(text: &str, most: usize) -> Result<(), TextError> {
    check_text(text, most, char::is_control)
}

/// Checks a free text of any lines: like [`check_line`], with line breaks and tabs.
pub fn check_lines(text: &str, most: usize) -> Result<(), TextError> {
    check_text(text, most, |c| !is_of_lines(c))
}

/// Whether a character may stand in a text of any lines.
pub fn is_of_lines(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t')
}

fn check_text(text: &str, most: usize, is_bad: impl Fn(char) -> bool) -> Result<(), TextError> {
    if text.is_empty() || text.len() > most {
        return Err(TextError::Length { most });
    }
    if text.chars().any(is_bad) { Err(TextError::Control) } else { Ok(()) }
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

    #[rstest]
    #[case("API_KEY", true)]
    #[case("_a9", true)]
    #[case("path", true)]
    #[case("", false)]
    #[case("9a", false)]
    #[case("a-b", false)]
    #[case("a=b", false)]
    #[case("größe", false)]
    #[case("A\n", false)]
    #[case("PATH", false)]
    #[case("LD_PRELOAD", false)]
    #[case("PYTHONPATH", false)]
    #[case("MINITOWER_API_TOKEN", false)]
    fn secrets(#[case] text: &str, #[case] ok: bool) {
        assert_eq!(check_secret(text).is_ok(), ok);
        assert!(check_secret(&"a".repeat(128)).is_ok() && check_secret(&"a".repeat(129)).is_err());
    }

    #[rstest]
    #[case::plain("größe1", Ok(()), Ok(()))]
    #[case::longest("12345678", Ok(()), Ok(()))]
    #[case::empty("", Err(TextError::Length { most: 8 }), Err(TextError::Length { most: 8 }))]
    #[case::too_long("123456789", Err(TextError::Length { most: 8 }), Err(TextError::Length { most: 8 }))]
    #[case::lines("a\r\n\tb", Err(TextError::Control), Ok(()))]
    #[case::escape("\u{1b}[2J", Err(TextError::Control), Err(TextError::Control))]
    #[case::nothing("a\0", Err(TextError::Control), Err(TextError::Control))]
    #[case::delete("\u{7f}", Err(TextError::Control), Err(TextError::Control))]
    #[case::c1("\u{9b}2J", Err(TextError::Control), Err(TextError::Control))]
    fn texts(#[case] text: &str, #[case] line: Result<(), TextError>, #[case] lines: Result<(), TextError>) {
        assert_eq!((check_line(text, 8), check_lines(text, 8)), (line, lines));
    }

    #[test]
    fn a_refused_value_is_shown_shortened() {
        let error = Slug::parse(&"x".repeat(1_000_000)).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
}
