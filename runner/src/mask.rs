//! Keeping passwords out of logs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
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

/// Most secrets that are taken from a project's own files. What is left out is still hidden where it stands in an address.
const MOST_OF_PROJECT: usize = 200;
/// Longest such secret.
const LONGEST_OF_PROJECT: usize = 512;

/// Replaces secrets in text: the user parts of addresses, and what it was told. Cheap to clone; what a line costs does not
/// depend on how many secrets are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    finder: Option<Arc<AhoCorasick>>,
}

impl Mask {
    /// Knows the passwords of the addresses in `texts`, as they stand there and decoded, and `secrets` themselves. All of these
    /// are the operator's.
    pub(crate) fn new<'t>(
        texts: impl IntoIterator<Item = &'t str>,
        secrets: impl IntoIterator<Item = &'t str>,
    ) -> Self {
        Self::with_project([], texts, secrets)
    }

    /// The same, with passwords of a project's `files`, as far as their number is bounded. Comments there reach no installer.
    pub(crate) fn with_project<'t>(
        files: impl IntoIterator<Item = &'t str>,
        texts: impl IntoIterator<Item = &'t str>,
        secrets: impl IntoIterator<Item = &'t str>,
    ) -> Self {
        let mut known: BTreeSet<&str> =
            secrets.into_iter().chain(texts.into_iter().flat_map(passwords)).collect();
        let lines = files.into_iter().flat_map(str::lines).filter(|line| !line.trim_start().starts_with('#'));
        let of_project = lines.flat_map(passwords).filter(|secret| secret.len() <= LONGEST_OF_PROJECT);
        let most = known.len() + MOST_OF_PROJECT;
        for secret in of_project {
            if known.len() == most {
                break;
            }
            known.insert(secret);
        }
        let decoded: Vec<String> = known.iter().map(|secret| percent_decoded(secret)).collect();
        let forms: BTreeSet<&str> = known.into_iter().chain(decoded.iter().map(String::as_str)).collect();
        let forms: Vec<&str> = forms.into_iter().filter(|secret| secret.len() >= SHORTEST).collect();
        if forms.is_empty() {
            return Self::default();
        }
        // The longest counts, so that none leaves the rest of another. Only patterns of some gigabytes are refused.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
        Self { finder: finder.ok().map(Arc::new) }
    }

    /// The text without secrets.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut masked = Cow::Borrowed(text);
        if let Some(finder) = self.finder.as_ref().filter(|finder| finder.is_match(text)) {
            let mut without = String::with_capacity(text.len());
            finder.replace_all_with(text, &mut without, |_, _, into| {
                into.push_str(HIDDEN);
                true
            });
            masked = Cow::Owned(without);
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

/// The passwords of the addresses in a text.
fn passwords(text: &str) -> impl Iterator<Item = &str> {
    let found = text.contains("://").then(|| USER_PART.captures_iter(text));
    found.into_iter().flatten().filter_map(|found| {
        // A user without a password is a token, or harmless: `git@host`.
        let secret = found.get(3).or_else(|| found.get(2).filter(|user| user.as_str() != "git"));
        secret.map(|secret| secret.as_str())
    })
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

    /// How many texts the mask looks for.
    fn known(mask: &Mask) -> usize {
        mask.finder.as_ref().map_or(0, |finder| finder.patterns_len())
    }

    #[test]
    fn a_project_adds_a_bounded_number_of_secrets_and_the_operators_always_count() {
        use std::fmt::Write;

        let (mut comments, mut addresses) = (String::new(), String::new());
        for number in 0..500_000 {
            writeln!(comments, "  # https://u:pw{number:06}@h").unwrap();
        }
        for number in 0..5_000 {
            writeln!(addresses, "a{number} @ https://u:pw{number:06}@h/a.whl").unwrap();
        }
        let operators: Vec<String> = (0..300).map(|number| format!("operator{number:03}")).collect();
        let operators = || operators.iter().map(String::as_str);
        assert_eq!(known(&Mask::with_project([comments.as_str()], [], [])), 0, "comments");
        let mask = Mask::with_project([comments.as_str(), addresses.as_str()], [], operators());
        assert_eq!(known(&mask), 300 + MOST_OF_PROJECT);
        assert_eq!(mask.apply("pw000000 operator000 operator299"), "**** **** ****");
        assert_eq!(
            mask.apply("get https://u:pw004999@h/a.whl"),
            "get https://u:****@h/a.whl",
            "left out, but in an address"
        );
        let endless = format!("a @ https://u:{}@h/a.whl", "x".repeat(LONGEST_OF_PROJECT + 1));
        assert_eq!(known(&Mask::with_project([endless.as_str()], [], [])), 0);
        assert_eq!(known(&Mask::new([endless.as_str()], [])), 1);
    }

    #[test]
    fn an_address_that_was_cut_is_hidden_to_the_end() {
        let line = format!("{} https://user:hun", "x".repeat(MAYBE_CUT));
        assert!(Mask::default().apply(&line).ends_with("https://user:****"));
    }
}
