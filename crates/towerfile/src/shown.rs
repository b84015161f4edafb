//! How text from strangers appears in messages.

use std::fmt;

/// Most characters of a stranger's text in a message.
const MOST_CHARS: usize = 120;

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
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(shown("a\n\u{1b}[31m").to_string(), "\"a\\n\\u{1b}[31m\"");
        assert_eq!(shown(&"é".repeat(500)).to_string(), format!("\"{}…\"", "é".repeat(120)));
    }
}
