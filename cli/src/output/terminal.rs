//! What jobs printed, made safe for a terminal: colours stay, and no other sequence reaches it.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

const ESCAPE: char = '\u{1b}';
/// Most parameter characters of a colour; a longer sequence is not taken for one.
const MOST_PARAMETERS: usize = 64;

/// The line as a terminal may get it: text, tabs and colours (`CSI … m`). Other sequences are removed as a whole, such as
/// those that move the cursor, clear the screen, or set the title or the clipboard. So are other control characters.
pub(super) fn harmless(line: &str) -> Cow<'_, str> {
    if !line.contains(|c: char| c.is_control() && c != '\t') {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ESCAPE => match rest.peek() {
                Some('[') => {
                    rest.next();
                    control_sequence(&mut rest, &mut shown);
                }
                // Operating system commands, device control, privacy messages, application commands, start of string.
                Some(']' | 'P' | '^' | '_' | 'X') => {
                    rest.next();
                    control_string(&mut rest);
                }
                _ => short_sequence(&mut rest),
            },
            // The same sequences, begun by one character (ECMA-48, "C1").
            '\u{9b}' => control_sequence(&mut rest, &mut shown),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => control_string(&mut rest),
            '\t' => shown.push(c),
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Reads what follows `CSI`, and keeps it if it is a colour.
fn control_sequence(rest: &mut Peekable<Chars<'_>>, shown: &mut String) {
    let mut parameters = String::new();
    while let Some(c) = rest.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)) {
        parameters.push(c);
    }
    let last = rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
    let plain = parameters.chars().all(|c| c.is_ascii_digit() || matches!(c, ';' | ':'));
    if last == Some('m') && plain && parameters.len() <= MOST_PARAMETERS {
        shown.push(ESCAPE);
        shown.push('[');
        shown.push_str(&parameters);
        shown.push('m');
    }
}

/// Reads a string that is meant for the terminal, up to `BEL`, `ST` or the end of the line.
fn control_string(rest: &mut Peekable<Chars<'_>>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            ESCAPE if rest.next_if_eq(&'\\').is_some() => return,
            _ => {}
        }
    }
}

/// Reads what follows any other escape: intermediate characters and a final one.
fn short_sequence(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| ('\u{20}'..='\u{2f}').contains(c)).is_some() {}
    rest.next_if(|c| ('\u{30}'..='\u{7e}').contains(c));
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
    #[case::clear("a\x1b[2Jb\x1b[Hc", "abc")]
    #[case::cursor("a\x1b[1Ab\x1b[10;5Hc\x1b[Kd", "abcd")]
    #[case::modes("\x1b[?1049ha\x1b[?25l", "a")]
    #[case::keyboard_that_looks_like_a_colour("\x1b[>4;2ma", "a")]
    #[case::report("\x1b[6na\x1b[c", "a")]
    #[case::clipboard("a\x1b]52;c;cm0gLXJm\x07b", "ab")]
    #[case::title_and_string_end("a\x1b]0;title\x1b\\b", "ab")]
    #[case::link("\x1b]8;;https://h/\x1b\\text\x1b]8;;\x1b\\", "text")]
    #[case::string_without_end("a\x1b]52;c;xyz", "a")]
    #[case::device_control("a\x1bP+q544e\x1b\\b", "ab")]
    #[case::string_of_one_character("a\u{9d}52;c;x\u{9c}b", "ab")]
    #[case::reset_of_the_terminal("a\x1bcb", "ab")]
    #[case::character_set("a\x1b(0b", "ab")]
    #[case::controls("a\x07b\x08c\x0bd\x7fe\u{85}f\rg", "abcdefg")]
    #[case::half_a_sequence("a\x1b[31", "a")]
    #[case::an_escape_alone("a\x1b", "a")]
    #[case::a_sequence_in_a_sequence("\x1b[3\x1b[2Jm", "m")]
    #[case::escapes_in_a_row("\x1b\x1b[2Ja", "a")]
    #[case::colour_behind_a_long_list(&format!("\x1b[{}ma", "1;".repeat(40)), "a")]
    fn lines(#[case] line: &str, #[case] shown: &str) {
        assert_eq!(harmless(line), shown);
        assert_eq!(harmless(shown), shown, "once is enough");
    }
}
