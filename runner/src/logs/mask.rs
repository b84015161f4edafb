//! Keeping secrets out of a log.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::alphabet::{self, Alphabet};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a log instead of a secret.
const MASKED: &str = "[secret]";
/// Shorter texts occur everywhere: a log full of masks would reveal the secret rather than hide it. Four characters are a PIN,
/// which somebody may well pass as a hidden parameter.
const SHORTEST: usize = 4;
/// All but the characters that URLs carry unchanged (RFC 3986, section 2.3, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What Python's `quote` encodes unless it is told otherwise.
const QUOTED: &AsciiSet = &ENCODED.remove(b'/');
/// What JavaScript's `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &ENCODED.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// Characters per line of what `base64` (GNU) and `openssl base64` print.
const BASE64_LINES: [usize; 2] = [76, 64];
/// Bytes of patterns above which the automaton is one that is small rather than fast.
const LARGE: usize = 16 * 1024;

/// Finds secrets in the bytes of a line: as they are, line by line where they have several; in Base64 at any place of a longer text, or
/// alone in lines; encoded for URLs; as a string of JSON, also inside another; as Python's `repr` shows it; and quoted for a shell.
#[derive(Default)]
pub(super) struct Mask {
    secrets: BTreeSet<String>,
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.secrets.len())
    }
}

impl Mask {
    /// This mask with more secrets. A text that is too short to be a secret is ignored.
    #[must_use]
    pub(super) fn and<'s>(&self, more: impl IntoIterator<Item = &'s str>) -> Self {
        let more = more.into_iter().filter(|secret| secret.len() >= SHORTEST).map(str::to_owned);
        let secrets: BTreeSet<String> = self.secrets.iter().cloned().chain(more).collect();
        let forms: BTreeSet<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let longest = forms.iter().map(String::len).max().unwrap_or(0);
        let bytes = forms.iter().map(String::len).sum::<usize>();
        let kind = (bytes > LARGE).then_some(AhoCorasickKind::ContiguousNFA);
        // Only patterns of some gigabytes are refused.
        let finder =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).kind(kind).build(forms).ok();
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

