//! What others wrote, made safe for a terminal: whatever would control it is shown instead, such as `\\x1b[2J`. In logs,
//! colours stay.

use std::borrow::Cow;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

const ESCAPE: char = '\u{1b}';
/// The same as `ESC [` in one character (ECMA-48, "C1").
const CONTROL_SEQUENCE: char = '\u{9b}';
/// Most parameter characters of a colour; a longer sequence is not taken for one.
const MOST_PARAMETERS: usize = 64;

/// Whether a character controls a terminal, or turns text around so that another text is read
/// (<https://www.unicode.org/reports/tr9/>).
fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A character that controls, as text.
fn show(c: char, shown: &mut String) {
    let code = u32::from(c);
    // Writing to a string cannot fail.
    let _ = if code <= 0xff { write!(shown, "\\x{code:02x}") } else { write!(shown, "\\u{{{code:x}}}") };
}

/// Text for one line: what controls is shown, and line breaks and tabs are spaces.
pub fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' => shown.push(' '),
            c if controls(c) => show(c, &mut shown),
            c => shown.push(c),
        }
    }
    shown
}

/// Each line of a text, cleaned.
pub(super) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// JSON in which what controls a terminal stands as `\\u001b`. It can only stand in its strings, and means the same.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let harmful = |c: char| controls(c) && c != '\n';
    if !json.contains(harmful) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if harmful(c) {
            // None of them is beyond the first plane. Writing to a string cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A line of a log as a terminal may get it: text, tabs and colours (`CSI … m`). All else that would control the terminal is
/// shown, such as what moves the cursor, clears the screen, or sets the title or the clipboard.
pub(super) fn harmless(line: &str) -> Cow<'_, str> {
    // Of a line that was written on Windows.
    let line = line.strip_suffix('\r').unwrap_or(line);
    if !line.contains(|c: char| controls(c) && c != '\t') {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let colour = match c {
            ESCAPE if rest.peek() == Some(&'[') => colour(&rest, 1),
            CONTROL_SEQUENCE => colour(&rest, 0),
            _ => None,
        };
        match colour {
            Some((parameters, length)) => {
                rest.nth(length - 1);
                shown.push(ESCAPE);
                shown.push('[');
                shown.push_str(&parameters);
                shown.push('m');
            }
            None if controls(c) && c != '\t' => show(c, &mut shown),
            None => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The parameters of a colour that stands next, behind `skipped` characters, and how many characters it has with them.
fn colour(rest: &Peekable<Chars<'_>>, skipped: usize) -> Option<(String, usize)> {
    let mut parameters = String::new();
    for c in rest.clone().skip(skipped).take(MOST_PARAMETERS + 1) {
        match c {
            '0'..='9' | ';' | ':' => parameters.push(c),
            'm' => {
                let length = skipped + parameters.len() + 1;
                return Some((parameters, length));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::text("plain ü text", "plain ü text")]
    #[case::tab("a\tb", "a\tb")]
    #[case::colour("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m")]
    #[case::reset("\x1b[m", "\x1b[m")]
    #[case::true_colour("\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx")]
    #[case::colour_of_one_character("\u{9b}32mx", "\x1b[32mx")]
    #[case::clear("a\x1b[2Jb\x1b[Hc", r"a\x1b[2Jb\x1b[Hc")]
    #[case::modes("\x1b[?1049ha", r"\x1b[?1049ha")]
    #[case::keyboard_that_looks_like_a_colour("\x1b[>4;2ma", r"\x1b[>4;2ma")]
    #[case::report("\x1b[6na\x1b[c", r"\x1b[6na\x1b[c")]
    #[case::clipboard("a\x1b]52;c;cm0gLXJm\x07b", r"a\x1b]52;c;cm0gLXJm\x07b")]
    #[case::title("a\x1b]0;title\x1b\\b", r"a\x1b]0;title\x1b\b")]
    #[case::device_control("a\x1bP+q544e\x1b\\b", r"a\x1bP+q544e\x1b\b")]
    #[case::sequence_of_one_character("a\u{9b}2J\u{9d}52;c;x\u{9c}b", r"a\x9b2J\x9d52;c;x\x9cb")]
    #[case::reset_of_the_terminal("a\x1bcb", r"a\x1bcb")]
    #[case::controls("a\x07b\x08c\x7fe\rg", r"a\x07b\x08c\x7fe\x0dg")]
    #[case::end_of_a_windows_line("a\r", "a")]
    #[case::half_a_sequence("a\x1b[31", r"a\x1b[31")]
    #[case::an_escape_alone("a\x1b", r"a\x1b")]
    #[case::a_sequence_in_a_sequence("\x1b[3\x1b[2Jm", r"\x1b[3\x1b[2Jm")]
    #[case::text_turned_around("a\u{202e}b\u{2066}c", r"a\u{202e}b\u{2066}c")]
    fn lines(#[case] line: &str, #[case] shown: &str) {
        assert_eq!(harmless(line), shown);
        assert_eq!(harmless(shown), shown, "once is enough");
    }

    #[test]
    fn a_long_list_of_numbers_is_not_a_colour() {
        let line = format!("\x1b[{}ma", "1;".repeat(40));
        assert!(harmless(&line).starts_with(r"\x1b[1;1;"));
    }

    #[rstest]
    #[case("a\x1b]0;T\x07\x1b[31mR", r"a\x1b]0;T\x07\x1b[31mR")]
    #[case("a\nb\tc", "a b c")]
    #[case("a\u{202e}b\u{9b}", r"a\u{202e}b\x9b")]
    fn a_value_is_one_line_and_controls_nothing(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(clean(text), shown);
    }

    #[test]
    fn json_means_the_same_and_controls_nothing() {
        let value = serde_json::json!({"a": "\u{9b}2J\u{7f}\u{202e}\u{1b}ü"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escaped_json(&text);
        assert!(!escaped.contains(|c: char| controls(c) && c != '\n'), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
