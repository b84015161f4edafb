//! Keeping secrets out of a log.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::alphabet::{self, Alphabet};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a log instead of a secret.
const MASKED: &str = "[secret]";
/// Shorter texts occur everywhere: a log full of masks would reveal the secret rather than hide it. Four characters are a PIN,
/// which somebody may well pass as a hidden parameter.
const SHORTEST: usize = 4;
/// Characters that URLs carry unchanged (RFC 3986, section 2.3, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Finds secrets in bytes: as they are, in Base64 at any place of a longer text, and encoded for URLs.
#[derive(Debug, Default)]
pub(super) struct Mask {
    secrets: Vec<String>,
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl Mask {
    /// This mask with one more secret. A text that is too short to be a secret is ignored.
    #[must_use]
    pub(super) fn and(&self, secret: &str) -> Self {
        let mut secrets = self.secrets.clone();
        if secret.len() >= SHORTEST {
            secrets.push(secret.to_owned());
        }
        let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let longest = forms.iter().map(String::len).max().unwrap_or(0);
        // Only patterns of some gigabytes are refused.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms).ok();
        Self { secrets, finder: finder.filter(|_| longest > 0), longest }
    }

    /// Bytes of the longest form of a secret.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The bytes without secrets.
    pub(super) fn apply<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        match &self.finder {
            Some(finder) if finder.is_match(bytes) => {
                let masks = vec![MASKED; finder.patterns_len()];
                Cow::Owned(finder.replace_all_bytes(bytes, &masks))
            }
            _ => Cow::Borrowed(bytes),
        }
    }
}

fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), utf8_percent_encode(secret, ENCODED).to_string()];
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        forms.extend((0..3).map(|before| inside_base64(secret, before, alphabet)));
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The characters that a secret has in the Base64 of a longer text, when `before` bytes (modulo 3) stand in front of it:
/// those that depend on the secret alone.
fn inside_base64(secret: &str, before: usize, alphabet: &Alphabet) -> String {
    let bytes = [&vec![0; before], secret.as_bytes()].concat();
    let encoded = GeneralPurpose::new(alphabet, NO_PAD).encode(&bytes);
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded[first..end].to_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn masked(mask: &Mask, text: &str) -> String {
        String::from_utf8(mask.apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_secret_is_masked_as_it_is_and_in_a_url() {
        let mask = Mask::default().and("mta_a/b+c=d").and("another-secret");
        assert_eq!(masked(&mask, "token mta_a/b+c=d, another-secret!"), "token [secret], [secret]!");
        assert_eq!(masked(&mask, "https://h/?t=mta_a%2Fb%2Bc%3Dd&x"), "https://h/?t=[secret]&x");
        assert_eq!(masked(&mask, "nothing of it"), "nothing of it");
    }

    #[test]
    fn what_is_too_short_masks_nothing() {
        assert_eq!(masked(&Mask::default().and("").and("abc"), "abc"), "abc");
    }

    proptest! {
        #[test]
        fn a_secret_is_masked_in_base64_of_any_text(before in "[ -~]{0,9}", after in "[ -~]{0,9}", secret in "[ -~]{12,40}") {
            let mask = Mask::default().and(&secret);
            for encoded in [STANDARD.encode(format!("{before}{secret}{after}")), URL_SAFE.encode(format!("{before}{secret}{after}"))] {
                let shown = masked(&mask, &encoded);
                prop_assert!(shown.contains(MASKED), "{} in {}", secret, shown);
            }
        }
    }
}
