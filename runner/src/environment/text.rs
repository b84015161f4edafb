//! The text of a file by the rules of Python's own tools: a byte order mark, then a PEP 263 line, then UTF-8.

use encoding_rs::Encoding;

/// The byte order marks, longest first: that of UTF-32 begins like that of UTF-16.
const MARKS: [(&[u8], Form); 5] = [
    (&[0xff, 0xfe, 0, 0], Form::Utf32 { big: false }),
    (&[0, 0, 0xfe, 0xff], Form::Utf32 { big: true }),
    (&[0xef, 0xbb, 0xbf], Form::Utf8),
    (&[0xff, 0xfe], Form::Utf16 { big: false }),
    (&[0xfe, 0xff], Form::Utf16 { big: true }),
];

/// Why a file is no text. The way out is to save it in another encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    /// It has to be UTF-8, as it says nothing else.
    #[error(
        "line {line} is not UTF-8; save the file as UTF-8, or name its encoding in the first line: `# -*- coding: latin-1 -*-`"
    )]
    NotUtf8 {
        /// The first line that is not.
        line: usize,
    },
    /// Its byte order mark promises another form than it has.
    #[error("it begins like {0} but is not valid; save it as UTF-8")]
    NotAsMarked(&'static str),
    /// It names an encoding that nobody knows.
    #[error("its encoding `{0}` is not known; save it as UTF-8")]
    Unknown(String),
    /// It is not of the encoding that it names.
    #[error("it is not {0}; save it as UTF-8")]
    NotAsNamed(String),
}

#[derive(Clone, Copy)]
enum Form {
    Utf8,
    Utf16 { big: bool },
    Utf32 { big: bool },
}

/// Decodes a text file.
pub(super) fn decode(bytes: &[u8]) -> Result<String, TextError> {
    for (mark, form) in MARKS {
        if let Some(rest) = bytes.strip_prefix(mark) {
            return by_mark(rest, form);
        }
    }
    match coding_line(bytes) {
        Some(label) => by_label(bytes, &label),
        None => String::from_utf8(bytes.to_vec()).map_err(|error| {
            let line = bytes[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
            TextError::NotUtf8 { line }
        }),
    }
}

fn by_mark(bytes: &[u8], form: Form) -> Result<String, TextError> {
    let wrong = TextError::NotAsMarked;
    match form {
        Form::Utf8 => String::from_utf8(bytes.to_vec()).map_err(|_| wrong("UTF-8")),
        Form::Utf16 { big } => {
            let read = if big { u16::from_be_bytes } else { u16::from_le_bytes };
            let (units, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|unit| read(*unit)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty()).ok_or_else(|| wrong("UTF-16"))
        }
        Form::Utf32 { big } => {
            let read = if big { u32::from_be_bytes } else { u32::from_le_bytes };
            let (units, rest) = bytes.as_chunks::<4>();
            let text: Option<String> = units.iter().map(|unit| char::from_u32(read(*unit))).collect();
            text.filter(|_| rest.is_empty()).ok_or_else(|| wrong("UTF-32"))
        }
    }
}

fn by_label(bytes: &[u8], label: &str) -> Result<String, TextError> {
    // Python knows more spellings than the Encoding Standard: `latin-1`, `utf_8`.
    let spellings = [label.to_owned(), label.replace('_', "-"), label.replace(['_', '-'], "")];
    let Some(encoding) = spellings.iter().find_map(|label| Encoding::for_label(label.as_bytes())) else {
        return Err(TextError::Unknown(label.to_owned()));
    };
    let (text, _, broken) = encoding.decode(bytes);
    if broken { Err(TextError::NotAsNamed(label.to_owned())) } else { Ok(text.into_owned()) }
}

/// The encoding that one of the first two lines names, as PEP 263 has it: `# -*- coding: latin-1 -*-`.
fn coding_line(bytes: &[u8]) -> Option<String> {
    bytes.split(|byte| *byte == b'\n').take(2).find_map(|line| {
        let line = std::str::from_utf8(line.trim_ascii_start()).ok()?;
        let rest = line.strip_prefix('#')?.split_once("coding")?.1;
        let rest = rest.strip_prefix([':', '='])?.trim_start();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        Some(rest[..end.unwrap_or(rest.len())].to_ascii_lowercase()).filter(|label| !label.is_empty())
    })
}

/// The same text for a reader that expects UTF-8: no line of it names another encoding.
pub(super) fn as_utf8(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    for line in lines.iter_mut().take(2) {
        if coding_line(line.as_bytes()).is_some() {
            *line = "#";
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn wide(text: &str, mark: &[u8], unit: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
        mark.iter().copied().chain(text.chars().flat_map(|c| unit(u32::from(c)))).collect()
    }

    #[test]
    fn every_form_is_read() {
        let text = "é==1\r\nb\n";
        let short = |n: u32| u16::try_from(n).unwrap();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            wide(text, &[0xff, 0xfe], |n| short(n).to_le_bytes().to_vec()),
            wide(text, &[0xfe, 0xff], |n| short(n).to_be_bytes().to_vec()),
            wide(text, &[0xff, 0xfe, 0, 0], |n| n.to_le_bytes().to_vec()),
            wide(text, &[0, 0, 0xfe, 0xff], |n| n.to_be_bytes().to_vec()),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok(text), "{bytes:?}");
        }
    }

    #[rstest]
    #[case(b"# -*- coding: latin-1 -*-\n# \xe9\nb\n")]
    #[case(b"#!x\n# vim: set fileencoding=cp1252 :\n# \xe9\nb\n")]
    #[case(b"# coding=iso_8859_1\n# \xe9\nb\n")]
    fn a_line_that_names_the_encoding_is_obeyed_and_then_dropped(#[case] bytes: &[u8]) {
        let text = decode(bytes).unwrap();
        assert!(text.contains("# é\nb\n"), "{text}");
        let plain = as_utf8(&text);
        assert_eq!(decode(plain.as_bytes()).as_deref(), Ok(plain.as_str()));
        assert_eq!(plain.lines().count(), text.lines().count());
    }

    #[rstest]
    #[case(b"a\nb\xff\n", "line 2 is not UTF-8")]
    #[case(b"\xff\xfea", "UTF-16")]
    #[case(b"\xff\xfe\x00\x00\xff\xff\xff\xff", "UTF-32")]
    #[case(b"# coding: klingon\n\xff", "`klingon`")]
    fn what_cannot_be_read_is_told_with_the_way_out(#[case] bytes: &[u8], #[case] words: &str) {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("save"), "{error}");
    }
}
