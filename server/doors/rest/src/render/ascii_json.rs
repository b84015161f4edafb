//! JSON that fits into a header.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ApiError;

/// JSON with everything beyond ASCII written as `\u` escapes (RFC 8259, section 7).
pub(crate) fn ascii_json<T: Serialize>(value: &T) -> Result<String, ApiError> {
    let json = serde_json::to_string(value).map_err(|error| ApiError::internal(&error))?;
    // DEL is ASCII and plain JSON, but no header may carry it.
    let plain = |character: char| character.is_ascii() && character != '\u{7f}';
    if json.chars().all(plain) {
        return Ok(json);
    }
    let mut ascii = String::with_capacity(json.len() * 2);
    for character in json.chars() {
        if plain(character) {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_escaped_and_reads_back_the_same() {
        let paths = ["src", "größe", "lib/🗼", "a\"b\\c", "tab\t", "del\u{7f}"];
        let json = ascii_json(&paths).unwrap();
        assert!(json.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{json}");
        assert!(json.contains(r"gr\u00f6\u00dfe") && json.contains(r"\ud83d\uddfc"), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), paths);
    }
}
