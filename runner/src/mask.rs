//! Keeping passwords out of logs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use regex::Regex;

/// What stands in place of a secret.
const HIDDEN: &str = "****";
/// Shorter ones would blank out ordinary words.
const SHORTEST: usize = 4;
/// A line of this length may have been cut in the middle of an address.
const MAYBE_CUT: usize = 8000;

/// The user part of an address: `https://user:password@host`.
#[expect(clippy::expect_used, reason = "a constant, read by the tests")]
static USER_PART: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#@:'"<>]*)(?::([^\s/?#'"<>]*))?@"#)
        .expect("a valid pattern")
});
/// The same without its end.
#[expect(clippy::expect_used, reason = "a constant, read by the tests")]
static CUT_USER_PART: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(://[^\s/?#@:'"<>]*:)[^\s/?#@'"<>]*$"#).expect("a valid pattern"));

/// Replaces secrets in text: the user parts of addresses, and what it was told. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    /// Longest first, so that none leaves the rest of another.
    secrets: Arc<Vec<String>>,
}

impl Mask {
    /// Knows the passwords of the addresses in `texts`, as they stand there and decoded, and `secrets` themselves.
    pub(crate) fn new<'t>(
        texts: impl IntoIterator<Item = &'t str>,
        secrets: impl IntoIterator<Item = &'t str>,
    ) -> Self {
        let mut known: BTreeSet<String> = secrets.into_iter().map(str::to_owned).collect();
        for text in texts {
            for found in USER_PART.captures_iter(text) {
                // A user without a password is a token, or harmless: `git@host`.
                let secret = found.get(3).or_else(|| found.get(2).filter(|user| user.as_str() != "git"));
                known.extend(secret.map(|secret| secret.as_str().to_owned()));
            }
        }
        let decoded: Vec<String> = known.iter().map(|secret| percent_decoded(secret)).collect();
        known.extend(decoded);
        let mut secrets: Vec<_> = known.into_iter().filter(|secret| secret.len() >= SHORTEST).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets: Arc::new(secrets) }
    }

    /// The text without secrets.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut masked = Cow::Borrowed(text);
        for secret in self.secrets.iter().filter(|secret| text.contains(secret.as_str())) {
            masked = Cow::Owned(masked.replace(secret.as_str(), HIDDEN));
        }
        if masked.contains("://") {
            let without = USER_PART.replace_all(&masked, |found: &regex::Captures<'_>| {
                let (scheme, user) = (&found[1], &found[2]);
                match found.get(3) {
                    Some(_) => format!("{scheme}{user}:{HIDDEN}@"),
                    None if user == "git" => found[0].to_owned(),
                    None => format!("{scheme}{HIDDEN}@"),
                }
            });
            masked = Cow::Owned(without.into_owned());
            if text.len() >= MAYBE_CUT {
                masked = Cow::Owned(CUT_USER_PART.replace(&masked, format!("${{1}}{HIDDEN}")).into_owned());
            }
        }
        masked.into_owned()
    }
}

/// `%40` is `@`.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "Looking in indexes: https://u:s3cret@host/simple",
        "Looking in indexes: https://u:****@host/simple"
    )]
    #[case("https://tok3n@host/x and http://a:b@h", "https://****@host/x and http://a:****@h")]
    #[case("git+https://u:p%40ss@host/a.git", "git+https://u:****@host/a.git")]
    #[case("https://u:p@ss@host/", "https://u:****@host/")]
    #[case("git+ssh://git@host/a.git", "git+ssh://git@host/a.git")]
    #[case("https://:s3cret@host/", "https://:****@host/")]
    #[case("https://host/a@b", "https://host/a@b")]
    #[case("https://host:8080/x", "https://host:8080/x")]
    #[case("mail me@host", "mail me@host")]
    fn addresses_lose_their_passwords(#[case] line: &str, #[case] expected: &str) {
        assert_eq!(Mask::default().apply(line), expected);
    }

    #[test]
    fn known_passwords_are_hidden_wherever_and_however_they_stand() {
        let mask = Mask::new(["-i https://u:p%40ssw%C3%B6rd@h/\n"], ["to-ken", "ab"]);
        assert_eq!(mask.apply("401 for p%40ssw%C3%B6rd, p@sswörd, to-ken"), "401 for ****, ****, ****");
        assert_eq!(mask.apply("about"), "about", "too short to be hidden");
    }

    #[test]
    fn the_longer_secret_goes_first() {
        assert_eq!(Mask::new([], ["pass", "password"]).apply("password pass"), "**** ****");
    }

    #[test]
    fn an_address_that_was_cut_is_hidden_to_the_end() {
        let line = format!("{} https://user:hun", "x".repeat(MAYBE_CUT));
        assert!(Mask::default().apply(&line).ends_with("https://user:****"));
    }
}
