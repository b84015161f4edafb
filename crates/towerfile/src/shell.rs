//! Words that a person can paste into a shell.

use std::borrow::Cow;

/// The word as a POSIX shell reads it: as it is, or in single quotes.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_' | b'.' | b'/' | b'=' | b':' | b'@' | b'%' | b'+' | b',')
    };
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain-1.txt", "plain-1.txt")]
    #[case("/a b/c", "'/a b/c'")]
    #[case("", "''")]
    #[case("it's", r"'it'\''s'")]
    #[case("$HOME;`x`", "'$HOME;`x`'")]
    #[case("~/x", "'~/x'")]
    #[case("ü", "'ü'")]
    fn a_shell_reads_the_word_that_was_meant(#[case] word: &str, #[case] expected: &str) {
        assert_eq!(quoted(word), expected);
        let script = format!("printf %s {}", quoted(word));
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
    }
}
