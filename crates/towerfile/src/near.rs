//! Words of strangers in messages: how they are shown, and what was probably meant.

use std::fmt;

/// Most characters of a stranger's text in a message.
const MOST_CHARS: usize = 120;

/// The candidate that `word` is most likely a slip of, or `None` when it resembles none.
///
/// Case and the difference between `-` and `_` do not count; otherwise about a third of the letters may differ, by
/// the Damerau–Levenshtein distance, and one at least. Of equally near ones the first wins.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    /// Longer words are not names that anybody mistyped, and comparing them takes time.
    const LONGEST: usize = 64;
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let folded = folded(word);
    let near =
        candidates.into_iter().filter(|candidate| candidate.len() <= LONGEST).filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &self::folded(candidate));
            let longer = word.chars().count().max(candidate.chars().count());
            let most = if longer <= 2 { 0 } else { (longer / 3).max(1) };
            (distance <= most).then_some((distance, candidate))
        });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// Quotes `text`, escapes control characters and cuts what is too long, so that a message stays one readable line.
pub(crate) fn shown(text: &str) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        let mut chars = text.chars();
        write!(f, "\"{}", chars.by_ref().take(MOST_CHARS).collect::<String>().escape_debug())?;
        f.write_str(if chars.next().is_some() { "…\"" } else { "\"" })
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const KEYS: [&str; 6] = ["name", "script", "import_paths", "max_retries", "timeout", "i"];

    #[rstest]
    #[case("nmae", Some("name"))]
    #[case("Name", Some("name"))]
    #[case("nam", Some("name"))]
    #[case("scirpt", Some("script"))]
    #[case("timeot", Some("timeout"))]
    #[case("time_out", Some("timeout"))]
    #[case("import-path", Some("import_paths"))]
    #[case("maxRetries", Some("max_retries"))]
    #[case("retries", None)]
    #[case("I", Some("i"))]
    #[case("eq", None)]
    #[case("zip", None)]
    #[case("version", None)]
    #[case("", None)]
    fn slips_are_recognised(#[case] word: &str, #[case] meant: Option<&str>) {
        assert_eq!(nearest(word, KEYS), meant);
    }

    #[test]
    fn long_words_are_nobodys_slip() {
        assert_eq!(nearest(&"name".repeat(100_000), KEYS), None);
    }

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(shown("a\n\u{1b}[31m").to_string(), "\"a\\n\\u{1b}[31m\"");
        assert_eq!(shown(&"é".repeat(500)).to_string(), format!("\"{}…\"", "é".repeat(120)));
    }
}