/// The forms in which a secret may stand in one line, those that are too short left out.
fn forms(secret: &str) -> Vec<String> {
    let mut forms: Vec<String> = secret.lines().map(|line| line.trim().to_owned()).collect();
    if !secret.contains('\n') {
        forms.push(secret.to_owned());
    }
    let in_url = |set| utf8_percent_encode(secret, set).to_string();
    forms.extend([in_url(ENCODED), in_url(QUOTED), in_url(COMPONENT), in_url(ENCODED).replace("%20", "+")]);
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        forms.extend((0..3).map(|before| inside_base64(secret, before, alphabet)));
        let alone = GeneralPurpose::new(alphabet, NO_PAD).encode(secret);
        for length in BASE64_LINES.into_iter().filter(|length| alone.len() > *length) {
            // All of it is ASCII.
            forms.extend(
                alone.as_bytes().chunks(length).map(|line| String::from_utf8_lossy(line).into_owned()),
            );
        }
    }
    let as_json = json(secret);
    // A line of JSON often holds a text that is JSON itself.
    forms.extend([json(&as_json), json(&ascii(&as_json)), ascii(&json(&as_json))]);
    forms.extend([ascii(&as_json), as_json]);
    for shown in [python(secret, false), python(secret, true)] {
        // Which quotes are escaped depends on the whole text that Python shows. Double ones are as in JSON.
        forms.extend([shown.replace('\'', r"\'"), shown]);
    }
    // What `set -x` shows, and Python's `shlex.quote`.
    forms.extend([secret.replace('\'', r"'\''"), secret.replace('\'', r#"'"'"'"#)]);
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// A text as it stands in a string of JSON.
fn json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// What Python's `repr` shows of a text, or of its bytes, with the quotes left as they are.
fn python(secret: &str, bytes: bool) -> String {
    let mut text = String::with_capacity(secret.len());
    let mut utf8 = [0; 4];
    for c in secret.chars() {
        match c {
            '\\' => text.push_str(r"\\"),
            '\n' => text.push_str(r"\n"),
            '\r' => text.push_str(r"\r"),
            '\t' => text.push_str(r"\t"),
            c if c.is_ascii_control() || bytes && !c.is_ascii() => {
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    // A string takes all text.
                    let _ = write!(text, "\\x{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
    text
}

/// A string of JSON as programs write it that write ASCII alone.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                // A string takes all text.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
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
        let mask = Mask::default().and(["mta_a/b+c=d"]).and(["another-secret"]);
        assert_eq!(masked(&mask, "token mta_a/b+c=d, another-secret!"), "token [secret], [secret]!");
        assert_eq!(masked(&mask, "https://h/?t=mta_a%2Fb%2Bc%3Dd&x"), "https://h/?t=[secret]&x");
        assert_eq!(masked(&mask, "nothing of it"), "nothing of it");
    }

    #[test]
    fn what_is_too_short_masks_nothing() {
        assert_eq!(masked(&Mask::default().and(["", "abc"]), "abc"), "abc");
        // Nor are the short lines of a long one.
        assert_eq!(masked(&Mask::default().and(["{\n  \"key\": 1\n}"]), "{ abc }"), "{ abc }");
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_line_by_line_and_as_a_whole() {
        let key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\r\n  q4/b+c=\n-----END KEY-----\n";
        let mask = Mask::default().and([key]);
        for line in key.lines() {
            assert_eq!(masked(&mask, &format!("> {}", line.trim())), "> [secret]");
        }
        let json = serde_json::json!({"key": key}).to_string();
        assert_eq!(masked(&mask, &json), "{\"key\":\"[secret]\"}");
        assert!(!masked(&mask, &utf8_percent_encode(key, ENCODED).to_string()).contains("MIIE"));
        assert!(!masked(&mask, &STANDARD.encode(key)).contains(&STANDARD.encode("KEY-----\nMIIEpAIB")));
    }

    #[test]
    fn a_secret_is_masked_as_programs_write_it() {
        let mask = Mask::default().and(["pass wörd/\"1\"+!"]);
        for shown in [
            // json.dumps of Python, and JSON.stringify.
            "\"pass w\\u00f6rd/\\\"1\\\"+!\"",
            "\"pass wörd/\\\"1\\\"+!\"",
            // quote and quote_plus of Python's urllib.parse, and encodeURIComponent.
            "\"pass%20w%C3%B6rd/%221%22%2B%21\"",
            "\"pass+w%C3%B6rd%2F%221%22%2B%21\"",
            "\"pass%20w%C3%B6rd%2F%221%22%2B!\"",
        ] {
            assert_eq!(masked(&mask, shown), "\"[secret]\"", "{shown}");
        }
    }

    #[test]
    fn a_secret_is_masked_as_python_and_shells_show_it() {
        for (secret, shown, left) in [
            // repr(secret), also of a longer text that has the other quotes.
            (r"pass\word", r"'pass\\word'", "'[secret]'"),
            ("it's-1", r#"'it\'s-1 "x"'"#, r#"'[secret] "x"'"#),
            ("a\tb\u{1}c", r"'a\tb\x01c'", "'[secret]'"),
            // repr(secret.encode())
            ("wörd-1", r"b'w\xc3\xb6rd-1'", "b'[secret]'"),
            // json.dumps(json.dumps(secret)), with ensure_ascii and without, and both in turn.
            ("w\"ör", r#""\"w\\\"\\u00f6r\"""#, r#""\"[secret]\"""#),
            ("w\"ör", r#""\"w\\\"ör\"""#, r#""\"[secret]\"""#),
            ("w\"ör", r#""\"w\\\"\u00f6r\"""#, r#""\"[secret]\"""#),
            // sh -x, and shlex.quote(secret).
            ("it's-1", r"'it'\''s-1'", "'[secret]'"),
            ("it's-1", r#"'it'"'"'s-1'"#, "'[secret]'"),
        ] {
            assert_eq!(masked(&Mask::default().and([secret]), shown), left, "{shown}");
        }
    }

    #[test]
    fn long_base64_is_masked_where_it_is_broken_into_lines() {
        let secret: String =
            (0..400_u32).map(|n| char::from(b'!' + u8::try_from(n * 7 % 90).unwrap())).collect();
        let mask = Mask::default().and([secret.as_str()]);
        for length in BASE64_LINES {
            let encoded = STANDARD.encode(&secret);
            let lines = encoded.trim_end_matches('=').as_bytes().chunks(length);
            for line in lines.map(|line| std::str::from_utf8(line).unwrap()) {
                if line.len() < SHORTEST {
                    continue;
                }
                assert_eq!(masked(&mask, line), "[secret]", "{line}");
            }
        }
    }

    #[test]
    fn all_that_a_run_may_get_is_masked_with_bounded_memory() {
        let secrets: Vec<String> = (0..2_u64)
            .map(|seed| {
                let mut state = seed + 1;
                let letters = (0..32 << 10).map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    char::from(b' ' + u8::try_from((state >> 33) % 95).unwrap())
                });
                letters.collect()
            })
            .collect();
        let mask = Mask::default().and(secrets.iter().map(String::as_str));
        assert_eq!(masked(&mask, &format!("a{}b{}c", secrets[1], secrets[0])), "a[secret]b[secret]c");
        let bytes = mask.finder.as_ref().unwrap().memory_usage();
        assert!(bytes < 64 << 20, "{bytes} bytes");
    }

    #[test]
    fn a_mask_shows_no_secret() {
        assert_eq!(format!("{:?}", Mask::default().and(["hunter2"])), "Mask(1 secrets)");
    }

    proptest! {
        #[test]
        fn a_secret_is_masked_in_base64_of_any_text(before in "[ -~]{0,9}", after in "[ -~]{0,9}", secret in "[ -~]{12,40}") {
            let mask = Mask::default().and([secret.as_str()]);
            for encoded in [STANDARD.encode(format!("{before}{secret}{after}")), URL_SAFE.encode(format!("{before}{secret}{after}"))] {
                let shown = masked(&mask, &encoded);
                prop_assert!(shown.contains(MASKED), "{} in {}", secret, shown);
            }
        }
    }
}
